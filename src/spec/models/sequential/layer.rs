//! The layers of a sequential network.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::values::{BelowOne, Positive};

/// A layer of a sequential network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// A convolution.
    Conv(ConvLayer),
    /// A fully connected layer.
    Linear(LinearLayer),
    /// Batch normalisation, of images or of features.
    BatchNorm(NoOptions),
    /// Normalisation over the features of each sample, as `torch.nn.LayerNorm`.
    LayerNorm(NoOptions),
    /// `max(x, 0)`.
    Relu(NoOptions),
    /// `x` where positive, else `slope` times `x`.
    LeakyRelu(LeakyReluLayer),
    /// `x` times the normal distribution function of `x`.
    Gelu(NoOptions),
    /// `x` times its sigmoid.
    Silu(NoOptions),
    /// `x` times `relu6(x + 3) / 6`.
    Hardswish(NoOptions),
    /// The logistic function.
    Sigmoid(NoOptions),
    /// The hyperbolic tangent.
    Tanh(NoOptions),
    /// The largest value of each window.
    MaxPool(PoolLayer),
    /// The mean of each window.
    AvgPool(PoolLayer),
    /// The mean over all pixels: an image becomes one value a channel.
    GlobalAvgPool(NoOptions),
    /// An image becomes a row, channel by channel.
    Flatten(NoOptions),
    /// Drops activations in training.
    Dropout(DropoutLayer),
}

impl Layer {
    /// The name, as a pipeline file spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "conv",
            Self::Linear(_) => "linear",
            Self::BatchNorm(_) => "batch_norm",
            Self::LayerNorm(_) => "layer_norm",
            Self::Relu(_) => "relu",
            Self::LeakyRelu(_) => "leaky_relu",
            Self::Gelu(_) => "gelu",
            Self::Silu(_) => "silu",
            Self::Hardswish(_) => "hardswish",
            Self::Sigmoid(_) => "sigmoid",
            Self::Tanh(_) => "tanh",
            Self::MaxPool(_) => "max_pool",
            Self::AvgPool(_) => "avg_pool",
            Self::GlobalAvgPool(_) => "global_avg_pool",
            Self::Flatten(_) => "flatten",
            Self::Dropout(_) => "dropout",
        }
    }
}

/// This layer has no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// A convolution, as `torch.nn.Conv2d` with a square kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvLayer {
    /// Output channels.
    pub channels: NonZeroU32,
    /// Pixels of the kernel's side.
    #[serde(default = "three")]
    pub kernel: NonZeroU32,
    /// Pixels from one window to the next.
    #[serde(default = "one")]
    pub stride: NonZeroU32,
    /// Zeros added on each side; by default half the kernel (rounded down), so that an odd kernel at
    /// stride 1 keeps the image's size.
    #[serde(default)]
    pub padding: Option<u32>,
    /// Groups of channels that are convolved apart; they divide both numbers of channels.
    #[serde(default = "one")]
    pub groups: NonZeroU32,
    /// Whether something is added to each channel.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// A fully connected layer, as `torch.nn.Linear`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearLayer {
    /// Values that come out; by default the model's outputs (its classes, labels or targets).
    #[serde(default)]
    pub width: Option<NonZeroU32>,
    /// Whether something is added to each value.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// A leaky ReLU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeakyReluLayer {
    /// The slope under 0.
    #[serde(default = "hundredth")]
    pub slope: Positive,
}

/// Pooling over square windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolLayer {
    /// Pixels of a window's side.
    #[serde(default = "two")]
    pub size: NonZeroU32,
    /// Pixels from one window to the next; by default the window's side.
    #[serde(default)]
    pub stride: Option<NonZeroU32>,
    /// Pixels added on each side, at most half the window: they never are the largest value, and
    /// count as zeros in a mean (`count_include_pad=True`).
    #[serde(default)]
    pub padding: u32,
}

/// Dropout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropoutLayer {
    /// The probability.
    #[serde(default = "half")]
    pub p: BelowOne,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn two() -> NonZeroU32 {
    one().saturating_add(1)
}

fn three() -> NonZeroU32 {
    one().saturating_add(2)
}

fn yes() -> bool {
    true
}

fn half() -> BelowOne {
    BelowOne::new(0.5).expect("0.5 is under 1")
}

fn hundredth() -> Positive {
    Positive::new(0.01).expect("0.01 is positive")
}
