//! U-Net: down to few pixels and up again.

use candle_core::Tensor;

use super::builder::{Builder, Conv, ConvInit};
use super::error::ModelError;
use super::layers::{BatchNorm, Conv2d, conv_norm};
use super::list::ModelBuilder;
use super::network::{Architecture, Pass, check_weight, image_channels, not_images};
use crate::ops::{self, Epilogue, ResizeMode, Window};
use crate::schema::InputShape;
use crate::spec::UNetOptions;

/// Halves height and width.
const POOL: Window = Window {
    size: 2,
    stride: 2,
    padding: 0,
};

/// Ronneberger et al. (2015), with padding, batch norm, and bilinear resizing on the way up. Its parameters are those of
/// `DoubleConv` blocks `down.0`, `down.1`, ... and `up.0`, ... (from the bottom), of `conv1`, `norm1`, `conv2` and `norm2`
/// each, and of the 1x1 convolution `head`.
pub(super) struct UNet {
    down: Vec<DoubleConv>,
    /// From the bottom.
    up: Vec<DoubleConv>,
    head: Conv2d,
}

/// Two convolutions, each with batch norm and ReLU.
struct DoubleConv([(Conv2d, BatchNorm); 2]);

impl DoubleConv {
    fn build(name: &str, inputs: usize, outputs: usize, builder: &mut Builder) -> Result<Self, ModelError> {
        let mut layer = |place: usize, inputs: usize| {
            let conv = Conv::new(inputs, outputs, 3);
            let conv = builder.conv(&format!("{name}.conv{place}"), conv, ConvInit::Default)?;
            let norm = builder.batch_norm(&format!("{name}.norm{place}"), outputs)?;
            Ok::<_, ModelError>((conv, norm))
        };
        Ok(Self([layer(1, inputs)?, layer(2, outputs)?]))
    }

    /// `[N, H, W, in]` to `[N, H, W, out]`.
    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let Self([(first, first_norm), (second, second_norm)]) = self;
        let x = conv_norm((first, first_norm), x, Epilogue::Relu, pass)?;
        conv_norm((second, second_norm), &x, Epilogue::Relu, pass)
    }
}

impl ModelBuilder for UNetOptions {
    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let InputShape::Image {
            channels,
            height,
            width,
        } = input
        else {
            return Err(not_images("unet", input));
        };
        let widths = self.widths();
        let halvings = u32::try_from(widths.len() - 1).unwrap_or(u32::MAX);
        if height.min(width).checked_shr(halvings).unwrap_or(0) == 0 {
            return Err(ModelError::WrongSamples {
                model: "unet",
                needs: "images that are still there when they are halved `depth` times",
                samples: input.of_sample().into(),
            });
        }
        let mut inputs = channels;
        for width in &widths {
            check_weight(inputs.saturating_mul(9), *width)?;
            check_weight(width.saturating_mul(9), *width)?;
            inputs = *width;
        }
        for pair in widths.windows(2) {
            let joined = pair[0].saturating_add(pair[1]);
            check_weight(joined.saturating_mul(9), pair[0])?;
        }
        check_weight(widths[0], outputs)
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let mut inputs = image_channels("unet", input)?;
        let widths = self.widths();
        let mut down = Vec::new();
        for (level, width) in widths.iter().enumerate() {
            down.push(DoubleConv::build(
                &format!("down.{level}"),
                inputs,
                *width,
                builder,
            )?);
            inputs = *width;
        }
        let mut up = Vec::new();
        for (step, width) in widths.iter().rev().skip(1).enumerate() {
            let block = DoubleConv::build(&format!("up.{step}"), inputs + width, *width, builder)?;
            up.push(block);
            inputs = *width;
        }
        let head = Conv {
            bias: true,
            ..Conv::new(inputs, outputs, 1)
        };
        Ok(Box::new(UNet {
            down,
            up,
            head: builder.conv("head", head, ConvInit::Default)?,
        }))
    }
}

impl Architecture for UNet {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let mut x = ops::to_channels_last(input)?;
        let mut skips = Vec::new();
        for (level, block) in self.down.iter().enumerate() {
            if level > 0 {
                x = ops::max_pool2d(&x, POOL)?;
            }
            x = block.forward(&x, pass)?;
            skips.push(x.clone());
        }
        // The lowest one is what goes up.
        skips.pop();
        for (block, skip) in self.up.iter().zip(skips.iter().rev()) {
            let (_, height, width, _) = skip.dims4()?;
            let larger = ops::resize(&x, (height, width), ResizeMode::Bilinear, pass.precision)?;
            x = block.forward(&ops::concat_channels(&[skip, &larger])?, pass)?;
        }
        self.head.forward(&x, pass)
    }

    fn head(&self) -> &str {
        "head"
    }

    fn judges_pixels(&self) -> bool {
        true
    }
}
