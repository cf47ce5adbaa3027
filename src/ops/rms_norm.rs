//! Root mean square normalisation (Zhang and Sennrich, 2019).

use candle_core::{D, Result, Shape, Tensor};
use rayon::prelude::*;

use super::attributes::Attributes;
use super::error::OpError;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::vectors::{sum_over, with_wide_vectors};

/// Divides each run of C values of `x`, `[..., n * C]`, by the root of the mean of their squares, to which
/// `epsilon` is added, and scales by `weight`, `[C]`: a row is one run, or one for each of several heads.
///
/// In every precision the arithmetic and the result are f32, as under PyTorch's autocast, where what is
/// normalised is f32 too.
///
/// # Errors
/// Shapes that do not fit each other.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> std::result::Result<Tensor, OpError> {
    match (x.dims(), weight.dims()) {
        ([.., columns], &[width]) if width > 0 && columns.is_multiple_of(width) => {
            run(RmsNormalization { epsilon }, &[x, weight])
        }
        (x, weight) => {
            let problem = format!("input {x:?} and weight {weight:?} do not fit each other");
            Err(OpError::shape("RMS norm", problem))
        }
    }
}

struct RmsNormalization {
    epsilon: f64,
}

/// Values that are handled together, and whose parts of the weight's gradient are summed first.
const BLOCK: usize = 1 << 14;

/// Values of as many whole runs as make a block.
fn block(width: usize) -> usize {
    (BLOCK / width).max(1) * width
}

impl RmsNormalization {
    /// One over the root of the mean square.
    #[inline(always)]
    fn inverse(&self, run: &[f32]) -> f64 {
        let squares = sum_over([run], |[x]| x * x);
        1.0 / (squares / run.len() as f64 + self.epsilon).sqrt()
    }

    fn normalize(&self, x: &[f32], weight: &[f32], y: &mut [f32]) {
        with_wide_vectors(
            #[inline(always)]
            || {
                let width = weight.len();
                for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                    let inverse = self.inverse(x);
                    for ((y, &x), &weight) in y.iter_mut().zip(x).zip(weight) {
                        *y = (f64::from(x) * inverse * f64::from(weight)) as f32;
                    }
                }
            },
        );
    }

    /// Writes the gradient of some runs to `target`, and adds that of the weight.
    fn gradients(
        &self,
        (x, gradient): (&[f32], &[f32]),
        weight: &[f32],
        target: &mut [f32],
        for_weight: &mut [f64],
    ) {
        with_wide_vectors(
            #[inline(always)]
            || {
                let width = weight.len();
                let for_weight = &mut for_weight[..width];
                let runs = x.chunks_exact(width).zip(gradient.chunks_exact(width));
                for ((x, gradient), target) in runs.zip(target.chunks_exact_mut(width)) {
                    let inverse = self.inverse(x);
                    let product = sum_over([gradient, weight, x], |[g, w, x]| g * w * x);
                    let slope = product * inverse * inverse / width as f64;
                    let operands = gradient.iter().zip(weight).zip(x);
                    let targets = target.iter_mut().zip(for_weight.iter_mut());
                    for (((&g, &w), &x), (target, for_weight)) in operands.zip(targets) {
                        let [g, w, x] = [g, w, x].map(f64::from);
                        *target = (inverse * (g * w - x * slope)) as f32;
                        *for_weight += g * x * inverse;
                    }
                }
            },
        );
    }
}

impl Operation for RmsNormalization {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default()
            .with("axis", -1i64)
            .with("epsilon", self.epsilon)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (x, weight) = (&operands[0], &operands[1]);
        let width = weight.elem_count();
        let runs = x.contiguous()?.reshape((x.elem_count() / width, width))?;
        let mean = runs.sqr()?.mean_keepdim(D::Minus1)?;
        runs.broadcast_div(&(mean + self.epsilon)?.sqrt()?)?
            .broadcast_mul(weight)?
            .reshape(x.shape())
    }
}

