//! The options of `sequential`.

mod layer;
mod rules;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ModelOptions;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;

pub use layer::{ConvLayer, DropoutLayer, Layer, LeakyReluLayer, LinearLayer, NoOptions, PoolLayer};

/// Layers of one's own, one after another. Names are those of a `torch.nn.Sequential` of the same layers:
/// `0.weight`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequentialOptions {
    /// The layers, in order. The last one must give one value for each output of the model.
    pub layers: Vec<Layer>,
}

impl Named for SequentialOptions {
    const NAME: &'static str = "sequential";
}

impl ModelOptions for SequentialOptions {
    fn mistakes(&self) -> Vec<Mistake> {
        rules::mistakes(&self.layers)
    }
}
