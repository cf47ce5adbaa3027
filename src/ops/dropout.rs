//! Dropout.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::attributes::Attributes;
use super::composed::dropped;
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use crate::random::{Purpose, Stream};

/// Names the masks of a batch: each sample's is drawn by itself, so that it is the same whatever other
/// samples it is computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey<'a> {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
    /// The samples' indices in their split, `[N]`.
    pub samples: &'a [u32],
    /// The layer within the network.
    pub layer: u32,
}

impl DropoutKey<'_> {
    /// The draws of the sample `sample`.
    pub(super) fn stream(&self, sample: u32) -> Stream {
        Stream::of_layer(self.seed, Purpose::Dropout, self.epoch, sample, self.layer)
    }

    /// Fails unless the key is for as many samples as `x` has.
    pub(super) fn check(&self, op: &'static str, x: &Tensor) -> std::result::Result<(), OpError> {
        match x.dims().first() {
            Some(samples) if *samples == self.samples.len() => Ok(()),
            _ => {
                let problem = format!(
                    "{:?} are not the values of {} samples",
                    x.dims(),
                    self.samples.len()
                );
                Err(OpError::shape(op, problem))
            }
        }
    }
}

/// Sets each value of `x`, `[N, ...]`, to 0 with probability `probability`, and divides the
/// others by `1 - probability` (Srivastava et al., 2014). To be left out in evaluation.
///
/// # Errors
/// A probability outside of `[0, 1)`, or a key for another number of samples.
pub fn dropout(x: &Tensor, probability: f64, key: DropoutKey<'_>) -> std::result::Result<Tensor, OpError> {
    check_probability("dropout", probability)?;
    if probability == 0.0 {
        return Ok(x.clone());
    }
    key.check("dropout", x)?;
    let factors = factors(x.elem_count(), probability, key);
    run(Dropping { probability, factors }, &[x])
}

/// Fails unless something is kept.
pub(super) fn check_probability(op: &'static str, probability: f64) -> std::result::Result<(), OpError> {
    if !(0.0..1.0).contains(&probability) {
        let problem = format!("the probability {probability} is not in [0, 1)");
        return Err(OpError::shape(op, problem));
    }
    Ok(())
}

/// For each of `len` values, as many a sample of `key`, 0 with that probability, else what makes up for
/// it.
pub(super) fn factors(len: usize, probability: f64, key: DropoutKey<'_>) -> Vec<f32> {
    /// Values that are drawn in the time that handing them to another thread takes.
    const GRAIN: usize = 4096;
    let mut factors = vec![0.0; len];
    let each = (len / key.samples.len().max(1)).max(1);
    factors
        .par_chunks_mut(each)
        .zip(key.samples)
        .with_min_len((GRAIN / each).max(1))
        .for_each(|(factors, &sample)| draw_factors(&mut key.stream(sample), probability, factors));
    factors
}

/// Draws `factors`, as [`factors`] gives them, from `stream`.
pub(super) fn draw_factors(stream: &mut Stream, probability: f64, factors: &mut [f32]) {
    let threshold = probability * 2f64.powi(32);
    let kept = (1.0 / (1.0 - probability)) as f32;
    for factor in factors {
        let is_dropped = f64::from(stream.next_u32()) < threshold;
        *factor = if is_dropped { 0.0 } else { kept };
    }
}

struct Dropping {
    probability: f64,
    factors: Vec<f32>,
}

impl Dropping {
    fn apply(&self, values: &[f32]) -> Vec<f32> {
        // Not a product: what is dropped is 0, were it infinite.
        let product = |(&value, &factor)| if factor == 0.0 { 0.0 } else { value * factor };
        values.iter().zip(&self.factors).map(product).collect()
    }
}

impl Operation for Dropping {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("ratio", self.probability)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let x = &operands[0];
        dropped(x, &Tensor::from_slice(&self.factors, x.shape(), x.device())?)
    }
}

impl CpuKernel for Dropping {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        (self.apply(operands[0].values), operands[0].dims.into())
    }

    fn backward(
        &self,
        _operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        vec![OperandGradient::if_wanted(wanted[0], || self.apply(gradient))]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::ops::testing::{
        composing, first_samples, gradient_of, host, random, same_for_any_number_of_threads,
    };

    /// The masks of the first `samples` samples.
    fn key(samples: usize) -> DropoutKey<'static> {
        DropoutKey {
            seed: 3,
            epoch: 4,
            samples: first_samples(samples),
            layer: 5,
        }
    }

    #[test]
    fn drops_the_share_asked_for_and_keeps_the_mean() {
        let x = Tensor::ones((100, 200), candle_core::DType::F32, &candle_core::Device::Cpu).expect("valid");
        let y = host(&dropout(&x, 0.3, key(100)).expect("runs"));
        let dropped = y.iter().filter(|&&value| value == 0.0).count();
        assert!(dropped.abs_diff(6000) < 300, "{dropped}");
        assert!(y.iter().all(|&value| value == 0.0 || value == 1.0 / 0.7));
    }

    #[test]
    fn gradient_passes_where_values_did() {
        let x = Var::from_tensor(&random(&[7, 9], 1)).expect("valid");
        let weights = host(&random(&[7, 9], 2));
        let y = dropout(&x, 0.5, key(7)).expect("runs");
        let gradient = gradient_of(&y, &weights, &x);
        for ((y, gradient), weight) in host(&y).iter().zip(gradient).zip(weights) {
            assert_eq!(gradient, if *y == 0.0 { 0.0 } else { 2.0 * weight });
        }
    }

    #[test]
    fn composition_agrees_and_infinities_are_dropped() {
        let x = (random(&[30, 4], 1) * f64::INFINITY).expect("valid");
        let x = Var::from_tensor(&x).expect("valid");
        let weights = host(&random(&[30, 4], 2));
        let y = dropout(&x, 0.5, key(30)).expect("runs");
        let composed = composing(|| dropout(&x, 0.5, key(30))).expect("runs");
        assert_eq!(host(&y), host(&composed));
        assert_eq!(
            gradient_of(&y, &weights, &x),
            gradient_of(&composed, &weights, &x)
        );
        let dropped = host(&y).iter().filter(|value| **value == 0.0).count();
        assert!((40..80).contains(&dropped), "{dropped}");
        assert!(host(&y).iter().all(|value| *value == 0.0 || value.is_infinite()));
    }

    #[test]
    fn the_key_decides_the_mask() {
        let x = random(&[50, 20], 1);
        let mask = |key| host(&dropout(&x, 0.5, key).expect("runs"));
        let base = key(50);
        same_for_any_number_of_threads(|| mask(base));
        assert_ne!(mask(base), mask(DropoutKey { seed: 4, ..base }));
        assert_ne!(mask(base), mask(DropoutKey { epoch: 5, ..base }));
        assert_ne!(mask(base), mask(DropoutKey { layer: 6, ..base }));
        assert_eq!(host(&dropout(&x, 0.0, base).expect("runs")), host(&x));
        assert!(dropout(&x, 1.0, base).is_err());
        assert!(dropout(&x, f64::NAN, base).is_err());
        assert!(dropout(&x, 0.5, key(49)).is_err());
    }

    #[test]
    fn a_sample_has_one_mask_whatever_it_is_computed_with() {
        let factors = |samples: &[u32]| factors(samples.len() * 30, 0.5, DropoutKey { samples, ..key(0) });
        let together = factors(&[7, 3, 9]);
        assert_eq!(together, [factors(&[7]), factors(&[3]), factors(&[9])].concat());
        assert_ne!(together[..30], together[30..60]);
    }
}
