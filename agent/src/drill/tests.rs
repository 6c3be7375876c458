//! The books catch each kind of wrong, and nothing else.

use super::rows::{self, RUN};
use super::*;
use proptest::prelude::*;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{
    BlockBuilder, DecodeError, Envelope, Gap, GapReason, Lane, NoData, Record, Row, Seq, SeqRange, Value,
};

const BASE_MS: i64 = 1_800_000_000_000;
const EPOCH: u64 = 7;
/// The first number of the first run.
const FIRST: u64 = RUN;

/// What happens in a drill.
#[derive(Clone, Debug)]
enum Event {
    Kept(Vec<u64>),
    Confirmed(Lane, Seq, Vec<u64>),
    Published { lane: Lane, seq: Seq, record: Record, arrives: bool },
    Bytes(Vec<u8>),
    Killed,
}

fn block_of(rows: &[(usize, Row)]) -> Record {
    let device = &rows::devices()[rows[0].0];
    let mut builder = BlockBuilder::new(&rows::agent(), &device.device, &device.location, &device.channels, true);
    rows.iter().for_each(|(_, row)| builder.push(row).unwrap());
    Record::Block(builder.finish().unwrap())
}

fn block(numbers: &[u64]) -> Record {
    block_of(&numbers.iter().map(|number| rows::row(*number, BASE_MS)).collect::<Vec<_>>())
}

fn published(lane: Lane, seq: Seq, record: Record) -> Event {
    Event::Published { lane, seq, record, arrives: true }
}

fn gap(lane: Lane, seq: Seq, reason: GapReason) -> Record {
    Record::Gap(Gap { lane, from: seq, to: seq, reason })
}

/// Two blocks of two rows and an alert, all of them kept, confirmed and stored.
fn well() -> Vec<Event> {
    let (first, second) = (vec![FIRST, FIRST + 4], vec![FIRST + 1, FIRST + 5]);
    vec![
        Event::Kept(vec![FIRST, FIRST + 1, FIRST + 4, FIRST + 5]),
        Event::Confirmed(Lane::Alerts, 1, vec![FIRST]),
        Event::Confirmed(Lane::Readings, 1, first.clone()),
        Event::Confirmed(Lane::Readings, 2, second.clone()),
        published(Lane::Alerts, 1, Record::Alert(rows::alert(FIRST, BASE_MS))),
        published(Lane::Readings, 1, block(&first)),
        published(Lane::Readings, 2, block(&second)),
    ]
}
const ALERT: usize = 4;
const BLOCK_1: usize = 5;
const BLOCK_2: usize = 6;

fn bytes_of(epoch: u64, lane: Lane, seq: Seq, record: Record) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    batch.push(&Envelope { agent: rows::agent(), epoch, lane, seq, record }.encode().unwrap());
    batch.finish()
}

fn books_of(events: Vec<Event>) -> Books {
    let mut books = Books::new(BASE_MS);
    assert_eq!(books.begin(), FIRST);
    books.ready(EPOCH, &[vec![], vec![]], 0);
    for event in events {
        match event {
            Event::Kept(numbers) => books.kept(&numbers),
            Event::Confirmed(Lane::Alerts, seq, holds) => books.confirmed(&[Held { seq, holds }], &[]),
            Event::Confirmed(_, seq, holds) => books.confirmed(&[], &[Held { seq, holds }]),
            Event::Published { lane, seq, record, arrives } => {
                let acked = books.published(lane, &bytes_of(EPOCH, lane, seq, record), arrives);
                let stored = if arrives { vec![SeqRange { first: seq, last: seq }] } else { vec![] };
                assert_eq!(acked, stored, "what is acked is what is stored");
            }
            Event::Bytes(bytes) => assert_eq!(books.published(Lane::Readings, &bytes, true), []),
            Event::Killed => books.killed(),
        }
    }
    books
}

fn close(events: Vec<Event>) -> (Tally, Wrongs) {
    books_of(events).close(0, false)
}

/// What is changed about a drill that goes well, and what is wrong with it then.
type Case = (&'static str, fn(&mut Vec<Event>), &'static [Wrong]);

