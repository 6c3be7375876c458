//! The packed form of a batch: what comes out is what went in, bit for bit, and nothing else ever comes out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/fuzz/checks/batches.rs"]
mod batches;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::batch::{self, BatchBuilder, MAX_BATCH, Packed};
use windward_protocol::{
    AgentId, Block, BlockBuilder, Channel, Column, DecodeError, Envelope, Gap, GapReason, Lane, MAX_ENVELOPE, NoData,
    Quality, Quantity, Record, Row, Run, Schema, SchemaId, Stats, Value, Values,
};

fn channels(count: usize) -> Vec<Channel> {
    (0..count)
        .map(|index| Channel { name: format!("channel_{index}"), quantity: Quantity::WindSpeed, unit: "m/s".into() })
        .collect()
}

fn envelope(agent: u8, lane: Lane, seq: u64, record: Record) -> Vec<u8> {
    let agent = AgentId::new(&format!("turbine-{agent}")).unwrap();
    Envelope { agent, epoch: 77, lane, seq, record }.encode().unwrap()
}

fn builder(device: u8, width: usize, synced: bool) -> BlockBuilder {
    let agent = AgentId::new("turbine-0").unwrap();
    BlockBuilder::new(&agent, &format!("device_{device}"), "Turbine 7, nacelle", &channels(width), synced)
}

/// Values of one kind and of like size, as a channel has them; or of any kind.
fn value() -> impl Strategy<Value = Value> {
    let decimal = (-5_000i32..5_000).prop_map(|number| f64::from(number) / 100.0);
    prop_oneof![
        8 => (-500i64..500).prop_map(|mantissa| Value::Int { mantissa, exponent: -2 }),
        1 => (any::<i64>(), any::<i8>()).prop_map(|(mantissa, exponent)| Value::Int { mantissa, exponent }),
        4 => decimal.clone().prop_map(|value| Value::F32(value as f32)),
        1 => any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))),
        4 => decimal.prop_map(Value::F64),
        1 => any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))),
    ]
}

fn no_data() -> impl Strategy<Value = NoData> {
    prop_oneof![
        Just(NoData::Timeout),
        any::<u8>().prop_map(NoData::Exception),
        Just(NoData::Skipped),
        Just(NoData::NotDue),
        Just(NoData::BrokenWire),
    ]
}

/// Rows of one device: times that mostly keep step, and columns that mostly keep their kind.
fn rows(width: usize, one_kind: bool) -> impl Strategy<Value = Vec<Row>> {
    let reading = prop_oneof![4 => value().prop_map(Ok), 1 => no_data().prop_map(Err)];
    let score = prop::option::weighted(0.7, (0u32..300).prop_map(|hundredths| hundredths as f32 / 100.0));
    let time = prop_oneof![6 => Just(1_000i64), 2 => 990i64..1_010, 1 => any::<i64>()];
    let row = (time, prop::collection::vec(reading, width), prop::collection::vec(score, width));
    prop::collection::vec(row, 1..40).prop_map(move |rows| {
        let mut time_ms = 1_735_689_600_000i64;
        let mut rows: Vec<Row> = rows
            .into_iter()
            .map(|(step, readings, scores)| {
                time_ms = time_ms.wrapping_add(step);
                Row { time_ms, readings, scores }
            })
            .collect();
        if one_kind {
            let shared: Vec<_> = rows.iter().map(|row| row.scores.first().copied().flatten()).collect();
            for (row, shared) in rows.iter_mut().zip(shared) {
                for (reading, score) in row.readings.iter_mut().zip(&mut row.scores) {
                    *reading =
                        reading.map(|value| Value::Int { mantissa: value.as_f64() as i64 % 1_000, exponent: -2 });
                    *score = shared.filter(|_| reading.is_ok());
                }
            }
        }
        rows
    })
}

/// Blocks as the agent builds them, and each closed after at most so many rows.
fn built(rows: &[Row], device: u8, most: usize, synced: bool) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open = builder(device, rows[0].readings.len(), synced);
    for row in rows {
        if open.len() == most || open.push(row).is_err() {
            let full = std::mem::replace(&mut open, builder(device, row.readings.len(), synced));
            blocks.extend(full.finish());
            open.push(row).unwrap();
        }
    }
    blocks.extend(open.finish());
    blocks
}

fn device_blocks() -> impl Strategy<Value = Vec<Block>> {
    (0usize..5, any::<bool>())
        .prop_flat_map(|(width, one_kind)| (rows(width, one_kind), 0u8..3, 1usize..12, any::<bool>()))
        .prop_map(|(rows, device, most, synced)| built(&rows, device, most, synced))
}

