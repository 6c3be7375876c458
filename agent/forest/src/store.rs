//! The inputs that some point still needs, each kept once.
//!
//! A point is `shingle` successive inputs, so that neighbouring points overlap, and all trees share them. The inputs
//! stand one after the other in the order of the stream, and a point is a place in that row. What no leaf holds any
//! longer is squeezed out when the row is full; points keep their order then, and overlap as before.

use alloc::vec::Vec;

#[derive(Clone, Debug)]
pub(crate) struct Store {
    dimensions: usize,
    shingle: usize,
    numbers: Vec<f32>,
    /// Inputs there is room for.
    capacity: usize,
    /// How many of the last inputs follow one another in the stream; counted up to `shingle`.
    run: usize,
}

/// Which inputs of a store some point still needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needed {
    /// For every 64 inputs, which of them, and how many before them.
    words: Vec<(u64, u32)>,
    /// How many in all.
    pub(crate) count: usize,
}

impl Needed {
    pub(crate) fn with_capacity(inputs: usize) -> Self {
        Needed { words: Vec::with_capacity(inputs.div_ceil(64)), count: 0 }
    }

    pub(crate) fn contains(&self, input: usize) -> bool {
        self.words[input / 64].0 >> (input % 64) & 1 == 1
    }

    /// How many stand before this one.
    pub(crate) fn rank(&self, input: usize) -> u32 {
        let (bits, before) = self.words[input / 64];
        before + (bits & ((1 << (input % 64)) - 1)).count_ones()
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<(u64, u32)>()
    }
}

impl Store {
    pub(crate) fn new(dimensions: usize, shingle: usize, capacity: usize) -> Self {
        let capacity = capacity.max(4 * shingle);
        Store { dimensions, shingle, numbers: Vec::with_capacity(capacity * dimensions), capacity, run: 0 }
    }

    /// All inputs; the point at `start` is the `shingle * dimensions` numbers from there.
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// What stood last in a dimension of the input.
    pub(crate) fn last(&self, dimension: usize) -> Option<f32> {
        self.numbers.rchunks(self.dimensions).next().map(|input| input[dimension])
    }

    /// The last inputs of the stream without interruption, at most a shingle of them, oldest first.
    pub(crate) fn recent(&self) -> &[f32] {
        &self.numbers[self.numbers.len() - self.run * self.dimensions..]
    }

    /// Forgets that the next input follows the last.
    pub(crate) fn interrupt(&mut self) {
        self.run = 0;
    }

    /// Adds an input, for which there must be room. Where the point begins that it completes, if it completes one.
    pub(crate) fn push(&mut self, input: &[f32]) -> Option<u32> {
        self.numbers.extend_from_slice(input);
        self.run = (self.run + 1).min(self.shingle);
        (self.run == self.shingle).then(|| (self.numbers.len() - self.shingle * self.dimensions) as u32)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.inputs() == self.capacity
    }

    /// Makes room in an empty store for this many inputs and as many again as are usually free.
    pub(crate) fn reserve(&mut self, inputs: usize) {
        let needed = inputs + inputs / 4;
        if needed > self.capacity {
            self.capacity = needed;
            self.numbers.reserve_exact(needed * self.dimensions);
        }
    }

    /// Says how many of the last inputs follow one another.
    pub(crate) fn set_run(&mut self, run: usize) {
        self.run = run;
    }

    /// How many of the last inputs follow one another in the stream; at most a shingle.
    pub(crate) fn run(&self) -> usize {
        self.run
    }

    fn inputs(&self) -> usize {
        self.numbers.len() / self.dimensions
    }

    /// Finds what is still needed: the points that begin at `starts`, and the last inputs.
    pub(crate) fn find_needed(&self, starts: impl Iterator<Item = u32>, needed: &mut Needed) {
        let inputs = self.inputs();
        needed.words.clear();
        needed.words.resize(inputs.div_ceil(64), (0, 0));
        for start in starts {
            let input = start as usize / self.dimensions;
            needed.words[input / 64].0 |= 1 << (input % 64);
        }
        // The very last input may be asked for even behind an interruption.
        let recent = inputs - self.run.max(1).min(inputs);
        let (mut before, mut held) = (0, 0);
        for (word, (bits, count)) in needed.words.iter_mut().enumerate() {
            let starts = *bits;
            for bit in 0..(inputs - 64 * word).min(64) {
                // Inputs from here on that belong to a point that is held.
                held = if starts >> bit & 1 == 1 { self.shingle } else { held };
                if held > 0 || word * 64 + bit >= recent {
                    *bits |= 1 << bit;
                }
                held = held.saturating_sub(1);
            }
            *count = before;
            before += bits.count_ones();
        }
        needed.count = before as usize;
    }

    /// Leaves out what is not needed. The caller moves the leaves' starts, by [`Store::moved`].
    pub(crate) fn squeeze(&mut self, needed: &Needed) {
        let mut to = 0;
        for from in (0..self.inputs()).filter(|&input| needed.contains(input)) {
            let numbers = from * self.dimensions..(from + 1) * self.dimensions;
            self.numbers.copy_within(numbers, to * self.dimensions);
            to += 1;
        }
        self.numbers.truncate(to * self.dimensions);
        // Squeezing costs a pass over everything: an eighth free makes that rare enough.
        if to > self.capacity - self.capacity / 8 {
            self.capacity += self.capacity / 4;
            self.numbers.reserve_exact(self.capacity * self.dimensions - self.numbers.len());
        }
    }

    /// Where the point at `start` begins after squeezing.
    pub(crate) fn moved(&self, start: u32, needed: &Needed) -> u32 {
        needed.rank(start as usize / self.dimensions) * self.dimensions as u32
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn squeezing_keeps_every_point_that_is_held_and_the_last_inputs(
            holds in prop::collection::vec(prop::bool::weighted(0.1), 20..200),
            interrupted in 0usize..20,
        ) {
            let mut store = Store::new(2, 3, 10);
            let mut held = Vec::new();
            let mut needed = Needed::default();
            for (at, &hold) in holds.iter().enumerate() {
                if at == interrupted {
                    store.interrupt();
                }
                if store.is_full() {
                    store.find_needed(held.iter().map(|&(start, _)| start), &mut needed);
                    for (start, _) in &mut held {
                        *start = store.moved(*start, &needed);
                    }
                    let recent = store.recent().to_vec();
                    store.squeeze(&needed);
                    prop_assert_eq!(store.recent(), &recent[..]);
                    prop_assert!(!store.is_full());
                }
                if let Some(start) = store.push(&[at as f32, -(at as f32)]).filter(|_| hold) {
                    held.push((start, at));
                }
                for &(start, last) in &held {
                    let firsts = [0, 2, 4].map(|i| store.numbers()[start as usize + i]);
                    prop_assert_eq!(firsts, [last as f32 - 2.0, last as f32 - 1.0, last as f32]);
                }
            }
        }
    }
}
