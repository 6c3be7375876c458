//! What the trees say of a point.

use crate::forest::{Forest, Scratch};
use crate::four::Four;
use crate::lanes::descend_all;
use crate::math::log2;
use crate::tree::{Found, Tree};

impl Forest {
    /// The score of the whole point in the scratch. Leaves in `scratch.found` where each tree leads it.
    pub(crate) fn mean_score<const W: usize>(&mut self) -> f64 {
        let Scratch { point, fours, found, hull, scores, .. } = &mut self.scratch;
        let numbers = self.store.numbers();
        descend_all::<W>(&self.trees, point, |at, place| {
            found[at] = place;
            let tree = &self.trees[at];
            scores[at] = tree.scale * tree.score::<W>(place, fours, numbers, hull, &self.apart);
        });
        scores.iter().sum::<f64>() / self.trees.len() as f64
    }

    /// The same of the numbers alone that are not missing: `scratch.fours` has a NaN for each of the others.
    pub(crate) fn mean_score_of_known(&mut self) -> f64 {
        let Scratch { point, fours, found, hull, scores, .. } = &mut self.scratch;
        let numbers = self.store.numbers();
        descend_all::<0>(&self.trees, point, |at, place| {
            found[at] = place;
            let tree = &self.trees[at];
            scores[at] = tree.scale * tree.score::<0>(place, fours, numbers, hull, &self.apart);
        });
        scores.iter().sum::<f64>() / self.trees.len() as f64
    }
}

impl Tree {
    /// Score of a point in this tree, before its scale, as the AWS library defines it: from the leaf that the cuts lead
    /// to up to the root, the score of standing apart at a node, weighed by the chance that a cut of that node's box
    /// would set the point apart.
    pub(crate) fn score<const W: usize>(
        &self,
        found: Found,
        point: &[Four],
        numbers: &[f32],
        hull: &mut [Four],
        apart: &[f32],
    ) -> f64 {
        let (mut score, mut depth) = (0.0f32, found.depth as usize + 1);
        let is_known = self.climb::<W>(found.leaf, point, numbers, hull, |visit| {
            depth -= 1;
            score += visit.beyond / (visit.extent + visit.beyond) * (apart[depth] - score);
        });
        if is_known { self.known_score(found) } else { f64::from(score) }
    }

    /// Score of a point that is in the tree: one that fills much of the sample is usual however shallow it stands, at
    /// most halved.
    fn known_score(&self, found: Found) -> f64 {
        let mass = f64::from(self.leaves[found.leaf as usize].mass);
        (1.0 - mass / (2.0 * self.sampler.len() as f64)) / (f64::from(found.depth) + log2(mass + 1.0))
    }
}
