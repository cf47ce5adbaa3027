//! Correlations of pairs of numbers.

/// Pearson's correlation coefficient; nothing where one of the two never changes, or there are fewer than two pairs.
pub(super) fn pearson(left: &[f64], right: &[f64]) -> Option<f64> {
    let count = left.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (left_mean, right_mean) = (mean(left), mean(right));
    let (mut both, mut left_spread, mut right_spread) = (0.0, 0.0, 0.0);
    for (l, r) in left.iter().zip(right) {
        let (l, r) = (l - left_mean, r - right_mean);
        both += l * r;
        left_spread += l * l;
        right_spread += r * r;
    }
    let is_defined = left_spread > 0.0 && right_spread > 0.0;
    is_defined.then(|| (both / (left_spread.sqrt() * right_spread.sqrt())).clamp(-1.0, 1.0))
}

/// The rank of each value from 1, of equals the mean of theirs.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for equals in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let first = order.partition_point(|index| values[*index] < values[equals[0]]);
        let rank = first as f64 + (equals.len() + 1) as f64 / 2.0;
        equals.iter().for_each(|index| ranks[*index] = rank);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.pearsonr` and `spearmanr` of scipy 1.17.1.
    #[test]
    fn correlations_are_those_of_scipy() {
        let left = [1.0, 2.0, 2.0, 5.0, -1.0, 3.5, 2.0];
        let right = [0.5, 2.5, 1.0, 1.0, -2.0, 4.0, 0.0];
        assert_eq!(ranks(&left), [2.0, 4.0, 4.0, 7.0, 1.0, 6.0, 4.0]);
        let near = |found: Option<f64>, expected: f64| {
            assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?}");
        };
        near(pearson(&left, &right), 0.6555330598179546);
        near(pearson(&ranks(&left), &ranks(&right)), 0.6918607726062583);
        near(pearson(&left, &left), 1.0);
        assert_eq!(pearson(&left, &[2.0; 7]), None);
        assert_eq!(pearson(&[1.0], &[2.0]), None);
    }
}
