//! Rows and alerts that name themselves.

use windward_protocol::{
    AgentId, Alert, AlertKind, AlertPhase, Channel, DeviceManifest, NoData, Quantity, Row, Severity, Value,
};

/// Devices that rows are of, by turns.
pub const DEVICES: u64 = 4;
/// Channels of each: integers as registers give them, and floats.
pub const CHANNELS: u64 = 8;
/// Numbers that one run of the agent may use. Each run begins with fresh ones, for a killed process may have written
/// a row without having been able to say so.
pub const RUN: u64 = 1_000_000;
/// One reading in so many has failed, and must arrive as that (A6).
const FAILS_EVERY: u64 = 97;

/// Whose spool it is.
#[allow(clippy::unwrap_used, reason = "the name is a good one")]
pub fn agent() -> AgentId {
    AgentId::new("drill").unwrap()
}

/// The devices, as they are declared.
pub fn devices() -> Vec<DeviceManifest> {
    let channel = |index| Channel { name: format!("c{index}"), quantity: Quantity::Other, unit: "1".into() };
    let device = |index| DeviceManifest {
        device: format!("d{index}"),
        location: "drill".into(),
        link: "none".into(),
        interval_ms: 1000,
        channels: (0..CHANNELS).map(channel).collect(),
    };
    (0..DEVICES).map(device).collect()
}

/// The row of this number, and the index of its device. `base_ms`: time of the row that would have number 0.
pub fn row(number: u64, base_ms: i64) -> (usize, Row) {
    let reading = |channel: u64| {
        let sum = number * CHANNELS + channel;
        match channel {
            _ if sum.is_multiple_of(FAILS_EVERY) => Err(NoData::Timeout),
            0..3 => Ok(Value::Int { mantissa: sum as i64, exponent: -1 }),
            _ => Ok(Value::F64(sum as f64 / 8.0)),
        }
    };
    let score = |channel| (channel == 0).then_some((number % 300) as f32 / 100.0);
    let row = Row {
        time_ms: base_ms.saturating_add_unsigned(number),
        readings: (0..CHANNELS).map(reading).collect(),
        scores: (0..CHANNELS).map(score).collect(),
    };
    ((number % DEVICES) as usize, row)
}

/// The number that a row of this time has.
pub fn number(time_ms: i64, base_ms: i64) -> Option<u64> {
    u64::try_from(time_ms.checked_sub(base_ms)?).ok()
}

/// The alert of this number.
pub fn alert(number: u64, base_ms: i64) -> Alert {
    let at_ms = base_ms.saturating_add_unsigned(number);
    Alert {
        id: number,
        phase: AlertPhase::Open,
        kind: AlertKind::Anomaly,
        severity: Severity::Warning,
        location: "drill".into(),
        device: "d0".into(),
        channel: "c0".into(),
        opened_ms: at_ms,
        at_ms,
        synced: true,
        value: Some(number as f64),
        unit: "1".into(),
        wind_speed: None,
        score: None,
        threshold: None,
        evidence: format!("a drill: alert {number}"),
    }
}
