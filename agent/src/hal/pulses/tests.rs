use super::*;
use embedded_hal_mock::eh1::MockError;
use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};
use proptest::prelude::*;

const NRG_40: Cup = Cup { slope: 0.765, offset: 0.35, range: Some((0.0, 96.0)) };
const SECOND: u64 = 1_000_000;

/// A line with a cup on it that is read once a second.
struct Mast {
    counter: Counter,
    meter: Meter,
    now_us: u64,
}

impl Mast {
    fn new() -> Self {
        Self { counter: Counter::new(debounce_us(125.0)), meter: Meter::new(NRG_40, Mono(0)), now_us: 0 }
    }

    /// A pulse of half a period: low before `rises_us`, high after it.
    fn pulse(&mut self, rises_us: u64, period_us: u64) {
        self.counter.edge(rises_us - period_us / 2, false);
        self.counter.edge(rises_us, true);
    }

    /// Reads at the next full second.
    fn read(&mut self) -> Reading {
        self.now_us += SECOND;
        self.meter.reading(self.counter.take(), Mono(self.now_us / 1000))
    }

    /// What a cup at `hz`, turning since second 0, reads in the next seconds.
    fn turn(&mut self, hz: f64, seconds: u64) -> Vec<Reading> {
        let period_us = (1e6 / hz) as u64;
        let mut rises_us = self.now_us + period_us;
        let mut readings = Vec::new();
        for _ in 0..seconds {
            while rises_us <= self.now_us + SECOND {
                self.pulse(rises_us, period_us);
                rises_us += period_us;
            }
            readings.push(self.read());
        }
        readings
    }
}

fn value(reading: &Reading) -> f64 {
    reading.unwrap_or_else(|reason| panic!("no value: {reason}")).as_f64()
}

#[test]
fn three_and_a_half_turns_a_second_read_as_such_and_not_as_three_or_four() {
    for reading in &Mast::new().turn(3.4, 10)[1..] {
        assert!((value(reading) - (0.765 * 3.4 + 0.35)).abs() < 1e-4, "{reading:?}");
    }
}

#[test]
fn a_slow_cup_keeps_its_speed_between_pulses_and_a_cup_that_stops_sinks_to_zero() {
    let mut mast = Mast::new();
    let slow = mast.turn(0.4, 10);
    assert_eq!(slow[..3], [Err(NoData::NotDue); 3], "nothing yet, and then one pulse, tell no speed");
    for reading in &slow[5..] {
        assert!((value(reading) - (0.765 * 0.4 + 0.35)).abs() < 1e-6, "{reading:?}");
    }
    let stopping: Vec<f64> = (0..7).map(|_| value(&mast.read())).collect();
    let sinking = [0.4, 0.4, 1.0 / 3.0, 0.25].map(|hz| 0.765 * hz + 0.35);
    for (found, expected) in stopping.iter().zip(sinking) {
        assert!((found - expected).abs() < 1e-6, "{stopping:?}");
    }
    assert_eq!(stopping[4..], [0.0, 0.0, 0.0], "at rest it is 0, not the offset");
}

#[test]
fn a_cup_at_rest_from_the_start_is_not_known_to_be_so_before_a_while() {
    let mut mast = Mast::new();
    let readings: Vec<Reading> = (0..6).map(|_| mast.read()).collect();
    assert_eq!(readings[..4], [Err(NoData::NotDue); 4]);
    assert_eq!(readings[4..], [Ok(Value::F64(0.0)); 2]);
}

#[test]
fn a_rest_is_no_period() {
    let mut mast = Mast::new();
    mast.turn(2.0, 3);
    for _ in 0..60 {
        mast.read().unwrap();
    }
    let again = mast.turn(4.0, 2);
    assert!((value(&again[0]) - (0.765 * 4.0 + 0.35)).abs() < 1e-6, "{again:?}");
    mast.now_us += 60 * SECOND;
    mast.pulse(mast.now_us + 1000, 500_000);
    assert_eq!(mast.read(), Err(NoData::NotDue), "one pulse after a rest tells no speed");
}

