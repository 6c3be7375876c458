//! Random Cut Forest for streams (Guha, Mishra, Roy, Schrijvers: "Robust Random Cut Forest Based Anomaly Detection On
//! Streams", ICML 2016), with scores on the scale of the AWS library `random-cut-forest-by-aws`.
//!
//! Each tree keeps a sample of the stream that favours recent points, and cuts their bounding box at random until
//! every point stands alone. A point that few cuts set apart is unlike the rest. The score is about 0.8 for a point like
//! the others and grows to log2(sample size + 1) for one that the first cut sets apart: 8 for 256 points, so that
//! a threshold of 2 or 3 means what it means in the AWS library. It has no unit, and neither do the inputs: each is
//! [`Options::dimensions`] numbers, all of which count by how far they spread, so that numbers of different units are
//! best brought to a like spread. A point is [`Options::shingle`] such inputs, the newest last.
//!
//! [`Forest::observe`] scores an input and learns it, which is what code that follows a stream calls.
//! [`Forest::attribution`] says which numbers a score comes from, [`Forest::impute`] fills in missing ones,
//! [`Forest::save`] and [`Forest::restore`] carry the forest over a restart.
//!
//! The same options, seed and inputs give the same bits on every machine: the random numbers and the logarithm are
//! this crate's own, and nothing else but `+ - * /` is used, in a fixed order.
//!
//! # Memory and time
//! After it is built a forest takes no more memory, but for points that are remembered for very long: without a time
//! decay. For 50 trees of 256 points with shingles of 8 numbers it takes 610 KB, [saved](Forest::save) some 160 KB. An
//! input costs about 60,000 instructions there, 10 µs on a server's processor of 2023, and grows with the number of trees,
//! the logarithm of the sample size and, less than in step, with the width of a point.
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

mod attribute;
mod bits;
mod forest;
mod four;
mod gaps;
mod judge;
mod lanes;
mod math;
mod options;
mod random;
mod sampler;
mod span;
mod state;
mod steady;
mod store;
mod tree;

use core::fmt;

pub use forest::Forest;
pub use options::{BadOptions, Options};

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

/// A saved state no forest can be restored from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadState {
    /// It ends before it should, or its checksum is another: it was cut short or changed.
    Damaged,
    /// This version of the format is not known.
    Version(u8),
    /// Undamaged, and yet no forest ever looks like this.
    Impossible,
}

impl fmt::Display for BadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadState::Damaged => f.write_str("the saved forest is damaged"),
            BadState::Version(version) => write!(f, "the saved forest has the unknown version {version}"),
            BadState::Impossible => f.write_str("the saved forest holds what no forest can"),
        }
    }
}

impl core::error::Error for BadState {}

/// What one number of a point adds to its score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attribution {
    /// For lying above what is usual.
    pub above: f64,
    /// For lying below what is usual.
    pub below: f64,
}

/// Largest magnitude of an input; the sides of any box of such numbers have a finite sum as `f32`.
pub const MAX_MAGNITUDE: f32 = 1e30;
