//! The forest: one store, one stream of random numbers, many trees.

use crate::four::Four;
use crate::math::log2;
use crate::options::{check, inputs_needed};
use crate::random::Random;
use crate::sampler::{Clock, INFINITE};
use crate::span::{fours, set};
use crate::steady::Steady;
use crate::store::{Needed, Store};
use crate::tree::{Found, Tree};
use crate::{Attribution, BadOptions, MAX_MAGNITUDE, Options, Refused};
use alloc::vec;
use alloc::vec::Vec;

/// A Random Cut Forest over a stream. See the [crate] for what it computes.
#[derive(Clone, Debug)]
pub struct Forest {
    pub(crate) options: Options,
    pub(crate) store: Store,
    needed: Needed,
    pub(crate) trees: Vec<Tree>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// Points seen.
    pub(crate) seen: u64,
    pub(crate) steady: Vec<Steady>,
    /// Score of standing apart at each depth: `1 / (depth + 1)`.
    pub(crate) apart: Vec<f32>,
    pub(crate) scratch: Scratch,
}

/// Room for what a call works out, made once.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    /// The point being judged.
    pub(crate) point: Vec<f32>,
    /// The same in fours. While the point is judged, with a NaN for each number that was missing.
    pub(crate) fours: Vec<Four>,
    /// Where each tree leads it.
    pub(crate) found: Vec<Found>,
    /// Each tree's score: they are summed in the order of the trees, in whatever order they came.
    pub(crate) scores: Vec<f64>,
    /// Two corners of a box, and a third.
    pub(crate) hull: Vec<Four>,
    /// One input.
    pub(crate) input: Vec<f32>,
    /// For each missing number, what each tree takes it for.
    pub(crate) guesses: Vec<f32>,
    pub(crate) shares: Vec<Attribution>,
}

impl Forest {
    /// An empty forest. All its memory is taken here, but for the points of a stream that is remembered for longer than
    /// usual.
    pub fn new(options: Options) -> Result<Self, BadOptions> {
        let width = check(&options)?;
        let inputs = inputs_needed(&options);
        let trees = (0..options.trees).map(|_| Tree::new(width, options.sample_size)).collect();
        Ok(Forest {
            store: Store::new(options.dimensions, options.shingle, inputs),
            needed: Needed::with_capacity(inputs),
            trees,
            clock: Clock::new(options.time_decay),
            random: Random::new(options.seed),
            seen: 0,
            steady: vec![Steady::default(); options.dimensions],
            apart: (0..options.sample_size).map(|depth| 1.0 / (depth as f32 + 1.0)).collect(),
            scratch: Scratch {
                point: Vec::with_capacity(width),
                fours: vec![Four::zero(); fours(width)],
                found: vec![Found::default(); options.trees],
                scores: vec![0.0; options.trees],
                hull: vec![Four::zero(); 3 * fours(width)],
                input: vec![0.0; options.dimensions],
                guesses: vec![0.0; options.trees * options.dimensions],
                shares: vec![Attribution::default(); width],
            },
            options,
        })
    }

    /// The options it was built with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How anomalous `input` would be as the next of the stream, which does not change: about 0.8 for the usual, up to
    /// log2(sample size + 1). `None` until the first shingle is full and [`Options::output_after`] points have been seen.
    ///
    /// # Errors
    /// [`Refused`] for an input that is not as many finite numbers as the forest has dimensions.
    pub fn score(&mut self, input: &[f32]) -> Result<Option<f64>, Refused> {
        self.check(input, false)?;
        let complete = self.complete(input);
        Ok((complete && self.is_telling()).then(|| self.judge()))
    }

    /// Takes `input` into the stream.
    ///
    /// # Errors
    /// As [`score`](Forest::score) does; then nothing has changed.
    pub fn update(&mut self, input: &[f32]) -> Result<(), Refused> {
        self.check(input, false)?;
        self.complete(input);
        self.learn(false);
        Ok(())
    }

    /// [`score`](Forest::score), then [`update`](Forest::update), for less than they cost one by one: what code that
    /// follows a stream calls.
    ///
    /// # Errors
    /// As [`score`](Forest::score) does; then nothing has changed.
    pub fn observe(&mut self, input: &[f32]) -> Result<Option<f64>, Refused> {
        self.check(input, false)?;
        let score = (self.complete(input) && self.is_telling()).then(|| self.judge());
        self.learn(score.is_some());
        Ok(score)
    }

    /// Forgets the last inputs, for a stream that was interrupted: no point spans the gap. What the trees have learned
    /// stays.
    pub fn interrupt(&mut self) {
        self.store.interrupt();
    }

    /// Points seen so far; the first comes with the first full shingle.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Memory in use, inline and on the heap, in bytes.
    pub fn bytes(&self) -> usize {
        let scratch = &self.scratch;
        let floats = scratch.point.capacity() + scratch.input.len() + scratch.guesses.len();
        let fours = scratch.fours.len() + scratch.hull.len();
        size_of::<Self>()
            + self.store.bytes()
            + self.needed.bytes()
            + self.trees.iter().map(|tree| size_of::<Tree>() + tree.bytes()).sum::<usize>()
            + self.steady.len() * size_of::<Steady>()
            + self.apart.len() * size_of::<f32>()
            + floats * size_of::<f32>()
            + fours * size_of::<Four>()
            + scratch.found.len() * size_of::<Found>()
            + scratch.scores.len() * size_of::<f64>()
            + scratch.shares.len() * size_of::<Attribution>()
    }

