//! A density over the space, estimated from some of its points.
//!
//! Each point is the middle of a kernel, and a kernel is a density over the whole space: the product
//! of one-dimensional ones along the parameters that its point uses. Along those that it does not
//! use, where the condition of another one holds in the point that is asked about, it is even. So
//! parameters with conditions need no space of their own, and what belongs together stays together.

use std::f64::consts::PI;

use super::super::scale::Scale;
use super::super::space::{Point, Space};
use super::normal;
use crate::random::Stream;

/// A mixture of kernels around points, and of an even density over the space.
pub(super) struct Parzen<'a> {
    space: &'a Space,
    kernels: Vec<Kernel>,
    /// The kernels' weights one after the other, summed up; then comes the even density's.
    reached: Vec<f64>,
}

/// The widths of a mixture's kernels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    /// The standard deviation along a number, as a share of its scale.
    pub(super) number: f64,
    /// The probability of any other member than the point's own.
    pub(super) category: f64,
}

struct Kernel {
    ln_weight: f64,
    /// Along each parameter that its point uses.
    along: Vec<Option<Along>>,
}

enum Along {
    /// A normal density, cut off at the ends of the scale.
    Number {
        middle: f64,
        width: f64,
        /// The probability below the scale's lower end, and inside of it, before it is cut off.
        before: f64,
        inside: f64,
        /// The logarithm of the density at the middle.
        ln_peak: f64,
    },
    /// The point's own member, and every other one.
    Category { own: usize, ln_own: f64, ln_other: f64 },
}

/// A point as densities are asked about it: for each parameter that it uses, its coordinate and its
/// cell's ends.
pub(super) struct Place {
    along: Vec<Option<(f64, Option<(f64, f64)>)>>,
}

impl Place {
    pub(super) fn new(space: &Space, point: &Point) -> Self {
        let along = |(index, coordinate): (usize, &Option<f64>)| {
            coordinate.map(|at| (at, space.parameters[index].scale.cell(at)))
        };
        Self {
            along: point.iter().enumerate().map(along).collect(),
        }
    }
}

impl<'a> Parzen<'a> {
    /// The mixture around `points`, with the weight of each. The even density has the weight `even`.
    pub(super) fn new(space: &'a Space, points: &[(&Point, f64)], even: f64, widths: Widths) -> Self {
        let total: f64 = even + points.iter().map(|(_, weight)| weight).sum::<f64>();
        let kernel = |(point, weight): &(&Point, f64)| Kernel {
            ln_weight: (weight / total).ln(),
            along: point
                .iter()
                .zip(&space.parameters)
                .map(|(coordinate, parameter)| Some(along(&parameter.scale, (*coordinate)?, widths)))
                .collect(),
        };
        let mut sum = 0.0;
        let reached = points.iter().map(|(_, weight)| {
            sum += weight / total;
            sum
        });
        Self {
            space,
            reached: reached.collect(),
            kernels: points.iter().map(kernel).collect(),
        }
    }

    /// A point of the mixture.
    pub(super) fn draw(&self, stream: &mut Stream) -> Point {
        let at = stream.uniform();
        let kernel = self
            .kernels
            .get(self.reached.partition_point(|reached| *reached <= at));
        self.space.choose(|index| {
            let uniform = stream.uniform();
            match kernel.and_then(|kernel| kernel.along[index].as_ref()) {
                None => uniform,
                Some(Along::Number {
                    middle,
                    width,
                    before,
                    inside,
                    ..
                }) => (middle + width * normal::quantile(before + uniform * inside)).clamp(0.0, 1.0),
                Some(Along::Category { own, ln_own, .. }) => {
                    let size = self.space.parameters[index].scale.size().unwrap_or(1) as f64;
                    let stays = ln_own.exp();
                    if uniform < stays {
                        return (*own as f64 + 0.5) / size;
                    }
                    // Any other member, as likely as the next.
                    let other = ((uniform - stays) / (1.0 - stays) * (size - 1.0)).floor();
                    let other = other.min(size - 2.0);
                    (other + if other >= *own as f64 { 1.5 } else { 0.5 }) / size
                }
            }
        })
    }

    /// The logarithm of the density at a place.
    pub(super) fn ln_density(&self, place: &Place) -> f64 {
        let even: f64 = (0..place.along.len())
            .map(|index| self.ln_even(index, place))
            .sum();
        let last = self.reached.last().copied().unwrap_or(0.0);
        let mut terms = Vec::with_capacity(self.kernels.len() + 1);
        terms.push(if last < 1.0 {
            (1.0 - last).ln() + even
        } else {
            f64::NEG_INFINITY
        });
        for kernel in &self.kernels {
            let mut term = kernel.ln_weight;
            for (index, (along, at)) in kernel.along.iter().zip(&place.along).enumerate() {
                term += match (along, at) {
                    (_, None) => 0.0,
                    (None, Some(_)) => self.ln_even(index, place),
                    (Some(along), Some((at, cell))) => along.ln_density(*at, *cell),
                };
            }
            terms.push(term);
        }
        let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
    }

    /// The logarithm of the even density along one parameter: of a cell its width.
    fn ln_even(&self, index: usize, place: &Place) -> f64 {
        match place.along[index] {
            Some((_, Some((low, high)))) => (high - low).ln(),
            _ => 0.0,
        }
    }
}

fn along(scale: &Scale, middle: f64, widths: Widths) -> Along {
    if let Scale::Categories(members) = scale {
        let size = members.len() as f64;
        let own = ((middle * size) as usize).min(members.len() - 1);
        let other = if members.len() > 1 {
            widths.category.min(1.0 / size)
        } else {
            0.0
        };
        return Along::Category {
            own,
            ln_own: (1.0 - other * (size - 1.0)).ln(),
            ln_other: other.ln(),
        };
    }
    // A kernel that is narrower than a cell would never reach the neighbours.
    let cell = scale.cell(middle).map_or(0.0, |(low, high)| high - low);
    let width = widths.number.max(0.5 * cell);
    let before = normal::below(-middle / width);
    let inside = normal::below((1.0 - middle) / width) - before;
    Along::Number {
        middle,
        width,
        before,
        inside,
        ln_peak: -(width * inside * (2.0 * PI).sqrt()).ln(),
    }
}

impl Along {
    fn ln_density(&self, at: f64, cell: Option<(f64, f64)>) -> f64 {
        /// Of cells that are so much narrower than the kernel, the middle tells enough.
        const NARROW: f64 = 0.1;
        match *self {
            Self::Category {
                own,
                ln_own,
                ln_other,
            } => {
                let is_own = cell.is_some_and(|(low, high)| (at / (high - low)) as usize == own);
                if is_own { ln_own } else { ln_other }
            }
            Self::Number {
                middle,
                width,
                inside,
                ln_peak,
                ..
            } => match cell {
                Some((low, high)) if high - low > NARROW * width => {
                    let below = |edge: f64| normal::below((edge - middle) / width);
                    ((below(high) - below(low)) / inside).max(f64::MIN_POSITIVE).ln()
                }
                _ => {
                    let distance = (at - middle) / width;
                    let size = cell.map_or(0.0, |(low, high)| (high - low).ln());
                    ln_peak - 0.5 * distance * distance + size
                }
            },
        }
    }
}
