//! One random cut tree.
//!
//! Branches and leaves stand in arrays of their own and name each other by [`Node`], a place in one of them. A place
//! that falls free is used again; all are made when the tree is. A leaf is a place in the shared [`Store`](crate::store)
//! and how often its point stands in the sample. A cut sends values up to and including it to the left.

mod boxes;
mod cut;

use crate::four::Four;
use crate::random::Random;
use crate::sampler::Sampler;
use crate::span::{compare, fours, set};
use alloc::vec;
use alloc::vec::Vec;
use boxes::{most_boxes, small};
use cut::{Separation, separate};

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
    /// The number that is cut, below [`MOST_NUMBERS`](crate::options::MOST_NUMBERS); in the upper four bits how many leaves
    /// stand below, up to the tree's [`small`](Tree::small).
    packed: u16,
    pub(crate) children: [Node; 2],
    pub(crate) parent: Node,
}

impl Branch {
    /// Leads every point round to itself, at the first place.
    pub(crate) const ROUND: Branch = Branch::new(0.0, 0, [0; 2], NONE);

    /// A branch of which it is not yet known how many leaves stand below.
    pub(crate) const fn new(cut: f32, dimension: u16, children: [Node; 2], parent: Node) -> Self {
        Branch { cut, packed: dimension, children, parent }
    }

    pub(crate) fn dimension(&self) -> usize {
        usize::from(self.packed & 0xfff)
    }

    fn leaves(&self) -> u16 {
        self.packed >> 12
    }

    fn set_leaves(&mut self, leaves: u16) {
        self.packed = self.packed & 0xfff | leaves << 12;
    }

    /// The child to which the cut sends `point`, which has `W` numbers, or any if `W` is 0.
    #[inline(always)]
    pub(crate) fn next<const W: usize>(&self, point: &[f32]) -> Node {
        // A power of two saves the question whether there is such a number.
        let at = if W.is_power_of_two() { usize::from(self.packed) & (W - 1) } else { self.dimension() };
        self.children[usize::from(point[at] > self.cut)]
    }

    /// The other child.
    #[inline(always)]
    pub(crate) fn other(&self, child: Node) -> Node {
        // In place of a choice that no processor can foresee.
        self.children[0] ^ self.children[1] ^ child
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
    /// Those in the first `boxed` places keep their boxes, the others none.
    pub(crate) branches: Vec<Branch>,
    boxed: u16,
    pub(crate) leaves: Vec<Leaf>,
    /// In each place the low and the high corner of the branch at the same place.
    boxes: Vec<Four>,
    /// First of the free places without and with a box; they name the next by their parent, as the free leaves do.
    free_branches: [Node; 2],
    free_leaf: Node,
    pub(crate) sampler: Sampler,
    /// What a score in this tree is multiplied by: log2(points kept + 1).
    pub(crate) scale: f64,
}

/// A branch or leaf as [`Tree::climb`] comes by it.
pub(crate) struct Visit<'a> {
    pub(crate) node: Node,
    pub(crate) low: &'a [Four],
    pub(crate) high: &'a [Four],
    /// Sum of the box's sides.
    pub(crate) extent: f32,
    /// How far the point lies outside the box; never 0.
    pub(crate) beyond: f32,
}

/// Where the cuts lead a point: a leaf's place without [`LEAF`], and how deep it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) leaf: u16,
    pub(crate) depth: u16,
}

impl Tree {
    /// An empty tree for up to `capacity` points.
    pub(crate) fn new(width: usize, capacity: usize) -> Self {
        Self::with_boxes(width, capacity, most_boxes(capacity, small(width)))
    }

    /// The same with room for this many boxes.
    fn with_boxes(width: usize, capacity: usize, boxes: usize) -> Self {
        // A few more than there are branches, so that those without a box seldom have to go where there is one.
        let places = (capacity + capacity / 32).min(MOST_POINTS);
        let next = |place: usize, end: usize| if place + 1 < end { place as Node + 1 } else { NONE };
        let branch = |place: usize| {
            let parent = next(place, if place < boxes { boxes } else { places });
            Branch::new(0.0, 0, [NONE; 2], parent)
        };
        let first = |place: usize, end: usize| if place < end { place as Node } else { NONE };
        Tree {
            width,
            small: small(width),
            root: NONE,
            branches: (0..places).map(branch).collect(),
            leaves: (0..capacity).map(|place| Leaf { start: 0, parent: next(place, capacity), mass: 0 }).collect(),
            boxed: boxes as u16,
            boxes: vec![Four::zero(); boxes * 2 * fours(width)],
            free_branches: [first(boxes, places), first(0, boxes)],
            free_leaf: 0,
            sampler: Sampler::new(capacity),
            scale: 0.0,
        }
    }

