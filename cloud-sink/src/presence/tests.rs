//! Presence against a store in memory, in virtual time.

use super::watch::{Step, Watch, Watches, steps};
use super::*;
use crate::place::AlertStep;
use proptest::prelude::*;
use std::collections::BTreeMap;
use windward_protocol::{AlertPhase, SeqRange};

const FARM: &str = "north-ridge";
const S: i64 = 1_000;
const T0: i64 = 1_795_182_840_000;

/// What stands in the store, and what people were told.
#[derive(Default)]
struct World {
    facts: Facts,
    config: Presence,
    watches: Watches,
    /// The alerts' rows: what was said last, and when it ended.
    alerts: BTreeMap<String, (String, Option<i64>)>,
    told: Vec<String>,
}

impl World {
    fn new(agents: usize) -> Self {
        let row = |index: usize| AgentRow {
            agent: format!("t{index:02}"),
            online: true,
            epoch: Some("00000000000000ff".into()),
            heard_ms: Some(T0),
            alive_ms: Some(T0),
            ..AgentRow::default()
        };
        let facts = Facts {
            agents: (0..agents).map(row).collect(),
            listening_since_ms: Some(T0 - 3_600 * S),
            ..Facts::default()
        };
        Self { facts, ..Self::default() }
    }

    fn agent(&mut self, index: usize) -> &mut AgentRow {
        &mut self.facts.agents[index]
    }

    /// These were heard, and are well.
    fn hear(&mut self, which: impl IntoIterator<Item = usize>, now_ms: i64) {
        for index in which {
            let health = AgentHealth { at_ms: now_ms, synced: true, ..AgentHealth::default() };
            let row = self.agent(index);
            (row.alive_ms, row.heard_ms, row.online) = (Some(now_ms), Some(now_ms), true);
            row.health = Some(health.write());
        }
    }

    fn will(&mut self, index: usize, now_ms: i64) {
        let row = self.agent(index);
        (row.online, row.heard_ms) = (false, Some(now_ms));
    }

    fn health(&mut self, index: usize, now_ms: i64, change: impl Fn(&mut AgentHealth)) {
        self.hear([index], now_ms);
        let mut health = AgentHealth::read(self.agent(index).health.as_deref().unwrap()).unwrap();
        change(&mut health);
        self.agent(index).health = Some(health.write());
    }

    fn steps(&self, now_ms: i64) -> Vec<Step> {
        let look = Look { facts: &self.facts, watches: &self.watches, config: &self.config, now_ms };
        let settle_ms = ms(self.config.settle_s);
        steps(FARM, &self.watches, &look.causes(), |watch| look.can_judge(watch), settle_ms, now_ms)
    }

    fn take(&mut self, steps: Vec<Step>) -> bool {
        let mut is_made = false;
        for step in steps {
            if let Some(alert) = &step.alert {
                self.merge(alert);
            }
            if self.watches.get(&step.key).map(|(revision, _)| *revision) != step.before {
                continue;
            }
            let revision = step.before.unwrap_or(0) + 1;
            is_made |=
                step.after.as_ref().is_some_and(|watch| watch.pending.is_some() || watch.stage == Stage::Waiting);
            match step.after {
                // Through its text, as a store has it.
                Some(watch) => {
                    let text = serde_json::to_string(&watch).unwrap();
                    self.watches.insert(step.key, (revision, serde_json::from_str::<Watch>(&text).unwrap()));
                }
                None => drop(self.watches.remove(&step.key)),
            }
        }
        is_made
    }

    fn merge(&mut self, step: &AlertStep) {
        let row = self.alerts.entry(step.sort.clone()).or_default();
        let is_new = step.said > row.0;
        row.0 = row.0.clone().max(step.said.clone());
        let words = format!("{} {} {}", step.alert.phase.name(), step.alert.kind.name(), step.agent);
        match step.alert.phase {
            AlertPhase::Clear if row.1.is_some() => {}
            AlertPhase::Clear => {
                row.1 = Some(step.alert.at_ms);
                self.told.push(words);
            }
            _ if is_new => self.told.push(words),
            _ => {}
        }
    }

    /// A look as the shell does it: in rounds.
    fn look(&mut self, now_ms: i64) {
        for _ in 0..ROUNDS {
            let steps = self.steps(now_ms);
            if !self.take(steps) {
                break;
            }
        }
    }