#[test]
fn a_contact_that_bounces_as_it_closes_and_opens_gives_one_pulse_a_turn() {
    let mut mast = Mast::new();
    let mut edge = |at_us: u64, high| mast.counter.edge(at_us, high);
    for turn in 0..4u64 {
        let closes = (turn + 1) * 250_000;
        edge(closes - 100_000, false);
        for bounce in 0..4 {
            edge(closes + bounce * 300, true);
            edge(closes + bounce * 300 + 150, false);
        }
        edge(closes + 1_200, true);
        for bounce in 0..3 {
            edge(closes + 125_000 + bounce * 200, false);
            edge(closes + 125_000 + bounce * 200 + 100, true);
        }
    }
    let count = mast.counter.take();
    assert_eq!(count, Count { pulses: 4, periods: 3, span_us: 750_000, bounces: 28 });
    assert!((value(&mast.meter.reading(count, Mono(1000))) - (0.765 * 4.0 + 0.35)).abs() < 1e-9);
}

#[test]
fn noise_and_speeds_that_cannot_be_are_out_of_range() {
    let mut mast = Mast::new();
    assert_eq!(mast.turn(400.0, 1), [Err(NoData::OutOfRange)], "lows of 1.25 ms are bounces");
    assert_eq!(mast.turn(180.0, 2)[1], Err(NoData::OutOfRange), "137 m/s");
    let mut stopped = Counter::new(0);
    for _ in 0..3 {
        stopped.edge(7, false);
        stopped.edge(7, true);
    }
    assert_eq!(mast.meter.reading(stopped.take(), Mono(4000)), Err(NoData::OutOfRange), "a clock that stands");
}

#[test]
fn levels_that_are_looked_at_give_the_same_count_as_edges() {
    let levels = [false, false, true, true, false, false, true, true, true, false, true];
    let state = |high| if high { State::High } else { State::Low };
    let mut expected: Vec<_> = levels.iter().map(|&high| Transaction::get(state(high))).collect();
    expected.push(Transaction::get(State::Low).with_error(MockError::Io(std::io::ErrorKind::NotConnected)));
    let mut pin = Mock::new(&expected);
    let (mut poller, mut counter) = (Poller::default(), Counter::new(2_000));
    for (at, _) in levels.iter().enumerate() {
        poller.look(&mut pin, at as u64 * 1_000, &mut counter).unwrap();
    }
    assert_eq!(counter.take(), Count { pulses: 2, periods: 1, span_us: 4_000, bounces: 1 });
    assert_eq!(poller.look(&mut pin, 11_000, &mut counter), Err(NoData::Disconnected));
    pin.done();
}

proptest! {
    #[test]
    fn a_steady_cup_reads_its_frequency_whatever_it_is(hz in 0.25f64..120.0) {
        let readings = Mast::new().turn(hz, 12);
        for reading in &readings[9..] {
            let expected = 0.765 * hz + 0.35;
            prop_assert!((value(reading) - expected).abs() < expected * 1e-3, "{:?}, not {}", reading, expected);
        }
    }

    #[test]
    fn takes_lose_and_repeat_no_period(gaps in prop::collection::vec((1_000u64..2_000_000, any::<bool>()), 1..200)) {
        let (mut often, mut once) = (Counter::new(100), Counter::new(100));
        let (mut at, mut sum) = (0, Count::default());
        for (gap, take) in gaps {
            at += gap;
            for counter in [&mut often, &mut once] {
                counter.edge(at - gap / 2, false);
                counter.edge(at, true);
            }
            if take {
                sum = add(sum, often.take());
            }
        }
        prop_assert_eq!(add(sum, often.take()), once.take());
    }

    #[test]
    fn any_edges_at_any_times_give_a_reading(
        edges in prop::collection::vec((any::<u64>(), any::<bool>()), 0..100), now in any::<u64>(),
    ) {
        let mut counter = Counter::new(1_000);
        edges.into_iter().for_each(|(at, high)| counter.edge(at, high));
        let mut meter = Meter::new(NRG_40, Mono(0));
        for count in [counter.take(), counter.take()] {
            if let Ok(reading) = meter.reading(count, Mono(now)) {
                prop_assert!((0.0..=96.0).contains(&reading.as_f64()));
            }
        }
    }
}

fn add(one: Count, other: Count) -> Count {
    Count {
        pulses: one.pulses + other.pulses,
        periods: one.periods + other.periods,
        span_us: one.span_us + other.span_us,
        bounces: one.bounces + other.bounces,
    }
}
