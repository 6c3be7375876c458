use super::*;
use crate::store::Store;
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
    hull: Vec<f32>,
    standing: Vec<(u16, [f32; WIDTH])>,
}

impl Stand {
    fn new(seed: u64) -> Self {
        Stand {
            tree: Tree::new(WIDTH, CAPACITY),
            store: Store::new(WIDTH, 1, 400),
            random: Random::new(seed),
            hull: vec![0.0; 2 * WIDTH],
            standing: vec![],
        }
    }

    fn take<const W: usize>(&mut self, step: &Step) {
        let Stand { tree, store, random, hull, standing } = self;
        match step {
            Step::Insert(point) if standing.len() < CAPACITY => {
                let start = store.push(point).unwrap();
                let leaf = tree.descend(tree.root, point).unwrap_or_default();
                let (leaf, _) = tree.insert::<W>(leaf, start, store.numbers(), hull, random);
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
            // Every box is kept by a branch or free.
            let kept = (0..tree.branches.len()).filter(|&node| tree.kept_box::<0>(node as Node).is_some()).count();
            prop_assert_eq!(kept + tree.free_boxes.len(), tree.boxes.len() / (2 * WIDTH + 1));
        }
    }

    #[test]
    fn where_the_boxes_stand_changes_no_cut(steps in steps(), seed: u64) {
        let (mut with, mut without) = (Stand::new(seed), Stand::new(seed));
        without.tree.free_boxes.clear();
        for step in &steps {
            with.take::<WIDTH>(step);
            without.take::<0>(step);
        }
        let cuts = |tree: &Tree| -> Vec<(u32, u16, [Node; 2])> {
            tree.branches.iter().map(|branch| (branch.cut.to_bits(), branch.dimension, branch.children)).collect()
        };
        prop_assert_eq!(cuts(&with.tree), cuts(&without.tree));
    }
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
    prop_assert_eq!((tree.sibling(left, node), tree.sibling(right, node)), (right, left));
    let (left, right) = (check(tree, store, left)?, check(tree, store, right)?);
    let dimension = usize::from(branch.dimension);
    prop_assert!(left.iter().all(|point| point[dimension] <= branch.cut));
    prop_assert!(right.iter().all(|point| point[dimension] > branch.cut));
    let points = [left, right].concat();
    let corner = |pick: fn(f32, f32) -> f32| -> Vec<f32> {
        (0..WIDTH).map(|i| points.iter().map(|point| point[i]).reduce(pick).unwrap()).collect()
    };
    let (low, high) = (corner(f32::min), corner(f32::max));
    match tree.kept_box::<0>(node) {
        Some(kept) => {
            prop_assert_eq!((&kept[..WIDTH], &kept[WIDTH..2 * WIDTH]), (&low[..], &high[..]));
            prop_assert_eq!(kept[2 * WIDTH], extent(&low, &high, WIDTH));
        }
        None if points.len() < usize::from(tree.small) => {
            prop_assert_eq!(branch.extent, COUNTED | points.len() as u16);
        }
        None => prop_assert_eq!(branch.extent, BOXLESS),
    }
    Ok(points)
}
