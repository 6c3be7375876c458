//! Watches the sink's API as the page does, to know when an alert becomes visible.

use crate::farm::Alerts;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use windward_tests::clock;
use windward_tests::process::eventually;

/// Time between two looks, ms: what the delay's figure can be too great by.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long the end waits for the last alerts.
const LAST: Duration = Duration::from_secs(10);

/// The watcher. It looks only while an alert is on its way.
pub(crate) struct Page {
    ended: Arc<AtomicBool>,
}

impl Page {
    /// Starts to watch.
    pub(crate) fn watch(http: SocketAddr, alerts: Alerts) -> anyhow::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let until = ended.clone();
        std::thread::Builder::new().name("page".into()).spawn(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
            let url = format!("http://{http}/api/v1/alerts?limit=50");
            while !until.load(Ordering::Relaxed) {
                if on_their_way(&alerts) > 0 {
                    // A look that fails is followed by the next.
                    look(&agent, &url, &alerts).ok();
                }
                std::thread::sleep(LOOK_EVERY);
            }
        })?;
        Ok(Self { ended })
    }

    /// Waits a moment for the last alerts, then ends.
    pub(crate) async fn stop(&self, alerts: &Alerts) {
        let all_seen = async || Ok((on_their_way(alerts) == 0).then_some(()));
        // An alert that never came stands in the table.
        eventually(LAST, "the last alerts on the page", all_seen).await.ok();
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn on_their_way(alerts: &Alerts) -> usize {
    let alerts = alerts.lock().unwrap_or_else(PoisonError::into_inner);
    alerts.iter().filter(|alert| alert.on_page.is_none()).count()
}

fn look(agent: &ureq::Agent, url: &str, alerts: &Alerts) -> anyhow::Result<()> {
    let text = agent.get(url).call()?.body_mut().read_to_string()?;
    let now = clock::now();
    let answer: serde_json::Value = serde_json::from_str(&text)?;
    let shown: Vec<(&str, &str)> = answer["alerts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|alert| Some((alert["agent"].as_str()?, alert["id"].as_str()?)))
        .collect();
    for alert in alerts.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
        let (of_agent, id) = (format!("turbine-{}", alert.turbine + 1), format!("{:016x}", alert.id));
        if alert.on_page.is_none() && shown.contains(&(&of_agent, &id)) {
            alert.on_page = Some(now);
        }
    }
    Ok(())
}
