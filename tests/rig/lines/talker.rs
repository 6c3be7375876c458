//! Wind sensors that speak sentences on a serial line, by themselves or when asked, and slip at times.
//!
//! | | sentence | source |
//! |---|---|---|
//! | Gill WindSonic | `<STX>Q,229,002.74,M,00,<ETX>16`, direction empty in a calm | manual p. 28 to 34 |
//! | Gill WindSonic, NMEA | `$IIMWV,120,R,002.10,M,A*10` | manual p. 54 |
//! | RM Young 85106 | `$WIMWV,120,R,004.1,N,A*3B`, in knots | manual p. 6 |
//! | Vaisala WXT530 | `0R1,Dn=236D,Dm=283D,Dx=031D,Sn=0.0M,Sm=1.0M,Sx=2.2M` | M211840EN p. 85 |

use super::{BITS, Station, Waiting};
use crate::plant::{Sample, Turbine};
use crate::random::Random;
use std::collections::VecDeque;

/// Below this a vane gives no direction, m/s (WindSonic).
const CALM_MPS: f64 = 0.05;
/// A knot, m/s: 1852 m in an hour.
const KNOT_MPS: f64 = 1852.0 / 3600.0;
/// Time from the end of a question to the beginning of its answer, µs.
const TURNAROUND_US: u64 = 10_000;
/// Sentences that are remembered, the last ones.
const REMEMBERED: usize = 4_096;

/// Which device speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Gill's own format.
    Gill,
    /// Gill, NMEA 0183.
    GillNmea,
    /// RM Young, NMEA 0183.
    Young,
    /// Vaisala's automatic or polled wind message.
    Wxt,
}

/// What goes wrong with a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// Nothing.
    None,
    /// Its checksum is not its own (Vaisala's has none: it is cut instead).
    Checksum,
    /// It breaks off, and the next begins on the same line.
    Cut,
    /// The device marks its values as invalid: status V, a WindSonic's error 01, Vaisala's unit `#`.
    Invalid,
    /// There is no wind.
    Calm,
}

/// A sentence that was spoken.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// When it began, µs.
    pub at_us: u64,
    /// What went wrong with it.
    pub slip: Slip,
    /// The wind speed as printed, in the sentence's own unit; `None`: there is none to be had from it.
    pub wind: Option<f64>,
    /// The direction as printed, degrees.
    pub direction: Option<f64>,
}

/// A device that speaks, driven by a turbine's wind.
#[derive(Debug)]
pub struct Talker {
    kind: Kind,
    turbine: Turbine,
    baud: u32,
    /// Time between two sentences, µs; `None`: it is asked.
    every_us: Option<u64>,
    next_us: u64,
    /// Slips by their weights; without any, there is none.
    pub slips: Vec<(u32, Slip)>,
    random: Random,
    heard: Vec<u8>,
    waiting: Waiting,
    said: VecDeque<Said>,
}

impl Talker {
    /// One that speaks by itself, so many milliseconds apart.
    pub fn streaming(kind: Kind, turbine: Turbine, baud: u32, every_ms: u64) -> Self {
        Self { every_us: Some(every_ms.max(1) * 1_000), ..Self::polled(kind, turbine, baud) }
    }

    /// One that answers [`Kind::question`].
    pub fn polled(kind: Kind, turbine: Turbine, baud: u32) -> Self {
        Self {
            kind,
            turbine,
            baud,
            every_us: None,
            next_us: 0,
            slips: Vec::new(),
            random: Random::new(1),
            heard: Vec::new(),
            waiting: Waiting::default(),
            said: VecDeque::new(),
        }
    }

    /// What it has said, the last sentences.
    pub fn said(&self) -> &VecDeque<Said> {
        &self.said
    }

