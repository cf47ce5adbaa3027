//! The same values with other dimensions, and parts of them. No value is copied where it lies well.

use candle_core::{Result, Tensor};

use super::attributes::Attributes;
use super::error::OpError;
use super::operation::{Operation, compose};

/// Dimensions `first` to `last` as one.
///
/// # Errors
/// Dimensions that `x` does not have.
pub fn flatten(x: &Tensor, first: usize, last: usize) -> std::result::Result<Tensor, OpError> {
    if first > last || last >= x.rank() {
        let problem = format!("{:?} has no dimensions {first} to {last}", x.dims());
        return Err(OpError::shape("flatten", problem));
    }
    compose(ShapeChange::Flatten { first, last }, &[x])
}

/// A dimension of 1 put in at each of `axes`, which are those of the result, in ascending order.
///
/// # Errors
/// An axis beyond the result's.
pub fn unsqueeze(x: &Tensor, axes: &[usize]) -> std::result::Result<Tensor, OpError> {
    if axes.iter().zip(x.rank()..).any(|(&axis, rank)| axis > rank) || !axes.is_sorted() {
        let problem = format!("{:?} cannot get dimensions at {axes:?}", x.dims());
        return Err(OpError::shape("unsqueeze", problem));
    }
    let axes = axes.to_vec();
    compose(ShapeChange::Unsqueeze { axes }, &[x])
}

/// The dimensions `axes`, each of 1 and in ascending order, left out.
///
/// # Errors
/// A dimension that is not 1.
pub fn squeeze(x: &Tensor, axes: &[usize]) -> std::result::Result<Tensor, OpError> {
    let is_one = |axis: &usize| x.dims().get(*axis) == Some(&1);
    if !axes.iter().all(is_one) || !axes.is_sorted() {
        let problem = format!("{:?} cannot lose its dimensions {axes:?}", x.dims());
        return Err(OpError::shape("squeeze", problem));
    }
    let axes = axes.to_vec();
    compose(ShapeChange::Squeeze { axes }, &[x])
}

/// What lies at `index` along dimension `axis`, which is left out.
///
/// # Errors
/// A place that `x` does not have.
pub fn select(x: &Tensor, axis: usize, index: usize) -> std::result::Result<Tensor, OpError> {
    if x.dims().get(axis).is_none_or(|&extent| index >= extent) {
        let problem = format!("{:?} has no index {index} along dimension {axis}", x.dims());
        return Err(OpError::shape("select", problem));
    }
    compose(ShapeChange::Select { axis, index }, &[x])
}

enum ShapeChange {
    Flatten { first: usize, last: usize },
    Unsqueeze { axes: Vec<usize> },
    Squeeze { axes: Vec<usize> },
    Select { axis: usize, index: usize },
}

impl Operation for ShapeChange {
    fn name(&self) -> &'static str {
        match self {
            Self::Flatten { .. } => "flatten",
            Self::Unsqueeze { .. } => "unsqueeze",
            Self::Squeeze { .. } => "squeeze",
            Self::Select { .. } => "select",
        }
    }

    fn attributes(&self) -> Attributes {
        let attributes = Attributes::default();
        match self {
            Self::Flatten { first, last } => attributes.with("first_axis", *first).with("last_axis", *last),
            Self::Unsqueeze { axes } | Self::Squeeze { axes } => attributes.with("axes", axes.as_slice()),
            Self::Select { axis, index } => attributes.with("axis", *axis).with("index", *index),
        }
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let x = &operands[0];
        match (self, self.reshaped(x.dims())) {
            (Self::Select { axis, index }, _) => x.narrow(*axis, *index, 1)?.squeeze(*axis)?.contiguous(),
            (_, Some(dims)) => x.reshape(dims),
            (_, None) => Ok(x.clone()),
        }
    }

    fn reshaped(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let mut dims = dims.to_vec();
        match self {
            Self::Flatten { first, last } => {
                let extent = dims[*first..=*last].iter().product();
                dims.splice(*first..=*last, [extent]);
            }
            Self::Unsqueeze { axes } => axes.iter().for_each(|&axis| dims.insert(axis, 1)),
            Self::Squeeze { axes } => axes.iter().rev().for_each(|&axis| {
                dims.remove(axis);
            }),
            Self::Select { .. } => return None,
        }
        Some(dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    #[test]
    fn values_and_gradients_stay_in_order() {
        let x = random_var(&[3, 4, 1, 2], 1);
        let weights = host(&random(&[24], 2));
        for (y, dims) in [
            (flatten(&x, 1, 3), &[3, 8][..]),
            (flatten(&x, 0, 1), &[12, 1, 2]),
            (unsqueeze(&x, &[1, 5]), &[3, 1, 4, 1, 2, 1]),
            (squeeze(&x, &[2]), &[3, 4, 2]),
        ] {
            let y = y.expect("fits");
            assert_eq!(y.dims(), dims);
            assert_eq!(host(&y), host(&x));
            assert_eq!(gradient_of(&y, &weights, &x), weights);
        }
    }

    #[test]
    fn what_is_selected_gets_the_gradient() {
        let x = random_var(&[2, 3, 2], 1);
        let y = select(&x, 1, 2).expect("fits");
        assert_eq!(y.dims(), [2, 2]);
        let values = host(&x);
        assert_eq!(host(&y), [values[4], values[5], values[10], values[11]]);
        assert_eq!(
            gradient_of(&y, &[1.0, 2.0, 3.0, 4.0], &x),
            [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0]
        );
    }

    #[test]
    fn misfits_are_told() {
        let x = random(&[2, 3], 1);
        let told = |result: std::result::Result<Tensor, OpError>| result.expect_err("refused").to_string();
        assert_eq!(
            told(flatten(&x, 1, 2)),
            "flatten: [2, 3] has no dimensions 1 to 2"
        );
        assert_eq!(
            told(squeeze(&x, &[1])),
            "squeeze: [2, 3] cannot lose its dimensions [1]"
        );
        assert_eq!(
            told(unsqueeze(&x, &[3, 4])),
            "unsqueeze: [2, 3] cannot get dimensions at [3, 4]"
        );
        assert_eq!(
            told(select(&x, 1, 3)),
            "select: [2, 3] has no index 3 along dimension 1"
        );
    }
}
