//! Covariance matrix adaptation.
//!
//! After Hansen, "The CMA evolution strategy: a tutorial" (arXiv:1604.00772, 2016), with its default
//! weights (negative ones too) and rates, on coordinates from 0 to 1. The search starts in the
//! middle, or at the best trial of an earlier definition. Where the tutorial leaves the choice:
//!
//! - A draw outside of the box is drawn again; if none of a hundred is inside, the last is moved to
//!   the nearest point of the box.
//! - Whole numbers are rounded, and it is the rounded point that the search learns from. Along them
//!   the standard deviation stays at 0.3 of a step or more, so that their neighbours are still tried.
//! - Trials that failed are left out of their generation; what was stopped early ranks after what
//!   came to its end.

use super::super::known::Known;
use super::super::rank;
use super::super::space::{Broken, Point, Space};
use super::matrix::eigen;
use super::{ATTEMPTS, Draw, Request, SweepError};
use crate::spec;

/// How often a draw outside of the box, or of a point that was taken, is drawn again.
const REDRAWS: u32 = 100;

/// The smallest standard deviation along whole numbers, in steps.
const LEAST_STEP: f64 = 0.3;

/// The strategy, and what was worked out for earlier trials.
pub(super) struct CmaEsSampler {
    rates: Rates,
    sigma: f64,
    /// For each generation that has ended its trials' indices, the best first, and what follows.
    generations: Vec<(Vec<usize>, Distribution)>,
}

/// What the number of parameters and the population decide.
struct Rates {
    size: usize,
    population: usize,
    /// A weight for each rank; the first half is positive.
    weights: Vec<f64>,
    effective: f64,
    path_sigma: f64,
    damping: f64,
    path: f64,
    rank_one: f64,
    rank_many: f64,
    /// The expected length of a standard normal vector.
    length: f64,
}

/// The distribution that a generation is drawn from.
#[derive(Clone)]
struct Distribution {
    mean: Vec<f64>,
    sigma: f64,
    covariance: Vec<Vec<f64>>,
    path_sigma: Vec<f64>,
    path: Vec<f64>,
    /// The square roots of the covariance's eigenvalues, and its eigenvectors.
    axes: (Vec<f64>, Vec<Vec<f64>>),
}

impl CmaEsSampler {
    pub(super) fn new(options: &spec::CmaEs, space: &Space) -> Result<Self, SweepError> {
        use super::super::scale::Scale;
        let unfit = |parameter: &&super::super::space::SpaceParameter| {
            matches!(parameter.scale, Scale::Categories(_)) || !parameter.conditions().is_empty()
        };
        if let Some(parameter) = space.parameters.iter().find(unfit) {
            return Err(SweepError::NotANumber {
                name: parameter.name.clone(),
            });
        }
        let size = space.parameters.len();
        let default = 4 + (3.0 * (size as f64).ln()).floor() as usize;
        let population = options.population.map_or(default, |count| count.get() as usize);
        Ok(Self {
            // Of a single trial there is none that is better.
            rates: Rates::new(size, population.max(2)),
            sigma: options.sigma.get(),
            generations: Vec::new(),
        })
    }

    /// Whether a trial (from 1) is of the first generation.
    pub(super) fn is_first(&self, trial: u32) -> bool {
        trial as usize <= self.rates.population
    }

    pub(super) fn draw(&mut self, request: &Request, broken: &mut Broken) -> Draw {
        let own = request.known.iter().take_while(|trial| trial.adopted).count();
        let (adopted, known) = request.known.split_at(own);
        let ended = known.len() / self.rates.population * self.rates.population;
        if known[..ended].iter().any(Known::is_blank) {
            return Draw::Unknown;
        }
        let start = rank::best_first(adopted, request.goal)
            .first()
            .map(|&index| adopted[index].point);
        let state = self.state(request, start, &known[..ended]);

        for attempt in 0..ATTEMPTS {
            let mut stream = request.stream(attempt);
            let steps: Vec<f64> = (0..self.rates.size).map(|_| stream.normal()).collect();
            let at = state.point(&steps);
            let inside = at.iter().all(|at| (0.0..=1.0).contains(at));
            if attempt < REDRAWS && !inside {
                continue;
            }
            let point = request.space.choose(|index| at[index].clamp(0.0, 1.0));
            // A search that has settled on whole numbers may come back to a point.
            let is_fresh = attempt >= REDRAWS || request.is_new(&point);
            if is_fresh && request.is_allowed(&point, broken) {
                return Draw::Point(point);
            }
        }
        Draw::Exhausted
    }

