//! The sides of one sample's array.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// Sides that an array of one sample has, at most.
const MOST: usize = 4;

/// Stands for a side that is not the same for all samples.
const RAGGED: u32 = u32::MAX;

/// The sides of one sample's array, outermost first; a side may be ragged: each sample has its own.
/// No side at all is a single number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Option<usize>>", into = "Vec<Option<usize>>")]
pub struct Dimensions {
    rank: usize,
    sides: [u32; MOST],
}

impl Dimensions {
    /// A single number.
    pub const SCALAR: Self = Self {
        rank: 0,
        sides: [0; MOST],
    };

    /// The given sides; nothing where they are more than four, or one does not fit 32 bits.
    pub fn new(sides: &[Option<usize>]) -> Option<Self> {
        let mut dimensions = Self {
            rank: sides.len(),
            sides: [0; MOST],
        };
        for (index, side) in sides.iter().enumerate() {
            let side = match side {
                Some(side) => u32::try_from(*side).ok().filter(|side| *side != RAGGED)?,
                None => RAGGED,
            };
            *dimensions.sides.get_mut(index)? = side;
        }
        Some(dimensions)
    }

    /// A row of `columns` values.
    pub fn row(columns: usize) -> Self {
        Self::saturating(&[Some(columns)])
    }

    /// Any number of values.
    pub fn ragged() -> Self {
        Self::saturating(&[None])
    }

    /// Any number of rows of `columns` values.
    pub fn ragged_rows(columns: usize) -> Self {
        Self::saturating(&[None, Some(columns)])
    }

    /// An image, `[C, H, W]`, of one size (`[H, W]`) or of any.
    pub fn image(channels: usize, size: Option<[usize; 2]>) -> Self {
        match size {
            Some([height, width]) => Self::saturating(&[Some(channels), Some(height), Some(width)]),
            None => Self::saturating(&[Some(channels), None, None]),
        }
    }

    /// Sides past 32 bits, which no array in memory has, become the largest one.
    fn saturating(given: &[Option<usize>]) -> Self {
        let mut sides = [0; MOST];
        for (side, given) in sides.iter_mut().zip(given) {
            *side = match given {
                Some(given) => u32::try_from(*given).unwrap_or(RAGGED).min(RAGGED - 1),
                None => RAGGED,
            };
        }
        Self {
            rank: given.len(),
            sides,
        }
    }

    /// How many sides there are.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The sides; nothing for those that are ragged.
    pub fn sides(&self) -> impl ExactSizeIterator<Item = Option<usize>> + '_ {
        self.sides[..self.rank]
            .iter()
            .map(|side| (*side != RAGGED).then_some(*side as usize))
    }

    /// The side `index`, where it exists and is the same for all samples.
    pub fn side(&self, index: usize) -> Option<usize> {
        self.sides().nth(index).flatten()
    }

    /// How many sides are ragged.
    pub fn ragged_sides(&self) -> usize {
        self.sides().filter(Option::is_none).count()
    }

    /// Whether every sample has the same sides.
    pub fn is_fixed(&self) -> bool {
        self.ragged_sides() == 0
    }

    /// The number of values in a sample; nothing where it is not the same for all samples, or does
    /// not fit.
    pub fn len(&self) -> Option<usize> {
        self.sides()
            .try_fold(1usize, |product, side| product.checked_mul(side?))
    }

    /// Whether one of the fixed sides is 0, so that no sample holds anything.
    pub fn is_empty(&self) -> bool {
        self.sides().any(|side| side == Some(0))
    }

    /// The product of the fixed sides; nothing where it does not fit.
    pub fn fixed_len(&self) -> Option<usize> {
        self.sides()
            .flatten()
            .try_fold(1usize, |product, side| product.checked_mul(side))
    }

    /// The same with the ragged sides, in order, replaced by `sizes`; those for which there is none
    /// stay ragged.
    #[must_use]
    pub fn filled(mut self, sizes: impl IntoIterator<Item = u32>) -> Self {
        let ragged = self.sides[..self.rank].iter_mut().filter(|side| **side == RAGGED);
        for (side, size) in ragged.zip(sizes) {
            *side = size.min(RAGGED - 1);
        }
        self
    }

    /// Whether `self`, the sides of one sample, are what `field` says of all.
    pub fn fits(&self, field: &Self) -> bool {
        self.rank == field.rank
            && self
                .sides()
                .zip(field.sides())
                .all(|(own, all)| all.is_none() || own == all)
    }

    /// Height and width of an image, `[C, H, W]`, where they are the same for all samples.
    pub fn size(&self) -> Option<[usize; 2]> {
        if self.rank != 3 {
            return None;
        }
        Some([self.side(1)?, self.side(2)?])
    }
}

impl TryFrom<Vec<Option<usize>>> for Dimensions {
    type Error = String;

    fn try_from(sides: Vec<Option<usize>>) -> Result<Self, String> {
        Self::new(&sides).ok_or_else(|| format!("no sample has the dimensions {sides:?}"))
    }
}

impl From<Dimensions> for Vec<Option<usize>> {
    fn from(dimensions: Dimensions) -> Self {
        dimensions.sides().collect()
    }
}

impl Display for Dimensions {
    /// As `3x32x32` or `?x4`; a single number is `1`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.rank == 0 {
            return write!(f, "1");
        }
        for (index, side) in self.sides().enumerate() {
            let times = if index > 0 { "x" } else { "" };
            match side {
                Some(side) => write!(f, "{times}{side}")?,
                None => write!(f, "{times}?")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_counted_filled_and_compared() {
        let image = Dimensions::image(3, None);
        assert_eq!(image.to_string(), "3x?x?");
        assert_eq!((image.rank(), image.ragged_sides(), image.len()), (3, 2, None));
        assert_eq!(
            (image.side(0), image.side(1), image.side(9)),
            (Some(3), None, None)
        );
        let sample = image.filled([4, 5]);
        assert_eq!((sample.size(), sample.len()), (Some([4, 5]), Some(60)));
        assert!(sample.fits(&image) && !image.fits(&sample));
        assert!(!Dimensions::image(1, Some([4, 5])).fits(&image));
        assert!(!Dimensions::row(3).fits(&image));
        let boxes = Dimensions::ragged_rows(4);
        assert_eq!((boxes.fixed_len(), boxes.filled([0]).len()), (Some(4), Some(0)));
        assert_eq!(Dimensions::SCALAR.len(), Some(1));
        assert_eq!(Dimensions::SCALAR.to_string(), "1");
        assert_eq!(Dimensions::new(&[Some(1); 5]), None);
        assert_eq!(Dimensions::new(&[Some(u32::MAX as usize)]), None);
        let huge = Dimensions::new(&[Some(1 << 31); 4]).unwrap();
        assert_eq!((huge.len(), huge.fixed_len()), (None, None));
        assert!(Dimensions::row(0).is_empty() && !boxes.is_empty());
    }
}
