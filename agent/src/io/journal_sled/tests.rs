//! The journal on a real disk: the same operations as the journal in memory, reopening, damage.

use super::*;
use crate::forward::journal::{MemoryJournal, Note};
use proptest::prelude::*;
use windward_protocol::{AgentId, Envelope, Gap, GapReason, Record};

const EPOCH: Epoch = 7;

fn value(lane: Lane, seq: Seq) -> Numbered {
    let record = Record::Gap(Gap { lane, from: seq, to: seq, reason: GapReason::Refused });
    let envelope = Envelope { agent: AgentId::new("a").unwrap(), epoch: EPOCH, lane, seq, record };
    (seq, envelope.encode().unwrap())
}

fn values(lane: Lane, seqs: std::ops::RangeInclusive<Seq>) -> Vec<Numbered> {
    seqs.map(|seq| value(lane, seq)).collect()
}

fn open(dir: &Path) -> (SledJournal, Found) {
    SledJournal::open(dir, EPOCH, "test").unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Commit { alerts: u64, readings: u64 },
    Read { readings: bool, from: Seq, max_bytes: usize },
    Free { readings: bool, through: Seq },
    KeepEras(Vec<u8>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3u64, 0..20u64).prop_map(|(alerts, readings)| Step::Commit { alerts, readings }),
        (any::<bool>(), 1..100u64, 0..2000usize).prop_map(|(readings, from, max_bytes)| Step::Read {
            readings,
            from,
            max_bytes
        }),
        (any::<bool>(), 1..100u64).prop_map(|(readings, through)| Step::Free { readings, through }),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Step::KeepEras),
        Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn disk_and_memory_agree(steps in prop::collection::vec(step(), 1..25)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, _) = open(dir.path());
        let mut memory = MemoryJournal::default();
        let mut next = [1; 2];
        let lane = |readings| if readings { Lane::Readings } else { Lane::Alerts };
        for step in steps {
            match step {
                Step::Commit { alerts, readings } => {
                    let new = [
                        values(Lane::Alerts, next[0]..=next[0] + alerts - u64::from(alerts > 0)),
                        values(Lane::Readings, next[1]..=next[1] + readings - u64::from(readings > 0)),
                    ];
                    next = [next[0] + new[0].len() as u64, next[1] + new[1].len() as u64];
                    disk.commit(&new[0], &new[1]).unwrap();
                    memory.commit(&new[0], &new[1]).unwrap();
                }
                Step::Read { readings, from, max_bytes } => {
                    let acked = memory.found(EPOCH).acked(lane(readings));
                    // What is acked may be gone or may still be there.
                    let from = from.max(acked + 1);
                    let (ours, reference) = (disk.read(lane(readings), from, max_bytes), memory.read(lane(readings), from, max_bytes));
                    prop_assert_eq!(ours.unwrap(), reference.unwrap());
                }
                Step::Free { readings, through } => {
                    let through = through.min(next[usize::from(readings)] - 1);
                    disk.free(lane(readings), through).unwrap();
                    memory.free(lane(readings), through).unwrap();
                }
                Step::KeepEras(eras) => {
                    disk.keep(Note::Eras, &eras).unwrap();
                    memory.keep(Note::Eras, &eras).unwrap();
                }
                Step::Reopen => {
                    drop(disk);
                    let found;
                    (disk, found) = open(dir.path());
                    prop_assert_eq!(found, memory.found(EPOCH));
                }
            }
        }
    }
}

#[test]
fn an_emptied_spool_does_not_start_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=100)).unwrap();
    journal.free(Lane::Readings, 100).unwrap();
    drop(journal);
    let (_, found) = open(dir.path());
    assert_eq!((found.readings.acked, found.readings.high_water), (100, 100), "A2");
    assert!(found.readings.present.is_empty());
}

#[test]
fn a_second_agent_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=1)).unwrap();
    let second = SledJournal::open(dir.path(), EPOCH, "test").unwrap_err();
    assert!(second.to_string().contains("in use by another process"), "{second}");
}