/// Blocks that check allows and no builder makes: runs that could be one, scores that say nothing, empty columns of any
/// form.
fn odd_block() -> impl Strategy<Value = Block> {
    let run = prop_oneof![3 => Just(Quality::Good), 1 => no_data().prop_map(Quality::NoData)]
        .prop_map(|quality| Run { rows: 1, quality });
    (prop::collection::vec(run, 3), prop::collection::vec(0u32..2, 3), 0u8..3, any::<bool>()).prop_map(
        |(quality, scores, kind, scored)| {
            let good = quality.iter().filter(|run| run.quality == Quality::Good).count();
            let values = match kind {
                0 => Values::Int { exponent: -1, deltas: vec![5; good] },
                1 => Values::F32(vec![0.5; good]),
                _ => Values::F64(vec![-0.0; good]),
            };
            Block {
                device: "device_0".into(),
                location: "Turbine 7, nacelle".into(),
                channels: channels(1),
                synced: true,
                first_ms: 5,
                steps: vec![1_000, 0],
                columns: vec![Column { quality, values, scores: if scored { scores } else { Vec::new() } }],
            }
        },
    )
}

fn other_record() -> impl Strategy<Value = Record> {
    let stats = |mean: f64| Stats {
        device: "device_0".into(),
        channel: channels(1).remove(0),
        start_ms: 0,
        window_ms: 600_000,
        n: 600,
        due: 600,
        mean,
        min: 0.0,
        max: 1.0,
        std: 0.1,
        gust_3s: None,
    };
    prop_oneof![
        any::<f64>().prop_map(move |mean| Record::Stats(stats(mean))),
        any::<u64>().prop_map(|to| Record::Gap(Gap { lane: Lane::Readings, from: 1, to, reason: GapReason::Refused })),
    ]
}

/// What stands in a batch: envelopes of several devices in turn, of other records, of other agents, with gaps between
/// their numbers; and bytes that are no envelope at all.
fn envelopes() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let devices = prop::collection::vec(device_blocks(), 1..4);
    let strays = prop::collection::vec(
        prop_oneof![
            odd_block().prop_map(Record::Block).prop_map(Ok),
            other_record().prop_map(Ok),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Err)
        ],
        0..6,
    );
    let steps = prop::collection::vec(prop_oneof![5 => Just(1u64), 1 => any::<u64>()], 200);
    let agents = prop::collection::vec(prop_oneof![9 => Just(0u8), 1 => 0u8..3], 200);
    (devices, strays, steps, agents).prop_map(|(devices, strays, steps, agents)| {
        let mut devices: Vec<_> = devices.into_iter().map(Vec::into_iter).collect();
        let mut records = Vec::new();
        loop {
            let round: Vec<_> = devices.iter_mut().filter_map(Iterator::next).map(Record::Block).map(Ok).collect();
            if round.is_empty() {
                break;
            }
            records.extend(round);
        }
        for (index, stray) in strays.into_iter().enumerate() {
            records.insert((index * 7) % (records.len() + 1), stray);
        }
        let mut seq = 1_000u64;
        let encode = |((record, step), agent): ((Result<Record, Vec<u8>>, u64), u8)| {
            seq = seq.wrapping_add(step);
            record.map_or_else(|bytes| bytes, |record| envelope(agent, Lane::Readings, seq, record))
        };
        records.into_iter().zip(steps).zip(agents).map(encode).collect()
    })
}

fn batch_of(envelopes: &[Vec<u8>]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for envelope in envelopes {
        assert!(builder.push(envelope));
    }
    builder
}

fn table(schemas: Vec<Schema>) -> BTreeMap<SchemaId, Schema> {
    schemas.into_iter().map(|schema| (schema.id(), schema)).collect()
}

