//! Convolutions and a path around them.

use candle_core::Tensor;

use crate::models::builder::{Builder, Conv, ConvInit};
use crate::models::error::ModelError;
use crate::models::layers::{BatchNorm, Conv2d, conv_norm};
use crate::models::network::Pass;
use crate::ops::Epilogue;

/// The shape of a layer's blocks.
#[derive(Clone, Copy)]
pub(super) struct ResidualShape {
    /// Channels between the convolutions.
    pub width: usize,
    /// Channels that come out.
    pub outputs: usize,
    /// Whether the block is a 1x1, a 3x3 and a 1x1 convolution, and not two of 3x3.
    pub bottleneck: bool,
}

/// A residual block: batch norm follows every convolution, ReLU every batch norm, the last one's after
/// the sum.
pub(super) struct ResidualBlock {
    /// `conv1` and `bn1`, and so on.
    layers: Vec<(Conv2d, BatchNorm)>,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl ResidualBlock {
    /// A block with `stride` in its first 3x3 convolution.
    pub fn build(
        name: &str,
        inputs: usize,
        shape: ResidualShape,
        stride: usize,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let ResidualShape { width, outputs, .. } = shape;
        let strided = |inputs, outputs, size| Conv {
            stride,
            ..Conv::new(inputs, outputs, size)
        };
        let convolutions = if shape.bottleneck {
            vec![
                Conv::new(inputs, width, 1),
                strided(width, width, 3),
                Conv::new(width, outputs, 1),
            ]
        } else {
            vec![strided(inputs, width, 3), Conv::new(width, outputs, 3)]
        };
        let mut pair = |conv: &str, norm: &str, shape: Conv| -> Result<_, ModelError> {
            Ok((
                builder.conv(conv, shape, ConvInit::KaimingFanOut)?,
                builder.batch_norm(norm, shape.outputs)?,
            ))
        };
        let mut layers = Vec::new();
        for (number, conv) in (1..).zip(convolutions) {
            layers.push(pair(
                &format!("{name}.conv{number}"),
                &format!("{name}.bn{number}"),
                conv,
            )?);
        }
        let downsample = if stride == 1 && inputs == outputs {
            None
        } else {
            let name = format!("{name}.downsample");
            Some(pair(
                &format!("{name}.0"),
                &format!("{name}.1"),
                strided(inputs, outputs, 1),
            )?)
        };
        Ok(Self { layers, downsample })
    }

    /// `[N, H, W, in]` to `[N, H', W', out]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let around = match &self.downsample {
            Some((conv, norm)) => &conv_norm((conv, norm), x, Epilogue::None, pass)?,
            None => x,
        };
        let mut y = x.clone();
        for (index, (conv, norm)) in self.layers.iter().enumerate() {
            let epilogue = if index + 1 == self.layers.len() {
                Epilogue::AddRelu(around)
            } else {
                Epilogue::Relu
            };
            y = conv_norm((conv, norm), &y, epilogue, pass)?;
        }
        Ok(y)
    }
}
