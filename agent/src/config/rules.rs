//! A person's own limits: which channels a rule watches, and what it says of them.

use super::faults::{Faults, place};
use super::problem::nearest;
use super::raw::{RawRule, RawStatistic};
use super::{Config, Device, DeviceChannel};
use crate::watch::judge::{Bounds, Limit, Over, Rule, Statistic};
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;
use windward_protocol::{Quantity, Severity};

/// Most rules: more than a person can keep in mind.
const MAX_RULES: usize = 64;
/// Most channels that all rules watch, each rule's counted for itself: each costs some hundred bytes, and what it takes to
/// add a value up at each reading.
const MAX_WATCHED: usize = 1_024;
/// Longest window, s: a day. A restart begins it anew.
const MAX_WINDOW_S: u32 = 86_400;
/// Windows that a deviation looks back on where nothing is said, and the most.
const USUAL_HISTORY: u32 = 6;
const MAX_HISTORY: u32 = 60;
/// Most windows on end.
const MAX_FOR_WINDOWS: u32 = 1_000;
/// Limits are not farther from 0: a person could not read them.
const MAX_LIMIT: f64 = 1e12;
/// Longest name and longest instruction, bytes, so that the alert fits its envelope.
const MAX_NAME: usize = 64;
const MAX_SAY: usize = 256;

/// A rule, and the channels that it watches, each by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Watching {
    /// Name of the only device it is for; `None`: it is for all.
    pub device: Option<String>,
    /// Which of the channels there.
    pub channels: Channels,
    /// What it says of them.
    pub rule: Rule,
}

/// Channels of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channels {
    /// The one of this name.
    Named(String),
    /// All that measure this.
    Of(Quantity),
}

impl Watching {
    /// Whether it watches this channel of this device.
    pub fn watches(&self, device: &Device, channel: &DeviceChannel) -> bool {
        let of_device = self.device.as_ref().is_none_or(|name| *name == device.name);
        of_device
            && match &self.channels {
                Channels::Named(name) => *name == channel.channel.name,
                Channels::Of(quantity) => *quantity == channel.channel.quantity,
            }
    }
}

impl Config {
    /// The rules that watch a channel, in the order of the file.
    pub fn rules_of(&self, device: &Device, channel: &DeviceChannel) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|watching| watching.watches(device, channel)).map(|watching| &watching.rule)
    }
}

/// The rules, each held against the channels that it watches. Without devices, when one of them could not be made, nothing
/// is said of that.
pub(super) fn rules(raw: Vec<Spanned<RawRule>>, devices: &[Device], faults: &mut Faults) -> Vec<Watching> {
    if let Some(one_more) = raw.get(MAX_RULES) {
        faults.add(one_more.span(), format!("{} rules; an agent has at most {MAX_RULES}", raw.len()));
    }
    let (mut names, mut all, mut watched) = (BTreeSet::new(), Vec::new(), 0);
    for raw in raw {
        let span = raw.span();
        let raw = raw.into_inner();
        let name = raw.name.get_ref();
        faults.text_of(&raw.name, "name", 1..=MAX_NAME);
        if !names.insert(name.clone()) {
            faults.add(raw.name.span(), format!("rule {name:?} stands here for the second time"));
        }
        let channels = channels(&raw, span.clone(), faults);
        let rule = rule(&raw, span.clone(), faults);
        let Some((channels, rule)) = channels.zip(rule) else { continue };
        let device = raw.device.as_ref().map(|device| device.get_ref().clone());
        let watching = Watching { device, channels, rule };
        let before = watched;
        watched += if devices.is_empty() { 0 } else { fitted(&watching, &raw, devices, faults) };
        if before <= MAX_WATCHED && watched > MAX_WATCHED {
            let message = format!("with this rule all of them watch {watched} channels; at most {MAX_WATCHED}");
            faults.add(span, message);
        }
        all.push(watching);
    }
    all
}

/// What it watches; `None` when that is not said as it should be.
fn channels(raw: &RawRule, span: Range<usize>, faults: &mut Faults) -> Option<Channels> {
    match (&raw.channel, &raw.quantity) {
        (Some(channel), None) => Some(Channels::Named(channel.get_ref().clone())),
        (None, Some(quantity)) => Some(Channels::Of(*quantity.get_ref())),
        (None, None) => {
            faults.add(span, "it is not said what is watched: channel, or quantity for all that measure it".into());
            None
        }
        (Some(_), Some(quantity)) => {
            faults.add(quantity.span(), "channel and quantity: one of them says what is watched".into());
            None
        }
    }
}

