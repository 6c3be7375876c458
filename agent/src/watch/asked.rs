//! A device that is read by asking it: rounds of requests at its rate, and the row that each of them makes.

use super::round::{MAX_FAILURES, Round, Skipping, Slot};
use super::schedule::{Between, Schedule};
use super::value::scaled;
use super::{Answer, Ask, Query, modbus, sentence};
use crate::config::{Bus, Config, Device, DeviceChannel, How, Source};
use crate::hal::analog::{self, Analog};
use crate::hal::pulses::Meter;
use crate::time::{Mono, Stamp};
use windward_protocol::{NoData, Reading};

/// Least time between two rounds of a device that is read more often for a while, ms.
const LEAST_BETWEEN_MS: u64 = 10;

/// The requests of one device, and how far they are.
pub(super) struct Asked {
    device: Device,
    /// What sentences it sends, if it sends sentences.
    format: Option<sentence::Format>,
    requests: Vec<Request>,
    /// For each channel, where its value is found.
    places: Vec<modbus::Place>,
    /// For each channel, the meter of its pulses if it has any.
    meters: Vec<Option<Meter>>,
    schedule: Schedule,
    /// While it is read more often: the moments in between.
    between: Option<Between>,
    /// Longest time a round may take, ms: a backstop behind the shell's own timeouts.
    overdue_ms: u64,
    rounds: u64,
    round: Option<Round>,
    /// Whether that round is one in between.
    is_between: bool,
    skipping: Skipping,
}

/// A request, and when it is due.
struct Request {
    query: Query,
    every: u64,
    resets: bool,
    /// The first of the device's moments at which it is due again.
    due: u64,
}

/// What comes of a moment or an answer.
pub(super) enum Outcome {
    /// Nothing yet.
    None,
    /// This is to be asked.
    Ask(Ask),
    /// A row is complete: one reading a channel.
    Row(Vec<Reading>),
    /// So is one that was read in between.
    Between(Vec<Reading>),
}

impl Asked {
    pub(super) fn new(config: &Config, device: &Device) -> Self {
        let shared = config.devices.iter().filter(|other| other.bus == device.bus).count() > 1;
        let (requests, places) = requests(device);
        Self {
            format: match &config.buses[device.bus] {
                Bus::Sentences { format, .. } => Some(*format),
                _ => None,
            },
            requests,
            places,
            meters: Vec::new(),
            schedule: Schedule::new(Mono(0), u64::from(device.interval_ms), 0, 1),
            between: None,
            overdue_ms: overdue_ms(config, device.bus),
            rounds: 0,
            round: None,
            is_between: false,
            skipping: Skipping::new(shared),
            device: device.clone(),
        }
    }

    /// Plans its moments from `now` on. `index` of `count` devices.
    pub(super) fn start(&mut self, now: Mono, index: usize, count: usize) {
        self.schedule = Schedule::new(now, u64::from(self.device.interval_ms), index, count);
        let meter = |channel: &DeviceChannel| match channel.source {
            Source::Pulses { cup, .. } => Some(Meter::new(cup, now)),
            _ => None,
        };
        self.meters = self.device.channels.iter().map(meter).collect();
    }

    /// Reads it `times` as often until then; once as often ends it. What is slower than the device, or changed by
    /// reading, is not read in between.
    pub(super) fn hurry(&mut self, times: u16, until: Mono) -> Result<(), String> {
        let most = u64::from(self.device.interval_ms) / LEAST_BETWEEN_MS;
        if matches!(self.device.how, How::Pulses) {
            return Err("counts pulses over its interval: read more often it would count fewer".into());
        }
        if times > 1 && u64::from(times) > most {
            return Err(format!("is read every {} ms: at most {most} times as often", self.device.interval_ms));
        }
        self.between = (times > 1).then(|| Between::new(&self.schedule, times, until));
        Ok(())
    }

    /// When something is due next, and why.
    pub(super) fn poll_timeout(&self) -> (Mono, &'static str) {
        let between = self.between.as_ref().map(|between| (between.next(), "a device is due in between"));
        let due = (self.schedule.next(), "a device is due");
        let due = between.map_or(due, |between| between.min(due));
        let overdue = self.round.as_ref().map(|round| (round.overdue, "a round is overdue"));
        overdue.map_or(due, |overdue| due.min(overdue))
    }

