//! A density over the space, estimated from some of its points.
//!
//! Each point is the middle of a kernel, and a kernel is a density over the whole space: the product
//! of one-dimensional ones along the parameters that its point uses. Along those that it does not
//! use, where the condition of another one holds in the point that is asked about, it is even. So
//! parameters with conditions need no space of their own, and what belongs together stays together.
//!
//! A kernel along a number reaches to the farther one of its neighbours (Bergstra et al., 2011).

use std::f64::consts::PI;

use super::super::scale::Scale;
use super::super::space::{Point, Space};
use super::normal;
use crate::random::Stream;

/// The weight of the even density, beside 1 for a point.
const EVEN: f64 = 1.0;

/// No kernel along a number is wider than this share of its scale, unless there are few points...
const WIDEST: f64 = 0.2;

/// ...and none is narrower than this one.
const NARROWEST: f64 = 0.01;

/// A mixture of kernels around points, and of an even density over the space.
pub(super) struct Parzen<'a> {
    space: &'a Space,
    kernels: Vec<Kernel>,
    /// The kernels' weights one after the other, summed up; then comes the even density's.
    reached: Vec<f64>,
}

struct Kernel {
    ln_weight: f64,
    /// Along each parameter that its point uses.
    along: Vec<Option<KernelAlong>>,
}

