//! The options of `gpt2`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text_head::{MlpActivation, TextHead};
use super::{Model, ModelOptions, TextModelFacts, or, undivided};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::values::{BelowOne, Positive};

/// GPT-2 (Radford et al., 2019), with Hugging Face's names. Sizes are those of the small model unless they are given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gpt2Options {
    /// Layers. 12 by default.
    #[serde(default)]
    pub layers: Option<NonZeroU32>,
    /// Attention heads, which divide the width. 12 by default.
    #[serde(default)]
    pub heads: Option<NonZeroU32>,
    /// Values of a token. 768 by default.
    #[serde(default)]
    pub width: Option<NonZeroU32>,
    /// Positions, and so the tokens of the longest sample. 1024 by default.
    #[serde(default)]
    pub context: Option<NonZeroU32>,
    /// Values of the hidden layer in a layer's MLP; four times the width by default.
    #[serde(default)]
    pub ffn: Option<NonZeroU32>,
    /// `gelu_tanh` by default.
    #[serde(default)]
    pub activation: Option<MlpActivation>,
    /// Rows of the embedding, where they are to be more than the tokenizer's.
    #[serde(default)]
    pub vocabulary: Option<NonZeroU32>,
    /// Whether the embedding is the output layer's weight too. It is by default.
    #[serde(default)]
    pub tied: Option<bool>,
    /// `causal` by default.
    #[serde(default)]
    pub head: Option<TextHead>,
    /// Probability of dropping an activation: behind attention and MLP, and of the head's input.
    #[serde(default)]
    pub dropout: BelowOne,
    /// Probability of dropping a value of an embedding; as `dropout` by default.
    #[serde(default)]
    pub embedding_dropout: Option<BelowOne>,
    /// Probability of dropping an attention weight; as `dropout` by default.
    #[serde(default)]
    pub attention_dropout: Option<BelowOne>,
    /// Added to the variance by every layer norm. 1e-5 by default.
    #[serde(default)]
    pub epsilon: Option<Positive>,
}

impl Named for Gpt2Options {
    const NAME: &'static str = "gpt2";
}

impl ModelOptions for Gpt2Options {
    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = undivided(self.heads.is_some(), self.width(), self.heads());
        if self.head == Some(TextHead::Masked) {
            let message = "a token of gpt2 does not see those behind it, so masked ones cannot be its task";
            mistakes.push(Mistake::new(["head"], message).help("use `bert`, or the head `causal`"));
        }
        mistakes
    }

    fn text(&self) -> Option<TextModelFacts> {
        Some(TextModelFacts {
            context: self.context(),
            width: self.width(),
            vocabulary: self.vocabulary.map(|rows| rows.get() as usize),
            head: self.head,
            is_causal: true,
            padding: None,
        })
    }

    fn with_head(&self, head: TextHead) -> Option<Model> {
        let head = Some(head);
        Some(Self { head, ..self.clone() }.into())
    }
}

impl Gpt2Options {
    /// Layers.
    pub fn layers(&self) -> usize {
        or(self.layers, 12)
    }

    /// Attention heads.
    pub fn heads(&self) -> usize {
        or(self.heads, 12)
    }

    /// Values of a token.
    pub fn width(&self) -> usize {
        or(self.width, 768)
    }

    /// Positions.
    pub fn context(&self) -> usize {
        or(self.context, 1024)
    }

    /// Values of the hidden layer in an MLP.
    pub fn ffn(&self) -> usize {
        or(self.ffn, 4 * self.width())
    }
}
