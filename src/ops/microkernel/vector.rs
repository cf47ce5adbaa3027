//! Vectors that a register tile is made of.

use std::marker::PhantomData;

use half::bf16;

use crate::ops::round::bf16_bits;
use crate::ops::stored::StoredNumber;

/// Lanes of the widest vector.
pub(super) const MAX_LANES: usize = 16;

/// The vectors of one instruction set, and what an operand's 32-bit word holds: one f32, or a pair of
/// bf16 values whose two products are added to the same sum.
///
/// # Safety
/// The methods may only be called where the processor has the instruction set, and with pointers to
/// as many elements as they read or write. Pointers need not be aligned.
pub(super) trait Vector {
    /// Sums, and words, of a vector.
    const LANES: usize;
    /// Running sums, one a lane.
    type Sums: Copy;
    /// Operands, one word a lane.
    type Words: Copy;

    /// Asks for the memory at `target` to be brought near, where the processor can be asked.
    #[inline(always)]
    unsafe fn prefetch(target: *const f32) {
        let _ = target;
    }
    unsafe fn zero() -> Self::Sums;
    unsafe fn load(source: *const f32) -> Self::Sums;
    /// The first `len` lanes; the others are 0.
    unsafe fn load_some(source: *const f32, len: usize) -> Self::Sums;
    unsafe fn store(target: *mut f32, sums: Self::Sums);
    /// The first `len` lanes.
    unsafe fn store_some(target: *mut f32, sums: Self::Sums, len: usize);
    unsafe fn words(source: *const u32) -> Self::Words;
    /// The first `len` lanes; the others are 0.
    unsafe fn words_some(source: *const u32, len: usize) -> Self::Words;
    /// The same word in every lane.
    unsafe fn splat(source: *const u32) -> Self::Words;
    unsafe fn add(left: Self::Sums, right: Self::Sums) -> Self::Sums;
    /// `sums + factor * values`.
    unsafe fn add_scaled(sums: Self::Sums, factor: f32, values: Self::Sums) -> Self::Sums;
    unsafe fn add_products(sums: Self::Sums, left: Self::Words, right: Self::Words) -> Self::Sums;
    /// `sums * factors + summands`.
    unsafe fn multiply_add(sums: Self::Sums, factors: Self::Sums, summands: Self::Sums) -> Self::Sums;
    /// 0 where negative; a NaN stays one.
    unsafe fn relu(sums: Self::Sums) -> Self::Sums;
    /// To the nearest bf16 values, ties to even.
    unsafe fn round_bf16(sums: Self::Sums) -> Self::Sums;

    /// The first `len` lanes, stored in bf16; the others are 0.
    #[inline(always)]
    unsafe fn load_bf16(source: *const bf16, len: usize) -> Self::Sums {
        let mut lanes = [0.0f32; MAX_LANES];
        for (index, lane) in lanes.iter_mut().enumerate().take(len) {
            // SAFETY: the caller's.
            *lane = unsafe { source.add(index).read_unaligned() }.widen();
        }
        // SAFETY: there are as many lanes as in the widest vector.
        unsafe { Self::load(lanes.as_ptr()) }
    }

    /// The first `len` lanes, as the nearest bf16 values, ties to even.
    #[inline(always)]
    unsafe fn store_bf16(target: *mut bf16, sums: Self::Sums, len: usize) {
        let mut lanes = [0.0f32; MAX_LANES];
        // SAFETY: there are as many lanes as in the widest vector.
        unsafe { Self::store(lanes.as_mut_ptr(), sums) };
        for (index, &lane) in lanes.iter().enumerate().take(len) {
            // SAFETY: the caller's.
            unsafe {
                target
                    .add(index)
                    .write_unaligned(bf16::from_bits(bf16_bits(lane)));
            }
        }
    }
}

/// Vectors whose words are f32 values, and that can take them out of pairs of bf16.
///
/// # Safety
/// As [`Vector`].
pub(super) trait Widen: Vector {
    /// The first and the second value of each pair.
    unsafe fn widen(pairs: Self::Words) -> [Self::Words; 2];
}

/// The same vectors for words of bf16 pairs, which are widened as they are multiplied, the first values first.
pub(super) struct Widened<V>(PhantomData<V>);

#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "all that is asked for is the caller's"
)]
impl<V: Widen> Vector for Widened<V> {
    const LANES: usize = V::LANES;
    type Sums = V::Sums;
    type Words = V::Words;

    #[inline(always)]
    unsafe fn prefetch(target: *const f32) {
        unsafe { V::prefetch(target) }
    }

