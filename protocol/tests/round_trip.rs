//! Whatever is packed comes out as it went in, and whatever was tampered with is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use windward_protocol::batch::{self, BatchBuilder, MAX_BATCH};
use windward_protocol::{
    Ack, AgentId, Alert, AlertKind, AlertPhase, BlockBuilder, Channel, DecodeError, Envelope, Gap, GapReason, Lane,
    MAX_CHANNELS, MAX_ENVELOPE, MAX_RANGES, MAX_ROWS, NoData, Quantity, Record, Row, SeqRange, SeqSet, Severity, Value,
    json, topic,
};

fn agent() -> AgentId {
    AgentId::new("turbine-07").unwrap()
}

fn channels(count: usize) -> Vec<Channel> {
    (0..count)
        .map(|index| Channel { name: format!("channel_{index}"), quantity: Quantity::WindSpeed, unit: "m/s".into() })
        .collect()
}

fn envelope(record: Record) -> Envelope {
    Envelope { agent: agent(), epoch: u64::MAX, lane: Lane::Readings, seq: u64::MAX, record }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (any::<i64>(), -3i8..3).prop_map(|(mantissa, exponent)| Value::Int { mantissa, exponent }),
        (-500i64..500).prop_map(|mantissa| Value::Int { mantissa, exponent: -1 }),
        prop::num::f32::NORMAL.prop_map(Value::F32),
        prop::num::f64::NORMAL.prop_map(Value::F64),
    ]
}

fn no_data() -> impl Strategy<Value = NoData> {
    prop_oneof![
        Just(NoData::Timeout),
        any::<u8>().prop_map(NoData::Exception),
        Just(NoData::Checksum),
        Just(NoData::OutOfRange),
        Just(NoData::Sentinel),
        Just(NoData::Disconnected),
        Just(NoData::NotANumber),
        Just(NoData::Protocol),
        Just(NoData::Skipped),
        Just(NoData::NotDue),
        Just(NoData::Empty),
        Just(NoData::Invalid),
        Just(NoData::BrokenWire),
    ]
}

fn row(width: usize) -> impl Strategy<Value = Row> {
    let reading = prop_oneof![4 => value().prop_map(Ok), 1 => no_data().prop_map(Err)];
    // Scores are kept to hundredths.
    let score = prop::option::of((0u32..100_000).prop_map(|hundredths| hundredths as f32 / 100.0));
    (any::<i64>(), prop::collection::vec(reading, width), prop::collection::vec(score, width))
        .prop_map(|(time_ms, readings, scores)| Row { time_ms, readings, scores })
}

