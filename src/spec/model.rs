//! The architectures that `train` builds.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::BelowOne;

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

fn default_hidden() -> Vec<NonZeroU32> {
    [128].into_iter().filter_map(NonZeroU32::new).collect()
}

fn default_channels() -> Vec<NonZeroU32> {
    [32, 64, 128].into_iter().filter_map(NonZeroU32::new).collect()
}
