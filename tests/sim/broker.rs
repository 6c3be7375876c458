//! The broker: QoS 1, and a shared subscription of all sinks whose sessions outlive their connections. It may forget.

use crate::machine::Machine;
use crate::scenario::about;
use crate::stage::{Event, Mail, Stage};
use std::collections::{BTreeMap, VecDeque};
use windward_protocol::{AgentId, Lane, topic};
use windward_sink::decode::{Delivery, Origin};
use windward_tests::random::Random;

/// Deliveries that a sink may have unacked.
const RECEIVE_MAXIMUM: usize = 32;

/// A sink's session.
#[derive(Debug, Default)]
struct Inbox {
    /// The life of the sink that is connected.
    connected: Option<u64>,
    waiting: VecDeque<(u64, Delivery)>,
    unacked: BTreeMap<u64, Delivery>,
}

/// The broker.
pub(crate) struct Broker {
    random: Random,
    is_up: bool,
    /// The connections of the agents.
    agents: Vec<Option<u64>>,
    /// `None`: no session is known.
    inboxes: Vec<Option<Inbox>>,
    next_id: u64,
    /// When the last delivery to each sink arrives.
    arrivals: Vec<u64>,
}

impl Broker {
    pub(crate) fn new(seed: u64, stage: &mut Stage) -> Self {
        let scenario = &stage.scenario;
        let mut broker = Self {
            random: Random::stream(seed, "broker", 0),
            is_up: true,
            agents: vec![None; scenario.agents],
            inboxes: (0..scenario.sinks).map(|_| None).collect(),
            next_id: 1,
            arrivals: vec![0; scenario.sinks],
        };
        let (restart, garbage) = (scenario.broker.restart_every_ms, scenario.broker.garbage_every_ms);
        broker.plan(restart, Event::BrokerDown, stage);
        broker.plan(garbage, Event::Garbage, stage);
        broker
    }

    fn plan(&mut self, every_ms: u64, event: Event, stage: &mut Stage) {
        if every_ms > 0 && stage.now < stage.scenario.life_ms {
            let after = about(&mut self.random, every_ms);
            stage.after(after, event);
        }
    }

    /// Whether nothing is on its way through it.
    pub(crate) fn is_empty(&self) -> bool {
        self.inboxes.iter().flatten().all(|inbox| inbox.waiting.is_empty() && inbox.unacked.is_empty())
    }

    /// It goes away, with all connections.
    pub(crate) fn go_down(&mut self, machines: &mut [Machine], stage: &mut Stage) {
        if stage.now >= stage.scenario.life_ms || !self.is_up {
            return;
        }
        self.is_up = false;
        stage.count("restarts of the broker");
        stage.trace("broker", || format!("down; remembers: {}", stage.scenario.broker.remembers));
        for (machine, connection) in machines.iter_mut().zip(&mut self.agents) {
            if connection.take().is_some() {
                machine.lose_link(0, "the broker is gone", stage);
            }
        }
        for inbox in &mut self.inboxes {
            if !stage.scenario.broker.remembers {
                *inbox = None;
            } else if let Some(inbox) = inbox {
                inbox.disconnect();
            }
        }
        let after = about(&mut self.random, stage.scenario.broker.away_ms);
        stage.after(after, Event::BrokerUp);
    }

    /// It is back; the sinks are told by and by.
    pub(crate) fn come_up(&mut self, stage: &mut Stage) {
        self.is_up = true;
        self.plan(stage.scenario.broker.restart_every_ms, Event::BrokerDown, stage);
    }

    /// An agent connects.
    pub(crate) fn connect(&mut self, machine: &mut Machine, session: u64, stage: &mut Stage) {
        let agent = machine.index;
        let delay = machine.delay_ms(0, stage);
        let mail = if self.is_up { Mail::Connected } else { Mail::Gone("refused") };
        if self.is_up {
            self.agents[agent] = Some(session);
        }
        stage.after(delay, Event::Mail { agent, uplink: 0, session, mail });
    }

    /// A publish of an agent arrives. On a connection that the agent has given up it may still do so.
    pub(crate) fn publish(
        &mut self,
        machine: &mut Machine,
        session: u64,
        token: u64,
        delivery: Delivery,
        stage: &mut Stage,
    ) {
        let is_current = self.agents[machine.index] == Some(session) && machine.links[0].session == session;
        if !self.is_up || (!is_current && self.random.one_in(2)) {
            return;
        }
        let delay = machine.delay_ms(0, stage);
        stage.after(delay, Event::Mail { agent: machine.index, uplink: 0, session, mail: Mail::PubAck(token) });
        if self.random.one_in(stage.scenario.broker.forgets) {
            stage.count("publishes acked and forgotten");
            return stage.trace("broker", || format!("forgets {}", stage.oracle.contents(&delivery)));
        }
        self.route(delivery, stage);
    }

