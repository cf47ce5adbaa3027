//! A Sobol sequence: points that fill the space more evenly than independent draws.
//!
//! The digits of the sequence are scrambled at random as Owen does ("Randomly permuted (t,m,s)-nets
//! and (t,s)-sequences", 1995), with a hash in place of stored permutations (Burley, "Practical
//! hash-based Owen scrambling", 2020): each seed has a sequence of its own that is as even, and none
//! of them begins in the corner. Each parameter takes a dimension, whether it is used or not.

use super::super::space::{Broken, Point, Space};
use super::sobol_table::DIRECTIONS;
use super::{ATTEMPTS, Request};
use crate::random::{Purpose, Stream};

const BITS: usize = 32;

/// The sequence, and how far it was gone through.
#[derive(Clone, Debug)]
pub(super) struct Sobol {
    dimensions: Vec<Dimension>,
    /// Every point of the sequence before this one is in the way of a constraint, or was taken.
    next: u32,
}

#[derive(Clone, Debug)]
struct Dimension {
    /// None beyond the dimensions that direction numbers are kept for: those are hashed alone.
    directions: Option<[u32; BITS]>,
    scramble: u32,
}

impl Sobol {
    pub(super) fn new(space: &Space, seed: u64) -> Self {
        let dimension = |index: usize| Dimension {
            directions: directions(index),
            // No trial has this attempt.
            scramble: Stream::new(seed, Purpose::Search, u32::MAX, index as u32).next_u32(),
        };
        Self {
            dimensions: (0..space.parameters.len()).map(dimension).collect(),
            next: 0,
        }
    }

    pub(super) fn draw(&mut self, request: &Request, broken: &mut Broken) -> Option<Point> {
        for _ in 0..ATTEMPTS {
            let point = request
                .space
                .choose(|parameter| self.coordinate(self.next, parameter));
            if request.is_allowed(&point, broken) && request.is_new(&point) {
                return Some(point);
            }
            self.next = self.next.wrapping_add(1);
        }
        None
    }

    /// One coordinate of the sequence's point, inside of 0 and 1.
    fn coordinate(&self, index: u32, dimension: usize) -> f64 {
        let Dimension { directions, scramble } = &self.dimensions[dimension];
        let digits = match directions {
            Some(directions) => sobol(index, directions),
            None => scrambled(index, !scramble),
        };
        (f64::from(scrambled(digits, *scramble)) + 0.5) / (1u64 << BITS) as f64
    }
}

/// The digits of a dimension's point, in the order of the Gray code (Antonov and Saleev, 1979).
fn sobol(index: u32, directions: &[u32; BITS]) -> u32 {
    let gray = index ^ (index >> 1);
    (0..BITS)
        .filter(|bit| gray >> bit & 1 == 1)
        .fold(0, |digits, bit| digits ^ directions[bit])
}

fn directions(dimension: usize) -> Option<[u32; BITS]> {
    let mut directions = [0; BITS];
    if dimension == 0 {
        for (bit, direction) in directions.iter_mut().enumerate() {
            *direction = 1 << (BITS - 1 - bit);
        }
        return Some(directions);
    }
    let (polynomial, first) = DIRECTIONS.get(dimension - 1)?;
    let degree = first.len();
    for bit in 0..BITS {
        directions[bit] = if bit < degree {
            first[bit] << (BITS - 1 - bit)
        } else {
            let before = directions[bit - degree];
            (1..degree)
                .filter(|back| polynomial >> (degree - back) & 1 == 1)
                .fold(before ^ (before >> degree), |sum, back| {
                    sum ^ directions[bit - back]
                })
        };
    }
    Some(directions)
}

/// Owen's scrambling: whether a digit is flipped depends on all digits before it.
fn scrambled(digits: u32, seed: u32) -> u32 {
    // In the reversed number the lower bits are the earlier digits, and a multiplication by an even
    // number lets each bit depend on lower ones only.
    let mut x = digits.reverse_bits().wrapping_add(seed);
    for even in [0x6c50_b47c_u32, 0xb82f_1e52, 0xc7af_e638, 0x8d22_f6e6] {
        x ^= x.wrapping_mul(even);
    }
    x.reverse_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `scipy.stats.qmc.Sobol(64, scramble=False)`.
    #[test]
    fn the_sequence_is_the_published_one() {
        let first: Vec<[f64; 4]> = (0..8)
            .map(|index| {
                [0, 1, 2, 3].map(|dimension| {
                    f64::from(sobol(index, &directions(dimension).unwrap())) / 4_294_967_296.0
                })
            })
            .collect();
        assert_eq!(
            first,
            [
                [0.0, 0.0, 0.0, 0.0],
                [0.5, 0.5, 0.5, 0.5],
                [0.75, 0.25, 0.25, 0.25],
                [0.25, 0.75, 0.75, 0.75],
                [0.375, 0.375, 0.625, 0.875],
                [0.875, 0.875, 0.125, 0.375],
                [0.625, 0.125, 0.875, 0.625],
                [0.125, 0.625, 0.375, 0.125],
            ]
        );
        let thousandth =
            [0, 1, 2, 7, 20, 40, 63].map(|dimension| sobol(1000, &directions(dimension).unwrap()));
        assert_eq!(
            thousandth,
            [
                943_718_400,
                415_236_096,
                2_227_175_424,
                3_862_953_984,
                2_243_952_640,
                3_921_674_240,
                1_916_796_928
            ]
        );
        assert!(directions(64).is_none());
    }

    /// Of 256 points, each of 256 slices of any dimension holds one, and so does each of 16 x 16
    /// cells of the first two dimensions.
    #[test]
    fn scrambling_keeps_the_points_even() {
        let dimensions = |seed: u32| {
            [0, 1, 5, 63].map(|index: usize| Dimension {
                directions: directions(index),
                scramble: seed.wrapping_mul(0x9E37_79B9).wrapping_add(index as u32 * 77),
            })
        };
        let mut seen_first = Vec::new();
        for seed in 0..4 {
            let sobol = Sobol {
                dimensions: dimensions(seed).to_vec(),
                next: 0,
            };
            for dimension in 0..4 {
                let mut slices = [0; 256];
                for index in 0..256 {
                    slices[(sobol.coordinate(index, dimension) * 256.0) as usize] += 1;
                }
                assert!(slices.iter().all(|count| *count == 1), "dimension {dimension}");
            }
            let mut cells = [0; 256];
            for index in 0..256 {
                let [x, y] = [0, 1].map(|dimension| (sobol.coordinate(index, dimension) * 16.0) as usize);
                cells[x * 16 + y] += 1;
            }
            assert!(cells.iter().all(|count| *count == 1));
            seen_first.push(sobol.coordinate(0, 0).to_bits());
        }
        seen_first.dedup();
        assert_eq!(seen_first.len(), 4, "each seed has a sequence of its own");
    }
}
