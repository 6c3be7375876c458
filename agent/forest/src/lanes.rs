//! A point sent down all trees, several at a time: each step waits for memory, so that four trees take hardly longer
//! than one.

use crate::tree::{Branch, Found, LEAF, Node, Tree};

const LANES: usize = 4;

/// Trees between one that starts and one whose top is asked for.
const AHEAD: usize = 3;

/// A tree being descended.
#[derive(Clone, Copy)]
struct Lane<'a> {
    branches: &'a [Branch],
    node: usize,
    depth: u16,
    tree: usize,
}

impl<'a> Lane<'a> {
    fn start((at, tree): (usize, &'a Tree)) -> Self {
        Lane { branches: &tree.branches, node: usize::from(tree.root), depth: 0, tree: at }
    }

    fn found(&self) -> (usize, Found) {
        (self.tree, Found { leaf: self.node as Node & !LEAF, depth: self.depth })
    }
}

/// Tells `arrived` where the cuts lead `point` in each tree, in the order in which it gets there. No tree may be empty.
#[inline(always)]
pub(crate) fn descend_all<const W: usize>(trees: &[Tree], point: &[f32], mut arrived: impl FnMut(usize, Found)) {
    let point = if W == 0 { point } else { &point[..W] };
    let mut waiting = trees.iter().enumerate().map(|(at, tree)| {
        if let Some(later) = trees.get(at + AHEAD) {
            later.fetch_top();
        }
        Lane::start((at, tree))
    });
    let mut lanes = [const { Lane { branches: &[], node: LEAF as usize, depth: 0, tree: usize::MAX } }; LANES];
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
        // A leaf is a place that no branch has.
        while let Some(branch) = lane.branches.get(lane.node) {
            lane.node = usize::from(branch.next::<W>(point));
            lane.depth += 1;
        }
        let (tree, found) = lane.found();
        arrived(tree, found);
    }
}

/// Goes on in all lanes until one is at a leaf: which one.
#[inline(always)]
fn first_to_arrive<const W: usize>(lanes: &mut [Lane; LANES], point: &[f32]) -> usize {
    // The steps of all lanes are counted together.
    let mut nodes = lanes.map(|lane| lane.node);
    let mut rounds = 0;
    let at = 'arrived: loop {
        for at in 0..LANES {
            let Some(branch) = lanes[at].branches.get(nodes[at]) else { break 'arrived at };
            nodes[at] = usize::from(branch.next::<W>(point));
        }
        rounds += 1;
    };
    for (i, (lane, node)) in lanes.iter_mut().zip(nodes).enumerate() {
        lane.node = node;
        lane.depth += rounds + u16::from(i < at);
    }
    at
}
