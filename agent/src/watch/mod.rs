//! WATCH, the first half of the agent: asks devices at their rate and listens to those that speak by themselves, makes
//! readings of what they say, has every reading judged and counted, and puts out rows, alerts and statistics. Pure: it
//! is given answers, lines and the time, and says what to ask next.
//!
//! Each device is on its own. One round of requests is under way for it at a time, and nothing it does or fails to do
//! delays another device's round here. A round in which nothing came back still gives a row, with the reason in each
//! channel (invariant A6). Alerts are put out as soon as the reading that raised them is judged (invariant A7).
//!
//! The shell's part: ask the requests of one bus one after another, and give exactly one [`Input::Answer`] to each.

mod alarm;
mod asked;
pub mod beacon;
pub mod checkpoint;
mod detect;
mod figures;
mod health;
mod heard;
pub mod judge;
pub mod load;
pub mod modbus;
mod round;
mod rules;
pub mod schedule;
pub mod sentence;
mod stats;
mod thin;
mod value;
mod wind;

use crate::config::{Config, Device, DeviceChannel, Function};
use crate::hal::ads1115::{Gain, Input as ConverterInput};
use crate::hal::pulses::Count;
use crate::time::{Mono, Stamp, Wall};
use asked::{Asked, Outcome};
use heard::Heard;
use judge::{Judge, JudgeChannel, JudgeDevice};
use stats::Tally;
use std::collections::VecDeque;
use thin::{Passed, Thin};
use windward_protocol::{Alert, AlertPhase, DeviceHealth, NoData, Reading, Row, Stats};

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
        /// What was answered, or why nothing was.
        result: Result<Answer, NoData>,
    },
    /// A line of text that came by itself.
    Line {
        /// Index of the bus.
        bus: usize,
        /// The line, without its end.
        line: Vec<u8>,
    },
    /// A bus on which devices speak by themselves is open, or is gone.
    Listening {
        /// Index of the bus.
        bus: usize,
        /// Whether anything can be heard.
        open: bool,
    },
}

/// What a device answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Registers; each coil is a word of 0 or 1.
    Words(Vec<u16>),
    /// A line of text, without its end.
    Line(Vec<u8>),
    /// A converter's result.
    Counts(i16),
    /// Pulses since they were last asked for.
    Pulses(Count),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Ask a slave for registers.
    Ask(Ask),
    /// A row was read, and is to be forwarded.
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
    /// Ten minutes of a device are over: the statistics of its channels.
    Stats(Vec<Stats>),
}

/// A request to a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Index of the bus to ask on.
    pub bus: usize,
    /// Index of the device.
    pub device: usize,
    /// Number of the device's round; comes back in the answer.
    pub round: u64,
    /// Index of the request among the device's; comes back in the answer.
    pub request: usize,
    /// What is asked.
    pub query: Query,
    /// How long to wait for the answer, ms.
    pub timeout_ms: u32,
    /// How long a device that missed its time may still be talking, ms.
    pub late_ms: u32,
}

/// What a device is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Registers of a slave. An answer with another number of them is none.
    Registers {
        /// Slave address.
        slave: u8,
        /// Which table of registers.
        function: Function,
        /// First register.
        start: u16,
        /// Number of registers.
        count: u16,
    },
    /// These bytes are sent; the next line is the answer.
    Poll(Vec<u8>),
    /// A conversion.
    Convert {
        /// The converter's I2C address.
        address: u8,
        /// What is measured.
        input: ConverterInput,
        /// With which full scale.
        gain: Gain,
    },
    /// What a pulse input has counted.
    Pulses {
        /// Number of the line on its chip.
        line: u32,
    },
}

impl Query {
    /// Whether the answer is of the kind, and of registers the number, that was asked for.
    fn fits(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Query::Registers { count, .. }, Answer::Words(words)) => words.len() == usize::from(*count),
            (Query::Poll(_), Answer::Line(_))
            | (Query::Convert { .. }, Answer::Counts(_))
            | (Query::Pulses { .. }, Answer::Pulses(_)) => true,
            _ => false,
        }
    }
}

/// The core of the first half. Indices of devices and buses are those of the configuration.
pub struct Watch {
    devices: Vec<Watched>,
    outputs: VecDeque<Output>,
    started: bool,
}