impl CpuKernel for RmsNormalization {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (x, weight) = (operands[0], operands[1].values);
        let mut y = vec![0.0; x.values.len()];
        let block = block(weight.len());
        y.par_chunks_mut(block)
            .zip(x.values.par_chunks(block))
            .for_each(|(y, x)| self.normalize(x, weight, y));
        (y, x.dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (x, weight) = (operands[0].values, operands[1].values);
        let block = block(weight.len());
        let mut for_x = vec![0.0; x.len()];
        let parts: Vec<Vec<f64>> = for_x
            .par_chunks_mut(block)
            .zip(x.par_chunks(block).zip(gradient.par_chunks(block)))
            .map(|(target, runs)| {
                let mut for_weight = vec![0.0; weight.len()];
                self.gradients(runs, weight, target, &mut for_weight);
                for_weight
            })
            .collect();
        let of_weight = || {
            let mut sums = vec![0.0; weight.len()];
            for part in &parts {
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            sums.into_iter().map(|sum: f64| sum as f32).collect::<Vec<f32>>()
        };
        let for_weight = OperandGradient::if_wanted(wanted[1], of_weight);
        vec![OperandGradient::if_wanted(wanted[0], || for_x), for_weight]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::testing::*;

    fn naive(x: &[f64], weight: &[f64], epsilon: f64) -> Vec<f64> {
        let width = weight.len();
        let run = |run: &[f64]| {
            let mean = run.iter().map(|x| x * x).sum::<f64>() / width as f64;
            let scaled = run.iter().zip(weight);
            scaled
                .map(|(x, weight)| x / (mean + epsilon).sqrt() * weight)
                .collect::<Vec<_>>()
        };
        x.chunks_exact(width).flat_map(run).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn agrees_with_the_definition_and_its_differences(
            rows in 1usize..20, runs in 1usize..4, width in 1usize..21, wide in any::<bool>(),
        ) {
            let epsilon = if wide { 0.1 } else { 1e-3 };
            let (x, weight) = (random_var(&[rows, runs * width], 1), random_var(&[width], 2));
            let output_gradient = host(&random(&[rows, runs * width], 3));
            let (x64, weight64) = (host64(&x), host64(&weight));
            let loss = |x: &[f64], weight: &[f64]| weighted(&naive(x, weight, epsilon), &output_gradient);
            let expected = [
                naive(&x64, &weight64, epsilon),
                differences(&x64, |x| loss(x, &weight64)),
                differences(&weight64, |weight| loss(&x64, weight)),
            ];
            let own = rms_norm(&x, &weight, epsilon).expect("fits");
            let composed = composing(|| rms_norm(&x, &weight, epsilon)).expect("runs");
            for (y, tolerance) in [(own, 2e-6), (composed, 2e-4)] {
                prop_assert_eq!(y.dims(), x.dims());
                assert_close(&host(&y), &expected[0], tolerance);
                let gradients = gradients_of(&y, &output_gradient, &[&x, &weight]);
                for (actual, expected) in gradients.iter().zip(&expected[1..]) {
                    assert_close(actual, expected, tolerance);
                }
            }
        }
    }

    #[test]
    fn threads_do_not_matter_and_zeros_stay() {
        let (x, weight) = (random_var(&[900, 3, 37], 1), random_var(&[37], 2));
        let output_gradient = host(&random(&[900, 3, 37], 3));
        same_for_any_number_of_threads(|| {
            let y = rms_norm(&x, &weight, 1e-6).expect("fits");
            (host(&y), gradients_of(&y, &output_gradient, &[&x, &weight]))
        });
        let zeros = random(&[2, 37], 1).zeros_like().expect("valid");
        assert_eq!(host(&rms_norm(&zeros, &weight, 1e-6).expect("fits")), [0.0; 74]);
    }

    #[test]
    fn misfits_are_told() {
        assert_eq!(
            rms_norm(&random(&[2, 7], 1), &random(&[3], 1), 1e-5)
                .expect_err("7 is no multiple of 3")
                .to_string(),
            "RMS norm: input [2, 7] and weight [3] do not fit each other"
        );
    }
}