const CASES: &[Case] = &[
    ("all is well", |_| {}, &[]),
    ("a block never comes", |events| drop(events.remove(BLOCK_2)), &[Wrong::RowsLost, Wrong::Missing]),
    ("a block comes without its last row", |events| events[BLOCK_2] = second(&[FIRST + 1]), &[Wrong::RowsLost]),
    ("an alert never comes", |events| drop(events.remove(ALERT)), &[Wrong::AlertsLost, Wrong::Missing]),
    ("a row that was kept is in no block", |events| events.push(Event::Kept(vec![FIRST + 8])), &[Wrong::RowsLost]),
    ("the quota cost a block", |events| instead(events, GapReason::SpaceEnded), &[]),
    (
        "a block is gone for another reason",
        |events| instead(events, GapReason::PowerCut),
        &[Wrong::RowsLost, Wrong::Gap],
    ),
    (
        "alerts are given up",
        |events| {
            events.push(Event::Confirmed(Lane::Alerts, 2, vec![]));
            events.push(published(Lane::Alerts, 2, gap(Lane::Alerts, 1, GapReason::SpaceEnded)));
        },
        &[Wrong::Gap],
    ),
    ("a block comes again", |events| events.push(events[BLOCK_1].clone()), &[]),
    ("a number is given out twice", |events| events.push(second(&[FIRST + 1])), &[Wrong::TwoThings]),
    (
        "a block comes under another number",
        |events| {
            events.push(Event::Confirmed(Lane::Readings, 3, vec![FIRST]));
            events.push(published(Lane::Readings, 3, block(&[FIRST])));
        },
        &[Wrong::Twice],
    ),
    (
        "a value is another",
        |events| events[BLOCK_2] = altered(|row| row.readings[0] = Ok(Value::Int { mantissa: 1, exponent: -1 })),
        &[Wrong::RowsLost, Wrong::Changed],
    ),
    (
        "a value comes as a failure",
        |events| events[BLOCK_2] = altered(|row| row.readings[1] = Err(NoData::Timeout)),
        &[Wrong::RowsLost, Wrong::Changed],
    ),
    (
        "a score is another",
        |events| events[BLOCK_2] = altered(|row| row.scores[0] = None),
        &[Wrong::RowsLost, Wrong::Changed],
    ),
    (
        "a time is another",
        |events| events[BLOCK_2] = altered(|row| row.time_ms += 4),
        // The row that has this time is another's.
        &[Wrong::RowsLost, Wrong::Changed],
    ),
    ("a row comes that nobody kept", |events| unsaid(events, FIRST + 8), &[Wrong::Invented]),
    (
        "a row was kept too late to say so",
        |events| {
            events.push(Event::Killed);
            unsaid(events, FIRST + 8);
        },
        &[],
    ),
    (
        "a row comes that a killed agent has passed over",
        |events| {
            events.push(Event::Killed);
            unsaid(events, FIRST + 2);
        },
        &[Wrong::Invented],
    ),
    ("a row comes of a run that never was", |events| unsaid(events, 2 * RUN), &[Wrong::Invented]),
    ("a block is sent before it is durable", |events| events[3..].rotate_left(1), &[Wrong::TooEarly]),
    ("the second block is sent first", |events| events.swap(BLOCK_1, BLOCK_2), &[Wrong::Disorder]),
    (
        "a block is lost on its way and sent again",
        |events| {
            let again = events[BLOCK_1].clone();
            if let Event::Published { arrives, .. } = &mut events[BLOCK_1] {
                *arrives = false;
            }
            events.push(again);
        },
        &[],
    ),
    (
        "an envelope of another spool",
        |events| events.push(Event::Bytes(bytes_of(EPOCH + 1, Lane::Readings, 3, block(&[FIRST])))),
        &[Wrong::Foreign],
    ),
    (
        "an envelope of another lane",
        |events| events.push(Event::Bytes(bytes_of(EPOCH, Lane::Alerts, 3, block(&[FIRST])))),
        &[Wrong::Foreign],
    ),
    ("bytes that are no batch", |events| events.push(Event::Bytes(vec![9; 9])), &[Wrong::Foreign]),
];

fn second(numbers: &[u64]) -> Event {
    published(Lane::Readings, 2, block(numbers))
}

/// The second block, with its second row changed.
fn altered(change: impl Fn(&mut Row)) -> Event {
    let mut written = [rows::row(FIRST + 1, BASE_MS), rows::row(FIRST + 5, BASE_MS)];
    change(&mut written[1].1);
    published(Lane::Readings, 2, block_of(&written))
}

