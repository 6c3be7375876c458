//! The plot as an SVG document: a panel a channel, one for the score, and the alerts as bands over them.

use super::super::summary::lasting;
use super::{Trace, ticks};
use crate::replay::{Counts, Event, Summary};
use crate::watch::judge::JudgeDevice;
use std::fmt::{Arguments, Write};
use windward_protocol::Iso8601;

/// Sizes in pixels. Labels of values stand in the margin on the left.
const WIDTH: f64 = 1_400.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 36.0;
const HEAD: f64 = 34.0;
const FOOT: f64 = 44.0;
/// The line above a panel that names it.
const NAME: f64 = 22.0;
const PANEL: f64 = 150.0;
/// Where there are more channels than that, their panels are low.
const HIGH_PANELS: usize = 6;
const LOW_PANEL: f64 = 84.0;
/// A band is at least this wide, to be seen and pointed at.
const BAND: f64 = 3.0;
/// About the width of a character.
const CHARACTER: f64 = 7.2;
/// So many alerts are drawn: more cannot be told apart.
const DRAWN: usize = 2_000;

/// Plain colours for light ground, and others for those who read on dark.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2430}.soft{fill:#667085}.ground{fill:#ffffff}\
.frame{fill:none;stroke:#98a2b3}.grid{stroke:#e4e7ec}\
.signal{fill:#2563eb;stroke:#2563eb}.score{fill:#7c3aed;stroke:#7c3aed}.line{stroke-width:1;stroke-linejoin:round;stroke-linecap:round}\
.failed{stroke:#d92d20;stroke-width:4}\
.info{fill:#2e90fa}.warning{fill:#f79009}.critical{fill:#f04438}.band{fill-opacity:.3}.band:hover{fill-opacity:.6}\
@media (prefers-color-scheme:dark){text{fill:#e4e7ec}.soft{fill:#98a2b3}.ground{fill:#14181f}\
.frame{stroke:#667085}.grid{stroke:#2b3240}.signal{fill:#6ea8fe;stroke:#6ea8fe}.score{fill:#b692f6;stroke:#b692f6}\
.band{fill-opacity:.5}}";

/// A panel: where it stands, and what range of values it shows.
#[derive(Clone, Copy, Debug)]
struct Panel {
    top: f64,
    height: f64,
    least: f64,
    most: f64,
}

/// A document in the making.
struct Page<'a> {
    text: String,
    trace: &'a Trace,
    /// Wall-clock times of the left and the right edge, ms since 1970.
    from_ms: i64,
    to_ms: i64,
}

pub(super) fn draw(trace: &Trace, title: &str, device: &JudgeDevice, summary: &Summary) -> String {
    let from_ms = trace.first_ms.unwrap_or(0);
    let span_ms = (trace.columns.len() as u64).saturating_mul(trace.width_ms).max(1);
    let mut page = Page { text: String::new(), trace, from_ms, to_ms: from_ms.saturating_add_unsigned(span_ms) };
    let height = if trace.channels <= HIGH_PANELS { PANEL } else { LOW_PANEL };
    let panel =
        |at: usize, (least, most)| Panel { top: HEAD + NAME + at as f64 * (height + NAME), height, least, most };
    let signals = (0..trace.channels).map(|at| panel(at, widened(trace.range(at).unwrap_or((0.0, 1.0)))));
    let signals: Vec<Panel> = signals.collect();
    let highest = trace.columns.iter().fold(2.0f32, |most, column| most.max(column.score));
    let score = panel(trace.channels, (0.0, f64::from(highest) * 1.05));
    let bottom = score.top + score.height + FOOT;
    page.put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {bottom}\" width=\"{WIDTH}\" \
         height=\"{bottom}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n",
        title = Escaped(title),
    ));
    let counts = Counts { opened: &summary.opened, months: summary.months() };
    page.label(
        (LEFT, 22.0),
        "",
        &format!("{title}: {} rows, one every {}; alerts: {counts}", summary.rows, lasting(summary.step_ms.into())),
    );
    page.times(signals.first().unwrap_or(&score).top, score.top + score.height);
    for (at, (panel, channel)) in signals.iter().zip(&device.channels).enumerate() {
        let channel = &channel.channel;
        page.values(panel);
        page.bands(panel, summary, &channel.name, Some(&channel.name));
        page.signal(panel, at);
        let unit = if channel.unit.is_empty() { String::new() } else { format!(" [{}]", channel.unit) };
        page.label((LEFT, panel.top - 6.0), "", &format!("{}{unit}", channel.name));
    }
    page.values(&score);
    page.bands(&score, summary, "score", None);
    page.score(&score);
    page.label((LEFT, score.top - 6.0), "", "score");
    page.text.push_str("</svg>\n");
    page.text
}

impl Page<'_> {
    fn put(&mut self, arguments: Arguments<'_>) {
        #[allow(clippy::unwrap_used, reason = "writing to a String cannot fail")]
        self.text.write_fmt(arguments).unwrap();
    }

    fn label(&mut self, (x, y): (f64, f64), attributes: &str, text: &str) {
        self.put(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\"{attributes}>{}</text>\n", Escaped(text)));
    }

    /// Where a time stands.
    fn x(&self, at_ms: i64) -> f64 {
        let share = at_ms.saturating_sub(self.from_ms) as f64 / self.to_ms.saturating_sub(self.from_ms) as f64;
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    /// Where the middle of a column stands.
    fn x_of(&self, column: usize) -> f64 {
        LEFT + (column as f64 + 0.5) / self.trace.columns.len() as f64 * (WIDTH - LEFT - RIGHT)
    }

    fn times(&mut self, top: f64, bottom: f64) {
        for mark in ticks::times(self.from_ms, self.to_ms) {
            let x = self.x(mark.at_ms);
            self.put(format_args!("<path class=\"grid\" d=\"M{x:.1} {top}V{}\"/>\n", bottom + 5.0));
            self.label((x, bottom + 18.0), " class=\"soft\" text-anchor=\"middle\"", &mark.label);
            if !mark.below.is_empty() {
                self.label((x, bottom + 33.0), " class=\"soft\" text-anchor=\"middle\"", &mark.below);
            }
        }
    }

    fn values(&mut self, panel: &Panel) {
        for (value, label) in ticks::values(panel.least, panel.most) {
            let y = panel.y(value);
            self.put(format_args!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/>\n", WIDTH - RIGHT));
            self.label((LEFT - 6.0, y + 4.0), " class=\"soft\" text-anchor=\"end\"", &label);
        }
        self.put(format_args!(
            "<rect class=\"frame\" x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
            panel.top,
            WIDTH - LEFT - RIGHT,
            panel.height
        ));
    }

    /// The alerts of a channel and of the whole device, or all of them. Kinds stand above the bands where there is room
    /// beside the panel's `name`.
    fn bands(&mut self, panel: &Panel, summary: &Summary, name: &str, channel: Option<&str>) {
        let mut free = LEFT + (name.chars().count() as f64 + 12.0) * CHARACTER;
        let here = |event: &&Event| channel.is_none_or(|channel| event.channel == channel || event.channel.is_empty());
        for event in summary.events.iter().take(DRAWN).filter(here) {
            let (left, right) = (self.x(event.opened_ms), self.x(event.cleared_ms.unwrap_or(i64::MAX)));
            let class = event.severity.name();
            self.put(format_args!(
                "<rect class=\"band {class}\" x=\"{left:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"><title>{}</title></rect>\n",
                panel.top,
                (right - left).max(BAND),
                panel.height,
                Escaped(&told(event)),
            ));
            let kind = event.kind.name();
            let wide = (kind.len() as f64 + 1.0) * CHARACTER;
            if channel.is_some() && left >= free && left + wide <= WIDTH {
                self.label((left, panel.top - 6.0), " class=\"soft\"", kind);
                free = left + wide;
            }
        }
    }

    fn signal(&mut self, panel: &Panel, channel: usize) {
        let mut path = String::new();
        for run in self.trace.signal_runs(channel) {
            // Along the greatest values and back along the least.
            let there = run.iter().map(|&(at, _, most)| (at, most));
            let back = run.iter().rev().map(|&(at, least, _)| (at, least));
            self.line(&mut path, panel, there.chain(back));
            path.push('Z');
        }
        self.put(format_args!("<path class=\"signal line\" d=\"{path}\"/>\n"));
        let failed = |(at, column): (usize, &super::Column)| column.spans[channel].failed.then_some(at);
        let failed: Vec<usize> = self.trace.columns.iter().enumerate().filter_map(failed).collect();
        if !failed.is_empty() {
            let y = panel.top + panel.height - 3.0;
            let marks: String = failed.iter().map(|&at| format!("M{:.1} {y:.1}h1", self.x_of(at) - 0.5)).collect();
            self.put(format_args!(
                "<path class=\"failed\" d=\"{marks}\"><title>readings without a value</title></path>\n"
            ));
        }
    }

    fn score(&mut self, panel: &Panel) {
        let mut path = String::new();
        for run in self.trace.score_runs() {
            self.line(&mut path, panel, run.into_iter().map(|(at, _, most)| (at, most)));
        }
        self.put(format_args!("<path class=\"score line\" style=\"fill:none\" d=\"{path}\"/>\n"));
        let meaning = "how strange: 0 is usual";
        self.label((WIDTH - RIGHT, panel.top - 6.0), " class=\"soft\" text-anchor=\"end\"", meaning);
    }

    /// Adds a line through these columns at these values.
    fn line(&self, path: &mut String, panel: &Panel, points: impl Iterator<Item = (usize, f64)>) {
        let mut step = 'M';
        for (at, value) in points {
            #[allow(clippy::unwrap_used, reason = "writing to a String cannot fail")]
            write!(path, "{step}{:.1} {:.1}", self.x_of(at), panel.y(value)).unwrap();
            step = 'L';
        }
    }
}

impl Panel {
    /// Where a value stands. Halves, for the range of two doubles may be more than a double holds.
    fn y(&self, value: f64) -> f64 {
        let share = (value / 2.0 - self.least / 2.0) / (self.most / 2.0 - self.least / 2.0);
        self.top + self.height * (1.0 - share.clamp(0.0, 1.0))
    }
}

/// A range with a little room on both sides; of a constant, one around it.
fn widened((least, most): (f64, f64)) -> (f64, f64) {
    let room = if most > least { (most / 2.0 - least / 2.0) * 0.08 } else { (least.abs() * 0.1).max(1.0) };
    ((least - room).max(f64::MIN), (most + room).min(f64::MAX))
}

fn told(event: &Event) -> String {
    let (kind, severity, opened) = (event.kind.name(), event.severity.name(), Iso8601(event.opened_ms));
    let end = match event.cleared_ms {
        Some(end) => format!("open for {}", lasting(end.saturating_sub(event.opened_ms))),
        None => "open at the end".into(),
    };
    let channel = if event.channel.is_empty() { "whole device" } else { &event.channel };
    format!("{kind}, {severity}, {channel}\n{opened}, {end}\n{}", event.evidence)
}

/// Text as it may stand in XML: what would be markup is written as entities, and control characters, which XML 1.0 cannot
/// hold in any form, are left out.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\n' => f.write_char('\n')?,
                '\u{fffe}' | '\u{ffff}' => {}
                _ if character.is_control() => {}
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}
