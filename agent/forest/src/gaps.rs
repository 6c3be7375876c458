//! Points of which some numbers are missing.

use crate::Refused;
use crate::forest::{Forest, Scratch};
use crate::four::Four;
use crate::tree::{Found, LEAF, NONE, Tree};
use core::array;

impl Forest {
    /// Fills the missing numbers of `input`, which are NaN, with what is likeliest by the trees, given its other numbers
    /// and the inputs before it. Nothing else changes. Whether `input` is now whole: not while the forest does not yet
    /// score, unless nothing was missing.
    ///
    /// In each tree the likeliest point is the one least anomalous by the numbers that are there; a missing number is
    /// the median of those points' over the trees.
    ///
    /// # Errors
    /// [`Refused`] for an input that is not as many numbers as the forest has dimensions, or has infinite ones.
    pub fn impute(&mut self, input: &mut [f32]) -> Result<bool, Refused> {
        self.check(input, true)?;
        if !input.iter().any(|value| value.is_nan()) {
            return Ok(true);
        }
        if !(self.complete(input) && self.is_telling()) {
            return Ok(false);
        }
        let (width, trees) = (self.width(), self.trees.len());
        let Scratch { point, fours, hull, guesses, .. } = &mut self.scratch;
        let last = width - input.len();
        for (at, tree) in self.trees.iter().enumerate() {
            let start = tree.likeliest((point, fours), self.store.numbers(), hull, &self.apart) as usize;
            let likeliest = &self.store.numbers()[start + last..start + width];
            for (dimension, &value) in likeliest.iter().enumerate() {
                guesses[dimension * trees + at] = value;
            }
        }
        for (value, guesses) in input.iter_mut().zip(guesses.chunks_mut(trees)) {
            if value.is_nan() {
                guesses.sort_unstable_by(f32::total_cmp);
                *value = guesses[trees / 2];
            }
        }
        Ok(true)
    }

    /// [`observe`](Forest::observe) of an input whose missing numbers are NaN: they are [imputed](Forest::impute), and
    /// the point is scored by the others alone. Before the forest scores, a missing number is taken to be what it last
    /// was, or 0.
    ///
    /// # Errors
    /// As [`impute`](Forest::impute); then nothing has changed.
    pub fn observe_with_gaps(&mut self, input: &[f32]) -> Result<Option<f64>, Refused> {
        self.check(input, true)?;
        if !input.iter().any(|value| value.is_nan()) {
            return self.observe(input);
        }
        let mut filled = core::mem::take(&mut self.scratch.input);
        filled.copy_from_slice(input);
        let score = self.observe_filled(input, &mut filled);
        self.scratch.input = filled;
        score
    }

    fn observe_filled(&mut self, input: &[f32], filled: &mut [f32]) -> Result<Option<f64>, Refused> {
        if !self.impute(filled)? {
            for (dimension, value) in filled.iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
                *value = self.store.last(dimension).unwrap_or(0.0);
            }
        }
        let whole = self.complete(filled);
        let score = (whole && self.is_telling()).then(|| {
            self.leave_out(input);
            let score = self.mean_score_of_known();
            self.spread();
            score
        });
        self.learn(score.is_some());
        Ok(score)
    }

    /// Puts the whole point in the scratch into its fours, with a NaN for each number that `input` lacks.
    fn leave_out(&mut self, input: &[f32]) {
        let Scratch { point, fours, .. } = &mut self.scratch;
        let before = point.len() - input.len();
        for (at, into) in fours.iter_mut().enumerate() {
            *into = Four::new(&array::from_fn(|lane| match point.get(4 * at + lane) {
                Some(_) if 4 * at + lane >= before && input[4 * at + lane - before].is_nan() => f32::NAN,
                Some(&value) => value,
                None => 0.0,
            }));
        }
    }
}

impl Tree {
    /// Where the point begins that is least anomalous by the numbers of `point` that are no NaN. The tree must not be empty.
    fn likeliest(&self, (point, fours): (&[f32], &[Four]), numbers: &[f32], hull: &mut [Four], apart: &[f32]) -> u32 {
        let (mut best, mut least) = (0, f64::INFINITY);
        let (mut node, mut depth) = (self.root, 0);
        loop {
            while node & LEAF == 0 {
                // A cut on a missing number is no guide: first to the left, later to the right as well.
                node = self.branches[node as usize].next::<0>(point);
                depth += 1;
            }
            let found = Found { leaf: node & !LEAF, depth };
            let score = self.score::<0>(found, fours, numbers, hull, apart);
            if score < least {
                (best, least) = (self.leaves[found.leaf as usize].start, score);
            }
            // Back up to the last such cut that has not been followed to the right.
            loop {
                let parent = self.parent(node);
                if parent == NONE {
                    return best;
                }
                let branch = &self.branches[parent as usize];
                if point[branch.dimension()].is_nan() && branch.children[0] == node {
                    node = branch.children[1];
                    break;
                }
                node = parent;
                depth -= 1;
            }
        }
    }
}
