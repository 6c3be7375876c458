//! What a killed process left in its side files becomes envelopes again, before anything else happens.

use super::journal::{Found, Journal, JournalError, Note, Numbered};
use super::{eras, side};
use windward_protocol::{AgentId, Envelope, Lane, Record, Seq};

/// Commits what stands only in side files, each envelope under the number it had, and adds it to `found`.
/// Gives the number of rows saved. Afterwards the side files are superfluous, and what is known about times that were
/// estimated is closed: no row of this run can fall under what an earlier one has decided.
pub fn recover(agent: &AgentId, found: &mut Found, journal: &mut impl Journal) -> Result<usize, JournalError> {
    let lane = &found.readings;
    let wanted = |seq: Seq| seq > lane.acked && !lane.present.contains(seq);
    let records = side::rebuild(agent, found.epoch, &found.side_files, wanted);
    let mut rows = 0;
    let mut values: Vec<Numbered> = Vec::with_capacity(records.len());
    for (seq, record) in records {
        rows += if let Record::Block(block) = &record { block.len() } else { 0 };
        let envelope = Envelope { agent: agent.clone(), epoch: found.epoch, lane: Lane::Readings, seq, record };
        values.push((seq, envelope.encode().map_err(|error| JournalError(error.to_string()))?));
    }
    journal.commit(&[], &values)?;
    for (seq, _) in values {
        found.readings.add(seq);
    }
    let settled = eras::settled(found);
    if settled != found.eras {
        journal.keep(Note::Eras, &settled)?;
        found.eras = settled;
    }
    Ok(rows)
}