    #[inline(always)]
    unsafe fn zero() -> V::Sums {
        unsafe { V::zero() }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> V::Sums {
        unsafe { V::load(source) }
    }

    #[inline(always)]
    unsafe fn load_some(source: *const f32, len: usize) -> V::Sums {
        unsafe { V::load_some(source, len) }
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, sums: V::Sums) {
        unsafe { V::store(target, sums) }
    }

    #[inline(always)]
    unsafe fn store_some(target: *mut f32, sums: V::Sums, len: usize) {
        unsafe { V::store_some(target, sums, len) }
    }

    #[inline(always)]
    unsafe fn words(source: *const u32) -> V::Words {
        unsafe { V::words(source) }
    }

    #[inline(always)]
    unsafe fn words_some(source: *const u32, len: usize) -> V::Words {
        unsafe { V::words_some(source, len) }
    }

    #[inline(always)]
    unsafe fn splat(source: *const u32) -> V::Words {
        unsafe { V::splat(source) }
    }

    #[inline(always)]
    unsafe fn add(left: V::Sums, right: V::Sums) -> V::Sums {
        unsafe { V::add(left, right) }
    }

    #[inline(always)]
    unsafe fn add_scaled(sums: V::Sums, factor: f32, values: V::Sums) -> V::Sums {
        unsafe { V::add_scaled(sums, factor, values) }
    }

    #[inline(always)]
    unsafe fn add_products(sums: V::Sums, left: V::Words, right: V::Words) -> V::Sums {
        unsafe {
            let [first_left, second_left] = V::widen(left);
            let [first_right, second_right] = V::widen(right);
            let sums = V::add_products(sums, first_left, first_right);
            V::add_products(sums, second_left, second_right)
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: V::Sums, factors: V::Sums, summands: V::Sums) -> V::Sums {
        unsafe { V::multiply_add(sums, factors, summands) }
    }

    #[inline(always)]
    unsafe fn relu(sums: V::Sums) -> V::Sums {
        unsafe { V::relu(sums) }
    }

    #[inline(always)]
    unsafe fn round_bf16(sums: V::Sums) -> V::Sums {
        unsafe { V::round_bf16(sums) }
    }

    #[inline(always)]
    unsafe fn load_bf16(source: *const bf16, len: usize) -> V::Sums {
        unsafe { V::load_bf16(source, len) }
    }

    #[inline(always)]
    unsafe fn store_bf16(target: *mut bf16, sums: V::Sums, len: usize) {
        unsafe { V::store_bf16(target, sums, len) }
    }
}

/// Plain arrays, for any processor.
pub(super) struct Portable;

impl Widen for Portable {
    #[inline(always)]
    unsafe fn widen(pairs: [f32; 8]) -> [[f32; 8]; 2] {
        [
            pairs.map(|pair| f32::from_bits(pair.to_bits() << 16)),
            pairs.map(|pair| f32::from_bits(pair.to_bits() & 0xffff_0000)),
        ]
    }
}

impl Vector for Portable {
    const LANES: usize = 8;
    type Sums = [f32; 8];
    type Words = [f32; 8];

    #[inline(always)]
    unsafe fn zero() -> [f32; 8] {
        [0.0; 8]
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> [f32; 8] {
        // SAFETY: the caller's.
        unsafe { source.cast::<[f32; 8]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_some(source: *const f32, len: usize) -> [f32; 8] {
        let mut lanes = [0.0; 8];
        for (index, lane) in lanes.iter_mut().enumerate().take(len) {
            // SAFETY: the caller's.
            *lane = unsafe { source.add(index).read_unaligned() };
        }
        lanes
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, sums: [f32; 8]) {
        // SAFETY: the caller's.
        unsafe { target.cast::<[f32; 8]>().write_unaligned(sums) }
    }

    #[inline(always)]
    unsafe fn store_some(target: *mut f32, sums: [f32; 8], len: usize) {
        for (index, &sum) in sums.iter().enumerate().take(len) {
            // SAFETY: the caller's.
            unsafe { target.add(index).write_unaligned(sum) }
        }
    }

    #[inline(always)]
    unsafe fn words(source: *const u32) -> [f32; 8] {
        // SAFETY: the caller's.
        unsafe { Self::load(source.cast()) }
    }

    #[inline(always)]
    unsafe fn words_some(source: *const u32, len: usize) -> [f32; 8] {
        // SAFETY: the caller's.
        unsafe { Self::load_some(source.cast(), len) }
    }

    #[inline(always)]
    unsafe fn splat(source: *const u32) -> [f32; 8] {
        // SAFETY: the caller's.
        [unsafe { source.cast::<f32>().read_unaligned() }; 8]
    }

    #[inline(always)]
    unsafe fn add(mut left: [f32; 8], right: [f32; 8]) -> [f32; 8] {
        left.iter_mut()
            .zip(right)
            .for_each(|(left, right)| *left += right);
        left
    }

    #[inline(always)]
    unsafe fn add_scaled(sums: [f32; 8], factor: f32, values: [f32; 8]) -> [f32; 8] {
        // SAFETY: the caller's.
        unsafe { Self::add_products(sums, [factor; 8], values) }
    }

    #[inline(always)]
    unsafe fn add_products(mut sums: [f32; 8], left: [f32; 8], right: [f32; 8]) -> [f32; 8] {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            // Elsewhere a fused operation may be a call into the C library.
            *sum = if cfg!(target_arch = "aarch64") {
                left.mul_add(right, *sum)
            } else {
                left * right + *sum
            };
        }
        sums
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: [f32; 8], factors: [f32; 8], summands: [f32; 8]) -> [f32; 8] {
        // SAFETY: the caller's.
        unsafe { Self::add_products(summands, sums, factors) }
    }

    #[inline(always)]
    unsafe fn relu(sums: [f32; 8]) -> [f32; 8] {
        sums.map(|sum| if sum <= 0.0 { 0.0 } else { sum })
    }

    #[inline(always)]
    unsafe fn round_bf16(sums: [f32; 8]) -> [f32; 8] {
        sums.map(crate::ops::round::round_bf16)
    }
}
