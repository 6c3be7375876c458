use super::*;
use alloc::vec;
use proptest::prelude::*;

/// One of two: a point to insert, or which of the standing points to remove (taken modulo their number).
#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<f32>),
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few distinct coordinates, so that duplicates and flat boxes are common; and some that differ in the last bit.
    let coordinate =
        prop_oneof![(-3i8..4).prop_map(f32::from), Just(1.0 + f32::EPSILON), Just(1e30), Just(1e-30), -10f32..10.0];
    let step = prop_oneof![
        3 => prop::collection::vec(coordinate, 3).prop_map(Step::Insert),
        2 => any::<usize>().prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn boxes_are_hulls_masses_add_up_and_cuts_part(steps in steps(), seed: u64) {
        let mut tree = Tree::new(3, seed);
        let mut standing: Vec<(Node, Vec<f32>)> = vec![];
        for step in steps {
            match step {
                Step::Insert(point) => standing.push((tree.insert(&point), point)),
                Step::Remove(_) if standing.is_empty() => {}
                Step::Remove(which) => {
                    let (leaf, _) = standing.swap_remove(which % standing.len());
                    tree.remove(leaf);
                }
            }
            prop_assert_eq!(tree.mass() as usize, standing.len());
            for (leaf, point) in &standing {
                prop_assert_eq!(tree.low(*leaf), &point[..]);
            }
            if tree.root != NONE {
                prop_assert_eq!(tree.at(tree.root).parent, NONE);
                check(&tree, tree.root)?;
            }
            // Places are used again: every one is free or stands below the root.
            let used = if tree.root == NONE { 0 } else { nodes(&tree, tree.root) };
            prop_assert_eq!(tree.links.len(), tree.free.len() + used);
        }
    }

    #[test]
    fn every_score_is_finite_and_between_zero_and_the_top(steps in steps(), query in prop::collection::vec(-10f32..10.0, 3), seed: u64) {
        let mut tree = Tree::new(3, seed);
        for step in steps {
            if let Step::Insert(point) = step {
                tree.insert(&point);
            }
        }
        prop_assume!(tree.root != NONE);
        let top = log2(f64::from(tree.mass()) + 1.0);
        let score = tree.score(&query);
        prop_assert!(score > 0.0 && score <= top, "{score} of {top}");
    }
}

/// Number of nodes from `node` down.
fn nodes(tree: &Tree, node: Node) -> usize {
    let links = tree.at(node);
    if tree.is_leaf(node) { 1 } else { 1 + nodes(tree, links.left) + nodes(tree, links.right) }
}

/// Checks `node` and all below it; returns the points below.
fn check(tree: &Tree, node: Node) -> Result<Vec<Vec<f32>>, TestCaseError> {
    let links = tree.at(node);
    if tree.is_leaf(node) {
        prop_assert_eq!(tree.low(node), tree.high(node));
        return Ok(vec![tree.low(node).to_vec(); links.mass as usize]);
    }
    let (left, right) = (check(tree, links.left)?, check(tree, links.right)?);
    for child in [links.left, links.right] {
        prop_assert_eq!(tree.at(child).parent, node);
    }
    let dimension = links.cut.dimension as usize;
    prop_assert!(left.iter().all(|point| point[dimension] <= links.cut.value));
    prop_assert!(right.iter().all(|point| point[dimension] > links.cut.value));
    let points = [left, right].concat();
    prop_assert_eq!(links.mass as usize, points.len());
    for i in 0..tree.width {
        let least = points.iter().map(|point| point[i]).fold(f32::INFINITY, f32::min);
        let greatest = points.iter().map(|point| point[i]).fold(f32::NEG_INFINITY, f32::max);
        prop_assert_eq!((tree.low(node)[i], tree.high(node)[i]), (least, greatest));
    }
    Ok(points)
}

/// The mean score over many trees is the expectation that the definition gives, worked out over all possible cuts;
/// so also when the trees went through other points that have left again.
#[test]
fn mean_score_is_the_expectation_over_all_cuts() {
    let sample: Vec<Vec<f32>> =
        [[0.0, 0.0], [1.0, 0.5], [1.0, 0.5], [1.5, 2.0], [4.0, 1.0], [4.5, 3.0]].map(|p| p.to_vec()).to_vec();
    let passing = [[-5.0, 2.0], [2.0, 9.0], [1.2, 1.0]];
    for query in [[1.0, 0.5], [1.2, 1.1], [9.0, 9.0], [2.5, 1.0], [0.0, 0.0]] {
        let (mut sum, mut squares, trees) = (0.0, 0.0, 20_000);
        for seed in 0..trees {
            let mut tree = Tree::new(2, seed * 7_919);
            let leaves: Vec<Node> = passing.iter().map(|point| tree.insert(point)).collect();
            sample.iter().for_each(|point| {
                tree.insert(point);
            });
            leaves.into_iter().for_each(|leaf| tree.remove(leaf));
            let score = tree.score(&query);
            sum += score;
            squares += score * score;
        }
        let mean = sum / trees as f64;
        let error = (squares / trees as f64 - mean * mean).max(0.0) / trees as f64;
        let expected = expectation(&sample, &query, 0, sample.len()) * log2(sample.len() as f64 + 1.0);
        let off = mean - expected;
        // Five standard errors: a right forest passes at these fixed seeds, a wrong weight of 1 % does not.
        assert!(off * off <= 25.0 * error + 1e-18, "{query:?}: mean {mean}, expected {expected}");
    }
}

/// Expected score, before the normaliser, of `query` in a random cut tree of `points` whose root stands at `depth`.
fn expectation(points: &[Vec<f32>], query: &[f32; 2], depth: u32, tree_mass: usize) -> f64 {
    let corner = |i: usize, pick: fn(f32, f32) -> f32| points.iter().map(|p| p[i]).reduce(pick).unwrap();
    let spans: Vec<(f32, f32)> = (0..2).map(|i| (corner(i, f32::min), corner(i, f32::max))).collect();
    let extent: f64 = spans.iter().map(|(low, high)| f64::from(high - low)).sum();
    if extent == 0.0 {
        let mass = points.len() as f64;
        return if points[0] == query {
            (1.0 - mass / (2.0 * tree_mass as f64)) / (f64::from(depth) + log2(mass + 1.0))
        } else {
            apart_at(depth)
        };
    }
    // Between two neighbouring coordinates, the query's among them, every cut parts the points alike.
    let mut below = 0.0;
    for (i, (low, high)) in spans.iter().enumerate() {
        let mut edges: Vec<f32> = points.iter().map(|p| p[i]).chain([query[i].clamp(*low, *high)]).collect();
        edges.sort_by(f32::total_cmp);
        for edge in edges.windows(2).filter(|edge| edge[0] < edge[1]) {
            let chance = f64::from(edge[1] - edge[0]) / extent;
            let left = query[i] <= edge[0];
            let side: Vec<Vec<f32>> = points.iter().filter(|p| (p[i] <= edge[0]) == left).cloned().collect();
            below += chance * expectation(&side, query, depth + 1, tree_mass);
        }
    }
    let beyond: f64 =
        (0..2).map(|i| f64::from((spans[i].0 - query[i]).max(0.0) + (query[i] - spans[i].1).max(0.0))).sum();
    let apart = beyond / (extent + beyond);
    (1.0 - apart) * below + apart * apart_at(depth)
}
