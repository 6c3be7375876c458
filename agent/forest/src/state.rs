//! A forest as bytes.
//!
//! ```text
//! "WRCF"  version: u8
//! dimensions shingle trees sample_size: u32   output_after seed: u64
//! time_decay initial_accept: f64   floor: f32
//! seen random: u64   weight: f64                           the stream of points, and of random numbers
//! per dimension: held: f32  run: u8                        numbers that do not change
//! inputs run: u32, then per input its numbers: f32         the store, without what nothing holds
//! per tree: points: 16 bits, then if there are any
//!   leaves: 16 bits
//!   per node, parents before children, left before right: 1 bit
//!     0, branch: dimension, cut: f32
//!     1, leaf: the input its point begins with
//!   per point, in the order of the heap: key: 16 bits, leaf by its order above
//! zeros to a whole byte, then FNV-1a of all before: u64
//! ```
//! All is little-endian and packed by the bit: dimension, input and leaf take as many bits as their greatest possible value.
//! Boxes and masses follow from the rest. Which place a node has in memory is not kept, for nothing depends on it.

use crate::bits::{Reader, Writer, bits_for, checksum};
use crate::forest::{Forest, starts};
use crate::options::{check, inputs_needed};
use crate::random::Random;
use crate::sampler::INFINITE;
use crate::steady::{LONG, Steady};
use crate::store::Needed;
use crate::tree::{Branch, LEAF, Leaf, NONE, Tree};
use crate::{BadState, MAX_MAGNITUDE, Options};
use alloc::vec;
use alloc::vec::Vec;

const MAGIC: [u8; 4] = *b"WRCF";
/// 1 added up points of some widths in another order.
const VERSION: u8 = 2;

/// Bytes of memory that any state may ask for, and those that it may for each of its own bytes: a full forest asks for
/// about four.
const MOST_FOR_LITTLE: usize = 64 << 20;
const MOST_FOR_A_BYTE: usize = 32;

