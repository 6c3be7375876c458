//! What the sink finds by itself, against both stores: whatever is repeated or done by two at once, the same rows stand.

use crate::farm::{FARM, Place, T0, block, channel, commit, delivery, envelope, health, stats};
use std::collections::BTreeSet;
use std::sync::Arc;
use windward_protocol::{AgentId, DeviceManifest, Lane, Quantity, Record, Stats};
use windward_sink::config::Config;
use windward_sink::days::{self, DAY_MS, Day};
use windward_sink::io::presence::{Lookout, presence_once};
use windward_sink::io::store::{Document, Shelf, Store};
use windward_sink::notify::Policy;
use windward_sink::place::{AgentChange, AlertRow, Rows, Seen, StatsRow, sortable_time};
use windward_sink::presence::hearing::Hearing;
use windward_sink::sink;

const WINDOW_MS: i64 = 600_000;

async fn a_document_is_replaced_only_over_the_revision_that_was_read(place: Place) {
    let store = &place.store;
    let document = |revision, text: &str| Document { key: "t1#gaps".into(), revision, text: text.into() };
    for shelf in [Shelf::Watches, Shelf::Fleet] {
        let all = async || store.documents(shelf, FARM).await.unwrap();
        assert_eq!(all().await, []);
        assert!(!store.put(shelf, FARM, Some(1), &document(2, "of nothing")).await.unwrap());
        assert!(store.put(shelf, FARM, None, &document(1, "first")).await.unwrap());
        assert!(!store.put(shelf, FARM, None, &document(1, "second")).await.unwrap());
        assert!(store.put(shelf, FARM, Some(1), &document(2, "third")).await.unwrap());
        assert!(!store.put(shelf, FARM, Some(1), &document(2, "late")).await.unwrap());
        assert_eq!(all().await, [document(2, "third")]);
        assert_eq!(store.documents(shelf, "south-ridge").await.unwrap(), []);
        assert!(!store.remove(shelf, FARM, "t1#gaps", 1).await.unwrap());
        assert!(store.remove(shelf, FARM, "t1#gaps", 2).await.unwrap());
        assert_eq!(all().await, []);
    }
}

fn window(start_ms: i64, n: u32, mean: f64) -> Stats {
    Stats { start_ms, mean, max: mean + 5.0, gust_3s: Some(mean + 4.0), ..stats(n) }
}

fn said(seq: u64, stats: Stats) -> windward_sink::decode::Delivery {
    delivery(Lane::Readings, &[envelope(Lane::Readings, seq, Record::Stats(stats))])
}

async fn a_day_is_what_its_windows_are_in_whatever_order_they_come(place: Place) {
    let midnight_ms = T0 - T0.rem_euclid(DAY_MS);
    let day = Day { farm: FARM.into(), channel: "t1/anemometer/wind_speed".into(), start_ms: midnight_ms };
    let group = [
        said(1, window(midnight_ms + WINDOW_MS, 600, 8.0)),
        said(2, window(midnight_ms, 100, 20.0)),
        // Of the next day, and the last of this one.
        said(3, window(midnight_ms + DAY_MS, 600, 3.0)),
        said(4, window(midnight_ms + DAY_MS - WINDOW_MS, 600, 12.0)),
        // The first window once more, by an agent that has seen more of it.
        said(5, window(midnight_ms, 300, 6.0)),
    ];
    for deliveries in [&group[..2], &group[2..3], &group[3..], &group[..1], &group[1..2]] {
        commit(&place.store, Policy::default(), deliveries, T0).await;
    }
    let rows = place.store.days(FARM, midnight_ms, midnight_ms, 100).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].sort, "2026-11-20#t1/anemometer/wind_speed");
    assert_eq!((rows[0].n, rows[0].due), (1500, 1800));
    assert_eq!((rows[0].mean, rows[0].max, rows[0].gust_3s), (Some(9.2), Some(17.0), Some(16.0)));
    assert_eq!(place.store.days(FARM, midnight_ms, i64::MAX, 100).await.unwrap().len(), 2);
    assert_eq!(place.store.days(FARM, midnight_ms, i64::MAX, 1).await.unwrap().len(), 1);

    // A sink that read the windows before the last of them came is too late.
    let windows = place.store.stats(&day.channel, day.start_ms, day.end_ms(), 200).await.unwrap();
    assert_eq!(days::row(&day, &windows), rows[0]);

    let answer = days::answer(&rows, &place.store.agents().await.unwrap());
    assert_eq!(answer[0].channels[0].availability, Some(1500.0 / 1800.0));
    assert!(answer[0].max_wind_speed.is_none(), "no manifest has said that this is a wind speed");
}

