//! The options of `bert`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text_head::{MlpActivation, TextHead};
use super::{Model, ModelOptions, TextModelFacts, or, undivided};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::values::{BelowOne, Positive};

/// BERT (Devlin et al., 2019) and its like, with Hugging Face's names. Sizes are those of the base model unless they
/// are given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BertOptions {
    /// Which of them. `bert` by default.
    #[serde(default)]
    pub variant: BertVariant,
    /// Layers. 12 by default, 6 of `distilbert`.
    #[serde(default)]
    pub layers: Option<NonZeroU32>,
    /// Attention heads, which divide the width. 12 by default.
    #[serde(default)]
    pub heads: Option<NonZeroU32>,
    /// Values of a token. 768 by default.
    #[serde(default)]
    pub width: Option<NonZeroU32>,
    /// Tokens of the longest sample. 512 by default. (`roberta` holds two positions more.)
    #[serde(default)]
    pub context: Option<NonZeroU32>,
    /// Values of the hidden layer in a layer's MLP; four times the width by default.
    #[serde(default)]
    pub ffn: Option<NonZeroU32>,
    /// `gelu` by default.
    #[serde(default)]
    pub activation: Option<MlpActivation>,
    /// Types of tokens, such as those of a pair's two texts. 2 by default, 1 of `roberta`; `distilbert` has none.
    #[serde(default)]
    pub types: Option<NonZeroU32>,
    /// Rows of the embedding, where they are to be more than the tokenizer's.
    #[serde(default)]
    pub vocabulary: Option<NonZeroU32>,
    /// The token that fills up samples, whose embedding is not trained. 0 by default, 1 of `roberta`.
    #[serde(default)]
    pub padding: Option<u32>,
    /// Whether the embedding is the weight of the output layer of masked tokens too. It is by default.
    #[serde(default)]
    pub tied: Option<bool>,
    /// `masked` by default.
    #[serde(default)]
    pub head: Option<TextHead>,
    /// Probability of dropping an activation. 0.1 by default.
    #[serde(default)]
    pub dropout: Option<BelowOne>,
    /// Probability of dropping an attention weight; as `dropout` by default.
    #[serde(default)]
    pub attention_dropout: Option<BelowOne>,
    /// Probability of dropping a value that the head is shown; as `dropout` by default, 0.2 for the classes of
    /// `distilbert`.
    #[serde(default)]
    pub head_dropout: Option<BelowOne>,
    /// Added to the variance by every layer norm. 1e-12 by default.
    #[serde(default)]
    pub epsilon: Option<Positive>,
}

/// A member of the family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BertVariant {
    /// The first one.
    #[default]
    Bert,
    /// Without types of tokens, and with other names (Sanh et al., 2019).
    Distilbert,
    /// With positions from 2 on, and another head for classes (Liu et al., 2019).
    Roberta,
}

impl Named for BertOptions {
    const NAME: &'static str = "bert";
}

impl ModelOptions for BertOptions {
    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = undivided(self.heads.is_some(), self.width(), self.heads());
        if self.head == Some(TextHead::Causal) {
            let message = "a token of bert sees those behind it, so the next one cannot be its task";
            mistakes
                .push(Mistake::new(["head"], message).help("use `gpt2` or `llama`, or the head `masked`"));
        }
        if self.variant == BertVariant::Distilbert && self.types.is_some() {
            let message = "distilbert has no types of tokens";
            mistakes
                .push(Mistake::new(["types"], message).help("leave the field out, or use another variant"));
        }
        mistakes
    }

    fn text(&self) -> Option<TextModelFacts> {
        Some(TextModelFacts {
            context: self.context(),
            width: self.width(),
            vocabulary: self.vocabulary.map(|rows| rows.get() as usize),
            head: self.head,
            is_causal: false,
            padding: Some(self.padding()),
        })
    }

    fn with_head(&self, head: TextHead) -> Option<Model> {
        let head = Some(head);
        Some(Self { head, ..self.clone() }.into())
    }
}

impl BertOptions {
    /// Layers.
    pub fn layers(&self) -> usize {
        let usual = if self.variant == BertVariant::Distilbert {
            6
        } else {
            12
        };
        or(self.layers, usual)
    }

    /// Attention heads.
    pub fn heads(&self) -> usize {
        or(self.heads, 12)
    }

    /// Values of a token.
    pub fn width(&self) -> usize {
        or(self.width, 768)
    }

    /// Tokens of the longest sample.
    pub fn context(&self) -> usize {
        or(self.context, 512)
    }

    /// Values of the hidden layer in an MLP.
    pub fn ffn(&self) -> usize {
        or(self.ffn, 4 * self.width())
    }

    /// Types of tokens; nothing where there are none.
    pub fn types(&self) -> Option<usize> {
        match self.variant {
            BertVariant::Distilbert => None,
            BertVariant::Bert => Some(or(self.types, 2)),
            BertVariant::Roberta => Some(or(self.types, 1)),
        }
    }

    /// The token that fills up samples.
    pub fn padding(&self) -> u32 {
        let usual = u32::from(self.variant == BertVariant::Roberta);
        self.padding.unwrap_or(usual)
    }

    /// The row of the first token's position.
    pub fn first_position(&self) -> usize {
        match self.variant {
            BertVariant::Roberta => self.padding() as usize + 1,
            _ => 0,
        }
    }

    /// Probability of dropping an activation.
    pub fn dropout(&self) -> f64 {
        self.dropout.map_or(0.1, BelowOne::get)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn options(options: Value) -> BertOptions {
        serde_json::from_value(options).unwrap()
    }

    #[test]
    fn what_cannot_be_is_told_with_its_field() {
        let field = |given: Value| -> Vec<String> {
            let mistakes = options(given).mistakes().into_iter();
            mistakes.flat_map(|mistake| mistake.path).collect()
        };
        assert_eq!(field(json!({})), [""; 0]);
        assert_eq!(field(json!({"width": 100})), ["width"]);
        assert_eq!(field(json!({"heads": 7})), ["heads"]);
        assert_eq!(field(json!({"head": "causal"})), ["head"]);
        assert_eq!(field(json!({"variant": "distilbert", "types": 2})), ["types"]);
    }

    #[test]
    fn variants_have_their_own_defaults() {
        let of = |variant: &str| {
            let options = options(json!({ "variant": variant }));
            (
                options.layers(),
                options.types(),
                options.padding(),
                options.first_position(),
            )
        };
        assert_eq!(of("bert"), (12, Some(2), 0, 0));
        assert_eq!(of("distilbert"), (6, None, 0, 0));
        assert_eq!(of("roberta"), (12, Some(1), 1, 2));
    }
}
