//! The boxes around the points below a tree's branches.
//!
//! A branch is made of pieces: of the leaves below it, where one of a branch that keeps its box stands for all below that.
//! One of more than [`PIECES`] keeps its box as well; of any other it is worked out from the pieces when it is needed.
//! A kept box thus does for several pieces, so that a tree has room enough for a quarter as many as it has leaves. Should
//! there be no room all the same, a branch is made of more pieces: that costs time, and changes nothing else.

use super::{Branch, LEAF, Leaf, NONE, Node, Tree};
use crate::four::Four;
use crate::span::{four, fours, number, take_in, widen};
use alloc::vec;
use alloc::vec::Vec;

/// Most pieces of a branch without a box.
const PIECES: usize = 4;

/// So few pieces, and a box is given up.
const FEW: usize = 3;

/// Boxes of a tree of this many points.
pub(super) fn most_boxes(capacity: usize) -> usize {
    capacity / PIECES
}

impl Tree {
    #[inline(always)]
    pub(super) fn has_box(&self, branch: Node) -> bool {
        branch < self.boxed
    }

    /// The corners of the box that a branch keeps.
    #[inline(always)]
    pub(super) fn kept_box<const W: usize>(&self, branch: Node) -> Option<(&[Four], &[Four])> {
        let size = fours(self.width::<W>());
        let place = branch as usize * 2 * size;
        self.boxes.get(place..place + 2 * size).map(|kept| kept.split_at(size))
    }

    /// Widens a box around all points below `top`.
    #[inline(always)]
    pub(crate) fn cover<const W: usize>(&self, top: Node, numbers: &[f32], low: &mut [Four], high: &mut [Four]) {
        if top & LEAF != 0 {
            take_in(low, high, self.point::<W>(self.leaves[(top & !LEAF) as usize].start, numbers));
        } else {
            self.cover_below::<W>(top, numbers, low, high);
        }
    }

    fn cover_below<const W: usize>(&self, top: Node, numbers: &[f32], low: &mut [Four], high: &mut [Four]) {
        let size = fours(self.width::<W>());
        let (low, high) = (&mut low[..size], &mut high[..size]);
        let mut node = top;
        loop {
            // Down to the left, as far as nothing is known.
            let mut parent = loop {
                if node & LEAF != 0 {
                    let Leaf { start, parent, .. } = self.leaves[(node & !LEAF) as usize];
                    take_in(low, high, self.point::<W>(start, numbers));
                    break parent;
                }
                let branch = &self.branches[node as usize];
                if let Some((kept_low, kept_high)) = self.kept_box::<W>(node) {
                    widen(low, high, kept_low, kept_high);
                    break branch.parent;
                }
                node = branch.children[0];
            };
            // Up from the right, then over to the next on the right.
            loop {
                if node == top {
                    return;
                }
                let branch = &self.branches[parent as usize];
                if branch.children[0] == node {
                    node = branch.children[1];
                    break;
                }
                node = parent;
                parent = branch.parent;
            }
        }
    }

    /// Sets a box to that around all points below `top`.
    #[inline(always)]
    pub(super) fn hull<const W: usize>(&self, top: Node, numbers: &[f32], low: &mut [Four], high: &mut [Four]) {
        start_hull(low, high);
        self.cover::<W>(top, numbers, low, high);
    }

    /// Follows a point that has come in with `branch`, whose box `hull` is, from there up.
    pub(super) fn grow<const W: usize>(&mut self, branch: Node, point: &[f32], numbers: &[f32], hull: &mut [Four]) {
        let (low, high) = self.corners::<W>(hull);
        let (mut node, mut pieces) = (branch, self.pieces_below(branch));
        loop {
            if pieces > PIECES && !self.has_box(node) {
                node = self.move_branch(node, true);
            }
            let fresh = self.has_box(node);
            if fresh {
                self.set_box(node, low, high);
            }
            let parent = self.branches[node as usize].parent;
            if fresh || parent == NONE || self.has_box(parent) {
                node = parent;
                break;
            }
            let sibling = self.branches[parent as usize].other(node);
            self.cover::<W>(sibling, numbers, low, high);
            pieces += self.pieces(sibling, PIECES);
            node = parent;
        }
        while let Some(&Branch { parent, .. }) = self.branches.get(node as usize) {
            if self.has_box(node) && !self.grow_box::<W>(node, point) {
                return;
            }
            node = parent;
        }
    }

    /// Widens a kept box around `point`; whether that changes it.
    fn grow_box<const W: usize>(&mut self, branch: Node, point: &[f32]) -> bool {
        let size = fours(self.width::<W>());
        let (low, high) = self.boxes[branch as usize * 2 * size..][..2 * size].split_at_mut(size);
        let mut changed = false;
        for (at, (low, high)) in low.iter_mut().zip(high).enumerate() {
            let value = four(point, 4 * at);
            let wider = (value.lesser(*low), value.greater(*high));
            changed |= wider.0.numbers() != low.numbers() || wider.1.numbers() != high.numbers();
            (*low, *high) = wider;
        }
        changed
    }

