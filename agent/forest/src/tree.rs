//! One random cut tree.
//!
//! Branches and leaves stand in arrays of their own and name each other by [`Node`], a place in one of them. A place
//! that falls free is used again; all are made when the tree is. A leaf is a place in the shared [`Store`](crate::store)
//! and how often its point stands in the sample. A cut sends values up to and including it to the left.

mod boxes;

use crate::random::Random;
use crate::sampler::Sampler;
use crate::span::{beyond, extent, outside};
use alloc::vec;
use alloc::vec::Vec;
use boxes::{BOXLESS, COUNTED, Extent, small};

pub(crate) use boxes::start_hull;

/// A branch's place; with [`LEAF`] set, a leaf's.
pub(crate) type Node = u16;

pub(crate) const LEAF: Node = 0x8000;

/// No node: above the root, in an empty tree.
pub(crate) const NONE: Node = 0x7fff;

/// Most points a tree can keep, so that their places are not [`NONE`].
pub(crate) const MOST_POINTS: usize = 0x7ffe;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch {
    pub(crate) cut: f32,
    pub(crate) dimension: u16,
    pub(crate) children: [Node; 2],
    pub(crate) parent: Node,
    extent: Extent,
}

impl Branch {
    /// Leads every point back to itself.
    pub(crate) const IDLE: Branch = Branch { cut: 0.0, dimension: 0, children: [0; 2], parent: NONE, extent: BOXLESS };

    /// A branch whose children are not yet known.
    pub(crate) fn new(cut: f32, dimension: u16, parent: Node) -> Self {
        Branch { cut, dimension, children: [NONE; 2], parent, extent: BOXLESS }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    /// Where its point begins in the store.
    pub(crate) start: u32,
    pub(crate) parent: Node,
    /// How often the point stands in the sample; 0 in a free place.
    pub(crate) mass: u16,
}

#[derive(Clone, Debug)]
pub(crate) struct Tree {
    width: usize,
    /// Leaves below a branch from which on it keeps its box.
    small: u16,
    pub(crate) root: Node,
    pub(crate) branches: Vec<Branch>,
    pub(crate) leaves: Vec<Leaf>,
    /// In each place `width` low corners, `width` high corners and the sum of the sides.
    boxes: Vec<f32>,
    /// First of the free places, which name the next by their parent.
    free_branch: Node,
    free_leaf: Node,
    free_boxes: Vec<u16>,
    pub(crate) sampler: Sampler,
    /// What a score in this tree is multiplied by: log2(points kept + 1).
    pub(crate) scale: f64,
}

/// A branch or leaf as [`Tree::climb`] comes by it.
pub(crate) struct Visit<'a> {
    pub(crate) node: Node,
    pub(crate) low: &'a [f32],
    pub(crate) high: &'a [f32],
    /// Sum of the box's sides.
    pub(crate) extent: f32,
    /// How far the point lies outside the box; never 0.
    pub(crate) beyond: f32,
}

impl<'a> Visit<'a> {
    #[inline(always)]
    pub(crate) fn of(node: Node, low: &'a [f32], high: &'a [f32], point: &[f32]) -> Self {
        let width = low.len();
        Visit { node, low, high, extent: extent(low, high, width), beyond: beyond(low, high, point, width) }
    }
}

/// Where the cuts lead a point: a leaf's place without [`LEAF`], and how deep it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) leaf: u16,
    pub(crate) depth: u16,
}

/// A cut that sets a point apart from a node.
struct Separation {
    node: Node,
    dimension: u16,
    cut: f32,
    /// Which child the point becomes: 0 on the left, 1 on the right.
    side: usize,
}

impl Tree {
    /// An empty tree for up to `capacity` points.
    pub(crate) fn new(width: usize, capacity: usize) -> Self {
        let small = small(width);
        let boxes = capacity * 2 / small as usize + 4;
        let free = |place: usize| if place + 1 < capacity { place as Node + 1 } else { NONE };
        Tree {
            width,
            small,
            root: NONE,
            branches: (0..capacity)
                .map(|place| Branch {
                    cut: 0.0,
                    dimension: 0,
                    children: [NONE; 2],
                    parent: free(place),
                    extent: BOXLESS,
                })
                .collect(),
            leaves: (0..capacity).map(|place| Leaf { start: 0, parent: free(place), mass: 0 }).collect(),
            boxes: vec![0.0; boxes * (2 * width + 1)],
            free_branch: 0,
            free_leaf: 0,
            free_boxes: (0..boxes as u16).rev().collect(),
            sampler: Sampler::new(capacity),
            scale: 0.0,
        }
    }

