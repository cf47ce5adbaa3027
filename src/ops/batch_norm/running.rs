//! What a layer remembers of its batches.

use candle_core::{Device, Result, Tensor};

use super::kernels::Moments;

/// What a layer remembers of the batches it was trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStatistics {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Unbiased variance of each channel.
    pub variance: Vec<f32>,
    /// Batches seen.
    pub batches: i64,
}

impl RunningStatistics {
    /// Of a layer that has seen nothing yet: mean 0 and variance 1.
    pub fn new(channels: usize) -> Self {
        Self {
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
            batches: 0,
        }
    }

    /// Mean and variance as tensors `[C]`, for evaluation.
    ///
    /// # Errors
    /// What the device reports.
    pub fn tensors(&self, device: &Device) -> Result<(Tensor, Tensor)> {
        let mean = Tensor::new(self.mean.as_slice(), device)?;
        Ok((mean, Tensor::new(self.variance.as_slice(), device)?))
    }

    /// Takes in the moments of a batch with `values` values in each channel, at least 2.
    pub(super) fn update(&mut self, moments: &Moments, values: usize, momentum: f64) {
        let unbiased = values as f64 / (values as f64 - 1.0);
        let mix = |old: &mut f32, new: f64| {
            *old = ((1.0 - momentum) * f64::from(*old) + momentum * new) as f32;
        };
        for (old, &new) in self.mean.iter_mut().zip(&moments.mean) {
            mix(old, new);
        }
        for (old, &new) in self.variance.iter_mut().zip(&moments.variance) {
            mix(old, new * unbiased);
        }
        self.batches += 1;
    }
}
