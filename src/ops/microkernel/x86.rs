//! Vectors of x86-64.

use std::arch::x86_64::*;

use half::bf16;

use super::vector::{Vector, Widen};

/// 256-bit vectors with fused multiply-add.
pub(super) struct Avx2;

impl Avx2 {
    /// All ones in the first `len` lanes.
    #[inline(always)]
    unsafe fn mask(len: usize) -> __m256i {
        const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: `len` is at most 8, so 8 elements follow; the processor is the caller's promise.
        unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - len.min(8)).cast()) }
    }
}

// SAFETY of all blocks below: what they need of the processor and of the pointers is what the trait
// asks of its callers.
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "one argument holds for all, above"
)]
impl Vector for Avx2 {
    const LANES: usize = 8;
    type Sums = __m256;
    type Words = __m256;

    #[inline(always)]
    unsafe fn prefetch(target: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(target.cast()) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn load_some(source: *const f32, len: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(source, Self::mask(len)) }
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, sums: __m256) {
        unsafe { _mm256_storeu_ps(target, sums) }
    }

    #[inline(always)]
    unsafe fn store_some(target: *mut f32, sums: __m256, len: usize) {
        unsafe { _mm256_maskstore_ps(target, Self::mask(len), sums) }
    }

    #[inline(always)]
    unsafe fn words(source: *const u32) -> __m256 {
        unsafe { _mm256_loadu_ps(source.cast()) }
    }

    #[inline(always)]
    unsafe fn words_some(source: *const u32, len: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(source.cast(), Self::mask(len)) }
    }

    #[inline(always)]
    unsafe fn splat(source: *const u32) -> __m256 {
        unsafe { _mm256_set1_ps(source.cast::<f32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn add(left: __m256, right: __m256) -> __m256 {
        unsafe { _mm256_add_ps(left, right) }
    }

    #[inline(always)]
    unsafe fn add_scaled(sums: __m256, factor: f32, values: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(_mm256_set1_ps(factor), values, sums) }
    }

    #[inline(always)]
    unsafe fn add_products(sums: __m256, left: __m256, right: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(left, right, sums) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m256, factors: __m256, summands: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(sums, factors, summands) }
    }

    #[inline(always)]
    unsafe fn relu(sums: __m256) -> __m256 {
        // Of a NaN and a number the second operand is the result.
        unsafe { _mm256_max_ps(_mm256_setzero_ps(), sums) }
    }

    #[inline(always)]
    unsafe fn round_bf16(sums: __m256) -> __m256 {
        unsafe {
            let bits = _mm256_castps_si256(sums);
            let even = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let carried = _mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff)));
            let rounded = _mm256_and_si256(carried, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            // The carry of a NaN would run into its sign.
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(sums, sums);
            _mm256_blendv_ps(_mm256_castsi256_ps(rounded), sums, nan)
        }
    }
}

impl Widen for Avx2 {
    #[inline(always)]
    unsafe fn widen(pairs: __m256) -> [__m256; 2] {
        // SAFETY: the caller's.
        unsafe {
            let bits = _mm256_castps_si256(pairs);
            let second = _mm256_and_si256(bits, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            [
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits)),
                _mm256_castsi256_ps(second),
            ]
        }
    }
}

/// 512-bit vectors of f32.
pub(super) struct Avx512;

impl Widen for Avx512 {
    #[inline(always)]
    unsafe fn widen(pairs: __m512) -> [__m512; 2] {
        // SAFETY: the caller's.
        unsafe {
            let bits = _mm512_castps_si512(pairs);
            let second = _mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            [
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)),
                _mm512_castsi512_ps(second),
            ]
        }
    }
}

/// The first `len` lanes.
#[inline(always)]
fn mask16(len: usize) -> __mmask16 {
    ((1u32 << len.min(16)) - 1) as __mmask16
}