async fn an_agent_is_alive_by_what_it_sends_and_not_by_its_will(place: Place) {
    let mut hearing = Hearing::default();
    let mut send = async |deliveries: &[windward_sink::decode::Delivery], now_ms| {
        let known = windward_sink::decode::Known::new();
        let mut plan = sink::plan(FARM, &Policy::default(), sink::open(deliveries, known), &Seen::new(), now_ms);
        let heard = hearing.note(plan.agents(), &plan.rows, now_ms);
        plan.rows.agents.extend(heard);
        place.store.commit(Arc::new(plan.rows)).await.unwrap();
    };
    let row = async || place.store.agents().await.unwrap().remove(0);
    send(&[delivery(Lane::Readings, &[envelope(Lane::Readings, 1, block(T0, 80))])], T0 + 100).await;
    assert_eq!((row().await.alive_ms, row().await.heard_ms), (Some(T0 + 100), None));
    assert_eq!(row().await.devices["anemometer"], T0 + 100);
    send(&[health(true, T0 + 20_000)], T0 + 20_000).await;
    assert_eq!((row().await.alive_ms, row().await.heard_ms), (Some(T0 + 20_000), Some(T0 + 20_000)));
    send(&[health(false, T0)], T0 + 40_000).await;
    let gone = row().await;
    assert_eq!((gone.alive_ms, gone.heard_ms, gone.online), (Some(T0 + 20_000), Some(T0 + 40_000), false));
    assert_eq!(gone.devices["anemometer"], T0 + 100, "devices that did not speak keep their time");
    // Another sink, whose write comes late.
    let heard = |at_ms, device: &str| AgentChange::Heard {
        agent: AgentId::new("t1").unwrap(),
        at_ms,
        devices: BTreeSet::from([device.to_string()]),
    };
    for (at_ms, device) in [(T0 + 50_000, "vane"), (T0 + 45_000, "anemometer")] {
        let rows = Rows { agents: vec![heard(at_ms, device)], ..Rows::default() };
        place.store.commit(Arc::new(rows)).await.unwrap();
    }
    assert_eq!(row().await.alive_ms, Some(T0 + 50_000), "the latest stays");
    assert_eq!(row().await.devices["vane"], T0 + 50_000);
}

fn lookout(store: &Store) -> Lookout {
    let text = "farm = \"north-ridge\"\n[mqtt]\nhost = \"127.0.0.1\"\n[store]\nsqlite = \"unused\"\n";
    let config = Config::from_toml(text, "test").unwrap();
    Lookout::new(store.clone(), &config)
}

async fn heard(store: &Store, agent: &str, at_ms: i64) {
    let agent = AgentId::new(agent).unwrap();
    let change = AgentChange::Heard { agent, at_ms, devices: BTreeSet::new() };
    store.commit(Arc::new(Rows { agents: vec![change], ..Rows::default() })).await.unwrap();
}

async fn alerts(store: &Store) -> Vec<AlertRow> {
    store.alerts(FARM, None, 100).await.unwrap()
}

async fn a_silent_agent_is_one_alert_however_many_look(place: Place) {
    let store = &place.store;
    let [first, second] = [lookout(store), lookout(store)];
    heard(store, "t1", T0).await;
    // Not at a time when the ledger is looked at.
    for minute in 1..=5 {
        let now_ms = T0 + minute * 60_000 + 20_000;
        let (a, b) = tokio::join!(presence_once(&first, Some(0), now_ms), presence_once(&second, Some(0), now_ms));
        a.and(b).unwrap();
    }
    let opened = alerts(store).await;
    assert_eq!(opened.len(), 1);
    assert_eq!((opened[0].kind.as_str(), opened[0].agent.as_str(), opened[0].opened_ms), ("agent-silent", "t1", T0));
    assert_eq!((opened[0].at_ms, opened[0].cleared_ms), (T0 + 140_000, None));
    for minute in 6..=12 {
        heard(store, "t1", T0 + minute * 60_000).await;
        presence_once(&first, Some(0), T0 + minute * 60_000 + 20_000).await.unwrap();
    }
    let ended = alerts(store).await;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].cleared_ms, Some(T0 + 380_000));
    assert_eq!(ended[0].evidence, opened[0].evidence, "the words of the opening stay");
    assert_eq!(store.documents(Shelf::Watches, FARM).await.unwrap(), []);
}

