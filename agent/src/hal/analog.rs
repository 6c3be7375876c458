//! Analog signals behind a converter: counts to volts at the pin, to the signal, to the value; or to the reason why
//! there is none.
//!
//! A signal with a *live zero* (4–20 mA, 2–10 V, 1–5 V) tells a broken wire from a calm: nothing is not zero. The bands
//! are those of NAMUR NE 43 for 4–20 mA, and the same shares of the span for the voltages:
//!
//! ```text
//!  ≤ 3.6 mA        3.8 mA                       20.5 mA         ≥ 21 mA
//!  broken wire │ out of range │ measured value │ out of range │ broken wire
//! ```
//!
//! Between the bands a transmitter neither measures nor reports a fault. Inside 3.8–20.5 mA nothing is clamped: 3.9 mA
//! is a value slightly below the span's low end, so a channel's range needs that room. The 2 mA that a Vaisala WXT532
//! gives for a missing measurement (manual M211840EN p. 144) is a broken wire here, for NE 43 does not tell the two apart.
//!
//! A signal whose zero is nothing (0–10 V, 0–5 V, 0–1 V) reads zero on a cut wire. Nothing can tell that from a calm.

use super::ads1115::{Gain, Input};
use serde::Deserialize;
use windward_protocol::{NoData, Reading, Value};

/// Supply of the converter, V, at most (ADS1115: SBAS444, "Recommended Operating Conditions"). No pin may go above it.
const MAX_PIN_V: f64 = 5.5;
/// The signal at which a short circuit is certain, as a share of the span: 21 mA.
const SHORT: f64 = 17.0 / 16.0;
/// The signal up to which a transmitter measures, as a share of the span: 20.5 mA.
const MOST: f64 = 16.5 / 16.0;
/// The signal down to which a transmitter measures, as a share of the span: 3.8 mA.
const LEAST: f64 = -0.2 / 16.0;
/// The signal at which a broken wire is certain, as a share of the span: 3.6 mA.
const BROKEN: f64 = -0.4 / 16.0;

/// What comes along the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Signal {
    /// A current loop, measured over a shunt.
    #[serde(rename = "4-20mA")]
    Loop4To20,
    /// A voltage without a live zero.
    #[serde(rename = "0-1V")]
    Volt0To1,
    /// A voltage without a live zero.
    #[serde(rename = "0-5V")]
    Volt0To5,
    /// A voltage without a live zero.
    #[serde(rename = "0-10V")]
    Volt0To10,
    /// A voltage with a live zero.
    #[serde(rename = "1-5V")]
    Volt1To5,
    /// A voltage with a live zero.
    #[serde(rename = "2-10V")]
    Volt2To10,
}

impl Signal {
    /// Low and high end, in mA or V.
    fn ends(self) -> (f64, f64) {
        match self {
            Signal::Loop4To20 => (4.0, 20.0),
            Signal::Volt0To1 => (0.0, 1.0),
            Signal::Volt0To5 => (0.0, 5.0),
            Signal::Volt0To10 => (0.0, 10.0),
            Signal::Volt1To5 => (1.0, 5.0),
            Signal::Volt2To10 => (2.0, 10.0),
        }
    }

    fn has_live_zero(self) -> bool {
        self.ends().0 > 0.0
    }
}

/// How one channel is wired, and what its signal means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Analog {
    /// Input of the converter.
    pub input: Input,
    /// Full scale of the converter: the finest that still shows a short circuit.
    pub gain: Gain,
    signal: Signal,
    /// mA or V of the signal for each volt at the pin.
    per_volt: f64,
    span: [f64; 2],
}

/// What is wrong with the description of an analog channel.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Flaw {
    /// `input`
    #[error("the converter has inputs 0 to 3")]
    Input,
    /// `shunt_ohm`
    #[error("a current loop needs the resistance it is measured over, for example 150 ohm")]
    NoShunt,
    /// `shunt_ohm`
    #[error("a resistance is greater than zero, and only a current loop has a shunt")]
    Shunt,
    /// `divider`
    #[error("a divider is a number from 1 on, and only a voltage has one")]
    Divider,
    /// `span`
    #[error("the span is two different numbers: the values at the signal's low and high end")]
    Span,
    /// `shunt_ohm` or `divider`
    #[error("the pin would get {0:.2} V; the converter bears 5.5 V at most, and never more than its supply")]
    TooMuch(f64),
}