/// Both kinds of 512-bit vectors differ in what a word is alone.
macro_rules! avx512 {
    ($name:ident, $words:ty, |$from_bits:ident| $cast:expr, $add_products:expr) => {
        #[allow(clippy::undocumented_unsafe_blocks, reason = "as for `Avx2`")]
        impl Vector for $name {
            const LANES: usize = 16;
            type Sums = __m512;
            type Words = $words;

            #[inline(always)]
            unsafe fn prefetch(target: *const f32) {
                unsafe { _mm_prefetch::<_MM_HINT_T0>(target.cast()) }
            }

            #[inline(always)]
            unsafe fn zero() -> __m512 {
                unsafe { _mm512_setzero_ps() }
            }

            #[inline(always)]
            unsafe fn load(source: *const f32) -> __m512 {
                unsafe { _mm512_loadu_ps(source) }
            }

            #[inline(always)]
            unsafe fn load_some(source: *const f32, len: usize) -> __m512 {
                unsafe { _mm512_maskz_loadu_ps(mask16(len), source) }
            }

            #[inline(always)]
            unsafe fn store(target: *mut f32, sums: __m512) {
                unsafe { _mm512_storeu_ps(target, sums) }
            }

            #[inline(always)]
            unsafe fn store_some(target: *mut f32, sums: __m512, len: usize) {
                unsafe { _mm512_mask_storeu_ps(target, mask16(len), sums) }
            }

            #[inline(always)]
            unsafe fn words(source: *const u32) -> $words {
                unsafe {
                    let $from_bits = _mm512_loadu_si512(source.cast());
                    $cast
                }
            }

            #[inline(always)]
            unsafe fn words_some(source: *const u32, len: usize) -> $words {
                unsafe {
                    let $from_bits = _mm512_maskz_loadu_epi32(mask16(len), source.cast());
                    $cast
                }
            }

            #[inline(always)]
            unsafe fn splat(source: *const u32) -> $words {
                unsafe {
                    let $from_bits = _mm512_set1_epi32(source.cast::<i32>().read_unaligned());
                    $cast
                }
            }

            #[inline(always)]
            unsafe fn add(left: __m512, right: __m512) -> __m512 {
                unsafe { _mm512_add_ps(left, right) }
            }

            #[inline(always)]
            unsafe fn add_scaled(sums: __m512, factor: f32, values: __m512) -> __m512 {
                unsafe { _mm512_fmadd_ps(_mm512_set1_ps(factor), values, sums) }
            }

            #[inline(always)]
            unsafe fn add_products(sums: __m512, left: $words, right: $words) -> __m512 {
                unsafe { $add_products(sums, left, right) }
            }

            #[inline(always)]
            unsafe fn multiply_add(sums: __m512, factors: __m512, summands: __m512) -> __m512 {
                unsafe { _mm512_fmadd_ps(sums, factors, summands) }
            }

            #[inline(always)]
            unsafe fn relu(sums: __m512) -> __m512 {
                unsafe { _mm512_max_ps(_mm512_setzero_ps(), sums) }
            }

            #[inline(always)]
            unsafe fn round_bf16(sums: __m512) -> __m512 {
                unsafe {
                    let bits = _mm512_castps_si512(sums);
                    let even = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
                    let carried = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
                    let rounded = _mm512_and_si512(carried, _mm512_set1_epi32(0xffff_0000_u32 as i32));
                    // The carry of a NaN would run into its sign.
                    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(sums, sums);
                    _mm512_mask_blend_ps(nan, _mm512_castsi512_ps(rounded), sums)
                }
            }

            #[inline(always)]
            unsafe fn load_bf16(source: *const bf16, len: usize) -> __m512 {
                unsafe {
                    let bits = if len == Self::LANES {
                        _mm256_loadu_si256(source.cast())
                    } else {
                        let mut lanes = [bf16::ZERO; 16];
                        lanes
                            .as_mut_ptr()
                            .copy_from_nonoverlapping(source, len.min(16));
                        _mm256_loadu_si256(lanes.as_ptr().cast())
                    };
                    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
                }
            }

            #[inline(always)]
            unsafe fn store_bf16(target: *mut bf16, sums: __m512, len: usize) {
                unsafe {
                    let bits = _mm512_castps_si512(sums);
                    let high = _mm512_srli_epi32::<16>(bits);
                    let even = _mm512_and_si512(high, _mm512_set1_epi32(1));
                    let carried = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
                    // A NaN may have all that tells it from infinity in the lower half.
                    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(sums, sums);
                    let quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
                    let narrow = _mm512_mask_blend_epi32(nan, _mm512_srli_epi32::<16>(carried), quiet);
                    if len == Self::LANES {
                        _mm256_storeu_si256(target.cast(), _mm512_cvtepi32_epi16(narrow));
                    } else {
                        _mm512_mask_cvtepi32_storeu_epi16(target.cast(), mask16(len), narrow);
                    }
                }
            }
        }
    };
}

avx512!(
    Avx512,
    __m512,
    |bits| _mm512_castsi512_ps(bits),
    |sums, left, right| _mm512_fmadd_ps(left, right, sums)
);

/// 512-bit vectors of pairs of bf16.
pub(super) struct Avx512Bf16;

avx512!(
    Avx512Bf16,
    __m512bh,
    |bits| std::mem::transmute::<__m512i, __m512bh>(bits),
    |sums, left, right| _mm512_dpbf16_ps(sums, left, right)
);
