//! What is asked of one channel's reading, and the alerts that follow.

use super::super::alarm::Verdict;
use super::super::detect::{Act, Found, Pair, Seen};
use super::super::health::Held;
use super::super::wind::Weather;
use super::raise::Case;
use super::{BEYOND, Judge, STRANGE, STUCK, State, USUAL, WEATHER, WINDOW, severity, value_of, verdict, words};
use crate::time::Stamp;
use windward_protocol::{Alert, AlertKind, Quantity, Reading};

/// An act that a related sensor confirms is weather up to this.
const BEYOND_WEATHER: f64 = 2.5;
/// A change that far beyond its level is no wind.
const SPIKE: f64 = 2.0;
/// Wind above this, m/s, that repeats itself so often and so long, ms, is frozen, even where it never moved since the
/// start and nothing could be learned.
const MOVING_WIND: f64 = 2.0;
/// No wind is stronger than this, m/s: the greatest ever measured at the ground outside a tornado is 113.
const STRONGEST_WIND: f64 = 120.0;
const FROZEN_REPEATS: u32 = 10;
const FROZEN_MS: u64 = 600_000;
/// An anemometer that slowly falls behind its neighbour is iced where it is cold enough for ice, degC; where nobody knows
/// how cold it is, it must have fallen below this share of what is expected.
const ICE_BELOW: f64 = 5.0;
const ICED_SHARE: f64 = 0.85;

/// Readings after a stuck value or a spike in which its pairs are not told of: the longest mean of a pair, twice.
const MENDING: u32 = 48;

impl Judge {
    pub(super) fn judge_hold(&mut self, stamp: Stamp, index: usize, value: f64, seen: &Seen, alerts: &mut Vec<Alert>) {
        let channel = &self.device.channels[index];
        let state = &mut self.state.channels[index];
        if !channel.detect || self.config.stuck_after_s == 0 || may_stand_still(channel.channel.quantity) {
            return;
        }
        let held_ms = |repeats: u32| u64::from(repeats) * u64::from(self.device.interval_ms);
        let mut held = state.hold.observe(value, seen.signs[index].wander);
        let repeats = state.hold.repeats();
        if channel.channel.quantity == Quantity::WindSpeed
            && value > MOVING_WIND
            && repeats >= FROZEN_REPEATS
            && held_ms(repeats) >= FROZEN_MS
        {
            held = held.or(Some(Held { repeats, below_all: false }));
        }
        let long = held.filter(|held| held_ms(held.repeats) >= 1_000 * u64::from(self.config.stuck_after_s));
        let verdict = match (held, long) {
            (_, Some(held)) => Verdict::Bad(f64::from(held.repeats)),
            (Some(_), None) => Verdict::Unsure,
            (None, None) => Verdict::Good,
        };
        let case =
            |phase| words::held(phase, value, &channel.channel.unit, long.map(|held| (held, held_ms(held.repeats))));
        if held.is_some() {
            self.state.detector.held(index);
        }
        let sick = held.is_some() || state.stuck.is_open() || state.act.is_open_as(AlertKind::Spike);
        state.mending = if sick { MENDING } else { state.mending.saturating_sub(1) };
        alerts.extend(state.stuck.step((verdict, &STUCK), stamp, &self.device, Some(index), &mut self.ids, case));
    }

