//! Batch normalisation (Ioffe and Szegedy, 2015) with PyTorch's conventions: the biased variance to
//! normalise and the unbiased one to remember.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::batch_norm_kernels::{Backward, Moments, Normalization, backward, moments, normalize};
use super::composed;
use super::error::OpError;
use super::tape;
use super::tensor::{self, Images, channels_last};
use crate::spec::Precision;

/// The constants of a layer, as the arguments of `torch.nn.BatchNorm2d`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormOptions {
    /// Added to the variance.
    pub epsilon: f64,
    /// Weight of the newest batch in the running statistics.
    pub momentum: f64,
}

impl Default for BatchNormOptions {
    /// PyTorch's: 1e-5 and 0.1.
    fn default() -> Self {
        Self {
            epsilon: 1e-5,
            momentum: 0.1,
        }
    }
}

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

    /// Takes in the moments of a batch with `values` values in each channel, at least 2.
    fn update(&mut self, moments: &Moments, values: usize, momentum: f64) {
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

/// What to normalise with.
pub enum Statistics<'a> {
    /// The batch's own mean and variance, which the running statistics then take in (training).
    Batch(&'a mut RunningStatistics),
    /// The running statistics, as constants (evaluation).
    Running(&'a RunningStatistics),
}

/// What follows the normalisation in the same pass over memory.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// Nothing.
    None,
    /// ReLU.
    Relu,
    /// The sum with a tensor of the same shape.
    Add(&'a Tensor),
    /// The sum with a tensor of the same shape, then ReLU.
    AddRelu(&'a Tensor),
}

/// Normalises each channel of `x`, `[N, H, W, C]`, over batch and pixels, scales by `weight` and
/// shifts by `bias`, both `[C]`, and applies the epilogue.
///
/// In a narrow format, the result of normalisation and epilogue together is rounded once.
///
/// # Errors
/// Shapes that do not fit each other, or a single value in each channel where the batch's own
/// statistics are to be used: it has no variance, and PyTorch refuses it too.
pub fn batch_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    statistics: Statistics,
    options: BatchNormOptions,
    epilogue: Epilogue,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "batch norm";
    let images = channels_last(OP, x)?;
    let known = match &statistics {
        Statistics::Batch(running) => running.mean.len(),
        Statistics::Running(running) => running.mean.len(),
    };
    if weight.dims() != [images.channels] || bias.dims() != [images.channels] || known != images.channels {
        let (weight, bias, channels) = (weight.dims(), bias.dims(), images.channels);
        let problem = format!(
            "the input has {channels} channels, but weight is {weight:?}, bias {bias:?}, and the running \
             statistics are for {known}"
        );
        return Err(OpError::shape(OP, problem));
    }
    if let Epilogue::Add(residual) | Epilogue::AddRelu(residual) = epilogue
        && residual.dims() != x.dims()
    {
        let problem = format!("cannot add {:?} to {:?}", residual.dims(), x.dims());
        return Err(OpError::shape(OP, problem));
    }
    if images.batch == 0 {
        return Err(OpError::shape(OP, "the batch is empty"));
    }
    if matches!(statistics, Statistics::Batch(_)) && images.len() == images.channels {
        return Err(OpError::SingleValue);
    }
    if !x.device().is_cpu() {
        return Ok(composed::batch_norm(
            x, weight, bias, statistics, options, epilogue, precision,
        )?);
    }

    let x = x.contiguous()?;
    let op = BatchNorm::new(&x, images, statistics, options, epilogue, precision)?;
    // A custom op has three operands at most, so weight and bias travel as one.
    let affine = Tensor::stack(&[weight, bias], 0)?;
    Ok(match epilogue {
        Epilogue::None | Epilogue::Relu => tape::apply2(&x, &affine, op)?,
        Epilogue::Add(residual) | Epilogue::AddRelu(residual) => {
            tape::apply3(&x, &affine, &residual.contiguous()?, op)?
        }
    })
}

/// Takes a batch's moments into the running statistics, for implementations on other devices.
pub(super) fn remember(
    running: &mut RunningStatistics,
    mean: Vec<f64>,
    variance: Vec<f64>,
    values: usize,
    options: BatchNormOptions,
) {
    running.update(&Moments { mean, variance }, values, options.momentum);
}

struct BatchNorm {
    images: Images,
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    batch_statistics: bool,
    relu: bool,
    precision: Precision,
}

impl BatchNorm {
    fn new(
        x: &Tensor,
        images: Images,
        statistics: Statistics,
        options: BatchNormOptions,
        epilogue: Epilogue,
        precision: Precision,
    ) -> Result<Self> {
        let batch_statistics = matches!(statistics, Statistics::Batch(_));
        let inverse = |variance: f64| (1.0 / (variance + options.epsilon).sqrt()) as f32;
        let (mean, inverse_deviation) = match statistics {
            Statistics::Batch(running) => {
                let moments = tensor::with_values(x, |x| Ok(moments(x, images.channels)))?;
                running.update(&moments, images.len() / images.channels, options.momentum);
                (
                    moments.mean.iter().map(|&mean| mean as f32).collect(),
                    moments
                        .variance
                        .iter()
                        .map(|&variance| inverse(variance))
                        .collect(),
                )
            }
            Statistics::Running(running) => (
                running.mean.clone(),
                running
                    .variance
                    .iter()
                    .map(|&variance| inverse(f64::from(variance)))
                    .collect(),
            ),
        };
        let relu = matches!(epilogue, Epilogue::Relu | Epilogue::AddRelu(_));
        Ok(Self {
            images,
            mean,
            inverse_deviation,
            batch_statistics,
            relu,
            precision,
        })
    }

    fn forward(&self, x: &[f32], affine: &[f32], residual: Option<&[f32]>) -> (CpuStorage, Shape) {
        let (weight, bias) = affine.split_at(self.images.channels);
        let scale: Vec<f32> = weight
            .iter()
            .zip(&self.inverse_deviation)
            .map(|(weight, inverse)| weight * inverse)
            .collect();
        let map = Normalization {
            mean: &self.mean,
            scale: &scale,
            bias,
            residual,
            relu: self.relu,
            precision: self.precision,
        };
        tensor::output(normalize(x, &map), self.images.shape())
    }

    /// Gradients of `x`, of weight and bias, and of the residual.
    fn backward(
        &self,
        operands: [&Tensor; 2],
        residual: bool,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let [x, affine] = operands;
        let gradients = tensor::with_values(x, |x| {
            tensor::with_values(affine, |affine| {
                tensor::with_values(y, |y| {
                    tensor::with_values(gradient, |output_gradient| {
                        Ok(backward(&Backward {
                            x,
                            y: self.relu.then_some(y),
                            output_gradient,
                            mean: &self.mean,
                            inverse_deviation: &self.inverse_deviation,
                            weight: &affine[..self.images.channels],
                            batch_statistics: self.batch_statistics,
                            residual,
                            precision: self.precision,
                        }))
                    })
                })
            })
        })?;
        let affine = [gradients.weight, gradients.bias].concat();
        let before_relu = match gradients.before_relu {
            Some(values) => tensor::from_values(values, x.shape())?,
            None => gradient.clone(),
        };
        Ok([
            tensor::from_values(gradients.x, x.shape())?,
            tensor::from_values(affine, (2, self.images.channels))?,
            before_relu,
        ])
    }
}

impl CustomOp2 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, x_layout)?;
        Ok(self.forward(x, tensor::values(affine, affine_layout)?, None))
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [x_gradient, affine_gradient, _] = self.backward([x, affine], false, y, gradient)?;
        Ok((Some(x_gradient), Some(affine_gradient)))
    }
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm-add"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, x_layout)?;
        let residual = tensor::values(residual, residual_layout)?;
        Ok(self.forward(x, tensor::values(affine, affine_layout)?, Some(residual)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        _residual: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x_gradient, affine_gradient, residual_gradient] =
            self.backward([x, affine], true, y, gradient)?;
        Ok((Some(x_gradient), Some(affine_gradient), Some(residual_gradient)))
    }
}

#[cfg(test)]
mod tests;