    fn speak(&mut self, at_us: u64) {
        let Some(sample) = self.turbine.sample(at_us / 1_000) else { return };
        let total: u64 = self.slips.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut drawn = self.random.between(0, total.max(1) - 1);
        let mut slip = Slip::None;
        for (weight, of_weight) in &self.slips {
            match drawn.checked_sub(u64::from(*weight)) {
                Some(rest) => drawn = rest,
                None => {
                    slip = *of_weight;
                    break;
                }
            }
        }
        if slip == Slip::Checksum && self.kind == Kind::Wxt {
            slip = Slip::Cut;
        }
        let wind_mps = if slip == Slip::Calm { 0.0 } else { sample.wind_mps };
        let (text, wind, direction) = self.kind.sentence(&Sample { wind_mps, ..sample }, slip == Slip::Invalid);
        let mut bytes = text.into_bytes();
        match slip {
            // The last digit of the checksum, before the line's end.
            Slip::Checksum => {
                let last = bytes.len() - 3;
                bytes[last] = if bytes[last] == b'0' { b'1' } else { b'0' };
            }
            Slip::Cut => bytes.truncate(self.random.between(1, bytes.len() as u64 - 5) as usize),
            Slip::None | Slip::Invalid | Slip::Calm => {}
        }
        let sound = matches!(slip, Slip::None | Slip::Calm);
        if self.said.len() == REMEMBERED {
            self.said.pop_front();
        }
        let direction = direction.filter(|_| sound);
        self.said.push_back(Said { at_us, slip, wind: sound.then_some(wind), direction });
        self.waiting.send(1, &bytes, at_us, BITS * 1_000_000 / u64::from(self.baud));
    }
}

impl Kind {
    /// What a polled device is asked with.
    pub fn question(self) -> &'static str {
        match self {
            Kind::Gill | Kind::GillNmea | Kind::Young => "Q",
            Kind::Wxt => "0R1\r\n",
        }
    }

    /// The sentence of a sample, with its line's end, and its wind speed and direction as printed.
    fn sentence(self, sample: &Sample, invalid: bool) -> (String, f64, Option<f64>) {
        let degrees = sample.direction_deg.round().rem_euclid(360.0);
        // The WXT gives a direction in a calm, too.
        let direction = (self == Kind::Wxt || sample.wind_mps >= CALM_MPS).then_some(degrees);
        let said = direction.map(|degrees| format!("{degrees:03}")).unwrap_or_default();
        let status = if invalid { 'V' } else { 'A' };
        let wind_mps = sample.wind_mps;
        let (text, wind) = match self {
            Kind::Gill => {
                let status = if invalid { "01" } else { "00" };
                let body = format!("Q,{said},{wind_mps:06.2},M,{status},");
                (format!("\x02{body}\x03{:02X}\r\n", xor(&body)), rounded(wind_mps, 100.0))
            }
            Kind::GillNmea => {
                let body = format!("IIMWV,{said},R,{wind_mps:06.2},M,{status}");
                (format!("${body}*{:02X}\r\n", xor(&body)), rounded(wind_mps, 100.0))
            }
            Kind::Young => {
                let knots = wind_mps / KNOT_MPS;
                let body = format!("WIMWV,{said},R,{knots:05.1},N,{status}");
                (format!("${body}*{:02X}\r\n", xor(&body)), rounded(knots, 10.0))
            }
            Kind::Wxt => {
                let (degree, metre) = if invalid { ('#', '#') } else { ('D', 'M') };
                let angle = format!("{said}{degree}");
                let (least, most) = (wind_mps * 0.8, wind_mps * 1.2);
                let speeds = format!("Sn={least:.1}{metre},Sm={wind_mps:.1}{metre},Sx={most:.1}{metre}");
                (format!("0R1,Dn={angle},Dm={angle},Dx={angle},{speeds}\r\n"), rounded(wind_mps, 10.0))
            }
        };
        (text, wind, direction)
    }
}

impl Station for Talker {
    fn handle(&mut self, bytes: &[u8], now_us: u64) {
        if self.every_us.is_some() {
            return;
        }
        let question = self.kind.question().as_bytes();
        for byte in bytes {
            self.heard.push(*byte);
            if self.heard.ends_with(question) {
                self.heard.clear();
                self.speak(now_us + TURNAROUND_US);
            }
        }
        let excess = self.heard.len().saturating_sub(question.len());
        self.heard.drain(..excess);
    }

    fn poll_timeout(&self) -> Option<u64> {
        let next_us = self.every_us.map(|_| self.next_us);
        [self.waiting.first_us(), next_us].into_iter().flatten().min()
    }

