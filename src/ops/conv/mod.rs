//! Two-dimensional convolution.

mod columns;
mod geometry;
mod kernels;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::composed;
use super::error::OpError;
use super::tensor::{self, Images, channels_last};
use crate::spec::Precision;
use geometry::Geometry;
pub use geometry::Window;

/// Cross-correlation of `x`, `[N, H, W, I]`, with `weight`, `[O, I, K, K]`: `[N, OH, OW, O]`.
///
/// The input's gradient is only computed where something that is trained depends on it.
///
/// # Errors
/// Shapes that do not fit each other, or a kernel larger than the padded image.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    stride: usize,
    padding: usize,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    let geometry = geometry(x, weight, stride, padding)?;
    if !x.device().is_cpu() {
        return Ok(composed::conv2d(x, weight, stride, padding, precision)?);
    }
    Ok(x.contiguous()?
        .apply_op2(&weight.contiguous()?, Conv2d { geometry, precision })?)
}

fn geometry(
    x: &Tensor,
    weight: &Tensor,
    stride: usize,
    padding: usize,
) -> std::result::Result<Geometry, OpError> {
    const OP: &str = "conv2d";
    let input = channels_last(OP, x)?;
    let (outputs, channels, size) = match *weight.dims() {
        [outputs, channels, height, width] if height == width && height > 0 && outputs > 0 => {
            (outputs, channels, height)
        }
        _ => return Err(OpError::rank(OP, "[O, I, K, K] as weight", weight.shape())),
    };
    if channels != input.channels {
        let problem = format!(
            "the weight is for {channels} channels, the input has {}",
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

struct Conv2d {
    geometry: Geometry,
    precision: Precision,
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = tensor::values(x, x_layout)?;
        let weight = tensor::values(weight, weight_layout)?;
        let y = kernels::forward(&self.geometry, x, weight, self.precision);
        Ok(tensor::output(y, self.geometry.output.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        tensor::with_values(gradient, |gradient| {
            let for_x = x
                .track_op()
                .then(|| {
                    let values = tensor::with_values(weight, |weight| {
                        Ok(kernels::input_gradient(
                            &self.geometry,
                            weight,
                            gradient,
                            self.precision,
                        ))
                    })?;
                    tensor::from_values(values, x.shape())
                })
                .transpose()?;
            let for_weight = weight
                .track_op()
                .then(|| {
                    let values = tensor::with_values(x, |x| {
                        Ok(kernels::weight_gradient(
                            &self.geometry,
                            x,
                            gradient,
                            self.precision,
                        ))
                    })?;
                    tensor::from_values(values, weight.shape())
                })
                .transpose()?;
            Ok((for_x, for_weight))
        })
    }
}

#[cfg(test)]
mod tests;
