//! The shapes that layers give, checked before anything is built.

use crate::models::error::ModelError;
use crate::models::network::check_weight;
use crate::ops::Window;
use crate::schema::InputShape;
use crate::spec::{ConvLayer, Layer, LinearLayer, PoolLayer, SequentialOptions};

/// What each layer is given, where the whole list fits the samples and the number of outputs.
pub(super) fn inputs(
    spec: &SequentialOptions,
    input: InputShape,
    outputs: usize,
) -> Result<Vec<InputShape>, ModelError> {
    let Some(last) = spec.layers.last() else {
        return Err(ModelError::Empty {
            what: "the number of layers (`layers` of sequential)",
        });
    };
    let mut inputs = Vec::with_capacity(spec.layers.len());
    let mut shape = input;
    for (index, layer) in spec.layers.iter().enumerate() {
        let place = LayerPlace {
            index,
            layer,
            input: shape,
            samples: input,
        };
        inputs.push(shape);
        shape = place.output(outputs)?;
    }
    let place = LayerPlace {
        index: spec.layers.len() - 1,
        layer: last,
        input: shape,
        samples: input,
    };
    if shape != (InputShape::Features { columns: outputs }) {
        let way_out = match shape {
            InputShape::Image { .. } => {
                "end with `flatten` or `global_avg_pool`, and a `linear` without `width`"
            }
            InputShape::Features { .. } | InputShape::Tokens { .. } => "end with a `linear` without `width`",
        };
        let shape = told(shape);
        let problem =
            format!("is the last and gives {shape}, but the model has {outputs} outputs: {way_out}");
        return Err(place.error(problem));
    }
    if !spec
        .layers
        .iter()
        .any(|layer| matches!(layer, Layer::Conv(_) | Layer::Linear(_)))
    {
        let problem = "is the last, and no layer is a `conv` or `linear`: there is nothing to train";
        return Err(place.error(problem));
    }
    Ok(inputs)
}

/// Zeros that a convolution adds on each side.
pub(super) fn padding(layer: &ConvLayer) -> usize {
    layer.padding.unwrap_or(layer.kernel.get() / 2) as usize
}

/// Values that a linear layer gives.
pub(super) fn linear_width(layer: &LinearLayer, outputs: usize) -> usize {
    layer.width.map_or(outputs, |width| width.get() as usize)
}

pub(super) fn pool_window(layer: &PoolLayer) -> Window {
    Window {
        size: layer.size.get() as usize,
        stride: layer.stride.unwrap_or(layer.size).get() as usize,
        padding: layer.padding as usize,
    }
}

/// A layer of the list, and what it is given.
struct LayerPlace<'a> {
    index: usize,
    layer: &'a Layer,
    input: InputShape,
    /// What the first layer is given.
    samples: InputShape,
}

/// A shape in words.
fn told(shape: InputShape) -> String {
    match shape {
        InputShape::Image {
            channels,
            height,
            width,
        } => format!("an image of {channels}x{height}x{width}"),
        InputShape::Features { columns: 1 } => "a row of 1 value".to_string(),
        InputShape::Features { columns } => format!("a row of {columns} values"),
        InputShape::Tokens { length, .. } => format!("{length} tokens"),
    }
}

