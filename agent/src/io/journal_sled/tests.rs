//! The journal on a real disk: the same operations as the journal in memory, reopening, damage.

use super::*;
use crate::forward::journal::conformance::{self, EPOCH, value};
use proptest::prelude::*;
use windward_protocol::SeqRange;

fn values(lane: Lane, seqs: std::ops::RangeInclusive<Seq>) -> Vec<Numbered> {
    seqs.map(|seq| value(lane, seq)).collect()
}

/// A spool of small generations without a ballast.
fn options() -> Options {
    Options { epoch: EPOCH, boot: 1, label: "test".into(), generation_bytes: 1024 * 1024, ballast_bytes: 0 }
}

fn open(dir: &Path) -> (SledJournal, Found) {
    SledJournal::open(dir, &options()).unwrap()
}

fn range(first: Seq, last: Seq) -> SeqRange {
    SeqRange { first, last }
}

/// What a killed process leaves: a copy, made while the journal is open.
fn left_by_a_kill(dir: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let image = tempfile::tempdir().unwrap();
    copy(dir, image.path());
    image
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn disk_and_memory_agree(seed: u64, generation_bytes in 100..3000u64) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { generation_bytes, ..options() };
        conformance::check(seed, 40, |before: Option<SledJournal>| {
            drop(before);
            SledJournal::open(dir.path(), &options).unwrap()
        });
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
    let second = SledJournal::open(dir.path(), &options()).unwrap_err();
    assert!(second.to_string().contains("in use by another process"), "{second}");
}

/// A killed process leaves five thousand readings in one generation, whose directory is given as well.
fn five_thousand_readings() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    for first in (1..5000).step_by(100) {
        journal.commit(&[], &values(Lane::Readings, first..=first + 99)).unwrap();
    }
    let image = left_by_a_kill(dir.path());
    let generation = image.path().join("readings").join(format!("{:020}", 1));
    (image, generation)
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
    let (dir, generation) = five_thousand_readings();
    let db = generation.join("db");
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
    let (dir, generation) = five_thousand_readings();
    fs::remove_file(generation.join("conf")).unwrap();
    fs::create_dir(generation.join("conf")).unwrap();

    let (journal, found) = open(dir.path());
    assert_eq!(found.damage.len(), 1, "{:?}", found.damage);
    assert_eq!(saved(&found), 5000);
    assert!(dir.path().join("quarantine").read_dir().unwrap().count() == 1);
    still_works(journal, &found);
}

#[test]
fn of_a_lost_mark_everything_is_found_out_from_the_generations() {
    let no_mark: fn(&Path) = |mark| fs::remove_file(mark).unwrap();
    let nonsense: fn(&Path) = |mark| fs::write(mark, b"nonsense").unwrap();
    for spoil in [no_mark, nonsense] {
        for is_closed in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let (mut journal, _) = in_hundreds(dir.path(), 1_000);
            journal.free(Lane::Readings, 150).unwrap();
            journal.commit(&values(Lane::Alerts, 1..=3), &[]).unwrap();
            let image = left_by_a_kill(dir.path());
            drop(journal);
            let dir = if is_closed { dir } else { image };
            spoil(&dir.path().join("mark"));
            let (mut journal, found) = SledJournal::open(dir.path(), &Options { epoch: 8, ..options() }).unwrap();
            assert_eq!(found.epoch, EPOCH);
            assert!(found.damage.len() == 1 && found.damage[0].contains("mark"), "{:?}", found.damage);
            let acked = found.readings.acked;
            assert!((90..=150).contains(&acked), "generations gone before {acked} were acked");
            assert_eq!(all_readings(&mut journal, acked + 1), values(Lane::Readings, acked + 1..=1_000));
            assert_eq!(journal.read(Lane::Alerts, 1, 4_000).unwrap(), values(Lane::Alerts, 1..=3));
            assert_eq!(found.readings.high_water, 1_000 + RESERVE, "A2");
            assert_eq!((found.readings.skips(), found.readings.holes()), (vec![range(1_001, 1_000 + RESERVE)], vec![]));
            still_works(journal, &found);
        }
    }
}