fn five_thousand_readings(dir: &Path) -> PathBuf {
    let (mut journal, _) = open(dir);
    for first in (1..5000).step_by(100) {
        journal.commit(&[], &values(Lane::Readings, first..=first + 99)).unwrap();
    }
    dir.join("readings").join(format!("{:020}", 1))
}

fn saved(found: &Found) -> u64 {
    found.readings.present.ranges().map(|range| range.last - range.first + 1).sum()
}

fn still_works(mut journal: SledJournal, found: &Found) {
    let next = found.readings.high_water + 1;
    journal.commit(&[], &values(Lane::Readings, next..=next)).unwrap();
    assert_eq!(journal.read(Lane::Readings, next, 1).unwrap(), values(Lane::Readings, next..=next));
}

#[test]
fn what_sled_leaves_out_of_a_damaged_file_is_salvaged_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let db = five_thousand_readings(dir.path()).join("db");
    // A page of zeros in the middle: sled opens it, and gives less than half of the values without an error.
    let mut bytes = fs::read(&db).unwrap();
    let places: Vec<usize> = (0..bytes.len() - 4).filter(|&at| &bytes[at..at + 4] == b"WWv1").collect();
    let middle = places[places.len() / 2];
    bytes[middle..middle + 4096].fill(0);
    fs::write(&db, &bytes).unwrap();

    let (journal, found) = open(dir.path());
    assert_eq!(found.damage.len(), 1, "{:?}", found.damage);
    assert!((4900..5000).contains(&saved(&found)), "{} of 5000 values", saved(&found));
    assert!(found.readings.high_water >= 5000, "A2: numbers given out before the damage are not given out again");
    still_works(journal, &found);
}

#[test]
fn a_generation_that_does_not_open_is_set_aside_and_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    let generation = five_thousand_readings(dir.path());
    fs::remove_file(generation.join("conf")).unwrap();
    fs::create_dir(generation.join("conf")).unwrap();

    let (journal, found) = open(dir.path());
    assert_eq!(found.damage.len(), 1, "{:?}", found.damage);
    assert_eq!(saved(&found), 5000);
    assert!(dir.path().join("quarantine").read_dir().unwrap().count() == 1);
    still_works(journal, &found);
}

#[test]
fn a_lost_mark_begins_a_new_epoch_and_keeps_the_old_spool_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=10)).unwrap();
    drop(journal);
    fs::write(dir.path().join("mark"), b"nonsense").unwrap();
    let (_, found) = SledJournal::open(dir.path(), 8, "test").unwrap();
    assert_eq!((found.epoch, found.readings.high_water), (8, 0));
    assert!(found.damage[0].contains("mark"), "{:?}", found.damage);
}

#[test]
fn a_damaged_file_of_eras_is_no_eras_and_nothing_worse() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=10)).unwrap();
    journal.keep(Note::Eras, b"something").unwrap();
    drop(journal);
    assert_eq!(open(dir.path()).1.eras, b"something");
    fs::write(dir.path().join("eras"), b"nonsense").unwrap();
    let (_, found) = open(dir.path());
    assert_eq!((found.eras, found.damage, found.readings.high_water), (Vec::new(), Vec::new(), 10));
}

#[test]
fn the_oldest_readings_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=10)).unwrap();
    assert_eq!(journal.drop_oldest_readings().unwrap(), None, "what is being written stays");
    journal.lanes[1].generations.values_mut().for_each(|generation| generation.bytes = GENERATION_BYTES + 1);
    journal.commit(&[], &values(Lane::Readings, 11..=20)).unwrap();
    assert_eq!(journal.drop_oldest_readings().unwrap(), Some(SeqRange { first: 1, last: 10 }), "A4");
    assert_eq!(journal.read(Lane::Readings, 1, 1).unwrap(), values(Lane::Readings, 11..=11));
}
