//! What a network of text gives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a network of text gives, from the hidden states of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextHead {
    /// For each token the next one.
    Causal,
    /// For each token the one that stands in its place, where it was masked.
    Masked,
    /// One row of outputs a sample: classes, labels or numbers.
    Classification,
    /// One row of outputs a token.
    Tokens,
    /// The mean of the tokens, whose distance tells how alike two texts are.
    Similarity,
}

impl TextHead {
    /// As a pipeline file spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Causal => "causal",
            Self::Masked => "masked",
            Self::Classification => "classification",
            Self::Tokens => "tokens",
            Self::Similarity => "similarity",
        }
    }

    /// Whether the outputs are the vocabulary.
    pub fn is_vocabulary(self) -> bool {
        matches!(self, Self::Causal | Self::Masked)
    }
}

/// The function between the layers of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MlpActivation {
    /// By the normal distribution function.
    Gelu,
    /// GELU's approximation by the hyperbolic tangent: Hugging Face's `gelu_new`.
    GeluTanh,
    /// 0 where negative.
    Relu,
}