#[test]
fn either_half_of_the_mark_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    for round in 0..4 {
        let first = round * 10 + 1;
        journal.commit(&[], &values(Lane::Readings, first..=first + 9)).unwrap();
        journal.free(Lane::Readings, first + 4).unwrap();
        for half in [0, 4096] {
            let image = left_by_a_kill(dir.path());
            let mark = image.path().join("mark");
            let mut bytes = fs::read(&mark).unwrap();
            bytes[half + 9] ^= 1;
            fs::write(&mark, bytes).unwrap();
            let (_, found) = SledJournal::open(image.path(), &Options { epoch: 8, ..options() }).unwrap();
            assert_eq!((found.epoch, &found.damage[..], found.readings.holes()), (EPOCH, &[][..], vec![]));
            assert!(found.readings.acked <= first + 4 && found.readings.present.contains(first + 9), "A3: {found:?}");
            assert!(found.readings.high_water > 1_000, "A2: the half that is lost may have known of more");
        }
    }
}

#[test]
fn a_lane_that_was_emptied_does_not_start_again_when_the_mark_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&values(Lane::Alerts, 1..=3), &values(Lane::Readings, 1..=100)).unwrap();
    drop(journal);
    let (mut journal, _) = open(dir.path());
    journal.free(Lane::Readings, 100).unwrap();
    assert!(!names::generation(&dir.path().join("readings"), 1).exists());
    drop(journal);
    fs::remove_file(dir.path().join("mark")).unwrap();
    let (_, found) = open(dir.path());
    assert_eq!((found.epoch, found.readings.acked), (EPOCH, 100));
    assert!(found.readings.high_water > 100, "A2");
}

#[test]
fn where_not_even_the_generations_say_what_they_are_a_new_epoch_begins_and_they_are_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let generation = names::generation(&dir.path().join("readings"), 1);
    fs::create_dir_all(&generation).unwrap();
    fs::write(generation.join("db"), b"nonsense").unwrap();
    let (_, found) = SledJournal::open(dir.path(), &Options { epoch: 8, ..options() }).unwrap();
    assert_eq!((found.epoch, found.readings.high_water), (8, 0));
    assert!(found.damage[0].contains("set aside"), "{:?}", found.damage);
}

#[test]
fn what_a_commit_has_only_begun_with_does_not_count_as_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=10)).unwrap();
    let begun = values(Lane::Readings, 12..=14);
    let generation = journal.lanes[1].generation_in_use();
    generation.append(begun.iter().map(|(seq, envelope)| (*seq, &envelope[..])), false).unwrap();
    let (_, found) = open(left_by_a_kill(dir.path()).path());
    assert_eq!((found.readings.complete, found.readings.high_water), (10, 14));
    journal.commit(&[], &values(Lane::Readings, 11..=15)).unwrap();
    assert_eq!(open(left_by_a_kill(dir.path()).path()).1.readings.complete, 15);
    drop(journal);
    assert_eq!(open(dir.path()).1.readings.complete, 15, "sealed");
}

#[test]
fn what_is_damaged_after_a_power_cut_is_complete_as_far_as_numbers_may_have_been_given_out() {
    let (dir, generation) = five_thousand_readings();
    fs::remove_file(generation.join("conf")).unwrap();
    fs::create_dir(generation.join("conf")).unwrap();
    let options = Options { boot: 2, ..options() };
    let (_journal, found) = SledJournal::open(dir.path(), &options).unwrap();
    assert_eq!(found.readings.complete, found.readings.high_water, "no side file says what was lost (A2)");
    // Killed while the side files are there still: what was damaged is set aside, and nothing tells of it any more.
    let (_, again) = SledJournal::open(left_by_a_kill(dir.path()).path(), &options).unwrap();
    assert_eq!(again.readings.complete, found.readings.complete);
}

