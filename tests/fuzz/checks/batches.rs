//! What must hold whatever bytes a broker brings. The fuzzer calls this with bytes that it makes up, and the protocol's
//! tests with random ones.

use std::collections::BTreeSet;
use windward_protocol::batch::{self, BatchBuilder, MAX_BATCH};
use windward_protocol::{AgentId, Channel, Envelope, Lane, Quantity, Schema, SchemaId};

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8]) {
    check_batch(bytes);
    // The same as a packed batch; and with the head of one that names a schema that is known, so that its bits are read.
    check_batch(&[&[2], bytes].concat());
    let (id, _) = known();
    check_batch(&[&[2, 1], &id.0.to_le_bytes()[..], &[0], bytes].concat());
    check_packing(bytes);
}

/// Whatever comes out keeps to the bounds.
fn check_batch(bytes: &[u8]) {
    let (id, schema) = known();
    let split = batch::split_with(bytes, &[(id, schema)].into());
    let len: usize = split.envelopes.iter().map(|envelope| 2 + envelope.len()).sum();
    assert!(len <= MAX_BATCH, "{len} bytes came out");
    assert!(split.schemas.iter().all(|schema| Schema::decode(&schema.encode()).is_some()));
    assert!(batch::named(bytes).len() <= 256);
    for envelope in &split.envelopes {
        if let Ok(decoded) = Envelope::decode(envelope) {
            assert!(decoded.encode().is_ok());
        }
    }
}

/// The bytes as envelopes, good or bad, go through packing unchanged.
fn check_packing(bytes: &[u8]) {
    let mut builder = BatchBuilder::new();
    let sent: Vec<&[u8]> = bytes.chunks(61).take_while(|chunk| builder.push(chunk)).collect();
    let split = batch::split(&builder.finish_packed(&BTreeSet::new()).bytes);
    assert!(split.broken.is_none() && split.envelopes == sent);
}

fn known() -> (SchemaId, Schema) {
    let channel = |name: &str| Channel { name: name.into(), quantity: Quantity::WindSpeed, unit: "m/s".into() };
    let schema = Schema {
        agent: AgentId::new("t1").expect("a good name"),
        epoch: 7,
        lane: Lane::Readings,
        device: "d".into(),
        location: "l".into(),
        channels: vec![channel("a"), channel("b"), channel("c")],
    };
    (schema.id(), schema)
}