    /// A look every ten seconds of a span, each after `each` was done.
    fn run(&mut self, from_s: i64, to_s: i64, each: impl Fn(&mut Self, i64)) {
        for second in (from_s..=to_s).step_by(10) {
            each(self, T0 + second * S);
            self.look(T0 + second * S);
        }
    }

    fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

#[test]
fn an_agent_that_falls_silent_is_told_once_and_again_when_it_has_been_back_for_a_while() {
    let mut world = World::new(2);
    world.run(0, 110, |world, now_ms| world.hear([0], now_ms));
    assert_eq!(world.take_told(), [""; 0]);
    world.run(120, 1_000, |world, now_ms| world.hear([0], now_ms));
    assert_eq!(world.take_told(), ["open agent-silent t01"]);
    let (sort, _) = world.alerts.first_key_value().unwrap();
    assert!(sort.starts_with("2026-11-20T13:54:00.000Z#t01#"), "it opened when it was heard last: {sort}");
    world.run(1_010, 1_300, |world, now_ms| world.hear([0, 1], now_ms));
    assert_eq!(world.take_told(), [""; 0]);
    world.run(1_310, 1_320, |world, now_ms| world.hear([0, 1], now_ms));
    assert_eq!(world.take_told(), ["clear agent-silent t01"]);
    let ended = world.alerts.first_key_value().unwrap().1.1;
    assert_eq!(ended, Some(T0 + 1_010 * S), "it ended when it came back, not when that was believed");
    assert!(world.watches.is_empty());
}

#[test]
fn a_last_will_is_told_sooner_and_one_that_is_taken_back_not_at_all() {
    let mut world = World::new(1);
    world.will(0, T0 + 1);
    world.run(10, 60, |_, _| ());
    assert_eq!(world.take_told(), [""; 0]);
    world.run(70, 70, |_, _| ());
    assert_eq!(world.take_told(), ["open agent-silent t00"]);
    let mut world = World::new(1);
    world.run(0, 600, |world, now_ms| {
        // Every minute the connection breaks, and is there again after half of it.
        if (now_ms - T0) % (60 * S) < 30 * S { world.will(0, now_ms) } else { world.hear([0], now_ms) }
    });
    assert_eq!(world.take_told(), [""; 0]);
}

#[test]
fn an_agent_that_comes_and_goes_is_one_alert() {
    let mut world = World::new(1);
    world.run(0, 3_600, |world, now_ms| {
        if (now_ms - T0) % (400 * S) < 30 * S {
            world.hear([0], now_ms);
        }
    });
    assert_eq!(world.take_told(), ["open agent-silent t00"]);
}

#[test]
fn nothing_is_said_of_who_was_never_heard_is_not_expected_or_could_not_be_heard() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 4] = [
        ("never heard", |world| world.agent(0).alive_ms = None),
        ("not expected", |world| world.config.absent.push("t00".into())),
        ("nobody listens", |world| world.facts.listening_since_ms = None),
        ("listening since just now", |world| world.facts.listening_since_ms = Some(T0 + 3_500 * S)),
    ];
    for (case, change) in cases {
        let mut world = World::new(1);
        change(&mut world);
        world.run(3_500, 3_600, |_, _| ());
        assert_eq!(world.told, [""; 0], "{case}");
    }
}

#[test]
fn a_restart_of_the_sink_neither_ends_nor_repeats_what_was_told() {
    let mut world = World::new(1);
    world.config.settle_s = 20;
    world.run(0, 200, |_, _| ());
    assert_eq!(world.take_told(), ["open agent-silent t00"]);
    world.facts.listening_since_ms = None;
    world.run(210, 400, |_, _| ());
    world.facts.listening_since_ms = Some(T0 + 400 * S);
    world.run(410, 1_000, |_, _| ());
    assert_eq!(world.take_told(), [""; 0]);
}

#[test]
fn a_whole_farm_that_falls_silent_is_one_alert_and_who_stays_away_one_each() {
    let mut world = World::new(100);
    // Agents speak every 30 s, so they are not all heard last at the same time.
    world.run(0, 100, |world, now_ms| {
        let second = (now_ms - T0) / S;
        world.hear((0..100).filter(|index| *index as i64 % 3 == second / 10 % 3), now_ms);
    });
    world.run(110, 900, |_, _| ());
    assert_eq!(world.take_told(), ["open farm-silent windward-sink"]);
    // They come back one after another; three never do.
    world.run(910, 1_200, |world, now_ms| {
        let back = ((now_ms - T0) / S - 900) as usize;
        world.hear(3..back.clamp(3, 100), now_ms);
    });
    assert_eq!(world.take_told(), [""; 0]);
    world.run(1_210, 1_600, |world, now_ms| world.hear(3..100, now_ms));
    let told = world.take_told();
    assert_eq!(told[0], "clear farm-silent windward-sink");
    assert_eq!(told[1..], ["open agent-silent t00", "open agent-silent t01", "open agent-silent t02"]);
}