    /// A pair is told of at the channel that reads less than its partner makes one expect: ice, friction and a lost
    /// signal all make it less.
    pub(super) fn judge_pairs(
        &mut self,
        stamp: Stamp,
        index: usize,
        readings: &[Reading],
        seen: &Seen,
        alerts: &mut Vec<Alert>,
    ) {
        let mine = |pair: &&Pair| if pair.gap.by < 0.0 { pair.channels.0 == index } else { pair.channels.1 == index };
        let involved = |pair: &&Pair| pair.channels.0 == index || pair.channels.1 == index;
        let worst = |a: &&Pair, b: &&Pair| a.gap.ratio.total_cmp(&b.gap.ratio);
        let ratio = seen.pairs.iter().filter(involved).max_by(worst).map(|pair| pair.gap.ratio);
        let pair = seen.pairs.iter().filter(mine).max_by(worst).filter(|pair| pair.gap.ratio > BEYOND);
        let Some(ratio) = ratio else { return };
        let other = seen.pairs.iter().any(|pair| {
            let low = if pair.gap.by < 0.0 { pair.channels.0 } else { pair.channels.1 };
            low != index
                && (pair.channels.0 == index || pair.channels.1 == index)
                && self.state.channels[low].apart.is_open()
        });
        let verdict = match pair {
            Some(pair) if !other && !self.is_explained(pair, seen) => Verdict::Bad(pair.gap.ratio),
            _ if ratio < USUAL * BEYOND => Verdict::Good,
            _ => Verdict::Unsure,
        };
        let temperatures = self.device.channels.iter().zip(readings);
        let coldest = temperatures
            .filter(|(channel, _)| channel.channel.quantity == Quantity::Temperature)
            .filter_map(|(_, reading)| value_of(*reading))
            .reduce(f64::min);
        let iced_share = match coldest {
            Some(coldest) if coldest > ICE_BELOW => 0.0,
            Some(_) => 1.0,
            None => ICED_SHARE,
        };
        let (device, state) = (&self.device, &mut self.state.channels[index]);
        let value = value_of(readings[index]).unwrap_or_default();
        let case = |phase| {
            let channel = &device.channels[index].channel;
            let partner = pair.map(|pair| {
                let partner = if pair.channels.0 == index { pair.channels.1 } else { pair.channels.0 };
                (pair.gap, &device.channels[partner].channel, value_of(readings[partner]).unwrap_or_default())
            });
            let iced = channel.quantity == Quantity::WindSpeed
                && pair.is_some_and(|pair| pair.gap.over > 0)
                && partner.is_some_and(|(gap, ..)| gap.expected + gap.by < iced_share * gap.expected);
            words::apart(phase, value, &channel.unit, partner, iced)
        };
        alerts.extend(state.apart.step((verdict, &STRANGE), stamp, device, Some(index), &mut self.ids, case));
    }

    /// Whether a spike, or a value that stands still, is why the pair is apart: that is told of, or will be in a moment.
    fn is_explained(&self, pair: &Pair, seen: &Seen) -> bool {
        [pair.channels.0, pair.channels.1].into_iter().any(|index| {
            let state = &self.state.channels[index];
            state.mending > 0
                || state.hold.repeats() > 0
                || seen.signs[index].act.is_some_and(|found| kind_of(found) == AlertKind::Spike)
        })
    }

    pub(super) fn judge_acts(&mut self, stamp: Stamp, index: usize, value: f64, seen: &Seen, alerts: &mut Vec<Alert>) {
        let (device, state) = (&self.device, &mut self.state.channels[index]);
        let Some(found) = seen.signs[index].act else { return };
        let beyond = if seen.signs[index].confirmed { BEYOND_WEATHER } else { BEYOND };
        let sick = state.stuck.is_open() || state.apart.is_open();
        let kind = kind_of(found);
        // What is told of already: a sick sensor, or a gust that is just that.
        let known = sick || (state.gust.is_open() && kind != AlertKind::Spike);
        let mut verdict = verdict(found.ratio, beyond, Some(found.ratio));
        if known && !state.act.is_open() && matches!(verdict, Verdict::Bad(_)) {
            verdict = Verdict::Unsure;
        }
        let case = |phase| {
            let unit = &device.channels[index].channel.unit;
            let evidence = words::act(phase, value, unit, found, device.interval_ms);
            Case {
                kind,
                severity: severity(found.ratio),
                value: Some(value),
                score: seen.score,
                threshold: None,
                evidence,
            }
        };
        alerts.extend(state.act.step((verdict, &STRANGE), stamp, device, Some(index), &mut self.ids, case));
    }

