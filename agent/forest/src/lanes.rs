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
    /// Never arrives.
    const PARKED: Lane<'static> = Lane { branches: &[Branch::ROUND], node: 0, depth: 0, tree: 0 };

    fn start((at, tree): (usize, &'a Tree)) -> Self {
        Lane { branches: &tree.branches, node: usize::from(tree.root), depth: 0, tree: at }
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
    let mut lanes = [(); LANES].map(|()| waiting.next().unwrap_or(Lane::PARKED));
    for _ in trees {
        let at = first_to_arrive::<W>(&mut lanes, point);
        let Lane { tree, node, depth, .. } = lanes[at];
        arrived(tree, Found { leaf: node as Node & !LEAF, depth });
        lanes[at] = waiting.next().unwrap_or(Lane::PARKED);
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
        lane.depth = lane.depth.wrapping_add(rounds + u16::from(i < at));
    }
    at
}
