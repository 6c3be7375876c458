//! One random cut tree.
//!
//! Nodes stand in one array and name each other by index; a removed node's place is used again. Every node has the box
//! of the points below it, a leaf the box of its one point. A cut sends values up to and including it to the left.

use crate::log2;
use crate::random::Random;
use alloc::vec::Vec;

/// Index of a node. A leaf keeps its index as long as it stands.
pub(crate) type Node = u32;

/// No node: above the root, below a leaf, in an empty tree.
const NONE: Node = Node::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Tree {
    width: usize,
    root: Node,
    links: Vec<Links>,
    /// For each node `width` low corners, then `width` high corners.
    boxes: Vec<f32>,
    free: Vec<Node>,
    random: Random,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    parent: Node,
    /// Both `NONE` in a leaf.
    left: Node,
    right: Node,
    /// Points below; in a leaf, how often its point stands in the sample.
    mass: u32,
    cut: Cut,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    dimension: u32,
    value: f32,
}

impl Tree {
    pub(crate) fn new(width: usize, seed: u64) -> Self {
        let (links, boxes, free) = (Vec::new(), Vec::new(), Vec::new());
        Tree { width, root: NONE, links, boxes, free, random: Random::new(seed) }
    }

    /// Points in the tree, repeats counted.
    pub(crate) fn mass(&self) -> u32 {
        if self.root == NONE { 0 } else { self.at(self.root).mass }
    }

    /// Score of `point`, as the AWS library defines it: from the leaf that the cuts lead to up to the root, the score
    /// of standing apart at a node, weighed by the chance that a cut of that node's box would set the point apart.
    /// The tree must not be empty.
    pub(crate) fn score(&self, point: &[f32]) -> f64 {
        let (mut node, mut depth) = (self.root, 0u32);
        while !self.is_leaf(node) {
            node = self.side_of(node, point);
            depth += 1;
        }
        let (tree_mass, leaf_mass) = (f64::from(self.mass()), f64::from(self.at(node).mass));
        let seen = self.low(node) == point;
        let mut score = if seen {
            // A point that fills much of the sample is usual however shallow it stands: at most halved.
            (1.0 - leaf_mass / (2.0 * tree_mass)) / (f64::from(depth) + log2(leaf_mass + 1.0))
        } else {
            apart_at(depth)
        };
        while self.at(node).parent != NONE && !seen {
            node = self.at(node).parent;
            depth -= 1;
            let chance = self.chance_apart(node, point);
            // Inside this box is inside all boxes above.
            if chance == 0.0 {
                break;
            }
            score = (1.0 - chance) * score + chance * apart_at(depth);
        }
        score * log2(tree_mass + 1.0)
    }

    /// Adds `point` and returns its leaf (Guha et al., algorithm 2): going down, at every node a cut of the box that
    /// holds node and point; the first that parts them becomes their parent.
    pub(crate) fn insert(&mut self, point: &[f32]) -> Node {
        if self.root == NONE {
            self.root = self.new_leaf(point, NONE);
            return self.root;
        }
        let mut node = self.root;
        loop {
            if self.is_leaf(node) && self.low(node) == point {
                self.add_above(node, point);
                return node;
            }
            let cut = self.random_cut(node, point);
            let (dimension, value) = (cut.dimension as usize, cut.value);
            if point[dimension] <= value && value < self.low(node)[dimension] {
                let leaf = self.new_leaf(point, NONE);
                return self.join(node, leaf, (leaf, node), cut);
            }
            if self.high(node)[dimension] <= value && value < point[dimension] {
                let leaf = self.new_leaf(point, NONE);
                return self.join(node, leaf, (node, leaf), cut);
            }
            // A leaf never comes here: each cut of the box of two points parts them.
            node = self.side_of(node, point);
        }
    }

    /// Takes one point of `leaf` away; the last one takes the leaf and its parent with it.
    pub(crate) fn remove(&mut self, leaf: Node) {
        let Links { parent, mass, .. } = self.at(leaf);
        if mass > 1 {
            let mut node = leaf;
            while node != NONE {
                self.links[node as usize].mass -= 1;
                node = self.at(node).parent;
            }
            return;
        }
        self.free.push(leaf);
        if parent == NONE {
            self.root = NONE;
            return;
        }
        let Links { left, right, parent: above, .. } = self.at(parent);
        let sibling = if left == leaf { right } else { left };
        self.free.push(parent);
        self.replace_child(above, parent, sibling);
        let mut node = above;
        while node != NONE {
            self.links[node as usize].mass -= 1;
            self.fit_box(node);
            node = self.at(node).parent;
        }
    }

    /// Low corner of a node's box; of a leaf, its point.
    pub(crate) fn low(&self, node: Node) -> &[f32] {
        let start = node as usize * 2 * self.width;
        &self.boxes[start..start + self.width]
    }

    fn high(&self, node: Node) -> &[f32] {
        let start = (node as usize * 2 + 1) * self.width;
        &self.boxes[start..start + self.width]
    }

    fn at(&self, node: Node) -> Links {
        self.links[node as usize]
    }

