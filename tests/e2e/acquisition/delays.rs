//! Answers that come just before their timeout, or just after it: none of them may be taken for another.

use super::farm::Farm;
use super::{BAUD, Behind, Port};
use crate::system::seed;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use windward_protocol::Value;
use windward_tests::clock;
use windward_tests::lines::device::{Device, Table, expected};
use windward_tests::lines::manner::{Conduct, Manner};
use windward_tests::lines::{Line, Wire};
use windward_tests::peers::there;
use windward_tests::process::eventually;
use windward_tests::stored::Stored;

const LINES: usize = 16;
const SLAVES: u8 = 2;
const TIMEOUT_MS: u64 = 20;
/// Answers come 30 ms after the question at the latest, with what the wire takes 33: what is left until the line is used
/// again is for a machine that is busy, whose simulated slaves answer later than they mean to.
const LATE_MS: u64 = 150;
/// They do so by no more than this when they hear a question, and again when they answer it: together 133 ms. Where this
/// machine keeps a line waiting for longer, which it may do with one thread and not with the agent's, it says nothing.
const PATIENCE_OF_LINES: Duration = Duration::from_millis(50);
/// Each is asked for alone, and all answers have the same length: nothing in the frame tells one from the other.
const REGISTERS: [u16; 8] = [2, 40, 80, 120, 160, 200, 240, 280];
/// Reads where nobody says how many.
const READS: u32 = 100_000;
const PATIENCE: Duration = Duration::from_secs(900);

