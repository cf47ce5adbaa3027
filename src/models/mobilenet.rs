//! MobileNetV3-Small (Howard et al., 2019), as torchvision builds it.

use candle_core::Tensor;

use super::builder::{Builder, Conv, Init};
use super::error::ModelError;
use super::inverted::{Activation, BlockShape, ConvNorm, Family, Gate, InvertedResidual};
use super::layers::{Dropout, Linear};
use super::list::ModelBuilder;
use super::network::{Architecture, Pass, check_weight, image_channels};
use crate::ops::{self, BatchNormOptions};
use crate::schema::InputShape;
use crate::spec::MobileNetOptions;

pub(super) struct MobileNet {
    stem: ConvNorm,
    blocks: Vec<InvertedResidual>,
    last: ConvNorm,
    hidden: Linear,
    dropout: Dropout,
    classifier: Linear,
}

/// A block of the table below.
struct BlockRow {
    size: usize,
    expanded: usize,
    outputs: usize,
    excitation: bool,
    activation: Activation,
    stride: usize,
}

/// Table 2 of the paper.
const BLOCKS: [BlockRow; 11] = {
    const fn relu(size: usize, expanded: usize, outputs: usize, excitation: bool, stride: usize) -> BlockRow {
        BlockRow {
            size,
            expanded,
            outputs,
            excitation,
            activation: Activation::Relu,
            stride,
        }
    }
    const fn hardswish(expanded: usize, outputs: usize, stride: usize) -> BlockRow {
        BlockRow {
            size: 5,
            expanded,
            outputs,
            excitation: true,
            activation: Activation::Hardswish,
            stride,
        }
    }
    [
        relu(3, 16, 16, true, 2),
        relu(3, 72, 24, false, 2),
        relu(3, 88, 24, false, 1),
        hardswish(96, 40, 2),
        hardswish(240, 40, 1),
        hardswish(240, 40, 1),
        hardswish(120, 48, 1),
        hardswish(144, 48, 1),
        hardswish(288, 96, 2),
        hardswish(576, 96, 1),
        hardswish(576, 96, 1),
    ]
};
const STEM_CHANNELS: usize = 16;
const LAST_CHANNELS: usize = 576;
const HIDDEN: usize = 1024;
const MODEL: &str = "mobilenet_v3_small";
/// torchvision's, for MobileNetV3 alone.
const NORM: BatchNormOptions = BatchNormOptions {
    epsilon: 1e-3,
    momentum: 0.01,
};

impl ModelBuilder for MobileNetOptions {
    /// Whether the network can be built; any image is large enough.
    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let channels = image_channels(MODEL, input)?;
        check_weight(channels.saturating_mul(9), STEM_CHANNELS)?;
        check_weight(HIDDEN, outputs)
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let family = Family {
            norm: NORM,
            gate: Gate::Hardsigmoid,
            squeeze_activation: Activation::Relu,
        };
        let stem = Conv {
            stride: 2,
            ..Conv::new(image_channels(MODEL, input)?, STEM_CHANNELS, 3)
        };
        let stem = ConvNorm::build("features.0", stem, NORM, Activation::Hardswish, builder)?;
        let mut blocks = Vec::new();
        let mut inputs = STEM_CHANNELS;
        for (block, number) in BLOCKS.iter().zip(1..) {
            let shape = BlockShape {
                inputs,
                expanded: block.expanded,
                outputs: block.outputs,
                size: block.size,
                stride: block.stride,
                squeezed: block.excitation.then(|| divisible_by_eight(block.expanded / 4)),
                activation: block.activation,
                stochastic_depth: (0.0, 0),
            };
            let name = format!("features.{number}");
            blocks.push(InvertedResidual::build(&name, shape, family, builder)?);
            inputs = block.outputs;
        }
        let last = Conv::new(inputs, LAST_CHANNELS, 1);
        let name = format!("features.{}", BLOCKS.len() + 1);
        let last = ConvNorm::build(&name, last, NORM, Activation::Hardswish, builder)?;
        let mut linear = |name, inputs, outputs| {
            let (weight, bias) = (Init::Normal(0.01), Init::Constant(0.0));
            builder.linear_with(name, (inputs, outputs), weight, Some(bias))
        };
        Ok(Box::new(MobileNet {
            stem,
            blocks,
            last,
            hidden: linear("classifier.0", LAST_CHANNELS, HIDDEN)?,
            dropout: Dropout {
                probability: self.dropout.get(),
                layer: 0,
            },
            classifier: linear("classifier.3", HIDDEN, outputs)?,
        }))
    }
}

/// The nearest multiple of 8, but no less than nine tenths of `channels`: torchvision's
/// `_make_divisible`.
fn divisible_by_eight(channels: usize) -> usize {
    let nearest = ((channels + 4) / 8 * 8).max(8);
    if 10 * nearest < 9 * channels {
        nearest + 8
    } else {
        nearest
    }
}

impl Architecture for MobileNet {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let mut x = self.stem.forward(&ops::to_channels_last(input)?, pass)?;
        for block in &self.blocks {
            x = block.forward(&x, pass)?;
        }
        let x = self.last.forward(&x, pass)?;
        let x = ops::global_average_pool(&x, pass.precision)?;
        let x = ops::hardswish(&self.hidden.forward(&x, pass)?, pass.precision)?;
        self.classifier.forward(&self.dropout.forward(x, pass)?, pass)
    }

    fn head(&self) -> &str {
        "classifier.3"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_rounded_as_torchvision_rounds_them() {
        let rounded = [4, 22, 24, 60, 30, 36, 72, 144, 12, 11].map(divisible_by_eight);
        assert_eq!(rounded, [8, 24, 24, 64, 32, 40, 72, 144, 16, 16]);
    }
}
