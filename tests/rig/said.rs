//! What a life over a spool was promised, as it wrote it down line by line: what the spool is held to afterwards.

use crate::rows::rows_of;
use anyhow::{Context as _, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use windward_protocol::{Envelope, Epoch, Gap, GapReason, Lane, Record, Seq, SeqRange, SeqSet};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A process has opened the spool of this epoch.
    Opened {
        /// The epoch.
        epoch: Epoch,
    },
    /// The row of this number stands in a side file: a killed process keeps it.
    Kept {
        /// Index of the device.
        device: usize,
        /// Number of the row.
        number: u64,
    },
    /// The envelope is durable: it survives a power cut.
    Safe {
        /// Its lane.
        lane: Lane,
        /// Its number.
        seq: Seq,
        /// Its checksum.
        crc: u32,
        /// Its rows, if it is a block: index of the device, first and last number.
        rows: Option<(usize, u64, u64)>,
    },
    /// The sink says that it has these: they may leave the disk (A3).
    Acked {
        /// Their lane.
        lane: Lane,
        /// The envelopes.
        range: SeqRange,
    },
    /// A durable gap record says that these readings had to make room: they may leave the disk (A4).
    GivenUp {
        /// The envelopes.
        range: SeqRange,
    },
}

/// All that was promised up to a moment.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// The epoch of the spool, once it has been opened.
    pub epoch: Option<Epoch>,
    /// Rows that stand in side files or in blocks: device and number.
    pub kept: BTreeSet<(usize, u64)>,
    /// Checksums of all envelopes that are or were durable.
    pub safe: BTreeMap<(Lane, Seq), u32>,
    /// Rows of those that are blocks.
    pub rows: BTreeMap<Seq, (usize, u64, u64)>,
    /// What may be gone.
    pub released: BTreeMap<Lane, SeqSet>,
}

/// The checksum that closes an encoded envelope.
pub fn crc(envelope: &[u8]) -> u32 {
    envelope.last_chunk::<4>().map_or(0, |crc| u32::from_le_bytes(*crc))
}

/// What is said of envelopes that are durable now.
pub(crate) fn safe_lines(lane: Lane, values: &BTreeMap<Seq, Vec<u8>>) -> anyhow::Result<String> {
    let mut text = String::new();
    for (&seq, bytes) in values {
        let mut rows = None;
        match Envelope::decode(bytes)?.record {
            Record::Block(block) => {
                let (device, numbers) = rows_of(&block)?;
                rows = Some((device, numbers[0], numbers[numbers.len() - 1]));
            }
            Record::Gap(Gap { from: first, to: last, reason: GapReason::SpaceEnded, .. }) => {
                text += &format!("{}\n", Said::GivenUp { range: SeqRange { first, last } });
            }
            _ => {}
        }
        text += &format!("{}\n", Said::Safe { lane, seq, crc: crc(bytes), rows });
    }
    Ok(text)
}

impl Promises {
    /// Takes in the whole lines of what was said. An error: a number has been given out twice (A2).
    pub fn hear(&mut self, text: &str) -> anyhow::Result<()> {
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            match Said::parse(line.trim_end()).with_context(|| format!("what is said here: {line}"))? {
                // Nothing that was promised about one spool is to be found in another.
                Said::Opened { epoch } if self.epoch != Some(epoch) => {
                    *self = Self { epoch: Some(epoch), ..Self::default() };
                }
                Said::Opened { .. } => {}
                Said::Kept { device, number } => {
                    self.kept.insert((device, number));
                }
                Said::Safe { lane, seq, crc, rows } => {
                    let before = self.safe.insert((lane, seq), crc);
                    if before.is_some_and(|before| before != crc) {
                        bail!("A2: {lane} {seq} was given out twice");
                    }
                    if let Some(rows) = rows {
                        self.rows.insert(seq, rows);
                    }
                }
                Said::Acked { lane, range } => self.released.entry(lane).or_default().insert(range),
                Said::GivenUp { range } => self.released.entry(Lane::Readings).or_default().insert(range),
            }
        }
        Ok(())
    }

    /// Whether this envelope may be gone.
    pub fn is_released(&self, lane: Lane, seq: Seq) -> bool {
        self.released.get(&lane).is_some_and(|released| released.contains(seq))
    }
}

impl Said {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let verb = words.next()?;
        let mut lane = None;
        if verb == "safe" || verb == "acked" {
            let name = words.next()?;
            lane = Lane::DURABLE.into_iter().find(|lane| lane.name() == name);
        }
        let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(match (verb, lane, numbers.as_slice()) {
            ("opened", None, &[epoch]) => Said::Opened { epoch },
            ("kept", None, &[device, number]) => Said::Kept { device: device as usize, number },
            ("safe", Some(lane), &[seq, crc]) => Said::Safe { lane, seq, crc: crc as u32, rows: None },
            ("safe", Some(lane), &[seq, crc, device, first, last]) => {
                Said::Safe { lane, seq, crc: crc as u32, rows: Some((device as usize, first, last)) }
            }
            ("acked", Some(lane), &[first, last]) => Said::Acked { lane, range: SeqRange { first, last } },
            ("given-up", None, &[first, last]) => Said::GivenUp { range: SeqRange { first, last } },
            _ => return None,
        })
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Opened { epoch } => write!(f, "opened {epoch}"),
            Said::Kept { device, number } => write!(f, "kept {device} {number}"),
            Said::Safe { lane, seq, crc, rows: None } => write!(f, "safe {lane} {seq} {crc}"),
            Said::Safe { lane, seq, crc, rows: Some((device, first, last)) } => {
                write!(f, "safe {lane} {seq} {crc} {device} {first} {last}")
            }
            Said::Acked { lane, range } => write!(f, "acked {lane} {} {}", range.first, range.last),
            Said::GivenUp { range } => write!(f, "given-up {} {}", range.first, range.last),
        }
    }
}