impl Forest {
    /// Appends the whole state to `out`: about 160 KB for 50 trees of 256 points with shingles of 8.
    pub fn save(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        let mut writer = Writer::new(out);
        put_options(&self.options, &mut writer);
        for number in [self.seen, self.random.state(), self.clock.weight.to_bits()] {
            writer.put_u64(number);
        }
        for steady in &self.steady {
            writer.put(steady.held.to_bits(), 32);
            writer.put(u32::from(steady.run), 8);
        }
        let mut needed = Needed::default();
        self.store.find_needed(starts(&self.trees), &mut needed);
        writer.put(needed.count as u32, 32);
        writer.put(self.store.run() as u32, 32);
        let inputs = self.store.numbers().chunks(self.options.dimensions).enumerate();
        for (_, input) in inputs.filter(|&(at, _)| needed.contains(at)) {
            input.iter().for_each(|value| writer.put(value.to_bits(), 32));
        }
        let input_of = |start: u32| needed.rank(start as usize / self.options.dimensions);
        let widths = (bits_for(self.width()), bits_for(needed.count));
        self.trees.iter().for_each(|tree| put_tree(tree, widths, input_of, &mut writer));
        writer.finish();
        let sum = checksum(&out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// The forest that was [saved](Forest::save): it goes on to the bit as the one that was saved does.
    ///
    /// # Errors
    /// [`BadState`] for anything but the bytes of one whole, undamaged state. So that a forged one cannot ask for all
    /// memory, this includes a forest of more than 64 MiB that has not learned yet what would fill a good part of it.
    pub fn restore(bytes: &[u8]) -> Result<Forest, BadState> {
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(BadState::Damaged)?;
        let (magic, body) = body.split_first_chunk::<4>().ok_or(BadState::Damaged)?;
        let (&version, body) = body.split_first().ok_or(BadState::Damaged)?;
        if *magic != MAGIC || checksum(&bytes[..bytes.len() - 8]) != u64::from_le_bytes(*sum) {
            return Err(BadState::Damaged);
        }
        if version != VERSION {
            return Err(BadState::Version(version));
        }
        let mut reader = Reader::new(body);
        let forest = take_forest(&mut reader).filter(|_| reader.is_at_end());
        forest.ok_or(BadState::Impossible)
    }
}

fn put_options(options: &Options, writer: &mut Writer) {
    for count in [options.dimensions, options.shingle, options.trees, options.sample_size] {
        writer.put(count as u32, 32);
    }
    writer.put_u64(options.output_after as u64);
    writer.put_u64(options.seed);
    writer.put_u64(options.time_decay.to_bits());
    writer.put_u64(options.initial_accept.to_bits());
    writer.put(options.floor.to_bits(), 32);
}

fn take_options(reader: &mut Reader) -> Option<Options> {
    let mut count = || Some(reader.take(32)? as usize);
    let (dimensions, shingle, trees, sample_size) = (count()?, count()?, count()?, count()?);
    let output_after = usize::try_from(reader.take_u64()?).ok()?;
    let seed = reader.take_u64()?;
    let time_decay = f64::from_bits(reader.take_u64()?);
    let initial_accept = f64::from_bits(reader.take_u64()?);
    let floor = f32::from_bits(reader.take(32)?);
    Some(Options { dimensions, shingle, trees, sample_size, time_decay, output_after, seed, floor, initial_accept })
}

fn put_tree(tree: &Tree, widths: (u32, u32), input_of: impl Fn(u32) -> u32, writer: &mut Writer) {
    writer.put(tree.sampler.len() as u32, 16);
    if tree.root == NONE {
        return;
    }
    // A leaf's order, by its place.
    let mut order = vec![0; tree.leaves.len()];
    let leaves = tree.leaves.iter().filter(|leaf| leaf.mass > 0).count();
    writer.put(leaves as u32, 16);
    let (mut waiting, mut next) = (vec![tree.root], 0);
    while let Some(node) = waiting.pop() {
        writer.put(u32::from(node >> 15), 1);
        if node & LEAF != 0 {
            let place = usize::from(node & !LEAF);
            writer.put(input_of(tree.leaves[place].start), widths.1);
            order[place] = next;
            next += 1;
        } else {
            let branch = &tree.branches[usize::from(node)];
            writer.put(branch.dimension() as u32, widths.0);
            writer.put(branch.cut.to_bits(), 32);
            waiting.extend([branch.children[1], branch.children[0]]);
        }
    }
    for (&key, &leaf) in tree.sampler.keys.iter().zip(&tree.sampler.leaves) {
        writer.put(u32::from(key), 16);
        writer.put(order[usize::from(leaf)], bits_for(leaves));
    }
}

/// A number such as a forest takes.
fn take_value(reader: &mut Reader) -> Option<f32> {
    let value = f32::from_bits(reader.take(32)?);
    (value.abs() <= MAX_MAGNITUDE).then_some(value)
}

fn take_forest(reader: &mut Reader) -> Option<Forest> {
    let options = take_options(reader)?;
    // No memory is taken for trees that cannot follow, nor much more than the state itself took.
    let width = check(&options).ok()?;
    let trees = options.trees.saturating_mul(Tree::bytes_needed(width, options.sample_size));
    let needed = trees.saturating_add(inputs_needed(&options) * options.dimensions * size_of::<f32>());
    let most = MOST_FOR_LITTLE.max(reader.bytes_left().saturating_mul(MOST_FOR_A_BYTE));
    if reader.bytes_left() < options.trees.saturating_mul(2) || needed > most {
        return None;
    }
    let mut forest = Forest::new(options).ok()?;
    forest.seen = reader.take_u64()?;
    forest.random = Random::new(reader.take_u64()?);
    forest.clock.weight = f64::from_bits(reader.take_u64()?);
    // Sums of weights stay finite, and a tick divides at most once.
    if !(forest.clock.weight > 0.0 && forest.clock.weight < (1u64 << 33) as f64) {
        return None;
    }
    for steady in &mut forest.steady {
        *steady = Steady { held: take_value(reader)?, run: reader.take(8)? as u8 };
        if steady.run > LONG {
            return None;
        }
    }
    let (dimensions, shingle) = (forest.options.dimensions, forest.options.shingle);
    let (inputs, run) = (reader.take(32)? as usize, reader.take(32)? as usize);
    if run > shingle.min(inputs) || inputs > forest.options.trees * forest.options.sample_size * shingle + shingle {
        return None;
    }
    if inputs.saturating_mul(dimensions * size_of::<f32>()) > reader.bytes_left() {
        return None;
    }
    forest.store.reserve(inputs);
    let mut input = vec![0.0; dimensions];
    for _ in 0..inputs {
        for value in &mut input {
            *value = take_value(reader)?;
        }
        forest.store.push(&input);
    }
    forest.store.set_run(run);
    let width = forest.width();
    for tree in &mut forest.trees {
        let branches = take_tree(tree, width, (dimensions, shingle, inputs), reader)?;
        if !tree.build(&branches, forest.store.numbers(), &mut forest.scratch.hull) {
            return None;
        }
        tree.scale = crate::math::log2(tree.sampler.len() as f64 + 1.0);
    }
    let filled = forest.trees.iter().all(|tree| tree.root != NONE);
    (filled == (forest.seen > 0)).then_some(forest)
}

/// Reads a tree into an empty one: its leaves and sample, and apart from that its branches, which the leaves and they
/// themselves name by their order.
fn take_tree(
    tree: &mut Tree,
    width: usize,
    (dimensions, shingle, inputs): (usize, usize, usize),
    reader: &mut Reader,
) -> Option<Vec<Branch>> {
    let points = reader.take(16)? as usize;
    let mut branches = Vec::new();
    if points == 0 {
        return Some(branches);
    }
    let leaves = reader.take(16)? as usize;
    if points > tree.leaves.len() || leaves == 0 || leaves > points {
        return None;
    }
    let mut next_leaf = 0;
    // Where the next node hangs, by parent and side.
    let mut waiting = vec![(NONE, 0)];
    while let Some((parent, side)) = waiting.pop() {
        let node = if reader.take(1)? == 1 {
            let input = reader.take(bits_for(inputs))? as usize;
            if next_leaf == leaves || input + shingle > inputs {
                return None;
            }
            tree.leaves[next_leaf] = Leaf { start: (input * dimensions) as u32, parent, mass: 0 };
            next_leaf += 1;
            (next_leaf - 1) as u16 | LEAF
        } else {
            let dimension = reader.take(bits_for(width))? as usize;
            let cut = take_value(reader)?;
            if branches.len() + 1 >= leaves || dimension >= width {
                return None;
            }
            let branch = branches.len() as u16;
            branches.push(Branch::new(cut, dimension as u16, [NONE; 2], parent));
            waiting.extend([(branch, 1), (branch, 0)]);
            branch
        };
        if parent == NONE {
            tree.root = node;
        } else {
            branches[usize::from(parent)].children[side] = node;
        }
    }
    if next_leaf != leaves {
        return None;
    }
    for place in 0..points {
        let key = reader.take(16)? as u16;
        let leaf = reader.take(bits_for(leaves))? as u16;
        let is_heap = place == 0 || key <= tree.sampler.keys[(place - 1) / 2];
        if usize::from(leaf) >= leaves || key > INFINITE || !is_heap {
            return None;
        }
        tree.leaves[usize::from(leaf)].mass += 1;
        tree.sampler.keys.push(key);
        tree.sampler.leaves.push(leaf);
    }
    tree.free_leaves_from(next_leaf);
    tree.leaves[..leaves].iter().all(|leaf| leaf.mass > 0).then_some(branches)
}
