//! Blocks to rows: those of one device that come together and begin in the same minute are one row.
//!
//! An agent that commits every second sends blocks of one moment; a row for each would be mostly its keys, and on
//! DynamoDB a paid write for a few readings.

use super::{ChannelSummary, ReadingsRow, finite, fnv1a, sortable_time};
use std::collections::BTreeMap;
use windward_protocol::batch::{self, BatchBuilder};
use windward_protocol::{AgentId, Block, Channel, Epoch, Seq};

/// Blocks that begin within one of these become one row, ms. With the longest span of a block, a minute, this is what
/// [`crate::query::LOOK_BACK_MS`] must cover.
const TOGETHER_MS: i64 = 60_000;

/// Blocks on their way into rows, by device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered(BTreeMap<(AgentId, String, Epoch), Vec<One>>);

#[derive(Clone, Debug, PartialEq)]
struct One {
    seq: Seq,
    block: Block,
    bytes: Vec<u8>,
}

impl Gathered {
    /// Adds a block. `bytes`: the envelope as it came.
    pub fn add(&mut self, agent: AgentId, epoch: Epoch, seq: Seq, block: Block, bytes: Vec<u8>) {
        let device = block.device.clone();
        self.0.entry((agent, device, epoch)).or_default().push(One { seq, block, bytes });
    }

    /// The rows. The same blocks give the same rows, in whatever order they were added.
    pub fn rows(self) -> Vec<ReadingsRow> {
        let mut rows = Vec::new();
        for ((agent, _, epoch), mut blocks) in self.0 {
            blocks.sort_by_key(|one| one.seq);
            let mut open: Option<Open> = None;
            for one in blocks {
                match &mut open {
                    Some(row) if row.takes(&one) => row.add(one),
                    _ => rows.extend(open.replace(Open::new(one)).map(|row| row.close(&agent, epoch))),
                }
            }
            rows.extend(open.map(|row| row.close(&agent, epoch)));
        }
        rows
    }
}

impl ReadingsRow {
    /// Takes the blocks of another row of its device in; the key stays. `Some`: whether there was anything new in it.
    /// `None`: the two differ in more than their readings, share some of their blocks, cannot be read, or the block would
    /// be longer than `most` bytes.
    ///
    /// For a store that can change a row: an agent that is heard every second would else leave sixty rows a minute, each
    /// mostly its key and its summaries.
    pub fn take(&mut self, more: &ReadingsRow, most: usize) -> Option<bool> {
        let shape = |row: &ReadingsRow| {
            let minute = row.first_ms.div_euclid(TOGETHER_MS);
            (row.partition.clone(), epoch_of(&row.sort).to_string(), minute, row.synced, row.location.clone())
        };
        let channels = |row: &ReadingsRow| -> Vec<_> {
            row.channels.iter().map(|channel| (channel.name.clone(), channel.unit.clone())).collect()
        };
        if shape(self) != shape(more) || channels(self) != channels(more) {
            return None;
        }
        let whole = |row: &ReadingsRow| Some(batch::split(&row.block)).filter(|split| split.broken.is_none());
        let (mut held, new) = (whole(self)?.envelopes, whole(more)?.envelopes);
        match new.iter().filter(|envelope| held.contains(envelope)).count() {
            0 => {}
            known if known == new.len() => return Some(false),
            // To take the rest would count these twice.
            _ => return None,
        }
        held.extend(new);
        let mut batch = BatchBuilder::new();
        if !held.iter().all(|envelope| batch.push(envelope)) {
            return None;
        }
        let block = Some(batch.finish()).filter(|block| block.len() <= most)?;
        let is_later = more.last_ms >= self.last_ms;
        for (channel, more) in self.channels.iter_mut().zip(&more.channels) {
            channel.take(more, is_later);
        }
        self.first_ms = self.first_ms.min(more.first_ms);
        self.last_ms = self.last_ms.max(more.last_ms);
        self.n += more.n;
        self.block = block;
        Some(true)
    }
}

/// The epoch in a row's sort key.
fn epoch_of(sort: &str) -> &str {
    sort.split('#').nth(1).unwrap_or_default()
}

