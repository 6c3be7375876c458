//! Devices that speak by themselves.

use crate::world::{START_MS, config};
use windward_agent::time::{Mono, Stamp, Wall};
use windward_agent::watch::{Input, Output, Watch};
use windward_protocol::{AlertKind, AlertPhase, NoData, Reading, Row, Value};

/// A wind sensor that speaks every second, and another that adds the air's temperature every ten.
const STATION: &str = r#"
[[device]]
name = "station"
serial = { port = "/dev/ttyS0" }
format = "nmea"
timeout_ms = 12000
[[device.channel]]
name = "wind"
quantity = "wind-speed"
unit = "m/s"
field = "MWV.speed"
range = [0, 75]
[[device.channel]]
name = "angle"
unit = "°"
field = "MWV.angle"
[[device.channel]]
name = "air"
unit = "°C"
field = "XDR.C.AirTemp"
"#;

const WIND: &str = "$WIMWV,214.8,R,8.5,M,A";
const CALM: &str = "$WIMWV,,R,0.0,M,A";
const INVALID: &str = "$WIMWV,214.8,R,8.5,M,V";
const AIR: &str = "$WIXDR,C,19.5,C,AirTemp";

/// WATCH with an ear on bus 0.
struct Ear {
    watch: Watch,
    now_ms: u64,
    rows: Vec<(i64, Vec<Reading>)>,
    alerts: Vec<(u64, AlertKind, AlertPhase)>,
}

impl Ear {
    fn new(devices: &str) -> Self {
        let watch = Watch::new(&config(devices), 7);
        let mut ear = Self { watch, now_ms: 0, rows: Vec::new(), alerts: Vec::new() };
        ear.until(0);
        ear.hears(Input::Listening { bus: 0, open: true });
        ear
    }

    fn stamp(&self) -> Stamp {
        Stamp { mono: Mono(self.now_ms), wall: Wall(START_MS + self.now_ms as i64), synced: true }
    }

    /// Lets time pass.
    fn until(&mut self, end_ms: u64) {
        while let Some((at, _)) = self.watch.poll_timeout().filter(|(at, _)| at.0 <= end_ms) {
            self.now_ms = self.now_ms.max(at.0);
            self.watch.handle_timeout(self.stamp());
            self.take();
        }
        self.now_ms = end_ms;
    }

    /// A sentence comes at this time; its checksum is added.
    fn says(&mut self, at_ms: u64, sentence: &str) {
        let checksum = sentence[1..].bytes().fold(0, |sum, byte| sum ^ byte);
        self.line(at_ms, &format!("{sentence}*{checksum:02X}"));
    }

    fn line(&mut self, at_ms: u64, line: &str) {
        self.until(at_ms);
        self.hears(Input::Line { bus: 0, line: line.into() });
    }

    fn hears(&mut self, input: Input) {
        self.watch.handle(input, self.stamp());
        self.take();
    }

    fn take(&mut self) {
        while let Some(output) = self.watch.poll_output() {
            match output {
                Output::Row { row: Row { time_ms, readings, .. }, .. } => {
                    self.rows.push((time_ms - START_MS, readings))
                }
                Output::Alert(alert) => self.alerts.push((self.now_ms, alert.kind, alert.phase)),
                Output::Stats(_) => {}
                Output::Ask(ask) => panic!("nobody is to be asked: {ask:?}"),
            }
        }
    }
}

fn int(mantissa: i64, exponent: i8) -> Reading {
    Ok(Value::Int { mantissa, exponent })
}

#[test]
fn sentences_that_come_together_are_one_row_at_the_first_ones_time() {
    let mut ear = Ear::new(STATION);
    ear.says(1_000, WIND);
    assert_eq!(ear.rows, [], "more may belong to it");
    ear.says(1_020, AIR);
    assert_eq!(ear.rows, [(1_000, vec![int(85, -1), int(2148, -1), int(195, -1)])], "complete at once");
}

#[test]
fn a_sentence_that_comes_less_often_is_not_due_in_between_and_overdue_in_the_end() {
    let mut ear = Ear::new(STATION);
    for second in 1..=24 {
        ear.says(second * 1_000, WIND);
        if second == 10 {
            ear.says(10_010, AIR);
        }
    }
    ear.until(24_900);
    let air: Vec<_> = ear.rows.iter().map(|(_, readings)| readings[2]).collect();
    assert_eq!(air.len(), 24);
    for (second, air) in (1..).zip(air) {
        let expected = match second {
            10 => int(195, -1),
            1..=22 => Err(NoData::NotDue),
            _ => Err(NoData::Timeout),
        };
        assert_eq!(air, expected, "second {second}: ten seconds apart, twelve are too long");
    }
}

#[test]
fn a_faster_sensor_gives_every_reading_a_row() {
    let mut ear = Ear::new(STATION);
    for step in 1..=40 {
        ear.says(step * 25, WIND);
    }
    ear.until(1_100);
    let times: Vec<i64> = ear.rows.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, (1..=40).map(|step| step * 25).collect::<Vec<_>>());
}

