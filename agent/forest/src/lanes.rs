//! A point sent down all trees, several at a time: each step waits for memory, so that eight trees take hardly longer
//! than one.

use crate::tree::{Branch, Found, LEAF, NONE, Node, Tree};

const LANES: usize = 8;

/// A tree being descended.
#[derive(Clone, Copy)]
struct Lane<'a> {
    branches: &'a [Branch],
    node: Node,
    /// The round in which it started.
    since: u16,
    tree: u32,
}

impl Lane<'_> {
    /// One branch down. Whether that is a leaf.
    #[inline(always)]
    fn step(&mut self, point: &[f32]) -> bool {
        let branch = &self.branches[self.node as usize];
        self.node = branch.children[usize::from(point[branch.dimension as usize] > branch.cut)];
        self.node & LEAF != 0
    }

    /// Where it has come to, in this round.
    #[inline(always)]
    fn found(&self, round: u16) -> (usize, Found) {
        (self.tree as usize, Found { leaf: self.node & !LEAF, depth: round.wrapping_sub(self.since) })
    }
}

/// Tells `arrived` where the cuts lead `point` in each tree, in the order in which it gets there. Nothing is said of an
/// empty tree.
#[inline(always)]
pub(crate) fn descend_all(trees: &[Tree], point: &[f32], mut arrived: impl FnMut(usize, Found)) {
    let mut waiting = 0;
    // The next tree with a branch to start from. In a tree of one leaf the point is there at once.
    let mut start = |round: u16, arrived: &mut dyn FnMut(usize, Found)| {
        while let Some(tree) = trees.get(waiting) {
            waiting += 1;
            if tree.root & LEAF == 0 && tree.root != NONE {
                let lane = Lane { branches: &tree.branches, node: tree.root, since: round, tree: waiting as u32 - 1 };
                return Some(lane);
            }
            if tree.root != NONE {
                arrived(waiting - 1, Found { leaf: tree.root & !LEAF, depth: 0 });
            }
        }
        None
    };
    let idle = [Branch::IDLE];
    let mut lanes = [Lane { branches: &idle, node: 0, since: 0, tree: 0 }; LANES];
    // Rounds may wrap: no tree is that deep.
    let (mut busy, mut round) = (0, 0u16);
    for lane in &mut lanes {
        let Some(started) = start(round, &mut arrived) else { break };
        *lane = started;
        busy += 1;
    }
    while busy > 0 {
        round = round.wrapping_add(1);
        for lane in &mut lanes {
            if lane.step(point) {
                let (tree, found) = lane.found(round);
                arrived(tree, found);
                *lane = start(round, &mut arrived).unwrap_or_else(|| {
                    busy -= 1;
                    Lane { branches: &idle, node: 0, since: 0, tree: 0 }
                });
            }
        }
    }
}