#[test]
fn a_mending_that_was_killed_at_any_place_is_brought_to_its_end() {
    let (dir, generation) = five_thousand_readings();
    let readings = dir.path().join("readings");
    let mending = names::mending(&readings, 1);
    let opens_whole = |dir: &Path| {
        let (journal, found) = open(dir);
        assert_eq!((found.damage.clone(), saved(&found)), (vec![], 5000));
        assert!(!names::mending(&dir.join("readings"), 1).exists());
        still_works(journal, &found);
    };
    // Before the damaged one has gone: what was made to take its place may be half.
    fs::create_dir(&mending).unwrap();
    fs::write(mending.join("db"), b"half").unwrap();
    opens_whole(left_by_a_kill(dir.path()).path());
    // After it has gone.
    fs::remove_dir_all(&mending).unwrap();
    fs::rename(&generation, &mending).unwrap();
    opens_whole(left_by_a_kill(dir.path()).path());
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

/// Readings in generations of a hundred.
fn in_hundreds(dir: &Path, last: Seq) -> (SledJournal, Options) {
    let options = Options {
        generation_bytes: values(Lane::Readings, 101..=200).iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        ..options()
    };
    let (mut journal, _) = SledJournal::open(dir, &options).unwrap();
    for first in (1..last).step_by(10) {
        journal.commit(&[], &values(Lane::Readings, first..=first + 9)).unwrap();
    }
    (journal, options)
}

fn all_readings(journal: &mut SledJournal, mut from: Seq) -> Vec<Numbered> {
    let mut all = Vec::new();
    loop {
        let part = journal.read(Lane::Readings, from, 4_000).unwrap();
        let Some((last, _)) = part.last() else { return all };
        from = last + 1;
        all.extend(part);
    }
}

#[test]
fn what_was_closed_with_all_of_it_acked_does_not_stand_before_the_oldest_readings() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=100)).unwrap();
    journal.free(Lane::Readings, 100).unwrap();
    drop(journal);
    let (mut journal, found) = open(dir.path());
    assert_eq!((journal.room(), found.readings.high_water), (Room::default(), 100));
    journal.commit(&[], &values(Lane::Readings, 101..=200)).unwrap();
    drop(journal);
    let (journal, _) = open(dir.path());
    assert_eq!(journal.room().oldest.map(|oldest| oldest.range), Some(range(101, 200)));
}

#[test]
fn the_oldest_readings_are_named_and_stay_until_they_are_freed() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, options) = in_hundreds(dir.path(), 90);
    assert_eq!(journal.room().oldest, None, "what is being written stays");
    drop(journal);
    let (mut journal, _) = SledJournal::open(dir.path(), &options).unwrap();
    journal.commit(&[], &values(Lane::Readings, 91..=250)).unwrap();
    let oldest = journal.room().oldest.unwrap();
    assert_eq!((oldest.range.first, oldest.newest_ms), (1, None));
    let (before, last) = (journal.room().readings_bytes, oldest.range.last);
    assert_eq!(journal.read(Lane::Readings, 1, 1).unwrap(), values(Lane::Readings, 1..=1), "A4: named, not removed");
    journal.commit(&[], &values(Lane::Readings, 251..=260)).unwrap();
    journal.free(Lane::Readings, last).unwrap();
    assert_eq!(journal.read(Lane::Readings, 1, 1).unwrap(), values(Lane::Readings, last + 1..=last + 1));
    assert!(journal.room().readings_bytes < before);
}

#[test]
fn sealed_generations_stay_closed_until_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, options) = in_hundreds(dir.path(), 1_000);
    assert_eq!(journal.lanes[1].open_count(), 1, "the one in use");
    drop(journal);
    let (mut reopened, found) = SledJournal::open(dir.path(), &options).unwrap();
    assert_eq!(found.readings.present.ranges().collect::<Vec<_>>(), [range(1, 1_000)]);
    assert!(reopened.lanes[1].open_count() <= 1);
    assert_eq!(all_readings(&mut reopened, 1), values(Lane::Readings, 1..=1_000));
    assert!(reopened.lanes[1].open_count() <= 3, "one in use, two to read");
    journal = reopened;
    journal.free(Lane::Readings, 1_000).unwrap();
    journal.commit(&[], &values(Lane::Readings, 1_001..=1_001)).unwrap();
    assert!(fs::read_dir(dir.path().join("readings")).unwrap().count() <= 2);
}

