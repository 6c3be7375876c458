//! What an agent's devices measure. Every value names itself: it follows from the agent, the device and a number that
//! stands beside it in the row, so that a reading found anywhere can be held against what was measured.

use crate::stage::FARM;
use windward_agent::config::Config;
use windward_protocol::{
    Alert, AlertKind, AlertPhase, Channel, DeviceManifest, NoData, Quantity, Reading, Row, Severity, Stats, Value,
};
use windward_tests::random::Random;

/// Channels of a device: its number first, then the value that follows from it.
pub(crate) fn channels() -> Vec<Channel> {
    vec![
        Channel { name: "number".into(), quantity: Quantity::Other, unit: "1".into() },
        Channel { name: "wind".into(), quantity: Quantity::WindSpeed, unit: "m/s".into() },
    ]
}

/// The devices of an agent.
pub(crate) fn devices(count: usize) -> Vec<DeviceManifest> {
    let device = |index| DeviceManifest {
        device: format!("device-{index}"),
        location: "Turbine 7, nacelle".into(),
        link: "simulated".into(),
        interval_ms: 1_000,
        channels: channels(),
    };
    (0..count).map(device).collect()
}

/// The same devices for WATCH: slaves with the number in registers 0 and 1, and the value in register 2. No forest, so
/// that a row costs microseconds; what stays silent is told of.
pub(crate) fn config(count: usize) -> Config {
    let mut text = format!("agent = \"t\"\nfarm = \"{FARM}\"\ndata = \"/nowhere\"\n[mqtt]\nhost = \"h\"\n");
    for index in 0..count {
        text.push_str(&format!(
            "[[device]]\nname = \"device-{index}\"\nlocation = \"Turbine 7, nacelle\"\n\
             modbus_tcp = {{ host = \"h{index}\" }}\ninterval_ms = 1000\ntimeout_ms = 200\n\
             [[device.channel]]\nname = \"number\"\nunit = \"1\"\nregister = 0\ntype = \"u32\"\ndetect = false\n\
             [[device.channel]]\nname = \"wind\"\nquantity = \"wind-speed\"\nunit = \"m/s\"\nregister = 2\n\
             type = \"u16\"\nscale = 0.1\ndetect = false\n"
        ));
    }
    #[allow(clippy::unwrap_used, reason = "the text above is a good configuration; every run of WATCH shows it")]
    Config::from_toml(&text, "simulated").unwrap()
}

/// The value that stands beside a number, where the device answers.
pub(crate) fn tenths(agent: usize, device: usize, number: u64) -> u16 {
    (Random::stream(number, "tenths", agent * 8 + device).bits() % 400) as u16
}

/// What the devices of one agent do.
#[derive(Debug)]
pub(crate) struct Plant {
    agent: usize,
    random: Random,
    /// The last number of a row.
    number: u64,
    alerts: u64,
    stats: u32,
    open: Vec<Alert>,
    /// Devices of WATCH that do not answer, for so many rounds to come.
    silent: Vec<u32>,
}

impl Plant {
    pub(crate) fn new(agent: usize, devices: usize, random: Random) -> Self {
        Self { agent, random, number: 0, alerts: 0, stats: 0, open: Vec::new(), silent: vec![0; devices] }
    }

    /// The next number.
    pub(crate) fn count(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// A row of a device without WATCH: any kind of value, now and then none.
    pub(crate) fn row(&mut self, device: usize, time_ms: i64) -> (u64, Row) {
        let number = self.count();
        let tenths = i64::from(tenths(self.agent, device, number));
        let value: Reading = match number % 11 {
            0 => Err(NoData::Timeout),
            1 => Ok(Value::F64(tenths as f64 / 10.0)),
            2 => Ok(Value::F32(tenths as f32 / 10.0)),
            3 => Err(NoData::Exception(2)),
            _ => Ok(Value::Int { mantissa: tenths, exponent: -1 }),
        };
        let score = number.is_multiple_of(3).then_some(number as f32 / 4.0);
        let readings = vec![Ok(Value::Int { mantissa: number as i64, exponent: 0 }), value];
        (number, Row { time_ms, readings, scores: vec![None, score] })
    }

    /// How a device of WATCH answers: with its number and value, or not.
    pub(crate) fn answer(&mut self, device: usize) -> Result<Vec<u16>, NoData> {
        if self.silent[device] == 0 && self.random.one_in(30) {
            self.silent[device] = self.random.between(1, 9) as u32;
        }
        if self.silent[device] > 0 {
            self.silent[device] -= 1;
            return Err(NoData::Timeout);
        }
        let number = self.count();
        Ok(vec![(number >> 16) as u16, number as u16, tenths(self.agent, device, number)])
    }

    /// A step of an alert: one opens, or an open one is updated or cleared. Ids never come twice.
    pub(crate) fn alert(&mut self, wall_ms: i64, synced: bool) -> Alert {
        let phase = [AlertPhase::Open, AlertPhase::Update, AlertPhase::Clear][self.random.between(0, 2) as usize];
        self.alerts += 1;
        let evidence = format!("step {} {}", self.alerts, "x".repeat(self.random.between(0, 900) as usize));
        if phase != AlertPhase::Open && !self.open.is_empty() {
            let index = self.random.bits() as usize % self.open.len();
            let opened = self.open[index].clone();
            if phase == AlertPhase::Clear {
                self.open.swap_remove(index);
            }
            return Alert { phase, at_ms: wall_ms, synced, evidence, ..opened };
        }
        let alert = Alert {
            id: self.alerts,
            phase: AlertPhase::Open,
            kind: AlertKind::Anomaly,
            severity: Severity::Warning,
            location: "Turbine 7, nacelle".into(),
            device: "device-0".into(),
            channel: "wind".into(),
            opened_ms: wall_ms,
            at_ms: wall_ms,
            synced,
            value: Some(31.4),
            unit: "m/s".into(),
            wind_speed: Some(31.4),
            score: Some(4.2),
            threshold: Some(3.0),
            evidence,
        };
        self.open.push(alert.clone());
        alert
    }

    /// Statistics of a window; `n` tells them apart, and no two windows begin together.
    pub(crate) fn stats(&mut self) -> Stats {
        self.stats += 1;
        let (n, start_ms) = (self.stats, crate::stage::BEGIN_MS + i64::from(self.stats) * 600_000);
        Stats {
            device: "device-0".into(),
            channel: channels().remove(1),
            start_ms,
            window_ms: 600_000,
            n,
            due: n,
            mean: 8.0,
            min: 1.0,
            max: 9.0,
            std: 1.0,
            gust_3s: None,
        }
    }
}
