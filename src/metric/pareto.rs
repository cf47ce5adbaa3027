//! Which of several vectors of losses are better than others in every way.

use std::cmp::Ordering;

/// Whether `left` is nowhere larger than `right` and somewhere smaller.
pub fn dominates(left: &[f64], right: &[f64]) -> bool {
    let pairs = || left.iter().zip(right);
    pairs().all(|(left, right)| left <= right) && pairs().any(|(left, right)| left < right)
}

/// The indices of `losses` by fronts, the best first: each is the Pareto front of what the earlier
/// ones leave. Within a front, by the losses from the first on.
pub fn fronts(losses: &[&[f64]]) -> Vec<Vec<usize>> {
    // What is dominated comes later in this order, so a front only grows.
    let mut left: Vec<usize> = (0..losses.len()).collect();
    left.sort_by(|&a, &b| {
        let pairs = losses[a].iter().zip(losses[b]);
        let by_value = pairs.map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne());
        by_value.unwrap_or(Ordering::Equal).then(a.cmp(&b))
    });
    let mut fronts = Vec::new();
    while !left.is_empty() {
        let mut front: Vec<usize> = Vec::new();
        left.retain(|&index| {
            let is_dominated = front.iter().any(|&other| dominates(losses[other], losses[index]));
            if !is_dominated {
                front.push(index);
            }
            is_dominated
        });
        fronts.push(front);
    }
    fronts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_do_not_dominate_each_other() {
        assert!(dominates(&[1.0, 1.0], &[1.0, 2.0]));
        assert!(!dominates(&[1.0, 1.0], &[1.0, 1.0]));
        assert!(!dominates(&[0.0, 2.0], &[1.0, 1.0]));
        assert!(!dominates(&[], &[]));
    }

    #[test]
    fn fronts_lie_behind_each_other() {
        let losses: [&[f64]; 5] = [&[2.0, 2.0], &[0.0, 3.0], &[1.0, 1.0], &[1.0, 1.0], &[3.0, 3.0]];
        assert_eq!(fronts(&losses), [vec![1, 2, 3], vec![0], vec![4]]);
        assert!(fronts(&[]).is_empty());
    }
}
