//! What an alert says: its evidence in words and figures that a person can check.

use super::super::detect::{Act, Found, Gap, Window};
use super::super::health::Held;
use super::super::rules::{Figure, Over, Rule, Statistic};
use super::Turbine;
use super::raise::Case;
use windward_protocol::{AlertKind, AlertPhase, Channel, NoData, Severity};

/// Most decimals that a rule's figure is said with.
const MOST_DECIMALS: usize = 9;

pub(super) fn silence(silent: Option<(u32, u64)>, reason: Option<NoData>) -> Case {
    let evidence = match (silent, reason) {
        (Some((polls, ms)), Some(reason)) => format!("no value in {polls} polls over {}; last: {reason}", lasting(ms)),
        (Some((polls, ms)), None) => format!("no value in {polls} polls over {}", lasting(ms)),
        (None, _) => "values are back".to_owned(),
    };
    plain(AlertKind::NoData, Severity::Warning, None, evidence)
}

pub(super) fn row(phase: AlertPhase, score: f64, threshold: f64, foremost: Option<(&Channel, f64)>) -> Case {
    let evidence = match (phase, foremost) {
        (AlertPhase::Clear, _) => format!("score {score:.1}: usual again"),
        (_, Some((channel, share))) => format!(
            "score {score:.1} over threshold {threshold:.1}; {} gives {:.0} % of it",
            channel.name,
            100.0 * share
        ),
        (_, None) => format!("score {score:.1} over threshold {threshold:.1}"),
    };
    let severity = super::severity(score / threshold);
    Case { kind: AlertKind::Anomaly, severity, value: None, score: Some(score), threshold: Some(threshold), evidence }
}

pub(super) fn held(phase: AlertPhase, value: f64, unit: &str, held: Option<(Held, u64)>) -> Case {
    let gone = held.is_some_and(|(held, _)| held.below_all);
    let evidence = match (phase, held) {
        (AlertPhase::Clear, _) | (_, None) => format!("moves again: {}", of(value, unit)),
        (_, Some((Held { repeats, .. }, ms))) if gone => {
            format!("{} for {} ({repeats} repeats), below all it gave before", of(value, unit), lasting(ms))
        }
        (_, Some((Held { repeats, .. }, ms))) => {
            format!("held at {} for {} ({repeats} repeats)", of(value, unit), lasting(ms))
        }
    };
    let kind = if gone { AlertKind::Dropout } else { AlertKind::Stuck };
    plain(kind, Severity::Warning, Some(value), evidence)
}

/// `partner`: how far apart they are, and the partner with its value.
pub(super) fn apart(
    phase: AlertPhase,
    value: f64,
    unit: &str,
    partner: Option<(Gap, &Channel, f64)>,
    iced: bool,
) -> Case {
    let evidence = match (phase, partner) {
        (AlertPhase::Clear, _) | (_, None) => format!("{}: as its neighbour makes one expect", of(value, unit)),
        (_, Some((gap, channel, other))) => {
            let over = if gap.over > 1 { format!(" over {} readings", gap.over) } else { String::new() };
            let cause = if iced { "reads less and less, as an iced sensor does: " } else { "" };
            format!(
                "{cause}{} while {} reads {}: apart by {}{over} where {} is usual",
                of(value, unit),
                channel.name,
                of(other, &channel.unit),
                of(gap.by.abs(), unit),
                of(gap.usual, unit)
            )
        }
    };
    let severity = partner.map_or(Severity::Warning, |(gap, ..)| super::severity(gap.ratio));
    plain(if iced { AlertKind::Iced } else { AlertKind::Offset }, severity, Some(value), evidence)
}

pub(super) fn act(phase: AlertPhase, value: f64, unit: &str, found: Found, interval_ms: u32) -> String {
    if phase == AlertPhase::Clear {
        return format!("usual again at {}", of(value, unit));
    }
    let time = |readings: u32| lasting(u64::from(readings) * u64::from(interval_ms));
    let beyond = format!("{:.1} times what it takes to be told", found.ratio);
    match found.act {
        Act::Jump { within: 1, from } => {
            format!("from {} to {} from one reading to the next: {beyond}", short(from), of(value, unit))
        }
        Act::Jump { within, from } => {
            format!("from {} to {} within {}: {beyond}", short(from), of(value, unit), time(within))
        }
        Act::Shift { within, from, to } => {
            format!("mean from {} to {} within {}: {beyond}", short(from), of(to, unit), time(within))
        }
        Act::Drift { within, from, to } => format!(
            "mean from {} to {} within {}, far for how little it changes between readings: {beyond}",
            short(from),
            of(to, unit),
            time(within)
        ),
        Act::Noise { over, times } => {
            format!("changes {times:.1} times as large as usual over {}: {beyond}", time(over))
        }
    }
}

pub(super) fn window(phase: AlertPhase, value: f64, unit: &str, window: Option<Window>, interval_ms: u32) -> Case {
    let evidence = match (phase, window) {
        (AlertPhase::Clear, _) | (_, None) => format!("usual again at {}", of(value, unit)),
        (_, Some(window)) => format!(
            "score {:.1}: the last {} (mean {}, deviation {}, {} to {}) are unlike those before",
            window.score,
            lasting(u64::from(window.readings) * u64::from(interval_ms)),
            of(window.mean, unit),
            short(window.deviation),
            short(window.held.0),
            short(window.held.1)
        ),
    };
    let score = window.map(|window| window.score);
    Case { score, ..plain(AlertKind::Anomaly, Severity::Warning, Some(value), evidence) }
}