/// A device and all that is known of it.
struct Watched {
    bus: usize,
    channels: usize,
    way: Way,
    judge: Judge,
    tally: Tally,
    /// `None`: every row is forwarded.
    thin: Option<Thin>,
    /// Until when every row is forwarded all the same.
    all_until: Mono,
    health: DeviceHealth,
    /// Rows with a value, and steps of alerts, so far.
    news: u64,
}

/// How a device's readings come in.
enum Way {
    /// It is asked.
    Asked(Asked),
    /// It speaks by itself.
    Heard(Heard),
}

impl Watch {
    /// The core for these devices. `seed` decides every random choice; alert ids come from it too, so that each start
    /// of an agent needs another.
    pub fn new(config: &Config, seed: u64) -> Self {
        let watched = |(index, device): (usize, &Device)| Watched::new(config, device, index, seed);
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

    /// Takes what came in.
    pub fn handle(&mut self, input: Input, now: Stamp) {
        match input {
            Input::Answer { device, round, request, result } => {
                let watched = &mut self.devices[device];
                if let Way::Asked(asked) = &mut watched.way {
                    let outcome = asked.answer(device, (round, request), result, now);
                    watched.take(device, outcome, now, &mut self.outputs);
                }
            }
            Input::Line { bus, line } => self.heard_on(bus, |heard| heard.line(&line, now)),
            Input::Listening { bus, open } => self.heard_on(bus, |heard| {
                heard.listening(open, now);
                [None, None]
            }),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Stamp) {
        let count = self.devices.len();
        for (index, watched) in self.devices.iter_mut().enumerate() {
            if !self.started {
                watched.start(now.mono, index, count);
            }
            match &mut watched.way {
                Way::Asked(asked) => {
                    let over = asked.give_up(now);
                    let begun = asked.begin(index, now);
                    watched.take(index, over, now, &mut self.outputs);
                    watched.take(index, begun, now, &mut self.outputs);
                }
                Way::Heard(heard) => {
                    for (stamp, readings) in heard.handle_timeout(now).into_iter().flatten() {
                        watched.emit(index, stamp, readings, &mut self.outputs);
                    }
                }
            }
            tell(watched.tally.handle_timeout(now), &mut self.outputs);
        }
        self.started = true;
    }

    /// Puts out what is under way: nothing more will come.
    pub fn finish(&mut self) {
        for (index, watched) in self.devices.iter_mut().enumerate() {
            let rows = watched.thin.as_mut().map(Thin::finish).unwrap_or_default();
            self.outputs.extend(rows.into_iter().map(|row| output_of(index, row)));
            tell(watched.tally.finish(), &mut self.outputs);
        }
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
        let deadline = |watched: &Watched| {
            let due = match &watched.way {
                Way::Asked(asked) => asked.poll_timeout(),
                Way::Heard(heard) => heard.poll_timeout(),
            };
            watched.tally.poll_timeout().map_or(due, |over| over.min(due))
        };
        self.devices.iter().map(deadline).min()
    }

    /// How the devices stand.
    pub fn health(&self) -> Vec<DeviceHealth> {
        self.devices.iter().map(|watched| watched.health.clone()).collect()
    }

    /// Has a device, or with an empty name all of them, read `times` as often for so many minutes, and all its rows
    /// forwarded; once as often ends it. Says in words what will be done, or why nothing is.
    pub fn hurry(&mut self, device: &str, times: u16, minutes: u16, now: Stamp) -> Result<String, String> {
        let until = now.mono + u64::from(minutes) * 60_000;
        let (mut hurried, mut words) = (0, Vec::new());
        for watched in self.devices.iter_mut().filter(|watched| device.is_empty() || watched.health.device == device) {
            let said = match &mut watched.way {
                Way::Asked(asked) => asked.hurry(times, until).map(|()| format!("is read {times} times as often")),
                Way::Heard(_) => Ok("speaks at its own rate, all is forwarded".into()),
            };
            if said.is_ok() {
                watched.all_until = if times > 1 { until } else { now.mono };
                hurried += 1;
            }
            words.push(format!("{} {}", watched.health.device, said.unwrap_or_else(|why| why)));
        }
        let words = words.join("; ");
        match (hurried, times) {
            _ if words.is_empty() => Err(format!("there is no device {device:?}")),
            (0, _) => Err(words),
            (_, 0 | 1) => Ok("read as configured".into()),
            _ => Ok(format!("for {minutes} minutes: {words}")),
        }
    }

    /// Lets every device that speaks on `bus` hear something, and puts out the rows that this completes.
    fn heard_on(&mut self, bus: usize, mut hear: impl FnMut(&mut Heard) -> [Option<heard::Row>; 2]) {
        for (index, watched) in self.devices.iter_mut().enumerate().filter(|(_, watched)| watched.bus == bus) {
            let Way::Heard(heard) = &mut watched.way else { continue };
            for (stamp, readings) in hear(heard).into_iter().flatten() {
                watched.emit(index, stamp, readings, &mut self.outputs);
            }
        }
    }
}

impl Watched {
    fn new(config: &Config, device: &Device, index: usize, seed: u64) -> Self {
        let of_channel = |channel: &DeviceChannel| JudgeChannel {
            channel: channel.channel.clone(),
            detect: channel.detect,
            rules: config.rules_of(device, channel).cloned().collect(),
        };
        let of_judge = JudgeDevice {
            device: device.name.clone(),
            location: device.location.clone(),
            interval_ms: device.interval_ms,
            channels: device.channels.iter().map(of_channel).collect(),
        };
        Self {
            bus: device.bus,
            channels: device.channels.len(),
            way: match Heard::new(config, device) {
                Some(heard) => Way::Heard(heard),
                None => Way::Asked(Asked::new(config, device)),
            },
            // Devices that measure the same must not share their random choices.
            judge: Judge::new(of_judge, &config.detect, seed ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            tally: Tally::new(device),
            thin: device.forward_every_s.map(|every_s| Thin::new(u64::from(every_s) * 1_000, device.channels.len())),
            all_until: Mono(0),
            health: DeviceHealth { device: device.name.clone(), good: 0, failed: 0, failing: None },
            news: 0,
        }
    }

    fn start(&mut self, now: Mono, index: usize, count: usize) {
        match &mut self.way {
            Way::Asked(asked) => asked.start(now, index, count),
            Way::Heard(heard) => heard.start(now),
        }
    }

    fn take(&mut self, index: usize, outcome: Outcome, now: Stamp, outputs: &mut VecDeque<Output>) {
        match outcome {
            Outcome::None => {}
            Outcome::Ask(ask) => outputs.push_back(Output::Ask(ask)),
            Outcome::Row(readings) => self.emit(index, now, readings, outputs),
            Outcome::Between(readings) => self.forward_between(index, now, readings, outputs),
        }
    }

    /// Judges and counts the readings and puts them out, alerts first.
    fn emit(&mut self, index: usize, now: Stamp, readings: Vec<Reading>, outputs: &mut VecDeque<Output>) {
        debug_assert_eq!(readings.len(), self.channels, "one reading a channel");
        let fault = readings.iter().filter_map(|reading| reading.err()).find(|reason| !reason.is_no_fault());
        if readings.iter().any(Result::is_ok) || fault.is_none() {
            self.health.good += 1;
            self.health.failing = None;
        } else {
            self.health.failed += 1;
            self.health.failing = fault;
        }
        let judged = self.judge.judge(now, &readings);
        self.news += u64::from(readings.iter().any(Result::is_ok)) + judged.alerts.len() as u64;
        let opens = judged.alerts.iter().any(|alert| alert.phase == AlertPhase::Open);
        outputs.extend(judged.alerts.into_iter().map(Output::Alert));
        tell(self.tally.observe(now, &readings), outputs);
        let row = Row { time_ms: now.wall.0, readings, scores: judged.scores };
        self.forward(index, now, row, opens, outputs);
    }

    /// Puts out what was read in between. It is neither judged nor counted: both know the signal at its own rate.
    fn forward_between(&mut self, index: usize, now: Stamp, readings: Vec<Reading>, outputs: &mut VecDeque<Output>) {
        let row = Row { time_ms: now.wall.0, scores: vec![None; readings.len()], readings };
        self.forward(index, now, row, false, outputs);
    }

    fn forward(&mut self, index: usize, now: Stamp, row: Row, opens: bool, outputs: &mut VecDeque<Output>) {
        let rows = match &mut self.thin {
            Some(thin) => thin.pass(now, row, opens || now.mono < self.all_until),
            None => vec![(now.synced, row)],
        };
        outputs.extend(rows.into_iter().map(|row| output_of(index, row)));
    }
}

fn output_of(device: usize, (synced, row): Passed) -> Output {
    Output::Row { device, synced, row }
}

fn tell(stats: Vec<Stats>, outputs: &mut VecDeque<Output>) {
    if !stats.is_empty() {
        outputs.push_back(Output::Stats(stats));
    }
}
