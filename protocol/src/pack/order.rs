//! Which envelope comes when: mostly the number after the last one, from the device that came after this one before,
//! with as many rows as last time. Runs of such cost a few bits.

use super::bits::{BadBits, BitReader, BitWriter};
use crate::batch::MAX_BATCH;
use alloc::vec::Vec;

/// About the size of a first sequence number: `k` of a gamma code.
const FIRST_SEQ: u32 = 20;

/// Most envelopes in a packed batch.
pub(super) const MAX_COUNT: usize = MAX_BATCH / 8;

/// One envelope of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A block of a stream.
    Block { stream: usize, seq: u64, synced: bool, rows: usize },
    /// The next one of those that are not packed.
    Verbatim,
}

/// What is expected next.
#[derive(Debug)]
struct Forecast {
    streams: usize,
    /// For each stream, and for verbatim ones behind them: which came after it last.
    after: Vec<usize>,
    /// For each stream: clock and rows of its last block.
    last: Vec<(bool, usize)>,
    at: usize,
    seq: u64,
}

impl Forecast {
    fn new(streams: usize) -> Self {
        Self { streams, after: (0..=streams).collect(), last: alloc::vec![(true, 1); streams], at: 0, seq: 0 }
    }

    fn next(&self) -> Entry {
        let stream = self.after[self.at];
        match self.last.get(stream) {
            Some(&(synced, rows)) => Entry::Block { stream, seq: self.seq, synced, rows },
            None => Entry::Verbatim,
        }
    }

    fn learn(&mut self, entry: Entry) {
        let at = match entry {
            Entry::Block { stream, seq, synced, rows } => {
                self.last[stream] = (synced, rows);
                self.seq = seq;
                stream
            }
            Entry::Verbatim => self.streams,
        };
        // Before the first number there is nothing to count on from.
        self.seq = self.seq.wrapping_add(u64::from(self.seq > 0));
        self.after[self.at] = at;
        self.at = at;
    }
}

/// Writes the order of a batch; at least one entry.
pub(super) fn write(entries: &[Entry], streams: usize, bits: &mut BitWriter) {
    bits.gamma(entries.len() as u64 - 1, 0);
    let mut forecast = Forecast::new(streams);
    let mut rest = entries;
    while let Some((entry, behind)) = rest.split_first() {
        write_one(*entry, &forecast, bits);
        forecast.learn(*entry);
        let as_expected = behind.iter().take_while(|entry| {
            let expected = forecast.next() == **entry;
            if expected {
                forecast.learn(**entry);
            }
            expected
        });
        let run = as_expected.count();
        rest = &behind[run..];
        if !behind.is_empty() {
            bits.gamma(run as u64, 0);
        }
    }
}

/// Reads what [`write`] wrote; refuses more than [`MAX_COUNT`] entries, and more rows than a batch has bytes: each takes
/// at least one where it is expanded.
pub(super) fn read(streams: usize, bits: &mut BitReader<'_>) -> Result<Vec<Entry>, BadBits> {
    let more = bits.gamma(0)?;
    let count = usize::try_from(more).ok().filter(|more| *more < MAX_COUNT).ok_or(BadBits)? + 1;
    let mut forecast = Forecast::new(streams);
    let (mut entries, mut rows) = (Vec::new(), 0usize);
    let mut expected = 0;
    while entries.len() < count {
        let entry = if expected > 0 { forecast.next() } else { read_one(&forecast, bits)? };
        if expected > 0 {
            expected -= 1;
        } else if entries.len() + 1 < count {
            expected = bits.gamma(0)?;
        }
        forecast.learn(entry);
        if let Entry::Block { rows: more, .. } = entry {
            rows += more;
        }
        if rows > MAX_BATCH {
            return Err(BadBits);
        }
        entries.push(entry);
    }
    if expected > 0 { Err(BadBits) } else { Ok(entries) }
}

fn write_one(entry: Entry, forecast: &Forecast, bits: &mut BitWriter) {
    let Entry::Block { stream, seq, synced, rows } = entry else {
        return bits.gamma(forecast.streams as u64, 0);
    };
    bits.gamma(stream as u64, 0);
    bits.signed(seq.wrapping_sub(forecast.seq) as i64, if forecast.seq == 0 { FIRST_SEQ } else { 0 });
    bits.flag(synced);
    bits.gamma(rows as u64 - 1, 0);
}

fn read_one(forecast: &Forecast, bits: &mut BitReader<'_>) -> Result<Entry, BadBits> {
    let stream = usize::try_from(bits.gamma(0)?).ok().filter(|stream| *stream <= forecast.streams).ok_or(BadBits)?;
    if stream == forecast.streams {
        return Ok(Entry::Verbatim);
    }
    let step = bits.signed(if forecast.seq == 0 { FIRST_SEQ } else { 0 })?;
    let seq = forecast.seq.wrapping_add(step as u64);
    let synced = bits.flag()?;
    let rows = bits.gamma(0)?;
    let rows = usize::try_from(rows).ok().filter(|rows| *rows < crate::MAX_ROWS).ok_or(BadBits)? + 1;
    Ok(Entry::Block { stream, seq, synced, rows })
}
