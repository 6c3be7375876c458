//! The store on a real disk: what is written comes back, whatever happens to it in between.

use super::*;
use crate::time::Mono;
use crate::watch::checkpoint::Turns;
use proptest::prelude::*;

/// A state that no other one of these tests equals.
fn state(name: &str, version: u64, len: usize) -> State {
    let mut seed = version ^ 0x5851_f42d_4c95_7f2d;
    let mut byte = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    };
    let bytes = (0..len).map(|_| byte()).collect();
    State { name: self::name(name), fingerprint: version, saved: Wall(version as i64), bytes }
}

/// "a" is the readings of the device a, "a1" the hours of one of its channels.
fn name(name: &str) -> Name {
    let (device, place) = name.split_at(1);
    (device.into(), place.parse().map_or(Part::Readings, Part::Hours))
}

fn store(dir: &Path) -> Store {
    Store::new(dir.to_path_buf(), ["a", "a1", "b", "c"].map(name))
}

/// What is found without damage.
#[track_caller]
fn intact(dir: &Path) -> Vec<State> {
    let found = store(dir).load().unwrap();
    assert_eq!(found.damage, Vec::<String>::new());
    found.states
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { copy(&entry.path(), &to) } else { drop(fs::copy(entry.path(), to)) }
    }
}

fn size(dir: &Path) -> u64 {
    let sizes = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        if meta.is_dir() { size(&entry.path()) } else { meta.len() }
    });
    sizes.sum()
}

/// The one directory of a store.
fn only(dir: &Path) -> PathBuf {
    let numbers = list(dir).unwrap();
    assert_eq!(numbers.len(), 1, "{numbers:?}");
    path(dir, numbers[0])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_last_state_of_each_part_comes_back_whatever_was_written_together(
        saves in prop::collection::vec((0..3usize, 0..20_000usize, any::<bool>(), prop::bool::weighted(0.2)), 1..15),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, mut last, mut batch) = (store(dir.path()), BTreeMap::new(), Vec::new());
        for (version, (device, len, later, reopen)) in (1..).zip(saves) {
            // Lengths around those at which a state needs one part more.
            let len = if len % 3 == 0 { len / CHUNK * CHUNK } else { len };
            let state = state(["a", "a1", "b"][device], version, len);
            batch.push(state);
            if !later {
                disk.save(&batch).unwrap();
                last.extend(batch.drain(..).map(|state| (state.name.clone(), state)));
            }
            if reopen {
                drop(disk);
                prop_assert!(intact(dir.path()).iter().eq(last.values()));
                disk = store(dir.path());
            }
        }
        drop(disk);
        prop_assert!(intact(dir.path()).iter().eq(last.values()));
    }
}

#[test]
fn a_new_store_is_empty_and_a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = store(dir.path());
    assert_eq!(first.load().unwrap().states, []);
    let second = store(dir.path()).load().unwrap_err();
    assert!(second.contains("in use by another process"), "{second}");
    first.save(&[state("a", 1, 10)]).unwrap();
}

#[test]
fn a_device_that_is_no_longer_configured_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = Store::new(dir.path().into(), ["a", "o"].map(name));
    disk.save(&[state("a", 1, 10)]).unwrap();
    disk.save(&[state("o", 2, 10)]).unwrap();
    drop(disk);
    assert_eq!(intact(dir.path()), [state("a", 1, 10)]);
}

