use super::*;
use crate::decode::{Delivery, Known, Origin};
use crate::place::Seen;
use crate::sink;
use proptest::prelude::*;
use serde_json::json;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{BlockBuilder, Channel, Hello, Lane, NoData, Row, Value, topic};

const T0: i64 = 1_795_182_840_000;

fn agent() -> AgentId {
    AgentId::new("t1").unwrap()
}

fn channel(name: &str, quantity: Quantity) -> Channel {
    Channel { name: name.into(), quantity, unit: "1".into() }
}

fn envelope(seq: u64, record: Record) -> Envelope {
    Envelope { agent: agent(), epoch: 7, lane: Lane::Readings, seq, record }
}

type Reading = (Result<f64, NoData>, Option<f32>);

/// A device with two anemometers and a thermometer: a row of each a second.
fn block(location: &str, rows: &[[Reading; 3]]) -> Record {
    let channels = [
        channel("wind", Quantity::WindSpeed),
        channel("wind-2", Quantity::WindSpeed),
        channel("temperature", Quantity::Temperature),
    ];
    let mut block = BlockBuilder::new(&agent(), "nacelle", location, &channels, true);
    for (second, row) in rows.iter().enumerate() {
        let readings = row.iter().map(|(value, _)| value.map(Value::F64)).collect();
        let scores = row.iter().map(|(_, score)| *score).collect();
        block.push(&Row { time_ms: T0 + 1_000 * second as i64, readings, scores }).unwrap();
    }
    Record::Block(block.finish().unwrap())
}

fn stats(quantity: Quantity, n: u32, max: f64) -> Record {
    Record::Stats(Stats {
        device: "nacelle".into(),
        channel: channel("wind", quantity),
        start_ms: T0,
        window_ms: 600_000,
        n,
        due: 600,
        mean: 8.0,
        min: 4.0,
        max,
        std: 1.0,
        gust_3s: None,
    })
}

fn hello(location: &str) -> Vec<DeviceManifest> {
    let channels = vec![channel("wind", Quantity::WindSpeed)];
    let link = "modbus tcp".into();
    vec![DeviceManifest { device: "nacelle".into(), location: location.into(), link, interval_ms: 1_000, channels }]
}

/// What the labs' program does with a record of the anomaly stream: `json.loads`, then its three fields.
fn read_json(record: &str) -> (String, f64, f64) {
    let read: serde_json::Value = serde_json::from_str(record).unwrap();
    assert_eq!(read.as_object().unwrap().len(), 3, "{record}");
    let number = |key: &str| read[key].as_f64().unwrap_or_else(|| panic!("{key} of {record}"));
    (read["location"].as_str().unwrap().into(), number("speed"), number("score"))
}

/// What a reader of CSV does with a line: fields between commas, those in quotes as they are, two quotes for one.
fn read_csv(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut in_quotes) = (Vec::new(), String::new(), false);
    let mut signs = line.chars().peekable();
    while let Some(sign) = signs.next() {
        match (sign, in_quotes) {
            ('"', true) if signs.peek() == Some(&'"') => field.extend(signs.next()),
            ('"', _) => in_quotes = !in_quotes,
            (',', false) => fields.push(std::mem::take(&mut field)),
            _ => field.push(sign),
        }
    }
    assert!(!in_quotes, "{line}");
    fields.push(field);
    fields
}