    /// Ends a round that is overdue.
    pub(super) fn give_up(&mut self, now: Stamp) -> Outcome {
        match &self.round {
            Some(round) if round.overdue <= now.mono => self.finish(now),
            _ => Outcome::None,
        }
    }

    /// Starts a round when a moment has come, unless one is under way or the device is being skipped. A moment at
    /// which nothing is asked and nothing is coming in is a row too.
    pub(super) fn begin(&mut self, index: usize, now: Stamp) -> Outcome {
        let Some(moment) = self.schedule.due(now.mono) else { return self.begin_between(index, now.mono) };
        // One in between gives way; an answer that still comes to it says nothing.
        self.round.take_if(|_| self.is_between);
        if self.round.as_ref().is_some_and(|round| !round.barren()) {
            return Outcome::None;
        }
        if self.round.is_some() || self.skipping.skips(now.mono) {
            return Outcome::Row(vec![Err(NoData::Skipped); self.device.channels.len()]);
        }
        let slots = (0..self.requests.len()).map(|request| self.slot(request, moment)).collect();
        self.is_between = false;
        self.start_round(index, slots, now.mono)
    }

    /// Starts a round in between when it is time, unless one is under way or the device is being skipped: then nothing
    /// is missed that was promised.
    fn begin_between(&mut self, index: usize, now: Mono) -> Outcome {
        self.between.take_if(|between| between.is_over(now));
        let Some(between) = &mut self.between else { return Outcome::None };
        if !between.due(&self.schedule, now) || self.round.is_some() || self.skipping.skips(now) {
            return Outcome::None;
        }
        let slot = |request: &Request| match request.every {
            1 if !request.resets => Slot::Waiting { retries: 0 },
            _ => Slot::NotDue,
        };
        self.is_between = true;
        self.start_round(index, self.requests.iter().map(slot).collect(), now)
    }

    fn start_round(&mut self, index: usize, slots: Vec<Slot>, now: Mono) -> Outcome {
        let round = Round::new(self.rounds + 1, now + self.overdue_ms, slots, self.skipping.patience());
        let Some(first) = round.next() else { return Outcome::None };
        self.rounds += 1;
        self.round = Some(round);
        Outcome::Ask(self.ask(index, first))
    }

    /// Takes an answer; one to a round that is over says nothing about now.
    pub(super) fn answer(
        &mut self,
        index: usize,
        (number, request): (u64, usize),
        result: Result<Answer, NoData>,
        now: Stamp,
    ) -> Outcome {
        let query = &self.requests[request].query;
        let result = result.and_then(|answer| if query.fits(&answer) { Ok(answer) } else { Err(NoData::Protocol) });
        let Some(round) = self.round.as_mut().filter(|round| round.number == number) else { return Outcome::None };
        round.answered(request, result);
        match round.next() {
            Some(next) => Outcome::Ask(self.ask(index, next)),
            None => self.finish(now),
        }
    }

    /// Whether a request is part of the round that begins at this moment, and how often it may be asked again.
    fn slot(&mut self, index: usize, moment: u64) -> Slot {
        let wakes = matches!(self.device.how, How::Modbus { wake: true, .. }) && index == 0;
        let doubtful = self.skipping.doubtful();
        let request = &mut self.requests[index];
        if moment < request.due {
            return Slot::NotDue;
        }
        request.due = (moment / request.every + 1) * request.every;
        let retries = if doubtful { 0 } else { self.device.retries };
        // What a lost answer has reset is gone; asking again would pass off a moment's maximum as the interval's.
        Slot::Waiting { retries: if request.resets { 0 } else { retries + u8::from(wakes) } }
    }

    fn ask(&self, index: usize, request: usize) -> Ask {
        Ask {
            bus: self.device.bus,
            device: index,
            round: self.rounds,
            request,
            query: self.requests[request].query.clone(),
            timeout_ms: self.device.timeout_ms,
            late_ms: self.device.late_ms,
        }
    }

    /// Ends the round, with whatever has been answered.
    fn finish(&mut self, now: Stamp) -> Outcome {
        let Some(round) = self.round.take() else { return Outcome::None };
        self.skipping.round_ended(round.silent(), now.mono);
        let answers = round.answers();
        let channels = self.device.channels.iter().zip(&self.places).zip(&mut self.meters);
        let read = |((channel, place), meter): ((&DeviceChannel, &modbus::Place), &mut Option<Meter>)| match (
            meter,
            answers[place.request].as_ref().map_err(|reason| *reason)?,
        ) {
            (Some(meter), Answer::Pulses(count)) => meter.reading(*count, now.mono),
            (_, answer) => read(channel, place, answer, &answers, self.format, &self.device.how),
        };
        let readings = channels.map(read).collect();
        if self.is_between { Outcome::Between(readings) } else { Outcome::Row(readings) }
    }
}

