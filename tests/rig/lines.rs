//! A simulated RS-485 line: many slaves on one pair of wires, where every byte takes its time and nothing is too bad to
//! happen. Pure: bytes and times in, bytes and times out; [`serial`] and [`tcp`] put it behind real ports.
//!
//! A late answer goes onto the wire exactly when its slave sends it, whoever is being asked by then. What two stations
//! send at the same time is garbled ([`Wire::collisions`]), or, as behind a star coupler that buffers, heard byte by
//! byte: the hardest case for a master. Every register names its question ([`device`]), so that a value from another
//! slave, another register or an older answer can be told from the value alone. [`talker`] are devices that speak
//! sentences instead.

pub mod device;
pub mod manner;
pub mod serial;
pub mod talker;
pub mod tcp;
pub mod wire;

use crate::random::Random;
use device::Device;
use manner::{Answer, Manner, spoken};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use wire::{Framing, MAX_FRAME, Request};

/// Bits of a character: start, eight, parity or second stop, stop.
const BITS: u64 = 11;
/// Bytes that may wait to be heard; what would come after them is lost.
const MAX_WAITING: usize = 64 * 1024;

/// What stands at the far end of a port. Times are µs since the port was made.
pub trait Station {
    /// Takes the bytes that the near end has sent by now.
    fn handle(&mut self, bytes: &[u8], now_us: u64);
    /// When [`Station::poll_output`] has something next.
    fn poll_timeout(&self) -> Option<u64>;
    /// The bytes that the near end has heard by now.
    fn poll_output(&mut self, now_us: u64) -> Vec<u8>;
    /// The near end was away, and has come again: what was said by now nobody has heard.
    fn come_again(&mut self, now_us: u64) {
        self.poll_output(now_us);
    }
}

/// Bytes on the wire, each at its time and with who sends it.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    bytes: BTreeMap<(u64, u64), (u8, u8)>,
    /// Tells bytes of the same time apart.
    count: u64,
}

impl Waiting {
    /// Sends bytes from `start_us` on, each after `char_us`.
    pub(crate) fn send(&mut self, from: u8, bytes: &[u8], start_us: u64, char_us: u64) {
        for (byte, number) in bytes.iter().zip(1..) {
            if self.bytes.len() == MAX_WAITING {
                return;
            }
            self.count += 1;
            self.bytes.insert((start_us + number * char_us, self.count), (from, *byte));
        }
    }

    pub(crate) fn first_us(&self) -> Option<u64> {
        self.bytes.keys().next().map(|(at_us, _)| *at_us)
    }

    pub(crate) fn take(&mut self, now_us: u64) -> Vec<u8> {
        let later = self.bytes.split_off(&(now_us + 1, 0));
        std::mem::replace(&mut self.bytes, later).into_values().map(|(_, byte)| byte).collect()
    }

    /// Garbles what others than `from` send in this time; gives whether there was any.
    fn spoil(&mut self, from: u8, start_us: u64, end_us: u64, char_us: u64, random: &mut Random) -> bool {
        let mut any = false;
        // A byte is on the wire for one character before its time.
        for (_, (sender, byte)) in self.bytes.range_mut((start_us + 1, 0)..(end_us + char_us, 0)) {
            if *sender != from {
                *byte ^= random.between(1, 255) as u8;
                any = true;
            }
        }
        any
    }
}

/// The wire of a line.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// How frames are marked.
    pub framing: Framing,
    /// Bits a second; without, bytes take no time.
    pub baud: Option<u32>,
    /// Whether the master hears what it sends, as with a two-wire adapter whose receiver stays on.
    pub echo: bool,
    /// Whether what is sent at the same time is garbled.
    pub collisions: bool,
}

impl Wire {
    /// An RS-485 line.
    pub fn rtu(baud: u32) -> Self {
        Self { framing: Framing::Rtu, baud: Some(baud), echo: false, collisions: true }
    }

    /// Modbus TCP, where bytes take no time.
    pub fn tcp() -> Self {
        Self { framing: Framing::Tcp, baud: None, echo: false, collisions: false }
    }

    /// How long a character takes, µs.
    pub fn char_us(&self) -> u64 {
        self.baud.map_or(0, |baud| BITS * 1_000_000 / u64::from(baud.max(1)))
    }
}

/// A request to a slave of the line, and the manner it met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When its last byte had arrived, µs.
    pub at_us: u64,
    /// The request.
    pub request: Request,
    /// Its number, which its answer carries; `None`: it was garbled, and the slave did not hear it.
    pub number: Option<u32>,
    /// How it was answered; `None`: the slave slept, or did not hear it.
    pub manner: Option<Manner>,
}

/// Requests that are remembered, the last ones.
const REMEMBERED: usize = 32_768;

/// A line with its slaves.
#[derive(Debug)]
pub struct Line {
    wire: Wire,
    slaves: BTreeMap<u8, Device>,
    random: Random,
    /// What the master has sent since its last whole request.
    heard: Vec<u8>,
    /// When the master has sent all it was given.
    sent_us: u64,
    waiting: Waiting,
    asked: VecDeque<Asked>,
    /// Longest that the machine may keep the line waiting, µs.
    patience_us: u64,
    /// When it was last looked at.
    looked_us: u64,
    kept_waiting: u32,
}

