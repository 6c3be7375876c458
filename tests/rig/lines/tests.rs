use super::device::{Table, expected};
use super::manner::Conduct;
use super::*;

/// Character time at 19200 baud, µs.
const CHAR_US: u64 = 572;

fn line(wire: Wire, slaves: u8) -> Line {
    Line::new(wire, (1..=slaves).map(Device::new), 1)
}

/// Everything that is heard, with the time of the first byte of each burst.
fn listen(line: &mut Line) -> Vec<(u64, u8)> {
    let mut heard = Vec::new();
    while let Some(at_us) = line.poll_timeout() {
        heard.extend(line.poll_output(at_us).into_iter().map(|byte| (at_us, byte)));
    }
    heard
}

fn bytes(heard: &[(u64, u8)]) -> Vec<u8> {
    heard.iter().map(|(_, byte)| *byte).collect()
}

fn ask(slave: u8, address: u16, count: u8) -> Vec<u8> {
    let [a, b] = address.to_be_bytes();
    Framing::Rtu.frame(0, slave, &[4, a, b, 0, count])
}

fn answer(slave: u8, address: u16) -> Vec<u8> {
    let [a, b] = expected(slave, Table::Input, address).to_be_bytes();
    Framing::Rtu.frame(0, slave, &[4, 2, a, b])
}

#[test]
fn an_answer_takes_its_true_time() {
    let mut line = line(Wire::rtu(19_200), 2);
    line.handle(&ask(2, 9, 1), 100);
    let heard = listen(&mut line);
    assert_eq!(bytes(&heard), answer(2, 9));
    // Eight characters of request, the turnaround, and the answer's own.
    let first_us = 100 + 8 * CHAR_US + 1_000 + CHAR_US;
    let times: Vec<u64> = heard.iter().map(|(at_us, _)| *at_us).collect();
    assert_eq!(times, (0..7).map(|n| first_us + n * CHAR_US).collect::<Vec<_>>());
    assert_eq!(line.asked().len(), 1);
}

#[test]
fn who_is_not_on_the_line_does_not_answer() {
    let mut line = line(Wire::rtu(19_200), 2);
    line.handle(&ask(3, 0, 1), 0);
    line.handle(&ask(0, 0, 1), 100_000);
    assert!(listen(&mut line).is_empty());
}

#[test]
fn the_master_hears_its_own_request_first_where_there_is_an_echo() {
    let mut line = line(Wire { echo: true, ..Wire::rtu(19_200) }, 1);
    line.handle(&ask(1, 3, 1), 0);
    assert_eq!(bytes(&listen(&mut line)), [ask(1, 3, 1), answer(1, 3)].concat());
}

#[test]
fn a_late_answer_is_heard_whole_while_another_slave_is_being_asked() {
    let mut line = line(Wire { collisions: false, ..Wire::rtu(19_200) }, 2);
    line.slave(1).unwrap().conduct = Conduct::Script([Manner::Late(50_000, 50_000)].into());
    line.handle(&ask(1, 3, 1), 0);
    // The master has given up and asks the next slave; the late answer's end meets the beginning of that one's.
    line.handle(&ask(2, 3, 1), 52_000);
    let heard = listen(&mut line);
    assert_eq!(heard[0].0, 8 * CHAR_US + 50_000 + CHAR_US);
    assert_eq!(bytes(&heard)[..5], answer(1, 3)[..5]);
    let mut sorted = bytes(&heard);
    let mut both = [answer(1, 3), answer(2, 3)].concat();
    sorted.sort_unstable();
    both.sort_unstable();
    assert_eq!(sorted, both);
}

#[test]
fn what_is_sent_at_the_same_time_is_garbled() {
    let late = |collisions_at_us| {
        let mut line = line(Wire::rtu(19_200), 2);
        line.slave(1).unwrap().conduct = Conduct::Script([Manner::Late(50_000, 50_000)].into());
        line.handle(&ask(1, 3, 1), 0);
        line.handle(&ask(2, 3, 1), collisions_at_us);
        bytes(&listen(&mut line))
    };
    // The late answer's bytes are on the wire from 54.6 to 58.6 ms.
    let (answers, requests) = (late(49_000), late(52_000));
    assert_eq!(answers.len(), 14, "both answers, garbled");
    assert!(!answers.windows(7).any(wire::intact));
    assert_eq!(requests.len(), 7, "the garbled request is not answered");
    assert!(!wire::intact(&requests));
    assert_eq!(late(70_000), [answer(1, 3), answer(2, 3)].concat());
}

#[test]
fn thirty_two_slaves_share_the_line() {
    let mut line = line(Wire::rtu(19_200), 32);
    let mut now_us = 0;
    for slave in 1..=32 {
        line.handle(&ask(slave, 2, 8), now_us);
        let heard = listen(&mut line);
        let words = (2..10).flat_map(|address| expected(slave, Table::Input, address).to_be_bytes());
        assert_eq!(bytes(&heard)[3..19], words.collect::<Vec<_>>());
        now_us = heard.last().unwrap().0 + 2_005;
    }
    // 8 + 21 characters, 1 ms of turnaround and 3.5 characters of silence each: about 620 ms a round.
    assert!((600_000..640_000).contains(&now_us), "{now_us}");
}

#[test]
fn modbus_tcp_answers_at_once_with_the_transaction_of_the_question() {
    let mut line = line(Wire::tcp(), 1);
    line.handle(&Framing::Tcp.frame(513, 1, &[4, 0, 5, 0, 1]), 7);
    let heard = listen(&mut line);
    let [a, b] = expected(1, Table::Input, 5).to_be_bytes();
    assert_eq!(bytes(&heard), Framing::Tcp.frame(513, 1, &[4, 2, a, b]));
    assert_eq!(heard[0].0, 1_007);
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let run = |seed| {
        let mut line = Line::new(Wire::rtu(9_600), [Device::new(1)], seed);
        let choices = vec![(1, Manner::BitFlip), (1, Manner::Cut), (1, Manner::Noise), (1, Manner::Late(0, 90_000))];
        line.slave(1).unwrap().conduct = Conduct::Random(choices);
        let rounds = (0..50).map(|round| {
            line.handle(&ask(1, 0, 4), round * 200_000);
            listen(&mut line)
        });
        rounds.collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn what_a_machine_makes_too_late_is_neither_heard_nor_said() {
    const PATIENCE_US: u64 = 50_000;
    let mut line = line(Wire::rtu(19_200), 1).never_later(Duration::from_micros(PATIENCE_US));
    line.poll_output(1_000_000);
    line.handle(&ask(1, 9, 1), 1_000_000 + PATIENCE_US + 1);
    assert_eq!((line.asked().len(), line.kept_waiting()), (0, 1));
    line.poll_output(2_000_000);
    line.handle(&ask(1, 9, 1), 2_000_000 + PATIENCE_US);
    let first_us = line.poll_timeout().expect("an answer");
    assert!(line.poll_output(first_us + PATIENCE_US + 1).is_empty());
    assert_eq!((line.asked().len(), line.kept_waiting()), (1, 2));
    // In time again, it speaks as ever.
    line.handle(&ask(1, 9, 1), first_us + PATIENCE_US + 2);
    assert_eq!(bytes(&listen(&mut line)), answer(1, 9));
    assert_eq!(line.kept_waiting(), 2);
}