impl Analog {
    /// The wiring of a channel, checked.
    ///
    /// - `input`: 0 to 3, against ground.
    /// - `shunt_ohm`: what a current loop is measured over. With 21 mA the pin must stay below the converter's supply, or a
    ///   short circuit is not seen: at most 157 Ω with 3.3 V, 238 Ω with 5 V.
    /// - `divider`: a voltage's share at the pin is one in `divider`; none is 1.
    /// - `span`: the values at the low and the high end of the signal.
    pub fn new(
        input: u8,
        signal: Signal,
        shunt_ohm: Option<f64>,
        divider: Option<f64>,
        span: [f64; 2],
    ) -> Result<Self, Flaw> {
        let input = Input::single(input).ok_or(Flaw::Input)?;
        let per_volt = match (signal, shunt_ohm, divider) {
            (Signal::Loop4To20, None, _) => return Err(Flaw::NoShunt),
            (Signal::Loop4To20, Some(ohm), None) if ohm.is_finite() && ohm > 0.0 => 1000.0 / ohm,
            (Signal::Loop4To20, Some(_), None) | (_, Some(_), _) => return Err(Flaw::Shunt),
            (_, None, None) => 1.0,
            (_, None, Some(divider)) if divider.is_finite() && divider >= 1.0 => divider,
            (_, None, Some(_)) => return Err(Flaw::Divider),
        };
        if !span.iter().all(|end| end.is_finite()) || span[0] == span[1] {
            return Err(Flaw::Span);
        }
        let (low, high) = signal.ends();
        let most_v = (low + SHORT * (high - low)) / per_volt;
        // The last count means "this or more", so the full scale lies above what must be told.
        let gain = Gain::FINEST_FIRST.into_iter().find(|gain| gain.volts(i16::MAX) > most_v);
        match gain {
            Some(gain) if most_v <= MAX_PIN_V => Ok(Self { input, gain, signal, per_volt, span }),
            _ => Err(Flaw::TooMuch(most_v)),
        }
    }
}

