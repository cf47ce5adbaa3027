//! The options of the ResNets.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelOptions;
use crate::spec::choice::Named;

/// What the ResNets have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResNetOptions {
    /// The layers before the first block.
    #[serde(default)]
    pub stem: Stem,
}

/// ResNet-18 (He et al., 2015), as torchvision builds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ResNet18Options(pub ResNetOptions);

impl Named for ResNet18Options {
    const NAME: &'static str = "resnet18";
}

impl ModelOptions for ResNet18Options {}

/// ResNet-34, as torchvision builds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ResNet34Options(pub ResNetOptions);

impl Named for ResNet34Options {
    const NAME: &'static str = "resnet34";
}

impl ModelOptions for ResNet34Options {}

/// ResNet-50 (v1.5), as torchvision builds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ResNet50Options(pub ResNetOptions);

impl Named for ResNet50Options {
    const NAME: &'static str = "resnet50";
}

impl ModelOptions for ResNet50Options {}

/// ResNet-101 (v1.5), as torchvision builds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ResNet101Options(pub ResNetOptions);

impl Named for ResNet101Options {
    const NAME: &'static str = "resnet101";
}

impl ModelOptions for ResNet101Options {}

/// A ResNet with wider bottlenecks (Zagoruyko and Komodakis, 2016): by default torchvision's
/// `wide_resnet50_2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WideResNetOptions {
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

impl Named for WideResNetOptions {
    const NAME: &'static str = "wide_resnet";
}

impl ModelOptions for WideResNetOptions {}

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

fn two() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1)
}