#[test]
fn calm_and_invalid_have_their_reasons_and_calm_alarms_nobody() {
    let mut ear = Ear::new(STATION);
    for second in 1..=10 {
        ear.says(second * 1_000, CALM);
    }
    ear.until(10_900);
    assert!(ear.rows.iter().all(|(_, readings)| readings[..2] == [int(0, -1), Err(NoData::Empty)]), "{:?}", ear.rows);
    assert_eq!(ear.alerts, [], "a vane has nothing to say in a calm");
    for second in 11..=16 {
        ear.says(second * 1_000, INVALID);
    }
    ear.until(16_900);
    assert_eq!(ear.rows.last().unwrap().1[..2], [Err(NoData::Invalid); 2]);
    assert_eq!(ear.alerts, [(15_050, AlertKind::NoData, AlertPhase::Open)], "five times in a row");
}

#[test]
fn a_spoilt_sentence_is_a_row_with_its_reason_and_never_a_value() {
    let mut ear = Ear::new(STATION);
    ear.line(1_000, "$WIMWV,214.8,R,9.5,M,A*00");
    ear.line(2_000, "\u{0}\u{1}garbage");
    ear.says(3_000, "$GPGGA,1,2,3");
    ear.says(4_000, WIND);
    ear.until(4_900);
    let reason = |reason| vec![Err(reason); 3];
    assert_eq!(
        ear.rows,
        [
            (1_000, reason(NoData::Checksum)),
            (2_000, reason(NoData::Protocol)),
            (4_000, vec![int(85, -1), int(2148, -1), Err(NoData::NotDue)]),
        ],
        "a sentence of another kind is nobody's concern"
    );
}

#[test]
fn a_value_outside_the_channels_range_is_none() {
    let mut ear = Ear::new(STATION);
    ear.says(1_000, "$WIMWV,214.8,R,99.5,M,A");
    ear.until(2_000);
    assert_eq!(ear.rows[0].1[..2], [Err(NoData::OutOfRange), int(2148, -1)]);
}

#[test]
fn silence_is_a_row_at_every_interval_and_an_alert_and_ends_with_a_sentence() {
    let mut ear = Ear::new(STATION);
    ear.says(1_000, WIND);
    ear.until(20_000);
    let silent: Vec<_> = ear.rows[1..].iter().map(|(time, readings)| (*time, readings[0])).collect();
    let expected: Vec<_> = (13..=20).map(|second| (second * 1_000, Err(NoData::Timeout))).collect();
    assert_eq!(silent, expected, "twelve seconds after the last word");
    assert_eq!(ear.alerts, [(17_000, AlertKind::NoData, AlertPhase::Open)]);
    ear.says(20_500, WIND);
    ear.until(20_600);
    assert_eq!(ear.rows.last().unwrap().1[0], int(85, -1));
    assert_eq!(ear.alerts.last().map(|(_, _, phase)| *phase), Some(AlertPhase::Clear));
}

#[test]
fn a_pulled_cable_is_said_at_once_and_is_another_reason_than_silence() {
    let mut ear = Ear::new(STATION);
    ear.says(1_000, WIND);
    ear.until(1_500);
    ear.hears(Input::Listening { bus: 0, open: false });
    ear.until(3_600);
    let gone: Vec<_> = ear.rows[1..].iter().map(|(time, readings)| (*time, readings[0])).collect();
    assert_eq!(gone, [1_500, 2_500, 3_500].map(|time| (time, Err(NoData::Disconnected))));
    ear.hears(Input::Listening { bus: 0, open: true });
    ear.until(4_600);
    assert_eq!(ear.rows.last().unwrap().1[0], Err(NoData::Timeout), "the port is back, and silent");
    ear.says(5_000, WIND);
    ear.until(5_100);
    assert_eq!(ear.rows.last().unwrap().1[0], int(85, -1));
}

#[test]
fn two_devices_on_one_line_are_told_apart_by_their_address() {
    let of = |name: &str, talker: &str| {
        format!(
            "[[device]]\nname = \"{name}\"\nserial = {{ port = \"/dev/ttyS0\" }}\nformat = \"nmea\"\naddress = \"{talker}\"\n\
             [[device.channel]]\nname = \"wind\"\nunit = \"m/s\"\nfield = \"MWV.speed\"\n"
        )
    };
    let mut ear = Ear::new(&format!("{}{}", of("a", "WI"), of("b", "II")));
    ear.says(1_000, WIND);
    ear.says(1_100, "$IIMWV,214.8,R,3.5,M,A");
    ear.says(1_200, "$XXMWV,214.8,R,7.5,M,A");
    assert_eq!(ear.rows, [(1_000, vec![int(85, -1)]), (1_100, vec![int(35, -1)])]);
}
