//! When the state of which device is written down, and what it depends on. Pure.

use crate::config::Device;
use crate::time::{Mono, Wall};
use crate::watch::judge::DetectConfig;
use crc::{CRC_64_XZ, Crc};

const CRC64: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);
/// After an alert has opened or cleared, the state of its device is written this soon: a killed agent goes on with its
/// open alerts.
const SOON_MS: u64 = 2_000;
/// But not more often than this, for the sake of the SD card.
const AT_MOST_EVERY_MS: u64 = 60_000;

/// A saved state that a judge cannot go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state cannot be used: {0}")]
pub struct BadState(pub &'static str);

/// What a device's state depends on, as a number: a state of another one would be misunderstood. It changes with the
/// device's channels, their registers and scales, its interval, and every setting of the judge; where the device is
/// reached does not matter.
pub fn fingerprint(device: &Device, detect: &DetectConfig) -> u64 {
    let text = format!("1 {:?} {} {:?} {detect:?}", device.name, device.interval_ms, device.channels);
    CRC64.checksum(text.as_bytes())
}

/// The moment of a checkpoint as the judge is told it: never later than now, which it may seem to be when the clock was
/// or is wrong.
pub fn believable(saved: Wall, now: Wall) -> Wall {
    saved.min(now)
}

/// Whose state is written when: one device after another, spread over the interval.
#[derive(Clone, Debug)]
pub struct Turns {
    every_ms: u64,
    turns: Vec<Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Mono,
    /// No earlier, whatever happens.
    rested: Mono,
}

impl Turns {
    /// Turns of so many devices, each at every `every_ms`; none when that is 0.
    pub fn new(devices: usize, every_ms: u64, now: Mono) -> Self {
        let devices = if every_ms == 0 { 0 } else { devices as u64 };
        let turn = |index| Turn { due: now + every_ms * (index + 1) / devices, rested: now };
        Self { every_ms, turns: (0..devices).map(turn).collect() }
    }

    /// The next turn: when, and whose.
    pub fn next(&self) -> Option<(Mono, usize)> {
        self.turns.iter().enumerate().map(|(device, turn)| (turn.due, device)).min()
    }

    /// The device has had its turn.
    pub fn done(&mut self, device: usize, now: Mono) {
        if let Some(turn) = self.turns.get_mut(device) {
            *turn = Turn { due: now + self.every_ms, rested: now + AT_MOST_EVERY_MS };
        }
    }

    /// An alert of the device has opened or cleared: its turn comes soon.
    pub fn hurry(&mut self, device: usize, now: Mono) {
        if let Some(turn) = self.turns.get_mut(device) {
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
        let mut turns = Turns::new(3, 15 * MINUTE, Mono(0));
        let mut told = Vec::new();
        for _ in 0..6 {
            let (at, device) = turns.next().unwrap();
            told.push((at.0 / MINUTE, device));
            turns.done(device, at);
        }
        assert_eq!(told, [(5, 0), (10, 1), (15, 2), (20, 0), (25, 1), (30, 2)]);
        assert_eq!(Turns::new(3, 0, Mono(0)).next(), None, "an interval of 0 is never");
    }

    #[test]
    fn an_alert_brings_the_turn_forward_but_not_twice_a_minute() {
        let mut turns = Turns::new(2, 15 * MINUTE, Mono(0));
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
            let (mut turns, mut last) = (Turns::new(4, every, now), [None; 4]);
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
