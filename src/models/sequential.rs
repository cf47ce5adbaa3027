//! Layers of one's own, one after another.

mod shapes;

use candle_core::Tensor;

use super::builder::{Builder, Conv, ConvInit, Init};
use super::error::ModelError;
use super::layers::{BatchNorm, Conv2d, Dropout, LayerNorm, Linear};
use super::list::ModelBuilder;
use super::network::{Architecture, Pass};
use crate::ops::{self, Epilogue, Window};
use crate::schema::InputShape;
use crate::spec::{Layer, SequentialOptions};
use shapes::{linear_width, padding, pool_window};

pub(super) struct Sequential {
    steps: Vec<LayerStep>,
    /// The name of the last layer that has weights.
    head: String,
}

/// What is done to the activations: images are channels-last, rows `[N, F]`.
enum LayerStep {
    Conv(Conv2d),
    Linear(Linear),
    BatchNorm {
        norm: BatchNorm,
        /// Whether the ReLU that follows is done in the same pass.
        relu: bool,
    },
    LayerNorm(LayerNorm),
    Relu,
    LeakyRelu {
        slope: f64,
    },
    Gelu,
    Silu,
    Hardswish,
    Sigmoid,
    Tanh,
    MaxPool(Window),
    AvgPool(Window),
    GlobalAvgPool,
    Flatten,
    Dropout(Dropout),
}

impl ModelBuilder for SequentialOptions {
    fn check(&self, input: InputShape, outputs: usize) -> Result<(), ModelError> {
        shapes::inputs(self, input, outputs).map(drop)
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let inputs = shapes::inputs(self, input, outputs)?;
        let mut steps = Vec::new();
        let mut head = String::new();
        let mut dropouts = 0;
        for (index, (layer, input)) in self.layers.iter().zip(inputs).enumerate() {
            if let (Layer::Relu(_), Some(LayerStep::BatchNorm { relu, .. })) = (layer, steps.last_mut())
                && !*relu
            {
                *relu = true;
                continue;
            }
            let name = index.to_string();
            if matches!(layer, Layer::Conv(_) | Layer::Linear(_)) {
                head.clone_from(&name);
            }
            let dropout = dropouts;
            dropouts += u32::from(matches!(layer, Layer::Dropout(_)));
            steps.push(LayerStep::build(layer, &name, input, outputs, dropout, builder)?);
        }
        Ok(Box::new(Sequential { steps, head }))
    }
}

/// The channels of an image, or the values of a row: what is last in memory.
fn channels(input: InputShape) -> usize {
    match input {
        InputShape::Image { channels, .. } => channels,
        InputShape::Features { columns } => columns,
        InputShape::Tokens { length, .. } => length,
    }
}

impl LayerStep {
    /// The step for a layer; `dropout` dropouts come before it.
    fn build(
        layer: &Layer,
        name: &str,
        input: InputShape,
        outputs: usize,
        dropout: u32,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let inputs = channels(input);
        Ok(match layer {
            Layer::Conv(layer) => {
                let conv = Conv {
                    stride: layer.stride.get() as usize,
                    padding: padding(layer),
                    groups: layer.groups.get() as usize,
                    bias: layer.bias,
                    ..Conv::new(inputs, layer.channels.get() as usize, layer.kernel.get() as usize)
                };
                Self::Conv(builder.conv(name, conv, ConvInit::Default)?)
            }
            Layer::Linear(layer) => {
                let init = Init::within_fan_in(inputs);
                let sizes = (inputs, linear_width(layer, outputs));
                Self::Linear(builder.linear_with(name, sizes, init, layer.bias.then_some(init))?)
            }
            Layer::BatchNorm(_) => Self::BatchNorm {
                norm: builder.batch_norm(name, inputs)?,
                relu: false,
            },
            Layer::LayerNorm(_) => Self::LayerNorm(builder.layer_norm(name, inputs, 1e-5)?),
            Layer::Relu(_) => Self::Relu,
            Layer::LeakyRelu(layer) => Self::LeakyRelu {
                slope: layer.slope.get(),
            },
            Layer::Gelu(_) => Self::Gelu,
            Layer::Silu(_) => Self::Silu,
            Layer::Hardswish(_) => Self::Hardswish,
            Layer::Sigmoid(_) => Self::Sigmoid,
            Layer::Tanh(_) => Self::Tanh,
            Layer::MaxPool(layer) => Self::MaxPool(pool_window(layer)),
            Layer::AvgPool(layer) => Self::AvgPool(pool_window(layer)),
            Layer::GlobalAvgPool(_) => Self::GlobalAvgPool,
            Layer::Flatten(_) => Self::Flatten,
            Layer::Dropout(layer) => Self::Dropout(Dropout {
                probability: layer.p.get(),
                layer: dropout,
            }),
        })
    }

    fn forward(&self, x: Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        Ok(match self {
            Self::Conv(conv) => conv.forward(&x, pass)?,
            Self::Linear(linear) => linear.forward(&x, pass)?,
            Self::BatchNorm { norm, relu } => {
                let epilogue = if *relu { Epilogue::Relu } else { Epilogue::None };
                match x.rank() {
                    // A row is an image of one pixel.
                    2 => {
                        let y = norm.forward(&ops::unsqueeze(&x, &[1, 2])?, epilogue, pass)?;
                        ops::squeeze(&y, &[1, 2])?
                    }
                    _ => norm.forward(&x, epilogue, pass)?,
                }
            }
            Self::LayerNorm(norm) => norm.forward(&x, pass)?,
            Self::Relu => ops::relu(&x)?,
            Self::LeakyRelu { slope } => ops::leaky_relu(&x, *slope, pass.precision)?,
            Self::Gelu => ops::gelu(&x, pass.precision)?,
            Self::Silu => ops::silu(&x, pass.precision)?,
            Self::Hardswish => ops::hardswish(&x, pass.precision)?,
            Self::Sigmoid => ops::sigmoid(&x, pass.precision)?,
            Self::Tanh => ops::tanh(&x, pass.precision)?,
            Self::MaxPool(window) => ops::max_pool2d(&x, *window)?,
            Self::AvgPool(window) => ops::avg_pool2d(&x, *window, true, pass.precision)?,
            Self::GlobalAvgPool => ops::global_average_pool(&x, pass.precision)?,
            Self::Flatten => match x.rank() {
                // In PyTorch's order, channel by channel.
                4 => ops::flatten(&ops::to_channels_first(&x)?, 1, 3)?,
                _ => x,
            },
            Self::Dropout(dropout) => dropout.forward(x, pass)?,
        })
    }
}

impl Architecture for Sequential {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let mut x = match input.rank() {
            4 => ops::to_channels_last(input)?,
            _ => input.clone(),
        };
        for step in &self.steps {
            x = step.forward(x, pass)?;
        }
        Ok(x)
    }

    fn head(&self) -> &str {
        &self.head
    }
}
