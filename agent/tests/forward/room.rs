//! When space ends, when readings grow old, when the disk is slow or refuses: what FORWARD does, step by step.

use crate::clock::SimClock;
use crate::world::{EPOCH, settings};
use windward_agent::forward::journal::{Found, Journal, JournalError, MemoryJournal, Note, Numbered, Room, Stretch};
use windward_agent::forward::{Forward, Input, Output, Settings, Uplink, recover};
use windward_agent::handover::Handover;
use windward_agent::time::Stamp;
use windward_protocol::{
    Alert, AlertKind, AlertPhase, Envelope, GapReason, Lane, NoData, Record, Row, Seq, SeqRange, Severity,
};

const MAX_BYTES: u64 = 1_000_000;
const DAY_MS: u64 = 86_400_000;

/// FORWARD with nobody to send to, and a disk that answers when it is told to.
struct Bench {
    forward: Forward,
    journal: MemoryJournal,
    clock: SimClock,
    ms: u64,
    commit: Option<(Vec<Numbered>, Vec<Numbered>)>,
    freed: Vec<(Lane, Seq)>,
    side: Vec<(u64, Vec<u8>)>,
    alarms: Vec<AlertPhase>,
    kept: Vec<Note>,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let (clock, journal) = (SimClock::set(), MemoryJournal::default());
        let forward = Forward::new(settings, &journal.found(EPOCH), clock.now(0));
        let (freed, side, alarms, kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut bench = Self { forward, journal, clock, ms: 0, commit: None, freed, side, alarms, kept };
        bench.poll();
        bench
    }

    fn now(&self) -> Stamp {
        self.clock.now(self.ms)
    }

