//! Two-dimensional convolution.

mod axes;
mod correlate;
mod depthwise;
mod geometry;
mod groups;
mod packed_weights;
mod single;
mod weight_gradient;
mod winograd;

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::batch_norm::Epilogue;
use super::composed;
use super::error::OpError;
use super::microkernel::{Finish, Kernels};
use super::round::with_rounded;
use super::tape;
use super::tensor::{self, Images, channels_last};
use crate::spec::Precision;
use geometry::Geometry;
pub use geometry::{ConvOptions, Window};
pub use packed_weights::PackedWeights;
use packed_weights::{Kept, Weight, kept};
#[cfg(test)]
pub(super) use winograd::testing::WithoutWinograd;

/// Cross-correlation of `x`, `[N, H, W, I]`, with `weight`, `[O, I / groups, K, K]`, plus `bias`,
/// `[O]`: `[N, OH, OW, O]`. As in PyTorch, output channels `O / groups * g ..` see the input channels
/// `I / groups * g ..` alone.
///
/// Gradients are only computed for what something that is trained depends on.
///
/// # Errors
/// Shapes that do not fit each other, groups that do not divide the channels, or a kernel larger than
/// the padded image.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: ConvOptions,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    let geometry = geometry(x, weight, options)?;
    if let Some(bias) = bias
        && bias.dims() != [geometry.output.channels]
    {
        let (bias, outputs) = (bias.dims(), geometry.output.channels);
        let problem = format!("the weight gives {outputs} channels, the bias is {bias:?}");
        return Err(OpError::shape(OP, problem));
    }
    if !x.device().is_cpu() {
        return Ok(composed::conv2d(x, weight, bias, options, precision)?);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let op = Conv2d {
        geometry,
        precision,
        kept: kept(&weight),
    };
    Ok(match bias {
        None => tape::apply2(&x, &weight, op)?,
        Some(bias) => tape::apply3(&x, &weight, &bias.contiguous()?, op)?,
    })
}

/// The sums of [`conv2d`] times `scale` plus `shift`, one value an output channel, and the epilogue. On
/// the CPU, as a constant to autograd.
pub(super) fn conv2d_scaled(
    x: &Tensor,
    weight: &Tensor,
    options: ConvOptions,
    (scale, shift): (&[f32], &[f32]),
    epilogue: Epilogue,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    let geometry = geometry(x, weight, options)?;
    let shape = geometry.output.shape();
    let (residual, relu) = match epilogue {
        Epilogue::None => (None, false),
        Epilogue::Relu => (None, true),
        Epilogue::Add(residual) => (Some(residual), false),
        Epilogue::AddRelu(residual) => (Some(residual), true),
    };
    let residual = match residual {
        Some(residual) if residual.dims() != Shape::from(shape).dims() => {
            let problem = format!("cannot add {:?} to {shape:?}", residual.dims());
            return Err(OpError::shape(OP, problem));
        }
        Some(residual) => Some(residual.contiguous()?),
        None => None,
    };
    let weight = weight.contiguous()?;
    let kept = kept(&weight);
    let convolve = |residual: Option<&[f32]>| {
        let finish = Finish {
            scale: Some(scale),
            shift: Some(shift),
            residual,
            relu,
            ..Finish::default()
        };
        tensor::with_values(x, |x| {
            tensor::with_values(&weight, |weight| {
                let kernels = Kernels::best(precision);
                let weight = Weight {
                    values: weight,
                    kept: kept.as_deref(),
                };
                Ok(groups::forward(kernels, &geometry, x, weight, finish, precision))
            })
        })
    };
    let y = match &residual {
        Some(residual) => tensor::with_values(residual, |residual| convolve(Some(residual)))?,
        None => convolve(None)?,
    };
    Ok(tensor::from_values(y, shape)?)
}

const OP: &str = "conv2d";

fn geometry(x: &Tensor, weight: &Tensor, options: ConvOptions) -> std::result::Result<Geometry, OpError> {
    let ConvOptions {
        stride,
        padding,
        groups,
    } = options;
    let input = channels_last(OP, x)?;
    let (outputs, channels, size) = match *weight.dims() {
        [outputs, channels, height, width] if height == width && height > 0 && outputs > 0 => {
            (outputs, channels, height)
        }
        _ => {
            return Err(OpError::rank(
                OP,
                "[O, I / groups, K, K] as weight",
                weight.shape(),
            ));
        }
    };
    if groups == 0 || !outputs.is_multiple_of(groups) {
        let problem = format!("{groups} groups do not divide the weight's {outputs} output channels");
        return Err(OpError::shape(OP, problem));
    }
    if Some(input.channels) != channels.checked_mul(groups) {
        let of_groups = match groups {
            1 => String::new(),
            _ => format!(" in each of {groups} groups"),
        };
        let problem = format!(
            "the weight is for {channels} channels{of_groups}, the input has {}",
            input.channels
        );
        return Err(OpError::shape(OP, problem));
    }
    let window = Window {
        size,
        stride,
        padding,
    };
    match (window.positions(input.height), window.positions(input.width)) {
        (Some(height), Some(width)) => {
            let output = Images {
                batch: input.batch,
                height,
                width,
                channels: outputs,
            };
            Ok(Geometry {
                input,
                output,
                window,
                groups,
            })
        }
        _ => {
            let Images { height, width, .. } = input;
            let problem = format!(
                "a {size}x{size} kernel of stride {stride} does not fit in an image of {height}x{width} \
                 with padding {padding}"
            );
            Err(OpError::shape(OP, problem))
        }
    }
}

