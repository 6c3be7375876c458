//! What a killed process left in its side files becomes envelopes again, before anything else happens.

use super::journal::{Found, Journal, JournalError, Note, Numbered};
use super::{eras, side};
use windward_protocol::{AgentId, Envelope, Lane, Record, Seq};

/// Commits what stands only in side files, each envelope under the number it had, and adds it to `found`.
/// Gives the number of rows saved. Afterwards the side files are superfluous, and what is known about times that were
/// estimated is closed: no row of this run can fall under what an earlier one has decided.
///
/// A disk that takes nothing is no error: WATCH waits for none (A7). What is to be saved goes into [`Found::unsaved`] then,
/// and FORWARD begins with it; its first commit fails, and tells (A5).
pub fn recover(agent: &AgentId, found: &mut Found, journal: &mut impl Journal) -> Result<usize, JournalError> {
    let lane = &found.readings;
    let wanted = |seq: Seq| seq > lane.acked && seq > lane.complete && !lane.present.contains(seq);
    let records = side::rebuild(agent, found.epoch, &found.side_files, wanted);
    let rows = records.values().map(|record| if let Record::Block(block) = record { block.len() } else { 0 }).sum();
    let epoch = found.epoch;
    let encode = |(seq, record)| -> Result<Numbered, JournalError> {
        let envelope = Envelope { agent: agent.clone(), epoch, lane: Lane::Readings, seq, record };
        Ok((seq, envelope.encode().map_err(|error| JournalError(error.to_string()))?))
    };
    let seqs: Vec<Seq> = records.keys().copied().collect();
    let values = records.clone().into_iter().map(encode).collect::<Result<Vec<Numbered>, _>>()?;
    match journal.commit(&[], &values) {
        Ok(()) => seqs.into_iter().for_each(|seq| found.readings.add(seq)),
        Err(error) => {
            tracing::error!(%error, rows, "what stands in the side files cannot be saved yet");
            found.unsaved = values;
            if seqs.first().is_some_and(|first| *first <= found.readings.high_water) {
                // The lane goes on above them (A2). None has been sent, so they may take new numbers.
                seqs.into_iter().for_each(|seq| found.readings.skip(seq));
                let renumbered = (found.readings.high_water + 1..).zip(records.into_values());
                found.unsaved = renumbered.map(encode).collect::<Result<_, _>>()?;
            }
        }
    }
    let settled = eras::settled(found);
    if settled != found.eras {
        found.eras_are_behind = journal.keep(Note::Eras, &settled).is_err();
        found.eras = settled;
    }
    Ok(rows)
}