    fn poll(&mut self) {
        while let Some(output) = self.forward.poll_output() {
            match output {
                Output::Commit { alerts, readings } => {
                    assert_eq!(self.commit, None, "one commit at a time");
                    self.commit = Some((alerts, readings));
                }
                Output::Free { lane, through } => self.freed.push((lane, through)),
                Output::Log { file, bytes, .. } => self.side.push((file, bytes)),
                Output::Alarm(alert) => self.alarms.push(alert.phase),
                Output::Keep(note, _) => self.kept.push(note),
                _ => {}
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.forward.handle(input, self.now());
        self.poll();
    }

    /// Time passes, in steps of FORWARD's own making.
    fn pass(&mut self, ms: u64) {
        let end = self.ms + ms;
        while let Some((at, _)) = self.forward.poll_timeout().filter(|(at, _)| at.0 <= end) {
            self.ms = self.ms.max(at.0);
            self.forward.handle_timeout(self.now());
            self.poll();
        }
        self.ms = end;
    }

    fn row(&mut self) {
        self.row_at(self.now().wall.0);
    }

    fn row_at(&mut self, time_ms: i64) {
        let row = Row { time_ms, readings: vec![Err(NoData::Timeout); 2], scores: vec![None; 2] };
        self.handle(Input::Handover(Handover::Row { device: 0, synced: true, row }));
    }

    /// The disk has done what was asked. Gives the records of the alert lane.
    fn committed(&mut self, room: Room) -> Vec<Record> {
        let (alerts, readings) = self.commit.take().expect("a commit is under way");
        self.journal.commit(&alerts, &readings).unwrap();
        let records = alerts.iter().map(|(_, bytes)| Envelope::decode(bytes).unwrap().record).collect();
        self.handle(Input::Committed { alerts, readings, room });
        records
    }

    /// A second of rows, committed.
    fn second(&mut self, room: Room) -> Vec<Record> {
        self.row();
        self.pass(1_000);
        self.committed(room)
    }
}

fn room(readings_bytes: u64, oldest: Option<(Seq, Seq, i64)>, is_full: bool) -> Room {
    let oldest =
        oldest.map(|(first, last, newest_ms)| Stretch { range: SeqRange { first, last }, newest_ms: Some(newest_ms) });
    Room { readings_bytes, oldest, is_full }
}

fn gaps(records: &[Record]) -> Vec<(Seq, Seq, GapReason)> {
    let gap = |record: &Record| match record {
        Record::Gap(gap) => Some((gap.from, gap.to, gap.reason)),
        _ => None,
    };
    records.iter().filter_map(gap).collect()
}

#[test]
fn the_oldest_readings_are_freed_when_the_record_of_their_gap_is_durable_and_not_before() {
    let now_ms = SimClock::set().now(0).wall.0;
    let old_ms = now_ms - 8 * DAY_MS as i64;
    for (room, reason) in [
        (room(MAX_BYTES + 1, Some((1, 3, now_ms)), false), GapReason::SpaceEnded),
        (room(1_000, Some((1, 3, now_ms)), true), GapReason::SpaceEnded),
        (room(1_000, Some((1, 3, old_ms)), false), GapReason::TooOld),
    ] {
        let mut bench = Bench::new(Settings { max_bytes: MAX_BYTES, max_age_ms: Some(7 * DAY_MS), ..settings() });
        bench.committed(Room::default());
        for _ in 0..4 {
            bench.second(Room::default());
        }
        bench.second(room);
        assert_eq!(bench.freed, [], "A4: the disk does not know of the gap yet");
        let waiting = bench.forward.counters().waiting;
        let records = bench.committed(room);
        assert_eq!(gaps(&records), [(1, 3, reason)]);
        assert!(bench.forward.counters().waiting < waiting, "they are passed over now, and were not before");
        assert_eq!(bench.freed, [(Lane::Readings, 3)]);
        // The disk has not carried it out yet and says the same again: no second gap.
        assert_eq!(gaps(&bench.second(room)), []);
    }
}

#[test]
fn what_a_refused_commit_has_left_on_a_full_disk_is_no_loss() {
    let now_ms = SimClock::set().now(0).wall.0;
    let mut bench = Bench::new(settings());
    bench.committed(Room::default());
    bench.row();
    bench.pass(1_000);
    // The second half of what a commit wrote before it failed, and the space that it takes.
    let room = room(1_000, Some((3, 4, now_ms)), true);
    let (alerts, readings) = bench.commit.take().unwrap();
    bench.handle(Input::CommitFailed { alerts, readings, error: "no space".into(), room });
    bench.pass(1_000);
    // Of alerts alone, and then of the readings once more.
    let mut records = bench.committed(room);
    records.extend(bench.committed(Room::default()));
    assert_eq!((gaps(&records), bench.forward.counters().durable), (vec![], 3));
}

#[test]
fn what_the_disk_has_lost_before_its_oldest_readings_does_not_keep_them_from_being_freed() {
    let now_ms = SimClock::set().now(0).wall.0;
    let room = room(MAX_BYTES + 1, Some((3, 4, now_ms)), false);
    let mut bench = Bench::new(Settings { max_bytes: MAX_BYTES, ..settings() });
    bench.committed(Room::default());
    for _ in 0..5 {
        bench.second(Room::default());
    }
    // Nobody has looked for 1 and 2 yet, for there is no link.
    bench.second(room);
    let records = bench.committed(room);
    assert_eq!(gaps(&records), [(1, 2, GapReason::Damage), (3, 4, GapReason::SpaceEnded)]);
    assert_eq!(bench.freed, [(Lane::Readings, 4)]);
    assert_eq!(gaps(&bench.second(room)), []);
}

#[test]
fn how_far_uplinks_are_is_not_kept_before_the_record_of_a_gap_that_they_have_passed() {
    let now_ms = SimClock::set().now(0).wall.0;
    let room = room(MAX_BYTES + 1, Some((1, 2, now_ms)), false);
    let uplinks = vec![Uplink::new("mqtt"), Uplink { frees: false, ..Uplink::new("mirror") }];
    let mut bench = Bench::new(Settings { max_bytes: MAX_BYTES, uplinks, ..settings() });
    bench.committed(Room::default());
    for _ in 0..4 {
        bench.second(Room::default());
    }
    bench.second(room);
    bench.pass(100_000);
    assert_eq!(bench.kept, [], "the disk has not answered yet");
}

#[test]
fn what_the_disk_refuses_to_give_back_it_is_asked_for_again() {
    let now_ms = SimClock::set().now(0).wall.0;
    let room = room(MAX_BYTES + 1, Some((1, 2, now_ms)), false);
    let mut bench = Bench::new(Settings { max_bytes: MAX_BYTES, ..settings() });
    bench.committed(Room::default());
    for _ in 0..4 {
        bench.second(Room::default());
    }
    bench.second(room);
    bench.committed(room);
    assert_eq!(bench.freed, [(Lane::Readings, 2)]);
    bench.handle(Input::SpoolFailed("input/output error".into()));
    bench.committed(room);
    assert_eq!(bench.freed, [(Lane::Readings, 2); 2]);
    bench.second(Room::default());
    assert_eq!(bench.freed, [(Lane::Readings, 2); 2], "it has given it back");
}

#[test]
fn readings_that_are_neither_old_nor_too_many_stay() {
    let now_ms = SimClock::set().now(0).wall.0;
    let old_ms = now_ms - 8 * DAY_MS as i64;
    for (max_age_ms, room) in [
        (None, room(MAX_BYTES, Some((1, 3, old_ms)), false)),
        (Some(9 * DAY_MS), room(MAX_BYTES, Some((1, 3, old_ms)), false)),
        (Some(7 * DAY_MS), room(MAX_BYTES + 1, None, false)),
    ] {
        let mut bench = Bench::new(Settings { max_bytes: MAX_BYTES, max_age_ms, ..settings() });
        bench.committed(Room::default());
        bench.second(room);
        bench.pass(60_000);
        assert_eq!((bench.commit, bench.freed), (None, vec![]));
    }
}

#[test]
fn on_a_disk_that_stays_full_readings_are_dropped_and_counted_and_alerts_are_kept() {
    let full = room(1_000, None, true);
    let mut bench = Bench::new(settings());
    bench.committed(Room::default());
    bench.second(full);
    assert_eq!(bench.alarms, [AlertPhase::Open], "A5");
    bench.committed(full);
    let kept = bench.forward.counters().rows_kept;
    for _ in 0..5 {
        bench.row();
    }
    assert_eq!((bench.forward.counters().rows_kept, bench.forward.counters().rows_dropped), (kept, 5));
    bench.handle(Input::Handover(Handover::Alert(alert())));
    let records = bench.committed(full);
    assert!(matches!(records[..], [Record::Alert(_)]), "{records:?}");
    // Nothing is there to be committed; it asks how the disk is.
    bench.pass(10_000);
    assert_eq!(bench.commit, Some((vec![], vec![])));
    bench.committed(Room::default());
    bench.row();
    assert_eq!(bench.forward.counters().rows_kept, kept + 1);
    assert_eq!(bench.alarms, [AlertPhase::Open, AlertPhase::Clear]);
}

#[test]
fn behind_a_row_that_the_side_file_refused_nothing_is_logged_until_it_can_be_understood_again() {
    let mut bench = Bench::new(settings());
    bench.committed(Room::default());
    bench.row();
    bench.handle(Input::LogFailed("no space left".into()));
    bench.committed(Room::default());
    bench.side.clear();
    bench.row();
    assert_eq!((bench.side.len(), bench.alarms.len()), (0, 1), "told (A5), and in memory until the next commit");
    bench.pass(1_000);
    bench.row();
    bench.row();
    bench.committed(Room::default());
    // A killed process leaves what is in the second file.
    let side_files = vec![bench.side.iter().flat_map(|(_, bytes)| bytes.clone()).collect()];
    let mut found = Found { side_files, ..bench.journal.found(EPOCH) };
    assert_eq!(recover(&settings().agent, &mut found, &mut bench.journal).unwrap(), 2);
}

#[test]
fn a_look_at_a_full_disk_that_is_refused_is_repeated() {
    let full = room(1_000, None, true);
    let mut bench = Bench::new(settings());
    bench.committed(Room::default());
    bench.second(full);
    bench.committed(full);
    bench.pass(10_000);
    assert_eq!(bench.commit.take(), Some((vec![], vec![])));
    let error = "read-only file system".into();
    bench.handle(Input::CommitFailed { alerts: vec![], readings: vec![], error, room: full });
    for _ in 0..20 {
        if let Some((at, _)) = bench.forward.poll_timeout().filter(|_| bench.commit.is_none()) {
            bench.ms = bench.ms.max(at.0);
            bench.forward.handle_timeout(bench.now());
            bench.poll();
        }
    }
    assert_eq!(bench.commit, Some((vec![], vec![])), "and no deadline stays due for ever");
}

#[test]
fn what_an_uplink_does_not_find_on_disk_is_declared_even_where_it_is_the_oldest() {
    let mut bench = Bench::new(settings());
    bench.committed(Room::default());
    (0..3).for_each(|_| drop(bench.second(Room::default())));
    bench.handle(Input::Connected { uplink: 0 });
    bench.handle(Input::Disconnected { uplink: 0, reason: "cut".into() });
    bench.handle(Input::Connected { uplink: 0 });
    let values = bench.journal.read(Lane::Readings, 3, usize::MAX).unwrap();
    bench.handle(Input::Read { uplink: 0, lane: Lane::Readings, values });
    assert_eq!(gaps(&bench.committed(Room::default())), [(1, 2, GapReason::Damage)], "A4");
}

/// Rows that the disk has taken beside the commits, one for each `Log` that names one, whatever append it refuses.
#[test]
fn whatever_append_is_refused_the_rows_that_were_kept_are_rebuilt_after_a_kill() {
    for refused in 0..24 {
        let mut bench = Bench::new(settings());
        bench.committed(Room::default());
        let (mut appends, mut kept) = (0, Vec::new());
        for step in 0..20 {
            // Two devices, and a clock that is set in between: blocks open and close within a file.
            let device = step % 2;
            let time_ms = bench.now().wall.0;
            let row = Row { time_ms, readings: vec![Err(NoData::Timeout); 2], scores: vec![None; 2] };
            bench
                .forward
                .handle(Input::Handover(Handover::Row { device, synced: step / 5 % 2 == 0, row }), bench.now());
            let before = bench.side.len();
            bench.poll();
            if bench.side.len() > before && appends == refused {
                bench.side.pop();
                bench.handle(Input::LogFailed("no space left".into()));
            } else if bench.side.len() > before {
                kept.push((device, time_ms));
            }
            appends += bench.side.len().saturating_sub(before);
            bench.ms += 1;
            if step == 12 {
                bench.pass(1_000);
                bench.committed(Room::default());
            }
        }
        let mut files = std::collections::BTreeMap::<u64, Vec<u8>>::new();
        bench.side.iter().for_each(|(file, bytes)| files.entry(*file).or_default().extend(bytes));
        let mut found = Found { side_files: files.into_values().collect(), ..bench.journal.found(EPOCH) };
        recover(&settings().agent, &mut found, &mut bench.journal).unwrap();
        let saved = rows(&bench.journal);
        let missing: Vec<_> = kept.iter().filter(|row| !saved.contains(row)).collect();
        assert!(missing.is_empty(), "append {refused} refused: {missing:?}");
    }
}

/// Device and time of each row on disk.
fn rows(journal: &MemoryJournal) -> Vec<(usize, i64)> {
    let names: Vec<String> = settings().devices.iter().map(|device| device.device.clone()).collect();
    let mut rows = Vec::new();
    for seq in (1..100).chain(70_000..70_100) {
        let Some(bytes) = journal.value(Lane::Readings, seq) else { continue };
        if let Record::Block(block) = Envelope::decode(bytes).unwrap().record {
            let device = names.iter().position(|name| *name == block.device).unwrap();
            rows.extend(block.times().iter().map(|time| (device, *time)));
        }
    }
    rows
}

/// A killed process has left rows in a side file; its journal is given too.
fn killed_with_rows(rows: usize) -> (Bench, Found) {
    let mut bench = Bench::new(settings());
    bench.committed(Room::default());
    (0..rows).for_each(|_| bench.row());
    let side_files = vec![bench.side.iter().flat_map(|(_, bytes)| bytes.clone()).collect()];
    let found = Found { side_files, ..bench.journal.found(EPOCH) };
    (bench, found)
}

/// The disk takes nothing.
struct Dead(MemoryJournal);

impl Journal for Dead {
    fn commit(&mut self, _: &[Numbered], _: &[Numbered]) -> Result<(), JournalError> {
        Err(JournalError("no space left".into()))
    }

    fn read(&mut self, lane: Lane, from: Seq, max_bytes: usize) -> Result<Vec<Numbered>, JournalError> {
        self.0.read(lane, from, max_bytes)
    }

    fn free(&mut self, _: Lane, _: Seq) -> Result<(), JournalError> {
        Err(JournalError("no space left".into()))
    }

    fn keep(&mut self, _: Note, _: &[u8]) -> Result<(), JournalError> {
        Err(JournalError("no space left".into()))
    }

    fn room(&self) -> Room {
        Room::default()
    }
}

#[test]
fn a_start_waits_for_no_disk_and_what_stood_in_side_files_is_in_the_first_commit() {
    // After a power cut the lane goes on above numbers that may have been given out, those of the side files among them.
    for high_water in [0, 70_000] {
        let (bench, mut found) = killed_with_rows(3);
        found.readings.high_water = high_water;
        (1..=high_water).for_each(|seq| found.readings.skipped.insert(SeqRange { first: seq, last: seq }));
        let mut dead = Dead(bench.journal);
        assert_eq!(recover(&settings().agent, &mut found, &mut dead).unwrap(), 3);
        let forward = Forward::new(settings(), &found, bench.clock.now(0));
        let mut bench = Bench { forward, journal: dead.0, commit: None, side: Vec::new(), alarms: Vec::new(), ..bench };
        bench.poll();
        bench.pass(0);
        let (alerts, readings) = bench.commit.take().expect("it is tried at once");
        let no_room = Input::CommitFailed { alerts, readings, error: "no space left".into(), room: Room::default() };
        bench.handle(no_room);
        assert_eq!(bench.alarms, [AlertPhase::Open], "A5");
        bench.row();
        assert_eq!(bench.side.len(), 1, "rows go on to be kept");
        bench.pass(2_000);
        let gaps = bench.committed(Room::default());
        let is_loss = |record: &Record| matches!(record, Record::Gap(gap) if gap.reason != GapReason::Skipped);
        assert!(!gaps.iter().any(is_loss), "{gaps:?}");
        bench.pass(2_000);
        if bench.commit.is_some() {
            bench.committed(Room::default());
        }
        assert_eq!(rows(&bench.journal).len(), 4, "high water {high_water}");
        assert_eq!(bench.alarms.last(), Some(&AlertPhase::Clear));
    }
}

#[test]
fn a_side_file_that_has_come_back_says_nothing_of_what_has_been_through_a_commit() {
    let (mut bench, mut found) = killed_with_rows(3);
    // The commit was complete, and the medium has lost its block since.
    found.readings.complete = 1;
    found.readings.high_water = 1;
    assert_eq!(recover(&settings().agent, &mut found, &mut bench.journal).unwrap(), 0);
    assert_eq!(found.readings.holes(), [SeqRange { first: 1, last: 1 }], "the loss is told");
    assert_eq!(bench.journal.value(Lane::Readings, 1), None, "A2: no other block takes the number");
}

/// A commit that takes half a minute: nothing waits but the spool, and what is dropped is counted.
#[test]
fn a_slow_disk_is_asked_for_one_thing_at_a_time() {
    let mut bench = Bench::new(settings());
    bench.committed(Room::default());
    bench.row();
    bench.pass(1_000);
    let mut logged = bench.side.len();
    for _ in 0..30 {
        for _ in 0..10 {
            bench.row();
            bench.pass(100);
        }
        assert!(bench.side.len() > logged, "rows stand in the side file all the while");
        logged = bench.side.len();
    }
    bench.handle(Input::Handover(Handover::Alert(alert())));
    assert_eq!((bench.forward.counters().rows_dropped, bench.freed.len()), (0, 0));
    bench.committed(Room::default());
    let records = bench.committed(Room::default());
    assert!(matches!(records[..], [Record::Alert(_)]), "what has waited goes in one commit, the alert with it");
    bench.pass(1_000);
    assert_eq!(bench.forward.counters().rows_kept, 301);

    // For ever: what fits is kept, the rest is counted.
    bench.row();
    bench.pass(1_000);
    let (taken, kept) = (60_000, bench.forward.counters().rows_kept);
    for index in 0..taken {
        // Time that goes back begins another block with every row.
        bench.row_at(-index);
    }
    let counters = bench.forward.counters();
    assert!(counters.rows_dropped > 0);
    assert_eq!(counters.rows_kept - kept + counters.rows_dropped, taken as u64);
}

fn alert() -> Alert {
    Alert {
        id: 1,
        phase: AlertPhase::Open,
        kind: AlertKind::Anomaly,
        severity: Severity::Warning,
        location: String::new(),
        device: "device-0".into(),
        channel: String::new(),
        opened_ms: 0,
        at_ms: 0,
        synced: true,
        value: None,
        unit: String::new(),
        wind_speed: None,
        score: None,
        threshold: None,
        evidence: String::new(),
    }
}
