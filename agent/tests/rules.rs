//! Rules in a configuration: what is refused and how it is said, and what the example files tell of simulated devices.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use windward_agent::config::Config;
use windward_agent::time::{Mono, Stamp, Wall};
use windward_agent::watch::judge::{Bounds, Limit, Over, Statistic};
use windward_agent::watch::{Answer, Input, Output, Query, Watch};
use windward_protocol::{Alert, AlertKind, AlertPhase, NoData, Severity};

/// Midnight of 2026-01-01.
const START_MS: i64 = 1_767_225_600_000;

/// Two devices with a temperature each, one of them with a vane.
const HEAD: &str = r#"agent = "rack"
farm = "f"
data = "/tmp/w"
[mqtt]
host = "h"
[[device]]
name = "rack-1"
modbus_tcp = { host = "10.0.0.7" }
interval_ms = 500
channel = [
    { name = "cell", quantity = "temperature", unit = "°C", register = 0, type = "u16" },
    { name = "slow", quantity = "pressure", unit = "Pa", register = 1, type = "u16", interval_ms = 20000 },
]
[[device]]
name = "mast"
modbus_tcp = { host = "10.0.0.8" }
channel = [
    { name = "air", quantity = "temperature", unit = "K", register = 0, type = "u16" },
    { name = "vane", quantity = "wind-direction", unit = "°", register = 1, type = "u16" },
]
"#;