#[test]
fn a_crash_after_any_step_leaves_the_newest_complete_state() {
    let dir = tempfile::tempdir().unwrap();
    let after = |step: &str, expected: &[State]| {
        let image = tempfile::tempdir().unwrap();
        copy(dir.path(), image.path());
        assert_eq!(intact(image.path()), expected, "{step}");
        // It can be written to, and what was left half done does not come back.
        let mut disk = store(image.path());
        disk.save(&[state("c", 9, 5_000)]).unwrap();
        drop(disk);
        assert_eq!(intact(image.path()), [expected, &[state("c", 9, 5_000)]].concat(), "{step}");
    };
    let [old, new, other] = [state("a", 1, 30_000), state("a", 3, 30_000), state("a1", 2, 100)];
    let mut disk = store(dir.path());
    disk.load().unwrap();
    after("made", &[]);
    disk.save(std::slice::from_ref(&old)).unwrap();
    disk.save(std::slice::from_ref(&other)).unwrap();
    let both = [old, other.clone()];
    after("saved", &both);

    let mut open = disk.open.take().unwrap();
    let commit = open.write_chunks(3, &new).unwrap();
    after("chunks written", &both);
    open.sled.sync().unwrap();
    after("chunks synced", &both);
    open.commit(vec![commit]).unwrap();
    let both = [new.clone(), other];
    after("committed", &both);
    (open.last_generation, open.live) = (3, both.iter().zip([3, 2]).map(|(state, at)| live(at, state)).collect());

    // The steps of `replaced`.
    let mut next = Open::begin(dir.path(), open.number + 1, 3).unwrap();
    after("new directory made", &both);
    let one = next.write_chunks(3, &new).unwrap();
    next.sled.sync().unwrap();
    after("half copied", &both);
    next.commit(vec![one]).unwrap();
    after("one copied", &both);
    let other = next.write_chunks(2, &both[1]).unwrap();
    next.commit(vec![other]).unwrap();
    after("all copied", &both);
    let number = open.number;
    drop(open);
    fs::rename(path(dir.path(), number), dir.path().join(format!("drained-{number}"))).unwrap();
    after("renamed", &both);
    fs::remove_file(dir.path().join(format!("drained-{number}")).join("conf")).unwrap();
    after("half removed", &both);
}

#[test]
fn whatever_is_cut_or_flipped_is_told_or_harmless_and_never_comes_back_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = store(dir.path());
    let mut written = Vec::new();
    for version in 1..=12 {
        written.push(state(["a", "b"][version as usize % 2], version, 20_000));
        disk.save(&written[version as usize - 1..]).unwrap();
    }
    drop(disk);
    let (mut told, mut afresh) = (0, 0);
    for case in 0..32u64 {
        let image = tempfile::tempdir().unwrap();
        copy(dir.path(), image.path());
        let db = only(image.path()).join("db");
        let mut bytes = fs::read(&db).unwrap();
        let at = (case.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % 300_000;
        match case % 4 {
            0 => bytes[at] ^= 1 << (case / 4 % 8),
            1 => bytes[at..at + 4096].fill(0),
            2 => bytes.truncate(at),
            _ => bytes[at..at + 64].fill(0xff),
        }
        fs::write(&db, &bytes).unwrap();

        let mut disk = store(image.path());
        let found = disk.load().unwrap();
        assert!(found.states.iter().all(|state| written.contains(state)), "case {case}: a state that nobody wrote");
        told += usize::from(!found.damage.is_empty());
        afresh += 2 - found.states.len();
        let new = state("a", 99, 20_000);
        disk.save(std::slice::from_ref(&new)).unwrap();
        drop(disk);
        assert!(intact(image.path()).contains(&new), "case {case}: the store works on");
    }
    println!("FIGURE 32 damaged files: {told} told as damage, {afresh} of 64 states to be learned afresh");
    assert!(told > 0);
}

#[test]
fn a_directory_that_does_not_open_is_set_aside_and_only_the_last_one_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut disk = store(dir.path());
        disk.save(&[state("a", 1, 10)]).unwrap();
        drop(disk);
        let conf = only(dir.path()).join("conf");
        fs::remove_file(&conf).unwrap();
        fs::create_dir(&conf).unwrap();
        let found = store(dir.path()).load().unwrap();
        assert_eq!((found.states, found.damage.len()), (Vec::new(), 1));
        assert_eq!(dir.path().join("quarantine").read_dir().unwrap().count(), 1);
    }
}

#[test]
fn a_store_that_failed_is_opened_anew_by_the_next_save() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = store(dir.path());
    disk.save(&[state("a", 1, 10)]).unwrap();
    disk.save(&[state("a", 2, MAX_STATE + 1)]).unwrap_err();
    assert!(disk.open.is_none());
    disk.save(&[state("b", 3, 10)]).unwrap();
    drop(disk);
    assert_eq!(intact(dir.path()), [state("a", 1, 10), state("b", 3, 10)]);
}

