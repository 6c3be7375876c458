//! Whatever the order and repetition of deliveries, the same rows stand; in SQLite and in DynamoDB alike.

use crate::farm::{
    FARM, Place, T0, alert_step, commit, deliveries, delivery, envelope, health, open_alert, short_alerts, stats,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use windward_protocol::{AlertPhase, Iso8601, Lane, Quantity, Record, Stats};
use windward_sink::access::Role;
use windward_sink::answer::AlertState;
use windward_sink::io::store::{Span, Store};
use windward_sink::notify::Policy;
use windward_sink::place::{AlertRow, Deed};
use windward_sink::query;
use windward_sink::sink::Tally;

/// Everything a store holds that order must not change, as the API would answer.
async fn dump(store: &Store) -> Json {
    let span = Span { partition: "t1/anemometer".into(), from_ms: i64::MIN, to_ms: i64::MAX, after: None, limit: 1000 };
    let agents = store.agents().await.unwrap();
    let alerts = store.alerts(FARM, None, 100).await.unwrap();
    let gaps = query::gaps(&store.ledger().await.unwrap(), true, &store.gaps().await.unwrap());
    let poison = store.poison(100).await.unwrap();
    let stats = store.stats("t1/anemometer/wind_speed", i64::MIN, i64::MAX, 100).await.unwrap();
    let open = store.open_alerts(FARM, None, 100).await.unwrap();
    json!({
        "open": open.iter().map(|row| row.id).collect::<Vec<_>>(),
        "agents": agents.iter().map(|row| query::agent(row, T0)).collect::<Vec<_>>(),
        "alerts": alerts.iter().map(|row| query::alert(row, &query::starts(&agents))).collect::<Vec<_>>(),
        "readings": query::readings(&store.readings(&span).await.unwrap().blocks, i64::MIN, i64::MAX),
        "stats": stats.iter().map(query::stats).collect::<Vec<_>>(),
        "gaps": gaps,
        "poison": poison.iter().map(query::poison).collect::<Vec<_>>(),
    })
}

async fn everything_is_placed_once(place: Place) {
    let (_, tally) = commit(&place.store, Policy::default(), &deliveries(), T0).await;
    // Two channels, ten rows, three blocks.
    let first = Tally { envelopes: 10, readings: 60, repeated: 0 };
    assert_eq!(tally, first);
    let rows = dump(&place.store).await;

    let (_, tally) = commit(&place.store, Policy::default(), &deliveries(), T0 + 1).await;
    let again = Tally { repeated: 10, ..Tally::default() };
    assert_eq!(tally, again);
    assert_eq!(dump(&place.store).await, rows, "a repeat changes nothing (S2)");

    assert_eq!(rows["readings"]["rows"].as_array().unwrap().len(), 30);
    let row = &rows["readings"]["rows"][4];
    assert_eq!(row["values"], json!({"wind_speed": 8.4}));
    assert_eq!(row["no_data"], json!({"temperature": "timeout"}));
    assert_eq!(row["scores"], json!({"wind_speed": 0.9}));

    let alert = &rows["alerts"][0];
    assert_eq!(alert["state"], "cleared");
    assert_eq!(alert["severity"], "critical", "the update's words stay, not the clear's");
    assert_eq!(alert["opened_ms"], T0 + 20_007);
    assert_eq!(alert["cleared_ms"], T0 + 40_000);
    assert_eq!(alert["anomaly_score"], 4.25);

    assert_eq!(rows["agents"][0]["version"], "0.1.1", "the latest start stays");
    assert_eq!(rows["agents"][0]["devices"][0]["interval_ms"], 1000);
    assert_eq!(rows["poison"].as_array().unwrap().len(), 1);
    let stats = &rows["stats"][0];
    assert_eq!((&stats["start_ms"], &stats["availability"]), (&json!(T0), &json!(1.0)));
    assert_eq!((&stats["mean"], &stats["turbulence"]), (&json!(8.0), &json!(0.125)));

    let gaps: Vec<_> = rows["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| (gap["from"].as_u64().unwrap(), gap["to"].as_u64().unwrap(), gap["state"].as_str().unwrap()))
        .collect();
    assert_eq!(gaps, [(3, 5, "lost"), (7, 1023, "not received")], "S4");
}

#[tokio::test]
async fn an_alert_that_a_restart_left_open_is_told_apart() {
    let place = Place::sqlite().await;
    commit(&place.store, Policy::default(), &deliveries(), T0).await;
    let row = place.store.alerts(FARM, None, 1).await.unwrap().remove(0);
    let left_open = AlertRow { cleared_ms: None, at_ms: row.opened_ms, ..row.clone() };
    let told_again = AlertRow { at_ms: row.opened_ms + 2, ..left_open.clone() };
    let state = |row: &AlertRow, started_ms| query::alert(row, &BTreeMap::from([("t1", started_ms)])).state;
    assert_eq!(state(&left_open, row.opened_ms - 1), AlertState::Open);
    assert_eq!(state(&left_open, row.opened_ms + 1), AlertState::Restarted);
    assert_eq!(state(&told_again, row.opened_ms + 1), AlertState::Open, "its agent kept it over the restart");
    assert_eq!(state(&row, row.opened_ms + 1), AlertState::Cleared);
    assert_eq!(query::alert(&left_open, &BTreeMap::new()).state, AlertState::Open);
}

async fn summaries_say_without_blocks_what_the_rows_hold(place: Place) {
    commit(&place.store, Policy::default(), &deliveries(), T0).await;
    let mut span = Span { partition: "t1/anemometer".into(), from_ms: T0, to_ms: T0 + 60_000, after: None, limit: 1 };
    let (mut moments, mut greatest, mut pages) = (0, f64::MIN, 0);
    loop {
        let page = place.store.summaries(&span).await.unwrap();
        for row in &page.rows {
            assert!(row.first_ms >= T0 && row.last_ms <= T0 + 29_000);
            let wind = row.channels.iter().find(|summary| summary.name == "wind_speed").unwrap();
            assert_eq!(wind.unit, "m/s");
            moments += wind.n;
            greatest = wind.max.unwrap().max(greatest);
        }
        pages += page.rows.len().min(1);
        match page.next {
            Some(next) => span.after = Some(next),
            None => break,
        }
    }
    assert_eq!((moments, greatest), (30, 12.9));
    assert!(pages >= 1);
    let none = Span { from_ms: T0 + 31_000, after: None, ..span };
    assert!(place.store.summaries(&none).await.unwrap().rows.is_empty());
}

async fn pages_of_readings_join_without_seam(place: Place) {
    commit(&place.store, Policy::default(), &deliveries(), T0).await;
    let (from_ms, to_ms) = (T0 + 5_000, T0 + 24_000);
    let mut span = Span { partition: "t1/anemometer".into(), from_ms, to_ms, after: None, limit: 1 };
    let mut times = Vec::new();
    loop {
        let page = place.store.readings(&span).await.unwrap();
        let answer = query::readings(&page.blocks, from_ms, to_ms);
        times.extend(answer.rows.iter().map(|row| row.time_ms));
        match page.next {
            Some(next) => span.after = Some(next),
            None => break,
        }
    }
    let expected: Vec<i64> = (5..=24).map(|second| T0 + second * 1000).collect();
    assert_eq!(times, expected, "from {}", Iso8601(from_ms));
}

async fn a_last_will_takes_an_agent_offline_and_keeps_its_health(place: Place) {
    let agent = async || place.store.agents().await.unwrap().remove(0);
    commit(&place.store, Policy::default(), &[health(true, T0)], T0 + 100).await;
    assert!(agent().await.online);
    // A will carries the time of its connection, which is before the last health.
    commit(&place.store, Policy::default(), &[health(false, T0 - 5_000)], T0 + 200).await;
    let offline = agent().await;
    assert!(!offline.online);
    assert_eq!(offline.seen_ms, Some(T0));
    assert!(offline.health.unwrap().contains("\"waiting\":3"));
    commit(&place.store, Policy::default(), &[health(true, T0 + 900_000)], T0 + 300).await;
    assert_eq!(agent().await.seen_ms, Some(T0 + 300), "nobody is seen in the future");
    assert_eq!(place.store.ledger().await.unwrap(), [], "the state lane is not counted");
}

/// An agent that was started within a window says of it twice what it has seen.
async fn of_one_window_the_statistics_that_saw_more_stay(place: Place) {
    let said = |seq, n| delivery(Lane::Readings, &[envelope(Lane::Readings, seq, Record::Stats(stats(n)))]);
    let [few, many] = [said(1, 90), said(2, 400)];
    for group in [vec![few.clone()], vec![many.clone()], vec![few.clone()], vec![few, many]] {
        commit(&place.store, Policy::default(), &group, T0).await;
    }
    let row = &dump(&place.store).await["stats"][0];
    assert_eq!((&row["n"], &row["due"], &row["gust_3s"]), (&json!(400), &json!(600), &json!(12.5)));
}

async fn only_figures_that_say_something_are_stored(place: Place) {
    type Case = (&'static str, Stats, [Json; 4]);
    let of = |quantity, mean, n| {
        let mut stats = Stats { mean, ..stats(n) };
        stats.channel.quantity = quantity;
        stats
    };
    let cases: [Case; 5] = [
        ("wind", of(Quantity::WindSpeed, 8.0, 600), [json!(8.0), json!(4.0), json!(1.0), json!(0.125)]),
        ("a calm", of(Quantity::WindSpeed, 0.5, 600), [json!(0.5), json!(4.0), json!(1.0), Json::Null]),
        ("no reading", of(Quantity::WindSpeed, 0.0, 0), [Json::Null, Json::Null, Json::Null, Json::Null]),
        ("direction", of(Quantity::WindDirection, 350.0, 600), [json!(350.0), Json::Null, json!(1.0), Json::Null]),
        ("oil", of(Quantity::Temperature, 60.0, 600), [json!(60.0), json!(4.0), json!(1.0), Json::Null]),
    ];
    for (index, (case, stats, expected)) in (0..).zip(cases) {
        let partition = format!("t1/anemometer/c{index}");
        let mut stats = stats;
        stats.channel.name = format!("c{index}");
        let said = delivery(Lane::Readings, &[envelope(Lane::Readings, index + 1, Record::Stats(stats))]);
        commit(&place.store, Policy::default(), &[said], T0).await;
        let row = json!(query::stats(&place.store.stats(&partition, T0, T0, 1).await.unwrap()[0]));
        assert_eq!(["mean", "min", "std", "turbulence"].map(|name| row[name].clone()), expected, "{case}");
        assert_eq!(place.store.stats(&partition, T0 + 1, i64::MAX, 1).await.unwrap(), [], "after it");
    }
}

async fn an_alert_that_lasts_is_found_however_many_have_opened_since(place: Place) {
    let open = async |farm: &str, agent: Option<&str>| -> Vec<u64> {
        place.store.open_alerts(farm, agent, 10).await.unwrap().iter().map(|row| row.id).collect()
    };
    let given: Vec<_> = [open_alert(8, 1), open_alert(9, 2)].into_iter().chain(short_alerts(20)).collect();
    commit(&place.store, Policy::default(), &given, T0).await;
    assert!(place.store.alerts(FARM, None, 10).await.unwrap().iter().all(|row| row.cleared_ms.is_some()));
    assert_eq!(open(FARM, None).await, [9, 8], "the latest opened first");
    assert_eq!(open(FARM, Some("t1")).await, [9, 8]);
    assert_eq!((open(FARM, Some("t2")).await, open("another", None).await), (vec![], vec![]));
    let step = |phase, seq| delivery(Lane::Alerts, &[alert_step(8, phase, seq)]);
    for (phase, seq) in [(AlertPhase::Clear, 4), (AlertPhase::Update, 3), (AlertPhase::Open, 1)] {
        commit(&place.store, Policy::default(), &[step(phase, seq)], T0).await;
        assert_eq!(open(FARM, None).await, [9], "what comes late opens none that has ended");
    }
}

on_both_stores! {
    an_alert_that_lasts_is_found_however_many_have_opened_since
    an_alert_is_found_by_its_number_and_what_was_done_in_its_order
    everything_is_placed_once
    pages_of_readings_join_without_seam
    summaries_say_without_blocks_what_the_rows_hold
    a_last_will_takes_an_agent_offline_and_keeps_its_health
    of_one_window_the_statistics_that_saw_more_stay
    only_figures_that_say_something_are_stored
}

#[tokio::test]
async fn both_stores_hold_the_same_or_skipped_without_endpoint() {
    let Some(dynamodb) = Place::dynamodb("same").await else {
        return;
    };
    let sqlite = Place::sqlite().await;
    for place in [&dynamodb, &sqlite] {
        commit(&place.store, Policy::default(), &deliveries(), T0).await;
    }
    assert_eq!(dump(&dynamodb.store).await, dump(&sqlite.store).await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// S2: groups of any size, in any order, with repeats.
    #[test]
    fn any_order_and_repetition_gives_the_same_rows(
        some in prop::collection::vec(0..deliveries().len(), 0..20),
        all in Just((0..deliveries().len()).collect::<Vec<_>>()).prop_shuffle(),
        group in 1usize..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (straight, mixed) = (Place::sqlite().await, Place::sqlite().await);
            let given = deliveries();
            commit(&straight.store, Policy::default(), &given, T0).await;
            let order: Vec<_> = some.iter().chain(&all).map(|index| given[*index].clone()).collect();
            let mut total = Tally::default();
            for group in order.chunks(group) {
                let (_, tally) = commit(&mixed.store, Policy::default(), group, T0).await;
                total.envelopes += tally.envelopes;
                total.readings += tally.readings;
            }
            assert_eq!((total.envelopes, total.readings), (10, 60));
            assert_eq!(dump(&mixed.store).await, dump(&straight.store).await);
        });
    }
}

/// The layout `item`: programs that know nothing of blocks find each reading by itself, as a number.
#[tokio::test]
async fn dynamodb_holds_each_reading_as_an_item_too_or_skipped_without_endpoint() {
    let Some(place) = Place::dynamodb("items").await else { return };
    let Store::DynamoDb(dynamodb) = &place.store else { panic!("DynamoDB") };
    for _ in 0..2 {
        commit(&place.store, Policy::default(), &deliveries(), T0).await;
    }
    let items = dynamodb.items_of("values").await.unwrap();
    // Ten moments of two channels in each of three blocks; what failed is an item too.
    assert_eq!(items.len(), 60);
    let of = |channel: &str, time_ms: i64| {
        let key = (format!("t1/anemometer/{channel}"), time_ms.to_string());
        items.iter().find(|item| item["pk"] == key.0 && item["time_ms"] == key.1).unwrap()
    };
    let wind = of("wind_speed", T0 + 4_000);
    assert_eq!((&*wind["value"], &*wind["score"], &*wind["unit"]), ("8.4", "0.9", "m/s"));
    assert_eq!(of("temperature", T0 + 4_000)["no_data"], "timeout");
    let expires: i64 = wind["ttl"].parse().unwrap();
    assert_eq!(expires, (T0 + 29_000) / 1_000 + 30 * 86_400, "with the row it came in");
}

async fn an_alert_is_found_by_its_number_and_what_was_done_in_its_order(place: Place) {
    commit(&place.store, Policy::default(), &[open_alert(8, 1), open_alert(9, 2)], T0).await;
    let found = place.store.alert(FARM, "t1", 8).await.unwrap().unwrap();
    assert_eq!((found.id, found.agent.as_str()), (8, "t1"));
    for (farm, agent, id) in [(FARM, "t1", 10), (FARM, "t2", 8), ("another", "t1", 8)] {
        assert_eq!(place.store.alert(farm, agent, id).await.unwrap(), None, "{farm} {agent} {id}");
    }
    for n in 0..5 {
        let (who, what, about) = (format!("Jo {n}"), "comment".into(), "t1 8".into());
        let deed = Deed { at_ms: T0 + n / 2, who, role: Role::Operator, what, about };
        place.store.note_deed(FARM, &deed).await.unwrap();
    }
    let (mut who, mut after) = (Vec::new(), None);
    loop {
        let (deeds, next) = place.store.deeds(FARM, after.as_deref(), 2).await.unwrap();
        who.extend(deeds.into_iter().map(|deed| (deed.at_ms - T0, deed.who)));
        after = next;
        if after.is_none() {
            break;
        }
    }
    let times: Vec<i64> = who.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [2, 1, 1, 0, 0]);
    who.sort();
    who.dedup();
    assert_eq!(who.len(), 5, "each once: {who:?}");
    assert_eq!(place.store.deeds("another", None, 2).await.unwrap(), (Vec::new(), None));
}