fn config(rules: &str) -> Config {
    Config::from_toml(&format!("{HEAD}{rules}"), "agent.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn refusals(rules: &str) -> Vec<String> {
    let error = Config::from_toml(&format!("{HEAD}{rules}"), "agent.toml").expect_err(rules);
    error.problems.iter().map(|problem| problem.message.clone()).collect()
}

#[test]
fn a_rule_means_what_it_says_and_what_it_leaves_out_is_usual() {
    let config = config(
        "[[rule]]\nname = \"a\"\ndevice = \"rack-1\"\nquantity = \"temperature\"\nabove = 45\n\
         [[rule]]\nname = \"b\"\nchannel = \"vane\"\nwindow_s = 60\nstatistic = \"deviation\"\nbelow = -5\nclear_above = -2.5\n\
         for_windows = 2\nseverity = \"critical\"\nsay = \"look\"\n",
    );
    let [a, b] = &config.rules[..] else { panic!() };
    assert_eq!((a.rule.over, a.rule.for_windows, a.rule.severity), (Over::Readings, 1, Severity::Warning));
    assert_eq!(a.rule.bounds, Bounds { above: Some(Limit { at: 45.0, clear: 45.0 }), below: None });
    let statistic = Statistic::Deviation { history: 6 };
    assert_eq!(b.rule.over, Over::Windows { length_ms: 60_000, statistic });
    assert_eq!(b.rule.bounds, Bounds { above: None, below: Some(Limit { at: -5.0, clear: -2.5 }) });
    assert_eq!((b.rule.for_windows, b.rule.severity, b.rule.say.as_str()), (2, Severity::Critical, "look"));
    let watched = |device: usize, channel: usize| {
        let device = &config.devices[device];
        config.rules_of(device, &device.channels[channel]).map(|rule| rule.name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!([watched(0, 0), watched(0, 1), watched(1, 0), watched(1, 1)], [vec!["a"], vec![], vec![], vec!["b"]]);
}

#[test]
fn each_fault_of_a_rule_is_said_with_what_would_be_right() {
    for (rule, said) in [
        ("channel = \"cell\"", "no limit: above or below, or both, say from where on an alert opens"),
        ("above = 1", "it is not said what is watched: channel, or quantity for all that measure it"),
        (
            "channel = \"cell\"\nquantity = \"temperature\"\nabove = 1",
            "channel and quantity: one of them says what is watched",
        ),
        (
            "device = \"rack_1\"\nchannel = \"cell\"\nabove = 1",
            "there is no device \"rack_1\"; did you mean \"rack-1\"?",
        ),
        ("channel = \"cel\"\nabove = 1", "no device has a channel \"cel\"; did you mean \"cell\"?"),
        ("device = \"mast\"\nchannel = \"cell\"\nabove = 1", "device \"mast\" has no channel \"cell\""),
        ("quantity = \"power\"\nabove = 1", "no device has a channel of this quantity"),
        ("device = \"mast\"\nquantity = \"power\"\nabove = 1", "device \"mast\" has no channel of this quantity"),
        (
            "quantity = \"temperature\"\nabove = 1",
            "one limit for two units: rack-1/cell is in \"°C\", mast/air in \"K\"; name the device or the channel",
        ),
        (
            "channel = \"cell\"\nabove = 1\nclear_below = 2",
            "clear_below = 2 is beyond above = 1: the alert would end before it began",
        ),
        (
            "channel = \"cell\"\nbelow = 1\nclear_above = 0",
            "clear_above = 0 is beyond below = 1: the alert would end before it began",
        ),
        ("channel = \"cell\"\nbelow = 1\nclear_below = 0", "clear_below goes with above"),
        ("channel = \"cell\"\nabove = 1\nclear_above = 2", "clear_above goes with below"),
        ("channel = \"cell\"\nabove = 1\nbelow = 2", "nothing lies between 2 and 1: an alert would never end"),
        (
            "channel = \"cell\"\nabove = 9\nclear_below = 3\nbelow = 1\nclear_above = 4",
            "nothing lies between 4 and 3: an alert would never end",
        ),
        ("channel = \"cell\"\nabove = nan", "above = NaN is out of bounds: -1000000000000 to 1000000000000"),
        (
            "channel = \"cell\"\nabove = 1\nstatistic = \"max\"",
            "a statistic needs window_s; without it each reading is judged by itself",
        ),
        ("channel = \"cell\"\nabove = 1\nwindow_s = 86401", "window_s = 86401 is out of bounds: 0 to 86400"),
        ("channel = \"cell\"\nabove = 1\nwindow_s = 9\nhistory = 2", "history belongs to statistic = \"deviation\""),
        (
            "channel = \"cell\"\nabove = 1\nwindow_s = 9\nstatistic = \"deviation\"\nhistory = 61",
            "history = 61 is out of bounds: 1 to 60",
        ),
        ("channel = \"cell\"\nabove = 1\nfor_windows = 0", "for_windows = 0 is out of bounds: 1 to 1000"),
        ("channel = \"cell\"\nabove = 1\nsay = \"\"", "say is not 1 to 256 bytes of printable text"),
        (
            "channel = \"slow\"\nabove = 1\nwindow_s = 19",
            "window_s = 19 is too short: rack-1/slow is read every 20000 ms, no reading in most windows",
        ),
        (
            "channel = \"slow\"\nabove = 1\nwindow_s = 30\nstatistic = \"std\"",
            "window_s = 30 is too short: rack-1/slow is read every 20000 ms, fewer than two readings in a window",
        ),
        (
            "channel = \"vane\"\nabove = 1\nwindow_s = 30\nstatistic = \"range\"",
            "mast/vane is a direction: a circle has neither least nor greatest value",
        ),
        (
            "channel = \"cell\"\nbelow = 21\nwindow_s = 10\nstatistic = \"count\"",
            "rack-1/cell has 20 readings in 10 s: below = 21 is always so",
        ),
    ] {
        assert_eq!(refusals(&format!("[[rule]]\nname = \"r\"\n{rule}\n")), [said], "{rule}");
    }
}

#[test]
fn a_fault_of_a_rule_has_its_place_in_the_file_and_unknown_words_what_was_meant() {
    let said = |rule: &str| {
        let text = format!("{HEAD}[[rule]]\nname = \"r\"\nchannel = \"cell\"\n{rule}");
        Config::from_toml(&text, "agent.toml").unwrap_err().to_string()
    };
    let line = HEAD.lines().count() + 4;
    assert_eq!(
        said("for_windows = 0\nabove = 1"),
        format!("agent.toml:{line}:15: for_windows = 0 is out of bounds: 1 to 1000")
    );
    assert_eq!(said("abvoe = 1"), format!("agent.toml:{line}:1: unknown key `abvoe`; did you mean `above`?"));
    assert_eq!(said("statistic = \"men\""), format!("agent.toml:{line}:13: unknown value `men`; did you mean `mean`?"));
}

#[test]
fn rules_have_names_of_their_own_and_there_are_not_too_many() {
    let rule = |name: &str| format!("[[rule]]\nname = \"{name}\"\nchannel = \"cell\"\nabove = 1\n");
    assert_eq!(refusals(&(rule("a") + &rule("a"))), ["rule \"a\" stands here for the second time"]);
    let many: String = (0..65).map(|nth| rule(&nth.to_string())).collect();
    assert_eq!(refusals(&many), ["65 rules; an agent has at most 64"]);
    config(&(0..64).map(|nth| rule(&nth.to_string())).collect::<String>());
}

#[test]
fn what_all_rules_watch_together_is_bounded() {
    let channels: String = (0..32)
        .map(|nth| {
            format!("{{ name = \"c{nth}\", quantity = \"voltage\", unit = \"V\", register = {nth}, type = \"u16\" }},")
        })
        .collect();
    let device = format!("[[device]]\nname = \"many\"\nmodbus_tcp = {{ host = \"h\" }}\nchannel = [{channels}]\n");
    let rules = |count: usize| {
        let rule = |nth| format!("[[rule]]\nname = \"{nth}\"\nquantity = \"voltage\"\nabove = 1\n");
        device.clone() + &(0..count).map(rule).collect::<String>()
    };
    config(&rules(32));
    assert_eq!(refusals(&rules(34)), ["with this rule all of them watch 1056 channels; at most 1024"]);
}

/// WATCH over the devices of a configuration file, all of which answer alike, in virtual time.
struct Site {
    watch: Watch,
    now_ms: u64,
    told: Vec<Alert>,
    /// Seconds of the rows that were forwarded.
    rows: BTreeSet<u64>,
}

impl Site {
    fn new(text: &str) -> Self {
        let config = Config::from_toml(text, "example").unwrap_or_else(|error| panic!("{error}"));
        Self { watch: Watch::new(&config, 1), now_ms: 0, told: Vec::new(), rows: BTreeSet::new() }
    }

    /// Goes on for so long; `words` are the registers, from 0.
    fn go_on(&mut self, seconds: u64, words: &[u16]) -> &mut Self {
        self.go_on_with(seconds, Ok(words))
    }

    fn go_on_with(&mut self, seconds: u64, said: Result<&[u16], NoData>) -> &mut Self {
        let end_ms = self.now_ms + 1_000 * seconds;
        loop {
            let now = Stamp { mono: Mono(self.now_ms), wall: Wall(START_MS + self.now_ms as i64), synced: true };
            while let Some(output) = self.watch.poll_output() {
                match output {
                    Output::Ask(ask) => {
                        let Query::Registers { start, count, .. } = ask.query else { panic!("{ask:?}") };
                        let range = usize::from(start)..usize::from(start + count);
                        let result = said.map(|words| Answer::Words(words[range].to_vec()));
                        let (device, round, request) = (ask.device, ask.round, ask.request);
                        self.watch.handle(Input::Answer { device, round, request, result }, now);
                    }
                    Output::Alert(alert) => self.told.push(alert),
                    Output::Row { row, .. } => drop(self.rows.insert((row.time_ms - START_MS) as u64 / 1_000)),
                    Output::Stats(_) => {}
                }
            }
            let due_ms = self.watch.poll_timeout().unwrap().0.0.max(self.now_ms);
            if due_ms > end_ms {
                self.now_ms = end_ms;
                return self;
            }
            self.now_ms = due_ms;
            self.watch.handle_timeout(Stamp { mono: Mono(due_ms), wall: Wall(START_MS + due_ms as i64), synced: true });
        }
    }

    /// What has been told since it was asked last: the rule, and the step.
    fn told(&mut self) -> Vec<(String, AlertPhase)> {
        let rule = |alert: Alert| {
            assert_eq!(alert.kind, AlertKind::Limit, "{alert:?}");
            (alert.evidence.split(':').next().unwrap_or_default().to_owned(), alert.phase)
        };
        std::mem::take(&mut self.told).into_iter().map(rule).collect()
    }
}

fn opened(rule: &str) -> Vec<(String, AlertPhase)> {
    vec![(rule.to_owned(), AlertPhase::Open)]
}

fn cleared(rule: &str) -> Vec<(String, AlertPhase)> {
    vec![(rule.to_owned(), AlertPhase::Clear)]
}

#[test]
fn the_vehicle_of_the_example_tells_the_driver_of_a_departure_and_of_a_limit() {
    let mut site = Site::new(include_str!("../../deploy/examples/vehicle-agent.toml"));
    // Coolant and gearbox oil, 0.1 °C; speed, 0.1 km/h.
    let quiet = [850, 900, 600];
    assert_eq!(site.go_on(3_600, &quiet).told(), [], "an hour of the usual");
    assert_eq!(site.go_on(25, &[850, 1_020, 600]).told(), opened("temperature departs"));
    assert_eq!(site.go_on(60, &quiet).told(), cleared("temperature departs"));
    // Slowly, by half a degree a minute: no departure, but in the end the limit.
    for step in 0..39 {
        assert_eq!(site.go_on(60, &[850 + 5 * step, 900, 600]).told(), [], "at {} °C", 85.0 + 0.5 * f64::from(step));
    }
    assert_eq!(site.go_on(300, &[1_051, 900, 600]).told(), opened("engine too hot"));
    assert_eq!(site.go_on(300, &[1_005, 900, 600]).told(), [], "not yet well below");
    assert_eq!(site.go_on(300, &[990, 900, 600]).told(), cleared("engine too hot"));
}

#[test]
fn the_battery_of_the_example_is_held_against_each_of_its_limits() {
    let mut site = Site::new(include_str!("../../deploy/examples/battery-agent.toml"));
    // Voltage 0.1 V, current 0.1 A, temperature 0.1 °C, lowest cell mV, charge 0.1 %.
    let quiet = [7_600, 1_000, 300, 3_600, 550];
    assert_eq!(site.go_on(3_600, &quiet).told(), [], "an hour of the usual");
    let with = |place: usize, word: u16| {
        let mut words = quiet;
        words[place] = word;
        words
    };
    for (rule, seconds, beyond, back_s) in [
        ("rack voltage", 21, with(0, 8_310), 21),
        ("rack voltage", 21, with(0, 6_890), 41),
        ("cell empty", 21, with(3, 2_790), 41),
        ("over-current", 3, with(1, 2_510), 3),
        ("over-current", 3, with(1, (-2_510i16) as u16), 12),
        ("nearly empty", 1_201, with(4, 99), 1_201),
    ] {
        assert_eq!(site.go_on(1, &quiet).told(), []);
        assert_eq!(site.go_on(seconds, &beyond).told(), opened(rule), "{beyond:?}");
        assert_eq!(site.go_on(back_s, &quiet).told(), cleared(rule));
    }
    // A cell that warms is told twice: that it does, and that it is hot.
    let mut told = Vec::new();
    for step in 0..20 {
        told.extend(site.go_on(10, &with(2, 300 + 10 * step)).told());
    }
    told.retain(|(_, phase)| *phase != AlertPhase::Update);
    assert_eq!(told, [opened("cell warms fast"), opened("cell too hot")].concat());
    assert_eq!(site.go_on(1_200, &quiet).told().len(), 2, "both are over");
    let few: Vec<_> = (0..30)
        .flat_map(|_| {
            site.go_on(3, &quiet);
            site.go_on_with(3, Err(NoData::Timeout)).told()
        })
        .collect();
    assert_eq!(few, opened("few readings"));
}

#[test]
fn a_thinned_device_forwards_all_around_an_alert_of_a_rule() {
    let text = include_str!("../../deploy/examples/vehicle-agent.toml");
    let mut site = Site::new(&text.replacen("interval_ms = 1000", "interval_ms = 1000\nforward_every_s = 60", 1));
    site.go_on(600, &[850, 900, 600]).go_on(300, &[1_100, 900, 600]);
    let opened_ms = site.told.iter().find(|alert| alert.severity == Severity::Critical).unwrap().opened_ms;
    let opened = (opened_ms - START_MS) as u64 / 1_000;
    assert!((opened - 59..opened + 59).all(|second| site.rows.contains(&second)), "{:?}", site.rows);
    assert!(site.rows.len() < 200, "{} of 900", site.rows.len());
}