    /// The leaf the cuts lead `point` to, from `node` on.
    pub(crate) fn descend(&self, mut node: Node, point: &[f32]) -> Option<u16> {
        while node & LEAF == 0 && node != NONE {
            node = self.next(node, point);
        }
        (node != NONE).then_some(node & !LEAF)
    }

    /// The child of `branch` to which its cut sends `point`.
    #[inline(always)]
    pub(crate) fn next(&self, branch: Node, point: &[f32]) -> Node {
        let branch = &self.branches[branch as usize];
        branch.children[usize::from(point[branch.dimension as usize] > branch.cut)]
    }

    /// Visits the leaf to which `point` leads and the branches above it, as long as the point lies outside their boxes;
    /// inside one it is inside all above. Whether the leaf holds this very point: then nothing is visited.
    ///
    /// `hull` has room for two corners. A NaN in `point` is nowhere outside.
    #[inline(always)]
    pub(crate) fn climb<const W: usize>(
        &self,
        leaf: u16,
        point: &[f32],
        numbers: &[f32],
        hull: &mut [f32],
        mut visit: impl FnMut(Visit),
    ) -> bool {
        let width = self.width::<W>();
        let (low, high) = hull[..2 * width].split_at_mut(width);
        let Leaf { start, mut parent, .. } = self.leaves[leaf as usize];
        let held = &numbers[start as usize..start as usize + width];
        let apart = beyond(held, held, point, width);
        if apart == 0.0 {
            return true;
        }
        let mut node = leaf | LEAF;
        visit(Visit { node, low: held, high: held, extent: 0.0, beyond: apart });
        // Whether `low` and `high` are the box of `node`; kept up only as far as there are no boxes.
        let mut current = true;
        low.copy_from_slice(held);
        high.copy_from_slice(held);
        while parent != NONE {
            let branch = &self.branches[parent as usize];
            if let Some(kept) = self.kept_box::<W>(parent) {
                let (kept_low, kept_high) = (&kept[..width], &kept[width..2 * width]);
                let beyond = beyond(kept_low, kept_high, point, width);
                if beyond == 0.0 {
                    return false;
                }
                visit(Visit { node: parent, low: kept_low, high: kept_high, extent: kept[2 * width], beyond });
                current = false;
            } else {
                if !current {
                    start_hull(low, high);
                    self.cover::<W>(node, numbers, low, high);
                    current = true;
                }
                self.cover::<W>(self.sibling(node, parent), numbers, low, high);
                let beyond = beyond(low, high, point, width);
                if beyond == 0.0 {
                    return false;
                }
                visit(Visit { node: parent, low, high, extent: extent(low, high, width), beyond });
            }
            node = parent;
            parent = branch.parent;
        }
        false
    }

    /// Takes one point of `leaf` away; the last one takes the leaf and its parent with it. Then the node that has come
    /// to stand in the parent's place is returned, or [`NONE`] for the last leaf.
    pub(crate) fn remove<const W: usize>(&mut self, leaf: u16, numbers: &[f32], hull: &mut [f32]) -> Option<Node> {
        let place = &mut self.leaves[leaf as usize];
        place.mass -= 1;
        if place.mass > 0 {
            return None;
        }
        let (start, parent) = (place.start as usize, place.parent);
        place.parent = self.free_leaf;
        self.free_leaf = leaf;
        if parent == NONE {
            self.root = NONE;
            return Some(NONE);
        }
        let above = self.branches[parent as usize].parent;
        let sibling = self.sibling(leaf | LEAF, parent);
        self.free_branch(parent);
        self.replace_child(above, parent, sibling);
        self.shrink::<W>(above, &numbers[start..start + self.width::<W>()], numbers, hull);
        Some(sibling)
    }

    /// Adds `point`, which begins at `start` in the store and which the cuts lead to `leaf`. Its leaf, and whether that is
    /// a new one, which holds `start`.
    ///
    /// This is algorithm 2 of Guha et al. from below: going down, at every node a cut of the box around node and point
    /// is drawn, and the first that sets the point apart becomes their parent. The draws at different nodes do not
    /// depend on one another, so that they may be made going up, where the last one to set apart wins; and
    /// none will once the point is inside a box.
    pub(crate) fn insert<const W: usize>(
        &mut self,
        leaf: u16,
        start: u32,
        numbers: &[f32],
        hull: &mut [f32],
        random: &mut Random,
    ) -> (u16, bool) {
        let point = &numbers[start as usize..start as usize + self.width::<W>()];
        if self.root == NONE {
            let leaf = self.new_leaf(start, NONE);
            self.root = leaf | LEAF;
            return (leaf, true);
        }
        let mut separation = None;
        let known = self.climb::<W>(leaf, point, numbers, hull, |visit| {
            let draw = random.unit() * (f64::from(visit.extent) + f64::from(visit.beyond));
            if draw < f64::from(visit.beyond) || visit.node & LEAF != 0 {
                separation = Some(separate(&visit, point, draw));
            }
        });
        match separation {
            Some(separation) if !known => (self.join::<W>(separation, start, numbers, hull), true),
            _ => {
                self.leaves[leaf as usize].mass += 1;
                (leaf, false)
            }
        }
    }