    /// The leaf the cuts lead `point` to, from `node` on.
    pub(crate) fn descend(&self, mut node: Node, point: &[f32]) -> Option<u16> {
        while node & LEAF == 0 && node != NONE {
            node = self.branches[node as usize].next::<0>(point);
        }
        (node != NONE).then_some(node & !LEAF)
    }

    /// Visits the leaf to which `point` leads and the branches above it, as long as the point lies outside their boxes;
    /// inside one it is inside all above. Whether the leaf holds this very point: then nothing is visited.
    ///
    /// `hull` has room for two corners. A NaN in `point` is nowhere outside.
    #[inline(always)]
    pub(crate) fn climb<const W: usize>(
        &self,
        leaf: u16,
        point: &[Four],
        numbers: &[f32],
        hull: &mut [Four],
        mut visit: impl FnMut(Visit),
    ) -> bool {
        let (low, high) = self.corners::<W>(hull);
        let point = &point[..low.len()];
        let Leaf { start, mut parent, .. } = self.leaves[leaf as usize];
        set(low, self.point::<W>(start, numbers));
        high.copy_from_slice(low);
        let (beyond, _) = compare(low, high, point);
        if beyond <= 0.0 {
            return true;
        }
        let mut node = leaf | LEAF;
        visit(Visit { node, low, high, extent: 0.0, beyond });
        loop {
            // As long as there are no boxes, that of `node` is in `low` and `high`.
            while let Some(branch) = self.branches.get(parent as usize).filter(|_| !self.has_box(parent)) {
                self.cover::<W>(branch.other(node), numbers, low, high);
                let (beyond, extent) = compare(low, high, point);
                if beyond <= 0.0 {
                    return false;
                }
                visit(Visit { node: parent, low, high, extent, beyond });
                (node, parent) = (parent, branch.parent);
            }
            while let Some((kept_low, kept_high)) = self.kept_box::<W>(parent) {
                let (beyond, extent) = compare(kept_low, kept_high, point);
                if beyond <= 0.0 {
                    return false;
                }
                visit(Visit { node: parent, low: kept_low, high: kept_high, extent, beyond });
                (node, parent) = (parent, self.branches[parent as usize].parent);
            }
            if parent == NONE {
                return false;
            }
            // There was no room for a box above one.
            self.hull::<W>(node, numbers, low, high);
        }
    }

    /// Takes one point of `leaf` away; the last one takes the leaf and its parent with it. Then the node that has come
    /// to stand in the parent's place is returned, or [`NONE`] for the last leaf.
    pub(crate) fn remove<const W: usize>(&mut self, leaf: u16, numbers: &[f32], hull: &mut [Four]) -> Option<Node> {
        let place = &mut self.leaves[leaf as usize];
        place.mass -= 1;
        if place.mass > 0 {
            return None;
        }
        let (start, parent) = (place.start, place.parent);
        place.parent = self.free_leaf;
        self.free_leaf = leaf;
        if parent == NONE {
            self.root = NONE;
            return Some(NONE);
        }
        let branch = self.branches[parent as usize];
        let sibling = branch.other(leaf | LEAF);
        self.free_branch(parent);
        self.replace_child(branch.parent, parent, sibling);
        self.shrink::<W>(branch.parent, start, numbers, hull);
        Some(sibling)
    }