/// A gap record in place of the second block.
fn instead(events: &mut Vec<Event>, reason: GapReason) {
    events[BLOCK_2] = Event::Confirmed(Lane::Alerts, 2, vec![]);
    events.push(published(Lane::Alerts, 2, gap(Lane::Readings, 2, reason)));
}

/// A block with a row of which nobody has said that it is safe.
fn unsaid(events: &mut Vec<Event>, number: u64) {
    events.push(Event::Confirmed(Lane::Readings, 3, vec![]));
    events.push(published(Lane::Readings, 3, block(&[number])));
}

#[test]
fn each_kind_of_wrong_book_is_caught_for_what_it_is() {
    for (name, change, expected) in CASES {
        let mut events = well();
        change(&mut events);
        let (_, wrongs) = close(events);
        assert_eq!(wrongs.kinds(), *expected, "{name}:\n{wrongs}");
    }
}

#[test]
fn what_is_left_at_the_close_is_told() {
    assert_eq!(books_of(well()).close(3, false).1.count(Wrong::NotDrained), 3);
    assert_eq!(books_of(well()).close(0, true).1.kinds(), [Wrong::QuotaIdle]);
    let mut events = well();
    instead(&mut events, GapReason::SpaceEnded);
    assert!(books_of(events).close(0, true).1.is_empty());
}

#[test]
fn a_spool_that_comes_back_as_another_is_told() {
    let mut books = books_of(well());
    books.begin();
    books.ready(EPOCH + 1, &[vec![], vec![]], 0);
    assert_eq!(books.close(0, false).1.kinds(), [Wrong::Foreign]);
}

#[test]
fn what_came_again_and_what_was_given_up_is_counted_once() {
    let mut events = well();
    instead(&mut events, GapReason::SpaceEnded);
    events.push(events[BLOCK_1].clone());
    let (tally, _) = close(events);
    assert_eq!((tally.rows_said, tally.rows_stored, tally.rows_given_up, tally.rows_lost), (4, 2, 2, 0));
    assert_eq!((tally.alerts_said, tally.alerts_stored, tally.gaps), (1, 1, 1));
    assert_eq!((tally.envelopes, tally.repeated), (3, 1));
}

#[test]
fn a_batch_that_names_what_is_not_known_is_neither_stored_nor_acked_nor_wrong() {
    let (lane, record) = (Lane::Readings, block(&[FIRST, FIRST + 4]));
    let envelope = Envelope { agent: rows::agent(), epoch: EPOCH, lane, seq: 1, record }.encode().unwrap();
    let packed = |known: &std::collections::BTreeSet<_>| {
        let mut batch = BatchBuilder::new();
        batch.push(&envelope);
        batch.finish_packed(known)
    };
    let full = packed(&Default::default());
    let named = packed(&full.schemas.iter().copied().collect());
    let unknown = windward_protocol::batch::split(&named.bytes).broken;
    assert!(matches!(unknown, Some(DecodeError::UnknownSchema(_))), "{unknown:?}");

    let mut books = Books::new(BASE_MS);
    books.begin();
    books.ready(EPOCH, &[vec![], vec![SeqRange { first: 1, last: 1 }]], 0);
    books.kept(&[FIRST, FIRST + 4]);
    assert_eq!(books.published(lane, &named.bytes, true), []);
    let one = [SeqRange { first: 1, last: 1 }];
    assert_eq!(books.published(lane, &full.bytes, false), [], "on its way it is lost, and what it says with it");
    assert_eq!(books.published(lane, &named.bytes, true), []);
    assert_eq!(books.published(lane, &full.bytes, true), one);
    assert_eq!(books.published(lane, &named.bytes, true), one);
    let (tally, wrongs) = books.close(0, false);
    assert!(wrongs.is_empty(), "{wrongs}");
    assert_eq!((tally.rows_stored, tally.repeated), (2, 1));
}

