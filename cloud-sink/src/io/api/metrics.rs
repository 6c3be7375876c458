//! Figures for Prometheus.

use super::Shared;
use super::problem::{Problem, Refusal};
use crate::answer::TargetHealth;
use crate::io::Counters;
use crate::io::store::MAX_LEDGER_ROWS;
use crate::metrics::{Farm, Kind, Text, flag};
use crate::query;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use std::collections::BTreeMap;

/// Figures for Prometheus: what the sink has done since its start, and how each agent is. One look into the store each time.
#[utoipa::path(get, path = "/metrics", tag = "farm",
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn metrics(State(shared): State<Shared>) -> Result<impl IntoResponse, Refusal> {
    let agents = shared.store.agents().await?;
    let alerts = shared.alerts_now().await?;
    let (ledger, reported) = (shared.store.ledger().await?, shared.store.gaps().await?);
    let whole = ledger.len() < MAX_LEDGER_ROWS;
    let gaps = query::gaps(&ledger, whole, &reported);
    let mut text = Text::default();
    let info = [([("version", env!("CARGO_PKG_VERSION")), ("farm", &*shared.farm)], 1.0)];
    text.family(Kind::Gauge, "windward_build_info", "The sink's version and farm.", info);
    write_counters(&mut text, &shared.counts.read());
    let help = "Whether the whole ledger was looked at; if not, nothing is known missing before its first entry.";
    text.one(Kind::Gauge, "windward_ledger_whole", help, flag(whole));
    let help = "Pages and programs that listen to live events.";
    text.one(Kind::Gauge, "windward_live_clients", help, shared.live.clients() as f64);
    write_targets(&mut text, &shared.notifier.health());
    Farm { agents: &agents, alerts: &alerts, gaps: &gaps, recent: &shared.latest.read() }.write(&mut text);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.finish()))
}

/// What the sink has done since its start.
fn write_counters(text: &mut Text, counters: &Counters) {
    let helps = [
        ("deliveries", "Messages taken from the broker, or records from the stream.", counters.deliveries),
        ("envelopes_stored", "Envelopes stored for the first time.", counters.envelopes),
        ("readings_stored", "Readings in them: one a row and channel, failed reads included.", counters.readings),
        ("envelopes_repeated", "Envelopes stored before, which changed nothing.", counters.repeated),
        ("alert_steps", "Steps of alerts received, repeats included.", counters.alerts),
        ("notices_told", "Notices told, or found to be told before.", counters.told),
        ("notices_refused", "Messages that a target did not take; they are tried again.", counters.untold),
        ("poison", "Messages or envelopes that could not be decoded.", counters.poison),
        ("commits_failed", "Commits that failed and were tried again.", counters.commits_failed),
        ("unknown_schema", "Messages left unacked because they name a schema not known here.", counters.unknown_schema),
        ("archive_files", "Files written to the archive.", counters.archived),
        ("archive_failed", "Hours that could not be archived, and are tried again.", counters.archive_failed),
        ("archive_unreadable_rows", "Rows that the archive could not read, and left out.", counters.archive_unreadable),
        ("labs_records", "Records put into the streams of the labs' consumers.", counters.labs_records),
        ("labs_items", "Items put into the tables of the labs' consumers.", counters.labs_items),
        ("labs_left_out", "Readings and maxima that could not be told to them.", counters.labs_left_out),
    ];
    for (name, help, count) in helps {
        text.one(Kind::Counter, &format!("windward_{name}_total"), help, count as f64);
    }
    let help = "Whether all sources are heard: broker, stream.";
    text.one(Kind::Gauge, "windward_sources_connected", help, flag(counters.connected));
    let help = "Shards of the stream, or partitions of the topic, that are read here.";
    text.one(Kind::Gauge, "windward_stream_shards", help, counters.shards as f64);
    let help = "How long ago the shard furthest behind was last read to its newest record.";
    text.one(Kind::Gauge, "windward_stream_behind_seconds", help, counters.behind_ms as f64 / 1e3);
}

/// How those that people are told through do.
fn write_targets(text: &mut Text, targets: &BTreeMap<String, TargetHealth>) {
    let of_each = |figure: fn(&TargetHealth) -> f64| -> Vec<_> {
        targets.iter().map(|(name, health)| ([("target", name.as_str())], figure(health))).collect()
    };
    let help = "Messages that the target took.";
    text.family(Kind::Counter, "windward_target_messages_total", help, of_each(|health| health.messages as f64));
    let help = "Messages that the target did not take; they are tried again.";
    text.family(Kind::Counter, "windward_target_failed_total", help, of_each(|health| health.failed as f64));
    let help = "Whether the last message was not taken.";
    let failing = of_each(|health| flag(health.error.is_some()));
    text.family(Kind::Gauge, "windward_target_failing", help, failing);
}