    /// Follows a point that has gone from below `node`, from there up.
    pub(super) fn shrink<const W: usize>(
        &mut self,
        mut node: Node,
        point: &[f32],
        numbers: &[f32],
        hull: &mut [Four],
    ) {
        let (low, high) = self.corners::<W>(hull);
        let mut fewer = true;
        while let Some(&Branch { parent, .. }) = self.branches.get(node as usize) {
            if let Some((kept_low, kept_high)) = self.kept_box::<W>(node) {
                let inside = (0..point.len()).all(|i| {
                    let (low, high) = (number(kept_low, i), number(kept_high, i));
                    low < point[i] && point[i] < high
                });
                if fewer && self.pieces_below(node) <= FEW {
                    node = self.move_branch(node, false);
                }
                fewer = false;
                if inside || self.has_box(node) && !self.fit_box::<W>(node, numbers, low, high) {
                    return;
                }
            }
            node = parent;
        }
    }

    /// Sets a kept box to the hull of the children's; whether that changes it.
    fn fit_box<const W: usize>(&mut self, branch: Node, numbers: &[f32], low: &mut [Four], high: &mut [Four]) -> bool {
        let [left, right] = self.branches[branch as usize].children;
        self.hull::<W>(left, numbers, low, high);
        self.cover::<W>(right, numbers, low, high);
        self.set_box(branch, low, high)
    }

    /// Sets a kept box; whether that changes it.
    #[inline(always)]
    fn set_box(&mut self, branch: Node, low: &[Four], high: &[Four]) -> bool {
        let size = low.len();
        let (kept_low, kept_high) = self.boxes[branch as usize * 2 * size..][..2 * size].split_at_mut(size);
        let mut changed = false;
        for (kept, new) in kept_low.iter_mut().zip(low).chain(kept_high.iter_mut().zip(high)) {
            changed |= kept.numbers() != new.numbers();
            *kept = *new;
        }
        changed
    }

    /// Pieces of which a branch is made, whether it keeps its box or not; if they are more than [`PIECES`], any such number.
    fn pieces_below(&self, branch: Node) -> usize {
        let [left, right] = self.branches[branch as usize].children;
        self.pieces(left, PIECES) + self.pieces(right, PIECES)
    }

    /// Pieces that `node` adds to its parent's; if they are more than `most`, any such number.
    fn pieces(&self, node: Node, most: usize) -> usize {
        if node & LEAF != 0 || self.has_box(node) {
            return 1;
        }
        if most < 2 {
            return 2;
        }
        let [left, right] = self.branches[node as usize].children;
        let before = self.pieces(left, most - 1);
        if before < most { before + self.pieces(right, most - before) } else { before + 1 }
    }

    /// Moves a branch to a place with or without a box, if one is free. Where it stands then.
    fn move_branch(&mut self, from: Node, with_box: bool) -> Node {
        let to = self.free_branches[usize::from(with_box)];
        if to == NONE {
            return from;
        }
        self.take_branch(with_box);
        let branch = self.branches[from as usize];
        self.branches[to as usize] = branch;
        self.replace_child(branch.parent, from, to);
        branch.children.iter().for_each(|&child| self.set_parent(child, to));
        self.free_branch(from);
        to
    }

    /// Takes the branches of a whole tree into an empty one that has the leaves already. In `branches` they name one another
    /// and the leaves name them by their order, parents before children. Whether the cuts lead every leaf's point to
    /// that leaf.
    pub(crate) fn build(&mut self, branches: &[Branch], numbers: &[f32], hull: &mut [Four]) -> bool {
        let places = self.places(branches);
        let place = |node: Node| places.get(node as usize).copied().unwrap_or(node);
        self.root = place(self.root);
        for (branch, &at) in branches.iter().zip(&places) {
            self.branches[at as usize] =
                Branch { children: branch.children.map(place), parent: place(branch.parent), ..*branch };
        }
        for leaf in self.leaves.iter_mut().filter(|leaf| leaf.mass > 0) {
            leaf.parent = place(leaf.parent);
        }
        let size = fours(self.width);
        let (low, high) = hull.split_at_mut(size);
        for &branch in places.iter().rev() {
            if self.has_box(branch) {
                self.fit_box::<0>(branch, numbers, low, high);
            }
        }
        let leads_home = |(at, leaf): (usize, &Leaf)| {
            leaf.mass == 0 || self.descend(self.root, self.point::<0>(leaf.start, numbers)) == Some(at as u16)
        };
        self.leaves.iter().enumerate().all(leads_home)
    }

    /// Takes a place for each of a whole tree's branches.
    fn places(&mut self, branches: &[Branch]) -> Vec<Node> {
        let mut pieces = vec![0; branches.len()];
        let mut places = vec![NONE; branches.len()];
        for (at, branch) in branches.iter().enumerate().rev() {
            pieces[at] = branch.children.iter().map(|&child| pieces.get(child as usize).map_or(1, |&of| of)).sum();
            if pieces[at] > PIECES && self.free_branches[1] != NONE {
                places[at] = self.take_branch(true);
                pieces[at] = 1;
            }
        }
        for place in places.iter_mut().filter(|place| **place == NONE) {
            *place = self.take_branch(false);
        }
        places
    }
}

/// A box that holds nothing yet.
#[inline(always)]
pub(crate) fn start_hull(low: &mut [Four], high: &mut [Four]) {
    low.fill(Four::new(&[f32::INFINITY; 4]));
    high.fill(Four::new(&[f32::NEG_INFINITY; 4]));
}
