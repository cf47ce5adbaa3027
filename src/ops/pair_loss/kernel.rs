//! The losses and their gradients, in f64.

use rayon::prelude::*;

use super::SCALE;

/// Below this an embedding counts as so long: PyTorch's `normalize` has it so.
const SHORTEST: f64 = 1e-12;

/// The length of an embedding.
pub(super) fn length(row: &[f32]) -> f64 {
    let squares = row.iter().map(|value| f64::from(*value) * f64::from(*value));
    squares.sum::<f64>().sqrt().max(SHORTEST)
}

/// Embeddings of length 1, the two of each pair one behind the other, and the lengths that they had.
pub(super) struct UnitPairs {
    values: Vec<f64>,
    lengths: Vec<f64>,
    width: usize,
}

impl UnitPairs {
    pub fn of(embeddings: &[f32], width: usize) -> Self {
        let lengths: Vec<f64> = embeddings.par_chunks_exact(width).map(length).collect();
        let values = embeddings
            .par_chunks_exact(width)
            .zip(&lengths)
            .flat_map_iter(|(row, length)| row.iter().map(move |value| f64::from(*value) / length));
        Self {
            values: values.collect(),
            lengths,
            width,
        }
    }

    fn len(&self) -> usize {
        self.lengths.len() / 2
    }

    fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    fn first(&self, pair: usize) -> &[f64] {
        self.row(2 * pair)
    }

    fn second(&self, pair: usize) -> &[f64] {
        self.row(2 * pair + 1)
    }

    /// The cosines of the two of each pair, scaled.
    fn cosines(&self) -> Vec<f64> {
        let of_pair = |pair| SCALE * dot(self.first(pair), self.second(pair));
        (0..self.len()).map(of_pair).collect()
    }

    /// For the first of each pair, the probabilities of all second ones.
    fn probabilities(&self) -> Vec<Vec<f64>> {
        let of_pair = |pair| {
            let mut scores = self.scores(pair);
            let log_sum = log_sum_exp(&scores);
            scores
                .iter_mut()
                .for_each(|score| *score = (*score - log_sum).exp());
            scores
        };
        (0..self.len()).into_par_iter().map(of_pair).collect()
    }

    /// The scaled cosines of the first of a pair and all second ones.
    fn scores(&self, pair: usize) -> Vec<f64> {
        let first = self.first(pair);
        (0..self.len())
            .map(|other| SCALE * dot(first, self.second(other)))
            .collect()
    }

    /// The gradients of the sum of the losses times `factor`, by embedding.
    pub fn gradients(&self, numbers: Option<&[f32]>, factor: f64) -> Vec<f32> {
        let pairs = self.len();
        // Of each first one, how much each second one of those listed pulls at it, and the other way round.
        let pulls: Box<dyn Fn(usize) -> Vec<(usize, f64)> + Sync> = match numbers {
            None => {
                let probabilities = self.probabilities();
                Box::new(move |row| {
                    let pair = row / 2;
                    let pull = |other: usize| {
                        let (first, second) = if row % 2 == 0 {
                            (pair, other)
                        } else {
                            (other, pair)
                        };
                        let own = f64::from(u8::from(first == second));
                        probabilities[first][second] - own
                    };
                    (0..pairs).map(|other| (other, pull(other))).collect()
                })
            }
            Some(numbers) => {
                let pulls = ranking_pulls(&self.cosines(), numbers);
                Box::new(move |row| vec![(row / 2, pulls[row / 2] * pairs as f64)])
            }
        };
        let mut gradients = vec![0f32; self.values.len()];
        gradients
            .par_chunks_exact_mut(self.width)
            .enumerate()
            .for_each(|(row, gradient)| {
                let mut sum = vec![0.0; self.width];
                for (other, pull) in pulls(row) {
                    let partner = if row % 2 == 0 {
                        self.second(other)
                    } else {
                        self.first(other)
                    };
                    sum.iter_mut()
                        .zip(partner)
                        .for_each(|(sum, value)| *sum += SCALE * pull * value);
                }
                // What is along the embedding changes its length alone.
                let own = self.row(row);
                let along = dot(&sum, own);
                for ((gradient, sum), own) in gradient.iter_mut().zip(&sum).zip(own) {
                    *gradient = (factor * (sum - along * own) / self.lengths[row]) as f32;
                }
            });
        gradients
    }
}

/// The loss of each pair.
pub(super) fn losses(pairs: &UnitPairs, numbers: Option<&[f32]>) -> Vec<f64> {
    match numbers {
        None => (0..pairs.len())
            .into_par_iter()
            .map(|pair| {
                let scores = pairs.scores(pair);
                log_sum_exp(&scores) - scores[pair]
            })
            .collect(),
        Some(numbers) => vec![ranking(&pairs.cosines(), numbers); pairs.len()],
    }
}

/// The logarithm of the sum of 1 and the exponentials of all differences of cosines that ought to be negative.
fn ranking(cosines: &[f64], numbers: &[f32]) -> f64 {
    let mut largest = 0f64;
    each_misplaced(cosines, numbers, |_, _, difference| {
        largest = largest.max(difference);
    });
    let mut sum = (-largest).exp();
    each_misplaced(cosines, numbers, |_, _, difference| {
        sum += (difference - largest).exp();
    });
    largest + sum.ln()
}

/// The derivative of the loss of a batch by each cosine, scaled.
fn ranking_pulls(cosines: &[f64], numbers: &[f32]) -> Vec<f64> {
    let log_sum = ranking(cosines, numbers);
    let mut pulls = vec![0.0; cosines.len()];
    each_misplaced(cosines, numbers, |less, more, difference| {
        let share = (difference - log_sum).exp();
        pulls[less] += share;
        pulls[more] -= share;
    });
    pulls
}

/// Each two pairs of which the first has the smaller number, and by how much its cosine is larger.
fn each_misplaced(cosines: &[f64], numbers: &[f32], mut each: impl FnMut(usize, usize, f64)) {
    for (less, small) in numbers.iter().enumerate() {
        for (more, large) in numbers.iter().enumerate() {
            if small < large {
                each(less, more, cosines[less] - cosines[more]);
            }
        }
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn log_sum_exp(scores: &[f64]) -> f64 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest
        + scores
            .iter()
            .map(|score| (score - largest).exp())
            .sum::<f64>()
            .ln()
}
