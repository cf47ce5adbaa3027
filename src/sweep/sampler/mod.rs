//! How new points are found.
//!
//! A sampler is asked for the point of one trial. It draws from streams that belong to the trial's
//! number, so the first trials are the same however many follow.

mod cma_es;
mod grid;
mod matrix;
mod normal;
mod parzen;
mod random;
mod sobol;
mod sobol_table;
mod tpe;

use self::cma_es::CmaEsSampler;
use self::grid::GridSampler;
use self::random::Random;
use self::sobol::Sobol;
use self::tpe::TpeSampler;
use super::SweepError;
use super::known::{Goal, Known};
use super::points::Points;
use super::space::{Broken, Point, Space, Taken};
use crate::random::{Purpose, Stream};
use crate::spec::Search;

/// How often a point is drawn again that breaks a constraint, or was taken already.
const ATTEMPTS: u32 = 10_000;

/// Where the space is no grid, it is only counted up to here.
const COUNTED: u64 = 100_000;

/// What a sampler may know.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) space: &'a Space,
    pub(super) goal: &'a Goal,
    pub(super) seed: u64,
    /// The trial's number, from 1.
    pub(super) trial: u32,
    /// All trials before it.
    pub(super) known: &'a [Known<'a>],
    /// Their points.
    pub(super) taken: &'a Taken,
}

impl Request<'_> {
    /// The draws of this trial's attempt.
    fn stream(&self, attempt: u32) -> Stream {
        Stream::new(self.seed, Purpose::Search, attempt, self.trial)
    }

    /// Whether a point fulfils the constraints; counted in `broken`.
    fn is_allowed(&self, point: &Point, broken: &mut Broken) -> bool {
        broken.count(self.space.broken(&self.space.values(point)))
    }

    fn is_new(&self, point: &Point) -> bool {
        !self.taken.contains(&self.space.key(point))
    }
}

/// What a sampler says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Draw {
    /// This is the next point.
    Point(Point),
    /// Every point was taken.
    Exhausted,
    /// It depends on trials whose outcome is not known.
    Unknown,
}

/// A search, and what it has worked out so far.
pub(super) struct Sampler {
    method: Method,
    /// All points, where there are not too many.
    points: Option<Points>,
    /// How many trials are wanted at most; none where the space decides.
    trials: Option<u32>,
}

enum Method {
    Grid(GridSampler),
    Random(Random),
    Sobol(Sobol),
    Tpe(TpeSampler),
    CmaEs(CmaEsSampler),
}

impl Sampler {
    pub(super) fn new(search: &Search, space: &Space, goal: &Goal, seed: u64) -> Result<Self, SweepError> {
        let objectives = goal.objectives.len();
        let fails = |needs| SweepError::Objectives {
            search: search.name(),
            needs,
            given: objectives,
        };
        let method = match search {
            Search::Grid(_) => Method::Grid(GridSampler::default()),
            Search::Random(_) => Method::Random(Random),
            Search::Sobol(_) => Method::Sobol(Sobol::new(space, seed)),
            Search::Tpe(_) if objectives == 0 => return Err(fails("an objective")),
            Search::Tpe(options) => Method::Tpe(TpeSampler::new(options, space, seed)),
            Search::CmaEs(_) if objectives != 1 => return Err(fails("one objective")),
            Search::CmaEs(options) => Method::CmaEs(CmaEsSampler::new(options, space)?),
        };
        let points = match &method {
            Method::Grid(_) => Some(Points::new(space, None).ok_or(SweepError::EndlessGrid)?),
            _ => Points::new(space, Some(COUNTED)),
        };
        if let Some(points) = points.as_ref().filter(|points| points.len() == 0) {
            return Err(points.error(space));
        }
        Ok(Self {
            method,
            points,
            trials: search.trials(),
        })
    }

    /// How many trials there will be, as far as the space has so many points.
    /// Changes how many trials are wanted.
    pub(super) fn set_trials(&mut self, trials: Option<u32>) {
        self.trials = trials;
    }

    pub(super) fn wanted(&self) -> Option<usize> {
        let trials = self.trials.map(|trials| trials as usize);
        let points = self.points.as_ref().map(|points| points.len() as usize);
        match (trials, points) {
            (Some(trials), Some(points)) => Some(trials.min(points)),
            (trials, points) => trials.or(points),
        }
    }

    /// Whether the point of this trial depends on no outcome; `adopted` trials came from before.
    pub(super) fn is_blind(&self, trial: u32, adopted: u32) -> bool {
        match &self.method {
            Method::Grid(_) | Method::Random(_) | Method::Sobol(_) => true,
            Method::Tpe(tpe) => tpe.is_startup(trial as usize - 1),
            Method::CmaEs(cma_es) => cma_es.is_first(trial - adopted),
        }
    }

    /// The point of a trial.
    pub(super) fn draw(&mut self, request: &Request) -> Result<Draw, SweepError> {
        let mut broken = Broken::default();
        let found = match &mut self.method {
            Method::Grid(grid) => match &self.points {
                Some(points) => return Ok(grid.draw(points, request)),
                None => return Err(SweepError::EndlessGrid),
            },
            Method::Random(random) => random.draw(request, &mut broken),
            Method::Sobol(sobol) => sobol.draw(request, &mut broken),
            Method::Tpe(tpe) => tpe.draw(request, &mut broken),
            Method::CmaEs(cma_es) => match cma_es.draw(request, &mut broken) {
                Draw::Unknown => return Ok(Draw::Unknown),
                Draw::Point(point) => Some(point),
                Draw::Exhausted => None,
            },
        };
        match (found, &self.points) {
            (Some(point), _) => Ok(Draw::Point(point)),
            // So few are left that draws miss them.
            (None, Some(points)) => Ok(one_of_the_rest(points, request)),
            (None, None) if broken.always() => Err(broken.error(request.space)),
            (None, None) => Ok(Draw::Exhausted),
        }
    }
}

fn one_of_the_rest(points: &Points, request: &Request) -> Draw {
    let mut rest: Vec<Point> = (0..points.len())
        .map(|index| points.get(request.space, index))
        .filter(|point| request.is_new(point))
        .collect();
    match u32::try_from(rest.len()) {
        Ok(count @ 1..) => {
            let which = request.stream(ATTEMPTS).below(count);
            Draw::Point(rest.swap_remove(which as usize))
        }
        _ => Draw::Exhausted,
    }
}
