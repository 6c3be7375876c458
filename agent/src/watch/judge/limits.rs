//! What a person's rules say of the device's channels, and the alerts that follow.

use super::super::alarm::{Patience, Verdict};
use super::super::rules::{Follow, Over, Rule};
use super::raise::{Ids, Raised};
use super::{JudgeDevice, words};
use crate::time::{Stamp, Wall};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use windward_protocol::{Alert, AlertPhase, Reading, Severity};

/// Shortest time between two steps that are told because things grew worse, ms.
const UPDATE_EVERY_MS: u64 = 60_000;

/// The rules of a device: one for each channel that one watches.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    followed: Vec<Followed>,
    /// Open alerts of rules that went from the configuration, until that is told.
    gone: Vec<(usize, Kept)>,
}

/// A rule on a channel, by its place.
#[derive(Clone, Debug)]
struct Followed {
    channel: usize,
    rule: Rule,
    follow: Follow,
    raised: Raised,
}

/// What is kept of a rule over a restart. The window under way is not: it begins anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    rule: String,
    channel: String,
    severity: Severity,
    history: VecDeque<Option<f64>>,
    raised: Raised,
}

impl Rules {
    pub(super) fn new(device: &JudgeDevice) -> Self {
        let followed = |channel, rule: &Rule| Followed {
            channel,
            rule: rule.clone(),
            follow: Follow::default(),
            raised: Raised::default(),
        };
        let channels = device.channels.iter().enumerate();
        let followed =
            channels.flat_map(|(index, channel)| channel.rules.iter().map(move |rule| followed(index, rule)));
        Self { followed: followed.collect(), gone: Vec::new() }
    }

    pub(super) fn kept(&self, device: &JudgeDevice) -> Vec<Kept> {
        let kept = |followed: &Followed| Kept {
            rule: followed.rule.name.clone(),
            channel: device.channels[followed.channel].channel.name.clone(),
            severity: followed.rule.severity,
            history: followed.follow.history.clone(),
            raised: followed.raised.clone(),
        };
        self.followed.iter().map(kept).chain(self.gone.iter().map(|(_, kept)| kept.clone())).collect()
    }

    /// Goes on with what was kept at some time `saved` before `at`. A rule is known again by its name and its channel,
    /// whatever it says now; an open alert that none goes on with is ended.
    pub(super) fn resume(&mut self, all: Vec<Kept>, device: &JudgeDevice, at: Stamp, saved: Wall) {
        let away_ms = at.wall.0.saturating_sub(saved.0).unsigned_abs();
        for kept in all {
            let Some(channel) = device.channels.iter().position(|channel| channel.channel.name == kept.channel) else {
                continue;
            };
            let same = |followed: &&mut Followed| followed.channel == channel && followed.rule.name == kept.rule;
            match self.followed.iter_mut().find(same) {
                Some(followed) => {
                    followed.raised = kept.raised;
                    followed.raised.resume(at.mono);
                    // The windows before are those just before, or none.
                    if matches!(followed.rule.over, Over::Windows { length_ms, .. } if away_ms <= length_ms) {
                        followed.follow.history = kept.history;
                    }
                }
                None if kept.raised.is_open() => self.gone.push((channel, kept)),
                None => {}
            }
        }
    }

    /// Takes a row: one reading a channel, in the device's order.
    pub(super) fn judge(
        &mut self,
        stamp: Stamp,
        readings: &[Reading],
        device: &JudgeDevice,
        ids: &mut Ids,
        alerts: &mut Vec<Alert>,
    ) {
        for (channel, Kept { rule, severity, raised, .. }) in self.gone.drain(..) {
            let ended = raised.end(stamp, device, channel, words::rule_is_gone(severity));
            alerts.extend(ended.map(|alert| signed(alert, &rule, "")));
        }
        for followed in &mut self.followed {
            alerts.extend(followed.judge(stamp, readings[followed.channel], device, ids));
        }
    }
}

impl Followed {
    fn judge(&mut self, stamp: Stamp, reading: Reading, device: &JudgeDevice, ids: &mut Ids) -> Option<Alert> {
        let Self { channel: index, rule, follow, raised } = self;
        let channel = &device.channels[*index].channel;
        let figure = follow.observe(rule.over, channel.quantity, stamp, reading);
        // That an alert is still open after a restart is told at once, not with the first window.
        if figure.is_none() && !raised.is_untold() {
            return None;
        }
        let value = figure.and_then(|figure| figure.value);
        let verdict = value.map_or(Verdict::Unsure, |value| rule.bounds.verdict(value, raised.is_open()));
        let patience = Patience {
            open_after: rule.for_windows,
            clear_after: rule.for_windows,
            min_open_ms: 0,
            update_every_ms: UPDATE_EVERY_MS,
        };
        let case = |phase: AlertPhase| words::rule(phase, rule, &channel.unit, figure);
        let mut alert = raised.step((verdict, &patience), stamp, device, Some(*index), ids, case)?;
        alert.unit = words::unit_of(rule.over, &channel.unit).to_owned();
        Some(signed(alert, &rule.name, &rule.say))
    }
}

/// The alert with the rule's name before its evidence, and behind it what is to be done.
fn signed(mut alert: Alert, rule: &str, say: &str) -> Alert {
    let say = if alert.phase == AlertPhase::Clear { "" } else { say };
    alert.evidence = format!("{rule}: {}. {say}", alert.evidence).trim_end().to_owned();
    alert
}
