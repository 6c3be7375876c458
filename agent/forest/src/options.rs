//! How a forest is built.

use crate::math::ln;
use crate::tree::MOST_POINTS;
use core::fmt;

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
    /// Smallest difference that means anything in a number that does not change, as a part of its magnitude: once a
    /// number has kept within so much of a value for 64 inputs, it counts as that value until it leaves it by more.
    /// 0 takes every number as it is. A number that stays at 0 has no magnitude, and no unit by which to tell a tremor
    /// from a start: any other is news to it. Whoever knows its resolution rounds it to that before it comes here.
    pub floor: f32,
    /// Part of the sample up to which a tree takes every point; from there to a full sample it takes fewer and fewer.
    /// 1 takes every point until the sample is full; `krcflib`, the port of the AWS library, has 0.125.
    pub initial_accept: f64,
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
            floor: 1.0 / 8192.0,
            initial_accept: 1.0,
        }
    }
}

impl Options {
    /// Chance that a sample which is not yet full takes a point without giving one away.
    pub(crate) fn initial_chance(&self, kept: usize) -> f64 {
        let fill = kept as f64 / self.sample_size as f64;
        if fill < self.initial_accept { 1.0 } else { 1.0 - (fill - self.initial_accept) / (1.0 - self.initial_accept) }
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

/// What the options are good for, and the width of a point.
pub(crate) fn check(options: &Options) -> Result<usize, BadOptions> {
    let Options { dimensions, shingle, trees, sample_size, .. } = *options;
    let width = dimensions.checked_mul(shingle).filter(|&width| width <= MOST_NUMBERS);
    if dimensions == 0 || shingle == 0 {
        return Err(BadOptions("a point needs at least one number"));
    }
    if trees == 0 || sample_size < 2 {
        return Err(BadOptions("a forest needs a tree, and a tree two points"));
    }
    if sample_size > MOST_POINTS {
        return Err(BadOptions("a tree keeps at most 32766 points"));
    }
    if !(options.time_decay >= 0.0 && options.time_decay <= 1.0) {
        return Err(BadOptions("the time decay lies between 0 and 1"));
    }
    if !(options.floor >= 0.0 && options.floor < 1.0) {
        return Err(BadOptions("the floor is a part of a magnitude: at least 0 and below 1"));
    }
    if !(options.initial_accept > 0.0 && options.initial_accept <= 1.0) {
        return Err(BadOptions("what is accepted at first is a part of the sample: above 0, and at most 1"));
    }
    let numbers = width.and_then(|width| trees.checked_mul(sample_size)?.checked_mul(width));
    match (width, numbers) {
        (Some(width), Some(numbers)) if trees <= u16::MAX as usize && numbers <= MOST_KEPT => Ok(width),
        _ => Err(BadOptions("that is more memory than a forest takes")),
    }
}

/// Numbers in a point, and numbers in all the points of all trees, that a forest takes at most.
pub(crate) const MOST_NUMBERS: usize = 4096;
const MOST_KEPT: usize = 1 << 27;

/// Inputs that the trees' points span, about, once the samples are full: a point is remembered for `1 / time_decay`
/// others, the longest living of all trees for several times that; and never more than all points side by side.
pub(crate) fn inputs_needed(options: &Options) -> usize {
    let kept = options.trees as f64 * options.sample_size as f64 * options.shingle as f64;
    let lifetime = options.sample_size as f64 + 1.0 / options.time_decay;
    let spanned = lifetime * (ln(options.trees as f64 * options.shingle as f64) + 1.0);
    let needed = if spanned < kept { spanned } else { kept };
    (needed * 0.68) as usize + 64
}
