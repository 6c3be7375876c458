//! The boxes around the points below a tree's branches.
//!
//! Most branches have only a few leaves below: their boxes are worked out from the points when they are needed. From a
//! few leaves up, see [`small`], a branch keeps its box. Should there be no room for one, as in a tree that has grown like
//! a chain, its box is worked out as well: that costs time, and changes nothing else.

use super::{LEAF, Leaf, NONE, Node, Tree};
use crate::four::fetch;
use crate::span::{beyond, extent, widen};
use alloc::vec;

/// What a branch knows of the box around the points below it, in 16 bits: the place of its box; or, with the top bit set,
/// how many leaves stand below, if these are fewer than `small`; or [`BOXLESS`].
pub(super) type Extent = u16;

/// So many leaves or more, and no room for a box.
pub(super) const BOXLESS: Extent = 0xffff;
pub(super) const COUNTED: Extent = 0x8000;

/// Branches above a leaf that are fetched ahead.
const FETCHED: usize = 3;

/// Leaves below a branch from which on it keeps its box, for points of this width: of a narrow one a box takes no more
/// memory than what it saves; of a wide one much, and working it out is little beside that.
pub(super) fn small(width: usize) -> u16 {
    match width {
        ..=2 => 2,
        3..=4 => 4,
        5..=12 => 6,
        _ => 8,
    }
}

impl Tree {
    /// Has the boxes above a leaf fetched into the cache: as many as a usual point lies outside of.
    #[inline(always)]
    pub(crate) fn fetch<const W: usize>(&self, leaf: u16) {
        let mut node = self.leaves[leaf as usize].parent;
        for _ in 0..FETCHED {
            let Some(branch) = self.branches.get(node as usize) else { return };
            // Where there is no box, the first of all is fetched: a choice would be foreseen wrongly too often.
            let place = branch.extent & (branch.extent >> 15).wrapping_sub(1);
            let size = 2 * self.width::<W>() + 1;
            if let Some(kept) = self.boxes.get(place as usize * size..(place as usize + 1) * size) {
                fetch(&kept[0]);
                fetch(&kept[size - 1]);
            }
            node = branch.parent;
        }
    }

    /// Works out the boxes of a tree that has none yet. Whether its cuts lead every leaf's point to that leaf.
    pub(crate) fn restore_boxes(&mut self, numbers: &[f32], hull: &mut [f32]) -> bool {
        let (low, high) = hull.split_at_mut(self.width);
        let mut waiting = vec![(self.root, false)];
        while let Some((node, children_done)) = waiting.pop() {
            if node & LEAF != 0 {
                let place = node & !LEAF;
                let start = self.leaves[place as usize].start as usize;
                if self.descend(self.root, &numbers[start..start + self.width]) != Some(place) {
                    return false;
                }
            } else if children_done {
                self.count_or_keep::<0>(node, numbers, low, high);
            } else {
                waiting.push((node, true));
                waiting.extend(self.branches[node as usize].children.map(|child| (child, false)));
            }
        }
        true
    }

    #[inline(always)]
    pub(super) fn kept_box<const W: usize>(&self, branch: Node) -> Option<&[f32]> {
        let width = self.width::<W>();
        let extent = self.branches[branch as usize].extent;
        let size = 2 * width + 1;
        if extent & COUNTED == 0 { Some(&self.boxes[extent as usize * size..][..size]) } else { None }
    }

    /// Widens a box around all points below `top`.
    #[inline(always)]
    pub(crate) fn cover<const W: usize>(&self, top: Node, numbers: &[f32], low: &mut [f32], high: &mut [f32]) {
        if top & LEAF != 0 {
            let (width, start) = (self.width::<W>(), self.leaves[(top & !LEAF) as usize].start as usize);
            let point = &numbers[start..start + width];
            widen(low, high, point, point, width);
        } else {
            self.cover_below::<W>(top, numbers, low, high);
        }
    }