/// A number in digits, as the strictest of readers takes it.
fn plain(text: &str) -> f64 {
    assert!(text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-'), "{text}");
    text.parse().unwrap()
}

#[test]
fn records_are_as_the_labs_consumers_know_them() {
    let reading = |location, speed, score| Scored { location, time_ms: T0, speed, score };
    for (reading, json, csv) in [
        (reading("T1", 8.3, 0.97), r#"{"location":"T1","speed":8.3,"score":0.97}"#, "T1,8.3,0.97"),
        (reading("T1", 31.0, 4.0), r#"{"location":"T1","speed":31,"score":4}"#, "T1,31,4"),
        (reading("T1", -0.0, 0.0), r#"{"location":"T1","speed":0,"score":0}"#, "T1,0,0"),
        (reading("a, \"b\"", 1e-7, 1.0), r#"{"location":"a, \"b\"","speed":0,"score":1}"#, r#""a, ""b""",0,1"#),
        (reading("é\n", 0.1 + 0.2, 1.0), "{\"location\":\"é\\n\",\"speed\":0.3,\"score\":1}", "\"é\n\",0.3,1"),
    ] {
        assert_eq!(anomaly_record(LabsFormat::Json, &reading), json);
        assert_eq!(anomaly_record(LabsFormat::Csv, &reading), csv);
    }
    for (location, speed, record) in
        [("Turbine 1", 13.1, r#""Turbine 1",13.1"#), ("T1", 5.0, r#""T1",5"#), ("a\"b", 0.5, r#""a""b",0.5"#)]
    {
        let maximum = Maximum { location: location.into(), start_ms: T0, speed };
        assert_eq!(maximum_record(&maximum), record);
    }
}

proptest! {
    #[test]
    fn the_labs_consumers_read_every_record(location in ".{1,40}", speed in -1e6f64..1e6, score in 0u32..4_000_000_000) {
        let score = two_decimals(score as f32 / 100.0);
        let reading = Scored { location: &location, time_ms: T0, speed, score };
        // Half of the sixth decimal, and what a double near a million is off by.
        let is_near = |read: f64, said: f64| (read - said).abs() <= 5e-7 + 1e-9;
        let (place, read, scored) = read_json(&anomaly_record(LabsFormat::Json, &reading));
        prop_assert!(place == location && is_near(read, speed) && is_near(scored, score));
        let fields = read_csv(&anomaly_record(LabsFormat::Csv, &reading));
        prop_assert!(fields.len() == 3 && fields[0] == location);
        prop_assert!(is_near(plain(&fields[1]), speed) && is_near(plain(&fields[2]), score));
        let fields = read_csv(&maximum_record(&Maximum { location: (&location).into(), start_ms: T0, speed }));
        prop_assert!(fields.len() == 2 && fields[0] == location && is_near(plain(&fields[1]), speed));
    }
}

#[test]
fn scored_winds_are_told_and_nothing_else_is() {
    let rows = [
        [(Ok(8.0), None), (Ok(8.1), None), (Ok(3.0), Some(9.0))],
        [(Ok(8.2), Some(0.5)), (Err(NoData::Timeout), Some(0.5)), (Ok(3.0), None)],
        [(Ok(31.0), Some(3.25)), (Ok(30.0), Some(3.25)), (Ok(3.0), None)],
    ];
    let envelope = envelope(1, block("T1", &rows));
    let said = |from_score| {
        let told = told([&envelope], &Locations::default(), from_score);
        assert_eq!((told.left_out, told.maxima), (0, vec![]));
        told.scored.iter().map(|reading| (reading.time_ms - T0, reading.speed, reading.score)).collect::<Vec<_>>()
    };
    assert_eq!(said(None), [(1_000, 8.2, 0.5), (2_000, 31.0, 3.25), (2_000, 30.0, 3.25)]);
    assert_eq!(said(Some(3.25)), [(2_000, 31.0, 3.25), (2_000, 30.0, 3.25)]);
    assert_eq!(said(Some(3.26)), []);
}

#[test]
fn what_cannot_be_told_is_counted_and_stops_nothing() {
    let wind = |speed| [(Ok(speed), Some(1.0)), (Err(NoData::NotDue), None), (Err(NoData::NotDue), None)];
    let (long, longest) = ("é".repeat(MAX_LOCATION + 1), "é".repeat(MAX_LOCATION));
    let envelopes = [
        envelope(1, block(&long, &[wind(8.0), wind(9.0)])),
        envelope(2, block("", &[wind(8.0)])),
        envelope(3, block(&longest, &[wind(8.0), wind(1e6), wind(f64::NAN), wind(f64::NEG_INFINITY), wind(9.0)])),
        envelope(4, stats(Quantity::WindSpeed, 5, f64::INFINITY)),
        envelope(5, stats(Quantity::WindSpeed, 5, 9.0)),
    ];
    let told = told(&envelopes, &Locations::default(), None);
    assert_eq!(told.scored.iter().map(|reading| reading.speed).collect::<Vec<_>>(), [8.0, 9.0]);
    assert_eq!((told.maxima.len(), told.left_out), (1, 2 + 1 + 3 + 1));
}

#[test]
fn a_maximum_is_of_the_place_where_its_device_stands() {
    let location_of = |locations: &Locations| {
        let envelope = envelope(9, stats(Quantity::WindSpeed, 600, 13.1));
        let told = told([&envelope], locations, None);
        assert_eq!((told.maxima[0].start_ms, told.maxima[0].speed), (T0, 13.1));
        told.maxima[0].location.to_string()
    };
    let one = envelope(9, stats(Quantity::WindSpeed, 600, 13.1));
    let mut locations = Locations::default();
    assert!(locations.lack([&one]));
    assert_eq!(location_of(&locations), "t1", "the agent's name where nothing is known");
    let manifest = Some(json!(hello("Ridge")).to_string());
    locations.look_up(&[AgentRow { agent: "t1".into(), manifest, ..AgentRow::default() }]);
    assert!(!locations.lack([&one]));
    assert_eq!(location_of(&locations), "Ridge");
    let start = Hello { version: "1".into(), farm: "f".into(), at_ms: T0, devices: hello("Ridge, nacelle") };
    locations.learn([&envelope(1, Record::Hello(start))]);
    assert_eq!(location_of(&locations), "Ridge, nacelle");
    locations.learn([&envelope(2, block("Ridge, top", &[[(Ok(8.0), None); 3]]))]);
    assert_eq!(location_of(&locations), "Ridge, top");
    // What the store has is older than what was just said.
    let manifest = Some(json!(hello("Valley")).to_string());
    locations.look_up(&[AgentRow { agent: "t1".into(), manifest, ..AgentRow::default() }]);
    assert_eq!(location_of(&locations), "Ridge, top");
}

#[test]
fn a_window_without_wind_has_no_maximum() {
    for (quantity, n) in [(Quantity::WindSpeed, 0), (Quantity::Temperature, 600)] {
        let envelope = envelope(1, stats(quantity, n, 13.1));
        assert_eq!(told([&envelope], &Locations::default(), None), Told::default());
    }
}

#[test]
fn of_readings_of_one_place_and_time_the_strangest_is_the_item() {
    let reading = |location, time_ms, speed, score| Scored { location, time_ms, speed, score };
    let mut scored = [
        reading("T1", T0, 8.0, 1.0),
        reading("T1", T0, 7.0, 3.0),
        reading("T1", T0, 7.5, 3.0),
        reading("T1", T0 + 1, 8.0, 1.0),
        reading("T2", T0, 9.0, 0.5),
    ];
    let wanted = [(("T1", T0), (7.5, 3.0)), (("T1", T0 + 1), (8.0, 1.0)), (("T2", T0), (9.0, 0.5))];
    assert_eq!(items(&scored), wanted.into());
    scored.reverse();
    assert_eq!(items(&scored), wanted.into());
}

/// What the ledger has was put out before, and so was what came twice in one group.
#[test]
fn what_was_committed_is_not_told_again() {
    let rows = [[(Ok(8.0), Some(1.0)), (Err(NoData::NotDue), None), (Err(NoData::NotDue), None)]];
    let delivery = |seqs: &[u64]| {
        let mut batch = BatchBuilder::new();
        for seq in seqs {
            assert!(batch.push(&envelope(*seq, block("T1", &rows)).encode().unwrap()));
        }
        Delivery { from: Origin::Topic(topic::of_lane(&agent(), Lane::Readings)), payload: batch.finish() }
    };
    let opened = sink::open(&[delivery(&[1, 2]), delivery(&[2, 3]), delivery(&[3])], Known::new());
    let seqs = |seen: &Seen| opened.unseen(seen).into_iter().map(|((.., seq), _)| seq).collect::<Vec<_>>();
    assert_eq!(seqs(&Seen::new()), [1, 2, 3]);
    let committed = sink::open(&[delivery(&[1, 3])], Known::new()).sequences();
    assert_eq!(seqs(&committed), [2]);
}
