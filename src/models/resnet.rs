//! Residual networks (He et al., 2015), as torchvision builds them: those of 50 layers and more in the
//! form v1.5, whose bottlenecks stride in the 3x3 convolution.

mod block;

use candle_core::Tensor;

use super::builder::{Builder, Conv, ConvInit};
use super::error::ModelError;
use super::layers::{BatchNorm, Conv2d, Linear, conv_norm};
use super::network::{Architecture, Pass, check_weight, image_channels};
use crate::ops::{self, Epilogue, Window};
use crate::schema::InputShape;
use crate::spec::{self, Stem};
use block::{Block, Shape};

/// What tells the members of the family apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The name, as a pipeline file spells it.
    model: &'static str,
    /// Blocks in each of the four layers.
    depths: [usize; 4],
    /// How many times wider than its layer a bottleneck is; without one, blocks have no bottleneck.
    bottleneck: Option<usize>,
    stem: Stem,
}

/// Channels of the stem; the first layer's blocks are as wide, and each further layer is twice as wide.
const WIDTH: usize = 64;

impl Form {
    pub fn resnet18(spec: &spec::ResNet) -> Self {
        Self::new("resnet18", [2, 2, 2, 2], None, spec.stem)
    }

    pub fn resnet34(spec: &spec::ResNet) -> Self {
        Self::new("resnet34", [3, 4, 6, 3], None, spec.stem)
    }

    pub fn resnet50(spec: &spec::ResNet) -> Self {
        Self::new("resnet50", [3, 4, 6, 3], Some(1), spec.stem)
    }

    pub fn resnet101(spec: &spec::ResNet) -> Self {
        Self::new("resnet101", [3, 4, 23, 3], Some(1), spec.stem)
    }

    pub fn wide_resnet(spec: &spec::WideResNet) -> Self {
        let depths = match spec.depth {
            spec::WideDepth::D50 => [3, 4, 6, 3],
            spec::WideDepth::D101 => [3, 4, 23, 3],
        };
        Self::new("wide_resnet", depths, Some(spec.factor.get() as usize), spec.stem)
    }

    fn new(model: &'static str, depths: [usize; 4], bottleneck: Option<usize>, stem: Stem) -> Self {
        Self {
            model,
            depths,
            bottleneck,
            stem,
        }
    }

    /// The shape of layer `layer`'s blocks, from 0.
    fn shape(&self, layer: usize) -> Shape {
        let width = WIDTH << layer;
        match self.bottleneck {
            None => Shape {
                width,
                outputs: width,
                bottleneck: false,
            },
            Some(factor) => Shape {
                width: width.saturating_mul(factor),
                outputs: 4 * width,
                bottleneck: true,
            },
        }
    }

    /// Whether the network can be built; any image is large enough.
    pub fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let channels = image_channels(self.model, input)?;
        check_weight(channels.saturating_mul(49), WIDTH)?;
        let last = self.shape(3);
        check_weight(last.width.saturating_mul(9), last.width)?;
        check_weight(last.outputs, outputs)
    }
}

pub(super) struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    pool: Option<Window>,
    blocks: Vec<Block>,
    fc: Linear,
}

impl ResNet {
    pub fn build(
        form: Form,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let channels = image_channels(form.model, input)?;
        let (size, stride, pool) = match form.stem {
            Stem::Imagenet => (
                7,
                2,
                Some(Window {
                    size: 3,
                    stride: 2,
                    padding: 1,
                }),
            ),
            Stem::Cifar => (3, 1, None),
        };
        let conv = Conv {
            stride,
            ..Conv::new(channels, WIDTH, size)
        };
        let conv1 = builder.conv("conv1", conv, ConvInit::KaimingFanOut)?;
        let bn1 = builder.batch_norm("bn1", WIDTH)?;
        let mut inputs = WIDTH;
        let mut blocks = Vec::new();
        for (layer, depth) in form.depths.into_iter().enumerate() {
            let shape = form.shape(layer);
            for block in 0..depth {
                let stride = if layer > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", layer + 1);
                blocks.push(Block::build(&name, inputs, shape, stride, builder)?);
                inputs = shape.outputs;
            }
        }
        let fc = builder.linear("fc", inputs, outputs)?;
        Ok(Self {
            conv1,
            bn1,
            pool,
            blocks,
            fc,
        })
    }
}

impl Architecture for ResNet {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let x = ops::to_channels_last(input)?;
        let mut x = conv_norm((&self.conv1, &self.bn1), &x, Epilogue::Relu, pass)?;
        if let Some(window) = self.pool {
            x = ops::max_pool2d(&x, window)?;
        }
        for block in &self.blocks {
            x = block.forward(&x, pass)?;
        }
        self.fc
            .forward(&ops::global_average_pool(&x, pass.precision)?, pass)
    }

    fn head(&self) -> &str {
        "fc"
    }
}
