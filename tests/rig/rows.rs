//! What a life over a spool takes in: rows that name themselves, so that anybody can tell what a block must hold.

use crate::random::Random;
use anyhow::Context as _;
use windward_agent::time::Stamp;
use windward_protocol::{
    AgentId, Alert, AlertKind, AlertPhase, Block, Channel, DeviceManifest, NoData, Quantity, Row, Severity, Stats,
    Value,
};

/// When the rows begin.
pub(crate) const BASE_MS: i64 = 1_893_456_000_000;

/// Numbers of a block's rows, with the index of its device; an error when a row is not what it was.
pub fn rows_of(block: &Block) -> anyhow::Result<(usize, Vec<u64>)> {
    let device =
        block.device.strip_prefix("device-").and_then(|index| index.parse().ok()).context("a strange device")?;
    let numbers = block.rows().into_iter().map(|found| {
        let number = found.readings[0].ok().map(|value| value.as_f64() as u64).context("a row without its number")?;
        let wrote = row(device, number, block.channels.len());
        anyhow::ensure!(found.readings == wrote.readings && found.time_ms == wrote.time_ms, "row {number} has changed");
        Ok(number)
    });
    Ok((device, numbers.collect::<anyhow::Result<_>>()?))
}

/// The row of this number: anybody can tell what it must hold.
pub(crate) fn row(device: usize, number: u64, channels: usize) -> Row {
    let mut random = Random::new(number << 8 | device as u64);
    let others = (1..channels).map(|_| match random.between(0, 20) {
        0 => Err(NoData::Timeout),
        _ => Ok(Value::Int { mantissa: random.between(0, 4_000) as i64, exponent: -2 }),
    });
    let first = Ok(Value::Int { mantissa: number as i64, exponent: 0 });
    let readings = std::iter::once(first).chain(others).collect();
    Row { time_ms: BASE_MS + number as i64 * 1_000, readings, scores: vec![Some(1.25); channels] }
}

/// The agent.
pub(crate) fn agent() -> AgentId {
    #[allow(clippy::unwrap_used, reason = "the name is one")]
    AgentId::new("turbine-01").unwrap()
}

/// A device with so many channels.
pub(crate) fn manifest(device: usize, channels: usize) -> DeviceManifest {
    DeviceManifest {
        device: format!("device-{device}"),
        location: "Turbine 1".into(),
        link: "none".into(),
        interval_ms: 1_000,
        channels: (0..channels).map(channel).collect(),
    }
}

fn channel(index: usize) -> Channel {
    Channel { name: format!("channel-{index}"), quantity: Quantity::Other, unit: "1".into() }
}

/// An alert that names itself by its time.
pub(crate) fn alert(now: Stamp) -> Alert {
    Alert {
        id: now.mono.0,
        phase: AlertPhase::Open,
        kind: AlertKind::Anomaly,
        severity: Severity::Warning,
        location: "Turbine 1".into(),
        device: "device-0".into(),
        channel: "number".into(),
        opened_ms: now.wall.0,
        at_ms: now.wall.0,
        synced: now.synced,
        value: Some(1.0),
        unit: "1".into(),
        wind_speed: None,
        score: Some(4.0),
        threshold: Some(3.0),
        evidence: "it names itself by its time".into(),
    }
}

/// Statistics that name themselves by their time.
pub(crate) fn stats(now: Stamp) -> Stats {
    let channel = channel(0);
    let start_ms = now.wall.0;
    let (window_ms, n) = (600_000, 60);
    Stats {
        device: "device-0".into(),
        channel,
        start_ms,
        window_ms,
        n,
        due: n,
        mean: 0.0,
        min: 0.0,
        max: 0.0,
        std: 0.0,
        gust_3s: None,
    }
}
