//! Who is told of what, and when.

use super::{About, NoticeRow, Phase, place};
use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::Deserialize as _;
use serde::de::IntoDeserializer;
use serde::de::value::Error as NoSuchKind;
use std::collections::{BTreeMap, BTreeSet};
use windward_protocol::{Alert, AlertKind, Severity};

/// Messages of one minute that go to one target by themselves, unless configured otherwise.
const AT_ONCE: u32 = 5;

/// Everything that decides who is told what and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Names of the targets.
    pub targets: BTreeSet<String>,
    /// The rules. Without any, every target is told of openings.
    pub rules: Vec<Rule>,
    /// So many messages of one minute go to one target by themselves; the others become one digest.
    pub at_once: u32,
    /// Address of the farm's page, as the crew reaches it.
    pub page: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { targets: BTreeSet::new(), rules: Vec::new(), at_once: AT_ONCE, page: None }
    }
}

/// Who is told of some alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Names of the targets.
    pub to: Vec<String>,
    /// Alerts below this are not told of.
    pub from_severity: Severity,
    /// Kinds told of; all when empty.
    pub kinds: Vec<AlertKind>,
    /// Openings, updates, ends.
    pub phases: Vec<Phase>,
    /// When people sleep.
    pub quiet: Option<Quiet>,
    /// Said again until somebody acknowledges.
    pub repeat: Option<Repeat>,
    /// Said to others if nobody acknowledges.
    pub escalate: Option<Escalate>,
}

impl Rule {
    /// Tells these targets of openings, whatever they are about.
    pub fn of_openings(to: Vec<String>) -> Self {
        Self {
            to,
            from_severity: Severity::Info,
            kinds: Vec::new(),
            phases: vec![Phase::Open],
            quiet: None,
            repeat: None,
            escalate: None,
        }
    }

    /// Whether it speaks of this step. The end of an alert bears no severity of its own: whether the target was told of
    /// the alert is seen when its turn comes.
    fn tells(&self, phase: Phase, alert: &Alert) -> bool {
        self.phases.contains(&phase)
            && (self.kinds.is_empty() || self.kinds.contains(&alert.kind))
            && (phase == Phase::Clear || alert.severity >= self.from_severity)
    }

    /// The first time from `at_ms` on at which it may speak of something so severe.
    fn not_before(&self, severity: Severity, at_ms: i64) -> i64 {
        self.quiet.as_ref().and_then(|quiet| quiet.until(severity, at_ms)).unwrap_or(at_ms)
    }
}

/// Hours in which nobody is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    from: Time,
    to: Time,
    zone: TimeZone,
    except: Option<Severity>,
}

/// A time of day or a zone that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadZone(String);

impl Quiet {
    /// `from` and `to` are times of day like `22:00`, in a zone like `Europe/Berlin`; `from` may come after `to`, over
    /// midnight. From the severity `except` on, people are told all the same.
    pub fn new(from: &str, to: &str, zone: &str, except: Option<Severity>) -> Result<Self, BadZone> {
        let time = |text: &str| {
            let parsed = Time::strptime("%H:%M", text);
            parsed.map_err(|_| BadZone(format!("{text:?} is no time of day like \"22:00\"")))
        };
        let (from, to) = (time(from)?, time(to)?);
        if from == to {
            return Err(BadZone("from and to are the same; leave quiet out for no quiet hours".into()));
        }
        let zone = TimeZoneDatabase::bundled()
            .get(zone)
            .map_err(|_| BadZone(format!("{zone:?} is no time zone like \"Europe/Berlin\" or \"UTC\"")))?;
        Ok(Self { from, to, zone, except })
    }

    /// The end of the quiet hours that hold back something so severe at this time; `None` when nothing does.
    pub fn until(&self, severity: Severity, at_ms: i64) -> Option<i64> {
        if self.except.is_some_and(|except| severity >= except) {
            return None;
        }
        let local = Timestamp::from_millisecond(at_ms).ok()?.to_zoned(self.zone.clone()).datetime();
        let (time, day) = (local.time(), local.date());
        let ends_on = match self.from < self.to {
            true if (self.from..self.to).contains(&time) => day,
            false if time >= self.from => day.tomorrow().ok()?,
            false if time < self.to => day,
            _ => return None,
        };
        // An end that the clocks leave out comes as much later; one that they show twice is the first.
        let end = ends_on.to_datetime(self.to).to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond();
        // Of an hour that the clocks show twice, the second lies behind that end.
        (end > at_ms).then_some(end)
    }
}