proptest! {
    #[test]
    fn rows_survive_blocks_and_blocks_fit_envelopes(rows in (1usize..8).prop_flat_map(|width| prop::collection::vec(row(width), 1..200))) {
        let channels = channels(rows[0].readings.len());
        let open = || BlockBuilder::new(&agent(), "anemometer", "Turbine 7, nacelle", &channels, true);
        let (mut out, mut builder) = (Vec::new(), open());
        let close = |builder: BlockBuilder| {
            let sent = envelope(Record::Block(builder.finish().unwrap()));
            let bytes = sent.encode().expect("a block that took its rows fits an envelope");
            let Record::Block(block) = Envelope::decode(&bytes).unwrap().record else { panic!("no block") };
            block.rows()
        };
        for row in &rows {
            if builder.push(row).is_err() {
                out.extend(close(std::mem::replace(&mut builder, open())));
                builder.push(row).expect("an empty block takes any row");
            }
        }
        out.extend(close(builder));
        prop_assert_eq!(out, rows);
    }

    #[test]
    fn a_shifted_block_still_fits_and_only_its_times_have_moved(
        rows in prop::collection::vec(row(2), 1..200),
        by_ms in any::<i64>(),
    ) {
        let channels = channels(2);
        let mut builder = BlockBuilder::new(&agent(), "anemometer", "Turbine 7, nacelle", &channels, false);
        let taken = rows.iter().take_while(|row| builder.push(row).is_ok()).count();
        let mut block = builder.finish().unwrap();
        block.shift(by_ms);
        let bytes = envelope(Record::Block(block)).encode().expect("a shifted block fits an envelope");
        let Record::Block(block) = Envelope::decode(&bytes).unwrap().record else { panic!("no block") };
        let later = |row: &Row| Row { time_ms: row.time_ms.wrapping_add(by_ms), ..row.clone() };
        let expected: Vec<Row> = rows[..taken].iter().map(later).collect();
        prop_assert_eq!(block.rows(), expected);
    }

    #[test]
    fn a_flipped_bit_is_refused(seq in any::<u64>(), bit in any::<prop::sample::Index>()) {
        let gap = Record::Gap(Gap { lane: Lane::Readings, from: seq, to: seq, reason: GapReason::PowerCut });
        let mut bytes = envelope(gap).encode().unwrap();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refused = matches!(Envelope::decode(&bytes), Err(DecodeError::Checksum { .. }));
        prop_assert!(refused);
    }

    #[test]
    fn noise_is_refused_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
        prop_assert!(Envelope::decode(&bytes).is_err());
        prop_assert!(Ack::decode(&bytes).is_err());
        let split = batch::split(&bytes);
        for envelope in split.envelopes {
            prop_assert!(Envelope::decode(&envelope).is_err());
        }
    }

    /// Intact checksum over nonsense: what a wrong program or an attacker could send.
    #[test]
    fn sealed_noise_is_refused_or_consistent(mut bytes in prop::collection::vec(any::<u8>(), 1..400)) {
        bytes[0] = 1;
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        if let Ok(Envelope { record: Record::Block(block), .. }) = Envelope::decode(&bytes) {
            prop_assert_eq!(block.rows().len(), block.len());
        }
    }

    #[test]
    fn batches_come_apart_as_they_were_put_together(sizes in prop::collection::vec(0usize..MAX_ENVELOPE, 0..80), fill in any::<u8>()) {
        let mut builder = BatchBuilder::new();
        let envelopes: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![fill; size]).collect();
        let taken = envelopes.iter().take_while(|envelope| builder.push(envelope)).count();
        let bytes = builder.finish();
        prop_assert!(bytes.len() <= MAX_BATCH);
        let split = batch::split(&bytes);
        prop_assert_eq!(split.broken, None);
        prop_assert_eq!(&split.envelopes[..], &envelopes[..taken]);
    }

    #[test]
    fn a_cut_batch_gives_what_is_whole_and_says_that_it_is_cut(cut in 1usize..40) {
        let mut builder = BatchBuilder::new();
        for byte in 0..4u8 {
            // Nothing repeats within 16 bytes, so LZ4 does not shorten it and the cut falls into the plain form.
            builder.push(&std::array::from_fn::<u8, 16, _>(|index| index as u8 * 16 + byte));
        }
        let bytes = builder.finish();
        prop_assert_eq!(bytes[0], 0, "plain");
        let split = batch::split(&bytes[..bytes.len() - cut]);
        prop_assert_eq!(split.envelopes.len(), (4 * 18 - cut) / 18);
        prop_assert_eq!(split.broken.is_some(), cut % 18 != 0);
    }

    #[test]
    fn a_set_of_sequences_is_a_set(ranges in prop::collection::vec((1u64..200, 0u64..20), 0..40), gone in 0u64..100) {
        let mut set = SeqSet::new();
        let mut naive = std::collections::BTreeSet::new();
        for (first, more) in ranges {
            set.insert(SeqRange { first, last: first + more });
            naive.extend(first..=first + more);
        }
        set.remove_through(gone);
        naive.retain(|seq| *seq > gone);
        let ours: Vec<u64> = set.ranges().flat_map(|range| range.first..=range.last).collect();
        prop_assert_eq!(&ours, &naive.iter().copied().collect::<Vec<_>>());
        prop_assert!((0..250).all(|seq| set.contains(seq) == naive.contains(&seq)));
        let touching = set.ranges().zip(set.ranges().skip(1)).any(|(left, right)| left.last + 1 >= right.first);
        prop_assert!(!touching, "ranges that touch are one");
    }
}

#[test]
fn too_long_is_refused_before_anything_else() {
    let bytes = vec![0; MAX_ENVELOPE + 1];
    assert_eq!(Envelope::decode(&bytes), Err(DecodeError::TooLong { len: MAX_ENVELOPE + 1, max: MAX_ENVELOPE }));
    let split = batch::split(&vec![0; MAX_BATCH + 1]);
    assert_eq!(split.broken, Some(DecodeError::TooLong { len: MAX_BATCH + 1, max: MAX_BATCH }));
    // A small packet that claims to unpack to four gigabytes.
    let bomb = batch::split(&[1, 0xff, 0xff, 0xff, 0xff, 0]);
    assert!(matches!(bomb.broken, Some(DecodeError::TooLong { .. })), "{bomb:?}");
}

#[test]
fn a_record_that_does_not_fit_is_refused_when_it_is_encoded() {
    let alert = Alert {
        id: 1,
        phase: AlertPhase::Open,
        kind: AlertKind::Anomaly,
        severity: Severity::Warning,
        location: String::new(),
        device: String::new(),
        channel: String::new(),
        opened_ms: 0,
        at_ms: 0,
        synced: true,
        value: None,
        unit: String::new(),
        wind_speed: None,
        score: None,
        threshold: None,
        evidence: "e".repeat(5000),
    };
    assert!(matches!(envelope(Record::Alert(alert)).encode(), Err(DecodeError::TooLong { .. })));
}

