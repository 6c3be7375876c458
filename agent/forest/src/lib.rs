//! Random Cut Forest for streams (Guha, Mishra, Roy, Schrijvers: "Robust Random Cut Forest Based Anomaly Detection On
//! Streams", ICML 2016), with scores on the scale of the AWS library `random-cut-forest-by-aws`.
//!
//! Each tree keeps a sample of the stream that favours recent points, and cuts their bounding box at random until
//! every point stands alone. A point that few cuts set apart is unlike the rest. The score is about 0.8 for a point like
//! the others and grows to log2(sample size + 1) for one that the first cut sets apart: 8 for 256 points, so that
//! a threshold of 2 or 3 means what it means in the AWS library.
//!
//! The same options, seed and points give the same bits on every machine: the random numbers and the logarithm are
//! this crate's own, and nothing else but `+ - * /` is used.
//!
//! ```
//! use windward_forest::{Forest, Options};
//!
//! let mut forest = Forest::new(Options { shingle: 4, ..Options::default() })?;
//! for second in 0..1_000 {
//!     forest.update(&[8.0 + (second % 7) as f32 * 0.1])?;
//! }
//! let usual = forest.score(&[8.6])?.unwrap();
//! let gust = forest.score(&[20.0])?.unwrap();
//! assert!(usual < 2.0 && gust > 3.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
extern crate alloc;

mod log;
mod random;
mod sampler;
mod tree;

use alloc::vec::Vec;
use core::fmt;
use log::log2;
use random::Random;
use sampler::Sampler;
use tree::Tree;

/// How a forest is built.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Numbers in one input.
    pub dimensions: usize,
    /// Successive inputs that make one point; 1 judges each input alone, more see the shape of a signal.
    pub shingle: usize,
    /// Number of trees; the score is their mean.
    pub trees: usize,
    /// Points each tree keeps.
    pub sample_size: usize,
    /// How fast old points lose against new ones: a point's chance falls by the factor e every `1 / time_decay`
    /// points. 0 keeps a uniform sample of all points ever seen.
    pub time_decay: f64,
    /// Points that must have been seen before anything is scored.
    pub output_after: usize,
    /// Where the random numbers start.
    pub seed: u64,
}

impl Default for Options {
    /// One dimension, no shingling, and the defaults of the AWS library: 50 trees of 256 points, a decay over ten
    /// samples, silence for the first quarter of a sample.
    fn default() -> Self {
        Options {
            dimensions: 1,
            shingle: 1,
            trees: 50,
            sample_size: 256,
            time_decay: 0.1 / 256.0,
            output_after: 64,
            seed: 0,
        }
    }
}

/// Options no forest can be built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOptions(&'static str);

impl fmt::Display for BadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for BadOptions {}

/// An input the forest did not take. It has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has this many numbers, and the forest's dimensions are others.
    Dimensions(usize),
    /// The number at this index is NaN or too large: its magnitude is above [`MAX_MAGNITUDE`].
    Value(usize),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Dimensions(found) => write!(f, "{found} numbers in the input"),
            Refused::Value(index) => write!(f, "number {index} of the input is not finite, or too large"),
        }
    }
}

impl core::error::Error for Refused {}

/// Largest magnitude of an input; differences of two such numbers are still finite as `f32`.
pub const MAX_MAGNITUDE: f32 = f32::MAX / 4.0;

/// A Random Cut Forest over a stream. See the [crate] for what it computes.
#[derive(Clone, Debug)]
pub struct Forest {
    options: Options,
    trees: Vec<(Tree, Sampler)>,
    /// The last inputs, oldest first; at most `shingle * dimensions` numbers.
    recent: Vec<f32>,
    /// Points seen.
    seen: u64,
}

impl Forest {
    /// An empty forest.
    pub fn new(options: Options) -> Result<Self, BadOptions> {
        if options.dimensions == 0 || options.shingle == 0 {
            return Err(BadOptions("a point needs at least one number"));
        }
        if options.trees == 0 || options.sample_size < 2 {
            return Err(BadOptions("a forest needs a tree, and a tree two points"));
        }
        if options.sample_size > u16::MAX as usize {
            return Err(BadOptions("a tree keeps at most 65535 points"));
        }
        if !(options.time_decay >= 0.0 && options.time_decay <= 1.0) {
            return Err(BadOptions("the time decay lies between 0 and 1"));
        }
        let mut seeds = Random::new(options.seed);
        let width = options.dimensions * options.shingle;
        let trees = (0..options.trees)
            .map(|_| {
                let tree = Tree::new(width, seeds.next_u64());
                (tree, Sampler::new(options.sample_size, options.time_decay, seeds.next_u64()))
            })
            .collect();
        Ok(Forest { trees, recent: Vec::with_capacity(width), seen: 0, options })
    }

    /// How anomalous `input` would be as the next of the stream: about 0.8 for the usual, up to log2(sample size + 1).
    /// `None` until the first shingle is full and [`Options::output_after`] points have been seen.
    pub fn score(&self, input: &[f32]) -> Result<Option<f64>, Refused> {
        self.check(input)?;
        if self.seen == 0 || self.seen < self.options.output_after as u64 {
            return Ok(None);
        }
        Ok(self.point_with(input).map(|point| {
            let sum: f64 = self.trees.iter().map(|(tree, _)| tree.score(&point)).sum();
            sum / self.trees.len() as f64
        }))
    }

    /// Takes `input` into the stream.
    pub fn update(&mut self, input: &[f32]) -> Result<(), Refused> {
        self.check(input)?;
        let point = self.point_with(input);
        let full = self.options.shingle * self.options.dimensions;
        if self.recent.len() == full {
            self.recent.drain(..self.options.dimensions);
        }
        self.recent.extend_from_slice(input);
        if let Some(point) = point {
            for (tree, sampler) in &mut self.trees {
                sampler.offer(self.seen, &point, tree);
            }
            self.seen += 1;
        }
        Ok(())
    }

    /// Forgets the last inputs, for a stream that was interrupted: no point spans the gap. What the trees have learned
    /// stays.
    pub fn interrupt(&mut self) {
        self.recent.clear();
    }

    /// Points seen so far; the first comes with the first full shingle.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    fn check(&self, input: &[f32]) -> Result<(), Refused> {
        if input.len() != self.options.dimensions {
            return Err(Refused::Dimensions(input.len()));
        }
        match input.iter().position(|value| value.is_nan() || value.abs() > MAX_MAGNITUDE) {
            Some(index) => Err(Refused::Value(index)),
            None => Ok(()),
        }
    }

    /// The last inputs and this one as a point, if that fills a shingle.
    fn point_with(&self, input: &[f32]) -> Option<Vec<f32>> {
        let before = (self.options.shingle - 1) * self.options.dimensions;
        let first = self.recent.len().checked_sub(before)?;
        // -0.0 and 0.0 are one value, and only the same bits are one leaf.
        let numbers = self.recent[first..].iter().chain(input).map(|value| value + 0.0);
        Some(numbers.collect())
    }
}
