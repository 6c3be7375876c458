//! WATCH, the first half of the agent: asks devices at their rate, turns registers into readings, has every reading
//! judged, and puts out rows and alerts. Pure: it is given answers and the time, and says what to ask next.
//!
//! Each device is on its own. One round of requests is under way for it at a time, and nothing it does or fails to do
//! delays another device's round here. A round in which nothing came back still gives a row, with the reason in each
//! channel (invariant A6). Alerts are put out as soon as the reading that raised them is judged (invariant A7).
//!
//! The shell's part: ask the requests of one bus one after another, and give exactly one [`Input::Answer`] to each.

mod alarm;
mod detect;
mod health;
pub mod judge;
pub mod modbus;
mod round;
pub mod schedule;

use crate::config::{Config, Device, Function};
use crate::time::{Mono, Stamp, Wall};
use judge::{Judge, JudgeChannel, JudgeDevice};
use round::{Round, Skipping};
use schedule::Schedule;
use std::collections::VecDeque;
use windward_protocol::{Alert, DeviceHealth, NoData, Reading, Row};

/// What comes in.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The answer to an [`Output::Ask`].
    Answer {
        /// Index of the device.
        device: usize,
        /// The ask's round.
        round: u64,
        /// The ask's request.
        request: usize,
        /// The registers, or why there are none.
        result: Result<Vec<u16>, NoData>,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Ask a slave for registers.
    Ask(Ask),
    /// A row was read.
    Row {
        /// Index of the device.
        device: usize,
        /// Whether the clock was set.
        synced: bool,
        /// What was read, and how it scored.
        row: Row,
    },
    /// Something began, changed or ended. Tell it before anything else is done.
    Alert(Alert),
}

/// A request to a slave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Index of the bus to ask on.
    pub bus: usize,
    /// Index of the device.
    pub device: usize,
    /// Number of the device's round; comes back in the answer.
    pub round: u64,
    /// Index of the request in its round; comes back in the answer.
    pub request: usize,
    /// Slave address.
    pub slave: u8,
    /// Which table of registers.
    pub function: Function,
    /// First register.
    pub start: u16,
    /// Number of registers; an answer with another number is none.
    pub count: u16,
    /// How long to wait for the answer, ms.
    pub timeout_ms: u32,
    /// How long a slave that missed its time may still be talking, ms.
    pub late_ms: u32,
}

/// The core of the first half. Indices of devices and buses are those of the configuration.
pub struct Watch {
    devices: Vec<Watched>,
    outputs: VecDeque<Output>,
    started: bool,
}

/// A device and all that is known of it.
struct Watched {
    device: Device,
    requests: Vec<modbus::Request>,
    places: Vec<modbus::Place>,
    schedule: Schedule,
    /// Longest time a round may take, ms: a backstop behind the shell's own timeouts.
    overdue_ms: u64,
    rounds: u64,
    round: Option<Round>,
    skipping: Skipping,
    judge: Judge,
    health: DeviceHealth,
}

impl Watch {
    /// The core for these devices. `seed` decides every random choice; alert ids come from it too, so that each start
    /// of an agent needs another.
    pub fn new(config: &Config, seed: u64) -> Self {
        let watched = |(index, device): (usize, &Device)| {
            let shared = config.devices.iter().filter(|other| other.bus == device.bus).count() > 1;
            Watched::new(config, device, index, shared, seed)
        };
        Self {
            devices: config.devices.iter().enumerate().map(watched).collect(),
            outputs: VecDeque::new(),
            started: false,
        }
    }

    /// Teaches the judge of `device` from rows of earlier times; raises nothing.
    pub fn learn(&mut self, device: usize, rows: &[Row]) {
        for row in rows {
            let stamp = Stamp { mono: Mono(0), wall: Wall(row.time_ms), synced: true };
            self.devices[device].judge.learn(stamp, &row.readings);
        }
    }