#[test]
fn a_clock_that_is_off_is_its_own_unless_most_are() {
    let mut world = World::new(4);
    world.run(0, 300, |world, now_ms| {
        world.hear(0..3, now_ms);
        world.health(3, now_ms, |health| health.at_ms += 25 * S);
    });
    assert_eq!(world.take_told(), ["open clock-off t03"]);
    let mut world = World::new(4);
    world.run(0, 300, |world, now_ms| {
        (0..4).for_each(|index| world.health(index, now_ms, |health| health.at_ms -= 60 * S))
    });
    assert_eq!(world.take_told(), ["open clock-off windward-sink"]);
    let mut world = World::new(1);
    world.run(0, 890, |world, now_ms| world.health(0, now_ms, |health| health.synced = false));
    assert_eq!(world.take_told(), [""; 0], "an agent waits ten minutes for its clock");
    world.run(900, 910, |world, now_ms| world.health(0, now_ms, |health| health.synced = false));
    assert_eq!(world.take_told(), ["open clock-off t00"]);
}

fn with_device(world: &mut World) {
    let device = DeviceManifest {
        device: "vane".into(),
        location: "Turbine 1".into(),
        link: String::new(),
        interval_ms: 1_000,
        channels: Vec::new(),
    };
    world.agent(0).manifest = Some(serde_json::json!([device]).to_string());
}

fn failing(health: &mut AgentHealth) {
    let failing = Some("timeout".into());
    health.devices = vec![crate::health::DeviceState { device: "vane".into(), failing, ..Default::default() }];
}

#[test]
fn a_device_is_silent_when_its_agent_says_so_or_nothing_comes_of_it() {
    let mut world = World::new(1);
    with_device(&mut world);
    world.run(0, 590, |world, now_ms| world.health(0, now_ms, failing));
    assert_eq!(world.take_told(), [""; 0]);
    world.run(600, 610, |world, now_ms| world.health(0, now_ms, failing));
    assert_eq!(world.take_told(), ["open device-silent t00"]);
    // While its agent is away nothing is known of it.
    world.run(620, 700, |_, _| ());
    world.will(0, T0 + 700 * S);
    world.run(710, 1_500, |_, _| ());
    assert_eq!(world.take_told(), ["open agent-silent t00"]);
    world.run(1_510, 1_900, |world, now_ms| world.hear([0], now_ms));
    assert_eq!(world.take_told(), ["clear agent-silent t00", "clear device-silent t00"]);

    let mut world = World::new(1);
    with_device(&mut world);
    world.agent(0).devices.insert("vane".into(), T0);
    world.run(0, 1_490, |world, now_ms| world.hear([0], now_ms));
    assert_eq!(world.take_told(), [""; 0]);
    world.run(1_500, 1_500, |world, now_ms| world.hear([0], now_ms));
    assert_eq!(world.take_told(), ["open device-silent t00"]);
}

#[test]
fn what_an_agent_tells_itself_is_not_told_twice() {
    let mut world = World::new(1);
    with_device(&mut world);
    world.facts.told.insert(("t00".into(), "no-data".into(), "vane".into()));
    world.facts.told.insert(("t00".into(), "spool".into(), String::new()));
    world.run(0, 2_000, |world, now_ms| {
        world.health(0, now_ms, |health| {
            failing(health);
            health.spool_error = "disk full".into();
        });
    });
    assert_eq!(world.take_told(), [""; 0]);
}

#[test]
fn a_spool_that_fills_is_told_and_one_that_stays_or_drains_is_not() {
    type Waiting = fn(i64) -> u64;
    let cases: [(&str, Waiting, &[&str]); 5] = [
        ("over the limit", |_| 200_000, &["open spool-filling t00"]),
        ("grows", |second| 1_000 + second as u64, &["open spool-filling t00"]),
        ("stays", |_| 5_000, &[]),
        ("drains", |second| 50_000 - 10 * second as u64, &[]),
        ("small", |second| second as u64 / 10, &[]),
    ];
    for (case, waiting, expected) in cases {
        let mut world = World::new(1);
        world.run(0, 4_000, |world, now_ms| {
            world.health(0, now_ms, |health| health.readings.waiting = waiting((now_ms - T0) / S));
        });
        let opened: Vec<String> = world.told.into_iter().filter(|told| told.starts_with("open")).collect();
        assert_eq!(opened, expected, "{case}");
    }
}

