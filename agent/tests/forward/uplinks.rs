//! What an uplink sends when: alerts first, the newest first, no more than a limit, gathered; and what it does not send
//! again.

use crate::bench::{Bench, Sent};
use windward_agent::forward::{AckBy, Encoding, Order, Uplink};
use windward_protocol::{Lane, Seq};

fn mqtt() -> Uplink {
    Uplink::new("mqtt")
}

fn readings(sent: &[Sent]) -> Vec<Seq> {
    sent.iter().filter(|sent| sent.lane == Lane::Readings).flat_map(|sent| sent.seqs.clone()).collect()
}

/// An hour without a line leaves a backlog of 3,600 blocks.
fn after_an_hour(uplinks: &[Uplink]) -> Bench {
    let mut bench = Bench::new(uplinks);
    bench.rows_until(3_600_000, 1_000);
    assert!(bench.waiting() >= 3_500, "{}", bench.waiting());
    bench
}

#[test]
fn an_alert_is_next_in_line_whatever_the_backlog() {
    for order in [Order::Oldest, Order::Live] {
        let mut bench = after_an_hour(&[Uplink { order, ..mqtt() }]);
        bench.lines[0].bytes_per_s = 5_000;
        bench.set(0, true);
        bench.pass_to(bench.now + 15_000);
        let before = bench.sent.len();
        bench.alert();
        bench.pass_to(bench.now + 10);
        let next = &bench.sent[before..].iter().find(|sent| sent.lane != Lane::State).expect("something is sent");
        assert_eq!(next.lane, Lane::Alerts);
    }
}

#[test]
fn a_slow_line_carries_a_backlog_in_batches_that_fit_it() {
    let mut bench = after_an_hour(&[mqtt()]);
    bench.lines[0].bytes_per_s = 1_500;
    bench.set(0, true);
    bench.pass_to(bench.now + 1_200_000);
    assert_eq!(bench.waiting(), 0, "all of it has arrived");
    let sent = readings(&bench.sent);
    assert!(sent.len() <= 3_700, "and hardly anything twice: {}", sent.len());
}

#[test]
fn a_quick_line_gets_long_batches() {
    let mut bench = after_an_hour(&[mqtt()]);
    bench.set(0, true);
    bench.pass_to(bench.now + 20_000);
    assert_eq!(bench.waiting(), 0);
    let most = bench.sent.iter().map(|sent| sent.seqs.len()).max();
    assert!(most >= Some(500), "{most:?} blocks in a batch");
}

#[test]
fn with_live_order_the_newest_go_at_once_and_the_backlog_follows() {
    let mut bench = after_an_hour(&[Uplink { order: Order::Live, ..mqtt() }]);
    bench.lines[0].bytes_per_s = 400;
    bench.set(0, true);
    bench.pass_to(bench.now + 12_000);
    let (back_at, first_live) = (bench.now, 3_600);
    bench.rows_until(back_at + 120_000, 1_000);
    bench.pass_to(bench.now + 3_000);
    let sent: Vec<&Sent> = bench.sent.iter().filter(|sent| sent.lane == Lane::Readings && sent.at > back_at).collect();
    for second in 2..118 {
        // A row of each second is committed within the next, and on its way at once.
        let seq = first_live + second;
        let at = sent.iter().find(|sent| sent.seqs.contains(&seq)).map(|sent| sent.at);
        assert!(at.is_some_and(|at| at <= back_at + (second + 4) * 1_000), "{seq} left at {at:?}");
    }
    let backlog = sent.iter().flat_map(|sent| &sent.seqs).filter(|seq| **seq < 3_500).count();
    assert!(backlog > 100, "the backlog takes the room that is left: {backlog}");
    bench.pass_to(bench.now + 600_000);
    assert_eq!(bench.waiting(), 0);
    let (mut all, count) = (readings(&bench.sent), readings(&bench.sent).len());
    all.sort_unstable();
    all.dedup();
    assert!(count <= all.len() + 600, "{count} sent for {}", all.len());
}

#[test]
fn a_limited_line_is_not_overdrawn_and_alerts_pass_it() {
    let limit = 60;
    let mut bench = after_an_hour(&[Uplink { max_bytes_per_s: limit, overhead_bytes: 100, ..mqtt() }]);
    let begin = bench.now;
    bench.set(0, true);
    bench.rows_until(begin + 300_000, 1_000);
    bench.alert();
    let alert_at = bench.now;
    bench.pass_to(bench.now + 10);
    assert!(bench.sent.iter().any(|sent| sent.lane == Lane::Alerts && sent.at == alert_at), "alerts do not wait");
    let within = bench.sent.iter().filter(|sent| sent.at >= begin);
    let bytes: u64 = within.map(|sent| sent.payload.len() as u64 + 100).sum();
    assert!((limit * 270..=limit * 330).contains(&bytes), "{bytes} bytes in 300 s at {limit} a second");
}