    fn is_leaf(&self, node: Node) -> bool {
        self.at(node).left == NONE
    }

    /// The child on whose side of the cut `point` lies.
    fn side_of(&self, branch: Node, point: &[f32]) -> Node {
        let Links { left, right, cut, .. } = self.at(branch);
        if point[cut.dimension as usize] <= cut.value { left } else { right }
    }

    /// Chance that a random cut of the box around `node` and `point` sets the point apart from the node.
    fn chance_apart(&self, node: Node, point: &[f32]) -> f64 {
        let (mut extent, mut beyond) = (0.0f64, 0.0f64);
        for ((&low, &high), &value) in self.low(node).iter().zip(self.high(node)).zip(point) {
            let (low, high, value) = (f64::from(low), f64::from(high), f64::from(value));
            extent += high - low;
            beyond += (low - value).max(0.0) + (value - high).max(0.0);
        }
        if beyond == 0.0 { 0.0 } else { beyond / (extent + beyond) }
    }

    /// A random cut of the box around `node` and `point`: a dimension by its extent, then a value from its low end up
    /// to, but without, its high end. The box must have an extent.
    fn random_cut(&mut self, node: Node, point: &[f32]) -> Cut {
        let span = |tree: &Tree, i: usize| (tree.low(node)[i].min(point[i]), tree.high(node)[i].max(point[i]));
        let extent = |(low, high): (f32, f32)| f64::from(high) - f64::from(low);
        let total: f64 = (0..self.width).map(|i| extent(span(self, i))).sum();
        let mut rest = self.random.unit() * total;
        // Rounding may leave a rest behind the last dimension: then the last one that has an extent is cut at its low end.
        let mut cut = Cut { dimension: 0, value: 0.0 };
        for i in 0..self.width {
            let (low, high) = span(self, i);
            let length = extent((low, high));
            if length == 0.0 {
                continue;
            }
            let value = (f64::from(low) + rest) as f32;
            cut = Cut { dimension: i as u32, value: if value < high { value.max(low) } else { low } };
            if rest < length {
                break;
            }
            rest -= length;
        }
        cut
    }

    /// Puts a branch where `node` stands, over `node` and the new `leaf`, and returns the leaf.
    fn join(&mut self, node: Node, leaf: Node, (left, right): (Node, Node), cut: Cut) -> Node {
        let parent = self.at(node).parent;
        let mass = self.at(node).mass;
        let branch = self.new_node(Links { parent, left, right, mass, cut });
        self.replace_child(parent, node, branch);
        self.links[node as usize].parent = branch;
        self.links[leaf as usize].parent = branch;
        self.fit_box(branch);
        let point: Vec<f32> = self.low(leaf).to_vec();
        self.add_above(branch, &point);
        leaf
    }

    /// Counts `point` in `node` and all above, and widens their boxes around it.
    fn add_above(&mut self, mut node: Node, point: &[f32]) {
        while node != NONE {
            self.links[node as usize].mass += 1;
            let start = node as usize * 2 * self.width;
            let (low, high) = self.boxes[start..start + 2 * self.width].split_at_mut(self.width);
            for ((low, high), &value) in low.iter_mut().zip(high).zip(point) {
                *low = low.min(value);
                *high = high.max(value);
            }
            node = self.at(node).parent;
        }
    }

    /// Sets a branch's box to the hull of its children's.
    fn fit_box(&mut self, branch: Node) {
        let Links { left, right, .. } = self.at(branch);
        let start = branch as usize * 2 * self.width;
        for i in 0..self.width {
            self.boxes[start + i] = self.low(left)[i].min(self.low(right)[i]);
            self.boxes[start + self.width + i] = self.high(left)[i].max(self.high(right)[i]);
        }
    }

    /// Hangs `new` where `old` hangs below `parent`.
    fn replace_child(&mut self, parent: Node, old: Node, new: Node) {
        self.links[new as usize].parent = parent;
        if parent == NONE {
            self.root = new;
            return;
        }
        let links = &mut self.links[parent as usize];
        if links.left == old {
            links.left = new;
        } else {
            links.right = new;
        }
    }

    fn new_leaf(&mut self, point: &[f32], parent: Node) -> Node {
        let cut = Cut { dimension: 0, value: 0.0 };
        let leaf = self.new_node(Links { parent, left: NONE, right: NONE, mass: 1, cut });
        let start = leaf as usize * 2 * self.width;
        self.boxes[start..start + self.width].copy_from_slice(point);
        self.boxes[start + self.width..start + 2 * self.width].copy_from_slice(point);
        leaf
    }

    /// A node in a free place, or a new one; its box is not yet set.
    fn new_node(&mut self, links: Links) -> Node {
        if let Some(node) = self.free.pop() {
            self.links[node as usize] = links;
            return node;
        }
        self.links.push(links);
        self.boxes.resize(self.links.len() * 2 * self.width, 0.0);
        (self.links.len() - 1) as Node
    }
}

/// Score of standing apart at `depth`.
fn apart_at(depth: u32) -> f64 {
    1.0 / (f64::from(depth) + 1.0)
}

#[cfg(test)]
mod tests;