async fn an_acked_sequence_that_is_not_here_is_told(place: Place) {
    let store = &place.store;
    let lookout = lookout(store);
    let start_ms = T0 - T0.rem_euclid(300_000);
    // 1 and 3 to 6 came, the agent says that 6 is acked.
    let hello = |seq| {
        let hello = windward_protocol::Hello { version: "1".into(), farm: FARM.into(), at_ms: T0, devices: Vec::new() };
        delivery(Lane::Alerts, &[envelope(Lane::Alerts, seq, Record::Hello(hello))])
    };
    let readings = [1, 3, 4, 5, 6].map(|seq| delivery(Lane::Readings, &[envelope(Lane::Readings, seq, block(T0, 80))]));
    commit(store, Policy::default(), &[&readings[..], &[hello(1)]].concat(), T0).await;
    for look in 0..=3 {
        let now_ms = start_ms + look * 300_000;
        commit(store, Policy::default(), &[health(true, now_ms)], now_ms).await;
        heard(store, "t1", now_ms).await;
        presence_once(&lookout, Some(0), now_ms).await.unwrap();
    }
    let alerts = alerts(store).await;
    let gap = alerts.iter().find(|row| row.kind == "gaps-found").unwrap();
    assert_eq!(gap.evidence, "readings, epoch 000000000000abcd: 1 acked and not here: 2-2");
}

/// Five turbines in the same wind; from one window on the third reads 30 % low.
async fn a_turbine_that_departs_is_told_and_no_window_counts_twice(place: Place) {
    const LEARNED: i64 = 200;
    const DEPARTS: i64 = 84;
    const LAST: i64 = LEARNED + DEPARTS - 1;
    let store = &place.store;
    let mut lookout = lookout(store);
    let device = DeviceManifest {
        device: "nacelle".into(),
        location: "Turbine".into(),
        link: String::new(),
        interval_ms: 1_000,
        channels: vec![channel("wind", Quantity::WindSpeed, "m/s")],
    };
    let start_ms = T0 - T0.rem_euclid(WINDOW_MS);
    let mut rows = Rows::default();
    for turbine in 0..5i64 {
        let agent = AgentId::new(&format!("t{turbine}")).unwrap();
        rows.agents.push(AgentChange::Hello {
            agent: agent.clone(),
            epoch: 1,
            at_ms: T0,
            version: String::new(),
            manifest: serde_json::json!([device]).to_string(),
        });
        for window in 0..LEARNED + DEPARTS {
            // A few per cent apart, no two alike.
            let differs = 1.0 + 0.01 * ((window * (turbine + 3) * 7 + turbine) % 11 - 5) as f64;
            let fault = if turbine == 2 && window >= LEARNED { 0.7 } else { 1.0 };
            rows.stats.push(StatsRow {
                partition: format!("{agent}/nacelle/wind"),
                sort: sortable_time(start_ms + window * WINDOW_MS),
                unit: "m/s".into(),
                window_ms: WINDOW_MS as u32,
                n: 600,
                due: 600,
                mean: Some(9.0 * differs * fault),
                min: None,
                max: None,
                std: None,
                turbulence: None,
                gust_3s: None,
            });
        }
    }
    store.commit(Arc::new(rows)).await.unwrap();
    let at = |window: i64| start_ms + (window + 1) * WINDOW_MS + 310_000;
    // The first look begins with the latest window; then every six hours.
    let looks: Vec<i64> = (0..=LAST).step_by(36).chain([LAST]).collect();
    for window in looks {
        presence_once(&lookout, None, at(window)).await.unwrap();
    }
    let kept = store.documents(Shelf::Fleet, FARM).await.unwrap();
    assert_eq!(kept.len(), 6, "five turbines and how far they are");
    // Again, and by a sink that has forgotten everything: nothing changes.
    presence_once(&lookout, None, at(LAST)).await.unwrap();
    lookout = self::lookout(store);
    presence_once(&lookout, None, at(LEARNED + 40)).await.unwrap();
    assert_eq!(store.documents(Shelf::Fleet, FARM).await.unwrap(), kept);

    let alerts = alerts(store).await;
    assert_eq!(alerts.len(), 1);
    assert_eq!((alerts[0].kind.as_str(), alerts[0].agent.as_str()), ("departs", "t2"));
    assert_eq!((alerts[0].device.as_str(), alerts[0].channel.as_str()), ("nacelle", "wind"));
    // A window or two before it may have pointed that way by chance.
    let early = start_ms + LEARNED * WINDOW_MS - alerts[0].opened_ms;
    assert!((0..=2 * WINDOW_MS).contains(&early), "{early}");
    // What is usual goes on being learned meanwhile, so it is a little less than what was done to it.
    assert!(alerts[0].value.is_some_and(|departs| (-31.0..-26.0).contains(&departs)), "{:?}", alerts[0].value);
    assert!(alerts[0].evidence.contains("% below what its neighbours"), "{}", alerts[0].evidence);
}

on_both_stores! {
    a_document_is_replaced_only_over_the_revision_that_was_read
    a_day_is_what_its_windows_are_in_whatever_order_they_come
    an_agent_is_alive_by_what_it_sends_and_not_by_its_will
    a_silent_agent_is_one_alert_however_many_look
    an_acked_sequence_that_is_not_here_is_told
    a_turbine_that_departs_is_told_and_no_window_counts_twice
}