#[test]
fn damage_of_a_sealed_generation_is_found_when_it_is_read_and_the_rest_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, options) = in_hundreds(dir.path(), 1_000);
    drop(journal);
    let mut sealed: Vec<PathBuf> =
        fs::read_dir(dir.path().join("readings")).unwrap().map(|entry| entry.unwrap().path()).collect();
    sealed.sort();
    let db = sealed[3].join("db");
    let mut bytes = fs::read(&db).unwrap();
    let first: Seq = sealed[3].file_name().unwrap().to_str().unwrap().parse().unwrap();
    // Everywhere, for sled has written its pages several times.
    for (_, value) in values(Lane::Readings, first + 5..=first + 9) {
        while let Some(at) = bytes.windows(value.len()).position(|place| place == value) {
            bytes[at + 7] ^= 1;
        }
    }
    fs::write(&db, &bytes).unwrap();

    let (mut journal, found) = SledJournal::open(dir.path(), &options).unwrap();
    assert_eq!((found.damage.len(), saved(&found)), (0, 1_000), "a start does not look into it");
    let read = all_readings(&mut journal, 1);
    assert_eq!(read.len(), 995);
    assert!(read.iter().all(|(seq, bytes)| *bytes == value(Lane::Readings, *seq).1) && read.is_sorted());
    assert_eq!(dir.path().join("quarantine").read_dir().unwrap().count(), 1);
    journal.commit(&values(Lane::Alerts, 1..=1), &values(Lane::Readings, 1_001..=1_001)).unwrap();
    drop(journal);
    let (mut journal, found) = SledJournal::open(dir.path(), &options).unwrap();
    assert_eq!((found.damage, all_readings(&mut journal, 1).len()), (vec![], 996));
}

#[test]
fn after_a_power_cut_no_number_is_used_that_may_have_been_given_out() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=10)).unwrap();
    let (killed, cut) = (left_by_a_kill(dir.path()), left_by_a_kill(dir.path()));
    drop(journal);

    let (_, found) = open(killed.path());
    assert_eq!((found.readings.high_water, found.readings.skips()), (10, vec![]), "the page cache survives a kill");

    let next_boot = Options { boot: 2, ..options() };
    let (mut journal, found) = SledJournal::open(cut.path(), &next_boot).unwrap();
    let reserved = 10 + RESERVE;
    assert_eq!(found.readings.high_water, reserved, "A2");
    assert_eq!((found.readings.skips(), found.readings.holes()), (vec![range(11, reserved)], vec![]));
    journal.commit(&[], &values(Lane::Readings, reserved + 1..=reserved + 5)).unwrap();
    drop(journal);
    let (mut journal, found) = SledJournal::open(cut.path(), &Options { boot: 3, ..options() }).unwrap();
    assert_eq!(found.readings.high_water, reserved + 5, "closed in order");
    assert_eq!(
        (found.readings.skips(), found.readings.holes()),
        (vec![range(11, reserved)], vec![]),
        "no loss afterwards"
    );
    journal.free(Lane::Readings, reserved + 5).unwrap();
    drop(journal);
    assert!(SledJournal::open(cut.path(), &next_boot).unwrap().1.readings.skipped.is_empty());
}

/// As a kill leaves it, with everything that sled has written made unreadable.
fn spoiled(dir: &Path) -> tempfile::TempDir {
    let spoiled = left_by_a_kill(dir);
    for lane in Lane::DURABLE {
        for generation in fs::read_dir(spoiled.path().join(lane.name())).unwrap().flatten() {
            let db = generation.path().join("db");
            let mut bytes = fs::read(&db).unwrap();
            bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55);
            fs::write(&db, &bytes).unwrap();
        }
    }
    spoiled
}