/// Ten seconds of two channels: what most tests need.
fn ten_seconds() -> Vec<Vec<u8>> {
    let row = |second: i64| Row {
        time_ms: 1_735_689_600_000 + second * 1_000,
        readings: vec![Ok(Value::Int { mantissa: 850 + second * 7 % 5, exponent: -2 }), Ok(Value::F32(11.5))],
        scores: vec![Some(1.02); 2],
    };
    let rows: Vec<Row> = (0..10).map(row).collect();
    let blocks = built(&rows, 0, 1, true).into_iter().zip(1..);
    blocks.map(|(block, seq)| envelope(0, Lane::Readings, seq, Record::Block(block))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_packed_comes_out_bit_for_bit(sent in envelopes(), know in any::<bool>()) {
        let first = batch_of(&sent).finish_packed(&BTreeSet::new());
        prop_assert!(first.bytes.len() <= MAX_BATCH);
        let split = batch::split(&first.bytes);
        prop_assert_eq!(split.broken, None);
        prop_assert_eq!(&split.envelopes, &sent);
        // The second time some schemas are known, or all.
        let known: BTreeSet<SchemaId> = first.schemas.iter().copied().skip(usize::from(!know)).collect();
        let second = batch_of(&sent).finish_packed(&known);
        prop_assert_eq!(&second.schemas, &first.schemas);
        let named: BTreeSet<SchemaId> = batch::named(&second.bytes).into_iter().collect();
        prop_assert!(named.is_subset(&known));
        let split = batch::split_with(&second.bytes, &table(split.schemas));
        prop_assert_eq!(split.broken, None);
        prop_assert_eq!(split.envelopes, sent);
    }

    #[test]
    fn a_changed_byte_is_never_taken_for_data(at in any::<prop::sample::Index>(), change in 1u8..) {
        let sent = ten_seconds();
        let Packed { mut bytes, .. } = batch_of(&sent).finish_packed(&BTreeSet::new());
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let split = batch::split(&bytes);
        prop_assert!(split.broken.is_some() || split.envelopes == sent, "byte {}", at);
    }

    #[test]
    fn noise_neither_panics_nor_grows(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        batches::check(&bytes);
    }
}

#[test]
fn what_the_fuzzer_knows_of_batches_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus/batches");
    let paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!paths.is_empty());
    paths.iter().for_each(|path| batches::check(&std::fs::read(path).unwrap()));
}

#[test]
fn ten_seconds_are_packed_into_a_few_bytes_and_name_what_is_known() {
    let sent = ten_seconds();
    let full = batch_of(&sent).finish_packed(&BTreeSet::new());
    let named = batch_of(&sent).finish_packed(&full.schemas.iter().copied().collect());
    let plain: usize = sent.iter().map(Vec::len).sum();
    assert_eq!((full.bytes[0], named.bytes[0]), (2, 2));
    assert!(full.bytes.len() * 6 < plain, "{} of {plain}", full.bytes.len());
    assert!(named.bytes.len() + 40 < full.bytes.len(), "{} and {}", named.bytes.len(), full.bytes.len());
    assert_eq!(batch::named(&full.bytes), []);
    assert_eq!(batch::named(&named.bytes), full.schemas);
}

#[test]
fn a_schema_that_is_not_known_is_asked_for_by_name() {
    let sent = ten_seconds();
    let id = batch_of(&sent).finish_packed(&BTreeSet::new()).schemas[0];
    let named = batch_of(&sent).finish_packed(&[id].into());
    let split = batch::split(&named.bytes);
    assert_eq!((split.envelopes, split.broken), (vec![], Some(DecodeError::UnknownSchema(id))));
}

/// The checksum is over what was expanded: were two schemas to have one name, nothing false would be stored.
#[test]
fn a_wrong_schema_under_the_right_name_is_refused() {
    let sent = ten_seconds();
    let full = batch_of(&sent).finish_packed(&BTreeSet::new());
    let id = full.schemas[0];
    let named = batch_of(&sent).finish_packed(&full.schemas.iter().copied().collect());
    let right = batch::split(&full.bytes).schemas.remove(0);
    let wrong = [
        Schema { location: "Turbine 8, nacelle".into(), ..right.clone() },
        Schema { epoch: 78, ..right.clone() },
        Schema { agent: AgentId::new("turbine-1").unwrap(), ..right.clone() },
        Schema { channels: channels(2).into_iter().rev().collect(), ..right.clone() },
    ];
    for wrong in wrong {
        let split = batch::split_with(&named.bytes, &[(id, wrong.clone())].into());
        assert!(matches!(split.broken, Some(DecodeError::Checksum { .. })), "{wrong:?}: {:?}", split.broken);
        assert_eq!(split.envelopes, Vec::<Vec<u8>>::new());
    }
    assert_eq!(batch::split_with(&named.bytes, &[(id, right)].into()).envelopes, sent);
}