    pub(super) fn judge_windows(
        &mut self,
        stamp: Stamp,
        index: usize,
        value: f64,
        seen: &Seen,
        alerts: &mut Vec<Alert>,
    ) {
        let State { detector, channels, .. } = &mut self.state;
        let (device, state) = (&self.device, &mut channels[index]);
        let signs = seen.signs[index];
        let sick = signs.confirmed || state.stuck.is_open() || state.apart.is_open() || state.mending > 0;
        let verdict = match (signs.window, sick) {
            (Some(window), false) => Verdict::Bad(window.score),
            (Some(_), true) => Verdict::Unsure,
            (None, _) => Verdict::Good,
        };
        if matches!(verdict, Verdict::Bad(_)) {
            detector.told_window(index);
        }
        let case =
            |phase| words::window(phase, value, &device.channels[index].channel.unit, signs.window, device.interval_ms);
        alerts.extend(state.window.step((verdict, &WINDOW), stamp, device, Some(index), &mut self.ids, case));
    }

    /// Wind alerts, of a sensor that can be believed.
    pub(super) fn judge_wind(&mut self, stamp: Stamp, index: usize, value: f64, seen: &Seen, alerts: &mut Vec<Alert>) {
        let (device, state, ids) = (&self.device, &mut self.state.channels[index], &mut self.ids);
        let channel = &device.channels[index];
        if channel.channel.quantity != Quantity::WindSpeed || !channel.detect {
            return;
        }
        let turbine = &self.config.turbine;
        let spike = seen.signs[index].act.is_some_and(|found| kind_of(found) == AlertKind::Spike);
        let sick = state.stuck.is_open() || state.apart.is_open() || state.act.is_open_as(AlertKind::Spike);
        if spike || !(0.0..=STRONGEST_WIND).contains(&value) {
            return;
        }
        if state.stuck.is_open() {
            // It comes free in the wind of now, and from where it stood to there is no gust.
            state.wind.interrupt();
        }
        let Weather { gust, mean, turbulence } = state.wind.observe(stamp.mono, value, turbine);
        let believed = |verdict| if sick && matches!(verdict, Verdict::Bad(_)) { Verdict::Unsure } else { verdict };
        let blows = gust.map_or(Verdict::Good, |(rise, _)| Verdict::Bad(rise));
        let case = |phase| words::gust(phase, value, gust);
        alerts.extend(state.gust.step((believed(blows), &WEATHER), stamp, device, Some(index), ids, case));
        let high = match mean {
            Some(mean) if mean >= turbine.cut_out => Verdict::Bad(mean),
            Some(mean) if mean < turbine.restart => Verdict::Good,
            _ => Verdict::Unsure,
        };
        let case = |phase| words::high_wind(phase, value, mean.unwrap_or(value), turbine);
        alerts.extend(state.high_wind.step((believed(high), &WEATHER), stamp, device, Some(index), ids, case));
        let rough = turbulence.map_or(Verdict::Good, |(deviation, _)| Verdict::Bad(deviation));
        let case = |phase| words::turbulence(phase, value, turbulence);
        alerts.extend(state.turbulence.step((believed(rough), &WEATHER), stamp, device, Some(index), ids, case));
    }
}

fn kind_of(found: Found) -> AlertKind {
    match found.act {
        Act::Jump { within: 1, .. } if found.ratio >= SPIKE => AlertKind::Spike,
        Act::Noise { .. } => AlertKind::Noise,
        _ => AlertKind::Anomaly,
    }
}

/// Quantities that hold one value for hours and are well: a vane in a calm, a pitch drive, a status word.
fn may_stand_still(quantity: Quantity) -> bool {
    use Quantity::{PitchAngle, StateOfCharge, Status, WindDirection, YawAngle};
    matches!(quantity, WindDirection | YawAngle | PitchAngle | StateOfCharge | Status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_has_its_kind() {
        let (from, to, within) = (8.0, 12.0, 4);
        for (act, ratio, kind) in [
            (Act::Jump { within: 1, from }, 2.0, AlertKind::Spike),
            (Act::Jump { within: 1, from }, 1.9, AlertKind::Anomaly),
            (Act::Jump { within, from }, 9.0, AlertKind::Anomaly),
            (Act::Shift { within, from, to }, 9.0, AlertKind::Anomaly),
            (Act::Drift { within, from, to }, 9.0, AlertKind::Anomaly),
            (Act::Noise { over: 16, times: 4.0 }, 1.2, AlertKind::Noise),
        ] {
            assert_eq!(kind_of(Found { act, ratio }), kind, "{act:?} at {ratio}");
        }
    }
}