#[test]
fn every_prefix_is_refused() {
    let gap = Record::Gap(Gap { lane: Lane::Readings, from: 1, to: 2, reason: GapReason::Damage });
    let bytes = envelope(gap).encode().unwrap();
    for len in 0..bytes.len() {
        assert!(Envelope::decode(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
}

#[test]
fn a_later_version_is_told_apart_from_damage() {
    let gap = Record::Gap(Gap { lane: Lane::Readings, from: 1, to: 2, reason: GapReason::Damage });
    let mut bytes = envelope(gap).encode().unwrap();
    bytes[0] = 2;
    let body = bytes.len() - 4;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&bytes[..body]);
    bytes[body..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Envelope::decode(&bytes), Err(DecodeError::Version { found: 2, min: 1, max: 1 }));
}

#[test]
fn the_longest_row_of_many_channels_fits_a_block() {
    let name = |index| Channel { name: format!("{index:0>20}"), quantity: Quantity::Other, unit: "mm/s".into() };
    let channels: Vec<Channel> = (0..MAX_CHANNELS).map(name).collect();
    let mut builder = BlockBuilder::new(&agent(), &"d".repeat(64), &"l".repeat(200), &channels, true);
    let readings = vec![Ok(Value::Int { mantissa: i64::MIN, exponent: 0 }); MAX_CHANNELS];
    builder.push(&Row { time_ms: i64::MAX, readings, scores: vec![Some(9999.99); MAX_CHANNELS] }).unwrap();
    envelope(Record::Block(builder.finish().unwrap())).encode().unwrap();
}

#[test]
fn a_block_has_a_greatest_number_of_rows() {
    let channels = channels(1);
    let mut builder = BlockBuilder::new(&agent(), "d", "l", &channels, true);
    let row = Row { time_ms: 0, readings: vec![Err(NoData::Timeout)], scores: vec![None] };
    let taken = (0..MAX_ROWS + 1).take_while(|_| builder.push(&row).is_ok()).count();
    assert!(taken <= MAX_ROWS);
    envelope(Record::Block(builder.finish().unwrap())).encode().unwrap();
}

#[test]
fn acks_are_checked() {
    let ack = Ack { epoch: 1, lane: Lane::Alerts, ranges: vec![SeqRange { first: 1, last: 9 }; MAX_RANGES] };
    assert_eq!(Ack::decode(&ack.encode()), Ok(ack.clone()));
    let reversed = Ack { ranges: vec![SeqRange { first: 2, last: 1 }], ..ack };
    assert!(matches!(Ack::decode(&reversed.encode()), Err(DecodeError::Malformed(_))));
}

#[test]
fn topics_name_agent_and_lane() {
    for lane in [Lane::Alerts, Lane::Readings, Lane::State] {
        assert_eq!(topic::parse(&topic::of_lane(&agent(), lane)), Some((agent(), lane)));
    }
    for foreign in [
        "",
        "windward/v1",
        "windward/v1/a",
        "windward/v1/a/ack",
        "windward/v1/a/b/alerts",
        "windward/v2/a/alerts",
        "windward/v1/+/alerts",
    ] {
        assert_eq!(topic::parse(foreign), None, "{foreign}");
    }
    assert_eq!(topic::sink_filters(Some("g"))[0], "$share/g/windward/v1/+/alerts");
}

#[test]
fn agent_ids_are_safe_in_topics_and_file_names() {
    for bad in ["", "a/b", "a+", "#", "a b", "ä", "a\0", &"a".repeat(65)] {
        assert!(AgentId::new(bad).is_err(), "{bad:?}");
    }
    assert!(AgentId::new("T07.north_ridge-2").is_ok());
}

#[test]
fn json_has_one_line_a_reading_with_the_labs_names() {
    let channels = channels(2);
    let mut builder = BlockBuilder::new(&agent(), "anemometer", "Turbine 7", &channels, true);
    let readings = vec![Ok(Value::Int { mantissa: 105, exponent: -1 }), Err(NoData::Exception(2))];
    builder.push(&Row { time_ms: 1500, readings, scores: vec![Some(1.07), None] }).unwrap();
    let lines = json::lines(&envelope(Record::Block(builder.finish().unwrap())));
    let expected = concat!(
        r#"{"location":"Turbine 7","device":"anemometer","time":"1970-01-01T00:00:01.500Z","channel":"channel_0","value":10.5,"unit":"m/s","score":1.07}"#,
        "\n",
        r#"{"location":"Turbine 7","device":"anemometer","time":"1970-01-01T00:00:01.500Z","channel":"channel_1","value":null,"unit":"m/s","score":null,"no_data":"exception 2"}"#,
        "\n",
    );
    assert_eq!(lines, expected);
}
