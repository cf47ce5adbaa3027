//! How much each parameter matters: a functional analysis of variance over a random forest.
//!
//! The forest learns the objective from the parameters. Each tree divides the space into boxes with
//! one value each, so that the variance over the whole space, and the part of it that one parameter
//! explains by itself (the variance of the mean over all others, its main effect), are sums over
//! boxes, without sampling. This is fANOVA by Hutter, Hoos and Leyton-Brown ("An efficient approach
//! for assessing hyperparameter importance", ICML 2014), for main effects. What they leave over is
//! what parameters do together, and the noise of a tree. (To divide the variance of the whole forest
//! instead has less noise, and was tried: with the 20 to 300 trials that sweeps have, smoothing away
//! what parameters do together costs more.) Trees are grown to single samples, each on a bootstrap sample, with
//! the same draws every time: the same trials give the same figures.

use crate::random::{Purpose, Stream};

/// How many trees; Optuna has as many.
const TREES: u32 = 64;
const MOST_DEPTH: u32 = 64;

/// A parameter's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Feature {
    /// Numbers from 0 to 1 along the parameter's axis.
    Number(Vec<f64>),
    /// Indices of categories, and how many there are.
    Category(Vec<usize>, usize),
}

/// The share of the variance that each feature explains by itself. Nothing where all targets are
/// the same, or there are fewer than two.
pub fn main_effects(features: &[Feature], targets: &[f64]) -> Option<Vec<f64>> {
    let count = targets.len();
    if count < 2 || targets.iter().all(|target| *target == targets[0]) {
        return None;
    }
    let mut sums = vec![0.0; features.len()];
    let mut trees = 0;
    for tree in 0..TREES {
        let mut stream = Stream::new(0, Purpose::Bootstrap, 0, tree);
        let samples = (0..count)
            .map(|_| (stream.uniform() * count as f64) as usize)
            .collect();
        let mut leaves = Vec::new();
        let whole: Region = features.iter().map(Side::whole).collect();
        grow(features, targets, samples, whole, 0, &mut leaves);
        if let Some(shares) = shares(features, &leaves) {
            sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
            trees += 1;
        }
    }
    (trees > 0).then(|| sums.into_iter().map(|sum| sum / f64::from(trees)).collect())
}

/// A part of the space, by feature.
type Region = Vec<Side>;

#[derive(Clone, Debug, PartialEq)]
enum Side {
    Range(f64, f64),
    /// Whether each category belongs to it.
    Members(Vec<bool>),
}

struct Leaf {
    value: f64,
    sides: Region,
}

impl Side {
    fn whole(feature: &Feature) -> Self {
        match feature {
            Feature::Number(_) => Self::Range(0.0, 1.0),
            Feature::Category(_, count) => Self::Members(vec![true; *count]),
        }
    }

    /// Its share of the whole side.
    fn share(&self) -> f64 {
        match self {
            Self::Range(low, high) => high - low,
            Self::Members(members) => {
                members.iter().filter(|member| **member).count() as f64 / members.len() as f64
            }
        }
    }
}

/// Where a node's samples are divided.
enum Cut {
    /// What is below goes left.
    Below(f64),
    /// The category goes left.
    Is(usize),
}

/// Divides `samples` until all have the same target, and adds the boxes to `leaves`.
fn grow(
    features: &[Feature],
    targets: &[f64],
    samples: Vec<usize>,
    sides: Region,
    depth: u32,
    leaves: &mut Vec<Leaf>,
) {
    let best = if depth < MOST_DEPTH {
        best_cut(features, targets, &samples)
    } else {
        None
    };
    let Some((feature, cut)) = best else {
        let sum: f64 = samples.iter().map(|sample| targets[*sample]).sum();
        leaves.push(Leaf {
            value: sum / samples.len() as f64,
            sides,
        });
        return;
    };
    let goes_left = |sample: &usize| match (&features[feature], &cut) {
        (Feature::Number(values), Cut::Below(limit)) => values[*sample] < *limit,
        (Feature::Category(values, _), Cut::Is(category)) => values[*sample] == *category,
        _ => false,
    };
    let (left, right): (Vec<usize>, Vec<usize>) = samples.into_iter().partition(goes_left);
    let (mut left_sides, mut right_sides) = (sides.clone(), sides);
    match (&mut left_sides[feature], &mut right_sides[feature], &cut) {
        (Side::Range(_, high), Side::Range(low, _), Cut::Below(limit)) => {
            *high = *limit;
            *low = *limit;
        }
        (Side::Members(left), Side::Members(right), Cut::Is(category)) => {
            left.iter_mut()
                .enumerate()
                .for_each(|(index, member)| *member = index == *category);
            right[*category] = false;
        }
        _ => {}
    }
    grow(features, targets, left, left_sides, depth + 1, leaves);
    grow(features, targets, right, right_sides, depth + 1, leaves);
}