/// What it says of any channel; `None` when there is no limit that it could say.
fn rule(raw: &RawRule, span: Range<usize>, faults: &mut Faults) -> Option<Rule> {
    if let Some(say) = &raw.say {
        faults.text_of(say, "say", 1..=MAX_SAY);
    }
    let for_windows = faults.or(&raw.for_windows, "for_windows", 1..=MAX_FOR_WINDOWS, 1);
    let over = over(raw, faults);
    Some(Rule {
        name: raw.name.get_ref().clone(),
        over,
        bounds: bounds(raw, span, faults)?,
        for_windows,
        severity: raw.severity.map_or(Severity::Warning, |severity| severity.severity()),
        say: raw.say.as_ref().map(|say| say.get_ref().clone()).unwrap_or_default(),
    })
}

fn over(raw: &RawRule, faults: &mut Faults) -> Over {
    let window_s = faults.or(&raw.window_s, "window_s", 0..=MAX_WINDOW_S, 0);
    let given = raw.statistic.as_ref().map_or(RawStatistic::Mean, |statistic| *statistic.get_ref());
    let history = faults.or(&raw.history, "history", 1..=MAX_HISTORY, USUAL_HISTORY);
    if let Some(history) = raw.history.as_ref().filter(|_| given != RawStatistic::Deviation) {
        faults.add(history.span(), "history belongs to statistic = \"deviation\"".into());
    }
    if window_s == 0 {
        if let Some(statistic) = &raw.statistic {
            faults.add(
                statistic.span(),
                "a statistic needs window_s; without it each reading is judged by itself".into(),
            );
        }
        return Over::Readings;
    }
    let statistic = match given {
        RawStatistic::Mean => Statistic::Mean,
        RawStatistic::Min => Statistic::Min,
        RawStatistic::Max => Statistic::Max,
        RawStatistic::Range => Statistic::Range,
        RawStatistic::Std => Statistic::Std,
        RawStatistic::Count => Statistic::Count,
        RawStatistic::Change => Statistic::Change,
        RawStatistic::Deviation => Statistic::Deviation { history },
    };
    Over::Windows { length_ms: u64::from(window_s) * 1_000, statistic }
}

fn bounds(raw: &RawRule, span: Range<usize>, faults: &mut Faults) -> Option<Bounds> {
    for (key, limit) in [
        ("above", &raw.above),
        ("clear_below", &raw.clear_below),
        ("below", &raw.below),
        ("clear_above", &raw.clear_above),
    ] {
        if let Some(limit) = limit {
            faults.within(limit, key, -MAX_LIMIT..=MAX_LIMIT);
        }
    }
    let value = |limit: &Option<Spanned<f64>>| limit.as_ref().map(|limit| *limit.get_ref());
    let limit = |at: &Option<Spanned<f64>>, clear| value(at).map(|at| Limit { at, clear: value(clear).unwrap_or(at) });
    let bounds = Bounds { above: limit(&raw.above, &raw.clear_below), below: limit(&raw.below, &raw.clear_above) };
    if bounds.above.is_none() && bounds.below.is_none() {
        faults.add(span, "no limit: above or below, or both, say from where on an alert opens".into());
        return None;
    }
    let needs = |clear: &Option<Spanned<f64>>, limit: Option<Limit>| {
        clear.as_ref().filter(|_| limit.is_none()).map(Spanned::span)
    };
    if let Some(span) = needs(&raw.clear_below, bounds.above) {
        faults.add(span, "clear_below goes with above".into());
    }
    if let Some(span) = needs(&raw.clear_above, bounds.below) {
        faults.add(span, "clear_above goes with below".into());
    }
    if let Some((given, above)) = raw.clear_below.as_ref().zip(bounds.above).filter(|(_, above)| above.clear > above.at)
    {
        let Limit { at, clear } = above;
        faults.add(
            given.span(),
            format!("clear_below = {clear} is beyond above = {at}: the alert would end before it began"),
        );
    }
    if let Some((given, below)) = raw.clear_above.as_ref().zip(bounds.below).filter(|(_, below)| below.clear < below.at)
    {
        let Limit { at, clear } = below;
        faults.add(
            given.span(),
            format!("clear_above = {clear} is beyond below = {at}: the alert would end before it began"),
        );
    }
    if let Some((above, below)) = bounds.above.zip(bounds.below).filter(|(above, below)| above.clear < below.clear) {
        let message = format!("nothing lies between {} and {}: an alert would never end", below.clear, above.clear);
        faults.add(place(&raw.below).unwrap_or(span), message);
    }
    Some(bounds)
}

