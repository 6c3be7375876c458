//! Random numbers for streams made up in tests, the same for the same seed.

pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    /// About a normal number of mean 0 and standard deviation 1: the sum of twelve uniform ones.
    pub(crate) fn next(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    /// At least 0, below 1: Knuth's MMIX generator, its upper bits.
    pub(crate) fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u32 << 24) as f32
    }
}
