//! What a judge goes on from when the parts of its state are of different ages, or some are lost.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use windward_agent::time::{Mono, Stamp, Wall};
use windward_agent::watch::checkpoint::Part;
use windward_agent::watch::judge::{DetectConfig, Judge, JudgeChannel, JudgeDevice};
use windward_protocol::{Alert, AlertKind, AlertPhase, Channel, Quantity, Reading, Value};

const INTERVAL_MS: u64 = 1_000;
type Parts = BTreeMap<Part, Vec<u8>>;

/// A judge of two anemometers and a counter that no forest sees.
fn judge(seed: u64) -> Judge {
    let channel = |(name, detect): (&str, bool)| {
        let quantity = if detect { Quantity::WindSpeed } else { Quantity::Other };
        let channel = Channel { name: name.into(), quantity, unit: "m/s".into() };
        JudgeChannel { channel, detect, rules: Vec::new() }
    };
    let device = JudgeDevice {
        device: "mast".into(),
        location: "ridge".into(),
        interval_ms: INTERVAL_MS as u32,
        channels: [("count", false), ("north", true), ("south", true)].map(channel).to_vec(),
    };
    Judge::new(device, &DetectConfig { trees: 10, sample_size: 32, ..DetectConfig::default() }, seed)
}

fn at(row: u64) -> Stamp {
    let ms = row * INTERVAL_MS;
    Stamp { mono: Mono(ms), wall: Wall(1_760_000_000_000 + ms as i64), synced: true }
}

/// A breeze that both feel; in tenths.
fn wind(row: u64) -> i64 {
    let noise = |salt: u64| (row ^ salt << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    80 + (10.0 * (row as f64 / 40.0).sin()) as i64 + noise(1) as i64 / 8
}

fn of(mantissa: i64) -> Reading {
    Ok(Value::Int { mantissa, exponent: -1 })
}

fn usual(row: u64) -> [Reading; 3] {
    [of(row as i64), of(wind(row)), of(wind(row) + (row * 7 % 3) as i64)]
}

fn run(judge: &mut Judge, rows: std::ops::Range<u64>, row: impl Fn(u64) -> [Reading; 3]) -> Vec<Alert> {
    rows.flat_map(|nth| judge.judge(at(nth), &row(nth)).alerts).collect()
}

fn saved(judge: &Judge) -> Parts {
    let part = |part| {
        let mut bytes = Vec::new();
        judge.save(part, &mut bytes);
        (part, bytes)
    };
    judge.parts().into_iter().map(part).collect()
}

/// Steps told, without what a restart repeats of an open alert.
fn steps(alerts: &[Alert]) -> Vec<(u64, AlertKind, AlertPhase)> {
    let told = alerts.iter().filter(|alert| alert.phase != AlertPhase::Update);
    told.map(|alert| (alert.id, alert.kind, alert.phase)).collect()
}

#[test]
fn alerts_that_opened_and_cleared_since_the_forests_were_written_are_neither_told_again_nor_lost() {
    let mut before = judge(1);
    run(&mut before, 0..40_000, usual);
    let old = saved(&before);
    // The south loses a third of its wind for an hour, and then stands still.
    let fault = |row: u64| match row {
        40_000..43_600 => [of(0), of(wind(row)), of(wind(row) * 2 / 3)],
        43_600..44_000 => usual(row),
        _ => [of(0), of(wind(row)), of(77)],
    };
    let told = steps(&run(&mut before, 40_000..44_200, fault));
    let cleared = |id: u64| told.iter().any(|&(of, _, phase)| (of, phase) == (id, AlertPhase::Clear));
    let open: Vec<u64> = told.iter().map(|(id, ..)| *id).filter(|&id| !cleared(id)).collect();
    assert!(!open.is_empty() && open.len() < told.len(), "some are over, and some are not: {told:?}");

    // Killed: the readings are those of the last step, the forests are older.
    let mut after = judge(2);
    for (part, bytes) in &old {
        let bytes = if *part == Part::Readings { &saved(&before)[part] } else { bytes };
        after.restore(*part, bytes, at(44_200), at(44_200).wall).unwrap();
    }
    let goes_on = |row: u64| if row < 44_300 { fault(row) } else { usual(row) };
    let [twin, told] = [&mut before, &mut after].map(|judge| steps(&run(judge, 44_200..50_000, goes_on)));
    let kinds = |told: &[(u64, AlertKind, AlertPhase)]| told.iter().map(|step| (step.1, step.2)).collect::<Vec<_>>();
    assert_eq!(kinds(&told), kinds(&twin), "as if there had been no restart");
    for id in open {
        let steps: Vec<_> = told.iter().filter(|step| step.0 == id).map(|step| step.2).collect();
        assert_eq!(steps, [AlertPhase::Clear], "{id} of {told:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_lost_what_is_there_is_used_and_the_judge_works_on(
        kept in prop::collection::vec(0..4u8, 4),
        young in 0..2_000u64,
        more in 1..9_000u64,
        stuck: bool,
    ) {
        let mut before = judge(1);
        run(&mut before, 0..young, usual);
        let old = saved(&before);
        let end = young + more;
        run(&mut before, young..end, |row| if stuck && row + 100 > end { [of(0), of(80), of(80)] } else { usual(row) });
        let new = saved(&before);
        let mut after = judge(2);
        for ((part, kept), (new, old)) in before.parts().into_iter().zip(kept).zip(new.values().zip(old.values())) {
            let (bytes, whole) = match kept {
                0 => continue,
                1 => (&old[..], true),
                2 => (&new[..], true),
                _ => (&new[..new.len() / 2], false),
            };
            let fresh = after.points(part);
            let restored = after.restore(part, bytes, at(end), at(end).wall);
            // The forest of the rows goes with readings only.
            prop_assert!(restored.is_err() || whole, "{} of half its bytes", part);
            prop_assert!(restored.is_ok() || !whole || part == Part::Rows, "{}: {:?}", part, restored);
            let expected = match restored {
                Err(_) => fresh,
                Ok(_) if kept == 2 => before.points(part),
                Ok(_) => after.points(part),
            };
            prop_assert_eq!(after.points(part), expected);
        }
        let mut open = BTreeMap::new();
        for alert in run(&mut after, end..end + 3_000, usual) {
            if alert.phase == AlertPhase::Open {
                prop_assert!(open.insert(alert.id, ()).is_none(), "an id is opened once");
            }
        }
    }
}
