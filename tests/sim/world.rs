//! The whole system in virtual time, from one seed: a while with faults, then peace in which everything must arrive.

use crate::breaks::Break;
use crate::broker::Broker;
use crate::machine::{Machine, agent_id};
use crate::oracle::Violation;
use crate::scenario::Scenario;
use crate::sink::Sink;
use crate::stage::{Event, Stage};
use crate::stream::{STREAM, Stream};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How long the world may take to come to rest when the faults are over, ms: waiting for a clock, resending at growing
/// intervals, claims that must end.
const REST_MS: u64 = 2 * 3_600_000;
/// How often it is asked whether it has, ms.
const ASK_EVERY_MS: u64 = 5_000;

/// What a world came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<Violation>,
    /// Virtual time it lasted, ms.
    pub(crate) virtual_ms: u64,
    /// How often what happened.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// Runs the world of a seed, with one thing in it broken if wished.
pub(crate) fn run(seed: u64, broken: Option<Break>, trace: bool) -> Outcome {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(Scenario::new(seed), seed, broken, trace);
        world.live();
        let violation = world.stage.oracle.violation().cloned();
        Outcome { violation, virtual_ms: world.stage.now, counts: world.counts() }
    }));
    lived.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        let what = words.unwrap_or_else(|| "without words".into());
        let violation = Some(Violation { invariant: "panic", what });
        Outcome { violation, virtual_ms: 0, counts: BTreeMap::new() }
    })
}

struct World {
    stage: Stage,
    machines: Vec<Machine>,
    broker: Broker,
    stream: Stream,
    sinks: Vec<Sink>,
}

impl World {
    fn new(scenario: Scenario, seed: u64, broken: Option<Break>, trace: bool) -> Self {
        let (agents, sinks, life_ms) = (scenario.agents, scenario.sinks, scenario.life_ms);
        let mut stage = Stage::new(scenario, broken, trace);
        stage.trace("world", || format!("{:#?}", stage.scenario));
        stage.after(life_ms, Event::Peace);
        Self {
            machines: (0..agents).map(|index| Machine::new(index, seed, &mut stage)).collect(),
            broker: Broker::new(seed, &mut stage),
            stream: Stream::new(seed),
            sinks: (0..sinks).map(|index| Sink::new(index, seed, &mut stage)).collect(),
            stage,
        }
    }

    fn live(&mut self) {
        let life_ms = self.stage.scenario.life_ms;
        let (mut ask_at, give_up) = (life_ms + ASK_EVERY_MS, life_ms + REST_MS);
        while let Some(event) = self.stage.next() {
            self.happen(event);
            if self.stage.oracle.violation().is_some() {
                return;
            }
            if self.stage.now >= ask_at {
                ask_at = self.stage.now + ASK_EVERY_MS;
                if self.is_at_rest() {
                    let epochs: Vec<u64> = self.machines.iter().map(|machine| machine.disk.epoch).collect();
                    let Stage { oracle, store, scenario, .. } = &mut self.stage;
                    return oracle.check_end(store, scenario, &epochs);
                }
            }
            if self.stage.now > give_up {
                let state = self.machines.iter().map(|machine| machine.process.as_ref().map(|one| one.state()));
                let state: Vec<_> = state.collect();
                return self.stage.oracle.violated("liveness", || format!("no rest after {REST_MS} ms: {state:?}"));
            }
        }
    }

    /// What happened, and what came of it.
    fn counts(mut self) -> BTreeMap<&'static str, u64> {
        let Stage { store, .. } = &self.stage;
        let rows = store.readings.values().map(|row| u64::from(row.n)).sum();
        let found = [
            ("rows stored", rows),
            ("gaps declared", store.gaps.len() as u64),
            ("alerts stored", store.alerts.len() as u64),
            ("refused messages kept", store.poison.len() as u64),
        ];
        self.stage.counts.extend(found);
        self.stage.counts
    }

    fn is_at_rest(&self) -> bool {
        let drained = |machine: &Machine| machine.process.as_ref().is_some_and(|process| process.is_drained());
        self.machines.iter().all(drained)
            && self.broker.is_empty()
            && self.sinks.iter().all(Sink::is_idle)
            && self.stage.store.is_told()
    }

    fn happen(&mut self, event: Event) {
        let Self { stage, machines, broker, stream, sinks } = self;
        match event {
            Event::Plant { agent } => machines[agent].measure(stage),
            Event::Boot { agent, life } => machines[agent].boot(life, stage),
            Event::Wake { agent, life } => {
                machines[agent].with_process(life, stage, |process, machine, stage| process.work(machine, stage));
            }
            Event::JobDone { agent, life } => {
                machines[agent].with_process(life, stage, |process, machine, stage| process.job_done(machine, stage));
            }
            Event::Answer { agent, life, input } => {
                machines[agent]
                    .with_process(life, stage, |process, machine, stage| process.answered(input, machine, stage));
            }
            Event::Mail { agent, uplink, session, mail } if session == machines[agent].links[uplink].session => {
                let life = machines[agent].life;
                machines[agent]
                    .with_process(life, stage, |process, machine, stage| process.mail(uplink, mail, machine, stage));
            }
            // Of a connection that is no more.
            Event::Mail { .. } => {}
            Event::Fault { agent, fault } => machines[agent].suffer(fault, stage),
            Event::Connect { agent, uplink: STREAM, session } => stream.connect(&mut machines[agent], session, stage),
            Event::Connect { agent, session, .. } => broker.connect(&mut machines[agent], session, stage),
            Event::Publish { agent, uplink: STREAM, session, token, delivery } => {
                stream.publish(&mut machines[agent], session, token, &delivery, stage);
            }
            Event::Publish { agent, session, token, delivery, .. } => {
                broker.publish(&mut machines[agent], session, token, delivery, stage);
            }
            Event::Ack { agent, bytes } => broker.ack(&mut machines[agent], bytes, stage),
            Event::Garbage => broker.garbage(&agent_id(0), stage),
            Event::SchemasForgotten => sinks[0].forget_schemas(stage),
            Event::BrokerDown => broker.go_down(machines, stage),
            Event::BrokerUp => {
                broker.come_up(stage);
                sinks.iter_mut().for_each(|sink| sink.subscribe(stage));
            }
            Event::Subscribe { sink, life } if sinks[sink].is_alive(life) => broker.subscribe(sink, life, stage),
            Event::Subscribe { .. } => {}
            Event::Deliver { sink, life, id, delivery } => sinks[sink].deliver(life, id, delivery, broker, stage),
            Event::Puback { sink, life, id } => broker.puback(sink, life, id, stage),
            Event::SinkStart { sink } => sinks[sink].start(stage),
            Event::SinkWork { sink, life } => sinks[sink].work(life, broker, stage),
            Event::Tell { sink, life, task } => sinks[sink].tell(life, task, broker, stage),
            Event::Due { sink, life } => sinks[sink].look(life, stage),
            Event::Peace => {
                stage.trace("world", || "peace".into());
                stage.scenario = stage.scenario.at_peace();
                machines.iter_mut().for_each(|machine| machine.at_peace(stage));
            }
        }
    }
}