#[test]
fn a_medium_that_forgets_without_a_power_cut_gives_no_number_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=10)).unwrap();
    // A second life, of whose numbers no start knows.
    let killed = left_by_a_kill(dir.path());
    let (mut journal, _) = open(killed.path());
    journal.commit(&[], &values(Lane::Readings, 11..=40)).unwrap();
    let spoiled = spoiled(killed.path());
    drop(journal);

    let (_, found) = open(spoiled.path());
    assert!(found.readings.high_water >= 40, "A2: {:?}", found.readings);
    assert!(!found.damage.is_empty());
    assert!(
        found.readings.holes().first().is_some_and(|hole| hole.first == 1 && hole.last >= 10),
        "told as lost: {found:?}"
    );
}

#[test]
fn what_a_side_file_saves_where_numbers_were_skipped_was_given_out() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=10)).unwrap();
    let cut = left_by_a_kill(dir.path());
    drop(journal);
    let next_boot = Options { boot: 2, ..options() };
    let (mut journal, _) = SledJournal::open(cut.path(), &next_boot).unwrap();
    journal.commit(&[], &values(Lane::Readings, 12..=13)).unwrap();
    drop(journal);
    let (_, found) = SledJournal::open(cut.path(), &next_boot).unwrap();
    let skipped: Vec<SeqRange> = found.readings.skipped.ranges().collect();
    assert_eq!(skipped, [range(11, 11), range(14, 10 + RESERVE)], "were they damaged now, it would be a loss");
}

#[test]
fn the_mark_takes_any_numbers_that_side_files_save_from_among_the_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&values(Lane::Alerts, 1..=1), &values(Lane::Readings, 1..=10)).unwrap();
    let cut = left_by_a_kill(dir.path());
    drop(journal);
    let (mut journal, _) = SledJournal::open(cut.path(), &Options { boot: 2, ..options() }).unwrap();
    let every_other = |lane| (0..400).map(|index| value(lane, 12 + 2 * index)).collect::<Vec<_>>();
    journal.commit(&every_other(Lane::Alerts), &every_other(Lane::Readings)).unwrap();
    drop(journal);
    let (_, found) = SledJournal::open(cut.path(), &Options { boot: 2, ..options() }).unwrap();
    assert_eq!((found.epoch, found.readings.skipped.range_count()), (EPOCH, 64));
}

#[test]
fn values_that_are_missing_at_the_end_of_a_spool_that_was_closed_in_order_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    journal.commit(&[], &values(Lane::Readings, 1..=10)).unwrap();
    drop(journal);
    fs::remove_dir_all(dir.path().join("readings")).unwrap();
    let (_, found) = open(dir.path());
    assert_eq!((found.damage.len(), found.readings.holes()), (1, vec![range(1, 10)]), "{:?}", found.damage);
}

#[test]
fn a_generation_is_full_after_a_day_so_that_one_is_soon_all_too_old() {
    use windward_protocol::{AgentId, BlockBuilder, Channel, Envelope, NoData, Quantity, Record, Row};
    let block = |seq: Seq, time_ms: i64, synced: bool| {
        let (agent, channel) =
            (AgentId::new("a").unwrap(), Channel { name: "w".into(), quantity: Quantity::Other, unit: String::new() });
        let mut builder = BlockBuilder::new(&agent, "mast", "", &[channel], synced);
        builder.push(&Row { time_ms, readings: vec![Err(NoData::Timeout)], scores: vec![None] }).unwrap();
        let record = Record::Block(builder.finish().unwrap());
        (seq, Envelope { agent, epoch: EPOCH, lane: Lane::Readings, seq, record }.encode().unwrap())
    };
    let hour = 3_600_000;
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    // A clock that is not set says nothing of age.
    journal.commit(&[], &[block(1, 0, false)]).unwrap();
    for seq in 2..=26 {
        assert_eq!(journal.room().oldest, None, "in use at {seq}");
        journal.commit(&[], &[block(seq, 1_000_000 * hour + seq as i64 * hour, true)]).unwrap();
    }
    let oldest = journal.room().oldest.unwrap();
    assert_eq!((oldest.range, oldest.newest_ms), (range(1, 26), Some(1_000_026 * hour)));
}
