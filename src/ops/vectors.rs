//! Loops over numbers with the widest vectors that the processor has.

/// Runs `body`, compiled for 512-bit or 256-bit vectors where the processor has them. The results are
/// the same bits in any case: no operations are fused or reordered but those that the body fuses itself, by `mul_add`.
#[inline(always)]
pub(super) fn with_wide_vectors<T>(body: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn with_avx2<T>(body: impl FnOnce() -> T) -> T {
            body()
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn with_avx512<T>(body: impl FnOnce() -> T) -> T {
            body()
        }
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
        {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { with_avx512(body) };
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { with_avx2(body) };
        }
    }
    body()
}

/// The sum of what `term` gives for the values of all slices, which are as long as the first, at each place, in f64. Eight
/// sums run side by side and are combined in order, so the result is a function of the terms alone.
#[inline(always)]
pub(super) fn sum_over<const N: usize>(values: [&[f32]; N], term: impl Fn([f64; N]) -> f64) -> f64 {
    const LANES: usize = 8;
    let len = values.first().map_or(0, |first| first.len());
    let whole = len / LANES;
    // Cut to the same length before the loop, which would not be one over vectors otherwise.
    let values = values.map(|values| &values[..len]);
    let chunks = values.map(|values| &values.as_chunks::<LANES>().0[..whole]);
    let mut lanes = [0.0f64; LANES];
    for index in 0..whole {
        let chunk = chunks.map(|chunks| chunks[index]);
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(chunk.map(|chunk| f64::from(chunk[lane])));
        }
    }
    for (lane, index) in (whole * LANES..len).enumerate() {
        lanes[lane] += term(values.map(|values| f64::from(values[index])));
    }
    lanes.iter().sum()
}

/// Lanes of f32 that run side by side.
pub(super) const NARROW_LANES: usize = 16;

/// The largest value; NaNs are passed over, and of nothing it is minus infinity.
#[inline(always)]
pub(super) fn largest_of(values: &[f32]) -> f32 {
    let larger = |one: f32, other: f32| if other > one { other } else { one };
    let mut lanes = [f32::NEG_INFINITY; NARROW_LANES];
    let mut take = |chunk: &[f32; NARROW_LANES]| {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    };
    let (whole, rest) = values.as_chunks();
    whole.iter().for_each(&mut take);
    match values.last_chunk() {
        // One that is looked at twice is as large as before.
        Some(last) if !rest.is_empty() => take(last),
        Some(_) => {}
        None => {
            for (lane, &value) in lanes.iter_mut().zip(rest) {
                *lane = larger(*lane, value);
            }
        }
    }
    let eight: [f32; 8] = std::array::from_fn(|lane| larger(lanes[lane], lanes[lane + 8]));
    let four: [f32; 4] = std::array::from_fn(|lane| larger(eight[lane], eight[lane + 4]));
    larger(larger(four[0], four[2]), larger(four[1], four[3]))
}

/// The sum of `chunks` in f32: sixteen sums run side by side and are combined in order.
#[inline(always)]
pub(super) fn sum_f32(chunks: &[[f32; NARROW_LANES]]) -> f32 {
    let mut lanes = [0.0f32; NARROW_LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_f32_leave_nothing_out() {
        for len in [0usize, 1, 15, 16, 17, 40] {
            let values: Vec<f32> = (0..len).map(|index| (index * 7 % 11) as f32 - 5.0).collect();
            let expected = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(largest_of(&values), expected);
            let (chunks, _) = values.as_chunks();
            assert_eq!(sum_f32(chunks), values[..16 * chunks.len()].iter().sum::<f32>());
        }
        assert_eq!(largest_of(&[f32::NAN, 2.0]), 2.0);
        // The largest one in any lane, of a part of a vector too.
        for len in [3usize, 16, 21] {
            for place in 0..len {
                let mut values = vec![-1.0; len];
                values[place] = 1.0;
                assert_eq!(largest_of(&values), 1.0);
            }
        }
    }

    #[test]
    fn every_term_is_added_once() {
        for len in [0, 1, 7, 8, 9, 31, 32, 100] {
            let values: Vec<f32> = (0..len).map(|index| index as f32).collect();
            let others: Vec<f32> = values.iter().map(|value| 2.0 - value).collect();
            let pairs = values.iter().zip(&others);
            let expected: f64 = pairs
                .map(|(&value, &other)| f64::from(value) * f64::from(other))
                .sum();
            let product = || sum_over([&values, &others], |[value, other]| value * other);
            assert_eq!(product(), expected);
            assert_eq!(with_wide_vectors(product), expected);
        }
    }
}
