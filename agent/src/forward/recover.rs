//! What a killed process left in its side files becomes blocks again, before anything else happens.

use super::journal::{Found, Journal, JournalError, Numbered};
use super::{eras, side};
use windward_protocol::{AgentId, Envelope, Lane, Record, Seq, SeqRange};

/// Commits the rows that stand only in side files, each block under the number it had, and adds them to `found`.
/// Gives the number of rows saved. Afterwards the side files are superfluous, and what is known about times that were
/// estimated is closed: no row of this run can fall under what an earlier one has decided.
pub fn recover(agent: &AgentId, found: &mut Found, journal: &mut impl Journal) -> Result<usize, JournalError> {
    let lane = &found.readings;
    let wanted = |seq: Seq| seq > lane.acked && !lane.present.contains(seq);
    let blocks = side::rebuild(agent, found.epoch, &found.side_files, wanted);
    let mut rows = 0;
    let mut values: Vec<Numbered> = Vec::with_capacity(blocks.len());
    for (seq, block) in blocks {
        rows += block.len();
        let record = Record::Block(block);
        let envelope = Envelope { agent: agent.clone(), epoch: found.epoch, lane: Lane::Readings, seq, record };
        values.push((seq, envelope.encode().map_err(|error| JournalError(error.to_string()))?));
    }
    journal.commit(&[], &values)?;
    for (seq, _) in values {
        found.readings.present.insert(SeqRange { first: seq, last: seq });
        found.readings.high_water = found.readings.high_water.max(seq);
    }
    let settled = eras::settled(found);
    if settled != found.eras {
        journal.keep_eras(&settled)?;
        found.eras = settled;
    }
    Ok(rows)
}
