//! A point sent down all trees, several at a time: each step waits for memory, so that four trees take hardly longer
//! than one.

use crate::tree::{Branch, Found, LEAF, Node, Tree};

const LANES: usize = 4;

/// A tree being descended.
#[derive(Clone, Copy)]
struct Lane<'a> {
    branches: &'a [Branch],
    node: Node,
    depth: u16,
    tree: usize,
}

impl<'a> Lane<'a> {
    fn start((at, tree): (usize, &'a Tree)) -> Self {
        Lane { branches: &tree.branches, node: tree.root, depth: 0, tree: at }
    }

    /// One branch down; `false` if there is none.
    #[inline(always)]
    fn step<const W: usize>(&mut self, point: &[f32]) -> bool {
        // A leaf is a place that no branch has.
        let Some(branch) = self.branches.get(self.node as usize) else { return false };
        self.node = branch.next::<W>(point);
        self.depth += 1;
        true
    }

    fn found(&self) -> (usize, Found) {
        (self.tree, Found { leaf: self.node & !LEAF, depth: self.depth })
    }
}

/// Tells `arrived` where the cuts lead `point` in each tree, in the order in which it gets there. No tree may be empty.
#[inline(always)]
pub(crate) fn descend_all<const W: usize>(trees: &[Tree], point: &[f32], mut arrived: impl FnMut(usize, Found)) {
    let point = if W == 0 { point } else { &point[..W] };
    let mut waiting = trees.iter().enumerate().map(Lane::start);
    let mut lanes = [const { Lane { branches: &[], node: LEAF, depth: 0, tree: usize::MAX } }; LANES];
    let mut busy = 0;
    for (lane, start) in lanes.iter_mut().zip(&mut waiting) {
        *lane = start;
        busy += 1;
    }
    if busy == LANES {
        loop {
            let at = first_to_arrive::<W>(&mut lanes, point);
            let (tree, found) = lanes[at].found();
            arrived(tree, found);
            let Some(next) = waiting.next() else {
                busy -= 1;
                lanes.swap(at, busy);
                break;
            };
            lanes[at] = next;
        }
    }
    for lane in &mut lanes[..busy] {
        while lane.step::<W>(point) {}
        let (tree, found) = lane.found();
        arrived(tree, found);
    }
}

/// Goes on in all lanes until one is at a leaf: which one.
#[inline(always)]
fn first_to_arrive<const W: usize>(lanes: &mut [Lane; LANES], point: &[f32]) -> usize {
    loop {
        for (at, lane) in lanes.iter_mut().enumerate() {
            if !lane.step::<W>(point) {
                return at;
            }
        }
    }
}
