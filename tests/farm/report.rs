//! What came of it.

use crate::farm::Opened;
use std::time::{Duration, Instant};
use windward_tests::plant::Fault;
use windward_tests::slave::CHANNEL_COUNT;

/// Readings at both ends; a reading is a row of all channels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// Served by the simulated devices.
    pub(crate) produced: u64,
    /// Of these, in the table.
    pub(crate) stored: u64,
    /// In the table more than once.
    pub(crate) twice: u64,
    /// Rows that say why there is no reading.
    pub(crate) without_data: u64,
}

impl Count {
    /// Served, and not in the table.
    pub(crate) fn lost(&self) -> u64 {
        self.produced - self.stored
    }
}

/// A fault that was injected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Injected {
    pub(crate) fault: Fault,
    pub(crate) turbine: usize,
    pub(crate) at: Instant,
}

/// The outcome of a run.
pub(crate) struct Report {
    pub(crate) ran: Duration,
    pub(crate) count: Count,
    /// Envelopes that came again and changed nothing.
    pub(crate) absorbed: u64,
    pub(crate) injected: Vec<Injected>,
    pub(crate) alerts: Vec<Opened>,
    pub(crate) rss_kib: u64,
}

impl Report {
    /// Nothing lost, nothing twice, every fault told and on the page.
    pub(crate) fn good(&self) -> bool {
        let told = |injected: &Injected| self.raised(injected).is_some_and(|alert| alert.on_page.is_some());
        self.count.lost() == 0 && self.count.twice == 0 && self.injected.iter().all(told)
    }

    /// Prints the table; of an open-ended run only the counts.
    pub(crate) fn print(&self, bounded: bool) {
        let Count { produced, stored, twice, without_data } = self.count;
        println!();
        line("run", &format!("{:.1} s", self.ran.as_secs_f64()));
        line("readings produced", &format!("{produced} (of {CHANNEL_COUNT} channels each)"));
        line("readings stored", &stored.to_string());
        line("readings lost", &self.count.lost().to_string());
        line("readings stored twice", &twice.to_string());
        line("repeated and absorbed", &format!("{} blocks", self.absorbed));
        line("rows that say why there is none", &format!("{without_data} (faults, and the stop)"));
        line("alerts opened", &self.alerts.len().to_string());
        for injected in &self.injected {
            let name = format!("{} at turbine {}", injected.fault, injected.turbine + 1);
            line(&name, &self.delays(injected));
        }
        line("memory of the whole farm", &format!("{:.1} MiB", self.rss_kib as f64 / 1024.0));
        if bounded {
            println!("{}", if self.good() { "Nothing lost, every fault told." } else { "FAILED: see above." });
        }
    }

    fn delays(&self, injected: &Injected) -> String {
        let Some(alert) = self.raised(injected) else { return "NO ALERT".into() };
        let ms = |later: Instant, earlier: Instant| format!("{} ms", later.duration_since(earlier).as_millis());
        let sensed = alert.sensed.unwrap_or(alert.local);
        let page = alert.on_page.map_or("NOT SEEN".into(), |on_page| ms(on_page, sensed));
        let local = match alert.sensed {
            Some(sensed) => format!("{:.1} ms", alert.local.duration_since(sensed).as_secs_f64() * 1_000.0),
            None => "no answer to measure from".into(),
        };
        format!(
            "{} alert; sensor to local {local}, sensor to page {page}; fault to alert {}",
            alert.kind.name(),
            ms(alert.local, injected.at)
        )
    }

    /// The first alert of the fault's turbine after the fault.
    fn raised(&self, injected: &Injected) -> Option<&Opened> {
        self.alerts.iter().find(|alert| alert.turbine == injected.turbine && alert.local >= injected.at)
    }
}

fn line(name: &str, figure: &str) {
    println!("  {name:<32} {figure}");
}