    /// Somebody publishes what nobody understands.
    pub(crate) fn garbage(&mut self, agent: &AgentId, stage: &mut Stage) {
        if stage.now >= stage.scenario.life_ms {
            return;
        }
        let topic = match self.random.between(0, 3) {
            0 => "elsewhere/at/all".into(),
            1 => topic::of_lane(agent, Lane::State),
            _ => topic::of_lane(agent, Lane::Readings),
        };
        stage.count("messages that nobody understands");
        let payload = (0..self.random.between(0, 40)).map(|_| self.random.bits() as u8).collect();
        if self.is_up {
            self.route(Delivery { from: Origin::Topic(topic), payload }, stage);
        }
        self.plan(stage.scenario.broker.garbage_every_ms, Event::Garbage, stage);
    }

    fn route(&mut self, delivery: Delivery, stage: &mut Stage) {
        let copies = 1 + u64::from(self.random.one_in(stage.scenario.broker.repeats));
        stage.count_many("deliveries", copies);
        for _ in 0..copies {
            let known: Vec<usize> = (0..self.inboxes.len()).filter(|sink| self.inboxes[*sink].is_some()).collect();
            let there = |sink: &&usize| self.inboxes[**sink].as_ref().is_some_and(|inbox| inbox.connected.is_some());
            let connected: Vec<usize> = known.iter().filter(there).copied().collect();
            let from = if connected.is_empty() { known } else { connected };
            // Nobody has subscribed: it was acked, and that was that.
            let Some(&sink) = from.get(self.random.bits() as usize % from.len().max(1)) else { return };
            let id = self.next_id;
            self.next_id += 1;
            if let Some(inbox) = &mut self.inboxes[sink] {
                inbox.waiting.push_back((id, delivery.clone()));
            }
            self.deliver(sink, stage);
        }
    }

    fn deliver(&mut self, sink: usize, stage: &mut Stage) {
        let Some(inbox) = &mut self.inboxes[sink] else { return };
        let Some(life) = inbox.connected else { return };
        while inbox.unacked.len() < RECEIVE_MAXIMUM
            && let Some((id, delivery)) = inbox.waiting.pop_front()
        {
            inbox.unacked.insert(id, delivery.clone());
            let arrival = (stage.now + self.random.between(1, 20)).max(self.arrivals[sink]);
            self.arrivals[sink] = arrival;
            stage.after(arrival - stage.now, Event::Deliver { sink, life, id, delivery });
        }
    }

    /// A sink subscribes. What it has not acked comes again.
    pub(crate) fn subscribe(&mut self, sink: usize, life: u64, stage: &mut Stage) {
        if !self.is_up {
            return stage.after(1_000, Event::Subscribe { sink, life });
        }
        let inbox = self.inboxes[sink].get_or_insert_default();
        inbox.disconnect();
        inbox.connected = Some(life);
        self.deliver(sink, stage);
    }

    /// Whether a sink of this life is connected.
    pub(crate) fn is_subscribed(&self, sink: usize, life: u64) -> bool {
        self.inboxes[sink].as_ref().is_some_and(|inbox| inbox.connected == Some(life))
    }

    /// A sink is gone.
    pub(crate) fn sink_gone(&mut self, sink: usize) {
        if let Some(inbox) = &mut self.inboxes[sink] {
            inbox.disconnect();
        }
    }

    /// A sink frees a delivery.
    pub(crate) fn puback(&mut self, sink: usize, life: u64, id: u64, stage: &mut Stage) {
        if let Some(inbox) = self.inboxes[sink].as_mut().filter(|inbox| inbox.connected == Some(life)) {
            inbox.unacked.remove(&id);
            self.deliver(sink, stage);
        }
    }

    /// A sink's ack for an agent comes through, or not: it is sent once.
    pub(crate) fn ack(&mut self, machine: &mut Machine, bytes: Vec<u8>, stage: &mut Stage) {
        let Some(session) = self.agents[machine.index].filter(|_| self.is_up) else { return };
        if !self.random.one_in(stage.scenario.broker.loses_acks) {
            let delay = self.random.between(1, 40);
            stage.after(delay, Event::Mail { agent: machine.index, uplink: 0, session, mail: Mail::Ack(bytes) });
        }
    }
}

impl Inbox {
    /// What was delivered and not acked is to be delivered again, before all else.
    fn disconnect(&mut self) {
        self.connected = None;
        for (id, delivery) in std::mem::take(&mut self.unacked).into_iter().rev() {
            self.waiting.push_front((id, delivery));
        }
    }
}
