//! The area under the ROC curve.

/// The probability that a positive sample scores higher than a negative one, ties counted half: the
/// area under the ROC curve, by ranks (Mann and Whitney, 1947). Samples are scores, without NaN, and
/// whether they are positive. `None` without both kinds.
pub(super) fn roc_auc(mut samples: Vec<(f64, bool)>) -> Option<f64> {
    samples.sort_unstable_by(|(left, _), (right, _)| left.total_cmp(right));
    let positives = samples.iter().filter(|(_, positive)| *positive).count() as f64;
    let negatives = samples.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    // Twice the pairs that are in order. The sums are of whole numbers: exact, in any order.
    let (mut pairs, mut negatives_below) = (0.0, 0.0);
    for tied in samples.chunk_by(|(left, _), (right, _)| left == right) {
        let positive = tied.iter().filter(|(_, positive)| *positive).count() as f64;
        let negative = tied.len() as f64 - positive;
        pairs += positive * (2.0 * negatives_below + negative);
        negatives_below += negative;
    }
    Some(pairs / (2.0 * positives * negatives))
}

/// The mean of those that there are.
pub(super) fn mean(values: Vec<Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}
