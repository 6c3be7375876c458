//! A sink's process, put together as `cloud-sink/src/io` does it: groups of deliveries are planned, written, freed and
//! acked; people are told beside it, of what was just written and of what the store says is due. It may die between any
//! two steps.

use crate::breaks::Break;
use crate::broker::Broker;
use crate::scenario::about;
use crate::stage::{Event, FARM, Stage};
use crate::store::{Item, items};
use std::collections::{BTreeMap, VecDeque};
use windward_protocol::AgentId;
use windward_sink::decode::{Delivery, Known, Name, named};
use windward_sink::ledger::Ledger;
use windward_sink::notify::{Ended, NoticeRow, Outcome, Phase, Policy, Rule, Step, Telling};
use windward_sink::place::Seen;
use windward_sink::sink::{self, Plan};
use windward_tests::random::Random;

/// Most deliveries committed together.
const GROUP: usize = 64;
/// Time between two looks into the store for what is due to be told, ms.
const LOOK_EVERY_MS: u64 = 2_000;
/// Pause before a failed commit is tried again, ms.
const COMMIT_PAUSE_MS: u64 = 250;

/// The process died.
struct Died;

/// The process.
pub(crate) struct Sink {
    index: usize,
    life: u64,
    is_up: bool,
    random: Random,
    incoming: VecDeque<(u64, Delivery)>,
    /// Schemas that need not be looked up in the store.
    at_hand: Known,
    /// What is known of the ledger.
    ledger: Ledger,
    is_working: bool,
    /// What is to be written again, because the store failed.
    again: Option<(Vec<u64>, Vec<Delivery>, Plan)>,
    /// What people are being told.
    tasks: BTreeMap<u64, Telling>,
    next_task: u64,
}

impl Sink {
    pub(crate) fn new(index: usize, seed: u64, stage: &mut Stage) -> Self {
        stage.after(0, Event::SinkStart { sink: index });
        let mut sink = Self {
            index,
            life: 0,
            is_up: false,
            random: Random::stream(seed, "sink", index),
            incoming: VecDeque::new(),
            at_hand: Known::new(),
            ledger: Ledger::default(),
            is_working: false,
            again: None,
            tasks: BTreeMap::new(),
            next_task: 0,
        };
        if index == 0 {
            sink.plan_to_forget(stage);
        }
        sink
    }

    fn plan_to_forget(&mut self, stage: &mut Stage) {
        let every_ms = stage.scenario.sink.forgets_every_ms;
        if every_ms > 0 && stage.now < stage.scenario.life_ms {
            let after = about(&mut self.random, every_ms);
            stage.after(after, Event::SchemasForgotten);
        }
    }

    /// The store forgets what packed batches said once.
    pub(crate) fn forget_schemas(&mut self, stage: &mut Stage) {
        stage.count_many("schemas forgotten by the store", stage.store.schemas.len() as u64);
        stage.store.schemas.clear();
        self.plan_to_forget(stage);
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.incoming.is_empty() && self.tasks.is_empty() && self.again.is_none()
    }

    /// Whether the process of this number still runs.
    pub(crate) fn is_alive(&self, life: u64) -> bool {
        self.is_up && self.life == life
    }

    /// A process starts.
    pub(crate) fn start(&mut self, stage: &mut Stage) {
        self.is_up = true;
        self.life += 1;
        self.subscribe(stage);
        stage.after(1, Event::Due { sink: self.index, life: self.life });
    }

    /// It connects, and takes up its subscription.
    pub(crate) fn subscribe(&mut self, stage: &mut Stage) {
        let after = self.random.between(1, 3_000);
        stage.after(after, Event::Subscribe { sink: self.index, life: self.life });
    }

    /// One step further; the step may be the last.
    fn step(&mut self, stage: &Stage) -> Result<(), Died> {
        if self.random.one_in(stage.scenario.sink.dies) { Err(Died) } else { Ok(()) }
    }

    fn die(&mut self, broker: &mut Broker, stage: &mut Stage) {
        stage.count("ends of a sink");
        stage.trace(format_args!("sink-{}", self.index), || "dies".into());
        for task in self.tasks.values().filter(|task| matches!(task.step, Step::Mark(_))) {
            // The message is out, and nobody will ever know.
            stage.oracle.unmarked(&task.row);
        }
        self.incoming.clear();
        self.at_hand.clear();
        self.ledger = Ledger::default();
        self.tasks.clear();
        self.again = None;
        self.is_working = false;
        self.is_up = false;
        self.life += 1;
        broker.sink_gone(self.index);
        let after = about(&mut self.random, 3_000);
        stage.after(after, Event::SinkStart { sink: self.index });
    }

