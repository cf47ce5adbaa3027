//! ResNet-18 (He et al., 2015), as torchvision builds it.

use candle_core::Tensor;

use super::builder::{Builder, ConvInit};
use super::error::ModelError;
use super::layers::{BatchNorm, Conv2d, Linear};
use super::network::{Architecture, InputShape, Pass, check_weight};
use crate::ops::{self, Epilogue, Window};
use crate::spec::{self, Stem};

pub(super) struct ResNet18 {
    conv1: Conv2d,
    bn1: BatchNorm,
    pool: Option<Window>,
    blocks: Vec<BasicBlock>,
    fc: Linear,
}

/// Two 3x3 convolutions and a path around them.
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

/// Blocks in each of the four layers.
const DEPTHS: [usize; 4] = [2, 2, 2, 2];
/// Channels of the stem and the first layer; each further layer doubles them.
const WIDTH: usize = 64;

impl ResNet18 {
    pub fn check(input: InputShape, outputs: usize) -> Result<(), ModelError> {
        match input {
            InputShape::Image { channels, .. } => {
                check_weight(channels.saturating_mul(49), WIDTH)?;
                check_weight(WIDTH << 3, outputs)
            }
            InputShape::Features { columns } => Err(ModelError::NotImages {
                model: "resnet18",
                columns,
            }),
        }
    }

    pub fn build(
        spec: &spec::ResNet,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let mut channels = match input {
            InputShape::Image { channels, .. } => channels,
            InputShape::Features { columns } => {
                return Err(ModelError::NotImages {
                    model: "resnet18",
                    columns,
                });
            }
        };
        let (size, stride, pool) = match spec.stem {
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
        let conv1 = builder.conv2d("conv1", (channels, WIDTH), size, stride, ConvInit::KaimingFanOut)?;
        let bn1 = builder.batch_norm("bn1", WIDTH)?;
        channels = WIDTH;
        let mut blocks = Vec::new();
        for (layer, depth) in DEPTHS.into_iter().enumerate() {
            for block in 0..depth {
                let stride = if layer > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", layer + 1);
                blocks.push(BasicBlock::build(
                    &name,
                    (channels, WIDTH << layer),
                    stride,
                    builder,
                )?);
                channels = WIDTH << layer;
            }
        }
        let fc = builder.linear("fc", channels, outputs)?;
        Ok(Self {
            conv1,
            bn1,
            pool,
            blocks,
            fc,
        })
    }
}

impl BasicBlock {
    fn build(
        name: &str,
        (inputs, outputs): (usize, usize),
        stride: usize,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let init = ConvInit::KaimingFanOut;
        Ok(Self {
            conv1: builder.conv2d(&format!("{name}.conv1"), (inputs, outputs), 3, stride, init)?,
            bn1: builder.batch_norm(&format!("{name}.bn1"), outputs)?,
            conv2: builder.conv2d(&format!("{name}.conv2"), (outputs, outputs), 3, 1, init)?,
            bn2: builder.batch_norm(&format!("{name}.bn2"), outputs)?,
            downsample: if stride == 1 && inputs == outputs {
                None
            } else {
                let name = format!("{name}.downsample");
                let conv = builder.conv2d(&format!("{name}.0"), (inputs, outputs), 1, stride, init)?;
                Some((conv, builder.batch_norm(&format!("{name}.1"), outputs)?))
            },
        })
    }

    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let around = match &self.downsample {
            Some((conv, norm)) => &norm.forward(&conv.forward(x, pass)?, Epilogue::None, pass)?,
            None => x,
        };
        let y = self
            .bn1
            .forward(&self.conv1.forward(x, pass)?, Epilogue::Relu, pass)?;
        self.bn2
            .forward(&self.conv2.forward(&y, pass)?, Epilogue::AddRelu(around), pass)
    }
}

impl Architecture for ResNet18 {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let x = self.conv1.forward(&ops::to_channels_last(input)?, pass)?;
        let mut x = self.bn1.forward(&x, Epilogue::Relu, pass)?;
        if let Some(window) = self.pool {
            x = ops::max_pool2d(&x, window)?;
        }
        for block in &self.blocks {
            x = block.forward(&x, pass)?;
        }
        self.fc
            .forward(&ops::global_average_pool(&x, pass.precision)?, pass)
    }
}
