//! Four numbers in one register.
//!
//! On x86-64 in SSE2's own words, on 64-bit ARM in NEON's: left to itself, the compiler takes the numbers two at a time,
//! which costs a third more instructions a point, or one at a time where a program is built to be small. Elsewhere as
//! plain arrays; so on 32-bit ARM, whose NEON is not that of IEEE 754. All do the same operations in the same order, so
//! that they give the same bits.

#[cfg(target_arch = "aarch64")]
pub(crate) use neon::{Four, fetch};
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use plain::{Four, fetch};
#[cfg(target_arch = "x86_64")]
pub(crate) use sse::{Four, fetch};

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the intrinsics need SSE2, which is part of x86-64 itself; all work on values alone")]
mod sse {
    use core::arch::x86_64::*;

    /// Asks for the memory around a number, which will soon be needed.
    #[inline(always)]
    pub(crate) fn fetch<T>(of: &T) {
        // SAFETY: SSE2 is there, and a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(of).cast()) }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Four(__m128);

    impl Four {
        #[inline(always)]
        pub(crate) fn new(of: &[f32; 4]) -> Self {
            // SAFETY: SSE2 is there, and the reference is to four readable numbers; the load asks for no alignment.
            Four(unsafe { _mm_loadu_ps(of.as_ptr()) })
        }

        #[inline(always)]
        pub(crate) fn zero() -> Self {
            // SAFETY: SSE2 is there.
            Four(unsafe { _mm_setzero_ps() })
        }

        #[inline(always)]
        pub(crate) fn plus(self, other: Self) -> Self {
            // SAFETY: SSE2 is there.
            Four(unsafe { _mm_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        pub(crate) fn minus(self, other: Self) -> Self {
            // SAFETY: SSE2 is there.
            Four(unsafe { _mm_sub_ps(self.0, other.0) })
        }

        /// Of each two the greater; `other`'s where one is a NaN.
        #[inline(always)]
        pub(crate) fn greater(self, other: Self) -> Self {
            // SAFETY: SSE2 is there.
            Four(unsafe { _mm_max_ps(self.0, other.0) })
        }

        /// Of each two the lesser; `other`'s where one is a NaN.
        #[inline(always)]
        pub(crate) fn lesser(self, other: Self) -> Self {
            // SAFETY: SSE2 is there.
            Four(unsafe { _mm_min_ps(self.0, other.0) })
        }

        /// In which lanes it is greater: a bit for each.
        #[inline(always)]
        pub(crate) fn above(self, other: Self) -> u32 {
            // SAFETY: SSE2 is there.
            unsafe { _mm_movemask_ps(_mm_cmpgt_ps(self.0, other.0)) as u32 }
        }

        /// The sums of both.
        #[inline(always)]
        pub(crate) fn sums(self, other: Self) -> (f32, f32) {
            // SAFETY: SSE2 is there.
            unsafe {
                let (front, back) = (_mm_unpacklo_ps(self.0, other.0), _mm_unpackhi_ps(self.0, other.0));
                let pairs = _mm_add_ps(front, back);
                let sums = _mm_add_ps(pairs, _mm_movehl_ps(pairs, pairs));
                (_mm_cvtss_f32(sums), _mm_cvtss_f32(_mm_shuffle_ps::<1>(sums, sums)))
            }
        }

        #[inline(always)]
        pub(crate) fn numbers(self) -> [f32; 4] {
            let mut numbers = [0.0; 4];
            // SAFETY: SSE2 is there, and the reference is to four writable numbers; the store asks for no alignment.
            unsafe { _mm_storeu_ps(numbers.as_mut_ptr(), self.0) }
            numbers
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code, reason = "the intrinsics need NEON, which is part of 64-bit ARM itself; all work on values alone")]
mod neon {
    use core::arch::aarch64::*;

    /// Asks for the memory around a number, which will soon be needed.
    #[inline(always)]
    pub(crate) fn fetch<T>(of: &T) {
        let of = core::ptr::from_ref(of);
        // SAFETY: a prefetch reads nothing.
        unsafe {
            core::arch::asm!("prfm pldl1keep, [{of}]", of = in(reg) of, options(nostack, readonly, preserves_flags))
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Four(float32x4_t);

    impl Four {
        #[inline(always)]
        pub(crate) fn new(of: &[f32; 4]) -> Self {
            // SAFETY: NEON is there, and the reference is to four readable numbers; the load asks for no alignment.
            Four(unsafe { vld1q_f32(of.as_ptr()) })
        }

        #[inline(always)]
        pub(crate) fn zero() -> Self {
            // SAFETY: NEON is there.
            Four(unsafe { vdupq_n_f32(0.0) })
        }

        #[inline(always)]
        pub(crate) fn plus(self, other: Self) -> Self {
            // SAFETY: NEON is there.
            Four(unsafe { vaddq_f32(self.0, other.0) })
        }

        #[inline(always)]
        pub(crate) fn minus(self, other: Self) -> Self {
            // SAFETY: NEON is there.
            Four(unsafe { vsubq_f32(self.0, other.0) })
        }

        /// Of each two the greater; `other`'s where one is a NaN. NEON's own maximum would be the NaN.
        #[inline(always)]
        pub(crate) fn greater(self, other: Self) -> Self {
            // SAFETY: NEON is there.
            Four(unsafe { vbslq_f32(vcgtq_f32(self.0, other.0), self.0, other.0) })
        }

        /// Of each two the lesser; `other`'s where one is a NaN.
        #[inline(always)]
        pub(crate) fn lesser(self, other: Self) -> Self {
            // SAFETY: NEON is there.
            Four(unsafe { vbslq_f32(vcltq_f32(self.0, other.0), self.0, other.0) })
        }

        /// In which lanes it is greater: a bit for each.
        #[inline(always)]
        pub(crate) fn above(self, other: Self) -> u32 {
            const BITS: [u32; 4] = [1, 2, 4, 8];
            // SAFETY: NEON is there, and four bits can be read.
            unsafe { vaddvq_u32(vandq_u32(vcgtq_f32(self.0, other.0), vld1q_u32(BITS.as_ptr()))) }
        }

        /// The sums of both.
        #[inline(always)]
        pub(crate) fn sums(self, other: Self) -> (f32, f32) {
            // SAFETY: NEON is there.
            unsafe {
                let halves = |of| vadd_f32(vget_low_f32(of), vget_high_f32(of));
                let sums = vpadd_f32(halves(self.0), halves(other.0));
                (vget_lane_f32::<0>(sums), vget_lane_f32::<1>(sums))
            }
        }

        #[inline(always)]
        pub(crate) fn numbers(self) -> [f32; 4] {
            let mut numbers = [0.0; 4];
            // SAFETY: NEON is there, and the reference is to four writable numbers; the store asks for no alignment.
            unsafe { vst1q_f32(numbers.as_mut_ptr(), self.0) }
            numbers
        }
    }
}

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    allow(dead_code, reason = "here only to be compared with the other")
)]
mod plain {
    /// Asks for the memory around a number, where that can be said.
    #[inline(always)]
    pub(crate) fn fetch<T>(_: &T) {}

    #[derive(Clone, Copy, Debug)]
    #[repr(align(16))]
    pub(crate) struct Four([f32; 4]);

    impl Four {
        #[inline(always)]
        pub(crate) fn new(of: &[f32; 4]) -> Self {
            Four(*of)
        }

        #[inline(always)]
        pub(crate) fn zero() -> Self {
            Four([0.0; 4])
        }

        #[inline(always)]
        pub(crate) fn plus(self, other: Self) -> Self {
            self.with(other, |a, b| a + b)
        }

        #[inline(always)]
        pub(crate) fn minus(self, other: Self) -> Self {
            self.with(other, |a, b| a - b)
        }

        /// Of each two the greater; `other`'s where one is a NaN.
        #[inline(always)]
        pub(crate) fn greater(self, other: Self) -> Self {
            self.with(other, |a, b| if a > b { a } else { b })
        }

        /// Of each two the lesser; `other`'s where one is a NaN.
        #[inline(always)]
        pub(crate) fn lesser(self, other: Self) -> Self {
            self.with(other, |a, b| if a < b { a } else { b })
        }

        /// In which lanes it is greater: a bit for each.
        #[inline(always)]
        pub(crate) fn above(self, other: Self) -> u32 {
            let bit = |lane: usize| u32::from(self.0[lane] > other.0[lane]) << lane;
            bit(0) | bit(1) | bit(2) | bit(3)
        }

        /// The sums of both.
        #[inline(always)]
        pub(crate) fn sums(self, other: Self) -> (f32, f32) {
            let sum = |of: [f32; 4]| (of[0] + of[2]) + (of[1] + of[3]);
            (sum(self.0), sum(other.0))
        }

        #[inline(always)]
        pub(crate) fn numbers(self) -> [f32; 4] {
            self.0
        }

        #[inline(always)]
        fn with(self, other: Self, of: impl Fn(f32, f32) -> f32) -> Self {
            let (a, b) = (self.0, other.0);
            Four([of(a[0], b[0]), of(a[1], b[1]), of(a[2], b[2]), of(a[3], b[3])])
        }
    }
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    #[cfg(target_arch = "aarch64")]
    use super::neon as fast;
    use super::plain;
    #[cfg(target_arch = "x86_64")]
    use super::sse as fast;
    use proptest::prelude::*;

    fn numbers() -> impl Strategy<Value = [f32; 4]> {
        let number = prop_oneof![any::<f32>(), -1e3f32..1e3, Just(f32::NAN), Just(0.0), Just(-0.0), Just(1e-42)];
        prop::array::uniform4(number)
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same_bits(a in numbers(), b in numbers()) {
            let (x, y) = (fast::Four::new(&a), fast::Four::new(&b));
            let (p, q) = (plain::Four::new(&a), plain::Four::new(&b));
            for (fast, plain) in [
                (x.plus(y), p.plus(q)),
                (x.minus(y), p.minus(q)),
                (x.greater(y), p.greater(q)),
                (x.lesser(y), p.lesser(q)),
            ] {
                for (one, other) in fast.numbers().into_iter().zip(plain.numbers()) {
                    prop_assert!(one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan());
                }
                prop_assert_eq!(fast.above(x), plain.above(p));
                let (one, other) = (fast.sums(x), plain.sums(p));
                for (one, other) in [(one.0, other.0), (one.1, other.1)] {
                    prop_assert!(one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan());
                }
            }
        }
    }
}
