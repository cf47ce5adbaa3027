//! Residual networks (He et al., 2015), as torchvision builds them: those of 50 layers and more in the
//! form v1.5, whose bottlenecks stride in the 3x3 convolution.

mod block;

use candle_core::Tensor;

use super::builder::{Builder, Conv, ConvInit};
use super::error::ModelError;
use super::layers::{BatchNorm, Conv2d, Linear, conv_norm};
use super::list::ModelBuilder;
use super::network::{Architecture, Pass, check_weight, image_channels};
use crate::ops::{self, Epilogue, Window};
use crate::schema::InputShape;
use crate::spec::{
    ResNet18Options, ResNet34Options, ResNet50Options, ResNet101Options, Stem, WideDepth, WideResNetOptions,
};
use block::{ResidualBlock, ResidualShape};

/// What tells the members of the family apart.
#[derive(Clone, Copy, Debug)]
struct Form {
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
    fn wide(options: &WideResNetOptions) -> Self {
        let depths = match options.depth {
            WideDepth::D50 => [3, 4, 6, 3],
            WideDepth::D101 => [3, 4, 23, 3],
        };
        Self::new(
            "wide_resnet",
            depths,
            Some(options.factor.get() as usize),
            options.stem,
        )
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
    fn shape(&self, layer: usize) -> ResidualShape {
        let width = WIDTH << layer;
        match self.bottleneck {
            None => ResidualShape {
                width,
                outputs: width,
                bottleneck: false,
            },
            Some(factor) => ResidualShape {
                width: width.saturating_mul(factor),
                outputs: 4 * width,
                bottleneck: true,
            },
        }
    }

    /// Whether the network can be built; any image is large enough.
    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        let channels = image_channels(self.model, input)?;
        check_weight(channels.saturating_mul(49), WIDTH)?;
        let last = self.shape(3);
        check_weight(last.width.saturating_mul(9), last.width)?;
        check_weight(last.outputs, outputs)
    }
}

/// Makes each of these options, by their [`Form`], those of a network.
macro_rules! resnets {
    ($($options:ty: |$own:ident| $form:expr;)*) => {$(
        impl ModelBuilder for $options {
            fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
                let $own = self;
                $form.check(input, outputs)
            }

            fn build(
                &self,
                input: InputShape,
                outputs: usize,
                builder: &mut Builder,
            ) -> Result<Box<dyn Architecture>, ModelError> {
                let $own = self;
                Ok(Box::new(ResNet::build($form, input, outputs, builder)?))
            }
        }
    )*};
}

resnets! {
    ResNet18Options: |options| Form::new("resnet18", [2, 2, 2, 2], None, options.0.stem);
    ResNet34Options: |options| Form::new("resnet34", [3, 4, 6, 3], None, options.0.stem);
    ResNet50Options: |options| Form::new("resnet50", [3, 4, 6, 3], Some(1), options.0.stem);
    ResNet101Options: |options| Form::new("resnet101", [3, 4, 23, 3], Some(1), options.0.stem);
    WideResNetOptions: |options| Form::wide(options);
}

struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    pool: Option<Window>,
    blocks: Vec<ResidualBlock>,
    fc: Linear,
}

impl ResNet {
    fn build(
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
                blocks.push(ResidualBlock::build(&name, inputs, shape, stride, builder)?);
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