/// What a device is asked, and where in the answers each channel is found.
fn requests(device: &Device) -> (Vec<Request>, Vec<modbus::Place>) {
    let request = |query, every: u32, resets| Request { query, every: u64::from(every), resets, due: 0 };
    // Of a converter or pulse input each channel is a request of its own.
    let one_each = |query: &dyn Fn(&Source) -> Option<Query>| {
        let asked =
            device.channels.iter().filter_map(|channel| Some(request(query(&channel.source)?, channel.every, false)));
        let places = (0..device.channels.len()).map(|request| modbus::Place { request, ..Default::default() });
        (asked.collect(), places.collect())
    };
    match &device.how {
        How::Modbus { slave, limits, .. } => {
            let (planned, places) = modbus::plan(&device.registers(), limits);
            let of_plan = |planned: modbus::Request| {
                let modbus::Request { function, start, count, every, resets } = planned;
                request(Query::Registers { slave: *slave, function, start, count }, every, resets)
            };
            (planned.into_iter().map(of_plan).collect(), places)
        }
        How::Sentences { poll, .. } => {
            let poll = request(Query::Poll(poll.clone().unwrap_or_default()), 1, false);
            (vec![poll], vec![modbus::Place::default(); device.channels.len()])
        }
        How::Converter { address } => one_each(&|source| match source {
            Source::Analog(Analog { input, gain, .. }) => {
                Some(Query::Convert { address: *address, input: *input, gain: *gain })
            }
            _ => None,
        }),
        How::Pulses => one_each(&|source| match source {
            Source::Pulses { line, .. } => Some(Query::Pulses { line: *line }),
            _ => None,
        }),
    }
}

/// The reading of a channel, from the answers of its round.
fn read(
    channel: &DeviceChannel,
    place: &modbus::Place,
    answer: &Answer,
    answers: &[Result<Answer, NoData>],
    format: Option<sentence::Format>,
    how: &How,
) -> Reading {
    match (&channel.source, answer) {
        (Source::Register(register), Answer::Words(words)) => {
            let exponent = match place.exponent {
                None => None,
                Some((request, word)) => match answers[request].as_ref().map_err(|reason| *reason)? {
                    Answer::Words(words) => words.get(word).copied(),
                    _ => return Err(NoData::Protocol),
                },
            };
            modbus::decode(register, &channel.scaling, words.get(place.word..).unwrap_or(&[]), exponent)
        }
        (Source::Analog(of_channel), Answer::Counts(counts)) => {
            scaled(analog::reading(of_channel, *counts)?, &channel.scaling)
        }
        (Source::Field(field), Answer::Line(line)) => {
            let format = format.ok_or(NoData::Protocol)?;
            let sentence =
                sentence::parse(format, line).map_err(|fault| fault.no_data().unwrap_or(NoData::Protocol))?;
            if !speaks(how, &sentence) {
                return Err(NoData::Protocol);
            }
            // Asked for a sentence that does not carry the field: it is set up to send another one.
            scaled(sentence.get(field).unwrap_or(Err(NoData::Protocol))?, &channel.scaling)
        }
        _ => Err(NoData::Protocol),
    }
}

/// Whether the sentence is from the device, as far as its configuration says who it is.
pub(super) fn speaks(how: &How, sentence: &sentence::Sentence) -> bool {
    match how {
        How::Sentences { address: Some(address), .. } => sentence.address() == Some(address),
        _ => true,
    }
}

/// The longest a round can take when every device of the bus is as slow and fails as often as it may, ms.
fn overdue_ms(config: &Config, bus: usize) -> u64 {
    let of_device = |device: &Device| {
        // At most two requests a channel, for a value and its exponent; each asked once on a fresh connection again, as
        // often as it may be retried and once more to wake the device.
        let times = 2 * (u64::from(device.retries) + 2);
        let asked = 2 * device.channels.len() as u64 * times * u64::from(device.timeout_ms);
        asked + MAX_FAILURES as u64 * times * u64::from(device.late_ms)
    };
    let devices = config.devices.iter().filter(|device| device.bus == bus && device.is_asked());
    1_000 + devices.map(of_device).sum::<u64>()
}