impl ChannelSummary {
    /// Becomes the summary of both. `is_later`: the other's last value is the last of all.
    fn take(&mut self, more: &ChannelSummary, is_later: bool) {
        let (n, more_n) = (f64::from(self.n), f64::from(more.n));
        let (mean, std) = match (self.n, more.n) {
            (_, 0) => (self.mean, self.std),
            (0, _) => (more.mean, more.std),
            _ => {
                let part = |of: Option<f64>, more: Option<f64>| Some((n * of? + more_n * more?) / (n + more_n));
                let mean = part(self.mean, more.mean);
                let square = |of: &ChannelSummary| {
                    let off = of.mean? - mean?;
                    Some(of.std? * of.std? + off * off)
                };
                let variance = part(square(self), square(more));
                (mean.and_then(finite), variance.and_then(|variance| finite(variance.sqrt())))
            }
        };
        let either =
            |of: Option<f64>, more: Option<f64>, which: fn(f64, f64) -> f64| of.into_iter().chain(more).reduce(which);
        (self.mean, self.std) = (mean, std);
        self.min = either(self.min, more.min, f64::min);
        self.max = either(self.max, more.max, f64::max);
        self.max_score = either(self.max_score, more.max_score, f64::max);
        self.last = if is_later { more.last.or(self.last) } else { self.last.or(more.last) };
        self.n += more.n;
    }
}

/// The envelopes of a stored row, as they came.
pub fn envelopes(block: &[u8]) -> Vec<Vec<u8>> {
    batch::split(block).envelopes
}

/// A row that may take more.
struct Open {
    /// The first block, whose device, location and channels are those of all.
    first: Block,
    together: Together,
}

impl Open {
    fn new(One { seq, block, bytes }: One) -> Self {
        let channels = block.channels.iter().map(|_| (Vec::with_capacity(block.len()), None)).collect();
        let (first_ms, last_ms) = (block.first_ms, block.first_ms);
        let (batch, seqs) = (BatchBuilder::new(), Vec::new());
        let mut together = Together { batch, seqs, first_ms, last_ms, n: 0, channels };
        together.add(seq, &block, &bytes);
        Self { first: block, together }
    }

    fn takes(&self, One { block, bytes, .. }: &One) -> bool {
        let first = &self.first;
        block.first_ms.div_euclid(TOGETHER_MS) == first.first_ms.div_euclid(TOGETHER_MS)
            && (block.synced, &block.location, &block.channels) == (first.synced, &first.location, &first.channels)
            && self.together.batch.has_room_for(bytes)
    }

    fn add(&mut self, One { seq, block, bytes }: One) {
        self.together.add(seq, &block, &bytes);
    }

    fn close(self, agent: &AgentId, epoch: Epoch) -> ReadingsRow {
        let Self { first, together } = self;
        let mut sort = format!("{}#{epoch:016x}#{:020}", sortable_time(together.first_ms), together.seqs[0]);
        if together.seqs.len() > 1 {
            let seqs: Vec<u8> = together.seqs.iter().flat_map(|seq| seq.to_le_bytes()).collect();
            sort.push_str(&format!("-{:016x}", fnv1a(seqs.iter())));
        }
        let channels = first.channels.into_iter().zip(&together.channels);
        ReadingsRow {
            partition: format!("{agent}/{}", first.device),
            sort,
            agent: agent.clone(),
            channels: channels.map(|(channel, (values, max_score))| summary(channel, values, *max_score)).collect(),
            device: first.device,
            location: first.location,
            first_ms: together.first_ms,
            last_ms: together.last_ms,
            n: together.n,
            synced: first.synced,
            block: together.batch.finish(),
        }
    }
}

/// What the blocks of one row give together.
struct Together {
    batch: BatchBuilder,
    seqs: Vec<Seq>,
    first_ms: i64,
    last_ms: i64,
    n: u32,
    /// Values of each channel, and its greatest score.
    channels: Vec<(Vec<f64>, Option<f64>)>,
}

impl Together {
    fn add(&mut self, seq: Seq, block: &Block, bytes: &[u8]) {
        let fits = self.batch.push(bytes);
        debug_assert!(fits, "`takes` has asked");
        self.seqs.push(seq);
        self.first_ms = self.first_ms.min(block.first_ms);
        self.last_ms = block.times().into_iter().fold(self.last_ms, i64::max);
        self.n += block.len() as u32;
        for ((values, max_score), column) in self.channels.iter_mut().zip(&block.columns) {
            values.extend(column.numbers().filter(|value| value.is_finite()));
            *max_score = column.greatest_score().into_iter().chain(*max_score).reduce(f64::max);
        }
    }
}

