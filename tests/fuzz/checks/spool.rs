//! What must hold of whatever bytes stand in the files of a spool, as a damaged medium or a stranger leaves them.

#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "each check stands by itself, in a fuzz target and among the tests")]
#[path = "corpus.rs"]
mod corpus;

use super::mark::{MarkFile, Saved};
use crate::io::frame::{self, HEAD};
use crate::io::last_time;
use std::io::Cursor;
use windward_protocol::{AgentId, Envelope, Gap, GapReason, Lane, MAX_ENVELOPE, Record};

/// Panics when something does not hold.
pub fn check(bytes: &[u8]) {
    check_frame(bytes);
    check_frame(&frame::frame(&frame::with_crc(bytes.iter().copied().take(MAX_ENVELOPE - 4).collect()), false));
    check_scan(bytes);
    check_mark(bytes);
    if let Some(saved) = frame::unseal::<last_time::Saved>(bytes) {
        assert_eq!(frame::unseal(&frame::seal(&saved)), Some(saved));
    }
}

/// What comes out of a frame is intact, and is the same in another frame.
fn check_frame(bytes: &[u8]) {
    let Some(envelope) = frame::unframe(bytes) else { return };
    assert!(envelope.len() <= MAX_ENVELOPE && frame::without_crc(&envelope).is_some());
    for ends in [false, true] {
        let again = frame::frame(&envelope, ends);
        assert_eq!(frame::unframe(&again).as_deref(), Some(&*envelope));
    }
}

/// An intact value is found among any bytes.
fn check_scan(bytes: &[u8]) {
    let record = Record::Gap(Gap { lane: Lane::Readings, from: 1, to: 2, reason: GapReason::Damage });
    let agent = AgentId::new("t1").expect("a good name");
    let envelope = Envelope { agent, epoch: 7, lane: Lane::Alerts, seq: 3, record }.encode().expect("it is short");
    let (before, behind) = bytes.split_at(bytes.len() / 2);
    let file = [before, &frame::frame(&envelope, false), behind].concat();
    let mut is_found = false;
    frame::scan(&mut Cursor::new(&file), |name, (at, _), found| {
        assert!(frame::without_crc(found).is_some());
        assert!((HEAD as u64..=file.len() as u64).contains(&at));
        is_found |= name == (7, Lane::Alerts, 3) && found == envelope;
    });
    assert!(is_found, "an intact value was passed over");
}

/// Of a file with the contents `bytes`, and of one whose first slot is sealed.
fn check_mark(bytes: &[u8]) {
    let sealed = frame::with_crc(bytes.iter().copied().take(4_000).collect());
    let mut slot = [&(sealed.len() as u16).to_le_bytes()[..], &sealed].concat();
    slot.resize(4096, 0);
    for contents in [bytes, &slot] {
        if let (_, Saved::Mark(mark) | Saved::OneSlot(mark)) = MarkFile::of(contents) {
            assert_eq!(frame::unseal(&frame::seal(&mark)), Some(mark));
        }
    }
}

#[cfg(test)]
#[test]
fn what_the_fuzzer_knows_of_the_spools_files_holds() {
    corpus::holds("spool", check);
}
