//! Gated linear units.

use candle_core::{Result, Shape, Tensor};

use super::activation::functions::sigmoid;
use super::attributes::Attributes;
use super::composed::{self, rounded};
use super::error::OpError;
use super::fill::changed;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::round::round_in_place;
use super::vectors::with_wide_vectors;
use crate::spec::Precision;

/// `silu(gate) * up` (Shazeer, 2020), both of one shape. In a narrow format the result is rounded.
///
/// # Errors
/// Shapes that differ.
pub fn swiglu(gate: &Tensor, up: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    if gate.dims() != up.dims() {
        let problem = format!("a gate of {:?} for values of {:?}", gate.dims(), up.dims());
        return Err(OpError::shape("swiglu", problem));
    }
    run(GatedUnit { precision }, &[gate, up])
}

struct GatedUnit {
    precision: Precision,
}

const BLOCK: usize = 1 << 13;

impl Operation for GatedUnit {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (gate, up) = (&operands[0], &operands[1]);
        let silu = (gate * composed::sigmoid(gate)?)?;
        rounded(&(silu * up)?, self.precision)
    }
}

impl CpuKernel for GatedUnit {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (gate, up) = (operands[0], operands[1].values);
        let y = changed(gate.values, BLOCK, |block, y| {
            let up = &up[block * BLOCK..];
            with_wide_vectors(
                #[inline(always)]
                || {
                    for (y, &up) in y.iter_mut().zip(up) {
                        *y = *y * sigmoid(*y).0 * up;
                    }
                },
            );
            round_in_place(y, self.precision);
        });
        (y, gate.dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (gate, up) = (operands[0].values, operands[1].values);
        let of_gate = || {
            changed(gradient, BLOCK, |block, target| {
                let (gate, up) = (&gate[block * BLOCK..], &up[block * BLOCK..]);
                round_in_place(target, self.precision);
                with_wide_vectors(
                    #[inline(always)]
                    || {
                        for ((target, &gate), &up) in target.iter_mut().zip(gate).zip(up) {
                            let (sigmoid, rest) = sigmoid(gate);
                            *target = *target * up * sigmoid * (1.0 + gate * rest);
                        }
                    },
                );
                round_in_place(target, self.precision);
            })
        };
        let of_up = || {
            changed(gradient, BLOCK, |block, target| {
                let gate = &gate[block * BLOCK..];
                round_in_place(target, self.precision);
                with_wide_vectors(
                    #[inline(always)]
                    || {
                        for (target, &gate) in target.iter_mut().zip(gate) {
                            *target *= gate * sigmoid(gate).0;
                        }
                    },
                );
                round_in_place(target, self.precision);
            })
        };
        vec![
            OperandGradient::if_wanted(wanted[0], of_gate),
            OperandGradient::if_wanted(wanted[1], of_up),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::testing::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn agrees_with_the_definition_and_its_differences(rows in 1usize..9, columns in 1usize..40) {
            let shape = [rows, columns];
            let (gate, up) = (random_var(&shape, 1), random_var(&shape, 2));
            let weights = host(&random(&shape, 3));
            let define = |gate: &[f64], up: &[f64]| -> Vec<f64> {
                gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect()
            };
            let (gate64, up64) = (host64(&gate), host64(&up));
            let expected = [
                differences(&gate64, |gate| weighted(&define(gate, &up64), &weights)),
                differences(&up64, |up| weighted(&define(&gate64, up), &weights)),
            ];
            let own = swiglu(&gate, &up, Precision::F32).expect("fits");
            let composed = composing(|| swiglu(&gate, &up, Precision::F32)).expect("runs");
            for y in [own, composed] {
                assert_close(&host(&y), &define(&gate64, &up64), 1e-6);
                for (actual, expected) in gradients_of(&y, &weights, &[&gate, &up]).iter().zip(&expected) {
                    assert_close(actual, expected, 1e-6);
                }
            }
        }
    }

    #[test]
    fn misfits_are_told() {
        let error = swiglu(&random(&[2, 3], 1), &random(&[3, 2], 1), Precision::F32);
        let told = error.expect_err("they differ").to_string();
        assert_eq!(told, "swiglu: a gate of [2, 3] for values of [3, 2]");
    }
}
