use super::*;
use crate::span::four;
use crate::span::number;
use crate::store::Store;
extern crate std;
use proptest::prelude::*;

const WIDTH: usize = 5;
const CAPACITY: usize = 60;

/// One of two: a point to insert, or which of the standing points to remove (taken modulo their number).
#[derive(Clone, Debug)]
enum Step {
    Insert([f32; WIDTH]),
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few distinct coordinates, so that duplicates and flat boxes are common; and some that differ in the last bit.
    let coordinate =
        prop_oneof![(-3i8..4).prop_map(f32::from), Just(1.0 + f32::EPSILON), Just(1e30), Just(1e-30), -10f32..10.0];
    let step = prop_oneof![
        3 => prop::array::uniform5(coordinate).prop_map(Step::Insert),
        2 => any::<usize>().prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 1..300)
}

/// A tree, the store of its points, and for each point in its sample the leaf and the point.
struct Stand {
    tree: Tree,
    store: Store,
    random: Random,
    hull: Vec<Four>,
    standing: Vec<(u16, [f32; WIDTH])>,
}

impl Stand {
    fn new(seed: u64) -> Self {
        Self::with_boxes(seed, most_boxes(CAPACITY, small(WIDTH)))
    }

    fn with_boxes(seed: u64, boxes: usize) -> Self {
        Stand {
            tree: Tree::with_boxes(WIDTH, CAPACITY, boxes),
            store: Store::new(WIDTH, 1, 400),
            random: Random::new(seed),
            hull: vec![Four::zero(); 3 * fours(WIDTH)],
            standing: vec![],
        }
    }

    fn take<const W: usize>(&mut self, step: &Step) {
        let Stand { tree, store, random, hull, standing } = self;
        match step {
            Step::Insert(point) if standing.len() < CAPACITY => {
                let start = store.push(point).unwrap();
                let leaf = tree.descend(tree.root, point).unwrap_or_default();
                let fours = [four(point, 0), four(point, 4)];
                let leaf = tree.insert::<W>(leaf, start, &fours, store.numbers(), hull, random);
                standing.push((leaf, *point));
            }
            Step::Remove(which) if !standing.is_empty() => {
                let (leaf, _) = standing.swap_remove(which % standing.len());
                tree.remove::<W>(leaf, store.numbers(), hull);
            }
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn boxes_are_hulls_masses_add_up_cuts_part_and_parents_own_their_children(steps in steps(), seed: u64) {
        let mut stand = Stand::new(seed);
        for step in &steps {
            stand.take::<0>(step);
            let Stand { tree, store, standing, .. } = &stand;
            let mass: usize = tree.leaves.iter().map(|leaf| usize::from(leaf.mass)).sum();
            prop_assert_eq!(mass, standing.len());
            for (leaf, point) in standing {
                prop_assert_eq!(point_of(tree, store, *leaf), &point[..]);
                prop_assert_eq!(tree.descend(tree.root, point), Some(*leaf));
            }
            let below = if tree.root == NONE { vec![] } else {
                prop_assert_eq!(tree.parent(tree.root), NONE);
                check(tree, store, tree.root)?
            };
            let leaves = tree.leaves.iter().filter(|leaf| leaf.mass > 0).count();
            prop_assert_eq!(below.len(), leaves);
            // Every place of either kind is taken or free.
            let free = tree.free_branches.map(|first| std::iter::successors(Some(first), |&place| {
                Some(tree.branches.get(usize::from(place))?.parent)
            }).take_while(|&place| place != NONE).count());
            prop_assert_eq!(free[0] + free[1] + leaves.saturating_sub(1), tree.branches.len());
        }
    }

    #[test]
    fn where_the_boxes_stand_changes_no_cut(steps in steps(), seed: u64) {
        let mut stands = [0, 3, CAPACITY].map(|boxes| Stand::with_boxes(seed, boxes));
        for step in &steps {
            let [none, few, all] = &mut stands;
            none.take::<0>(step);
            few.take::<WIDTH>(step);
            all.take::<0>(step);
        }
        let [none, few, all] = stands.map(|stand| cuts(&stand.tree));
        prop_assert_eq!(&none, &few);
        prop_assert_eq!(none, all);
    }
}

/// The cuts of a tree, parents before children.
fn cuts(tree: &Tree) -> Vec<(u32, usize)> {
    let (mut waiting, mut cuts) = (vec![tree.root], vec![]);
    while let Some(node) = waiting.pop() {
        if let Some(branch) = tree.branches.get(usize::from(node)) {
            cuts.push((branch.cut.to_bits(), branch.dimension()));
            waiting.extend(branch.children);
        }
    }
    cuts
}

fn point_of<'a>(tree: &Tree, store: &'a Store, leaf: u16) -> &'a [f32] {
    let start = tree.leaves[usize::from(leaf)].start as usize;
    &store.numbers()[start..start + WIDTH]
}

/// Checks `node` and all below it; returns the points of the leaves below.
fn check<'a>(tree: &Tree, store: &'a Store, node: Node) -> Result<Vec<&'a [f32]>, TestCaseError> {
    if node & LEAF != 0 {
        return Ok(vec![point_of(tree, store, node & !LEAF)]);
    }
    let branch = tree.branches[usize::from(node)];
    let [left, right] = branch.children;
    prop_assert_eq!((tree.parent(left), tree.parent(right)), (node, node));
    prop_assert_eq!((branch.other(left), branch.other(right)), (right, left));
    let (left, right) = (check(tree, store, left)?, check(tree, store, right)?);
    let dimension = branch.dimension();
    prop_assert!(left.iter().all(|point| point[dimension] <= branch.cut));
    prop_assert!(right.iter().all(|point| point[dimension] > branch.cut));
    let points = [left, right].concat();
    let corner = |pick: fn(f32, f32) -> f32| -> Vec<f32> {
        (0..WIDTH).map(|i| points.iter().map(|point| point[i]).reduce(pick).unwrap()).collect()
    };
    let (low, high) = (corner(f32::min), corner(f32::max));
    if let Some((kept_low, kept_high)) = tree.kept_box::<0>(node) {
        let kept = |corner: &[Four]| -> Vec<f32> { (0..WIDTH).map(|i| number(corner, i)).collect() };
        prop_assert_eq!((kept(kept_low), kept(kept_high)), (low, high));
    }
    prop_assert_eq!(usize::from(branch.leaves()), points.len().min(usize::from(tree.small)));
    Ok(points)
}
