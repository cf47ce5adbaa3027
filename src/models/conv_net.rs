//! A small convolutional network.

use candle_core::Tensor;

use super::builder::{Builder, Conv, ConvInit};
use super::error::ModelError;
use super::layers::{BatchNorm, Conv2d, Dropout, Linear, conv_norm};
use super::list::ModelBuilder;
use super::network::{Architecture, Pass, check_weight, not_images};
use crate::ops::{self, Epilogue, Window};
use crate::schema::InputShape;
use crate::spec::ConvNetOptions;

pub(super) struct ConvNet {
    blocks: Vec<(Conv2d, BatchNorm)>,
    dropout: Dropout,
    head: Linear,
}

/// Halves height and width before every block but the first.
const POOL: Window = Window {
    size: 2,
    stride: 2,
    padding: 0,
};

impl ModelBuilder for ConvNetOptions {
    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let (channels, height, width) = match input {
            InputShape::Image {
                channels,
                height,
                width,
            } => (channels, height, width),
            _ => return Err(not_images("conv_net", input)),
        };
        let blocks = self.channels.len();
        if blocks == 0 {
            return Err(ModelError::Empty {
                what: "the number of blocks (`channels` of conv_net)",
            });
        }
        let halvings = u32::try_from(blocks - 1).unwrap_or(u32::MAX);
        if height.min(width).checked_shr(halvings).unwrap_or(0) == 0 {
            let least = 1u128.checked_shl(halvings).unwrap_or(u128::MAX);
            return Err(ModelError::ImageTooSmall {
                height,
                width,
                blocks,
                least,
            });
        }
        let mut inputs = channels;
        for block in &self.channels {
            check_weight(inputs.saturating_mul(9), block.get() as usize)?;
            inputs = block.get() as usize;
        }
        check_weight(inputs, outputs)
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let mut inputs = match input {
            InputShape::Image { channels, .. } => channels,
            _ => return Err(not_images("conv_net", input)),
        };
        let mut blocks = Vec::new();
        for (index, channels) in self.channels.iter().enumerate() {
            let channels = channels.get() as usize;
            let name = format!("blocks.{index}.conv");
            let conv = builder.conv(&name, Conv::new(inputs, channels, 3), ConvInit::Default)?;
            blocks.push((
                conv,
                builder.batch_norm(&format!("blocks.{index}.norm"), channels)?,
            ));
            inputs = channels;
        }
        let dropout = Dropout {
            probability: self.dropout.get(),
            layer: 0,
        };
        Ok(Box::new(ConvNet {
            blocks,
            dropout,
            head: builder.linear("head", inputs, outputs)?,
        }))
    }
}

impl Architecture for ConvNet {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let mut x = ops::to_channels_last(input)?;
        for (index, (conv, norm)) in self.blocks.iter().enumerate() {
            if index > 0 {
                x = ops::max_pool2d(&x, POOL)?;
            }
            x = conv_norm((conv, norm), &x, Epilogue::Relu, pass)?;
        }
        let x = ops::global_average_pool(&x, pass.precision)?;
        self.head.forward(&self.dropout.forward(x, pass)?, pass)
    }
    fn head(&self) -> &str {
        "head"
    }
}
