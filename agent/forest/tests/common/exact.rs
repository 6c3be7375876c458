//! The exact mean score of a random cut tree, worked out slowly over all cuts instead of drawn, and what it takes to
//! compare it with many seeded forests.

use std::collections::BTreeMap;
use windward_forest::{Forest, Options};

/// Forests and trees in each for one mean: the standard error of a score is then some 0.003 to 0.01.
const FORESTS: u64 = 400;
const TREES: usize = 50;
const STANDARD_ERRORS: f64 = 5.0;

/// Points of a sample and how often each stands in it.
pub(crate) type Sample = Vec<(Vec<f64>, f64)>;

/// What each number of `query` adds to the exact mean score: those above the boxes first, then those below; the score is
/// their sum. The share of a point that is in the sample has no direction and is spread evenly.
pub(crate) fn exact(sample: &Sample, query: &[f32]) -> Vec<f64> {
    let total: f64 = sample.iter().map(|(_, count)| count).sum();
    let query = query.iter().map(|&value| f64::from(value)).collect();
    let mut exact = Exact { sample, query, total, known: BTreeMap::new() };
    exact.shares_below((0..sample.len()).collect(), 0).iter().map(|share| share * (total + 1.0).log2()).collect()
}

struct Exact<'a> {
    sample: &'a Sample,
    query: Vec<f64>,
    total: f64,
    /// Results by the points of a subtree and its depth.
    known: BTreeMap<(Vec<usize>, usize), Vec<f64>>,
}

impl Exact<'_> {
    /// The shares in the subtree of these points of the sample at `depth`, before the score is scaled. A cut of the box
    /// around them and the query parts the two with the chance that it falls beyond the points; else it is a cut of the
    /// points' own box, and as likely at one place as at another.
    fn shares_below(&mut self, points: Vec<usize>, depth: usize) -> Vec<f64> {
        let key = (points, depth);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let shares = self.work_out(&key.0, depth);
        self.known.insert(key, shares.clone());
        shares
    }

    fn work_out(&mut self, points: &[usize], depth: usize) -> Vec<f64> {
        let sample = self.sample;
        let numbers = |i: usize| points.iter().map(move |&point| sample[point].0[i]);
        let dimensions = self.query.len();
        let low: Vec<f64> = (0..dimensions).map(|i| numbers(i).fold(f64::MAX, f64::min)).collect();
        let high: Vec<f64> = (0..dimensions).map(|i| numbers(i).fold(f64::MIN, f64::max)).collect();
        let above = self.query.iter().zip(&high).map(|(value, high)| (value - high).max(0.0));
        let below = self.query.iter().zip(&low).map(|(value, low)| (low - value).max(0.0));
        let beyond: Vec<f64> = above.chain(below).collect();
        let extent: f64 = high.iter().zip(&low).map(|(high, low)| high - low).sum();
        let whole = extent + beyond.iter().sum::<f64>();
        if whole == 0.0 {
            let count = sample[points[0]].1;
            let seen = (1.0 - count / (2.0 * self.total)) / (depth as f64 + (count + 1.0).log2());
            return vec![seen / beyond.len() as f64; beyond.len()];
        }
        let mut shares: Vec<f64> = beyond.iter().map(|beyond| beyond / whole / (depth as f64 + 1.0)).collect();
        for i in 0..dimensions {
            let value = self.query[i].clamp(low[i], high[i]);
            let mut stops: Vec<f64> = numbers(i).chain([value]).collect();
            stops.sort_by(f64::total_cmp);
            for stop in stops.windows(2).filter(|stop| stop[0] < stop[1]) {
                let left = self.query[i] <= stop[0];
                let on_its_side = |&point: &usize| (sample[point].0[i] <= stop[0]) == left;
                let side = points.iter().copied().filter(on_its_side).collect();
                for (share, further) in shares.iter_mut().zip(self.shares_below(side, depth + 1)) {
                    *share += (stop[1] - stop[0]) / whole * further;
                }
            }
        }
        shares
    }
}

/// All of `points` as a sample.
pub(crate) fn all(points: &[&[f32]]) -> Sample {
    let mut sample = Sample::new();
    for point in points {
        let point: Vec<f64> = point.iter().map(|&value| f64::from(value)).collect();
        match sample.iter_mut().find(|(other, _)| *other == point) {
            Some((_, count)) => *count += 1.0,
            None => sample.push((point, 1.0)),
        }
    }
    sample
}

/// Forests that differ in their seed alone, after the same inputs.
pub(crate) fn seeds(options: &Options, inputs: &[&[f32]]) -> impl Iterator<Item = Forest> {
    (0..FORESTS).map(|seed| {
        let mut forest = Forest::new(Options { seed, ..options.clone() }).unwrap();
        inputs.iter().for_each(|input| forest.update(input).unwrap());
        forest
    })
}

pub(crate) fn small() -> Options {
    Options { trees: TREES, time_decay: 0.0, output_after: 1, ..Options::default() }
}

#[derive(Clone, Default)]
pub(crate) struct Mean {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    /// Within five standard errors, and a hair for scores that do not vary at all.
    pub(crate) fn is_about(&self, exact: f64, what: &str) {
        let mean = self.sum / self.count;
        let variance = (self.squares / self.count - mean * mean).max(0.0);
        let allowed = STANDARD_ERRORS * (variance / self.count).sqrt() + 1e-6;
        assert!((mean - exact).abs() <= allowed, "{what}: mean {mean}, exact {exact}, allowed {allowed}");
        assert!(allowed < 0.06, "{what}: too few forests to tell, {allowed}");
    }
}
