//! Weights as whole numbers.

use super::Affine;

/// The largest bias, in steps of the sums.
pub(super) const LARGEST_BIAS: f64 = (1 << 29) as f64;

/// A layer's weights as whole numbers from -127 to 127.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteWeight {
    /// `[O, I / groups, K, K]` or `[O, I]`, row by row.
    pub values: Vec<i8>,
    /// The dimensions.
    pub dims: Vec<usize>,
    /// What one step of each output's weights is.
    pub scales: Vec<f32>,
}

impl ByteWeight {
    /// The most products of a sum that 32 bits hold, whatever they are.
    pub const MOST_PRODUCTS: usize = 1 << 15;

    /// Of `weight`, `dims`, for a layer whose inputs stand as `input` and that adds `bias`: the largest weight of each
    /// output becomes 127 or -127, and less only where the bias would be too many steps.
    pub fn of(weight: &[f32], dims: &[usize], bias: &[f32], input: Affine) -> Self {
        let outputs = dims[0];
        let len = (weight.len() / outputs.max(1)).max(1);
        let scales: Vec<f32> = weight
            .chunks_exact(len)
            .zip(bias)
            .map(|(weight, bias)| {
                let largest = weight
                    .iter()
                    .fold(0.0f32, |largest, value| largest.max(value.abs()));
                let for_bias = f64::from(bias.abs()) / LARGEST_BIAS / f64::from(input.scale);
                let scale = (f64::from(largest) / 127.0).max(for_bias) as f32;
                if scale >= f32::MIN_POSITIVE && scale.is_finite() {
                    scale
                } else {
                    1.0
                }
            })
            .collect();
        let values = weight
            .chunks_exact(len)
            .zip(&scales)
            .flat_map(|(weight, &scale)| {
                let whole = move |value: &f32| (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8;
                weight.iter().map(whole)
            });
        Self {
            values: values.collect(),
            dims: dims.to_vec(),
            scales,
        }
    }

    /// How many steps of the sums `bias` is, where inputs stand as `input`.
    pub fn bias_steps(&self, bias: &[f32], input: Affine) -> Vec<i32> {
        let of_output = |(&bias, &scale): (&f32, &f32)| {
            let step = f64::from(input.scale * scale);
            let steps = (f64::from(bias) / step).round_ties_even();
            steps.clamp(-LARGEST_BIAS, LARGEST_BIAS) as i32
        };
        bias.iter().zip(&self.scales).map(of_output).collect()
    }

    /// What each output's weights sum up to.
    pub(super) fn sums(&self) -> Vec<i32> {
        let len = (self.values.len() / self.dims[0].max(1)).max(1);
        self.values
            .chunks_exact(len)
            .map(|weights| weights.iter().map(|&weight| i32::from(weight)).sum())
            .collect()
    }
}