    /// The distribution after the generations of `known`.
    fn state(&mut self, request: &Request, start: Option<&Point>, known: &[Known]) -> Distribution {
        let mut state = Distribution::new(self.rates.size, self.sigma, start);
        for (generation, trials) in known.chunks_exact(self.rates.population).enumerate() {
            let order = rank::best_first(trials, request.goal);
            match self.generations.get(generation) {
                Some((known, next)) if *known == order => state = next.clone(),
                _ => {
                    let points: Vec<Vec<f64>> = order
                        .iter()
                        .map(|&index| {
                            let point = trials[index].point.iter();
                            point.map(|at| at.unwrap_or(0.5)).collect()
                        })
                        .collect();
                    state.learn(&self.rates, &points, generation);
                    state.keep_steps(request.space);
                    self.generations.truncate(generation);
                    self.generations.push((order, state.clone()));
                }
            }
        }
        state
    }
}

impl Rates {
    fn new(size: usize, population: usize) -> Self {
        let n = size as f64;
        let raw: Vec<f64> = (1..=population)
            .map(|rank| ((population as f64 + 1.0) / 2.0).ln() - (rank as f64).ln())
            .collect();
        let effective = |weights: &[f64]| {
            let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
            weights.iter().sum::<f64>().powi(2) / squares
        };
        let (better, worse) = raw.split_at(population / 2);
        let (mu, mu_worse) = (effective(better), effective(worse));
        let rank_one = 2.0 / ((n + 1.3).powi(2) + mu);
        let rank_many = (1.0 - rank_one).min(2.0 * (0.25 + mu + 1.0 / mu - 2.0) / ((n + 2.0).powi(2) + mu));
        let most = (1.0 + rank_one / rank_many)
            .min(1.0 + 2.0 * mu_worse / (mu + 2.0))
            .min((1.0 - rank_one - rank_many) / (n * rank_many));
        let positive: f64 = raw.iter().filter(|weight| **weight > 0.0).sum();
        let negative: f64 = raw.iter().filter(|weight| **weight < 0.0).sum();
        let weights = raw.iter().map(|&weight| {
            if weight >= 0.0 {
                weight / positive
            } else {
                weight * most / -negative
            }
        });
        let path_sigma = (mu + 2.0) / (n + mu + 5.0);
        Self {
            size,
            population,
            weights: weights.collect(),
            effective: mu,
            path_sigma,
            damping: 1.0 + 2.0 * (((mu - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + path_sigma,
            path: (4.0 + mu / n) / (n + 4.0 + 2.0 * mu / n),
            rank_one,
            rank_many,
            length: n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
        }
    }

    /// The weights of so many ranks. Where trials are missing there are no negative ones, and the
    /// positive ones still sum up to 1.
    fn weights(&self, ranks: usize) -> Vec<f64> {
        if ranks == self.population {
            return self.weights.clone();
        }
        let positive: Vec<f64> = self
            .weights
            .iter()
            .take(ranks)
            .map(|weight| weight.max(0.0))
            .collect();
        let sum: f64 = positive.iter().sum();
        positive.iter().map(|weight| weight / sum).collect()
    }
}

impl Distribution {
    fn new(size: usize, sigma: f64, start: Option<&Point>) -> Self {
        let identity: Vec<Vec<f64>> = (0..size)
            .map(|row| {
                (0..size)
                    .map(|column| f64::from(u8::from(row == column)))
                    .collect()
            })
            .collect();
        Self {
            mean: match start {
                Some(point) => point.iter().map(|at| at.unwrap_or(0.5)).collect(),
                None => vec![0.5; size],
            },
            sigma,
            covariance: identity.clone(),
            path_sigma: vec![0.0; size],
            path: vec![0.0; size],
            axes: (vec![1.0; size], identity),
        }
    }

    /// The point that a standard normal vector stands for.
    fn point(&self, steps: &[f64]) -> Vec<f64> {
        let (lengths, vectors) = &self.axes;
        vectors
            .iter()
            .zip(&self.mean)
            .map(|(row, mean)| {
                let step: f64 = (0..steps.len()).map(|k| row[k] * lengths[k] * steps[k]).sum();
                mean + self.sigma * step
            })
            .collect()
    }

    /// A step with the covariance taken out of it.
    fn whitened(&self, step: &[f64]) -> Vec<f64> {
        let (lengths, vectors) = &self.axes;
        let along: Vec<f64> = (0..step.len())
            .map(|k| {
                let projection: f64 = (0..step.len()).map(|row| vectors[row][k] * step[row]).sum();
                projection / lengths[k]
            })
            .collect();
        vectors
            .iter()
            .map(|row| row.iter().zip(&along).map(|(row, along)| row * along).sum())
            .collect()
    }

    /// Takes in a generation's points, the best first.
    fn learn(&mut self, rates: &Rates, points: &[Vec<f64>], generation: usize) {
        if points.is_empty() {
            return;
        }
        let n = rates.size as f64;
        let weights = rates.weights(points.len());
        let steps: Vec<Vec<f64>> = points
            .iter()
            .map(|point| {
                let pairs = point.iter().zip(&self.mean);
                pairs.map(|(at, mean)| (at - mean) / self.sigma).collect()
            })
            .collect();
        let mut step = vec![0.0; rates.size];
        for (weight, one) in weights.iter().zip(&steps).filter(|(weight, _)| **weight > 0.0) {
            for (sum, part) in step.iter_mut().zip(one) {
                *sum += weight * part;
            }
        }
        for (mean, step) in self.mean.iter_mut().zip(&step) {
            *mean += self.sigma * step;
        }

        let gain = (rates.path_sigma * (2.0 - rates.path_sigma) * rates.effective).sqrt();
        let whitened = self.whitened(&step);
        for (path, step) in self.path_sigma.iter_mut().zip(whitened) {
            *path = (1.0 - rates.path_sigma) * *path + gain * step;
        }
        let length = self.path_sigma.iter().map(|part| part * part).sum::<f64>().sqrt();
        let faded = (1.0 - rates.path_sigma).powi(2 * (generation as i32 + 1));
        // The path of the covariance stands still while the step size still grows fast.
        let moves = length / (1.0 - faded).sqrt() < (1.4 + 2.0 / (n + 1.0)) * rates.length;
        let moves = f64::from(u8::from(moves));
        let gain = (rates.path * (2.0 - rates.path) * rates.effective).sqrt();
        for (path, step) in self.path.iter_mut().zip(&step) {
            *path = (1.0 - rates.path) * *path + moves * gain * step;
        }

        let scaled: Vec<f64> = weights
            .iter()
            .zip(&steps)
            .map(|(&weight, step)| {
                if weight >= 0.0 {
                    return weight;
                }
                let length: f64 = self.whitened(step).iter().map(|part| part * part).sum();
                weight * n / length.max(1e-12)
            })
            .collect();
        let lost = (1.0 - moves) * rates.path * (2.0 - rates.path);
        let kept = 1.0 + rates.rank_one * (lost - 1.0) - rates.rank_many * weights.iter().sum::<f64>();
        for row in 0..rates.size {
            for column in 0..rates.size {
                let many: f64 = scaled
                    .iter()
                    .zip(&steps)
                    .map(|(weight, step)| weight * step[row] * step[column])
                    .sum();
                self.covariance[row][column] = kept * self.covariance[row][column]
                    + rates.rank_one * self.path[row] * self.path[column]
                    + rates.rank_many * many;
            }
        }
        self.sigma *= ((rates.path_sigma / rates.damping) * (length / rates.length - 1.0)).exp();
        self.sigma = self.sigma.clamp(1e-9, 1.0);
    }

    /// Keeps the standard deviation along whole numbers from vanishing, and works out the axes.
    fn keep_steps(&mut self, space: &Space) {
        for (index, parameter) in space.parameters.iter().enumerate() {
            let Some((low, high)) = parameter.scale.cell(self.mean[index].clamp(0.0, 1.0)) else {
                continue;
            };
            let deviation = self.sigma * self.covariance[index][index].max(0.0).sqrt();
            let least = LEAST_STEP * (high - low);
            if deviation < least {
                let factor = least / deviation.max(1e-12);
                for other in 0..self.mean.len() {
                    self.covariance[index][other] *= factor;
                    self.covariance[other][index] *= factor;
                }
            }
        }
        let (values, vectors) = eigen(&self.covariance);
        let lengths = values.iter().map(|value| value.max(1e-20).sqrt()).collect();
        self.axes = (lengths, vectors);
    }
}