fn miss(lane: &str, first: u64, last: u64, reason: Option<&str>) -> Missing {
    let partition = format!("t00#00000000000000ff#{lane}");
    Missing { partition, range: SeqRange { first, last }, reason: reason.map(Into::into) }
}

#[test]
fn a_gap_is_told_when_it_is_acked_and_not_on_its_way() {
    type Look = fn(i64) -> Vec<Missing>;
    let cases: [(&str, Option<u64>, Look, &[&str]); 6] = [
        ("acked", Some(100), |_| vec![miss("readings", 5, 9, None)], &["open gaps-found t00"]),
        ("before this store was there", Some(100), |_| vec![miss("readings", 1, 9, None)], &[]),
        ("waits at the agent", Some(4), |_| vec![miss("readings", 5, 9, None)], &[]),
        (
            "comes within its time",
            Some(100),
            |second| if second < 500 { vec![miss("alerts", 5, 5, None)] } else { vec![] },
            &[],
        ),
        // An agent that says nothing of itself drains a backlog, the newest first.
        ("each a while", None, |second| vec![miss("readings", 5 + second as u64, 9_000, None)], &[]),
        ("for an hour", None, |_| vec![miss("readings", 5, 9, None)], &["open gaps-found t00"]),
    ];
    for (case, acked, missing, expected) in cases {
        let mut world = World::new(1);
        world.run(0, 4_000, |world, now_ms| {
            world.hear([0], now_ms);
            match acked {
                Some(acked) => world.health(0, now_ms, |health| {
                    (health.readings.acked, health.alerts.acked) = (acked, acked);
                }),
                None => world.agent(0).health = None,
            }
            let second = (now_ms - T0) / S;
            world.facts.missing = (second % 300 == 0).then(|| missing(second));
        });
        assert_eq!(world.told, expected, "{case}");
    }
}

#[test]
fn each_loss_that_an_agent_tells_is_told_once() {
    let mut world = World::new(1);
    world.config.settle_s = 60;
    let mut lost = vec![miss("readings", 5, 9, Some("power cut"))];
    for round in 0..3 {
        let missing = lost.clone();
        world.run(round * 3_000, round * 3_000 + 2_990, |world, now_ms| {
            world.hear([0], now_ms);
            world.facts.missing = Some(missing.clone());
        });
        let expected: &[&str] = if round < 2 { &["open loss t00", "clear loss t00"] } else { &[] };
        assert_eq!(world.take_told(), expected, "round {round}");
        if round == 0 {
            lost.push(miss("readings", 20, 21, Some("space ended")));
        }
    }
}

proptest! {
    /// Two sinks look whenever they like, die between any two steps, and act on what they read long ago: there are the
    /// alerts that one sink makes, each opened and ended once.
    #[test]
    fn two_sinks_make_the_alerts_of_one(
        turns in proptest::collection::vec((0..2usize, any::<bool>(), 0..4usize), 1..120),
        silent in proptest::collection::vec(any::<bool>(), 120),
    ) {
        let mut world = World::new(3);
        let mut read: [Vec<Step>; 2] = Default::default();
        for (turn, (sink, is_reading, done)) in turns.into_iter().enumerate() {
            let now_ms = T0 + turn as i64 * 40 * S;
            world.hear([1, 2], now_ms);
            if !silent[turn / 20] {
                world.hear([0], now_ms);
            }
            if is_reading {
                read[sink] = world.steps(now_ms);
            } else {
                let steps = std::mem::take(&mut read[sink]);
                world.take(steps.into_iter().take(done).collect());
            }
        }
        // In the end all is well, and a sink looks for long enough.
        for second in (0..1_000).step_by(10) {
            let now_ms = T0 + (4_800 + second) * S;
            world.hear(0..3, now_ms);
            world.look(now_ms);
        }
        prop_assert!(world.watches.is_empty());
        for (sort, (_, ended_ms)) in &world.alerts {
            prop_assert!(ended_ms.is_some(), "{sort} stays open");
        }
        let count = |word: &str| world.told.iter().filter(|told| told.starts_with(word)).count();
        prop_assert_eq!(count("open"), world.alerts.len());
        prop_assert_eq!(count("clear"), world.alerts.len());
    }
}
