//! What agents publish: a device of eight channels each, in batches that are packed as those of an agent that knows its
//! schema to be known.

use std::collections::BTreeSet;
use std::ops::Range;
use windward_protocol::batch::BatchBuilder;
use windward_protocol::{
    AgentId, BlockBuilder, Channel, Envelope, Lane, Quantity, Record, Row, SchemaId, Value, topic,
};
use windward_sink::decode::{Delivery, Origin};

/// Channels of a device.
pub(crate) const CHANNELS: usize = 8;
/// When the readings begin.
const T0: i64 = 1_795_182_840_000;

/// The agents.
pub(crate) struct Farm {
    moments: usize,
    blocks: usize,
    agents: Vec<AgentId>,
    channels: Vec<Channel>,
    acked: Vec<BTreeSet<SchemaId>>,
    /// Blocks so far, an agent each.
    seqs: Vec<u64>,
    /// Publishes so far.
    pub(crate) published: usize,
    /// Readings in them: values.
    pub(crate) readings: usize,
}

impl Farm {
    /// Agents of these numbers, each of whose publishes holds so many blocks of so many moments, a second apart.
    pub(crate) fn new(numbers: Range<usize>, (moments, blocks): (usize, usize)) -> Self {
        #[allow(clippy::unwrap_used, reason = "the name is one")]
        let agent = |number| AgentId::new(&format!("turbine-{number:04}")).unwrap();
        let channel =
            |index| Channel { name: format!("channel_{index}"), quantity: Quantity::WindSpeed, unit: "m/s".into() };
        Self {
            moments,
            blocks,
            agents: numbers.clone().map(agent).collect(),
            channels: (0..CHANNELS).map(channel).collect(),
            acked: vec![BTreeSet::new(); numbers.len()],
            seqs: vec![0; numbers.len()],
            published: 0,
            readings: 0,
        }
    }

    /// The agent.
    pub(crate) fn agent(&self, agent: usize) -> &AgentId {
        &self.agents[agent]
    }

    /// The next publish of this agent.
    pub(crate) fn publish(&mut self, agent: usize) -> Delivery {
        let mut batch = BatchBuilder::new();
        for _ in 0..self.blocks {
            assert!(batch.push(&self.block(agent)), "a batch holds that many");
        }
        let packed = batch.finish_packed(&self.acked[agent]);
        self.acked[agent].extend(packed.schemas);
        self.published += 1;
        Delivery { from: Origin::Topic(topic::of_lane(&self.agents[agent], Lane::Readings)), payload: packed.bytes }
    }

    fn block(&mut self, agent: usize) -> Vec<u8> {
        let id = &self.agents[agent];
        let mut block = BlockBuilder::new(id, "mast", "Turbine, nacelle", &self.channels, true);
        for moment in 0..self.moments {
            let second = self.seqs[agent] * self.moments as u64 + moment as u64;
            // A wind that wanders, in hundredths; each channel a little apart.
            let wind = |index: usize| 900 + ((second * 37 + index as u64 * 113) % 400) as i64;
            let readings = (0..CHANNELS).map(|index| Ok(Value::Int { mantissa: wind(index), exponent: -2 })).collect();
            let scores = (0..CHANNELS).map(|index| (index == 0).then_some((second % 90) as f32 / 100.0)).collect();
            let row = Row { time_ms: T0 + second as i64 * 1_000, readings, scores };
            assert!(block.push(&row).is_ok(), "a block holds that many");
        }
        self.seqs[agent] += 1;
        self.readings += self.moments * CHANNELS;
        #[allow(clippy::unwrap_used, reason = "a row was pushed, and the block is within its limit")]
        {
            let record = Record::Block(block.finish().unwrap());
            let (agent, seq) = (id.clone(), self.seqs[agent]);
            Envelope { agent, epoch: 7, lane: Lane::Readings, seq, record }.encode().unwrap()
        }
    }
}