/// The cut that leaves the smallest sum of squares; the first of equals.
fn best_cut(features: &[Feature], targets: &[f64], samples: &[usize]) -> Option<(usize, Cut)> {
    let total: f64 = samples.iter().map(|sample| targets[*sample]).sum();
    let count = samples.len() as f64;
    let first = targets[*samples.first()?];
    if samples.iter().all(|sample| targets[*sample] == first) {
        return None;
    }
    // Both parts' squared sums over their counts: the larger, the less is left unexplained.
    let score = |sum: f64, part: f64| sum * sum / part + (total - sum) * (total - sum) / (count - part);
    let mut best: Option<(f64, usize, Cut)> = None;
    let mut consider = |value: f64, feature: usize, cut: Cut| {
        if best
            .as_ref()
            .is_none_or(|(found, ..)| value > *found + 1e-12 * found.abs())
        {
            best = Some((value, feature, cut));
        }
    };
    for (index, feature) in features.iter().enumerate() {
        match feature {
            Feature::Number(values) => {
                let mut order: Vec<(f64, f64)> = samples
                    .iter()
                    .map(|sample| (values[*sample], targets[*sample]))
                    .collect();
                order.sort_by(|left, right| left.0.total_cmp(&right.0));
                let mut sum = 0.0;
                for (place, pair) in order.windows(2).enumerate() {
                    sum += pair[0].1;
                    let limit = f64::midpoint(pair[0].0, pair[1].0);
                    if pair[0].0 < limit {
                        consider(score(sum, place as f64 + 1.0), index, Cut::Below(limit));
                    }
                }
            }
            Feature::Category(values, categories) => {
                let mut sums = vec![(0.0, 0.0); *categories];
                for sample in samples {
                    let (sum, part) = &mut sums[values[*sample]];
                    *sum += targets[*sample];
                    *part += 1.0;
                }
                for (category, (sum, part)) in sums.into_iter().enumerate() {
                    if part > 0.0 && part < count {
                        consider(score(sum, part), index, Cut::Is(category));
                    }
                }
            }
        }
    }
    best.map(|(_, feature, cut)| (feature, cut))
}

/// The share of a tree's variance over the space that each feature explains by itself.
fn shares(features: &[Feature], leaves: &[Leaf]) -> Option<Vec<f64>> {
    let volumes: Vec<f64> = leaves
        .iter()
        .map(|leaf| leaf.sides.iter().map(Side::share).product())
        .collect();
    let weighted = || leaves.iter().zip(&volumes);
    let mean: f64 = weighted().map(|(leaf, volume)| leaf.value * volume).sum();
    let variance: f64 = weighted()
        .map(|(leaf, volume)| (leaf.value - mean).powi(2) * volume)
        .sum();
    if variance <= 0.0 {
        return None;
    }
    let effect = |index: usize| match features[index] {
        Feature::Number(_) => effect_of_number(index, leaves, &volumes, mean),
        Feature::Category(_, count) => effect_of_category(index, count, leaves, &volumes, mean),
    };
    Some(
        (0..features.len())
            .map(|index| effect(index) / variance)
            .collect(),
    )
}

/// The variance of the mean over all other features, along a number.
fn effect_of_number(index: usize, leaves: &[Leaf], volumes: &[f64], mean: f64) -> f64 {
    // Where the mean changes, and by how much.
    let mut changes: Vec<(f64, f64)> = Vec::with_capacity(2 * leaves.len());
    for (leaf, volume) in leaves.iter().zip(volumes) {
        if let Side::Range(low, high) = leaf.sides[index]
            && high > low
        {
            let part = leaf.value * volume / (high - low);
            changes.push((low, part));
            changes.push((high, -part));
        }
    }
    changes.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (mut marginal, mut variance) = (0.0, 0.0);
    for pair in changes.windows(2) {
        marginal += pair[0].1;
        variance += (marginal - mean).powi(2) * (pair[1].0 - pair[0].0);
    }
    variance
}

