//! What must hold of whatever an agent finds beside its lanes when it starts: side files, and the notes on uplinks,
//! commands and times. The first byte says how the input is cut.

#[allow(clippy::duplicate_mod, reason = "each check stands by itself, in a fuzz target and among the tests")]
#[path = "seal.rs"]
mod seal;

use seal::sealed;
use windward_agent::command::Accept;
use windward_agent::forward::journal::{Found, Journal, MemoryJournal};
use windward_agent::forward::{Forward, Settings, Uplink, recover};
use windward_agent::time::{Mono, Stamp, Wall};
use windward_protocol::{AgentId, Envelope, Lane, SeqRange};

const EPOCH: u64 = 7;
const NOON: Stamp = Stamp { mono: Mono(1_000), wall: Wall(1_750_000_000_000), synced: true };

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let (mut found, mut journal) = (Found { epoch: EPOCH, ..Found::default() }, MemoryJournal::default());
    found.readings.acked = u64::from(how >> 4);
    found.readings.high_water = found.readings.acked + 3;
    found.readings.present.insert(SeqRange { first: found.readings.acked + 2, last: found.readings.high_water });
    match how % 4 {
        0 => found.side_files = vec![rest.to_vec(), side_file(rest)],
        1 => found.eras = rest.to_vec(),
        2 => found.uplinks = rest.to_vec(),
        _ => found.commands = rest.to_vec(),
    }
    let agent = AgentId::new("t1").expect("a good name");
    let acked = found.readings.acked;
    recover(&agent, &mut found, &mut journal).expect("this disk takes everything");
    let saved = journal.read(Lane::Readings, 0, usize::MAX).expect("this disk gives everything");
    for (seq, bytes) in saved {
        assert!(seq > acked, "{seq} is acked");
        let envelope = Envelope::decode(&bytes).expect("what was saved can be read");
        assert_eq!((envelope.epoch, envelope.seq), (EPOCH, seq));
    }
    Forward::new(settings(agent), &found, NOON);
}

/// A side file of this epoch: frames of these bodies, each behind its length.
fn side_file(mut bytes: &[u8]) -> Vec<u8> {
    let mut file = frame(&[0, EPOCH as u8]);
    while let Some((len, rest)) = bytes.split_first() {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        file.extend(frame(body));
        bytes = rest;
    }
    file
}

fn frame(body: &[u8]) -> Vec<u8> {
    let sealed = sealed(body);
    let (_, crc) = sealed.split_last_chunk::<4>().expect("a checksum has four bytes");
    [&(body.len() as u16).to_le_bytes()[..], crc, body].concat()
}

fn settings(agent: AgentId) -> Settings {
    Settings {
        agent,
        farm: "f".into(),
        version: "0".into(),
        commit_every_ms: 1_000,
        max_bytes: 1 << 20,
        max_age_ms: None,
        uplinks: vec![Uplink::new("mqtt"), Uplink::new("kinesis")],
        devices: Vec::new(),
        accept: Some(Accept::Signed),
        seed: 1,
    }
}
