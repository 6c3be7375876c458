//! The command line.

use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use windward_tests::plant::Fault;

/// Turbines of the farm.
pub(crate) const TURBINES: usize = 3;
/// How long a link cut lasts when nobody says, ms.
pub(crate) const USUAL_CUT_MS: u64 = 10_000;

/// A simulated wind farm with all of Windward around it: agents, broker, sink and the live page.
///
/// Without --for it runs until Ctrl-C. With it, it ends with a table, and with status 1 when a reading was lost or a
/// planned fault raised no alert.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// Run for this long, then print a table: 60s, 2m.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_ms)]
    pub(crate) duration_ms: Option<u64>,
    /// Plan a fault: KIND@WHEN, KIND being gust, stuck, icing, dropout, spike or cut; with a turbine and a length
    /// KIND:TURBINE@WHEN+LENGTH. For example gust@20s, icing:2@30s+15s, cut@30s+10s. May be given several times.
    #[arg(long = "fault", value_name = "FAULT", value_parser = parse_planned)]
    pub(crate) faults: Vec<Planned>,
    /// Where the page listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    /// Where faults can be injected by HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub(crate) control: SocketAddr,
    /// Keep the data here; a temporary folder, removed at the end, unless given.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Decides the wind; the same seed gives the same.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Something that is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) event: Event,
    pub(crate) at_ms: u64,
    pub(crate) for_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A fault of a turbine, counted from 0.
    Fault { fault: Fault, turbine: usize },
    /// The link between agents and broker is cut.
    Cut,
}

/// `20s`, `500ms`, `2m`; a bare number is seconds.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        unit => return Err(format!("`{unit}` is no unit of time; there are ms, s, m")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("`{text}` is no time; write 20s, 500ms or 2m"))?;
    count.checked_mul(unit_ms).ok_or_else(|| format!("`{text}` is too long"))
}

/// A turbine's number as people count, to an index.
pub(crate) fn parse_turbine(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=TURBINES).contains(number));
    number.map(|number| number - 1).ok_or_else(|| format!("`{text}` is no turbine; there are 1 to {TURBINES}"))
}

fn parse_planned(text: &str) -> Result<Planned, String> {
    let (what, when) = text.split_once('@').ok_or("say when: gust@20s")?;
    let (at, length) = match when.split_once('+') {
        Some((at, length)) => (at, Some(parse_ms(length)?)),
        None => (when, None),
    };
    let (kind, turbine) = match what.split_once(':') {
        Some((kind, turbine)) => (kind, parse_turbine(turbine)?),
        None => (what, 0),
    };
    let event = match kind {
        "cut" => Event::Cut,
        kind => Event::Fault { fault: kind.parse()?, turbine },
    };
    Ok(Planned { event, at_ms: parse_ms(at)?, for_ms: length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_planned_as_they_are_written() {
        let gust = Event::Fault { fault: Fault::Gust, turbine: 0 };
        let icing = Event::Fault { fault: Fault::Icing, turbine: 1 };
        for (text, event, at_ms, for_ms) in [
            ("gust@20s", gust, 20_000, None),
            ("icing:2@1m+1500ms", icing, 60_000, Some(1_500)),
            ("cut@30+10s", Event::Cut, 30_000, Some(10_000)),
        ] {
            assert_eq!(parse_planned(text), Ok(Planned { event, at_ms, for_ms }), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_planned_is_refused_with_the_reason() {
        for (text, reason) in [
            ("gust", "say when"),
            ("storm@1s", "`storm` is no fault"),
            ("gust:4@1s", "`4` is no turbine"),
            ("gust@soon", "no unit"),
            ("gust@1h", "`h` is no unit"),
            ("gust@s", "`s` is no time"),
        ] {
            let error = parse_planned(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