/// Holds a rule against the channels that it watches; gives how many these are.
fn fitted(watching: &Watching, raw: &RawRule, devices: &[Device], faults: &mut Faults) -> usize {
    if let Some(device) = raw.device.as_ref().filter(|name| devices.iter().all(|device| device.name != *name.get_ref()))
    {
        let known = devices.iter().map(|device| device.name.as_str()).collect();
        faults
            .add(device.span(), format!("there is no device {:?}{}", device.get_ref(), meant(device.get_ref(), known)));
        return 0;
    }
    let all = devices.iter().flat_map(|device| device.channels.iter().map(move |channel| (device, channel)));
    let watched: Vec<_> = all.filter(|(device, channel)| watching.watches(device, channel)).collect();
    let Some(((device, first), others)) = watched.split_first() else {
        none_fits(watching, raw, devices, faults);
        return 0;
    };
    if let Some((other, channel)) = others.iter().find(|(_, channel)| channel.channel.unit != first.channel.unit) {
        let (a, b) = (said(device, first), said(other, channel));
        let (unit, of_other) = (&first.channel.unit, &channel.channel.unit);
        let message =
            format!("one limit for two units: {a} is in {unit:?}, {b} in {of_other:?}; name the device or the channel");
        faults.add(span_of(raw), message);
    }
    if let Over::Windows { length_ms, statistic } = watching.rule.over {
        for (device, channel) in &watched {
            if let Some(message) = misfit(length_ms, statistic, watching.rule.bounds, device, channel) {
                faults.add(place(&raw.window_s).unwrap_or_default(), message);
                break;
            }
        }
    }
    watched.len()
}

/// Why a figure of such windows of this channel says nothing.
fn misfit(
    length_ms: u64,
    statistic: Statistic,
    bounds: Bounds,
    device: &Device,
    channel: &DeviceChannel,
) -> Option<String> {
    let interval_ms = u64::from(device.interval_ms) * u64::from(channel.every);
    let (window_s, name) = (length_ms / 1_000, said(device, channel));
    let readings = length_ms / interval_ms;
    let needed = match statistic {
        Statistic::Range | Statistic::Std | Statistic::Change => 2,
        _ => 1,
    };
    if readings < needed {
        let what = if needed == 1 { "no reading in most windows" } else { "fewer than two readings in a window" };
        return Some(format!("window_s = {window_s} is too short: {name} is read every {interval_ms} ms, {what}"));
    }
    let is_circle = channel.channel.quantity == Quantity::WindDirection;
    if is_circle && matches!(statistic, Statistic::Min | Statistic::Max | Statistic::Range) {
        return Some(format!("{name} is a direction: a circle has neither least nor greatest value"));
    }
    let below = bounds.below.filter(|below| statistic == Statistic::Count && below.at > readings as f64)?;
    Some(format!("{name} has {readings} readings in {window_s} s: below = {} is always so", below.at))
}

/// What is said of a rule that watches nothing.
fn none_fits(watching: &Watching, raw: &RawRule, devices: &[Device], faults: &mut Faults) {
    let here = |device: &&Device| watching.device.as_ref().is_none_or(|name| *name == device.name);
    let who = match &watching.device {
        Some(device) => format!("device {device:?} has"),
        None => "no device has".to_owned(),
    };
    let none = if watching.device.is_some() { "no" } else { "a" };
    let message = match &watching.channels {
        Channels::Named(name) => {
            let known = devices.iter().filter(here).flat_map(|device| &device.channels);
            let known = known.map(|channel| channel.channel.name.as_str()).collect();
            format!("{who} {none} channel {name:?}{}", meant(name, known))
        }
        Channels::Of(_) => format!("{who} {none} channel of this quantity"),
    };
    faults.add(span_of(raw), message);
}

/// Where it is said what is watched.
fn span_of(raw: &RawRule) -> Range<usize> {
    place(&raw.channel).or(place(&raw.quantity)).unwrap_or_default()
}

fn meant(name: &str, known: Vec<&str>) -> String {
    match nearest(name, &known) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => String::new(),
    }
}

fn said(device: &Device, channel: &DeviceChannel) -> String {
    format!("{}/{}", device.name, channel.channel.name)
}
