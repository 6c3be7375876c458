//! Which shards of a stream to read, and what to checkpoint; pure. The partitions of a Kafka topic are shards without
//! parents that never end, and their offsets the sequence numbers.
//!
//! The containers that read one stream share its shards by a table of [`Lease`]s, one a shard, and by nothing else:
//! ```text
//!            take (nobody holds it, or its holder is silent)       shard read to its end, and stored
//!   free ───────────────────────────────────────────────▶ held ─────────────────────────────────────▶ End
//!    ▲                                                   │  ▲ │
//!    └────────────── given back at a stop ───────────────┘  └─┘ renewed, with the position
//! ```
//! Each write of a lease counts its counter up by one and is made only if the counter is what the writer saw last. So
//! whoever has lost a lease cannot write it any more, and as a holder starts where the lease stands, positions never go
//! back. No two clocks are compared: a holder is silent when its counter has stood still for [`LEASE_MS`] of the
//! observer's own monotonic clock. Two may read one shard for a few seconds after a lease went from one to the other;
//! what both store is stored once, for rows are keyed by what they hold (S2).
//!
//! A shard is read once its parents are at their end, so that order per partition key holds over splits and merges.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// A lease whose counter stands still for so long is free.
pub const LEASE_MS: u64 = 15_000;
/// How often a holder writes its leases, and so how much is read again after it died.
pub const RENEW_MS: u64 = 5_000;

/// How far a shard has been read and stored, all before it included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Nothing; begin with the oldest record the stream still has.
    Oldest,
    /// Nothing; begin with records put at this time, ms.
    Since(i64),
    /// The record of this sequence number.
    After(String),
    /// The whole shard, which is closed.
    End,
}

/// As it stands in the tables: `oldest`, `since <ms>`, `after <sequence number>`, `end`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Oldest => f.write_str("oldest"),
            Position::Since(ms) => write!(f, "since {ms}"),
            Position::After(sequence) => write!(f, "after {sequence}"),
            Position::End => f.write_str("end"),
        }
    }
}

impl Position {
    /// What [`fmt::Display`] wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            Some(("since", ms)) => Some(Position::Since(ms.parse().ok()?)),
            Some(("after", sequence)) => Some(Position::After(sequence.into())),
            None if text == "oldest" => Some(Position::Oldest),
            None if text == "end" => Some(Position::End),
            _ => None,
        }
    }
}

/// One shard's row in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How far it has been read and stored.
    pub position: Position,
    /// Who reads it; empty when nobody does.
    pub owner: String,
    /// Number of writes of the row.
    pub counter: u64,
}

/// A write of a lease, to be made only if the row's counter is still `expected`; `None`: if there is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Shard.
    pub shard: String,
    /// The new row.
    pub lease: Lease,
    /// Counter of the row it takes the place of.
    pub expected: Option<u64>,
}

/// A row as last seen.
struct Seen {
    lease: Lease,
    /// When its counter was first seen as it is.
    since_ms: u64,
}

/// One container's view of a stream's leases. Times are monotonic, ms.
pub struct Leases {
    me: String,
    /// Where shards without a row begin.
    start: Position,
    /// Shards the stream has, and their parents.
    listed: BTreeMap<String, Vec<String>>,
    rows: BTreeMap<String, Seen>,
    /// What is ours: when the row was last written.
    held: BTreeMap<String, u64>,
}

impl Leases {
    /// Nothing is known yet. `me`: a name that no other container has, nor this one in an earlier life.
    pub fn new(me: String, start: Position) -> Self {
        Self { me, start, listed: BTreeMap::new(), rows: BTreeMap::new(), held: BTreeMap::new() }
    }

    /// The stream has these shards, each with its parents, of which the stream may have forgotten some.
    pub fn listed(&mut self, shards: BTreeMap<String, Vec<String>>) {
        self.listed = shards;
    }

    /// The table has these rows. Gives the held leases that others have taken, which are lost.
    pub fn seen(&mut self, rows: BTreeMap<String, Lease>, now_ms: u64) -> Vec<String> {
        let mut lost = Vec::new();
        for (shard, lease) in rows {
            if self.held.contains_key(&shard) {
                // Its row is known better here, unless it is not ours any more.
                if lease.owner == self.me {
                    continue;
                }
                self.lost(&shard);
                lost.push(shard.clone());
            }
            self.note(shard, lease, now_ms);
        }
        lost
    }

    fn note(&mut self, shard: String, lease: Lease, now_ms: u64) {
        match self.rows.get_mut(&shard) {
            Some(seen) if seen.lease.counter == lease.counter => seen.lease = lease,
            _ => drop(self.rows.insert(shard, Seen { lease, since_ms: now_ms })),
        }
    }

    /// Shards that are ours.
    pub fn held(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }

    /// Whether one that is listed has been read to its end, by whomever.
    fn is_finished(&self, shard: &str) -> bool {
        self.rows.get(shard).is_some_and(|seen| seen.lease.position == Position::End)
    }

    /// Whether it is time to read it: it is there, and what stood before it was read.
    fn is_readable(&self, shard: &str, parents: &[String]) -> bool {
        let is_past = |parent: &String| !self.listed.contains_key(parent) || self.is_finished(parent);
        !self.is_finished(shard) && parents.iter().all(is_past)
    }

    /// Who reads a shard as far as is known; `None` when it may be taken.
    fn reader(&self, shard: &str, now_ms: u64) -> Option<&str> {
        let seen = self.rows.get(shard)?;
        let is_silent = now_ms.saturating_sub(seen.since_ms) >= LEASE_MS;
        // One that names us while we do not hold it is left of a write whose answer was lost.
        let is_free = seen.lease.owner.is_empty() || seen.lease.owner == self.me || is_silent;
        (!is_free).then_some(seen.lease.owner.as_str())
    }

