//! Sums in the order of NumPy's, so that means have the same last bit.

/// Values that are summed without cutting them in two.
const BLOCK: usize = 128;
const LANES: usize = 8;

/// The mean of `values`, which is that of `numpy.mean` over an array of one dimension; of nothing there is none.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| sum(values) / values.len() as f64)
}

/// Pairwise summation as NumPy does it (`pairwise_sum` of its `loops_utils.h.src`).
fn sum(values: &[f64]) -> f64 {
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % LANES);
        return sum(left) + sum(right);
    }
    let (chunks, rest) = values.as_chunks::<LANES>();
    let start = match chunks.split_first() {
        None => 0.0,
        Some((first, chunks)) => {
            let mut r = *first;
            for chunk in chunks {
                for (lane, value) in r.iter_mut().zip(chunk) {
                    *lane += value;
                }
            }
            ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
        }
    };
    rest.iter().fold(start, |sum, value| sum + value)
}
