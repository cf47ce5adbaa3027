//! Tree-structured Parzen estimators.
//!
//! After Bergstra et al., "Algorithms for hyper-parameter optimization", 2011, with one density over
//! all parameters together (Falkner et al., "BOHB", 2018): the trials so far are split into few good
//! and many bad ones, a density is estimated from each, and of some points drawn from the good
//! density the one is taken where it is largest as a multiple of the bad one. A trial that is under
//! way counts as bad, so that others keep their distance.

use super::super::rank;
use super::super::space::{Broken, Point, Space};
use super::parzen::{Parzen, Place};
use super::sobol::Sobol;
use super::{ATTEMPTS, Request};
use crate::spec;

// These, and the widths of the kernels, were chosen by the searches of Hartmann's function in three
// dimensions, of Ackley's, Rosenbrock's and Levy's, and of `forest`, all in
// `examples/search_bench.rs`; `benches/search_quality.py` measures by others.

/// The share of the trials that count as good...
const GOOD: f64 = 0.2;

/// ...and the most that do.
const MOST_GOOD: usize = 25;

/// By how much the weight falls from the best of the good trials to the last.
const FALL: f64 = 0.9;

/// The estimators' options, and the sequence that the first trials are taken from.
pub(super) struct TpeSampler {
    startup: usize,
    candidates: usize,
    first: Sobol,
}

impl TpeSampler {
    pub(super) fn new(options: &spec::Tpe, space: &Space, seed: u64) -> Self {
        Self {
            // Of no trials at all nothing can be estimated.
            startup: (options.startup as usize).max(1),
            candidates: options.candidates.get() as usize,
            first: Sobol::new(space, seed),
        }
    }

    /// Whether so few trials before a trial tell nothing, however they ended.
    pub(super) fn is_startup(&self, trials: usize) -> bool {
        trials < self.startup
    }

    pub(super) fn draw(&mut self, request: &Request, broken: &mut Broken) -> Option<Point> {
        let ranked = rank::best_first(request.known, request.goal);
        if self.is_startup(ranked.len()) {
            return self.first.draw(request, broken);
        }
        let good = good_count(ranked.len());
        let blank = (0..request.known.len()).filter(|&index| request.known[index].is_blank());
        let bad: Vec<usize> = ranked[good..].iter().copied().chain(blank).collect();
        let good = estimate(request, &ranked[..good], FALL);
        let bad = estimate(request, &bad, 0.0);

        let mut stream = request.stream(0);
        let mut best: Option<(f64, Point)> = None;
        let mut candidates = 0;
        for _ in 0..ATTEMPTS {
            let point = good.draw(&mut stream);
            if !request.is_allowed(&point, broken) || !request.is_new(&point) {
                continue;
            }
            let place = Place::new(request.space, &point);
            let score = good.ln_density(&place) - bad.ln_density(&place);
            if best.as_ref().is_none_or(|(most, _)| score > *most) {
                best = Some((score, point));
            }
            candidates += 1;
            if candidates == self.candidates {
                break;
            }
        }
        best.map(|(_, point)| point)
    }
}

/// How many of the trials count as good.
fn good_count(trials: usize) -> usize {
    ((GOOD * trials as f64).ceil() as usize).min(MOST_GOOD)
}

/// The density of trials. From the first to the last of them the weight falls by `falls`.
fn estimate<'a>(request: &Request<'a>, trials: &[usize], falls: f64) -> Parzen<'a> {
    let weighted = |(rank, &index): (usize, &usize)| {
        let share = rank as f64 / trials.len() as f64;
        (request.known[index].point, 1.0 - falls * share)
    };
    let points: Vec<(&Point, f64)> = trials.iter().enumerate().map(weighted).collect();
    Parzen::new(request.space, &points)
}