    /// Says that the places from these on are free, in a tree that was filled in order.
    pub(crate) fn free_from(&mut self, branch: usize, leaf: usize) {
        let or_none = |place: usize| if place < self.leaves.len() { place as Node } else { NONE };
        (self.free_branch, self.free_leaf) = (or_none(branch), or_none(leaf));
    }

    /// Heap memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.branches.capacity() * size_of::<Branch>()
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.boxes.capacity() * 4
            + 2 * self.free_boxes.capacity()
            + 2 * (self.sampler.keys.capacity() + self.sampler.leaves.capacity())
    }

    /// Numbers in a point: `W`, by which the compiler lays out the arithmetic, or any if `W` is 0.
    #[inline(always)]
    fn width<const W: usize>(&self) -> usize {
        if W == 0 { self.width } else { W }
    }

    /// Puts a branch where the separated node stands, over it and a new leaf with the point at `start`. The new leaf.
    fn join<const W: usize>(&mut self, separation: Separation, start: u32, numbers: &[f32], hull: &mut [f32]) -> u16 {
        let Separation { node, dimension, cut, side } = separation;
        let parent = self.parent(node);
        let branch = self.free_branch;
        self.free_branch = self.branches[branch as usize].parent;
        let leaf = self.new_leaf(start, branch);
        let mut children = [node; 2];
        children[side] = leaf | LEAF;
        self.branches[branch as usize] = Branch { cut, dimension, children, parent, extent: COUNTED | 1 };
        self.replace_child(parent, node, branch);
        self.set_parent(node, branch);
        self.grow::<W>(branch, &numbers[start as usize..start as usize + self.width::<W>()], numbers, hull);
        leaf
    }

    fn free_branch(&mut self, branch: Node) {
        self.free_box(branch);
        self.branches[branch as usize].parent = self.free_branch;
        self.free_branch = branch;
    }

    fn new_leaf(&mut self, start: u32, parent: Node) -> u16 {
        let leaf = self.free_leaf;
        self.free_leaf = self.leaves[leaf as usize].parent;
        self.leaves[leaf as usize] = Leaf { start, parent, mass: 1 };
        leaf
    }

    /// The other child of `parent`.
    #[inline(always)]
    pub(crate) fn sibling(&self, node: Node, parent: Node) -> Node {
        let [left, right] = self.branches[parent as usize].children;
        // In place of a choice that no processor can foresee.
        left ^ right ^ node
    }

    pub(crate) fn parent(&self, node: Node) -> Node {
        if node & LEAF != 0 { self.leaves[(node & !LEAF) as usize].parent } else { self.branches[node as usize].parent }
    }

    fn set_parent(&mut self, node: Node, parent: Node) {
        if node & LEAF != 0 {
            self.leaves[(node & !LEAF) as usize].parent = parent;
        } else {
            self.branches[node as usize].parent = parent;
        }
    }

    /// Hangs `new` where `old` hangs below `parent`.
    fn replace_child(&mut self, parent: Node, old: Node, new: Node) {
        self.set_parent(new, parent);
        if parent == NONE {
            self.root = new;
            return;
        }
        let children = &mut self.branches[parent as usize].children;
        children[usize::from(children[0] != old)] = new;
    }
}

/// The cut that `draw`, uniform below `visit.beyond`, picks among those that set the point apart.
fn separate(visit: &Visit, point: &[f32], draw: f64) -> Separation {
    let mut rest = draw;
    let mut separation = Separation { node: visit.node, dimension: 0, cut: 0.0, side: 0 };
    for (i, ((&low, &high), &value)) in visit.low.iter().zip(visit.high).zip(point).enumerate() {
        let length = outside(low, high, value);
        if length == 0.0 {
            continue;
        }
        // The cut lies from one end up to, but without, the other, whatever was rounded.
        let (from, to, side) = if value < low { (value, low, 0) } else { (high, value, 1) };
        let cut = (f64::from(from) + rest) as f32;
        let cut = if cut < to { cut } else { from };
        separation = Separation { node: visit.node, dimension: i as u16, cut, side };
        if rest < f64::from(length) {
            break;
        }
        rest -= f64::from(length);
    }
    separation
}

#[cfg(test)]
mod tests;