enum KernelAlong {
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

/// A point as densities are asked about it: a spot along each parameter that it uses.
pub(super) struct Place {
    along: Vec<Option<Spot>>,
}

/// A coordinate, and the ends of its cell if it has one.
#[derive(Clone, Copy)]
struct Spot {
    at: f64,
    cell: Option<(f64, f64)>,
}

impl Place {
    pub(super) fn new(space: &Space, point: &Point) -> Self {
        let along = |(index, coordinate): (usize, &Option<f64>)| {
            coordinate.map(|at| Spot {
                at,
                cell: space.parameters[index].scale.cell(at),
            })
        };
        Self {
            along: point.iter().enumerate().map(along).collect(),
        }
    }
}

impl<'a> Parzen<'a> {
    /// The mixture around `points`, with the weight of each.
    pub(super) fn new(space: &'a Space, points: &[(&Point, f64)]) -> Self {
        let total: f64 = EVEN + points.iter().map(|(_, weight)| weight).sum::<f64>();
        let neighbours = Neighbours::new(space, points);
        let count = points.len() as f64 + 1.0;
        // The fewer points there are, the less each says about where exactly they may be.
        let other = 1.0 / (count + 1.0);
        let narrowest = other.max(NARROWEST);
        let kernel = |(point, weight): &(&Point, f64)| Kernel {
            ln_weight: (weight / total).ln(),
            along: point
                .iter()
                .enumerate()
                .map(|(index, coordinate)| {
                    let at = (*coordinate)?;
                    let width = neighbours.gap(index, at).min(WIDEST).max(narrowest);
                    Some(along(&space.parameters[index].scale, at, width, other))
                })
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
                Some(KernelAlong::Number {
                    middle,
                    width,
                    before,
                    inside,
                    ..
                }) => (middle + width * normal::quantile(before + uniform * inside)).clamp(0.0, 1.0),
                Some(KernelAlong::Category { own, ln_own, .. }) => {
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
        let evens: Vec<f64> = place.along.iter().map(|spot| ln_even(*spot)).collect();
        let even: f64 = evens.iter().sum();
        let last = self.reached.last().copied().unwrap_or(0.0);
        let mut terms = Vec::with_capacity(self.kernels.len() + 1);
        terms.push(if last < 1.0 {
            (1.0 - last).ln() + even
        } else {
            f64::NEG_INFINITY
        });
        for kernel in &self.kernels {
            let mut term = kernel.ln_weight;
            for ((along, at), even) in kernel.along.iter().zip(&place.along).zip(&evens) {
                term += match (along, at) {
                    (_, None) => 0.0,
                    (None, Some(_)) => *even,
                    (Some(along), Some(spot)) => along.ln_density(*spot),
                };
            }
            terms.push(term);
        }
        let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // What is too far away adds nothing, which takes long to find out.
        let shares = terms.iter().map(|term| term - most);
        let near = shares.filter(|share| *share > LN_NOTHING);
        most + near.map(f64::exp).sum::<f64>().ln()
    }
}

/// The exponential of what is less is 0.
const LN_NOTHING: f64 = -746.0;

/// The logarithm of the even density along one parameter: of a cell its width.
fn ln_even(spot: Option<Spot>) -> f64 {
    match spot {
        Some(Spot {
            cell: Some((low, high)),
            ..
        }) => (high - low).ln(),
        _ => 0.0,
    }
}

/// The points' coordinates along each parameter, in order.
struct Neighbours {
    along: Vec<Vec<f64>>,
}

impl Neighbours {
    fn new(space: &Space, points: &[(&Point, f64)]) -> Self {
        let along = |index: usize| {
            let mut all: Vec<f64> = points.iter().filter_map(|(point, _)| point[index]).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        Self {
            along: (0..space.parameters.len()).map(along).collect(),
        }
    }

    /// The distance to the farther one of a point's neighbours; the ends of the scale count.
    fn gap(&self, index: usize, at: f64) -> f64 {
        let all = &self.along[index];
        let place = all.partition_point(|other| *other < at);
        let below = place.checked_sub(1).map_or(0.0, |below| all[below]);
        let above = all.get(place + 1).copied().unwrap_or(1.0);
        (at - below).max(above - at)
    }
}

/// The density around one coordinate: so wide along a number, and with the probability `other` for
/// each other member of a choice.
fn along(scale: &Scale, middle: f64, width: f64, other: f64) -> KernelAlong {
    if let Scale::Categories(members) = scale {
        let size = members.len() as f64;
        let own = ((middle * size) as usize).min(members.len() - 1);
        let other = if members.len() > 1 {
            other.min(1.0 / size)
        } else {
            0.0
        };
        return KernelAlong::Category {
            own,
            ln_own: (1.0 - other * (size - 1.0)).ln(),
            ln_other: other.ln(),
        };
    }
    // A kernel that is narrower than a cell would never reach the neighbours.
    let cell = scale.cell(middle).map_or(0.0, |(low, high)| high - low);
    let width = width.max(0.5 * cell);
    let before = normal::below(-middle / width);
    let inside = normal::below((1.0 - middle) / width) - before;
    KernelAlong::Number {
        middle,
        width,
        before,
        inside,
        ln_peak: -(width * inside * (2.0 * PI).sqrt()).ln(),
    }
}

impl KernelAlong {
    fn ln_density(&self, Spot { at, cell }: Spot) -> f64 {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::random::Purpose;
    use crate::spec::Sweep;

    fn space(params: serde_json::Value) -> Space {
        let sweep: Sweep = serde_json::from_value(json!({"params": params})).unwrap();
        let own = sweep.params.keys().map(|name| (name.clone(), json!(0))).collect();
        Space::new(&sweep, &own).unwrap()
    }

    fn density(parzen: &Parzen, space: &Space, point: &Point) -> f64 {
        parzen.ln_density(&Place::new(space, point)).exp()
    }

    /// A choice, a number that only one of its members uses, and whole numbers: over all of it the
    /// density sums up to 1.
    #[test]
    fn densities_are_whole() {
        let space = space(json!({
            "kind": ["a", "b", "c"],
            "x": {"uniform": [0, 1], "when": {"kind": "b"}},
            "n": {"log_int": [1, 6]},
        }));
        let at = |kind: f64, x: Option<f64>, n: f64| vec![Some(kind / 3.0), x, Some(n)];
        let points = [
            at(0.5, None, 0.1),
            at(1.5, Some(0.3), 0.5),
            at(1.5, Some(0.9), 0.99),
        ];
        let points: Vec<(&Point, f64)> = points.iter().zip([1.0, 0.7, 0.4]).collect();
        let parzen = Parzen::new(&space, &points);
        let mut sum = 0.0;
        for member in 0..6 {
            let scale = &space.parameters[2].scale;
            let n = scale.coordinate(&scale.member(member)).unwrap();
            for kind in [0.5, 2.5] {
                sum += density(&parzen, &space, &at(kind, None, n));
            }
            let inside: f64 = (0..1000)
                .map(|slice| {
                    density(
                        &parzen,
                        &space,
                        &at(1.5, Some((f64::from(slice) + 0.5) / 1000.0), n),
                    )
                })
                .sum();
            sum += inside / 1000.0;
        }
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }

    /// Draws fall into each tenth of the scale as often as the density says.
    #[test]
    fn draws_follow_the_density() {
        let space = space(json!({"kind": ["a", "b", "c"], "x": {"uniform": [0, 1]}}));
        let points = [
            vec![Some(0.5 / 3.0), Some(0.02)],
            vec![Some(2.5 / 3.0), Some(0.4)],
            vec![Some(2.5 / 3.0), Some(0.45)],
        ];
        let points: Vec<(&Point, f64)> = points.iter().zip([1.0, 1.0, 0.5]).collect();
        let parzen = Parzen::new(&space, &points);
        let mut stream = Stream::new(5, Purpose::Search, 0, 0);
        let mut counts = [[0u32; 10]; 3];
        for _ in 0..40_000 {
            let point = parzen.draw(&mut stream);
            let [kind, x] = [point[0].unwrap() * 3.0, point[1].unwrap() * 10.0];
            counts[kind as usize][(x as usize).min(9)] += 1;
        }
        for (kind, counts) in counts.iter().enumerate() {
            for (tenth, count) in counts.iter().enumerate() {
                let x = |slice: u32| (tenth as f64 + (f64::from(slice) + 0.5) / 50.0) / 10.0;
                let mean: f64 = (0..50)
                    .map(|slice| {
                        let point = vec![Some((kind as f64 + 0.5) / 3.0), Some(x(slice))];
                        density(&parzen, &space, &point) / 50.0
                    })
                    .sum();
                let expected = 4000.0 * mean;
                let off = (f64::from(*count) - expected).abs();
                assert!(
                    off < 5.0 * expected.sqrt() + 1.0,
                    "{kind}, {tenth}: {count} for {expected}"
                );
            }
        }
    }
}