pub(super) fn gust(phase: AlertPhase, value: f64, gust: Option<(f64, f64)>) -> Case {
    let evidence = match (phase, gust) {
        (AlertPhase::Clear, _) | (_, None) => format!("the gust is over: {}", of(value, "m/s")),
        (_, Some((rise, foreseen))) => {
            format!("up by {rise:.1} m/s within 10 s to {value:.1} m/s; the turbine's class foresees {foreseen:.1} m/s")
        }
    };
    plain(AlertKind::Gust, Severity::Critical, Some(value), evidence)
}

pub(super) fn high_wind(phase: AlertPhase, value: f64, mean: f64, turbine: &Turbine) -> Case {
    let evidence = match phase {
        AlertPhase::Clear => format!("10-minute mean {mean:.1} m/s, below restart at {:.1} m/s", turbine.restart),
        _ => format!("10-minute mean {mean:.1} m/s, cut-out is {:.1} m/s", turbine.cut_out),
    };
    plain(AlertKind::HighWind, Severity::Critical, Some(value), evidence)
}

pub(super) fn turbulence(phase: AlertPhase, value: f64, turbulence: Option<(f64, f64)>) -> Case {
    let evidence = match (phase, turbulence) {
        (AlertPhase::Clear, _) | (_, None) => "turbulence is within the turbine's class".to_owned(),
        (_, Some((deviation, foreseen))) => format!(
            "10-minute standard deviation {deviation:.1} m/s, for an hour above the {foreseen:.1} m/s of the turbine's class"
        ),
    };
    plain(AlertKind::Turbulence, Severity::Warning, Some(value), evidence)
}

/// `figure`: what the rule has come to. Without one there is nothing to say but that the alert is still open, which who
/// raises it says himself.
pub(super) fn rule(phase: AlertPhase, rule: &Rule, unit: &str, figure: Option<Figure>) -> Case {
    let of_figure = figure.and_then(|figure| Some((figure, figure.value?, rule.bounds.nearest(figure.value?)?)));
    let evidence = match of_figure {
        Some((figure, value, (limit, is_upper))) => {
            let said = statistic(rule.over, value, figure.usual, limit, unit);
            let beyond = if is_upper { "above" } else { "below" };
            let lasted =
                if rule.for_windows > 1 { format!(", {} times on end", rule.for_windows) } else { String::new() };
            match phase {
                AlertPhase::Clear => format!("{said}, within its limits again"),
                _ => format!("{said}, {beyond} {}{lasted}", of_limit(limit, unit_of(rule.over, unit))),
            }
        }
        None => String::new(),
    };
    Case {
        kind: AlertKind::Limit,
        severity: rule.severity,
        value: of_figure.map(|(_, value, _)| value),
        score: None,
        threshold: of_figure.map(|(_, _, (limit, _))| limit),
        evidence,
    }
}

pub(super) fn rule_is_gone(severity: Severity) -> Case {
    let evidence = "it is no longer in the configuration".to_owned();
    Case { kind: AlertKind::Limit, severity, value: None, score: None, threshold: None, evidence }
}

/// The unit of what a rule looks at: a number of values has none.
pub(super) fn unit_of(over: Over, unit: &str) -> &str {
    if matches!(over, Over::Windows { statistic: Statistic::Count, .. }) { "" } else { unit }
}

/// A figure with a digit more than its limit has.
fn statistic(over: Over, value: f64, usual: Option<f64>, limit: f64, unit: &str) -> String {
    let decimals = limit.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len()) + 1;
    let of = |value: f64| format!("{value:.*} {unit}", decimals.min(MOST_DECIMALS)).trim_end().to_owned();
    let Over::Windows { length_ms, statistic } = over else { return of(value) };
    let lasting = lasting(length_ms);
    match (statistic, usual) {
        (Statistic::Mean, _) => format!("mean of {lasting} {}", of(value)),
        (Statistic::Min, _) => format!("least of {lasting} {}", of(value)),
        (Statistic::Max, _) => format!("greatest of {lasting} {}", of(value)),
        (Statistic::Range, _) => format!("range of {lasting} {}", of(value)),
        (Statistic::Std, _) => format!("standard deviation of {lasting} {}", of(value)),
        (Statistic::Change, _) => format!("change within {lasting} {}", of(value)),
        (Statistic::Count, _) => format!("{value:.0} values in {lasting}"),
        (Statistic::Deviation { history }, usual) => {
            let before = self::lasting(length_ms * u64::from(history));
            format!(
                "mean of {lasting} off by {} from the {} of {before} before",
                of(value),
                of(usual.unwrap_or_default())
            )
        }
    }
}

/// A limit, as it was written.
fn of_limit(limit: f64, unit: &str) -> String {
    format!("{limit} {unit}").trim_end().to_owned()
}

fn plain(kind: AlertKind, severity: Severity, value: Option<f64>, evidence: String) -> Case {
    Case { kind, severity, value, score: None, threshold: None, evidence }
}

fn of(value: f64, unit: &str) -> String {
    if unit.is_empty() { short(value) } else { format!("{} {unit}", short(value)) }
}

/// A value in few digits: sensors give one or two decimals, and people read fewer.
fn short(value: f64) -> String {
    if value.abs() >= 1e9 {
        format!("{value:.2e}")
    } else if value.abs() >= 1_000.0 || value == value.trunc() {
        format!("{value:.0}")
    } else if value.abs() >= 0.1 {
        format!("{value:.1}")
    } else {
        format!("{value:.2e}")
    }
}

fn lasting(ms: u64) -> String {
    match ms / 1_000 {
        0 => format!("{ms} ms"),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