    fn poll_output(&mut self, now_us: u64) -> Vec<u8> {
        if let Some(every_us) = self.every_us {
            while self.next_us <= now_us {
                self.speak(self.next_us);
                self.next_us += every_us;
            }
        }
        self.waiting.take(now_us)
    }
}

/// Exclusive or of all bytes: NMEA 0183 between `$` and `*`, Gill between STX and ETX.
fn xor(text: &str) -> u8 {
    text.bytes().fold(0, |sum, byte| sum ^ byte)
}

/// A value as it is printed with so many steps to one.
fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Sample = Sample {
        wind_mps: 2.1,
        second_wind_mps: 2.1,
        direction_deg: 120.2,
        temperature_c: 8.0,
        rotor_rpm: 0.0,
        power_kw: 0.0,
    };

    #[test]
    fn sentences_are_those_of_the_manuals() {
        let gill = Sample { wind_mps: 2.74, direction_deg: 229.0, ..SAMPLE };
        let calm = Sample { wind_mps: 0.01, ..SAMPLE };
        let table = [
            (Kind::Gill, gill, false, "\x02Q,229,002.74,M,00,\x0316\r\n", Some(229.0)),
            (Kind::GillNmea, SAMPLE, false, "$IIMWV,120,R,002.10,M,A*10\r\n", Some(120.0)),
            (Kind::GillNmea, calm, true, "$IIMWV,,R,000.01,M,V*36\r\n", None),
            (Kind::Young, SAMPLE, false, "$WIMWV,120,R,004.1,N,A*3B\r\n", Some(120.0)),
            (Kind::Wxt, SAMPLE, true, "0R1,Dn=120#,Dm=120#,Dx=120#,Sn=1.7#,Sm=2.1#,Sx=2.5#\r\n", Some(120.0)),
        ];
        for (kind, sample, invalid, text, direction) in table {
            let (said, _, degrees) = kind.sentence(&sample, invalid);
            assert_eq!((said.as_str(), degrees), (text, direction));
        }
        assert_eq!(Kind::Young.sentence(&SAMPLE, false).1, 4.1);
    }

    fn lines(talker: &mut Talker, until_us: u64) -> String {
        let mut text = Vec::new();
        while talker.poll_timeout().is_some_and(|at_us| at_us <= until_us) {
            let at_us = talker.poll_timeout().unwrap();
            text.extend(talker.poll_output(at_us));
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_stream_keeps_its_rate_and_every_slip_is_remembered() {
        let mut talker = Talker::streaming(Kind::GillNmea, Turbine::new(1), 9_600, 250);
        let slips = [Slip::None, Slip::Checksum, Slip::Cut, Slip::Invalid, Slip::Calm];
        talker.slips = slips.map(|slip| (1, slip)).to_vec();
        let text = lines(&mut talker, 50_200_000);
        assert_eq!(talker.said().len(), 201);
        let sound = |line: &&str| {
            let body = line.strip_prefix('$').and_then(|line| line.split_once('*'));
            body.is_some_and(|(body, sum)| sum == format!("{:02X}", xor(body)) && body.ends_with(",A"))
        };
        let winds = |line: &str| line.split(',').nth(3).unwrap().parse::<f64>().unwrap();
        // Who reads on after a cut line finds the next one broken, too.
        let read: Vec<f64> = text.lines().filter(sound).map(winds).collect();
        let told: Vec<f64> = talker.said().iter().filter_map(|said| said.wind).collect();
        assert!(read.len() > 40 && read.iter().all(|wind| told.contains(wind)));
        for slip in slips {
            assert!(talker.said().iter().any(|said| said.slip == slip), "{slip:?}");
        }
    }

    #[test]
    fn a_polled_device_speaks_when_it_is_asked() {
        let mut talker = Talker::polled(Kind::Wxt, Turbine::new(1), 19_200);
        talker.handle(b"0R", 0);
        assert_eq!(lines(&mut talker, 1_000_000), "");
        talker.handle(b"1\r\n", 5_000);
        assert!(lines(&mut talker, 1_000_000).starts_with("0R1,Dn="));
        assert_eq!(talker.said().len(), 1);
        assert_eq!(talker.said()[0].at_us, 15_000);
    }
}