#[test]
fn readings_are_gathered_and_alerts_are_not() {
    let mut bench = Bench::new(&[Uplink { publish_every_ms: 10_000, ..mqtt() }]);
    bench.set(0, true);
    bench.rows_until(121_000, 1_000);
    bench.alert();
    let alert_at = bench.now;
    bench.pass_to(bench.now + 10);
    let publishes: Vec<&Sent> = bench.sent.iter().filter(|sent| sent.lane == Lane::Readings).collect();
    assert!((11..=14).contains(&publishes.len()), "{} publishes in two minutes", publishes.len());
    assert!(publishes[2..].iter().all(|sent| sent.seqs.len() >= 9), "each with what came in ten seconds");
    assert!(bench.sent.iter().any(|sent| sent.lane == Lane::Alerts && sent.at == alert_at));
    bench.rows_until(125_000, 1_000);
    bench.pass_to(bench.now + 12_000);
    assert_eq!(bench.waiting(), 0, "what has been gathered goes when its time has come");
}

#[test]
fn a_block_stays_until_all_who_must_have_it_have_it() {
    let mut bench = Bench::new(&[mqtt(), Uplink::new("second")]);
    bench.set(0, true);
    bench.rows_until(60_000, 1_000);
    assert_eq!(bench.acked(Lane::Readings), 0, "the second has nothing yet");
    bench.set(1, true);
    bench.pass_to(bench.now + 75_000);
    assert!(bench.acked(Lane::Readings) >= 59);
}

#[test]
fn one_that_mirrors_is_not_waited_for() {
    let mut bench = Bench::new(&[mqtt(), Uplink { frees: false, ..Uplink::new("mirror") }]);
    bench.set(0, true);
    bench.rows_until(60_000, 1_000);
    bench.pass_to(bench.now + 70_000);
    let freed = bench.acked(Lane::Readings);
    assert!(freed >= 59, "{freed}");
    bench.set(1, true);
    bench.pass_to(bench.now + 15_000);
    bench.rows_until(bench.now + 10_000, 1_000);
    bench.pass_to(bench.now + 2_000);
    let mirrored: Vec<Sent> = bench.sent.iter().filter(|sent| sent.uplink == 1).cloned().collect();
    let seqs = readings(&mirrored);
    assert!(seqs.len() >= 9 && seqs[0] == freed + 1, "it goes on with what is there: {seqs:?}");
}

#[test]
fn after_a_restart_none_is_sent_again_what_it_has_long_acked() {
    let live = Uplink { order: Order::Live, ..Uplink::new("live") };
    let mut bench = Bench::new(&[mqtt(), live]);
    bench.set(1, true);
    bench.rows_until(60_000, 1_000);
    bench.set(1, false);
    bench.rows_until(180_000, 1_000);
    // Slow enough that the newest are acked long before the backlog.
    bench.lines[1].bytes_per_s = 200;
    bench.set(1, true);
    bench.rows_until(300_000, 1_000);
    let long_acked: Vec<Seq> = {
        let until = bench.now - 120_000;
        let early = bench.sent.iter().filter(|sent| sent.uplink == 1 && sent.at < until).cloned();
        readings(&early.collect::<Vec<_>>())
    };
    assert!(long_acked.len() >= 50);
    bench.pass_to(bench.now + 10_000);
    bench.restart();
    let before = bench.sent.len();
    bench.lines[1].bytes_per_s = u64::MAX;
    bench.set(0, true);
    bench.pass_to(bench.now + 60_000);
    assert_eq!(bench.waiting(), 0);
    let after: Vec<Sent> = bench.sent[before..].to_vec();
    let to = |uplink| readings(&after.iter().filter(|sent| sent.uplink == uplink).cloned().collect::<Vec<_>>());
    assert!(to(0).len() >= 299, "the first had nothing yet: {}", to(0).len());
    let again: Vec<Seq> = to(1).into_iter().filter(|seq| long_acked.contains(seq)).collect();
    assert!(again.is_empty(), "sent again: {again:?}");
}

#[test]
fn json_says_readings_and_alerts_and_frees_what_it_has_no_words_for() {
    let json = Uplink { encoding: Encoding::Json, ack: AckBy::Uplink, state: false, ..Uplink::new("json") };
    let mut bench = Bench::new(&[json]);
    bench.set(0, true);
    bench.rows_until(20_000, 1_000);
    bench.alert();
    bench.pass_to(bench.now + 10_000);
    assert_eq!(bench.waiting(), 0, "the hello too, of which JSON says nothing");
    let text: String = bench.sent.iter().map(|sent| String::from_utf8(sent.payload.clone()).unwrap()).collect();
    assert!(bench.sent.iter().all(|sent| !sent.payload.is_empty()));
    assert_eq!(text.lines().filter(|line| line.contains(r#""channel":"row""#)).count(), 20);
    assert_eq!(text.lines().filter(|line| line.contains(r#""alert":"open""#)).count(), 1);
}
