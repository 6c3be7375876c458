//! What is kept of a device over a restart, in parts; when which is written down, and what it depends on. Pure.
//!
//! A part is written at the pace at which it changes, for an SD card stands only so many writes. What alerts are open and
//! what they were decided by is one part: were alarms newer than the statistics that opened and cleared them, an event
//! that was told and is over would be told again. The forests are parts of their own: nearly all of the bytes, and what
//! is taken from them is some hours of rows or windows among weeks.

use super::Watch;
use crate::config::Device;
use crate::time::{Mono, Stamp, Wall};
use crate::watch::judge::DetectConfig;
use crc::{CRC_64_XZ, Crc};
use serde::{Deserialize, Serialize};
use std::fmt;

const CRC64: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);
/// After an alert has opened or cleared, the readings of its device are written this soon: a killed agent goes on with
/// its open alerts.
const SOON_MS: u64 = 2_000;
/// But not more often than this, for the sake of the SD card.
const AT_MOST_EVERY_MS: u64 = 60_000;
/// A forest is not written more often than this: four times a day it takes in what a power cut would cost, a quarter of
/// a day out of weeks, and not a hundred times.
const FOREST_EVERY_MS: u64 = 6 * HOUR_MS;
/// But the first time within an hour: an agent that is cut off every few hours learns too.
const FIRST_FOREST_MS: u64 = HOUR_MS;
const HOUR_MS: u64 = 3_600_000;

/// A part of what is kept of a device. The order is the one in which parts are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// Open alerts, and all that readings have taught but for the forests.
    Readings,
    /// The forest of the device's rows. Its points are in units that [`Part::Readings`] knows.
    Rows,
    /// The forest of a channel's hours; the channel's place.
    Hours(u16),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Readings => write!(f, "readings"),
            Part::Rows => write!(f, "rows"),
            Part::Hours(place) => write!(f, "hours of channel {}", place + 1),
        }
    }
}

