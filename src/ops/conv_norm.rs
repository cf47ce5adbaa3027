//! Convolution and the batch norm behind it as one operation, for evaluation.

use candle_core::Tensor;

use super::batch_norm::{BatchNormOptions, Epilogue, RunningStatistics, Statistics, batch_norm};
use super::conv::{ConvOptions, conv2d, conv2d_scaled};
use super::error::OpError;
use super::tensor;
use crate::spec::Precision;

/// A convolution's operands, as those of [`conv2d`].
#[derive(Clone, Copy)]
pub struct Convolution<'a> {
    /// `[O, I / groups, K, K]`.
    pub weight: &'a Tensor,
    /// `[O]`.
    pub bias: Option<&'a Tensor>,
    /// How the kernel moves.
    pub options: ConvOptions,
}

/// A batch norm's operands, as those of [`batch_norm`].
#[derive(Clone, Copy)]
pub struct Normalization<'a> {
    /// `[O]`.
    pub weight: &'a Tensor,
    /// `[O]`.
    pub bias: &'a Tensor,
    /// Of the training.
    pub statistics: &'a RunningStatistics,
    /// The layer's constants.
    pub options: BatchNormOptions,
}

/// What [`conv2d`] and then [`batch_norm`] with running statistics give, without the pass over memory
/// in between. The result is a constant to autograd.
///
/// In a narrow format it is rounded once, at the end.
///
/// # Errors
/// What either of the two would refuse.
pub fn conv2d_norm(
    x: &Tensor,
    convolution: Convolution,
    norm: Normalization,
    epilogue: Epilogue,
    precision: Precision,
) -> Result<Tensor, OpError> {
    let Convolution {
        weight,
        bias,
        options,
    } = convolution;
    let channels = norm.statistics.mean.len();
    let fits = weight.dims().first() == Some(&channels)
        && norm.weight.dims() == [channels]
        && norm.bias.dims() == [channels]
        && bias.is_none_or(|bias| bias.dims() == [channels]);
    if !x.device().is_cpu() || !fits {
        // What does not fit is told by the one that finds it.
        let y = conv2d(x, weight, bias, options, precision)?;
        let statistics = Statistics::Running(norm.statistics);
        return batch_norm(
            &y,
            norm.weight,
            norm.bias,
            statistics,
            norm.options,
            epilogue,
            precision,
        );
    }
    let factor =
        |weight: f32, variance: f32| f64::from(weight) / (f64::from(variance) + norm.options.epsilon).sqrt();
    let scale: Vec<f64> = tensor::with_values(norm.weight, |weight| {
        let pairs = weight.iter().zip(&norm.statistics.variance);
        Ok(pairs
            .map(|(&weight, &variance)| factor(weight, variance))
            .collect())
    })?;
    let mut shift: Vec<f64> = tensor::with_values(norm.bias, |bias| {
        let rest = norm.statistics.mean.iter().zip(&scale);
        let terms = bias.iter().zip(rest);
        Ok(terms
            .map(|(&bias, (&mean, scale))| f64::from(bias) - f64::from(mean) * scale)
            .collect())
    })?;
    if let Some(bias) = bias {
        tensor::with_values(bias, |bias| {
            for ((shift, &bias), scale) in shift.iter_mut().zip(bias).zip(&scale) {
                *shift += f64::from(bias) * scale;
            }
            Ok(())
        })?;
    }
    let narrow = |values: Vec<f64>| -> Vec<f32> { values.into_iter().map(|value| value as f32).collect() };
    let (scale, shift) = (narrow(scale), narrow(shift));
    conv2d_scaled(x, weight, options, (&scale, &shift), epilogue, precision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    #[test]
    fn is_convolution_and_norm_one_after_the_other() {
        let statistics = RunningStatistics {
            mean: host(&random(&[12], 1)),
            variance: host(&random(&[12], 2))
                .iter()
                .map(|value| value.abs() + 0.1)
                .collect(),
            batches: 3,
        };
        let (norm_weight, norm_bias, bias) = (random(&[12], 3), random(&[12], 4), random(&[12], 5));
        let norm = Normalization {
            weight: &norm_weight,
            bias: &norm_bias,
            statistics: &statistics,
            options: BatchNormOptions::default(),
        };
        let residual = random(&[5, 9, 8, 12], 6);
        let epilogues = [
            Epilogue::None,
            Epilogue::Relu,
            Epilogue::Add(&residual),
            Epilogue::AddRelu(&residual),
        ];
        // Direct, by Winograd, depthwise, of groups.
        for (inputs, groups, size) in [(6, 1, 3), (6, 1, 1), (12, 12, 3), (6, 3, 3)] {
            let x = random(&[5, 9, 8, inputs], 7);
            let weight = random(&[12, inputs / groups, size, size], 8);
            for bias in [None, Some(&bias)] {
                let options = ConvOptions {
                    padding: size / 2,
                    groups,
                    ..ConvOptions::default()
                };
                let convolution = Convolution {
                    weight: &weight,
                    bias,
                    options,
                };
                for epilogue in epilogues {
                    for (precision, tolerance) in [
                        (Precision::F32, 1e-5),
                        (Precision::Bf16, 2e-2),
                        (Precision::F16, 3e-3),
                    ] {
                        let one = conv2d_norm(&x, convolution, norm, epilogue, precision).expect("fits");
                        let y = conv2d(&x, &weight, bias, options, precision).expect("fits");
                        let statistics = Statistics::Running(&statistics);
                        let (weight, bias, options) = (norm.weight, norm.bias, norm.options);
                        let two = batch_norm(&y, weight, bias, statistics, options, epilogue, precision);
                        assert_close(&host(&one), &host64(&two.expect("fits")), tolerance);
                    }
                }
            }
        }
    }

    #[test]
    fn winograd_is_finished_the_same_way() {
        let statistics = RunningStatistics {
            mean: host(&random(&[40], 1)),
            variance: vec![0.5; 40],
            batches: 3,
        };
        let (norm_weight, norm_bias) = (random(&[40], 3), random(&[40], 4));
        let (x, weight) = (random(&[2, 9, 8, 36], 7), random(&[40, 36, 3, 3], 8));
        let residual = random(&[2, 9, 8, 40], 6);
        let options = ConvOptions {
            padding: 1,
            ..ConvOptions::default()
        };
        let convolution = Convolution {
            weight: &weight,
            bias: None,
            options,
        };
        let norm = Normalization {
            weight: &norm_weight,
            bias: &norm_bias,
            statistics: &statistics,
            options: BatchNormOptions::default(),
        };
        let epilogue = Epilogue::AddRelu(&residual);
        let one = conv2d_norm(&x, convolution, norm, epilogue, Precision::F32).expect("fits");
        let y = conv2d(&x, &weight, None, options, Precision::F32).expect("fits");
        let running = Statistics::Running(&statistics);
        let two = batch_norm(
            &y,
            norm.weight,
            norm.bias,
            running,
            norm.options,
            epilogue,
            Precision::F32,
        );
        assert_close(&host(&one), &host64(&two.expect("fits")), 1e-5);
    }

    #[test]
    fn misfits_are_told() {
        let statistics = RunningStatistics::new(3);
        let (weight, bias) = (random(&[3], 1), random(&[3], 2));
        let norm = Normalization {
            weight: &weight,
            bias: &bias,
            statistics: &statistics,
            options: BatchNormOptions::default(),
        };
        let kernel = random(&[4, 2, 1, 1], 1);
        let convolution = Convolution {
            weight: &kernel,
            bias: None,
            options: ConvOptions::default(),
        };
        let x = random(&[1, 2, 2, 2], 1);
        let error = conv2d_norm(&x, convolution, norm, Epilogue::None, Precision::F32);
        assert!(
            error
                .expect_err("refused")
                .to_string()
                .contains("the input has 4 channels")
        );
        let kernel = random(&[3, 2, 1, 1], 1);
        let convolution = Convolution {
            weight: &kernel,
            ..convolution
        };
        let residual = random(&[1, 2, 2, 2], 1);
        let error = conv2d_norm(&x, convolution, norm, Epilogue::Add(&residual), Precision::F32);
        assert!(error.expect_err("refused").to_string().contains("cannot add"));
    }
}
