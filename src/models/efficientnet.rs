//! EfficientNet-B0 (Tan and Le, 2019), as torchvision builds it.

use candle_core::Tensor;

use super::builder::{Builder, Conv, Init};
use super::error::ModelError;
use super::inverted::{Activation, BlockShape, ConvNorm, Family, Gate, InvertedResidual};
use super::layers::{Dropout, Linear};
use super::list::ModelBuilder;
use super::network::{Architecture, Pass, check_weight, image_channels};
use crate::ops::{self, BatchNormOptions};
use crate::schema::InputShape;
use crate::spec::EfficientNetOptions;

pub(super) struct EfficientNet {
    stem: ConvNorm,
    blocks: Vec<InvertedResidual>,
    last: ConvNorm,
    dropout: Dropout,
    classifier: Linear,
}

/// Equal blocks, one after another; the stride is the first one's.
struct BlockStage {
    expansion: usize,
    size: usize,
    stride: usize,
    outputs: usize,
    blocks: u32,
}

/// Table 1 of the paper.
const STAGES: [BlockStage; 7] = {
    const fn stage(expansion: usize, size: usize, stride: usize, outputs: usize, blocks: u32) -> BlockStage {
        BlockStage {
            expansion,
            size,
            stride,
            outputs,
            blocks,
        }
    }
    [
        stage(1, 3, 1, 16, 1),
        stage(6, 3, 2, 24, 2),
        stage(6, 5, 2, 40, 2),
        stage(6, 3, 2, 80, 3),
        stage(6, 5, 1, 112, 3),
        stage(6, 5, 2, 192, 4),
        stage(6, 3, 1, 320, 1),
    ]
};
const STEM_CHANNELS: usize = 32;
const LAST_CHANNELS: usize = 1280;
const MODEL: &str = "efficientnet_b0";

impl ModelBuilder for EfficientNetOptions {
    /// Whether the network can be built; any image is large enough.
    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let channels = image_channels(MODEL, input)?;
        check_weight(channels.saturating_mul(9), STEM_CHANNELS)?;
        check_weight(LAST_CHANNELS, outputs)
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let norm = BatchNormOptions::default();
        let family = Family {
            norm,
            gate: Gate::Sigmoid,
            squeeze_activation: Activation::Silu,
        };
        let stem = Conv {
            stride: 2,
            ..Conv::new(image_channels(MODEL, input)?, STEM_CHANNELS, 3)
        };
        let stem = ConvNorm::build("features.0", stem, norm, Activation::Silu, builder)?;
        let mut blocks = Vec::new();
        let all: u32 = STAGES.iter().map(|stage| stage.blocks).sum();
        // Dropout is layer 0.
        let mut layers = 1..;
        let mut inputs = STEM_CHANNELS;
        for (stage, number) in STAGES.iter().zip(1..) {
            for (index, layer) in (0..stage.blocks).zip(&mut layers) {
                let before = f64::from(layer - 1);
                let shape = BlockShape {
                    inputs,
                    expanded: inputs * stage.expansion,
                    outputs: stage.outputs,
                    size: stage.size,
                    stride: if index == 0 { stage.stride } else { 1 },
                    squeezed: Some((inputs / 4).max(1)),
                    activation: Activation::Silu,
                    stochastic_depth: (self.stochastic_depth.get() * before / f64::from(all), layer),
                };
                let name = format!("features.{number}.{index}");
                blocks.push(InvertedResidual::build(&name, shape, family, builder)?);
                inputs = stage.outputs;
            }
        }
        let last = Conv::new(inputs, LAST_CHANNELS, 1);
        let last = ConvNorm::build("features.8", last, norm, Activation::Silu, builder)?;
        // torchvision takes the fan-out here, unlike `torch.nn.Linear`.
        let bound = 1.0 / (outputs as f64).sqrt();
        let classifier = builder.linear_with(
            "classifier.1",
            (LAST_CHANNELS, outputs),
            Init::Uniform(bound),
            Some(Init::Constant(0.0)),
        )?;
        Ok(Box::new(EfficientNet {
            stem,
            blocks,
            last,
            dropout: Dropout {
                probability: self.dropout.get(),
                layer: 0,
            },
            classifier,
        }))
    }
}

impl Architecture for EfficientNet {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let mut x = self.stem.forward(&ops::to_channels_last(input)?, pass)?;
        for block in &self.blocks {
            x = block.forward(&x, pass)?;
        }
        let x = self.last.forward(&x, pass)?;
        let x = ops::global_average_pool(&x, pass.precision)?;
        self.classifier.forward(&self.dropout.forward(x, pass)?, pass)
    }

    fn head(&self) -> &str {
        "classifier.1"
    }
}
