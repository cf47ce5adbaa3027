//! Stochastic depth (Huang et al., 2016).

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::composed::{dropped, rounded};
use super::dropout::{DropoutKey, check_probability, factors};
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, StoredPasses, run};
use super::round::round_in_place;
use super::stored::{Stored, ValueFormat, Values, changed_in};
use crate::spec::Precision;

/// `residual` plus the branch `x`, both `[N, ...]`, which each sample leaves out with probability
/// `probability` and otherwise divides by `1 - probability`: torchvision's `stochastic_depth` in mode
/// `row`, and the sum that follows it. In evaluation, the sum alone is wanted.
///
/// In a narrow format, the result is rounded once.
///
/// # Errors
/// Shapes that differ, a probability outside of `[0, 1)`, or a key for another number of samples.
pub fn stochastic_depth(
    x: &Tensor,
    residual: &Tensor,
    probability: f64,
    key: DropoutKey<'_>,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "stochastic depth";
    check_probability(OP, probability)?;
    if x.dims() != residual.dims() || x.rank() == 0 {
        let problem = format!("cannot add {:?} to {:?}", x.dims(), residual.dims());
        return Err(OpError::shape(OP, problem));
    }
    key.check(OP, x)?;
    let factors = factors(x.dims()[0], probability, key);
    let op = StochasticDepth {
        probability,
        factors,
        precision,
    };
    run(op, &[x, residual])
}

struct StochasticDepth {
    probability: f64,
    /// For each sample.
    factors: Vec<f32>,
    precision: Precision,
}

impl StochasticDepth {
    /// Each sample's values times its factor, plus `residual`, in a format.
    fn apply(&self, x: Stored, residual: Option<Stored>, format: ValueFormat) -> Values {
        let sample = (x.len() / self.factors.len().max(1)).max(1);
        changed_in(format, residual.unwrap_or(x), sample, |index, y| {
            let factor = self.factors[index];
            if residual.is_none() {
                y.fill(0.0);
            }
            // Not a product: what is left out is 0, were it infinite.
            if factor != 0.0 {
                x.part(index * sample, sample)
                    .with_wide(|x| y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x));
            }
            round_in_place(y, self.precision);
        })
    }
}

impl Operation for StochasticDepth {
    fn name(&self) -> &'static str {
        "stochastic_depth"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default()
            .with("ratio", self.probability)
            .with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (x, residual) = (&operands[0], &operands[1]);
        let mut shape = vec![1; x.rank()];
        shape[0] = self.factors.len();
        let factors = Tensor::from_slice(&self.factors, shape, x.device())?;
        rounded(&(dropped(x, &factors)? + residual)?, self.precision)
    }
}

impl CpuKernel for StochasticDepth {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (x, residual) = (operands[0].stored(), operands[1].stored());
        let y = self.apply(x, Some(residual), ValueFormat::F32);
        (y.into_f32(), operands[0].dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        self.backward_stored(operands, output.into(), gradient.into(), wanted)
    }

    fn stored_passes(&self) -> Option<&dyn StoredPasses> {
        Some(self)
    }
}

impl StoredPasses for StochasticDepth {
    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape) {
        let (x, residual) = (operands[0].stored(), operands[1].stored());
        let y = self.apply(x, Some(residual), ValueFormat::smallest(self.precision));
        (y, operands[0].dims.into())
    }

    fn backward_stored(
        &self,
        _operands: &[ArrayView],
        _output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let of_x = || self.apply(gradient, None, gradient.format());
        vec![
            OperandGradient::if_wanted(wanted[0], of_x),
            wanted[1].then_some(OperandGradient::OfOutput),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    fn key(samples: usize) -> DropoutKey<'static> {
        DropoutKey {
            seed: 3,
            epoch: 4,
            samples: first_samples(samples),
            layer: 5,
        }
    }

    #[test]
    fn samples_are_kept_or_left_out_as_a_whole() {
        let (x, residual) = (random_var(&[2000, 2, 1, 3], 1), random_var(&[2000, 2, 1, 3], 2));
        let y = stochastic_depth(&x, &residual, 0.2, key(2000), Precision::F32).expect("runs");
        let weights = host(&random(&[2000 * 6], 3));
        let gradients = gradients_of(&y, &weights, &[&x, &residual]);
        assert_eq!(gradients[1], weights);
        let (y, x, residual) = (host(&y), host(&x), host(&residual));
        let mut left_out = 0;
        for sample in 0..2000 {
            let range = sample * 6..sample * 6 + 6;
            let factor = if y[range.clone()] == residual[range.clone()] {
                left_out += 1;
                0.0
            } else {
                1.25
            };
            for index in range {
                assert!((y[index] - residual[index] - factor * x[index]).abs() < 1e-5);
                assert_eq!(gradients[0][index], factor * weights[index]);
            }
        }
        assert!((320..480).contains(&left_out), "{left_out} of 2000");
    }

    #[test]
    fn the_key_decides_and_threads_do_not() {
        let (x, residual) = (random(&[64, 3], 1), random(&[64, 3], 2));
        let run = |key| host(&stochastic_depth(&x, &residual, 0.5, key, Precision::Bf16).expect("runs"));
        let base = key(64);
        same_for_any_number_of_threads(|| run(base));
        assert_ne!(run(base), run(DropoutKey { seed: 4, ..base }));
        assert_ne!(run(base), run(DropoutKey { epoch: 5, ..base }));
        assert_ne!(run(base), run(DropoutKey { layer: 6, ..base }));
    }

    #[test]
    fn composition_agrees_and_infinities_are_left_out() {
        let x = (random(&[40, 2, 2, 3], 1) * f64::INFINITY).expect("valid");
        let x = candle_core::Var::from_tensor(&x).expect("valid");
        let residual = random_var(&[40, 2, 2, 3], 2);
        for precision in [Precision::F32, Precision::Bf16] {
            let y = stochastic_depth(&x, &residual, 0.5, key(40), precision).expect("runs");
            let composed =
                composing(|| stochastic_depth(&x, &residual, 0.5, key(40), precision)).expect("runs");
            assert_eq!(host(&y), host(&composed));
            assert!(host(&y).iter().any(|value| value.is_finite()));
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let told = |x: &[usize], residual: &[usize], probability| {
            stochastic_depth(
                &random(x, 1),
                &random(residual, 1),
                probability,
                key(2),
                Precision::F32,
            )
            .expect_err("refused")
            .to_string()
        };
        assert_eq!(
            told(&[2, 3], &[2, 4], 0.5),
            "stochastic depth: cannot add [2, 3] to [2, 4]"
        );
        assert!(told(&[2, 3], &[2, 3], 1.0).contains("not in [0, 1)"));
    }
}