fn summary(channel: Channel, values: &[f64], max_score: Option<f64>) -> ChannelSummary {
    let n = values.len() as f64;
    let mean = finite(values.iter().sum::<f64>() / n);
    let deviation = |mean: f64| (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / n).sqrt();
    ChannelSummary {
        name: channel.name,
        unit: channel.unit,
        n: values.len() as u32,
        min: values.iter().copied().reduce(f64::min),
        mean,
        max: values.iter().copied().reduce(f64::max),
        std: mean.and_then(|mean| finite(deviation(mean))),
        last: values.last().copied(),
        max_score,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use windward_protocol::{BlockBuilder, Envelope, Lane, NoData, Quantity, Record, Row, Value};

    const T0: i64 = 1_795_182_840_000;

    /// A block of `rows` moments, a second apart, the wind in tenths; every fourth has none.
    fn block(seq: Seq, first_ms: i64, rows: i64, location: &str) -> (Envelope, Vec<u8>) {
        let agent = AgentId::new("t1").unwrap();
        let wind = Channel { name: "wind_speed".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() };
        let mut block = BlockBuilder::new(&agent, "mast", location, &[wind], true);
        for second in 0..rows {
            let tenths = (seq as i64 * 7 + second) % 250;
            let value = Ok(Value::Int { mantissa: tenths, exponent: -1 });
            let reading = if second % 4 == 3 { Err(NoData::Timeout) } else { value };
            let scores = vec![(second == 0).then_some(seq as f32 / 100.0)];
            block.push(&Row { time_ms: first_ms + second * 1_000, readings: vec![reading], scores }).unwrap();
        }
        let record = Record::Block(block.finish().unwrap());
        let envelope = Envelope { agent, epoch: 7, lane: Lane::Readings, seq, record };
        let bytes = envelope.encode().unwrap();
        (envelope, bytes)
    }

    fn rows(blocks: impl IntoIterator<Item = (Envelope, Vec<u8>)>) -> Vec<ReadingsRow> {
        let mut gathered = Gathered::default();
        for (envelope, bytes) in blocks {
            let Record::Block(block) = envelope.record else { panic!("a block") };
            gathered.add(envelope.agent, envelope.epoch, envelope.seq, block, bytes);
        }
        gathered.rows()
    }

    #[test]
    fn blocks_that_begin_in_one_minute_are_one_row() {
        // T0 is a full minute.
        let rows = rows((0..90).map(|second| block(1 + second, T0 + second as i64 * 1_000, 1, "here")));
        let n: Vec<_> = rows.iter().map(|row| (row.n, row.first_ms, row.last_ms)).collect();
        assert_eq!(n, [(60, T0, T0 + 59_000), (30, T0 + 60_000, T0 + 89_000)]);
        assert!(rows[0].sort.starts_with("2026-11-20T13:54:00.000Z#0000000000000007#00000000000000000001-"));
        let wind = &rows[0].channels[0];
        assert_eq!((wind.n, wind.min, wind.max, wind.max_score), (60, Some(0.2), Some(24.5), Some(0.6)));
        assert_eq!(wind.last, Some((60 * 7 % 250) as f64 / 10.0));
        assert_eq!(envelopes(&rows[0].block).len(), 60);
    }

    #[test]
    fn what_differs_in_more_than_its_readings_is_a_row_of_its_own() {
        let blocks =
            || vec![block(1, T0, 4, "here"), block(2, T0 + 4_000, 4, "there"), block(3, T0 + 8_000, 4, "there")];
        let n: Vec<_> = rows(blocks()).iter().map(|row| (row.location.clone(), row.n)).collect();
        assert_eq!(n, [("here".into(), 4), ("there".into(), 8)]);
    }

    #[test]
    fn one_block_has_the_key_that_its_name_gives() {
        let row = rows([block(5, T0, 4, "here")]).remove(0);
        assert_eq!(row.sort, "2026-11-20T13:54:00.000Z#0000000000000007#00000000000000000005");
        assert_eq!((row.n, row.channels[0].n), (4, 3));
    }

    #[test]
    fn a_row_holds_no_more_than_a_batch_can() {
        // Blocks of some 2 KiB each, all within the minute.
        let blocks: Vec<_> = (1..100).map(|seq| block(seq, T0 + seq as i64, 500, "here")).collect();
        let rows = rows(blocks);
        assert!(rows.len() > 1);
        assert_eq!(rows.iter().map(|row| row.n).sum::<u32>(), 49_500);
        assert_eq!(rows.iter().map(|row| envelopes(&row.block).len()).sum::<usize>(), 99);
    }

    #[test]
    fn a_row_takes_only_what_differs_in_nothing_but_its_readings() {
        let one = |seq, first_ms, location| rows([block(seq, first_ms, 3, location)]).remove(0);
        let first = one(1, T0, "here");
        let taken = |other: &ReadingsRow, most| first.clone().take(other, most);
        assert_eq!(taken(&one(2, T0 + 3_000, "here"), usize::MAX), Some(true));
        assert_eq!(taken(&one(2, T0 + 3_000, "here"), first.block.len()), None, "too long");
        assert_eq!(taken(&one(2, T0 + 3_000, "there"), usize::MAX), None);
        assert_eq!(taken(&one(2, T0 + 60_000, "here"), usize::MAX), None, "another minute");
        let both = rows([block(1, T0, 3, "here"), block(2, T0 + 3_000, 3, "here")]).remove(0);
        assert_eq!(taken(&both, usize::MAX), None, "half of it is there");
        let mut broken = first.clone();
        broken.block.pop();
        assert_eq!((taken(&broken, usize::MAX), broken.take(&first, usize::MAX)), (None, None), "not readable");
        let spoilt = |spoil: fn(&mut ReadingsRow)| {
            let mut row = one(2, T0 + 3_000, "here");
            spoil(&mut row);
            row
        };
        for (what, row) in [
            ("device", spoilt(|row| row.partition.push('2'))),
            ("epoch", spoilt(|row| row.sort = row.sort.replace("#0000000000000007#", "#0000000000000008#"))),
            ("clock", spoilt(|row| row.synced = false)),
            ("unit", spoilt(|row| row.channels[0].unit = "kn".into())),
            ("channels", spoilt(|row| row.channels.clear())),
        ] {
            assert_eq!(taken(&row, usize::MAX), None, "{what}");
        }
    }

    proptest! {
        /// Rows that took others say what one row of all their blocks says.
        #[test]
        fn a_row_that_took_others_is_as_one_of_all(cuts in prop::collection::vec(1u64..6, 1..8), late in any::<bool>()) {
            let of = |seqs: std::ops::Range<u64>| {
                rows(seqs.map(|seq| block(seq, T0 + seq as i64 * 1_000, 3, "here"))).remove(0)
            };
            let ends: Vec<u64> = cuts.iter().scan(1, |end, len| { *end += len; Some(*end) }).collect();
            let all = of(1..ends[ends.len() - 1]);
            let mut parts: Vec<_> = std::iter::once(1).chain(ends.iter().copied()).zip(&ends).map(|(a, b)| of(a..*b)).collect();
            if late {
                parts.reverse();
            }
            let mut row = parts.remove(0);
            for part in &parts {
                prop_assert_eq!(row.take(part, usize::MAX), Some(true));
                prop_assert_eq!(row.take(part, usize::MAX), Some(false), "once more it is nothing new");
            }
            let (a, b) = (&row.channels[0], &all.channels[0]);
            prop_assert_eq!((row.n, row.first_ms, row.last_ms), (all.n, all.first_ms, all.last_ms));
            prop_assert_eq!((a.n, a.min, a.max, a.last, a.max_score), (b.n, b.min, b.max, b.last, b.max_score));
            prop_assert!((a.mean.unwrap() - b.mean.unwrap()).abs() < 1e-9 && (a.std.unwrap() - b.std.unwrap()).abs() < 1e-9);
            let sorted = |row: &ReadingsRow| {
                let mut envelopes = envelopes(&row.block);
                envelopes.sort();
                envelopes
            };
            prop_assert_eq!(sorted(&row), sorted(&all));
        }

        /// Stored again in the same groups they are the same rows; in others, other keys, or the same content.
        #[test]
        fn a_key_names_its_content(
            seqs in prop::collection::btree_set(1u64..40, 1..12),
            others in prop::collection::btree_set(1u64..40, 1..12),
        ) {
            let of = |seqs: &std::collections::BTreeSet<u64>| {
                rows(seqs.iter().rev().map(|seq| block(*seq, T0 + *seq as i64 * 3_000, 2, "here")))
            };
            prop_assert_eq!(of(&seqs), of(&seqs));
            for row in of(&seqs) {
                for other in of(&others) {
                    prop_assert_eq!(row.sort == other.sort, envelopes(&row.block) == envelopes(&other.block));
                }
            }
        }
    }
}
