//! What EfficientNet and MobileNetV3 are made of: inverted residual blocks (Sandler et al., 2018) with
//! squeeze and excitation (Hu et al., 2018).

use candle_core::Tensor;

use super::builder::{Builder, Conv, ConvInit};
use super::error::ModelError;
use super::layers::{BatchNorm, Conv2d, conv_norm};
use super::network::Pass;
use crate::ops::{self, BatchNormOptions, DropoutKey, Epilogue};

/// What follows a batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Relu,
    Silu,
    Hardswish,
}

/// What the blocks of an architecture have in common.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub norm: BatchNormOptions,
    /// What makes factors of the excitations.
    pub gate: Gate,
    /// Between the two layers of squeeze and excitation.
    pub squeeze_activation: Activation,
}

/// A function onto `[0, 1]`.
#[derive(Clone, Copy)]
pub(super) enum Gate {
    Sigmoid,
    Hardsigmoid,
}

impl Activation {
    pub fn apply(self, x: Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        Ok(match self {
            Self::Relu => ops::relu(&x)?,
            Self::Silu => ops::silu(&x, pass.precision)?,
            Self::Hardswish => ops::hardswish(&x, pass.precision)?,
        })
    }
}

/// A convolution, batch norm and an activation: torchvision's `Conv2dNormActivation`.
pub(super) struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
    activation: Activation,
}

impl ConvNorm {
    pub fn build(
        name: &str,
        conv: Conv,
        norm: BatchNormOptions,
        activation: Activation,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            conv: builder.conv(&format!("{name}.0"), conv, ConvInit::KaimingFanOut)?,
            norm: builder.batch_norm_with(&format!("{name}.1"), conv.outputs, norm)?,
            activation,
        })
    }

    /// `[N, H, W, in]` to `[N, H', W', out]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let layers = (&self.conv, &self.norm);
        match self.activation {
            Activation::Relu => conv_norm(layers, x, Epilogue::Relu, pass),
            other => other.apply(conv_norm(layers, x, Epilogue::None, pass)?, pass),
        }
    }
}

/// Factors for the channels of an image, as a function of their means.
struct SqueezeExcitation {
    fc1: Conv2d,
    fc2: Conv2d,
    activation: Activation,
    gate: Gate,
}

impl SqueezeExcitation {
    fn build(
        name: &str,
        (channels, squeezed): (usize, usize),
        family: Family,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let mut pointwise = |name: String, inputs, outputs| {
            let conv = Conv {
                bias: true,
                ..Conv::new(inputs, outputs, 1)
            };
            builder.conv(&name, conv, ConvInit::KaimingFanOut)
        };
        Ok(Self {
            fc1: pointwise(format!("{name}.fc1"), channels, squeezed)?,
            fc2: pointwise(format!("{name}.fc2"), squeezed, channels)?,
            activation: family.squeeze_activation,
            gate: family.gate,
        })
    }

    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let means = ops::global_average_pool(x, pass.precision)?;
        // A row is an image of one pixel.
        let squeezed = self.fc1.forward(&ops::unsqueeze(&means, &[1, 2])?, pass)?;
        let excited = self.fc2.forward(&self.activation.apply(squeezed, pass)?, pass)?;
        let factors = match self.gate {
            Gate::Sigmoid => ops::sigmoid(&excited, pass.precision)?,
            Gate::Hardsigmoid => ops::hardsigmoid(&excited, pass.precision)?,
        };
        let factors = ops::squeeze(&factors, &[1, 2])?;
        Ok(ops::scale_channels(x, &factors, pass.precision)?)
    }
}

/// The shape of a block.
#[derive(Clone, Copy)]
pub(super) struct BlockShape {
    pub inputs: usize,
    /// Channels of the depthwise convolution.
    pub expanded: usize,
    pub outputs: usize,
    /// Rows and columns of the depthwise convolution's kernel.
    pub size: usize,
    pub stride: usize,
    /// Channels between the layers of squeeze and excitation, where there is any.
    pub squeezed: Option<usize>,
    pub activation: Activation,
    /// Probability that training leaves the block out, and the layer's number among those that draw.
    pub stochastic_depth: (f64, u32),
}

/// A 1x1 convolution to more channels (where they are more), a depthwise one, squeeze and excitation
/// and a 1x1 convolution to fewer channels; where input and output have the same shape, a path around
/// them all. Names are those of torchvision's `MBConv` and `InvertedResidual`: `NAME.block.0.0.weight`.
pub(super) struct InvertedResidual {
    convolutions: Vec<ConvNorm>,
    excitation: Option<SqueezeExcitation>,
    project: (Conv2d, BatchNorm),
    has_path_around: bool,
    stochastic_depth: (f64, u32),
}

impl InvertedResidual {
    pub fn build(
        name: &str,
        shape: BlockShape,
        family: Family,
        builder: &mut Builder,
    ) -> Result<Self, ModelError> {
        let mut numbers = 0..;
        let mut next = || format!("{name}.block.{}", numbers.next().unwrap_or(0));
        let mut convolutions = Vec::new();
        let expand = (shape.expanded != shape.inputs).then(|| Conv::new(shape.inputs, shape.expanded, 1));
        let depthwise = Conv {
            stride: shape.stride,
            groups: shape.expanded,
            ..Conv::new(shape.expanded, shape.expanded, shape.size)
        };
        for conv in expand.into_iter().chain([depthwise]) {
            convolutions.push(ConvNorm::build(
                &next(),
                conv,
                family.norm,
                shape.activation,
                builder,
            )?);
        }
        let excitation = match shape.squeezed {
            Some(squeezed) => Some(SqueezeExcitation::build(
                &next(),
                (shape.expanded, squeezed),
                family,
                builder,
            )?),
            None => None,
        };
        let name = next();
        let conv = Conv::new(shape.expanded, shape.outputs, 1);
        Ok(Self {
            convolutions,
            excitation,
            project: (
                builder.conv(&format!("{name}.0"), conv, ConvInit::KaimingFanOut)?,
                builder.batch_norm_with(&format!("{name}.1"), shape.outputs, family.norm)?,
            ),
            has_path_around: shape.stride == 1 && shape.inputs == shape.outputs,
            stochastic_depth: shape.stochastic_depth,
        })
    }

    /// `[N, H, W, in]` to `[N, H', W', out]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let mut y = x.clone();
        for conv in &self.convolutions {
            y = conv.forward(&y, pass)?;
        }
        if let Some(excitation) = &self.excitation {
            y = excitation.forward(&y, pass)?;
        }
        let (conv, norm) = &self.project;
        let project = |epilogue| conv_norm((conv, norm), &y, epilogue, pass);
        let (probability, layer) = self.stochastic_depth;
        if !self.has_path_around {
            return project(Epilogue::None);
        }
        if !pass.trains() || probability == 0.0 {
            return project(Epilogue::Add(x));
        }
        let y = project(Epilogue::None)?;
        let key = DropoutKey {
            seed: pass.seed,
            epoch: pass.epoch,
            samples: pass.samples,
            layer,
        };
        Ok(ops::stochastic_depth(&y, x, probability, key, pass.precision)?)
    }
}