/// A saved part that a judge cannot go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state cannot be used: {0}")]
pub struct BadState(pub &'static str);

impl Watch {
    /// The parts of what is kept of `device`, in the order in which they are restored.
    pub fn parts(&self, device: usize) -> Vec<Part> {
        self.devices[device].judge.parts()
    }

    /// A number that grows with what there is to keep in a part of `device`: readings and steps of alerts, or points of a
    /// forest.
    pub fn news(&self, device: usize, part: Part) -> u64 {
        match part {
            Part::Readings => self.devices[device].news,
            forest => self.devices[device].judge.points(forest),
        }
    }

    /// Appends to `out` a part of what the judge of `device` has learned and of what alerts it has open.
    pub fn save(&self, device: usize, part: Part, out: &mut Vec<u8>) {
        self.devices[device].judge.save(part, out);
    }

    /// Lets the judge of `device` go on from what [`Watch::save`] has given, at some time `saved` before `at`. After an
    /// error it knows as little as before. Parts are restored in the order of [`Watch::parts`].
    pub fn restore(&mut self, device: usize, part: Part, bytes: &[u8], at: Stamp, saved: Wall) -> Result<(), BadState> {
        self.devices[device].judge.restore(part, bytes, at, saved)
    }
}

/// What a device's state depends on, as a number: a state of another one would be misunderstood. It changes with the
/// device's channels, their registers and scales, its interval, and every setting of the judge; where the device is
/// reached does not matter, nor do a person's rules, which are known again by their names.
pub fn fingerprint(device: &Device, detect: &DetectConfig) -> u64 {
    let text = format!("4 {:?} {} {:?} {detect:?}", device.name, device.interval_ms, device.channels);
    CRC64.checksum(text.as_bytes())
}

/// The moment of a checkpoint as the judge is told it: never later than now, which it may seem to be when the clock was
/// or is wrong.
pub fn believable(saved: Wall, now: Wall) -> Wall {
    saved.min(now)
}

/// Which part of which device is written when: one after another, spread over the interval.
#[derive(Clone, Debug)]
pub struct Turns {
    turns: Vec<Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    device: usize,
    part: Part,
    every_ms: u64,
    due: Mono,
    /// No earlier, whatever happens.
    rested: Mono,
}

impl Turns {
    /// Turns of the parts of each device: readings at every `every_ms`, forests at every six hours, or as seldom as
    /// readings. None when `every_ms` is 0.
    pub fn new(parts: &[Vec<Part>], every_ms: u64, now: Mono) -> Self {
        let all = || parts.iter().enumerate().flat_map(|(device, parts)| parts.iter().map(move |&part| (device, part)));
        let spread = |forests: bool, first_ms: u64, every_ms: u64| {
            let mine = all().filter(|(_, part)| (*part != Part::Readings) == forests).collect::<Vec<_>>();
            let count = mine.len() as u64;
            (1..).zip(mine).map(move |(nth, (device, part))| Turn {
                device,
                part,
                every_ms,
                due: now + first_ms * nth / count,
                rested: now,
            })
        };
        if every_ms == 0 {
            return Turns { turns: Vec::new() };
        }
        let forests = spread(true, every_ms.max(FIRST_FOREST_MS), every_ms.max(FOREST_EVERY_MS));
        Turns { turns: spread(false, every_ms, every_ms).chain(forests).collect() }
    }

    /// Whose turn each is: device and part.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Part)> {
        self.turns.iter().map(|turn| (turn.device, turn.part))
    }

    /// The next turn: when, and which, by its place in [`Turns::iter`].
    pub fn next(&self) -> Option<(Mono, usize)> {
        self.turns.iter().enumerate().map(|(nth, turn)| (turn.due, nth)).min()
    }

    /// A turn has been taken.
    pub fn done(&mut self, nth: usize, now: Mono) {
        if let Some(turn) = self.turns.get_mut(nth) {
            (turn.due, turn.rested) = (now + turn.every_ms, now + AT_MOST_EVERY_MS);
        }
    }

    /// An alert of the device has opened or cleared: the turn of its readings comes soon.
    pub fn hurry(&mut self, device: usize, now: Mono) {
        let mine = |turn: &&mut Turn| (turn.device, turn.part) == (device, Part::Readings);
        if let Some(turn) = self.turns.iter_mut().find(mine) {
            turn.due = turn.due.min((now + SOON_MS).max(turn.rested));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::config_of;
    use proptest::prelude::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn devices_take_turns_over_the_interval() {
        let mut turns = Turns::new(&vec![vec![Part::Readings]; 3], 15 * MINUTE, Mono(0));
        let mut told = Vec::new();
        for _ in 0..6 {
            let (at, device) = turns.next().unwrap();
            told.push((at.0 / MINUTE, device));
            turns.done(device, at);
        }
        assert_eq!(told, [(5, 0), (10, 1), (15, 2), (20, 0), (25, 1), (30, 2)]);
        assert_eq!(Turns::new(&vec![vec![Part::Readings]; 3], 0, Mono(0)).next(), None, "an interval of 0 is never");
    }

    #[test]
    fn forests_have_their_first_turn_within_an_hour_and_then_one_in_six_hours_one_after_another() {
        let parts = vec![vec![Part::Readings, Part::Rows, Part::Hours(0), Part::Hours(2)]; 2];
        let mut turns = Turns::new(&parts, 15 * MINUTE, Mono(0));
        let owners: Vec<_> = turns.iter().collect();
        let mut told = Vec::new();
        while let Some((at, nth)) = turns.next().filter(|(at, _)| at.0 < 24 * HOUR_MS) {
            told.extend((owners[nth].1 != Part::Readings).then_some((at.0 / MINUTE, owners[nth])));
            turns.done(nth, at);
        }
        let first: Vec<_> = told.iter().map(|(at, _)| *at).take(7).collect();
        assert_eq!(first, [10, 20, 30, 40, 50, 60, 370]);
        assert_eq!(told[..3].iter().map(|(_, owner)| *owner).collect::<Vec<_>>(), owners[2..5]);
        assert_eq!(told.len(), 6 * 4);
    }

    #[test]
    fn an_alert_brings_the_turn_forward_but_not_twice_a_minute() {
        let mut turns = Turns::new(&vec![vec![Part::Readings]; 2], 15 * MINUTE, Mono(0));
        turns.hurry(1, Mono(1_000));
        assert_eq!(turns.next(), Some((Mono(3_000), 1)));
        turns.done(1, Mono(3_000));
        turns.hurry(1, Mono(4_000));
        assert_eq!(turns.next(), Some((Mono(63_000), 1)));
    }

    proptest! {
        #[test]
        fn no_device_waits_longer_than_the_interval_and_none_is_written_twice_a_minute(
            alerts in prop::collection::vec((0..4usize, 0..100_000u64), 0..100),
        ) {
            let (every, mut now) = (15 * MINUTE, Mono(0));
            let (mut turns, mut last) = (Turns::new(&vec![vec![Part::Readings]; 4], every, now), [None; 4]);
            for (device, pause) in alerts {
                now = now + pause;
                while let Some((at, due)) = turns.next().filter(|(at, _)| *at <= now) {
                    let before = last[due].replace(at).unwrap_or(Mono(0));
                    prop_assert!(at - before <= every);
                    prop_assert!(at - before >= AT_MOST_EVERY_MS || before == Mono(0));
                    turns.done(due, at);
                }
                turns.hurry(device, now);
            }
        }
    }

    #[test]
    fn a_state_is_of_its_channels_and_settings_wherever_the_device_is_reached() {
        let of = |table: &str, detect: &DetectConfig| fingerprint(&config_of(table).unwrap().devices[0], detect);
        let table = "[[device]]\nprofile = \"lambrecht-pro-speed\"\nmodbus_rtu = { port = \"/dev/a\" }\n";
        let detect = DetectConfig::default();
        let same = of(table, &detect);
        assert_eq!(of(&table.replace("/dev/a", "/dev/b"), &detect), same);
        assert_ne!(of(&format!("{table}interval_ms = 5000\n"), &detect), same);
        assert_ne!(of(&format!("{table}name = \"other\"\n"), &detect), same);
        let other = DetectConfig { return_days: detect.return_days + 1.0, ..detect };
        assert_ne!(of(table, &other), same);
    }
}
