//! What was read last: the newest value of each channel, and half an hour of each wind speed, for whoever looks at the whole
//! farm. It is made from the summaries of stored rows, so that nothing is unpacked for it.

use crate::place::{ChannelSummary, ReadingsRow};
use std::collections::{BTreeMap, VecDeque};

/// One value of a spark line stands for so long, ms.
pub const STEP_MS: i64 = 30_000;
/// So many values has a spark line: half an hour.
pub const STEPS: usize = 60;
/// Most devices that are remembered.
const MAX_DEVICES: usize = 20_000;

/// A channel's newest reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recently {
    /// When it was read; the row's last moment.
    pub time_ms: i64,
    /// The newest value of that row, if it had one.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: String,
    /// Means of a speed: number of the step, sum, count.
    steps: VecDeque<(i64, f64, f64)>,
}

/// What was read last, of each channel of each device, `<agent>/<device>`.
#[derive(Clone, Debug, Default)]
pub struct Recent(BTreeMap<String, BTreeMap<String, Recently>>);

impl Recent {
    /// Takes a row in, in whatever order rows come. The same row twice changes no mean by more than its share.
    pub fn note(&mut self, row: &ReadingsRow) {
        self.note_summaries(&row.partition, row.first_ms, row.last_ms, &row.channels);
    }

    /// The same, of a device `<agent>/<device>`.
    pub fn note_summaries(&mut self, device: &str, first_ms: i64, last_ms: i64, channels: &[ChannelSummary]) {
        if !self.0.contains_key(device) {
            if self.0.len() >= MAX_DEVICES {
                return;
            }
            self.0.insert(device.to_string(), BTreeMap::new());
        }
        let Some(known) = self.0.get_mut(device) else { return };
        // A device that was configured anew has other channels; the old ones would stay for ever.
        if known.len() > 2 * channels.len() {
            known.retain(|name, _| channels.iter().any(|summary| summary.name == *name));
        }
        for summary in channels {
            let channel = known.entry(summary.name.clone()).or_default();
            if last_ms >= channel.time_ms {
                channel.time_ms = last_ms;
                channel.value = summary.last;
                if channel.unit != summary.unit {
                    channel.unit.clone_from(&summary.unit);
                }
            }
            if let Some(mean) = summary.mean
                && is_speed(&summary.unit)
            {
                channel.steps_of(first_ms, last_ms, mean, f64::from(summary.n));
            }
        }
    }

    /// A channel of a device `<agent>/<device>`.
    pub fn of(&self, device: &str, channel: &str) -> Option<&Recently> {
        self.0.get(device)?.get(channel)
    }

    /// Time of an agent's newest row, ms.
    pub fn newest_ms(&self, agent: &str) -> Option<i64> {
        let prefix = format!("{agent}/");
        let devices = self.0.range(prefix.clone()..).take_while(|(device, _)| device.starts_with(&prefix));
        devices.flat_map(|(_, channels)| channels.values().map(|channel| channel.time_ms)).max()
    }
}

/// Spark lines are of wind.
fn is_speed(unit: &str) -> bool {
    matches!(unit, "m/s" | "km/h" | "kn" | "mph")
}

impl Recently {
    /// A row spans several steps where much came together, as after an outage: of each of them it is the mean.
    fn steps_of(&mut self, first_ms: i64, last_ms: i64, mean: f64, n: f64) {
        let last = last_ms.div_euclid(STEP_MS);
        let first = first_ms.div_euclid(STEP_MS).clamp(last.saturating_sub(STEPS as i64 - 1), last);
        let share = n / (last - first + 1) as f64;
        (first..=last).for_each(|number| self.step(number, mean, share));
    }