proptest! {
    /// Of each of some blocks it is drawn whether it comes (0), is declared (1), or is lost (2).
    #[test]
    fn exactly_what_is_lost_is_called_lost(fates in proptest::collection::vec(0..3u8, 1..40)) {
        let (mut events, mut alert) = (Vec::new(), 0);
        for (seq, fate) in (1..).zip(&fates) {
            let numbers = [FIRST + seq * 8, FIRST + seq * 8 + 4];
            events.push(Event::Kept(numbers.to_vec()));
            events.push(Event::Confirmed(Lane::Readings, seq, numbers.to_vec()));
            match fate {
                0 => events.push(published(Lane::Readings, seq, block(&numbers))),
                1 => {
                    alert += 1;
                    events.push(Event::Confirmed(Lane::Alerts, alert, vec![]));
                    events.push(published(Lane::Alerts, alert, gap(Lane::Readings, seq, GapReason::SpaceEnded)));
                }
                _ => {}
            }
        }
        let (tally, wrongs) = close(events);
        let count = |fate| fates.iter().filter(|drawn| **drawn == fate).count() as u64;
        prop_assert_eq!((tally.rows_stored, tally.rows_given_up, tally.rows_lost), (2 * count(0), 2 * count(1), 2 * count(2)));
        prop_assert_eq!((wrongs.count(Wrong::RowsLost), wrongs.count(Wrong::Missing)), (2 * count(2), count(2)));
    }

    #[test]
    fn a_row_comes_out_of_its_block_as_it_went_in(number in RUN..1_000 * RUN) {
        let (device, row) = rows::row(number, BASE_MS);
        prop_assert_eq!(rows::number(row.time_ms, BASE_MS), Some(number));
        let Record::Block(block) = block_of(&[(device, row.clone())]) else { unreachable!() };
        prop_assert_eq!(block.rows(), [row]);
    }
}

#[test]
fn a_disk_bears_commits_that_take_a_quarter_of_the_time_between_them() {
    // Times in µs -> median, 99 %, worst, and what the disk bears in ms.
    let even: Vec<u64> = (1..=100).rev().map(|index| index * 1_000).collect();
    let cases: &[(Vec<u64>, [u64; 3], u64)] = &[
        (vec![], [0, 0, 0], 100),
        (vec![25_000], [25_000, 25_000, 25_000], 100),
        (vec![25_001], [25_001, 25_001, 25_001], 200),
        (even, [50_000, 99_000, 100_000], 500),
        (vec![2_000_000; 3], [2_000_000; 3], 10_000),
        (vec![60_000_000], [60_000_000; 3], 60_000),
    ];
    for (times_us, [median_us, late_us, worst_us], bears_ms) in cases {
        let speed = Speed::of(times_us.clone());
        assert_eq!([speed.median_us, speed.late_us, speed.worst_us], [*median_us, *late_us, *worst_us]);
        assert_eq!(speed.bears_ms(), *bears_ms, "{speed:?}");
    }
}

#[test]
fn a_report_can_be_read_out() {
    let (tally, wrongs) = close(well());
    let report = Report {
        speed: Speed { commits: 99, median_us: 4_120, late_us: 30_900, worst_us: 210_000 },
        tally: Tally { repeated: 1_234, rows_saved: 3, ..tally },
        starts: Starts(vec![90, 300, 80]),
        written: (23_456, 1_000),
        pace: (1_000, 200),
        took_s: 57,
        wrongs,
        ..Report::default()
    };
    assert!(report.is_well());
    let expected = "\
a commit takes  4.1 ms (median), 30.9 ms (99 %), 210 ms (worst of 99)
                242 a second; commit_every_ms = 200 or more is no strain
bytes to disk   23.4 a reading, at 1,600 a second and commits every 1000 ms
confirmed       32 readings, 1 alerts
stored          32 readings, 1 alerts
given up        0 readings to the quota, declared by 0 gap records
repeated        1,234 times a block came again, and was absorbed; 3 are stored
killed          3 times; 24 readings came back from the side file
recovery        90 ms (median), 300 ms (worst) from start to first publish
lost            0 readings, 0 alerts

WELL: nothing that was confirmed is lost, and every gap is declared (57 s).
";
    let text = report.to_string();
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_report_of_a_loss_names_what_is_missing() {
    let mut events = well();
    events.truncate(BLOCK_1);
    let (tally, wrongs) = close(events);
    let report = Report { tally, wrongs, ..Report::default() };
    assert!(!report.is_well());
    let text = report.to_string();
    let named = "NOT WELL (0 s):
  4 rows kept, and neither stored nor declared lost: rows 1000000 to 1000001; rows 1000004 to 1000005
  2 numbers that never came and that no gap record declares: readings 1 to 2
";
    assert!(text.contains(named), "{text}");
    assert!(text.contains("lost            32 readings, 0 alerts\n"), "{text}");
}