    /// The writes by which to take shards: of those that are free, our share; if none is, one of the container that has
    /// at least two more than we. So containers share the shards of a stream; those too many stand by.
    pub fn takes(&self, now_ms: u64) -> Vec<Write> {
        let mut free = Vec::new();
        let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (shard, parents) in &self.listed {
            if self.held.contains_key(shard) || !self.is_readable(shard, parents) {
                continue;
            }
            match self.reader(shard, now_ms) {
                None => free.push(shard.as_str()),
                Some(owner) => others.entry(owner).or_default().push(shard),
            }
        }
        let all = free.len() + self.held.len() + others.values().map(Vec::len).sum::<usize>();
        let share = all.div_ceil(others.len() + 1);
        if free.is_empty() {
            let most = others.into_values().max_by_key(Vec::len).filter(|most| most.len() >= self.held.len() + 2);
            free.extend(most.and_then(|most| most.last().copied()));
        }
        free.into_iter().take(share.saturating_sub(self.held.len())).map(|shard| self.take(shard)).collect()
    }

    fn take(&self, shard: &str) -> Write {
        let seen = self.rows.get(shard).map(|seen| &seen.lease);
        let position = seen.map_or(self.start.clone(), |lease| lease.position.clone());
        let expected = seen.map(|lease| lease.counter);
        let lease = Lease { position, owner: self.me.clone(), counter: expected.map_or(1, |counter| counter + 1) };
        Write { shard: shard.into(), lease, expected }
    }

    /// The write that keeps a held lease, when it is due or the shard is at its end. `position`: how far it is stored.
    pub fn renewal(&self, shard: &str, position: Position, now_ms: u64) -> Option<Write> {
        let written_ms = *self.held.get(shard)?;
        if now_ms.saturating_sub(written_ms) < RENEW_MS && position != Position::End {
            return None;
        }
        let owner = if position == Position::End { String::new() } else { self.me.clone() };
        self.next(shard, position, owner)
    }

    /// The write that gives a held lease back.
    pub fn giving_back(&self, shard: &str, position: Position) -> Option<Write> {
        self.held.get(shard)?;
        self.next(shard, position, String::new())
    }

    fn next(&self, shard: &str, position: Position, owner: String) -> Option<Write> {
        let counter = self.rows.get(shard)?.lease.counter;
        Some(Write {
            shard: shard.into(),
            lease: Lease { position, owner, counter: counter + 1 },
            expected: Some(counter),
        })
    }

    /// A write was made; it was begun at `begun_ms`. From then the lease runs, for others may have seen it so early.
    pub fn written(&mut self, write: Write, begun_ms: u64) {
        let Write { shard, lease, .. } = write;
        if lease.owner == self.me {
            self.held.insert(shard.clone(), begun_ms);
        } else {
            self.held.remove(&shard);
        }
        self.note(shard, lease, begun_ms);
    }

    /// A held lease is ours no longer: a write of it was refused, or it is to be read again from where the row stands.
    pub fn lost(&mut self, shard: &str) {
        self.held.remove(shard);
    }

    /// Held leases that others may have taken by now, because we could not write them for so long. They are lost.
    pub fn expire(&mut self, now_ms: u64) -> Vec<String> {
        let is_late = |_: &String, written_ms: &mut u64| now_ms.saturating_sub(*written_ms) >= LEASE_MS;
        self.held.extract_if(.., is_late).map(|(shard, _)| shard).collect()
    }
}

/// What one reader of a shard has read, and how much of it is stored: in whatever order deliveries are stored, the
/// position passes no record that is not.
pub struct Progress {
    position: Position,
    /// Number of the first of `open`.
    first: u64,
    /// Records read and not passed yet, in order: sequence number, and whether it is stored.
    open: VecDeque<(String, bool)>,
    is_ended: bool,
    has_failed: bool,
}

impl Progress {
    /// A reader that begins at `position`.
    pub fn new(position: Position) -> Self {
        Self { position, first: 0, open: VecDeque::new(), is_ended: false, has_failed: false }
    }

    /// Where the first record is that the position stands for has been found out. Once a record was read it is known.
    pub fn begins(&mut self, position: Position) {
        if self.first == 0 && self.open.is_empty() {
            self.position = position;
        }
    }

    /// A record was read. Gives the number to say [`Self::stored`] with.
    pub fn read(&mut self, sequence: String) -> u64 {
        self.open.push_back((sequence, false));
        self.first + self.open.len() as u64 - 1
    }

    /// A record is stored.
    pub fn stored(&mut self, number: u64) {
        let Some(index) = number.checked_sub(self.first) else { return };
        if let Some((_, is_stored)) = self.open.get_mut(index as usize) {
            *is_stored = true;
        }
        while let Some((sequence, _)) = self.open.pop_front_if(|(_, is_stored)| *is_stored) {
            self.position = Position::After(sequence);
            self.first += 1;
        }
    }

    /// A record will not be stored: the shard is to be read again from its position.
    pub fn failed(&mut self) {
        self.has_failed = true;
    }

    /// Whether the shard is to be read again from its position.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The shard is closed, and was read to its end.
    pub fn ended(&mut self) {
        self.is_ended = true;
    }

    /// How far all is stored.
    pub fn position(&self) -> Position {
        if self.is_ended && self.open.is_empty() { Position::End } else { self.position.clone() }
    }
}

#[cfg(test)]
mod tests;
