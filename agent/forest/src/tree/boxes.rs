//! The boxes around the points below a tree's branches.
//!
//! Most branches have only a few leaves below: their boxes are worked out from the points when they are needed. From
//! some leaves up, see [`small`], a branch keeps its box. Should there be no room for one, as in a tree that has grown
//! like a chain, its box is worked out as well: that costs time, and changes nothing else.

use super::{Branch, LEAF, Leaf, NONE, Node, Tree};
use crate::four::{Four, fetch};
use crate::span::{fours, is_smaller, is_within, set, take_in, widen};
use alloc::vec;
use alloc::vec::Vec;

/// Leaves below a branch from which on it keeps its box, for points of this width: the box of a narrow one takes little
/// memory. At most 15, for a branch counts them in four bits.
pub(super) fn small(width: usize) -> u16 {
    if width <= 4 { 4 } else { 8 }
}

/// Boxes of a tree of this many points: an eighth more than the branches of so many leaves that grow on a usual stream.
pub(super) fn most_boxes(capacity: usize, small: u16) -> usize {
    capacity * 9 / (4 * usize::from(small))
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

    /// Asks for the memory of the branches near the root: they are those that keep their boxes.
    #[inline(always)]
    pub(crate) fn fetch_top(&self) {
        // Five of them take not quite a line of 64 bytes.
        for branches in self.branches[..self.boxed as usize].as_chunks::<15>().0 {
            fetch(&branches[0]);
            fetch(&branches[5]);
            fetch(&branches[10]);
        }
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
        if let Some((kept_low, kept_high)) = self.kept_box::<W>(top) {
            return widen(low, high, kept_low, kept_high);
        }
        let size = fours(self.width::<W>());
        let (low, high) = (&mut low[..size], &mut high[..size]);
        // Branches without boxes. Where there was room for all boxes, there are fewer; else it takes another call for
        // some fifteen in a chain.
        let mut waiting = [top; 16];
        let mut count = 1;
        while count > 0 {
            count -= 1;
            for child in self.branches[waiting[count] as usize].children {
                if child & LEAF != 0 {
                    take_in(low, high, self.point::<W>(self.leaves[(child & !LEAF) as usize].start, numbers));
                } else if count < waiting.len() && !self.has_box(child) {
                    waiting[count] = child;
                    count += 1;
                } else {
                    self.cover_below::<W>(child, numbers, low, high);
                }
            }
        }
    }

    /// Sets a box to that around all points below `top`.
    #[inline(always)]
    pub(super) fn hull<const W: usize>(&self, top: Node, numbers: &[f32], low: &mut [Four], high: &mut [Four]) {
        start_hull(low, high);
        self.cover::<W>(top, numbers, low, high);
    }

    /// Follows a point that has come in with `branch`, from there up.
    pub(super) fn grow<const W: usize>(&mut self, branch: Node, point: &[Four], numbers: &[f32], hull: &mut [Four]) {
        let (low, high) = self.corners::<W>(hull);
        let (mut node, mut wider) = (branch, true);
        // A new branch may have been put where there is a box for want of another place.
        let mut fresh = self.has_box(branch);
        while node != NONE {
            let (before, leaves) = (self.branches[node as usize].leaves(), self.count_leaves(node));
            if leaves == self.small && !self.has_box(node) {
                node = self.move_branch(node, true);
                fresh = self.has_box(node);
            }
            if fresh {
                self.set_box::<W>(node, numbers, low, high);
            } else if wider && self.has_box(node) {
                wider = self.grow_box::<W>(node, point);
            }
            if !wider && leaves == before {
                return;
            }
            fresh = false;
            node = self.branches[node as usize].parent;
        }
    }

    /// Widens a kept box around `point`; whether that changes it.
    #[inline(always)]
    fn grow_box<const W: usize>(&mut self, branch: Node, point: &[Four]) -> bool {
        let size = fours(self.width::<W>());
        let (low, high) = self.boxes[branch as usize * 2 * size..][..2 * size].split_at_mut(size);
        let point = &point[..size];
        let changed = is_smaller((low, high), point, point);
        widen(low, high, point, point);
        changed
    }

    /// Follows a point that has gone from below `node`, from there up.
    pub(super) fn shrink<const W: usize>(&mut self, mut node: Node, start: u32, numbers: &[f32], hull: &mut [Four]) {
        let (gone, hull) = hull.split_at_mut(fours(self.width::<W>()));
        let (low, high) = self.corners::<W>(hull);
        set(gone, self.point::<W>(start, numbers));
        // The highest node whose box is known to be `low` and `high`.
        let mut known = NONE;
        let mut smaller = true;
        while node != NONE {
            let (before, leaves) = (self.branches[node as usize].leaves(), self.count_leaves(node));
            if let Some((kept_low, kept_high)) = self.kept_box::<W>(node) {
                smaller = smaller && !is_within(kept_low, kept_high, gone, self.width::<W>());
                if leaves < self.small {
                    node = self.move_branch(node, false);
                }
                if smaller && self.has_box(node) {
                    if known == NONE {
                        start_hull(low, high);
                    }
                    for child in self.branches[node as usize].children.into_iter().filter(|&child| child != known) {
                        self.cover::<W>(child, numbers, low, high);
                    }
                    known = node;
                    smaller = self.fit_box(node, low, high);
                }
            }
            if !smaller && leaves == before {
                return;
            }
            node = self.branches[node as usize].parent;
        }
    }

    /// Sets a kept box to one within it; whether that is smaller.
    #[inline(always)]
    fn fit_box(&mut self, branch: Node, low: &[Four], high: &[Four]) -> bool {
        let size = low.len();
        let (kept_low, kept_high) = self.boxes[branch as usize * 2 * size..][..2 * size].split_at_mut(size);
        let smaller = is_smaller((low, high), kept_low, kept_high);
        kept_low.copy_from_slice(low);
        kept_high.copy_from_slice(high);
        smaller
    }

    /// Works out a kept box from the children's.
    fn set_box<const W: usize>(&mut self, branch: Node, numbers: &[f32], low: &mut [Four], high: &mut [Four]) {
        let [left, right] = self.branches[branch as usize].children;
        self.hull::<W>(left, numbers, low, high);
        self.cover::<W>(right, numbers, low, high);
        self.fit_box(branch, low, high);
    }

    /// Counts the leaves below a branch, up to `small`, by what is known of its children.
    fn count_leaves(&mut self, branch: Node) -> u16 {
        let below = |child: Node| self.branches.get(child as usize).map_or(1, Branch::leaves);
        let [left, right] = self.branches[branch as usize].children.map(below);
        let leaves = (left + right).min(self.small);
        self.branches[branch as usize].set_leaves(leaves);
        leaves
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
        let (low, high) = self.corners::<0>(hull);
        for &branch in places.iter().rev() {
            self.count_leaves(branch);
            if self.has_box(branch) {
                self.set_box::<0>(branch, numbers, low, high);
            }
        }
        let leads_home = |(at, leaf): (usize, &Leaf)| {
            leaf.mass == 0 || self.descend(self.root, self.point::<0>(leaf.start, numbers)) == Some(at as u16)
        };
        self.leaves.iter().enumerate().all(leads_home)
    }

    /// Takes a place for each of a whole tree's branches.
    fn places(&mut self, branches: &[Branch]) -> Vec<Node> {
        let mut leaves = vec![0u16; branches.len()];
        let mut places = vec![NONE; branches.len()];
        for (at, branch) in branches.iter().enumerate().rev() {
            leaves[at] = branch.children.iter().map(|&child| leaves.get(child as usize).map_or(1, |&of| of)).sum();
            if leaves[at] >= self.small && self.free_branches[1] != NONE {
                places[at] = self.take_branch(true);
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