fn effect_of_category(index: usize, count: usize, leaves: &[Leaf], volumes: &[f64], mean: f64) -> f64 {
    let mut marginals = vec![0.0; count];
    for (leaf, volume) in leaves.iter().zip(volumes) {
        if let Side::Members(members) = &leaf.sides[index] {
            let part = leaf.value * volume / leaf.sides[index].share();
            let chosen = marginals.iter_mut().zip(members).filter(|(_, member)| **member);
            chosen.for_each(|(marginal, _)| *marginal += part);
        }
    }
    let squares = marginals.iter().map(|marginal| (marginal - mean).powi(2));
    squares.sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// Uniform points, and a function's values there.
    fn sampled(count: usize, dimensions: u32, function: impl Fn(&[f64]) -> f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut columns = Vec::new();
        for dimension in 0..dimensions {
            let mut stream = Stream::new(1, Purpose::Search, 0, dimension);
            columns.push((0..count).map(|_| stream.uniform()).collect::<Vec<f64>>());
        }
        let targets = (0..count).map(|row| {
            let point: Vec<f64> = columns.iter().map(|column| column[row]).collect();
            function(&point)
        });
        let targets = targets.collect();
        (columns, targets)
    }

    fn numbers(columns: Vec<Vec<f64>>) -> Vec<Feature> {
        columns.into_iter().map(Feature::Number).collect()
    }

    /// Var(2x) : Var(y) = 4 : 1, and z does nothing.
    #[test]
    fn a_sum_is_divided_as_its_variances_are() {
        let (columns, targets) = sampled(300, 3, |x| 2.0 * x[0] + x[1]);
        let shares = main_effects(&numbers(columns), &targets).unwrap();
        assert!((shares[0] - 0.8).abs() < 0.04, "{shares:?}");
        assert!((shares[1] - 0.2).abs() < 0.04, "{shares:?}");
        assert!(shares[2] < 0.01, "{shares:?}");
    }

    /// Published indices: Sobol's g-function with a = 0, 1, 4.5, 9 (Saltelli et al., "Global
    /// Sensitivity Analysis", 2008), and the function of Ishigami and Homma (1990) with a = 7 and
    /// b = 0.1, which is harder: it turns several times, and the first and the third do much
    /// together.
    #[test]
    fn published_indices_are_met() {
        let (columns, targets) = sampled(2000, 4, |x| {
            let terms = x.iter().zip([0.0, 1.0, 4.5, 9.0]);
            terms
                .map(|(x, a)| ((4.0 * x - 2.0).abs() + a) / (1.0 + a))
                .product()
        });
        let shares = main_effects(&numbers(columns), &targets).unwrap();
        for (share, published) in shares.iter().zip([0.7165, 0.1791, 0.0237, 0.0072]) {
            assert!((share - published).abs() < 0.03, "{shares:?}");
        }
        let (columns, targets) = sampled(2000, 3, |x| {
            let [x1, x2, x3] = [x[0], x[1], x[2]].map(|x| (2.0 * x - 1.0) * PI);
            x1.sin() + 7.0 * x2.sin().powi(2) + 0.1 * x3.powi(4) * x1.sin()
        });
        let shares = main_effects(&numbers(columns), &targets).unwrap();
        for (share, published) in shares.iter().zip([0.3139, 0.4424, 0.0]) {
            assert!((share - published).abs() < 0.1, "{shares:?}");
        }
        assert!(
            shares[1] > shares[0] && shares[0] > 20.0 * shares[2],
            "{shares:?}"
        );
    }

    #[test]
    fn a_product_is_what_features_do_together() {
        let (columns, targets) = sampled(500, 2, |x| f64::from((x[0] > 0.5) != (x[1] > 0.5)));
        let shares = main_effects(&numbers(columns), &targets).unwrap();
        assert!(shares.iter().sum::<f64>() < 0.1, "{shares:?}");
    }

    #[test]
    fn categories_count_too() {
        let (mut columns, _) = sampled(200, 2, |_| 0.0);
        let second = columns.pop().unwrap();
        let kinds: Vec<usize> = columns[0].iter().map(|x| (x * 3.0) as usize).collect();
        // Means 0, 1, 5: variance 14/3; the number: variance 1/12.
        let targets: Vec<f64> = kinds
            .iter()
            .zip(&second)
            .map(|(kind, x)| [0.0, 1.0, 5.0][*kind] + x)
            .collect();
        let features = [Feature::Category(kinds, 3), Feature::Number(second)];
        let shares = main_effects(&features, &targets).unwrap();
        let expected = (14.0 / 3.0) / (14.0 / 3.0 + 1.0 / 12.0);
        assert!((shares[0] - expected).abs() < 0.01, "{shares:?}, {expected}");
    }

    #[test]
    fn the_same_again_and_nothing_from_nothing() {
        let (columns, targets) = sampled(60, 2, |x| x[0] * x[1]);
        let features = numbers(columns);
        assert_eq!(
            main_effects(&features, &targets),
            main_effects(&features, &targets)
        );
        assert_eq!(main_effects(&features, &vec![1.0; 60]), None);
        assert_eq!(main_effects(&features, &targets[..1]), None);
        let constant = [Feature::Number(vec![0.5; 60])];
        assert_eq!(
            main_effects(&constant, &targets),
            None,
            "nothing can be told apart"
        );
    }
}
