//! Which numbers of a point its score comes from.

use crate::forest::{Forest, Scratch};
use crate::four::Four;
use crate::span::{compare, number, outside};
use crate::tree::{Found, LEAF, NONE, Tree, Visit, start_hull};
use crate::{Attribution, Refused};

impl Forest {
    /// How much each number of the point that `input` completes adds to its [`score`](Forest::score), which is returned
    /// and which they sum up to: for lying above, or below, the boxes of the points it is compared with. `into` has
    /// `shingle * dimensions` entries, in the order of the stream: the numbers of the oldest input first. Like a score,
    /// `None` before there is one; then `into` is all 0.
    ///
    /// # Errors
    /// As [`score`](Forest::score) does; also [`Refused::Dimensions`] with the length of `into`, if that is wrong.
    pub fn attribution(&mut self, input: &[f32], into: &mut [Attribution]) -> Result<Option<f64>, Refused> {
        if into.len() != self.width() {
            return Err(Refused::Dimensions(into.len()));
        }
        into.fill(Attribution::default());
        let Some(score) = self.score(input)? else { return Ok(None) };
        let Scratch { point, fours, found, hull, shares, .. } = &mut self.scratch;
        let trees = self.trees.len() as f64;
        for (tree, &found) in self.trees.iter().zip(&*found) {
            let own = tree.score::<0>(found, fours, self.store.numbers(), hull, &self.apart) * tree.scale;
            tree.share(found, (point, fours), self.store.numbers(), hull, &self.apart, shares);
            let total: f64 = shares.iter().map(|share| share.above + share.below).sum();
            for (into, share) in into.iter_mut().zip(&*shares) {
                // A tree of one point, this very one, holds nothing against any number more than against another.
                let even = 0.5 / point.len() as f64;
                let (above, below) =
                    if total > 0.0 { (share.above / total, share.below / total) } else { (even, even) };
                into.above += above * own / trees;
                into.below += below * own / trees;
            }
        }
        Ok(Some(score))
    }
}

impl Tree {
    /// What each number of a point adds to its score in this tree, up to a common factor.
    fn share(
        &self,
        found: Found,
        (point, fours): (&[f32], &[Four]),
        numbers: &[f32],
        hull: &mut [Four],
        apart: &[f32],
        shares: &mut [Attribution],
    ) {
        shares.fill(Attribution::default());
        let mut depth = usize::from(found.depth) + 1;
        let is_known = self.climb::<0>(found.leaf, fours, numbers, hull, |visit| {
            depth -= 1;
            add_visit(&visit, point, apart[depth], shares);
        });
        if !is_known {
            return;
        }
        // A point that is in the tree lies inside all boxes around it: it is held against those of all others.
        let (low, high) = hull[..2 * fours.len()].split_at_mut(fours.len());
        start_hull(low, high);
        let (mut node, mut depth) = (found.leaf | LEAF, usize::from(found.depth));
        let mut parent = self.parent(node);
        while parent != NONE {
            depth -= 1;
            let branch = &self.branches[parent as usize];
            self.cover::<0>(branch.other(node), numbers, low, high);
            let (beyond, extent) = compare(low, high, fours);
            if beyond == 0.0 {
                return;
            }
            add_visit(&Visit { node: parent, low, high, extent, beyond }, point, apart[depth], shares);
            node = parent;
            parent = branch.parent;
        }
    }
}

/// Counts one box in: what lies beyond it counts by how much, and all that was counted before counts less.
fn add_visit(visit: &Visit, point: &[f32], apart: f32, shares: &mut [Attribution]) {
    let whole = f64::from(visit.extent) + f64::from(visit.beyond);
    let (before, now) = (f64::from(visit.extent) / whole, f64::from(apart) / whole);
    for (i, (share, &value)) in shares.iter_mut().zip(point).enumerate() {
        let (low, high) = (number(visit.low, i), number(visit.high, i));
        let beyond = f64::from(outside(low, high, value)) * now;
        share.above = share.above * before + if value > high { beyond } else { 0.0 };
        share.below = share.below * before + if value < low { beyond } else { 0.0 };
    }
}