    fn cover_below<const W: usize>(&self, top: Node, numbers: &[f32], low: &mut [f32], high: &mut [f32]) {
        let width = self.width::<W>();
        let mut node = top;
        loop {
            // Down to the left, as far as nothing is known.
            let parent = loop {
                if node & LEAF != 0 {
                    let Leaf { start, parent, .. } = self.leaves[(node & !LEAF) as usize];
                    let point = &numbers[start as usize..start as usize + width];
                    widen(low, high, point, point, width);
                    break parent;
                }
                let branch = &self.branches[node as usize];
                if let Some(kept) = self.kept_box::<W>(node) {
                    widen(low, high, &kept[..width], &kept[width..], width);
                    break branch.parent;
                }
                node = branch.children[0];
            };
            // Up from the right, then over to the next on the right.
            let mut parent = parent;
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

    /// Follows a point that has come in below `node`, from there up.
    pub(super) fn grow<const W: usize>(&mut self, mut node: Node, point: &[f32], numbers: &[f32], hull: &mut [f32]) {
        let (low, high) = hull.split_at_mut(self.width::<W>());
        while node != NONE {
            let extent_before = self.branches[node as usize].extent;
            if extent_before & COUNTED == 0 {
                if !self.grow_box::<W>(extent_before, point) {
                    return;
                }
            } else {
                self.count_or_keep::<W>(node, numbers, low, high);
            }
            node = self.branches[node as usize].parent;
        }
    }

    /// Widens the box at a place around `point`; whether that changes it.
    fn grow_box<const W: usize>(&mut self, place: Extent, point: &[f32]) -> bool {
        let width = self.width::<W>();
        let size = 2 * width + 1;
        let kept = &mut self.boxes[place as usize * size..][..size];
        let (low, rest) = kept.split_at_mut(width);
        let (high, sum) = rest.split_at_mut(width);
        if beyond(low, high, point, width) == 0.0 {
            return false;
        }
        widen(low, high, point, point, width);
        sum[0] = extent(low, high, width);
        true
    }

    /// Follows a point that has gone from below `node`, from there up.
    pub(super) fn shrink<const W: usize>(&mut self, mut node: Node, point: &[f32], numbers: &[f32], hull: &mut [f32]) {
        let width = self.width::<W>();
        let (low, high) = hull.split_at_mut(width);
        let (mut fewer, mut smaller) = (true, true);
        while node != NONE && (fewer || smaller) {
            if fewer {
                let leaves = self.leaves_below(node);
                if leaves < self.small {
                    self.free_box(node);
                    self.branches[node as usize].extent = COUNTED | leaves;
                }
                fewer = leaves < self.small;
            }
            if let Some(kept) = self.kept_box::<W>(node) {
                let edge = |i: usize| point[i] <= kept[i] || point[i] >= kept[width + i];
                smaller = smaller && (0..width).any(edge);
                if smaller {
                    smaller = self.fit_box::<W>(node, numbers, low, high);
                }
            }
            node = self.branches[node as usize].parent;
        }
    }

    /// Sets a kept box to the hull of the children's; whether that changes it.
    fn fit_box<const W: usize>(&mut self, branch: Node, numbers: &[f32], low: &mut [f32], high: &mut [f32]) -> bool {
        let width = self.width::<W>();
        start_hull(low, high);
        for child in self.branches[branch as usize].children {
            self.cover::<W>(child, numbers, low, high);
        }
        let size = 2 * width + 1;
        let kept = &mut self.boxes[self.branches[branch as usize].extent as usize * size..][..size];
        let changed = kept[..width] != *low || kept[width..2 * width] != *high;
        kept[..width].copy_from_slice(low);
        kept[width..2 * width].copy_from_slice(high);
        kept[2 * width] = extent(low, high, width);
        changed
    }

    /// Counts the leaves below a branch that has no box; gives it one, if these are enough and there is room.
    fn count_or_keep<const W: usize>(&mut self, branch: Node, numbers: &[f32], low: &mut [f32], high: &mut [f32]) {
        let leaves = self.leaves_below(branch);
        let extent = if leaves < self.small { COUNTED | leaves } else { self.free_boxes.pop().unwrap_or(BOXLESS) };
        self.branches[branch as usize].extent = extent;
        if extent & COUNTED == 0 {
            self.fit_box::<W>(branch, numbers, low, high);
        }
    }

    /// Leaves below a branch, up to `small`, by what its children know.
    fn leaves_below(&self, branch: Node) -> u16 {
        let below = self.branches[branch as usize].children.map(|child| {
            if child & LEAF != 0 {
                return 1;
            }
            let extent = self.branches[child as usize].extent;
            if extent & COUNTED == 0 { self.small } else { (extent & !COUNTED).min(self.small) }
        });
        (below[0] + below[1]).min(self.small)
    }

    pub(super) fn free_box(&mut self, branch: Node) {
        let extent = self.branches[branch as usize].extent;
        if extent & COUNTED == 0 {
            self.free_boxes.push(extent);
        }
        self.branches[branch as usize].extent = BOXLESS;
    }
}

/// A box that holds nothing yet.
pub(crate) fn start_hull(low: &mut [f32], high: &mut [f32]) {
    low.fill(f32::INFINITY);
    high.fill(f32::NEG_INFINITY);
}