/// Which is the receiver's own guard: a sender that keeps to the rules never comes to it.
#[test]
fn what_expands_to_more_than_a_batch_is_refused_while_it_does() {
    let sent: Vec<_> = (0..20).flat_map(|_| ten_seconds()).collect();
    let full = batch_of(&sent).finish_packed(&BTreeSet::new());
    let id = full.schemas[0];
    let named = batch_of(&sent).finish_packed(&[id].into());
    let right = batch::split(&full.bytes).schemas.remove(0);
    let refused = |len| {
        let longer = Schema { location: "l".repeat(len), ..right.clone() };
        batch::split_with(&named.bytes, &[(id, longer)].into()).broken
    };
    assert!(matches!(refused(500), Some(DecodeError::Checksum { .. })));
    assert!(matches!(refused(600), Some(DecodeError::TooLong { max: MAX_BATCH, .. })));
    assert!(matches!(refused(4_000), Some(DecodeError::TooLong { max: MAX_ENVELOPE, .. })));
}

#[test]
fn a_batch_without_a_block_is_compressed_as_before() {
    let gap = Record::Gap(Gap { lane: Lane::Readings, from: 1, to: 2, reason: GapReason::PowerCut });
    let sent = [envelope(0, Lane::Alerts, 1, gap)];
    let packed = batch_of(&sent).finish_packed(&BTreeSet::new());
    assert_eq!(packed, Packed { bytes: batch_of(&sent).finish(), schemas: vec![] });
    assert_eq!(BatchBuilder::new().finish_packed(&BTreeSet::new()).bytes, BatchBuilder::new().finish());
}

/// A full batch of any width expands again: the packer keeps to the bounds that the receiver keeps to.
#[test]
fn the_greatest_batches_keep_to_the_receivers_bounds() {
    for (width, most, good) in [(1, 60, true), (8, 1, true), (64, 20, true), (64, 400, false), (0, 1_000, true)] {
        let mut batch = BatchBuilder::new();
        let mut sent = Vec::new();
        for seq in 1u64.. {
            let mut block = builder(0, width, true);
            for row in 0..most {
                let reading =
                    if good { Ok(Value::Int { mantissa: row * 3 % 50, exponent: -1 }) } else { Err(NoData::Timeout) };
                let time_ms = seq as i64 * 60_000 + row * 10;
                if block.push(&Row { time_ms, readings: vec![reading; width], scores: vec![None; width] }).is_err() {
                    break;
                }
            }
            let bytes = envelope(0, Lane::Readings, seq, Record::Block(block.finish().unwrap()));
            if !batch.push(&bytes) {
                break;
            }
            sent.push(bytes);
        }
        let packed = batch.finish_packed(&BTreeSet::new());
        let split = batch::split(&packed.bytes);
        assert_eq!(split.broken, None, "{width} channels");
        assert!(split.envelopes == sent, "{width} channels");
    }
}

/// A thousand failed reads of many channels are a few bytes each: such blocks would expand to more than a receiver takes.
#[test]
fn what_would_cost_a_receiver_too_much_is_not_packed() {
    let run = Run { rows: 1_000, quality: Quality::NoData(NoData::Timeout) };
    let column = Column { quality: vec![run], values: Values::F64(vec![]), scores: vec![] };
    let block = Block {
        device: "d".into(),
        location: "l".into(),
        channels: channels(64),
        synced: true,
        first_ms: 0,
        steps: vec![0; 999],
        columns: vec![column; 64],
    };
    for (blocks, codec) in [(4, 2), (5, 1)] {
        let sent: Vec<_> =
            (1..=blocks).map(|seq| envelope(0, Lane::Readings, seq, Record::Block(block.clone()))).collect();
        let packed = batch_of(&sent).finish_packed(&BTreeSet::new());
        assert_eq!(packed.bytes[0], codec, "{blocks} blocks");
        assert!(batch::split(&packed.bytes).envelopes == sent);
    }
}

/// Every byte of an envelope in turn is written in a longer way, or is another: sealed anew, so that only packing could
/// notice; and not sealed.
#[test]
fn what_postcard_would_not_write_travels_as_it_is() {
    let sent = ten_seconds();
    let body = &sent[1][..sent[1].len() - 4];
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let sealed = |body: &[u8]| [body, &crc.checksum(body).to_le_bytes()].concat();
    for at in 0..body.len() {
        let longer = [&body[..at], &[body[at] | 0x80, 0], &body[at + 1..]].concat();
        let mut other = body.to_vec();
        other[at] ^= 0x41;
        for changed in [sealed(&longer), sealed(&other), [body, &[at as u8; 4]].concat()] {
            let sent = [&sent[0], &changed, &sent[2]].map(Vec::clone);
            let split = batch::split(&batch_of(&sent).finish_packed(&BTreeSet::new()).bytes);
            assert_eq!(split.broken, None, "byte {at}");
            assert_eq!(split.envelopes, sent, "byte {at}");
        }
    }
}

