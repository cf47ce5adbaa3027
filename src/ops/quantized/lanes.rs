//! A panel's numbers at once.

use super::affine::Affine;
use super::kernels::LANES;

/// Work on panels, whatever they are computed with. All ways give the same bits.
pub(super) trait PanelWork {
    /// Does it with `L`.
    fn run<L: Lanes>(&self);
}

/// Does `work` with the widest vectors that the processor has.
#[inline(always)]
pub(super) fn with_lanes(work: &impl PanelWork) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { x86::with_avx512(work) };
        }
    }
    work.run::<[f32; LANES]>();
}

/// The numbers of a panel, each in single precision.
///
/// # Safety
/// The methods may only be called where the processor has the instructions.
pub(super) trait Lanes: Copy {
    /// `(sums + bias) * factors`.
    unsafe fn of_sums(sums: &[i32; LANES], bias: &[i32; LANES], factors: &[f32; LANES]) -> Self;
    /// What bytes stand for.
    unsafe fn of_bytes(bytes: &[u8; LANES], affine: Affine) -> Self;
    unsafe fn of_values(values: &[f32; LANES]) -> Self;
    unsafe fn values(self) -> [f32; LANES];
    /// The bytes that are so many steps away from 0.
    unsafe fn bytes(self, affine: Affine) -> [u8; LANES];
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn divide(self, divisor: f32) -> Self;
    /// 0 where negative; a NaN stays one.
    unsafe fn relu(self) -> Self;
}

impl Lanes for [f32; LANES] {
    unsafe fn of_sums(sums: &[i32; LANES], bias: &[i32; LANES], factors: &[f32; LANES]) -> Self {
        std::array::from_fn(|lane| sums[lane].wrapping_add(bias[lane]) as f32 * factors[lane])
    }

    unsafe fn of_bytes(bytes: &[u8; LANES], affine: Affine) -> Self {
        bytes.map(|byte| affine.dequantize(byte))
    }

    unsafe fn of_values(values: &[f32; LANES]) -> Self {
        *values
    }

    unsafe fn values(self) -> [f32; LANES] {
        self
    }

    unsafe fn bytes(self, affine: Affine) -> [u8; LANES] {
        self.map(|steps| affine.byte_of_steps(steps))
    }

    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }

    unsafe fn divide(self, divisor: f32) -> Self {
        self.map(|value| value / divisor)
    }

    unsafe fn relu(self) -> Self {
        self.map(|value| if value < 0.0 { 0.0 } else { value })
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::affine::ROUNDING;
    use super::*;

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn with_avx512(work: &impl PanelWork) {
        work.run::<Wide>();
    }

    /// A panel's numbers as a vector.
    #[derive(Clone, Copy)]
    struct Wide(__m512);

    // SAFETY of all blocks below: what they need of the processor is what the trait asks of its callers, and arrays are as
    // long as the vectors.
    #[allow(
        clippy::undocumented_unsafe_blocks,
        reason = "one argument holds for all, above"
    )]
    impl Lanes for Wide {
        #[inline(always)]
        unsafe fn of_sums(sums: &[i32; LANES], bias: &[i32; LANES], factors: &[f32; LANES]) -> Self {
            unsafe {
                let sums = _mm512_loadu_si512(sums.as_ptr().cast());
                let sums = _mm512_add_epi32(sums, _mm512_loadu_si512(bias.as_ptr().cast()));
                let factors = _mm512_loadu_ps(factors.as_ptr());
                Self(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), factors))
            }
        }

        #[inline(always)]
        unsafe fn of_bytes(bytes: &[u8; LANES], affine: Affine) -> Self {
            unsafe {
                let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().cast()));
                let steps = _mm512_sub_epi32(bytes, _mm512_set1_epi32(affine.zero_point.into()));
                Self(_mm512_mul_ps(
                    _mm512_cvtepi32_ps(steps),
                    _mm512_set1_ps(affine.scale),
                ))
            }
        }

        #[inline(always)]
        unsafe fn of_values(values: &[f32; LANES]) -> Self {
            unsafe { Self(_mm512_loadu_ps(values.as_ptr())) }
        }

        #[inline(always)]
        unsafe fn values(self) -> [f32; LANES] {
            let mut values = [0.0; LANES];
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) };
            values
        }

        #[inline(always)]
        unsafe fn bytes(self, affine: Affine) -> [u8; LANES] {
            let zero_point = f32::from(affine.zero_point);
            let mut bytes = [0; LANES];
            unsafe {
                // Of a NaN and a number the second operand is the result.
                let steps = _mm512_max_ps(self.0, _mm512_set1_ps(-zero_point));
                let steps = _mm512_min_ps(steps, _mm512_set1_ps(255.0 - zero_point));
                let whole = _mm512_castps_si512(_mm512_add_ps(steps, _mm512_set1_ps(ROUNDING)));
                let whole = _mm512_add_epi32(whole, _mm512_set1_epi32(affine.zero_point.into()));
                _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(whole));
            }
            bytes
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { Self(_mm512_add_ps(self.0, other.0)) }
        }

        #[inline(always)]
        unsafe fn divide(self, divisor: f32) -> Self {
            unsafe { Self(_mm512_div_ps(self.0, _mm512_set1_ps(divisor))) }
        }

        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // Of a NaN and a number the second operand is the result.
            unsafe { Self(_mm512_max_ps(_mm512_setzero_ps(), self.0)) }
        }
    }
}