    pub(crate) fn width(&self) -> usize {
        self.options.dimensions * self.options.shingle
    }

    /// Whether there is something to score by.
    pub(crate) fn is_telling(&self) -> bool {
        self.seen > 0 && self.seen >= self.options.output_after as u64
    }

    pub(crate) fn check(&self, input: &[f32], gaps: bool) -> Result<(), Refused> {
        if input.len() != self.options.dimensions {
            return Err(Refused::Dimensions(input.len()));
        }
        let bad = |value: &f32| if value.is_nan() { !gaps } else { value.abs() > MAX_MAGNITUDE };
        input.iter().position(bad).map_or(Ok(()), |index| Err(Refused::Value(index)))
    }

    /// Puts the point that ends in `input` into the scratch, or as much of it as there is. Whether it is whole.
    pub(crate) fn complete(&mut self, input: &[f32]) -> bool {
        let (recent, before) = (self.store.recent(), self.width() - input.len());
        let recent = &recent[recent.len().saturating_sub(before)..];
        let (point, floor) = (&mut self.scratch.point, self.options.floor);
        point.clear();
        point.extend_from_slice(recent);
        // -0.0 becomes 0.0, so that what is equal is saved alike.
        point.extend(input.iter().zip(&self.steady).map(|(&value, steady)| steady.settled(value, floor) + 0.0));
        let whole = recent.len() == before;
        if whole {
            self.spread();
        }
        whole
    }

    /// Puts the whole point in the scratch into its fours as well.
    pub(crate) fn spread(&mut self) {
        let Scratch { point, fours, .. } = &mut self.scratch;
        set(fours, point);
    }

    /// The score of the whole point in the scratch. Leaves in `scratch.found` where each tree leads it.
    fn judge(&mut self) -> f64 {
        match self.width() {
            1 => self.mean_score::<1>(),
            4 => self.mean_score::<4>(),
            8 => self.mean_score::<8>(),
            24 => self.mean_score::<24>(),
            _ => self.mean_score::<0>(),
        }
    }

    /// Adds the point in the scratch to the stream, or what there is of one. With `found`, `scratch.found` says where
    /// each tree leads it.
    pub(crate) fn learn(&mut self, found: bool) {
        if self.store.is_full() {
            self.make_room();
        }
        let input = &self.scratch.point[self.scratch.point.len() - self.options.dimensions..];
        for (steady, &value) in self.steady.iter_mut().zip(input) {
            steady.take(value, self.options.floor);
        }
        let Some(start) = self.store.push(input) else { return };
        match self.width() {
            1 => self.offer::<1>(start, found),
            4 => self.offer::<4>(start, found),
            8 => self.offer::<8>(start, found),
            24 => self.offer::<24>(start, found),
            _ => self.offer::<0>(start, found),
        }
        self.seen += 1;
        if self.clock.tick() {
            self.trees.iter_mut().for_each(|tree| tree.sampler.rebase());
        }
    }

    /// Offers the point at `start` to each tree, which takes it, perhaps in exchange for another, or not.
    fn offer<const W: usize>(&mut self, start: u32, found: bool) {
        for (tree, place) in self.trees.iter_mut().zip(&self.scratch.found) {
            let kept = tree.sampler.len();
            let adds = kept < self.options.sample_size && self.random.unit() < self.options.initial_chance(kept);
            // An empty sample adds always, so that otherwise there is a worst to be exchanged.
            let worst = if adds { INFINITE } else { tree.sampler.worst() };
            let Some(key) = self.clock.draw(worst, &mut self.random) else { continue };
            let (numbers, hull, fours) = (self.store.numbers(), &mut self.scratch.hull, &self.scratch.fours);
            let mut leaf = found.then_some(place.leaf);
            if !adds {
                let old = tree.sampler.leaves[0];
                if let Some(instead) = tree.remove::<W>(old, numbers, hull) {
                    // The point went to the leaf that is gone: it now goes on from what came in its place.
                    if leaf == Some(old) {
                        leaf = tree.descend(instead, &self.scratch.point);
                    }
                }
            }
            let leaf = leaf.or_else(|| tree.descend(tree.root, &self.scratch.point)).unwrap_or_default();
            let leaf = tree.insert::<W>(leaf, start, fours, numbers, hull, &mut self.random);
            if adds {
                tree.sampler.push(key, leaf);
                tree.scale = log2(tree.sampler.len() as f64 + 1.0);
            } else {
                tree.sampler.replace_worst(key, leaf);
            }
        }
    }

    /// Makes room in the store.
    fn make_room(&mut self) {
        self.store.find_needed(starts(&self.trees), &mut self.needed);
        for leaf in self.trees.iter_mut().flat_map(|tree| &mut tree.leaves).filter(|leaf| leaf.mass > 0) {
            leaf.start = self.store.moved(leaf.start, &self.needed);
        }
        self.store.squeeze(&self.needed);
    }
}

/// Where the points begin that the trees hold.
pub(crate) fn starts(trees: &[Tree]) -> impl Iterator<Item = u32> {
    trees.iter().flat_map(|tree| &tree.leaves).filter(|leaf| leaf.mass > 0).map(|leaf| leaf.start)
}
