//! A world of slaves in virtual time.

use std::collections::VecDeque;
use windward_agent::config::Config;
use windward_agent::time::{Mono, Stamp, Wall};
use windward_agent::watch::{Answer, Ask, Input, Output, Query, Watch};
use windward_protocol::{AlertPhase, NoData, Row, Stats};

/// Midnight of 2026-01-01.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

pub(crate) fn config(devices: &str) -> Config {
    let head = "agent = \"t\"\nfarm = \"f\"\ndata = \"/tmp/w\"\n[mqtt]\nhost = \"h\"\n";
    Config::from_toml(&format!("{head}{devices}"), "test.toml").unwrap()
}

/// A device with three channels in two requests: registers 0 and 1, and 10 with 11.
pub(crate) fn device(name: &str, link: &str) -> String {
    format!(
        r#"
[[device]]
name = "{name}"
location = "Mast"
{link}
interval_ms = 1000
timeout_ms = 200
[[device.channel]]
name = "wind"
quantity = "wind-speed"
unit = "m/s"
register = 0
type = "u16"
scale = 0.1
sentinels = [65535]
[[device.channel]]
name = "dir"
quantity = "wind-direction"
unit = "°"
register = 1
type = "u16"
[[device.channel]]
name = "power"
unit = "kW"
register = 10
type = "f32"
"#
    )
}

pub(crate) const TCP: &str = "modbus_tcp = { host = \"h\" }";

/// A request for registers, as a slave sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) device: usize,
    pub(crate) round: u64,
    pub(crate) request: usize,
    pub(crate) start: u16,
    pub(crate) count: u16,
}

impl Asked {
    pub(crate) fn of(ask: &Ask) -> Self {
        let Query::Registers { start, count, .. } = ask.query else { panic!("{ask:?}") };
        Self { device: ask.device, round: ask.round, request: ask.request, start, count }
    }
}

/// What a slave says to an ask, and after how many ms.
pub(crate) type Said = (u64, Result<Vec<u16>, NoData>);

/// A world of slaves: WATCH, a clock, and answers under way.
pub(crate) struct World<'a> {
    pub(crate) watch: Watch,
    pub(crate) now_ms: u64,
    /// When an answer arrives, and the answer; in order of time.
    pub(crate) answers: VecDeque<(u64, Input)>,
    pub(crate) slave: Box<dyn FnMut(&Asked) -> Said + 'a>,
    pub(crate) asks: Vec<(u64, Asked)>,
    pub(crate) rows: Vec<(usize, Row)>,
    pub(crate) stats: Vec<Stats>,
    /// When alerts opened.
    pub(crate) opened: Vec<i64>,
}

impl<'a> World<'a> {
    pub(crate) fn new(config: &Config, slave: impl FnMut(&Asked) -> Said + 'a) -> Self {
        Self {
            watch: Watch::new(config, 7),
            now_ms: 0,
            answers: VecDeque::new(),
            slave: Box::new(slave),
            asks: Vec::new(),
            rows: Vec::new(),
            stats: Vec::new(),
            opened: Vec::new(),
        }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { mono: Mono(self.now_ms), wall: Wall(START_MS + self.now_ms as i64), synced: true }
    }

    pub(crate) fn run_until(&mut self, end_ms: u64) {
        loop {
            while let Some(output) = self.watch.poll_output() {
                match output {
                    Output::Ask(ask) => {
                        let ask = Asked::of(&ask);
                        self.asks.push((self.now_ms, ask));
                        let (delay, result) = (self.slave)(&ask);
                        let (Asked { device, round, request, .. }, result) = (ask, result.map(Answer::Words));
                        let answer = Input::Answer { device, round, request, result };
                        let at = self.now_ms + delay;
                        let place = self.answers.iter().position(|(other, _)| *other > at);
                        self.answers.insert(place.unwrap_or(self.answers.len()), (at, answer));
                    }
                    Output::Row { device, row, .. } => self.rows.push((device, row)),
                    Output::Alert(alert) if alert.phase == AlertPhase::Open => self.opened.push(alert.at_ms),
                    Output::Alert(_) => {}
                    Output::Stats(stats) => self.stats.extend(stats),
                }
            }
            let due = self.watch.poll_timeout().unwrap().0.0.max(self.now_ms);
            let answered = self.answers.front().map(|(at, _)| *at);
            let next = answered.map_or(due, |at| at.min(due));
            if next > end_ms {
                return;
            }
            self.now_ms = next;
            if answered == Some(next) {
                let (_, answer) = self.answers.pop_front().unwrap();
                self.watch.handle(answer, self.stamp());
            } else {
                self.watch.handle_timeout(self.stamp());
            }
        }
    }

    pub(crate) fn rows_of(&self, device: usize) -> Vec<&Row> {
        self.rows.iter().filter(|(of, _)| *of == device).map(|(_, row)| row).collect()
    }
}
