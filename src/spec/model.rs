//! The architectures that `train` builds.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{BelowOne, Positive};

/// A network's architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Fully connected layers with ReLU between them.
    Mlp(Mlp),
    /// A small convolutional network: blocks of 3x3 convolution, batch norm, ReLU and 2x2 max
    /// pooling, then global average pooling and a linear layer.
    ConvNet(ConvNet),
    /// ResNet-18 (He et al., 2015), as torchvision builds it.
    #[serde(rename = "resnet18")]
    ResNet18(ResNet),
    /// ResNet-34, as torchvision builds it.
    #[serde(rename = "resnet34")]
    ResNet34(ResNet),
    /// ResNet-50 (v1.5), as torchvision builds it.
    #[serde(rename = "resnet50")]
    ResNet50(ResNet),
    /// ResNet-101 (v1.5), as torchvision builds it.
    #[serde(rename = "resnet101")]
    ResNet101(ResNet),
    /// A ResNet with wider bottlenecks (Zagoruyko and Komodakis, 2016): by default torchvision's
    /// `wide_resnet50_2`.
    WideResnet(WideResNet),
    /// EfficientNet-B0 (Tan and Le, 2019), as torchvision builds it.
    EfficientnetB0(EfficientNet),
    /// MobileNetV3-Small (Howard et al., 2019), as torchvision builds it.
    MobilenetV3Small(MobileNet),
    /// A vision transformer (Dosovitskiy et al., 2021), as torchvision builds it.
    Vit(VisionTransformer),
    /// Layers of one's own, one after another.
    Sequential(Sequential),
}

impl Model {
    /// The name, as a pipeline file spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "mlp",
            Self::ConvNet(_) => "conv_net",
            Self::ResNet18(_) => "resnet18",
            Self::ResNet34(_) => "resnet34",
            Self::ResNet50(_) => "resnet50",
            Self::ResNet101(_) => "resnet101",
            Self::WideResnet(_) => "wide_resnet",
            Self::EfficientnetB0(_) => "efficientnet_b0",
            Self::MobilenetV3Small(_) => "mobilenet_v3_small",
            Self::Vit(_) => "vit",
            Self::Sequential(_) => "sequential",
        }
    }
}

/// Fully connected layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Widths of the hidden layers.
    #[serde(default = "default_hidden")]
    pub hidden: Vec<NonZeroU32>,
    /// Probability of dropping a hidden activation.
    #[serde(default)]
    pub dropout: BelowOne,
}

/// A small convolutional network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvNet {
    /// Output channels of each block; every block but the first halves height and width.
    #[serde(default = "default_channels")]
    pub channels: Vec<NonZeroU32>,
    /// Probability of dropping a feature before the linear layer.
    #[serde(default)]
    pub dropout: BelowOne,
}

/// Options of the ResNet family.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResNet {
    /// The layers before the first block.
    #[serde(default)]
    pub stem: Stem,
}

/// Options of the wide ResNets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WideResNet {
    /// The number of layers.
    #[serde(default)]
    pub depth: WideDepth,
    /// How many times wider than a ResNet's the bottlenecks are.
    #[serde(default = "two")]
    pub factor: NonZeroU32,
    /// The layers before the first block.
    #[serde(default)]
    pub stem: Stem,
}

/// The depth of a wide ResNet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(with = "u32", extend("enum" = [50, 101]))]
pub enum WideDepth {
    /// 50 layers.
    #[default]
    D50,
    /// 101 layers.
    D101,
}

impl TryFrom<u32> for WideDepth {
    type Error = String;

    fn try_from(depth: u32) -> Result<Self, String> {
        match depth {
            50 => Ok(Self::D50),
            101 => Ok(Self::D101),
            other => Err(format!("a wide ResNet has a depth of 50 or 101, not {other}")),
        }
    }
}

impl From<WideDepth> for u32 {
    fn from(depth: WideDepth) -> Self {
        match depth {
            WideDepth::D50 => 50,
            WideDepth::D101 => 101,
        }
    }
}

/// The layers before the first block of a ResNet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// 7x7 convolution of stride 2 and 3x3 max pooling of stride 2, as in torchvision.
    #[default]
    Imagenet,
    /// 3x3 convolution of stride 1 without pooling, for small images.
    Cifar,
}

/// Options of EfficientNet-B0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EfficientNet {
    /// Probability of dropping a feature before the linear layer.
    #[serde(default = "fifth")]
    pub dropout: BelowOne,
    /// Probability of leaving the last block out (Huang et al., 2016); it rises from 0 block by block.
    #[serde(default = "fifth")]
    pub stochastic_depth: BelowOne,
}

/// Options of MobileNetV3-Small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MobileNet {
    /// Probability of dropping a feature before the last linear layer.
    #[serde(default = "fifth")]
    pub dropout: BelowOne,
}

/// A vision transformer: a preset, and what is to differ from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VisionTransformer {
    /// Width, depth and heads: `tiny` has 192, 12 and 3, `small` 384, 12 and 6.
    #[serde(default)]
    pub preset: VitPreset,
    /// Pixels of a patch's side; images are cut into whole patches. 16 by default.
    #[serde(default)]
    pub patch: Option<NonZeroU32>,
    /// Values of a token.
    #[serde(default)]
    pub width: Option<NonZeroU32>,
    /// Encoder layers.
    #[serde(default)]
    pub depth: Option<NonZeroU32>,
    /// Attention heads; they divide the width.
    #[serde(default)]
    pub heads: Option<NonZeroU32>,
    /// Values of the hidden layer in an encoder layer's MLP; four times the width by default.
    #[serde(default)]
    pub mlp_width: Option<NonZeroU32>,
    /// Probability of dropping an activation.
    #[serde(default)]
    pub dropout: BelowOne,
    /// Probability of dropping an attention weight.
    #[serde(default)]
    pub attention_dropout: BelowOne,
}

/// Sizes of a vision transformer that are in common use (Touvron et al., 2021).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VitPreset {
    /// Width 192, depth 12, 3 heads.
    #[default]
    Tiny,
    /// Width 384, depth 12, 6 heads.
    Small,
}

/// Layers of one's own. Names are those of a `torch.nn.Sequential` of the same layers: `0.weight`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sequential {
    /// The layers, in order. The last one must give one value for each output of the model.
    pub layers: Vec<Layer>,
}

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

fn default_hidden() -> Vec<NonZeroU32> {
    [128].into_iter().filter_map(NonZeroU32::new).collect()
}

fn default_channels() -> Vec<NonZeroU32> {
    [32, 64, 128].into_iter().filter_map(NonZeroU32::new).collect()
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

fn fifth() -> BelowOne {
    BelowOne::new(0.2).expect("0.2 is under 1")
}

fn hundredth() -> Positive {
    Positive::new(0.01).expect("0.01 is positive")
}