/// What became of the reads.
#[derive(Debug, Default)]
struct Tally {
    values: usize,
    /// From another register or slave.
    wrong: usize,
    /// From another question for the same register.
    old: usize,
    reasons: BTreeMap<String, usize>,
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_no_read_is_wrong_or_old_when_answers_come_around_their_timeout() -> Result<()> {
    if !there()? {
        return Ok(());
    }
    let given = std::env::var("WINDWARD_READS").ok().and_then(|reads| reads.parse().ok());
    let reads = given.unwrap_or(READS);
    let dir = tempfile::tempdir()?;
    let seed = seed();
    let began = clock::now();
    let lines = (0..LINES).map(|index| line(index, seed, dir.path())).collect::<Result<Vec<_>>>()?;
    let mut farm = Farm::new(dir, &devices(&lines)).await?;
    farm.start()?;
    let asked = || {
        let of_line = |(port, _): &(Port, i64)| port.station().slaves().map(|slave| slave.heard()).sum::<u32>();
        lines.iter().map(of_line).sum::<u32>()
    };
    eventually(PATIENCE, "so many reads", async || {
        farm.check_alive()?;
        Ok((asked() >= reads).then_some(()))
    })
    .await?;
    let stored = farm.stop().await?;
    let asked = asked() as usize;

    let mut tally = Tally::default();
    for (index, (port, began_ms)) in lines.iter().enumerate() {
        for slave in 1..=SLAVES {
            let device = format!("line-{index}-{slave}");
            judge((&device, &stored[&device]), slave, &port.station(), *began_ms, &mut tally);
        }
    }
    let kept_waiting: u32 = lines.iter().map(|(port, _)| port.station().kept_waiting()).sum();
    let late: usize = lines.iter().map(|(port, _)| delayed(&port.station())).sum();
    println!(
        "FIGURE {asked} reads in {} s over {LINES} lines, {late} answered after 0.5 to 1.5 of the timeout: {} values, \
         {} wrong, {} old, {:?}; this machine kept a line waiting {kept_waiting} times",
        began.elapsed().as_secs(),
        tally.values,
        tally.wrong,
        tally.old,
        tally.reasons
    );
    assert_eq!((tally.wrong, tally.old), (0, 0));
    // Nothing was proved unless many were in time and many were not.
    let failed = asked - tally.values;
    assert!(asked >= reads as usize && late * 5 > asked && failed * 20 > asked && tally.values * 2 > asked);
    Ok(())
}

/// A line with its port, and when that began: a port of this machine with and without collisions, Modbus TCP, and a
/// device server, in turn.
fn line(index: usize, seed: u64, dir: &Path) -> Result<(Port, i64)> {
    let slaves = (1..=SLAVES).map(|address| {
        let mut device = Device::new(address);
        let around = Manner::Late(TIMEOUT_MS * 500, TIMEOUT_MS * 1_500);
        device.conduct = Conduct::Random(vec![(3, around), (7, Manner::Prompt)]);
        device.dated = true;
        device
    });
    let (wire, behind) = match index % 4 {
        0 => (Wire::rtu(BAUD), Behind::Port),
        1 => (Wire::tcp(), Behind::Tcp),
        2 => (Wire { collisions: false, ..Wire::rtu(BAUD) }, Behind::Port),
        _ => (Wire { collisions: false, ..Wire::rtu(BAUD) }, Behind::Server),
    };
    let line = Line::new(wire, slaves, seed + index as u64).never_later(PATIENCE_OF_LINES);
    let port = Port::new(line, behind, &dir.join(format!("line-{index}")))?;
    let began_ms = clock::wall_ms() - (port.now_us() / 1_000) as i64;
    Ok((port, began_ms))
}

/// Answers of a line that were put off to around the timeout.
fn delayed(line: &Line) -> usize {
    line.asked().iter().filter(|asked| matches!(asked.manner, Some(Manner::Late(..)))).count()
}

/// Every second line asks again what has failed.
fn devices(lines: &[(Port, i64)]) -> String {
    let mut text = String::new();
    for (index, slave) in (0..lines.len()).flat_map(|index| (1..=SLAVES).map(move |slave| (index, slave))) {
        let link = lines[index].0.toml();
        write!(
            text,
            "[[device]]\nname = \"line-{index}-{slave}\"\nslave = {slave}\ninterval_ms = 50\n\
             timeout_ms = {TIMEOUT_MS}\nlate_ms = {LATE_MS}\none_by_one = true\nretries = {}\n{link}\n",
            index / 4 % 2
        )
        .unwrap();
        for register in REGISTERS {
            write!(
                text,
                "[[device.channel]]\nname = \"r{register}\"\nunit = \"1\"\nregister = {register}\ntype = \"u32\"\n\
                 detect = false\n"
            )
            .unwrap();
        }
    }
    text
}

/// Looks at every value of a slave: its register, and that it answers the last question for it before the row was done.
fn judge((device, stored): (&str, &Stored), slave: u8, line: &Line, began_ms: i64, tally: &mut Tally) {
    let tell = |what: &str, name: &str, value: i64, row_ms: i64| {
        println!("{what}: {device} {name} at {row_ms}: {value:#x}");
        let of_line = line.asked().iter().map(|asked| (began_ms + (asked.at_us / 1_000) as i64 - row_ms, asked));
        for (at_ms, asked) in of_line.filter(|(at_ms, _)| (-600..=0).contains(at_ms)) {
            println!("  asked {at_ms} ms: slave {} {:x?}, {:?}", asked.request.slave, asked.request.pdu, asked.manner);
        }
    };
    let mut questions: BTreeMap<u16, Vec<(i64, u32)>> = BTreeMap::new();
    for asked in line.asked().iter().filter(|asked| asked.request.slave == slave) {
        let register = u16::from_be_bytes([asked.request.pdu[1], asked.request.pdu[2]]);
        // A question that was garbled has no number, and no answer.
        let number = asked.number.unwrap_or(u32::MAX);
        questions.entry(register).or_default().push((began_ms + (asked.at_us / 1_000) as i64, number));
    }
    for row in &stored.rows {
        for (name, reading) in stored.channels.iter().zip(&row.readings) {
            let value = match reading {
                Ok(value) => value,
                Err(reason) => {
                    *tally.reasons.entry(reason.to_string()).or_default() += 1;
                    continue;
                }
            };
            tally.values += 1;
            let Value::Int { mantissa, exponent: 0 } = *value else { panic!("{name} of {slave}: {value:?}") };
            let register: u16 = name[1..].parse().expect("the channel names its register");
            let questions = questions.get(&register).map_or(&[][..], Vec::as_slice);
            if mantissa >> 16 != i64::from(expected(slave, Table::Input, register)) {
                tell("wrong", name, mantissa, row.time_ms);
                tally.wrong += 1;
            } else if !is_last(questions, mantissa as u16, row.time_ms) {
                tell("old", name, mantissa, row.time_ms);
                tally.old += 1;
            }
        }
    }
}

/// Whether the question with this number is the last before the row. Both times are whole milliseconds of two clocks,
/// so that a question in the same moment as the row may stand before it or after it.
fn is_last(questions: &[(i64, u32)], number: u16, row_ms: i64) -> bool {
    let surely = questions.partition_point(|(at_ms, _)| *at_ms < row_ms - 1).saturating_sub(1);
    let maybe = questions.partition_point(|(at_ms, _)| *at_ms <= row_ms + 1);
    questions[surely..maybe].iter().any(|(_, of_question)| *of_question as u16 == number)
}