/// Said again until somebody acknowledges or the alert ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Time between, ms.
    pub every_ms: i64,
    /// So often at most.
    pub times: u32,
}

/// Said to others if nobody acknowledges in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalate {
    /// After the alert was to be told, ms.
    pub after_ms: i64,
    /// Names of the targets.
    pub to: Vec<String>,
}

/// One thing to tell one target.
pub(super) struct Wanted {
    pub(super) target: String,
    pub(super) phase: Phase,
    pub(super) due_ms: i64,
}

impl Policy {
    /// What a step of an alert asks for, by the mark that names it within the alert; of two rules that ask for the
    /// same, the earlier time counts.
    pub(super) fn wanted(&self, alert: &Alert, now_ms: i64) -> BTreeMap<String, Wanted> {
        let phase = Phase::from(alert.phase);
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        let mut add = |mark: String, target: &String, phase, due_ms| {
            let known = wanted.entry(mark).or_insert_with(|| Wanted { target: target.clone(), phase, due_ms });
            known.due_ms = known.due_ms.min(due_ms);
        };
        let default = Rule::of_openings(self.targets.iter().cloned().collect());
        let rules = if self.rules.is_empty() { std::slice::from_ref(&default) } else { &self.rules[..] };
        for rule in rules.iter().filter(|rule| rule.tells(phase, alert)) {
            let due_ms = rule.not_before(alert.severity, now_ms);
            for target in &rule.to {
                add(mark(phase, alert.severity, target), target, phase, due_ms);
            }
            let Some(escalate) = &rule.escalate else { continue };
            // Those whom it was escalated to are told of the end as well.
            let (phase, due_ms) = match phase {
                Phase::Open => (Phase::Escalate, rule.not_before(alert.severity, due_ms + escalate.after_ms)),
                Phase::Clear => (Phase::Clear, due_ms),
                _ => continue,
            };
            for target in &escalate.to {
                add(mark(phase, alert.severity, target), target, phase, due_ms);
            }
        }
        wanted
    }

    /// The notice that follows one that was told now: the same once more, for as long as nobody acknowledges.
    pub(super) fn follow(&self, row: &NoticeRow, now_ms: i64) -> Option<NoticeRow> {
        let About::Alert { agent, alert } = &row.about else { return None };
        if !matches!(row.phase, Phase::Open | Phase::Repeat) {
            return None;
        }
        let speaks = |rule: &&Rule| rule.tells(Phase::Open, alert) && rule.to.contains(&row.target);
        let (rule, repeat) = self.rules.iter().filter(speaks).find_map(|rule| Some((rule, rule.repeat?)))?;
        let told = match row.phase {
            Phase::Repeat => row.sort.rsplit('#').nth(1)?.parse().ok()?,
            _ => 0u32,
        };
        (told < repeat.times).then(|| NoticeRow {
            sort: format!("{}#repeat#{:04}#{}", place::alert_sort(agent, alert), told + 1, row.target),
            phase: Phase::Repeat,
            created_ms: now_ms,
            due_ms: rule.not_before(alert.severity, now_ms.saturating_add(repeat.every_ms)),
            attempts: 0,
            said: None,
            told_ms: None,
            ..row.clone()
        })
    }
}

/// The name of a notice within its alert. An alert that grows worse is told once for each severity it reaches.
fn mark(phase: Phase, severity: Severity, target: &str) -> String {
    match phase {
        Phase::Update => format!("update-{}#{target}", severity.name()),
        _ => format!("{}#{target}", phase.name()),
    }
}

/// All kinds of alerts.
pub fn kinds() -> impl Iterator<Item = AlertKind> {
    (0u32..).map_while(|index| {
        let index = IntoDeserializer::<NoSuchKind>::into_deserializer(index);
        // By its place in the enum, so that a kind that is added is known here at once.
        AlertKind::deserialize(index).ok()
    })
}

/// The kind of this name.
pub fn kind_named(name: &str) -> Option<AlertKind> {
    kinds().find(|kind| kind.name() == name)
}