    /// A delivery.
    pub(crate) fn deliver(&mut self, life: u64, id: u64, delivery: Delivery, broker: &Broker, stage: &mut Stage) {
        // One of a connection that is gone comes again on the next.
        if life == self.life && broker.is_subscribed(self.index, life) {
            self.incoming.push_back((id, delivery));
            self.work_after(1, stage);
        }
    }

    fn work_after(&mut self, ms: u64, stage: &mut Stage) {
        if !self.is_working {
            self.is_working = true;
            stage.after(ms, Event::SinkWork { sink: self.index, life: self.life });
        }
    }

    /// Takes the next group, or the one that failed before.
    pub(crate) fn work(&mut self, life: u64, broker: &mut Broker, stage: &mut Stage) {
        if life != self.life {
            return;
        }
        self.is_working = false;
        if self.commit(broker, stage).is_err() {
            return self.die(broker, stage);
        }
        if self.again.is_some() || !self.incoming.is_empty() {
            self.work_after(if self.again.is_some() { COMMIT_PAUSE_MS } else { 1 }, stage);
        }
    }

    fn commit(&mut self, broker: &mut Broker, stage: &mut Stage) -> Result<(), Died> {
        self.step(stage)?;
        let (ids, deliveries, plan) = match self.again.take() {
            Some(again) => again,
            None => {
                let count = self.incoming.len().min(GROUP);
                let (ids, deliveries): (Vec<u64>, Vec<Delivery>) = self.incoming.drain(..count).unzip();
                let policy = policy(stage);
                let mut known = stage.store.known(&deliveries);
                known.extend(self.at_hand.clone());
                let opened = sink::open(&deliveries, known);
                let unknown = self.ledger.unknown(&opened.sequences());
                let found = stage.store.seen(&unknown);
                self.ledger.looked_up(&unknown, &found);
                let nothing = Seen::new();
                let seen = if stage.breaks(Break::StoredTwice) { &nothing } else { self.ledger.seen() };
                let plan = sink::plan(FARM, &policy, opened, seen, stage.true_ms());
                (ids, deliveries, plan)
            }
        };
        if ids.is_empty() {
            return Ok(());
        }
        if stage.breaks(Break::AckBeforeStored) {
            self.ack(&plan, stage);
        }
        if !self.write(&plan, stage)? {
            stage.count("refusals of the store");
            self.again = Some((ids, deliveries, plan));
            return Ok(());
        }
        self.learn(&plan, stage);
        self.step(stage)?;
        stage.trace(format_args!("sink-{}", self.index), || {
            let what: Vec<String> = deliveries.iter().map(|delivery| stage.oracle.contents(delivery)).collect();
            format!("stored {}", what.join(", "))
        });
        for ((id, delivery), remaining) in ids.iter().zip(&deliveries).zip(&plan.deliveries) {
            if stage.breaks(Break::PoisonUnacked) && stage.oracle.is_poison(delivery) {
                continue;
            }
            let Stage { oracle, store, scenario, .. } = &mut *stage;
            // What could not be read for want of a schema is left to the agent.
            if !remaining.placed.is_empty() || named(delivery).is_empty() {
                oracle.check_puback(store, scenario, delivery);
            }
            let delay = self.random.between(1, 20);
            stage.after(delay, Event::Puback { sink: self.index, life: self.life, id: *id });
        }
        self.step(stage)?;
        if broker.is_subscribed(self.index, self.life) {
            self.ack(&plan, stage);
        }
        self.step(stage)?;
        for notice in plan.rows.notices {
            self.begin_to_tell(notice, stage);
        }
        Ok(())
    }

    /// What the store has now is at hand.
    fn learn(&mut self, plan: &Plan, stage: &mut Stage) {
        stage.count_many("messages that name what a sink does not know", plan.unknown.len() as u64);
        self.ledger.add(&plan.rows.ledger);
        for schema in &plan.rows.schemas {
            self.at_hand.insert((schema.agent.clone(), schema.id()), schema.clone().into());
        }
    }

    /// Writes a plan, the ledger last. False: the store failed, somewhere in between if it takes row by row.
    fn write(&mut self, plan: &Plan, stage: &mut Stage) -> Result<bool, Died> {
        let forgets = stage.breaks(Break::LedgerForgets);
        let whole = stage.scenario.sink.whole;
        if whole {
            self.step(stage)?;
            if self.random.one_in(stage.scenario.sink.store_error) {
                return Ok(false);
            }
        }
        for item in items(&plan.rows) {
            if !whole {
                self.step(stage)?;
                if self.random.one_in(stage.scenario.sink.store_error) {
                    return Ok(false);
                }
            }
            let is_left_out = match item {
                Item::Poison(_) => stage.breaks(Break::PoisonForgotten),
                Item::Schema(_) => stage.breaks(Break::SchemaForgotten),
                Item::Notice(_) => stage.breaks(Break::AckBeforeTold),
                _ => false,
            };
            if !is_left_out {
                stage.store.write(&item, forgets);
            }
        }
        Ok(true)
    }

