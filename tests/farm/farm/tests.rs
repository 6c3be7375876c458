//! The demo's promise, without its sockets: its faults raise alerts in its wind, and its wind alone hardly any.

use super::*;
use windward_agent::time::{Mono, Stamp, Wall};
use windward_agent::watch::judge::{Judge, JudgeChannel, JudgeDevice};
use windward_protocol::NoData;
use windward_tests::plant::Fault;

/// Cold starts that are looked at.
const COLD_STARTS: u64 = 300;

/// Alerts that open at turbine `index` within `for_ms`, with a fault at 5 s or without: when, and what they say.
fn alerts(seed: u64, index: usize, fault: Option<Fault>, for_ms: u64) -> Vec<(u64, AlertKind, String)> {
    let mut turbine = Turbine::new(seed * 1_000 + index as u64);
    let mut judge = judge(index, seed);
    for row in history(&mut turbine, HISTORY_MS as i64) {
        judge.learn(Stamp { mono: Mono(0), wall: Wall(row.time_ms), synced: true }, &row.readings);
    }
    if let Some(fault) = fault {
        turbine.inject(fault, HISTORY_MS + 5_000, fault.usual_ms());
    }
    opened(&mut judge, &mut turbine, HISTORY_MS, for_ms)
}

/// The judge of turbine `index`, as the demo configures it, that has seen nothing.
fn judge(index: usize, seed: u64) -> Judge {
    let text = agent_toml(index, 1883, Path::new("/nowhere"), "modbus_tcp = { host = \"127.0.0.1\" }");
    let config = AgentConfig::from_toml(&text, "the test's agent").unwrap();
    let device = &config.devices[0];
    let channel = |channel: &windward_agent::config::DeviceChannel| JudgeChannel {
        channel: channel.channel.clone(),
        detect: channel.detect,
        rules: Vec::new(),
    };
    let of_judge = JudgeDevice {
        device: device.name.clone(),
        location: device.location.clone(),
        interval_ms: device.interval_ms,
        channels: device.channels.iter().map(channel).collect(),
    };
    Judge::new(of_judge, &config.detect, seed)
}

/// What the judge opens within `for_ms` from `from_ms` of the turbine's time on, and how long after that.
fn opened(judge: &mut Judge, turbine: &mut Turbine, from_ms: u64, for_ms: u64) -> Vec<(u64, AlertKind, String)> {
    let mut opened = Vec::new();
    for at_ms in (0..for_ms).step_by(INTERVAL_MS as usize) {
        let now = from_ms + at_ms;
        let readings = match turbine.sample(now) {
            Some(sample) => slave::row(&sample, at_ms as u32, 0).readings,
            None => vec![Err(NoData::Timeout); slave::CHANNEL_COUNT as usize],
        };
        let stamp = Stamp { mono: Mono(now), wall: Wall(now as i64), synced: true };
        let alerts = judge.judge(stamp, &readings).alerts;
        let open = alerts.into_iter().filter(|alert| alert.phase == AlertPhase::Open);
        opened.extend(open.map(|alert| (at_ms, alert.kind, format!("{}: {}", alert.channel, alert.evidence))));
    }
    opened
}

/// What a fault is told as.
fn kind(fault: Fault) -> AlertKind {
    match fault {
        Fault::Gust => AlertKind::Gust,
        Fault::Stuck => AlertKind::Stuck,
        Fault::Icing => AlertKind::Iced,
        Fault::Dropout => AlertKind::NoData,
        Fault::Spike => AlertKind::Spike,
    }
}

#[test]
fn every_fault_is_told_as_what_it_is_at_every_turbine() {
    let mut untold = Vec::new();
    for fault in Fault::ALL {
        for index in 0..TURBINES {
            let opened = alerts(1, index, Some(fault), 65_000);
            let due = 5_000..5_000 + fault.usual_ms();
            println!("FIGURE {fault} at turbine {}: {opened:?}", index + 1);
            if !opened.iter().any(|(at_ms, told, _)| due.contains(at_ms) && *told == kind(fault)) {
                untold.push((fault, index + 1));
            }
        }
    }
    assert_eq!(untold, []);
}

#[test]
fn wind_alone_raises_few_alerts_and_none_in_the_first_minutes() {
    let opened: Vec<_> = (0..TURBINES).flat_map(|index| alerts(1, index, None, 3_600_000)).collect();
    println!("FIGURE {} alerts in an hour of {TURBINES} turbines in wind without faults", opened.len());
    assert!(opened.len() <= 6, "{opened:#?}");
    for seed in 2..12 {
        let opened: Vec<_> = (0..TURBINES).flat_map(|index| alerts(seed, index, None, 300_000)).collect();
        assert_eq!(opened, [], "in five minutes of seed {seed}");
    }
}

#[test]
fn a_cold_start_raises_nothing() {
    // What is judged by first levels, learned from minutes.
    let readings = 1_200;
    let mut raised = Vec::new();
    for seed in 0..COLD_STARTS {
        let opened = opened(&mut judge(0, seed), &mut Turbine::new(seed), 0, readings * INTERVAL_MS);
        raised.extend(opened.into_iter().map(|opened| (seed, opened)));
    }
    println!("FIGURE {} alerts in {COLD_STARTS} cold starts of {readings} readings", raised.len());
    assert_eq!(raised, []);
}