/// What the converter's `counts` say.
///
/// [`NoData::BrokenWire`] for a signal with a live zero in a fault band, [`NoData::OutOfRange`] between the bands, and for a
/// signal that cannot be (below zero, above its span).
pub fn reading(analog: &Analog, counts: i16) -> Reading {
    let (low, high) = analog.signal.ends();
    let share = (analog.gain.volts(counts) * analog.per_volt - low) / (high - low);
    if analog.signal.has_live_zero() && (share <= BROKEN || share >= SHORT) {
        return Err(NoData::BrokenWire);
    }
    let [at_low, at_high] = analog.span;
    let value = at_low + share * (at_high - at_low);
    if (LEAST..=MOST).contains(&share) { Ok(Value::F64(value)) } else { Err(NoData::OutOfRange) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A WXT532's wind speed over 150 ohm: 0 to 48 m/s.
    fn wxt532() -> Analog {
        Analog::new(0, Signal::Loop4To20, Some(150.0), None, [0.0, 48.0]).unwrap()
    }

    /// A wind speed on 0–10 V behind a divider of four.
    fn voltage(signal: Signal) -> Analog {
        Analog::new(1, signal, None, Some(4.0), [0.0, 50.0]).unwrap()
    }

    /// The counts next to a signal in mA or V.
    fn counts(analog: &Analog, signal: f64) -> i16 {
        (signal / analog.per_volt / analog.gain.volts(1)).round() as i16
    }

    #[test]
    fn a_current_loop_follows_ne_43() {
        use NoData::{BrokenWire, OutOfRange};
        let loop_ = wxt532();
        assert_eq!(loop_.gain, Gain::V4_096, "21 mA are 3.15 V");
        let table = [
            (0.0, Err(BrokenWire)),
            (-1.0, Err(BrokenWire)),
            (2.0, Err(BrokenWire)),
            (3.59, Err(BrokenWire)),
            (3.61, Err(OutOfRange)),
            (3.79, Err(OutOfRange)),
            (3.81, Ok(-0.57)),
            (4.0, Ok(0.0)),
            (4.3333, Ok(1.0)),
            (12.0, Ok(24.0)),
            (20.0, Ok(48.0)),
            (20.49, Ok(49.47)),
            (20.51, Err(OutOfRange)),
            (20.99, Err(OutOfRange)),
            (21.01, Err(BrokenWire)),
            (27.0, Err(BrokenWire)),
        ];
        for (ma, expected) in table {
            match (reading(&loop_, counts(&loop_, ma)), expected) {
                (Ok(value), Ok(expected)) => assert!((value.as_f64() - expected).abs() < 0.01, "{ma} mA: {value:?}"),
                (found, expected) => assert_eq!(found.map(Value::as_f64), expected, "{ma} mA"),
            }
        }
        assert_eq!(reading(&loop_, i16::MAX), Err(BrokenWire));
        assert_eq!(reading(&loop_, i16::MIN), Err(BrokenWire));
    }

    #[test]
    fn a_cut_wire_shows_on_a_live_zero_and_reads_zero_on_a_dead_one() {
        let of = |signal, volts| {
            let analog = voltage(signal);
            reading(&analog, counts(&analog, volts)).map(|value| value.as_f64().round())
        };
        assert_eq!(of(Signal::Volt2To10, 0.0), Err(NoData::BrokenWire));
        assert_eq!(of(Signal::Volt1To5, 0.0), Err(NoData::BrokenWire));
        assert_eq!(of(Signal::Volt2To10, 6.0), Ok(25.0));
        assert_eq!(of(Signal::Volt1To5, 3.0), Ok(25.0));
        for (signal, high) in [(Signal::Volt0To10, 10.0), (Signal::Volt0To5, 5.0), (Signal::Volt0To1, 1.0)] {
            assert_eq!(of(signal, 0.0), Ok(0.0));
            assert_eq!(of(signal, high), Ok(50.0));
            assert_eq!(of(signal, -0.05 * high), Err(NoData::OutOfRange), "the wires are swapped");
            assert_eq!(of(signal, 1.05 * high), Err(NoData::OutOfRange));
            assert_eq!(reading(&voltage(signal), i16::MAX), Err(NoData::OutOfRange));
        }
    }

    #[test]
    fn wrong_wirings_are_refused_and_say_which_key_is_wrong() {
        let span = [0.0, 60.0];
        let loop_over = |ohm| Analog::new(0, Signal::Loop4To20, Some(ohm), None, span);
        let divided = |divider| Analog::new(0, Signal::Volt0To10, None, Some(divider), span);
        assert_eq!(Analog::new(4, Signal::Loop4To20, Some(150.0), None, span), Err(Flaw::Input));
        assert_eq!(Analog::new(0, Signal::Loop4To20, None, None, span), Err(Flaw::NoShunt));
        assert_eq!(loop_over(0.0), Err(Flaw::Shunt));
        assert_eq!(loop_over(f64::NAN), Err(Flaw::Shunt));
        assert_eq!(Analog::new(0, Signal::Volt0To5, Some(150.0), None, span), Err(Flaw::Shunt));
        assert_eq!(divided(0.5), Err(Flaw::Divider));
        assert_eq!(Analog::new(0, Signal::Loop4To20, Some(150.0), None, [5.0, 5.0]), Err(Flaw::Span));
        assert_eq!(Analog::new(0, Signal::Volt0To10, None, None, span), Err(Flaw::TooMuch(10.625)));
        assert_eq!(loop_over(500.0), Err(Flaw::TooMuch(10.5)));
        assert_eq!(loop_over(250.0).map(|analog| analog.gain), Ok(Gain::V6_144));
        assert_eq!(loop_over(10.0).map(|analog| analog.gain), Ok(Gain::V0_256));
    }

    proptest! {
        #[test]
        fn every_count_has_an_answer_and_values_grow_with_the_signal(
            signal in prop::sample::select(vec![Signal::Loop4To20, Signal::Volt0To1, Signal::Volt0To5, Signal::Volt1To5]),
            shunt in 1.0..250.0, span in (-100.0..0.0, 1.0..100.0), counts in i16::MIN..i16::MAX,
        ) {
            let shunt = (signal == Signal::Loop4To20).then_some(shunt);
            let analog = Analog::new(0, signal, shunt, None, [span.0, span.1]).unwrap();
            let (here, next) = (reading(&analog, counts), reading(&analog, counts + 1));
            if let (Ok(here), Ok(next)) = (here, next) {
                prop_assert!(here.as_f64() < next.as_f64());
            }
            if let Ok(value) = here {
                let room = (span.1 - span.0) * 0.04;
                prop_assert!((span.0 - room..=span.1 + room).contains(&value.as_f64()));
            }
            let shorted = reading(&analog, i16::MAX);
            prop_assert_eq!(shorted.is_ok(), false, "the full scale leaves room above the span");
        }
    }
}
