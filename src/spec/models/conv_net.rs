//! The options of `conv_net`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelOptions;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::values::BelowOne;

/// A small convolutional network: blocks of 3x3 convolution, batch norm, ReLU and 2x2 max
/// pooling, then global average pooling and a linear layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvNetOptions {
    /// Output channels of each block; every block but the first halves height and width.
    #[serde(default = "default_channels")]
    pub channels: Vec<NonZeroU32>,
    /// Probability of dropping a feature before the linear layer.
    #[serde(default)]
    pub dropout: BelowOne,
}

impl Named for ConvNetOptions {
    const NAME: &'static str = "conv_net";
}

impl ModelOptions for ConvNetOptions {
    fn mistakes(&self) -> Vec<Mistake> {
        let mistake = Mistake::new(["channels"], "the network has no blocks")
            .help("give each block its number of channels, such as [32, 64]");
        if self.channels.is_empty() {
            vec![mistake]
        } else {
            Vec::new()
        }
    }
}

fn default_channels() -> Vec<NonZeroU32> {
    [32, 64, 128].into_iter().filter_map(NonZeroU32::new).collect()
}