impl LayerPlace<'_> {
    fn error(&self, problem: impl Into<String>) -> ModelError {
        ModelError::Layer {
            index: self.index,
            kind: self.layer.name(),
            problem: problem.into(),
        }
    }

    fn output(&self, outputs: usize) -> Result<InputShape, ModelError> {
        match self.layer {
            Layer::Conv(layer) => self.convolved(layer),
            Layer::Linear(layer) => {
                let columns = linear_width(layer, outputs);
                check_weight(self.row()?, columns)?;
                Ok(InputShape::Features { columns })
            }
            Layer::LayerNorm(_) => self.row().map(|_| self.input),
            Layer::MaxPool(layer) | Layer::AvgPool(layer) => self.pooled(layer),
            Layer::GlobalAvgPool(_) => self.image().map(|(columns, ..)| InputShape::Features { columns }),
            Layer::Flatten(_) => Ok(InputShape::Features {
                columns: self.input.len(),
            }),
            Layer::BatchNorm(_)
            | Layer::Relu(_)
            | Layer::LeakyRelu(_)
            | Layer::Gelu(_)
            | Layer::Silu(_)
            | Layer::Hardswish(_)
            | Layer::Sigmoid(_)
            | Layer::Tanh(_)
            | Layer::Dropout(_) => Ok(self.input),
        }
    }

    fn row(&self) -> Result<usize, ModelError> {
        match self.input {
            InputShape::Features { columns } => Ok(columns),
            image => {
                let image = told(image);
                Err(self.error(format!(
                    "needs a row, and is given {image}: put `flatten` or `global_avg_pool` before it"
                )))
            }
        }
    }

    fn image(&self) -> Result<(usize, usize, usize), ModelError> {
        match self.input {
            InputShape::Image {
                channels,
                height,
                width,
            } => Ok((channels, height, width)),
            row => {
                let row = told(row);
                let way_out = match self.samples {
                    InputShape::Image { .. } => "put it before the layer that makes a row of the image",
                    InputShape::Features { .. } | InputShape::Tokens { .. } => {
                        "leave it out, or have `preprocess` read the columns as an image"
                    }
                };
                Err(self.error(format!("needs an image, and is given {row}: {way_out}")))
            }
        }
    }

    fn convolved(&self, layer: &ConvLayer) -> Result<InputShape, ModelError> {
        let (inputs, height, width) = self.image()?;
        let outputs = layer.channels.get() as usize;
        let groups = layer.groups.get() as usize;
        if !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return Err(self.error(format!(
                "cannot convolve {inputs} channels to {outputs} in {groups} groups: `groups` has to divide \
                 both numbers of channels"
            )));
        }
        let window = Window {
            size: layer.kernel.get() as usize,
            stride: layer.stride.get() as usize,
            padding: padding(layer),
        };
        let taps = window.size.saturating_mul(window.size);
        check_weight((inputs / groups).saturating_mul(taps), outputs)?;
        let (Some(height), Some(width)) = (window.positions(height), window.positions(width)) else {
            return Err(self.error(format!(
                "has a kernel of {0}x{0}, which does not fit in {1} with a padding of {2}: make `kernel` \
                 smaller or `padding` larger, or shrink the image less before it",
                window.size,
                told(self.input),
                window.padding
            )));
        };
        self.image_of(outputs, height, width)
    }

    fn pooled(&self, layer: &PoolLayer) -> Result<InputShape, ModelError> {
        let (channels, height, width) = self.image()?;
        let window = pool_window(layer);
        let Window { size, padding, .. } = window;
        if padding > size / 2 {
            return Err(self.error(format!(
                "has a padding of {padding}, which is over half of its window of {size}x{size}: make \
                 `padding` at most {}",
                size / 2
            )));
        }
        let (Some(height), Some(width)) = (window.positions(height), window.positions(width)) else {
            let image = told(self.input);
            return Err(self.error(format!(
                "has a window of {size}x{size}, which does not fit in {image} with a padding of {padding}: \
                 make `size` smaller, or shrink the image less before it"
            )));
        };
        self.image_of(channels, height, width)
    }

    /// An image that memory may hold.
    fn image_of(&self, channels: usize, height: usize, width: usize) -> Result<InputShape, ModelError> {
        const LIMIT: usize = 1 << 32;
        let values = height
            .checked_mul(width)
            .and_then(|pixels| pixels.checked_mul(channels));
        match values {
            Some(values) if values <= LIMIT => Ok(InputShape::Image {
                channels,
                height,
                width,
            }),
            _ => Err(self.error(format!(
                "gives an image of {channels}x{height}x{width}, which is too large: make `padding` or the \
                 number of channels smaller"
            ))),
        }
    }
}