/// The master, among the senders: the address that no slave has.
const MASTER: u8 = 0;

impl Line {
    /// A line; the same seed gives the same faults.
    pub fn new(wire: Wire, slaves: impl IntoIterator<Item = Device>, seed: u64) -> Self {
        Self {
            wire,
            slaves: slaves.into_iter().map(|device| (device.address(), device)).collect(),
            random: Random::new(seed),
            heard: Vec::new(),
            sent_us: 0,
            waiting: Waiting::default(),
            asked: VecDeque::new(),
            patience_us: u64::MAX,
            looked_us: 0,
            kept_waiting: 0,
        }
    }

    /// The same line, which rather hears and says nothing than something later than this: a machine that gives its thread no
    /// time makes slaves later than they were meant to be, and than real ones ever are.
    pub fn never_later(mut self, than: Duration) -> Self {
        self.patience_us = than.as_micros() as u64;
        self
    }

    /// How often it was kept waiting for longer than it may be, and something was lost by that.
    pub fn kept_waiting(&self) -> u32 {
        self.kept_waiting
    }

    /// One of its slaves.
    pub fn slave(&mut self, address: u8) -> Option<&mut Device> {
        self.slaves.get_mut(&address)
    }

    /// All of its slaves.
    pub fn slaves(&mut self) -> impl Iterator<Item = &mut Device> {
        self.slaves.values_mut()
    }

    /// The requests of its slaves, the last ones, in their order.
    pub fn asked(&self) -> &VecDeque<Asked> {
        &self.asked
    }

    fn hear(&mut self, request: Request, garbled: bool, now_us: u64) {
        let Some(device) = self.slaves.get_mut(&request.slave) else { return };
        let awake = !garbled && device.hear(now_us);
        let number = (!garbled).then(|| device.heard());
        let manner = awake.then(|| device.conduct.next(&mut self.random));
        if let Some(manner) = manner {
            self.answer(&request, manner, now_us);
        }
        if self.asked.len() == REMEMBERED {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { at_us: now_us, request, number, manner });
    }

    fn answer(&mut self, request: &Request, manner: Manner, now_us: u64) {
        let Some(device) = self.slaves.get_mut(&request.slave) else { return };
        // Who is silent or refuses has not acted either.
        let pdu = match manner {
            Manner::Silent | Manner::Exception(_) => request.pdu.clone(),
            _ => device.answer(&request.pdu),
        };
        let turnaround_us = device.turnaround_us;
        let answer =
            Answer { framing: self.wire.framing, transaction: request.transaction, slave: request.slave, pdu: &pdu };
        let Some((late_us, mut bytes)) = spoken(manner, answer, &mut self.random) else { return };
        let (start_us, char_us) = (now_us + turnaround_us.max(late_us), self.wire.char_us());
        let end_us = start_us + bytes.len() as u64 * char_us;
        if self.wire.collisions && self.waiting.spoil(request.slave, start_us, end_us, char_us, &mut self.random) {
            bytes.iter_mut().for_each(|byte| *byte ^= self.random.between(1, 255) as u8);
        }
        self.waiting.send(request.slave, &bytes, start_us, char_us);
    }
}

impl Station for Line {
    fn handle(&mut self, bytes: &[u8], now_us: u64) {
        // Sent at any time since.
        if now_us.saturating_sub(self.looked_us) > self.patience_us {
            self.kept_waiting += 1;
            self.heard.clear();
            return;
        }
        let (start_us, char_us) = (self.sent_us.max(now_us), self.wire.char_us());
        self.sent_us = start_us + bytes.len() as u64 * char_us;
        let garbled =
            self.wire.collisions && self.waiting.spoil(MASTER, start_us, self.sent_us, char_us, &mut self.random);
        if self.wire.echo {
            self.waiting.send(MASTER, bytes, start_us, char_us);
        }
        self.heard.extend_from_slice(bytes);
        while let Some(request) = self.wire.framing.take(&mut self.heard) {
            self.hear(request, garbled, self.sent_us);
        }
        // No request is longer: what stays is the beginning of one, or nothing.
        let excess = self.heard.len().saturating_sub(MAX_FRAME);
        self.heard.drain(..excess);
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.waiting.first_us()
    }

    fn poll_output(&mut self, now_us: u64) -> Vec<u8> {
        self.looked_us = now_us;
        let first_us = self.waiting.first_us();
        let bytes = self.waiting.take(now_us);
        if first_us.is_some_and(|at_us| now_us.saturating_sub(at_us) > self.patience_us) {
            self.kept_waiting += 1;
            return Vec::new();
        }
        bytes
    }

    fn come_again(&mut self, now_us: u64) {
        match self.wire.framing {
            Framing::Rtu => drop(self.waiting.take(now_us)),
            // An answer over Modbus TCP goes to the connection that has asked, or to nobody.
            Framing::Tcp => self.waiting = Waiting::default(),
        }
    }
}

#[cfg(test)]
mod tests;
