//! A turbine's channels, the windows of several turbines, and the words of what departs.

use super::{Means, Told};
use crate::days::manifest;
use crate::place::{AgentRow, AlertStep, StatsRow, fnv1a};
use crate::presence::watch::own_step;
use std::collections::BTreeMap;
use windward_protocol::{AgentId, Alert, AlertKind, AlertPhase, Iso8601, Quantity, parse_iso8601};

/// Least share of what was due that a mean must stand on.
const LEAST_AVAILABILITY: f64 = 0.5;

/// What of a turbine is compared: the first channel of each quantity that its agent reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Turbine {
    /// Its agent.
    pub agent: AgentId,
    /// Wind speed, power, wind direction.
    channels: [Option<Channel>; 3],
}

#[derive(Clone, Debug, PartialEq)]
struct Channel {
    location: String,
    device: String,
    channel: String,
}

/// The means of each window, by its start and by turbine.
pub type Windows = BTreeMap<i64, BTreeMap<String, Means>>;

impl Turbine {
    /// What of this agent is compared; `None` without a wind speed or power.
    pub fn of(row: &AgentRow) -> Option<Self> {
        let manifest = manifest(row);
        let first = |quantity: Quantity| {
            manifest.iter().find_map(|device| {
                let channel = device.channels.iter().find(|channel| channel.quantity == quantity)?;
                let (location, device) = (device.location.clone(), device.device.clone());
                Some(Channel { location, device, channel: channel.name.clone() })
            })
        };
        let channels = [Quantity::WindSpeed, Quantity::Power, Quantity::WindDirection].map(first);
        let agent = AgentId::new(&row.agent).ok()?;
        (channels[0].is_some() || channels[1].is_some()).then_some(Self { agent, channels })
    }

    /// The partitions of its statistics: wind speed, power, wind direction.
    pub fn partitions(&self) -> [Option<String>; 3] {
        let agent = &self.agent;
        self.channels.each_ref().map(|channel| {
            channel.as_ref().map(|Channel { device, channel, .. }| format!("{agent}/{device}/{channel}"))
        })
    }

    /// Adds what the rows of its partitions say to their windows.
    pub fn add(&self, rows: [Vec<StatsRow>; 3], windows: &mut Windows) {
        for (index, rows) in rows.into_iter().enumerate() {
            for row in rows {
                let is_enough = f64::from(row.n) >= LEAST_AVAILABILITY * f64::from(row.due);
                let Some(start_ms) = parse_iso8601(&row.sort).filter(|_| is_enough) else { continue };
                let means = windows.entry(start_ms).or_default().entry(self.agent.to_string()).or_default();
                *[&mut means.speed, &mut means.power, &mut means.direction][index] = row.mean;
            }
        }
    }

    /// The alert's step.
    pub fn step(&self, farm: &str, told: &Told) -> AlertStep {
        let channel = self.channels[told.measure as usize].as_ref();
        let name = format!("{}#{}#{}", self.agent, told.measure.name(), told.since_ms);
        let alert = Alert {
            id: fnv1a(name.as_bytes().iter()),
            phase: told.phase,
            kind: AlertKind::Departs,
            severity: told.severity,
            location: channel.map_or_else(|| self.agent.to_string(), |channel| channel.location.clone()),
            device: channel.map(|channel| channel.device.clone()).unwrap_or_default(),
            channel: channel.map(|channel| channel.channel.clone()).unwrap_or_default(),
            opened_ms: told.since_ms,
            at_ms: told.at_ms,
            synced: true,
            value: Some((told.departs * 1_000.0).round() / 10.0),
            unit: "%".into(),
            wind_speed: Some((told.wind_mps * 100.0).round() / 100.0),
            score: None,
            threshold: None,
            evidence: evidence(&self.agent, told),
        };
        own_step(farm, &self.agent, alert)
    }
}

fn evidence(agent: &AgentId, told: &Told) -> String {
    let what = told.measure.name();
    if told.phase == AlertPhase::Clear {
        return format!("the {what} of {agent} is again what its neighbours in the same wind lead to expect");
    }
    let (by, way) = (told.departs.abs() * 100.0, if told.departs < 0.0 { "below" } else { "above" });
    let from = told.sector.map(|(from, to)| format!(" from {from} to {to} degrees")).unwrap_or_default();
    format!(
        "the {what} of {agent} is {by:.0} % {way} what its neighbours in the same wind lead to expect, since {}; wind \
         {:.1} m/s{from}",
        Iso8601(told.since_ms),
        told.wind_mps
    )
}