/// Writes so many states of `len` bytes, of two devices in turn, and prints what they take. Most bytes on disk at once.
fn many(checkpoints: u64, len: usize) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, mut most, mut last) = (store(dir.path()), 0, BTreeMap::new());
    let (begun, mut spent) = (written_bytes(), std::time::Duration::ZERO);
    for version in 1..=checkpoints {
        let state = state(["a", "b"][version as usize % 2], version, len);
        spent += took(|| disk.save(std::slice::from_ref(&state)).unwrap());
        most = most.max(size(dir.path()));
        last.insert(state.name.clone(), state);
    }
    let (written, ms) = (written_bytes() - begun, spent.as_secs_f64() * 1e3 / checkpoints as f64);
    println!(
        "FIGURE {checkpoints} checkpoints of {len} bytes: {} bytes written and {ms:.1} ms each, most on disk {most} bytes",
        written / checkpoints
    );
    drop(disk);
    assert!(intact(dir.path()).iter().eq(last.values()));
    most
}

#[allow(clippy::disallowed_methods, reason = "a figure for people; nothing depends on it")]
fn took(work: impl FnOnce()) -> std::time::Duration {
    let begun = std::time::Instant::now();
    work();
    begun.elapsed()
}

/// Bytes this process has caused to be written to disks (proc(5)), other threads' included.
fn written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0)
}

#[test]
fn the_disk_does_not_fill_up() {
    let most = many(150, 300_000);
    assert!(most <= 2 * FLOOR, "{most}");
}

#[test]
#[ignore = "a gigabyte: `cargo test --release -- --ignored a_thousand`"]
fn a_thousand_checkpoints_of_a_megabyte_take_no_more_than_their_bound() {
    let most = many(1_000, 1_000_000);
    assert!(most <= 2 * GROWTH * 2_000_000, "{most}");
}

/// Bytes that so many hours of checkpoints of 8 devices cause to be written, by the turns they have. `sizes`: of the
/// readings, the forest of the rows, and that of a channel's hours, as the bench `detector` gives them.
fn written_in(hours: u64, channels: u16, sizes: [usize; 3]) -> u64 {
    let mut parts = vec![Part::Readings];
    if channels > 0 {
        parts.push(Part::Rows);
        parts.extend((0..channels).map(Part::Hours));
    }
    let mut turns = Turns::new(&vec![parts; 8], 900_000, Mono(0));
    let names: Vec<Name> = turns.iter().map(|(device, part)| (device.to_string(), part)).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut disk = Store::new(dir.path().into(), names.clone());
    let (mut given, mut most, mut begun) = (0, 0, written_bytes());
    // The first hour writes every forest, which a day among others does not.
    while let Some((at, nth)) = turns.next().filter(|(at, _)| at.0 <= (hours + 1) * 3_600_000) {
        turns.done(nth, at);
        let len = match names[nth].1 {
            Part::Readings => sizes[0],
            Part::Rows => sizes[1],
            Part::Hours(_) => sizes[2],
        };
        disk.save(&[State { name: names[nth].clone(), ..state("a", at.0 + nth as u64, len) }]).unwrap();
        if at.0 <= 3_600_000 {
            begun = written_bytes();
        } else {
            given += len as u64;
        }
        most = most.max(size(dir.path()));
    }
    let written = written_bytes() - begun;
    println!("FIGURE {hours} h of 8 devices: {given} bytes given, {written} written, {most} on disk at most");
    written
}

#[test]
#[ignore = "gigabytes: `cargo test --release -p windward-agent --lib -- --ignored --nocapture a_day`"]
fn a_day_writes_an_eighth_of_what_whole_states_would_at_most() {
    let parts = written_in(24, 8, [137_000, 1_008_000, 239_000]);
    let whole = written_in(3, 0, [137_000 + 1_008_000 + 8 * 239_000, 0, 0]);
    assert!(parts < whole, "{parts} in a day, {whole} in an eighth of one");
}