    /// Adds `point`, which begins at `start` in the store and which the cuts lead to `leaf`. Its leaf.
    ///
    /// This is algorithm 2 of Guha et al. from below: going down, at every node a cut of the box around node and point
    /// is drawn, and the first that sets the point apart becomes their parent. The draws at different nodes do not
    /// depend on one another, so that they may be made going up, where the last one to set apart wins; and
    /// none will once the point is inside a box.
    pub(crate) fn insert<const W: usize>(
        &mut self,
        leaf: u16,
        start: u32,
        point: &[Four],
        numbers: &[f32],
        hull: &mut [Four],
        random: &mut Random,
    ) -> u16 {
        if self.root == NONE {
            let leaf = self.new_leaf(start, NONE);
            self.root = leaf | LEAF;
            return leaf;
        }
        let (mut apart, mut cut) = (leaf | LEAF, 0);
        let is_known = self.climb::<W>(leaf, point, numbers, hull, |visit| {
            let beyond = f64::from(visit.beyond);
            let draw = random.unit() * (f64::from(visit.extent) + beyond);
            // A choice that no processor can foresee: the bits are chosen without a jump.
            let is_apart = draw < beyond || visit.extent == 0.0;
            apart = if is_apart { visit.node } else { apart };
            cut = if is_apart { draw.to_bits() } else { cut };
        });
        if is_known {
            self.leaves[leaf as usize].mass += 1;
            return leaf;
        }
        self.join::<W>(apart, f64::from_bits(cut), (start, point), numbers, hull)
    }

    /// Says that the leaves' places from this one on are free, in a tree that was filled in order.
    pub(crate) fn free_leaves_from(&mut self, leaf: usize) {
        self.free_leaf = if leaf < self.leaves.len() { leaf as Node } else { NONE };
    }

    /// Heap memory in bytes that [`Tree::new`] takes.
    pub(crate) fn bytes_needed(width: usize, capacity: usize) -> usize {
        let boxes = most_boxes(capacity, small(width)) * 2 * fours(width) * size_of::<Four>();
        let places = capacity + capacity / 32;
        places * size_of::<Branch>() + capacity * (size_of::<Leaf>() + 2 * size_of::<u16>()) + boxes
    }

    /// Heap memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.branches.capacity() * size_of::<Branch>()
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.boxes.capacity() * size_of::<Four>()
            + 2 * (self.sampler.keys.capacity() + self.sampler.leaves.capacity())
    }

    /// Numbers in a point: `W`, by which the compiler lays out the arithmetic, or any if `W` is 0.
    #[inline(always)]
    fn width<const W: usize>(&self) -> usize {
        if W == 0 { self.width } else { W }
    }

    #[inline(always)]
    fn point<'a, const W: usize>(&self, start: u32, numbers: &'a [f32]) -> &'a [f32] {
        &numbers[start as usize..start as usize + self.width::<W>()]
    }

    /// Two corners out of `hull`.
    #[inline(always)]
    fn corners<'a, const W: usize>(&self, hull: &'a mut [Four]) -> (&'a mut [Four], &'a mut [Four]) {
        let size = fours(self.width::<W>());
        hull[..2 * size].split_at_mut(size)
    }

    /// Puts a branch where `node` stands, over it and a new leaf with the point at `start`, by the cut that `draw` picks.
    /// The new leaf.
    fn join<const W: usize>(
        &mut self,
        node: Node,
        draw: f64,
        (start, point): (u32, &[Four]),
        numbers: &[f32],
        hull: &mut [Four],
    ) -> u16 {
        let (low, high) = self.corners::<W>(hull);
        self.hull::<W>(node, numbers, low, high);
        let Separation { dimension, cut, side } = separate(low, high, self.point::<W>(start, numbers), draw);
        let parent = self.parent(node);
        let branch = self.take_branch(false);
        let leaf = self.new_leaf(start, branch);
        let mut children = [node; 2];
        children[side] = leaf | LEAF;
        self.branches[branch as usize] = Branch::new(cut, dimension, children, parent);
        self.replace_child(parent, node, branch);
        self.set_parent(node, branch);
        self.grow::<W>(branch, point, numbers, hull);
        leaf
    }

    /// A free place with a box or without one; if there is none, one of the other kind.
    fn take_branch(&mut self, with_box: bool) -> Node {
        let mut kind = usize::from(with_box);
        if self.free_branches[kind] == NONE {
            kind = 1 - kind;
        }
        let branch = self.free_branches[kind];
        self.free_branches[kind] = self.branches[branch as usize].parent;
        branch
    }

    fn free_branch(&mut self, branch: Node) {
        let kind = usize::from(self.has_box(branch));
        self.branches[branch as usize].parent = self.free_branches[kind];
        self.free_branches[kind] = branch;
    }

    fn new_leaf(&mut self, start: u32, parent: Node) -> u16 {
        let leaf = self.free_leaf;
        self.free_leaf = self.leaves[leaf as usize].parent;
        self.leaves[leaf as usize] = Leaf { start, parent, mass: 1 };
        leaf
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

#[cfg(test)]
mod tests;
