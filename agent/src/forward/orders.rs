//! Commands from outside: let in by the gate, made durable as taken, carried out, answered.
//!
//! ```text
//!  bytes ──▶ gate ──▶ Keep(Note::Commands) ──▶ Kept ──▶ done here, or put out as Hurry or Configure ──▶ answer
//! ```
//! That a command was taken is durable before it is done: else a restart would do a repeat of it again.

use super::core::Forward;
use super::journal::{Found, Note};
use super::{Counters, Output};
use crate::command::{Accept, Admitted, Gate, answer};
use crate::time::Stamp;
use std::collections::VecDeque;
use std::fmt::Write as _;
use windward_protocol::{AgentId, Answer, Command, DeviceHealth, Lane, Outcome, Request, SeqRange};

/// Most answers that wait for a connection, and most orders that wait for the disk. Beyond, the oldest answer is
/// forgotten and a new order dropped: whoever asked hears nothing, and asks again.
const MOST_WAITING: usize = 16;

/// The commands under way.
#[derive(Debug)]
pub(super) struct Orders {
    /// `None`: no command is taken.
    gate: Option<Gate>,
    /// Let in, while the disk makes durable that it was.
    taken: Option<Command>,
    waiting: VecDeque<(Vec<u8>, bool)>,
    /// To be published.
    pub(super) answers: VecDeque<Answer>,
}

impl Orders {
    /// Goes on after the last command that `found` says was taken.
    pub(super) fn new(agent: &AgentId, accept: Option<Accept>, found: &Found) -> Self {
        let newest_ms = found.commands.as_slice().try_into().map_or(i64::MIN, i64::from_le_bytes);
        let gate = accept.map(|accept| Gate::new(agent.clone(), accept, newest_ms));
        Self { gate, taken: None, waiting: VecDeque::new(), answers: VecDeque::new() }
    }

    /// Remembers an answer for repeats of its command, and has it published.
    pub(super) fn answer(&mut self, answer: Answer) {
        if let Some(gate) = &mut self.gate {
            gate.answered(&answer);
        }
        if self.answers.len() == MOST_WAITING {
            self.answers.pop_front();
        }
        self.answers.push_back(answer);
    }
}

impl Forward {
    /// An order has come. `holds`: its signature is that of the operator's key.
    pub(super) fn ordered(&mut self, bytes: Vec<u8>, holds: bool, now: Stamp) {
        if self.orders.waiting.len() == MOST_WAITING {
            return tracing::warn!("dropped an order: too many wait");
        }
        self.orders.waiting.push_back((bytes, holds));
        self.next_order(now);
    }

    fn next_order(&mut self, now: Stamp) {
        while self.orders.taken.is_none()
            && let Some((bytes, holds)) = self.orders.waiting.pop_front()
        {
            let Some(gate) = &mut self.orders.gate else { return };
            match gate.admit(&bytes, |_| holds, now) {
                Admitted::Do(command) => {
                    tracing::info!(id = command.id, request = named(&command.request), "taking a command");
                    let bytes = gate.newest_ms().to_le_bytes().to_vec();
                    self.orders.taken = Some(command);
                    self.outputs.push_back(Output::Keep(Note::Commands, bytes));
                }
                Admitted::Answer(answer) => self.orders.answer(answer),
                Admitted::Nothing(why) => tracing::warn!(why, "ignored an order"),
            }
        }
    }

    /// That a command was taken is durable, or the disk refused.
    pub(super) fn order_kept(&mut self, result: Result<(), &str>, now: Stamp) {
        if let Some(command) = self.orders.taken.take() {
            match result {
                Ok(()) => self.carry_out(command, now),
                Err(error) => self.orders.answer(answer(command.id, Outcome::Failed, error.to_owned(), now)),
            }
        }
        self.next_order(now);
    }

    fn carry_out(&mut self, Command { id, request, .. }: Command, now: Stamp) {
        match request {
            Request::Status => self.orders.answer(answer(id, Outcome::Done, self.status(now), now)),
            Request::Resend { lane: Lane::State, .. } => {
                self.orders.answer(answer(id, Outcome::Refused, "the state lane is not kept".into(), now));
            }
            Request::Resend { lane, range } => {
                let (outcome, words) = self.send_again(lane, range);
                self.orders.answer(answer(id, outcome, words, now));
            }
            Request::Rate { device, times, minutes } => {
                self.outputs.push_back(Output::Hurry { command: id, device, times, minutes });
            }
            Request::Configure { toml } => self.outputs.push_back(Output::Configure { command: id, toml }),
        }
    }

    /// Sends a range once more on every uplink. What has left the disk meanwhile is left out in silence: it was acked.
    fn send_again(&mut self, lane: Lane, range: SeqRange) -> (Outcome, String) {
        let durable = if lane == Lane::Alerts { self.alerts.durable } else { self.readings.durable };
        let range = SeqRange { first: range.first.max(1), last: range.last.min(durable) };
        if range.first > range.last {
            return (Outcome::Refused, format!("nothing of that is on disk: the {lane} end at {durable}"));
        }
        for up in &mut self.uplinks {
            up.lane_mut(lane).send_again(range);
        }
        (Outcome::Done, format!("{lane} {} to {} go again, as far as they are on disk", range.first, range.last))
    }

    /// How the agent is, in words.
    fn status(&self, now: Stamp) -> String {
        let Counters { rows_dropped, .. } = self.counters();
        let up_s = (now.mono - self.started.mono) / 1_000;
        let clock = if now.synced { "set" } else { "not set" };
        let mut text =
            format!("version {}, up {up_s} s, clock {clock}, memory {} KiB", self.settings.version, self.rss_kib);
        for up in &self.uplinks {
            let state = if up.connection.is_up() { "connected" } else { "not connected" };
            let (alerts, readings) = (up.alerts.waiting(), up.readings.waiting());
            add(
                &mut text,
                format_args!("; {}: {state}, {alerts} alerts and {readings} readings wait", up.settings.name),
            );
        }
        for (lane, end) in [(Lane::Alerts, &self.alerts), (Lane::Readings, &self.readings)] {
            add(&mut text, format_args!("; {lane}: durable to {}", end.durable));
        }
        if rows_dropped > 0 {
            add(&mut text, format_args!("; {rows_dropped} rows dropped"));
        }
        if !self.spool_error.is_empty() {
            add(&mut text, format_args!("; the spool fails: {}", self.spool_error));
        }
        for DeviceHealth { device, good, failed, failing } in &self.devices {
            add(&mut text, format_args!("; {device}: {good} good, {failed} failed"));
            if let Some(reason) = failing {
                add(&mut text, format_args!(", now {reason}"));
            }
        }
        text
    }
}

/// For the log, which is no place for a whole configuration.
fn named(request: &Request) -> String {
    match request {
        Request::Configure { toml } => format!("Configure, {} bytes", toml.len()),
        request => format!("{request:?}"),
    }
}

#[allow(clippy::unwrap_used, reason = "writing to a String cannot fail")]
fn add(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).unwrap();
}
