//! A wind rose and turbulence intensity by speed, from an anemometer's 10-minute windows.

use crate::answer::{IecClass, Rose, Turbulence, WindAnswer};
use crate::place::StatsRow;
use std::collections::BTreeMap;

/// Sectors of the rose; the first lies about north.
const SECTORS: usize = 12;
/// Lower ends of the speed classes, m/s.
const CLASSES_MPS: [f64; 8] = [0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 20.0, 25.0];
/// Below this the wind has no direction (WMO-No. 8, calm), m/s.
const CALM_MPS: f64 = 0.5;
/// Reference turbulence intensity of the classes of IEC 61400-1:2019, table 1.
const IEC: [(&str, f64); 4] = [("A+", 0.18), ("A", 0.16), ("B", 0.14), ("C", 0.12)];

/// The answer, from windows of a wind speed (m/s) and, where there is one, of the wind direction beside it (degrees).
pub fn answer(speed: &[StatsRow], direction: Option<&[StatsRow]>) -> WindAnswer {
    let directions: BTreeMap<&str, f64> =
        direction.into_iter().flatten().filter_map(|row| Some((row.sort.as_str(), row.mean?))).collect();
    let (mut counts, mut calm) = ([[0u32; CLASSES_MPS.len()]; SECTORS], 0u32);
    let mut bins: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for row in speed {
        let Some(mean) = row.mean else { continue };
        if let Some(turbulence) = row.turbulence {
            bins.entry(mean.round() as i64).or_default().push(turbulence);
        }
        if mean < CALM_MPS {
            calm += 1;
        } else if let Some(degrees) = directions.get(row.sort.as_str()) {
            let class = CLASSES_MPS.iter().rposition(|least| mean >= *least).unwrap_or(0);
            counts[sector(*degrees)][class] += 1;
        }
    }
    let turbulence = bins.into_iter().map(|(speed_mps, mut of)| {
        of.sort_by(f64::total_cmp);
        Turbulence { speed_mps, n: of.len(), mean: of.iter().sum::<f64>() / of.len() as f64, p90: p90(&of) }
    });
    let rose = Rose {
        sectors: SECTORS,
        classes_mps: CLASSES_MPS.into(),
        counts: counts.map(Vec::from).into(),
        calm,
        has_direction: direction.is_some(),
    };
    let iec = IEC.map(|(class, i_ref)| IecClass { class, i_ref });
    WindAnswer { windows: speed.len(), rose, turbulence: turbulence.collect(), iec: iec.into() }
}

fn sector(degrees: f64) -> usize {
    let width = 360.0 / SECTORS as f64;
    ((degrees + width / 2.0).rem_euclid(360.0) / width) as usize % SECTORS
}

/// The value that nine of ten do not exceed, of sorted ones: the characteristic turbulence of IEC 61400-1 is of that kind.
fn p90(sorted: &[f64]) -> f64 {
    let rank = (sorted.len() * 9).div_ceil(10).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(sort: &str, mean: f64, turbulence: Option<f64>) -> StatsRow {
        StatsRow {
            partition: "t1/mast/wind".into(),
            sort: sort.into(),
            unit: "m/s".into(),
            window_ms: 600_000,
            n: 600,
            due: 600,
            mean: Some(mean),
            min: None,
            max: None,
            std: None,
            turbulence,
            gust_3s: None,
        }
    }

    #[test]
    fn a_window_counts_in_its_sector_and_class() {
        let speed = [window("a", 7.0, None), window("b", 26.0, None), window("c", 0.2, None), window("d", 5.0, None)];
        let direction = [window("a", 350.0, None), window("b", 16.0, None), window("c", 90.0, None)];
        let rose = answer(&speed, Some(&direction)).rose;
        assert_eq!(rose.counts[0][2], 1, "350 degrees is north, 7 m/s the third class");
        assert_eq!((rose.counts[1][7], rose.calm), (1, 1));
        assert_eq!(rose.counts.iter().flatten().sum::<u32>(), 2, "without a direction no window counts");
    }

    #[test]
    fn turbulence_stands_by_speed() {
        let speed: Vec<_> = (1..=10).map(|n| window(&n.to_string(), 8.4, Some(f64::from(n) / 100.0))).collect();
        let answer = answer(&speed, None);
        assert_eq!((answer.turbulence[0].speed_mps, answer.turbulence[0].p90), (8, 0.09));
        assert!((answer.turbulence[0].mean - 0.055).abs() < 1e-9);
        assert!(!answer.rose.has_direction);
    }
}