/// A fully connected layer is a convolution of images of one pixel.
pub(super) struct Pointwise {
    geometry: Geometry,
    kept: Option<Arc<Kept>>,
}

impl Pointwise {
    /// From `rows` rows of `inputs` values to such of `outputs`, with this weight.
    pub fn new(rows: usize, inputs: usize, outputs: usize, weight: &Tensor) -> Self {
        let pixels = |channels| Images {
            batch: rows,
            height: 1,
            width: 1,
            channels,
        };
        let geometry = Geometry {
            input: pixels(inputs),
            output: pixels(outputs),
            window: Window {
                size: 1,
                stride: 1,
                padding: 0,
            },
            groups: 1,
        };
        let kept = kept(weight);
        Self { geometry, kept }
    }

    /// `x * weight^T + bias`, with `weight` `[out, in]`.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32], precision: Precision) -> Vec<f32> {
        with_rounded(bias, precision, |bias| {
            let finish = Finish {
                shift: Some(bias),
                ..Finish::default()
            };
            let weight = Weight {
                values: weight,
                kept: self.kept.as_deref(),
            };
            groups::forward(
                Kernels::best(precision),
                &self.geometry,
                x,
                weight,
                finish,
                precision,
            )
        })
    }

    /// `gradient * weight`.
    pub fn input_gradient(&self, weight: &[f32], gradient: &[f32], precision: Precision) -> Vec<f32> {
        groups::input_gradient(
            Kernels::best(precision),
            &self.geometry,
            weight,
            gradient,
            precision,
        )
    }

    /// `gradient^T * x`.
    pub fn weight_gradient(&self, x: &[f32], gradient: &[f32], precision: Precision) -> Vec<f32> {
        groups::weight_gradient(Kernels::best(precision), &self.geometry, x, gradient, precision)
    }

    /// The sum of the gradient's rows.
    pub fn bias_gradient(&self, gradient: &[f32], precision: Precision) -> Vec<f32> {
        groups::bias_gradient(&self.geometry, gradient, precision)
    }
}

struct Conv2d {
    geometry: Geometry,
    precision: Precision,
    kept: Option<Arc<Kept>>,
}

impl Conv2d {
    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> (CpuStorage, Shape) {
        let (geometry, precision) = (&self.geometry, self.precision);
        let y = with_rounded(bias.unwrap_or_default(), precision, |rounded| {
            let finish = Finish {
                shift: bias.map(|_| rounded),
                ..Finish::default()
            };
            let weight = Weight {
                values: weight,
                kept: self.kept.as_deref(),
            };
            groups::forward(Kernels::best(precision), geometry, x, weight, finish, precision)
        });
        tensor::output(y, geometry.output.shape())
    }

    /// Gradients of `x` and of the weight, of those that are tracked.
    fn backward(&self, x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let (geometry, precision) = (&self.geometry, self.precision);
        let kernels = Kernels::best(precision);
        tensor::with_values(gradient, |gradient| {
            let for_x = x.track_op().then(|| {
                let values = tensor::with_values(weight, |weight| {
                    Ok(groups::input_gradient(
                        kernels, geometry, weight, gradient, precision,
                    ))
                })?;
                tensor::from_values(values, x.shape())
            });
            let for_weight = weight.track_op().then(|| {
                let values = tensor::with_values(x, |x| {
                    Ok(groups::weight_gradient(kernels, geometry, x, gradient, precision))
                })?;
                tensor::from_values(values, weight.shape())
            });
            Ok([for_x.transpose()?, for_weight.transpose()?])
        })
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, x_layout)?;
        Ok(self.forward(x, tensor::values(weight, weight_layout)?, None))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [for_x, for_weight] = self.backward(x, weight, gradient)?;
        Ok((for_x, for_weight))
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, x_layout)?;
        let weight = tensor::values(weight, weight_layout)?;
        Ok(self.forward(x, weight, Some(tensor::values(bias, bias_layout)?)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [for_x, for_weight] = self.backward(x, weight, gradient)?;
        let for_bias = bias.track_op().then(|| {
            let values = tensor::with_values(gradient, |gradient| {
                Ok(groups::bias_gradient(&self.geometry, gradient, self.precision))
            })?;
            tensor::from_values(values, bias.shape())
        });
        Ok((for_x, for_weight, for_bias.transpose()?))
    }
}

#[cfg(test)]
mod tests;
