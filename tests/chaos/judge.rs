//! Holds a spool to what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use windward_agent::forward::journal::{Found, LaneFound};
use windward_protocol::{Envelope, Lane, Record, Seq, SeqRange, SeqSet};
use windward_tests::life::{self, Opened, Plan};
use windward_tests::rows;
use windward_tests::said::{Promises, crc};

/// Opening may set one generation after the other aside, each after a deadline of its own.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of a spool.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Envelopes that were durable, were not released, and are not there.
    pub(crate) lost: Vec<(Lane, Seq)>,
    /// Other promises broken, and opens that failed or hung.
    pub(crate) wrong: Vec<String>,
    /// Rows of side files that are not there.
    pub(crate) rows_lost: Vec<(usize, u64)>,
    /// Blocks that are there, and their bytes.
    pub(crate) blocks: (u64, u64),
    /// What the journal itself called damage.
    pub(crate) damage: Vec<String>,
    /// Numbers that the journal knows to be missing: FORWARD makes gap records of them.
    pub(crate) holes: BTreeMap<Lane, SeqSet>,
    /// The spool is another: what it held is set aside as a whole.
    pub(crate) begun_anew: bool,
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        self.lost.is_empty() && self.wrong.is_empty()
    }
}

/// Opens the spool as the agent does, twice, and compares.
pub(crate) fn judge(spool: &Path, plan: &Plan, promises: &Promises) -> Verdict {
    let mut verdict = Verdict::default();
    let mut first = match opened(spool, plan) {
        Ok(first) => first,
        Err(error) => {
            verdict.wrong.push(error);
            return verdict;
        }
    };
    verdict.damage = first.found.damage.clone();
    verdict.look(&mut first, promises);
    let before = first.found;
    drop(first.journal);
    match opened(spool, plan) {
        Ok(mut second) => {
            let mut again = Verdict::default();
            again.look(&mut second, promises);
            verdict.wrong.extend(again.wrong.into_iter().map(|wrong| format!("opened again: {wrong}")));
            let after = &second.found;
            if again.lost != verdict.lost || before.epoch != after.epoch {
                verdict.wrong.push(format!("opened again it is another: {:?} are lost", again.lost));
            }
            for lane in Lane::DURABLE {
                let (first, second) = (next(&before, lane), next(after, lane));
                if second < first {
                    verdict
                        .wrong
                        .push(format!("A2: {lane} goes on at {second}, and at {first} when it was opened first"));
                }
            }
        }
        Err(error) => verdict.wrong.push(format!("opened again: {error}")),
    }
    verdict
}

/// Opens on a thread of its own: it may panic or hang, and neither may pass for an answer.
fn opened(spool: &Path, plan: &Plan) -> Result<Opened, String> {
    let (sender, receiver) = mpsc::channel();
    let (spool, plan) = (spool.to_path_buf(), *plan);
    std::thread::spawn(move || {
        let opened = catch_unwind(AssertUnwindSafe(|| life::open(&spool, &plan)));
        drop(sender.send(opened.map_err(|_| "opening panics".to_owned())));
    });
    let opened = receiver.recv_timeout(PATIENCE).map_err(|_| "opening hangs".to_owned())??;
    opened.map_err(|error| format!("opening fails: {error:#}"))
}

impl Verdict {
    fn look(&mut self, opened: &mut Opened, promises: &Promises) {
        let mut rows = BTreeSet::new();
        for lane in Lane::DURABLE {
            match life::read_all(opened, lane) {
                Ok(values) => self.look_at(lane, &values, opened, promises, &mut rows),
                Err(error) => self.wrong.push(format!("{lane} cannot be read: {error:#}")),
            }
        }
        let released = promises.rows.iter().filter(|(seq, _)| promises.is_released(Lane::Readings, **seq));
        for &(device, first, last) in released.map(|(_, rows)| rows) {
            rows.extend((first..=last).map(|number| (device, number)));
        }
        self.rows_lost = promises.kept.difference(&rows).copied().collect();
    }

    fn look_at(
        &mut self,
        lane: Lane,
        values: &BTreeMap<Seq, Vec<u8>>,
        opened: &Opened,
        promises: &Promises,
        rows: &mut BTreeSet<(usize, u64)>,
    ) {
        let acked = opened.found.acked(lane);
        self.begun_anew |= promises.epoch.is_some_and(|epoch| epoch != opened.found.epoch);
        let holes = self.holes.entry(lane).or_default();
        let missing = lane_found(&opened.found, lane);
        missing.holes().into_iter().chain(missing.skips()).for_each(|hole| holes.insert(hole));
        // What should be there and cannot be read: FORWARD sees the hole when it comes to it.
        let present = missing.present.ranges().flat_map(|range| range.first..=range.last);
        let unread = present.filter(|seq| !values.contains_key(seq));
        unread.for_each(|seq| holes.insert(SeqRange { first: seq, last: seq }));
        let promised = promises.safe.range((lane, 0)..=(lane, Seq::MAX)).map(|(&(_, seq), &crc)| (seq, crc));
        for (seq, promised) in promised.clone() {
            let there = values.get(&seq).map(|bytes| crc(bytes));
            if self.begun_anew || (seq > acked && !promises.is_released(lane, seq) && there.is_none()) {
                self.lost.push((lane, seq));
            } else if seq <= acked && !promises.is_released(lane, seq) {
                self.wrong.push(format!("A3: {lane} {seq} counts as acked up to {acked}, and was not"));
            } else if there.is_some_and(|there| there != promised) {
                self.wrong.push(format!("{lane} {seq} is another one"));
            }
        }
        let next = next(&opened.found, lane);
        if !self.begun_anew && promised.clone().next_back().is_some_and(|(last, _)| next <= last) {
            self.wrong.push(format!("A2: {lane} goes on at {next}, which was given out before"));
        }
        for (seq, bytes) in values {
            let record = Envelope::decode(bytes).map(|envelope| envelope.record);
            let Ok(Record::Block(block)) = record else {
                self.wrong.extend(record.err().map(|error| format!("{lane} {seq}: {error}")));
                continue;
            };
            self.blocks = (self.blocks.0 + 1, self.blocks.1 + bytes.len() as u64);
            match rows::rows_of(&block) {
                Ok((device, numbers)) => {
                    let twice = numbers.into_iter().any(|number| !rows.insert((device, number)));
                    self.wrong.extend(twice.then(|| format!("a row of {lane} {seq} stands in another block too")));
                }
                Err(error) => self.wrong.push(format!("{lane} {seq}: {error:#}")),
            }
        }
    }
}

fn lane_found(found: &Found, lane: Lane) -> &LaneFound {
    match lane {
        Lane::Alerts => &found.alerts,
        _ => &found.readings,
    }
}

/// The number that is given out next.
fn next(found: &Found, lane: Lane) -> Seq {
    lane_found(found, lane).high_water.max(found.acked(lane)) + 1
}