    fn ack(&mut self, plan: &Plan, stage: &mut Stage) {
        let names: Vec<Name> = plan.deliveries.iter().flat_map(|one| &one.placed).cloned().collect();
        let Stage { oracle, store, scenario, .. } = &mut *stage;
        names.iter().for_each(|name| oracle.check_ack(store, scenario, name));
        for (agent, ack) in sink::acks(&names) {
            let delay = self.random.between(1, 20);
            stage.after(delay, Event::Ack { agent: number_of(&agent), bytes: ack.encode() });
        }
    }

    fn begin_to_tell(&mut self, notice: NoticeRow, stage: &mut Stage) {
        self.next_task += 1;
        self.tasks.insert(self.next_task, Telling::begin(notice));
        self.tell_after(self.next_task, 1, stage);
    }

    /// A look into the store for what is due.
    pub(crate) fn look(&mut self, life: u64, stage: &mut Stage) {
        if life != self.life {
            return;
        }
        for notice in stage.store.due(stage.true_ms()) {
            if self.tasks.values().all(|task| task.row.sort != notice.sort) {
                self.begin_to_tell(notice, stage);
            }
        }
        stage.after(LOOK_EVERY_MS, Event::Due { sink: self.index, life });
    }

    fn tell_after(&self, task: u64, ms: u64, stage: &mut Stage) {
        stage.after(ms, Event::Tell { sink: self.index, life: self.life, task });
    }

    /// One step of telling people.
    pub(crate) fn tell(&mut self, life: u64, number: u64, broker: &mut Broker, stage: &mut Stage) {
        if life != self.life {
            return;
        }
        if self.step(stage).is_err() {
            return self.die(broker, stage);
        }
        let Some(mut task) = self.tasks.remove(&number) else { return };
        let outcome = self.perform(&task, stage);
        task.take(outcome, &policy(stage), stage.true_ms());
        match task.step {
            Step::Over(Ended::Folded) => stage.count("notices put into a digest"),
            Step::Over(_) => {}
            _ => {
                self.tasks.insert(number, task);
                let after = self.random.between(1, 30);
                self.tell_after(number, after, stage);
            }
        }
    }

    fn perform(&mut self, task: &Telling, stage: &mut Stage) -> Outcome {
        let (now_ms, notice) = (stage.true_ms(), &task.row);
        if task.step == Step::Publish {
            if self.random.one_in(stage.scenario.sink.untold) {
                return Outcome::Failed;
            }
            stage.trace(format_args!("sink-{}", self.index), || format!("tells {}", notice.sort));
            stage.count("messages to people");
            let Stage { oracle, store, .. } = &mut *stage;
            oracle.told(store, notice);
            return Outcome::Done;
        }
        let fails = self.random.one_in(stage.scenario.sink.store_error);
        if fails && matches!(task.step, Step::Mark(_)) {
            stage.oracle.unmarked(notice);
        }
        if fails && (stage.scenario.sink.whole || self.random.one_in(2)) {
            return Outcome::Failed;
        }
        let outcome = stage.store.perform(task, policy(stage).at_once, now_ms, !fails);
        match (outcome, stage.store.notices.get(&notice.sort)) {
            (Outcome::Before | Outcome::Held, Some(row))
                if task.step == Step::Claim && stage.breaks(Break::ToldTwice) =>
            {
                Outcome::Claimed(Box::new(row.clone()))
            }
            // The store took part of it, and nobody here knows which.
            (_, _) if fails => Outcome::Failed,
            (outcome, _) => outcome,
        }
    }
}

/// Who is told, and of what.
pub(crate) fn policy(stage: &Stage) -> Policy {
    let sink = &stage.scenario.sink;
    let targets = targets(stage.scenario.sink.webhook);
    let rule = Rule { phases: vec![Phase::Open, Phase::Update, Phase::Clear], ..Rule::of_openings(targets.clone()) };
    Policy {
        targets: targets.into_iter().collect(),
        rules: if sink.tells_clear { vec![rule] } else { Vec::new() },
        // Few, so that some of them meet in a digest.
        at_once: if sink.webhook { 1 } else { 3 },
        page: None,
    }
}

/// The targets' names.
pub(crate) fn targets(webhook: bool) -> Vec<String> {
    let names = if webhook { &["crew", "desk"][..] } else { &["crew"] };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The place of an agent among the machines.
fn number_of(agent: &AgentId) -> usize {
    agent.as_str().rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