    /// Takes an answer.
    pub fn handle(&mut self, input: Input, now: Stamp) {
        let Input::Answer { device, round, request, result } = input;
        let watched = &mut self.devices[device];
        let expected = watched.requests[request].count;
        // An answer to a round that is over says nothing about now.
        let Some(current) = watched.round.as_mut().filter(|current| current.number == round) else {
            return;
        };
        let result = result.and_then(|words| match words.len() == usize::from(expected) {
            true => Ok(words),
            false => Err(NoData::Protocol),
        });
        match current.answered(request, result) {
            Some(next) => self.outputs.push_back(Output::Ask(watched.ask(device, round, next))),
            None => watched.finish(device, now, &mut self.outputs),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Stamp) {
        let count = self.devices.len();
        for (index, watched) in self.devices.iter_mut().enumerate() {
            if !self.started {
                watched.schedule = Schedule::new(now.mono, u64::from(watched.device.interval_ms), index, count);
            }
            if watched.round.as_ref().is_some_and(|round| round.overdue <= now.mono) {
                watched.finish(index, now, &mut self.outputs);
            }
            if watched.schedule.due(now.mono) {
                watched.begin(index, now, &mut self.outputs);
            }
        }
        self.started = true;
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Watch::handle_timeout`] must be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        if !self.started {
            return Some((Mono(0), "the first polls are to be planned"));
        }
        let deadlines = self.devices.iter().flat_map(|watched| {
            let overdue = watched.round.as_ref().map(|round| (round.overdue, "a round is overdue"));
            [Some((watched.schedule.next(), "a device is due")), overdue]
        });
        deadlines.flatten().min()
    }

    /// How the devices stand.
    pub fn health(&self) -> Vec<DeviceHealth> {
        self.devices.iter().map(|watched| watched.health.clone()).collect()
    }
}

impl Watched {
    fn new(config: &Config, device: &Device, index: usize, shared: bool, seed: u64) -> Self {
        let registers: Vec<_> = device.channels.iter().map(|channel| &channel.register).collect();
        let (requests, places) = modbus::plan(&registers);
        let of_judge = JudgeDevice {
            device: device.name.clone(),
            location: device.location.clone(),
            interval_ms: device.interval_ms,
            channels: device
                .channels
                .iter()
                .map(|channel| JudgeChannel { channel: channel.channel.clone(), detect: channel.detect })
                .collect(),
        };
        Self {
            requests,
            places,
            schedule: Schedule::new(Mono(0), u64::from(device.interval_ms), 0, 1),
            overdue_ms: overdue_ms(config, device.bus),
            rounds: 0,
            round: None,
            skipping: Skipping::new(shared),
            // Devices that measure the same must not share their random choices.
            judge: Judge::new(of_judge, &config.detect, seed ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            health: DeviceHealth { device: device.name.clone(), good: 0, failed: 0, failing: None },
            device: device.clone(),
        }
    }

    /// Starts a round, unless one is under way or the device is being skipped. A moment at which nothing is asked and
    /// nothing is coming in is a row too.
    fn begin(&mut self, index: usize, now: Stamp, outputs: &mut VecDeque<Output>) {
        if self.round.as_ref().is_some_and(|round| !round.barren()) {
            return;
        }
        if self.round.is_some() || self.skipping.skips(now.mono) {
            let readings = vec![Err(NoData::Skipped); self.device.channels.len()];
            self.emit(index, now, readings, outputs);
            return;
        }
        self.rounds += 1;
        let overdue = now.mono + self.overdue_ms;
        self.round = Some(Round::new(self.rounds, overdue, self.requests.len(), self.skipping.patience()));
        outputs.push_back(Output::Ask(self.ask(index, self.rounds, 0)));
    }

    fn ask(&self, index: usize, round: u64, request: usize) -> Ask {
        let modbus::Request { function, start, count } = self.requests[request];
        Ask {
            bus: self.device.bus,
            device: index,
            round,
            request,
            slave: self.device.slave,
            function,
            start,
            count,
            timeout_ms: self.device.timeout_ms,
            late_ms: self.device.late_ms,
        }
    }

    /// Ends the round, with whatever has been answered.
    fn finish(&mut self, index: usize, now: Stamp, outputs: &mut VecDeque<Output>) {
        let Some(round) = self.round.take() else { return };
        self.skipping.round_ended(round.silent(), now.mono);
        let answers = round.answers();
        let read = |(channel, place): (&crate::config::DeviceChannel, &modbus::Place)| {
            let words = answers[place.request].as_ref().map_err(|reason| *reason)?;
            modbus::decode(&channel.register, &words[place.word..])
        };
        let readings = self.device.channels.iter().zip(&self.places).map(read).collect();
        self.emit(index, now, readings, outputs);
    }

    /// Judges the readings and puts them out, alerts first.
    fn emit(&mut self, index: usize, now: Stamp, readings: Vec<Reading>, outputs: &mut VecDeque<Output>) {
        if readings.iter().any(Result::is_ok) {
            self.health.good += 1;
            self.health.failing = None;
        } else {
            self.health.failed += 1;
            self.health.failing = readings.iter().find_map(|reading| reading.err());
        }
        let judged = self.judge.judge(now, &readings);
        outputs.extend(judged.alerts.into_iter().map(Output::Alert));
        outputs.push_back(Output::Row {
            device: index,
            synced: now.synced,
            row: Row { time_ms: now.wall.0, readings, scores: judged.scores },
        });
    }
}

/// The longest a round can take when every device of the bus is as slow and fails as often as it may, ms.
fn overdue_ms(config: &Config, bus: usize) -> u64 {
    let of_device = |device: &Device| {
        // At most a request a channel, each asked again once on a fresh connection.
        let asked = device.channels.len() as u64 * 2 * u64::from(device.timeout_ms);
        asked + round::MAX_FAILURES as u64 * u64::from(device.late_ms)
    };
    let devices = config.devices.iter().filter(|device| device.bus == bus);
    1_000 + devices.map(of_device).sum::<u64>()
}