    fn step(&mut self, number: i64, mean: f64, n: f64) {
        if self.steps.len() >= STEPS && self.steps.front().is_some_and(|first| number < first.0) {
            return;
        }
        // Almost always the last.
        let place = self.steps.partition_point(|step| step.0 < number);
        match self.steps.get_mut(place) {
            Some(step) if step.0 == number => (step.1, step.2) = (step.1 + mean * n, step.2 + n),
            _ => self.steps.insert(place, (number, mean * n, n)),
        }
        while self.steps.len() > STEPS {
            self.steps.pop_front();
        }
    }

    /// The spark line that ends now: when it begins, and means a step.
    pub fn spark(&self, now_ms: i64) -> (i64, Vec<Option<f64>>) {
        let first = now_ms.div_euclid(STEP_MS) - (STEPS as i64 - 1);
        let mut means = vec![None; STEPS];
        for (number, sum, n) in &self.steps {
            if let Some(mean) = usize::try_from(number - first).ok().and_then(|index| means.get_mut(index)) {
                *mean = Some(sum / n).filter(|mean| mean.is_finite());
            }
        }
        (first * STEP_MS, means)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(recent: &mut Recent, first_ms: i64, last_ms: i64, n: u32, mean: Option<f64>) {
        let summary = ChannelSummary {
            name: "wind".into(),
            unit: "m/s".into(),
            n,
            min: mean,
            mean,
            max: mean,
            std: None,
            last: mean,
            max_score: None,
        };
        recent.note_summaries("t1/mast", first_ms, last_ms, &[summary]);
    }

    #[test]
    fn the_newest_stays_in_whatever_order_rows_come() {
        let mut recent = Recent::default();
        note(&mut recent, 60_000, 61_000, 1, Some(9.0));
        note(&mut recent, 1_000, 2_000, 2, Some(7.0));
        note(&mut recent, 3_000, 3_000, 1, Some(10.0));
        let channel = recent.of("t1/mast", "wind").unwrap();
        assert_eq!((channel.time_ms, channel.value), (61_000, Some(9.0)));
        let (from_ms, means) = channel.spark(61_000);
        assert_eq!((from_ms, means.len()), ((2 - 59) * STEP_MS, STEPS));
        assert_eq!(means[57..], [Some(8.0), None, Some(9.0)]);
        note(&mut recent, 62_000, 62_000, 0, None);
        assert_eq!(recent.of("t1/mast", "wind").unwrap().value, None, "what is not read has no value");
        assert!(recent.of("t1/mast", "rain").is_none());
        assert_eq!((recent.newest_ms("t1"), recent.newest_ms("t")), (Some(62_000), None));
    }

    #[test]
    fn what_came_together_after_an_outage_leaves_no_gap() {
        let mut recent = Recent::default();
        note(&mut recent, 0, 4 * STEP_MS - 1, 120, Some(8.0));
        note(&mut recent, 4 * STEP_MS, 4 * STEP_MS, 1, Some(9.0));
        let channel = recent.of("t1/mast", "wind").unwrap();
        assert_eq!(channel.spark(4 * STEP_MS).1[STEPS - 5..], [Some(8.0), Some(8.0), Some(8.0), Some(8.0), Some(9.0)]);
        note(&mut recent, i64::MIN, i64::MAX, 1, Some(1.0));
        assert_eq!(recent.of("t1/mast", "wind").unwrap().steps.len(), STEPS);
    }

    #[test]
    fn a_spark_line_is_no_longer_than_half_an_hour() {
        let mut recent = Recent::default();
        for n in 0..500 {
            note(&mut recent, n * STEP_MS, n * STEP_MS, 1, Some(n as f64));
        }
        note(&mut recent, 0, 0, 1, Some(1.0));
        let channel = recent.of("t1/mast", "wind").unwrap();
        assert_eq!(channel.steps.len(), STEPS);
        assert_eq!(channel.spark(499 * STEP_MS).1[STEPS - 1], Some(499.0));
        assert_eq!(channel.spark(10_000 * STEP_MS).1, vec![None; STEPS]);
    }
}