#[test]
fn more_devices_than_a_packed_batch_names_still_travel() {
    let block = |device: u16| {
        let agent = AgentId::new("turbine-0").unwrap();
        let mut builder = BlockBuilder::new(&agent, &format!("d{device}"), "l", &channels(1), true);
        builder.push(&Row { time_ms: 1, readings: vec![Err(NoData::Timeout)], scores: vec![None] }).unwrap();
        envelope(0, Lane::Readings, u64::from(device) + 1, Record::Block(builder.finish().unwrap()))
    };
    let sent: Vec<Vec<u8>> = (0..600).map(block).collect();
    let packed = batch_of(&sent).finish_packed(&BTreeSet::new());
    assert_eq!(packed.schemas.len(), 256);
    assert!(batch::split(&packed.bytes).envelopes == sent);
}

/// A block of each kind of float, whatever its neighbour: decimals, a mantissa too great for them, what has no number.
#[test]
fn every_float_comes_out_bit_for_bit() {
    let singles = [0.0f32, -0.0, 0.1, 8.5, 16_777_216.0, 1e-45, f32::MAX, f32::MIN, f32::NAN, f32::INFINITY, -273.15];
    let doubles = [0.0f64, -0.0, 0.1, 8.5, 9e15, 5e-324, f64::MAX, f64::NAN, f64::NEG_INFINITY, 1.0 / 3.0, 101_325.25];
    let kinds = [singles.map(Value::F32), doubles.map(Value::F64)];
    for values in kinds {
        for pair in values.iter().flat_map(|first| values.map(|second| [*first, second])) {
            let mut block = builder(0, 1, true);
            for (time_ms, value) in (0..).zip(pair) {
                block.push(&Row { time_ms, readings: vec![Ok(value)], scores: vec![None] }).unwrap();
            }
            let sent = vec![envelope(0, Lane::Readings, 1, Record::Block(block.finish().unwrap()))];
            let packed = batch_of(&sent).finish_packed(&BTreeSet::new());
            assert_eq!(packed.bytes[0], 2, "{pair:?}");
            assert_eq!(batch::split(&packed.bytes).envelopes, sent, "{pair:?}");
        }
    }
}

#[test]
fn the_greatest_numbers_come_out_bit_for_bit() {
    let numbers = [i64::MIN, i64::MIN + 1, -1, 0, 1, 1 << 53, i64::MAX];
    let mut sent = Vec::new();
    for (seq, exponent) in [(0, -128), (u64::MAX, 127), (1 << 63, 0)] {
        for first in numbers {
            let mut block = builder(0, 2, true);
            for second in numbers {
                let value = |mantissa| Ok(Value::Int { mantissa, exponent });
                let readings = vec![value(first), value(second)];
                let scores = vec![Some(f32::MAX), Some(second as f32)];
                block.push(&Row { time_ms: first ^ second, readings, scores }).unwrap();
            }
            sent.push(envelope(0, Lane::Readings, seq, Record::Block(block.finish().unwrap())));
        }
    }
    let packed = batch_of(&sent).finish_packed(&BTreeSet::new());
    assert_eq!(packed.bytes[0], 2);
    assert_eq!(batch::split(&packed.bytes).envelopes, sent);
    for one in sent {
        let packed = batch_of(std::slice::from_ref(&one)).finish_packed(&BTreeSet::new());
        assert_eq!((packed.bytes[0], batch::split(&packed.bytes).envelopes), (2, vec![one]));
    }
}

#[test]
fn schemas_are_bytes_and_back() {
    let schema = batch::split(&batch_of(&ten_seconds()).finish_packed(&BTreeSet::new()).bytes).schemas.remove(0);
    assert_eq!(Schema::decode(&schema.encode()), Some(schema.clone()));
    assert_ne!(Schema { epoch: 1, ..schema.clone() }.id(), schema.id());
    let mut longer = schema.encode();
    longer.push(0);
    assert_eq!(Schema::decode(&longer), None);
    assert_eq!(Schema::decode(&[]), None);
    assert_eq!(Schema::decode(&Schema { channels: channels(65), ..schema }.encode()), None);
}
