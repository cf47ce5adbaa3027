//! The options of `llama`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text_head::TextHead;
use super::{Model, ModelOptions, TextModelFacts, or, undivided};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::values::{BelowOne, Positive};

/// Llama (Touvron et al., 2023) and its like, with Hugging Face's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlamaOptions {
    /// Which of them. `llama` by default.
    #[serde(default)]
    pub variant: LlamaVariant,
    /// Layers.
    pub layers: NonZeroU32,
    /// Attention heads of queries.
    pub heads: NonZeroU32,
    /// Heads of keys and values, which divide those of queries; as many by default.
    #[serde(default)]
    pub kv_heads: Option<NonZeroU32>,
    /// Values of a token.
    pub width: NonZeroU32,
    /// Columns of a head, an even number; the width over the heads by default.
    #[serde(default)]
    pub head_width: Option<NonZeroU32>,
    /// Values of the hidden layer in a layer's MLP; by default eight thirds of the width, up to the next multiple of
    /// 32.
    #[serde(default)]
    pub ffn: Option<NonZeroU32>,
    /// Tokens of the longest sample. 2048 by default.
    #[serde(default)]
    pub context: Option<NonZeroU32>,
    /// A token sees no more than so many of the last ones, itself among them; only of `mistral`. All by default.
    #[serde(default)]
    pub window: Option<NonZeroU32>,
    /// The base of the rotary position embedding's frequencies. 10000 by default.
    #[serde(default)]
    pub rope_theta: Option<Positive>,
    /// Rows of the embedding, where they are to be more than the tokenizer's.
    #[serde(default)]
    pub vocabulary: Option<NonZeroU32>,
    /// Whether the embedding is the output layer's weight too. It is not by default.
    #[serde(default)]
    pub tied: bool,
    /// `causal` by default.
    #[serde(default)]
    pub head: Option<TextHead>,
    /// Probability of dropping an attention weight.
    #[serde(default)]
    pub attention_dropout: BelowOne,
    /// Probability of dropping a value that the head of `tokens` is shown. 0.1 by default.
    #[serde(default)]
    pub head_dropout: Option<BelowOne>,
    /// Added to the mean square by every norm. 1e-6 by default.
    #[serde(default)]
    pub epsilon: Option<Positive>,
}

/// A member of the family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LlamaVariant {
    /// Without biases.
    #[default]
    Llama,
    /// With biases on queries, keys and values.
    Qwen2,
    /// With norms of each head's queries and keys.
    Qwen3,
    /// With a window.
    Mistral,
}

impl Named for LlamaOptions {
    const NAME: &'static str = "llama";
}

impl ModelOptions for LlamaOptions {
    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if self.head_width.is_none() {
            mistakes.extend(undivided(true, self.width(), self.heads()));
        }
        if mistakes.is_empty() && !self.head_width().is_multiple_of(2) {
            let field = if self.head_width.is_some() {
                "head_width"
            } else {
                "heads"
            };
            let message = format!(
                "a head of {} columns has no two halves to be turned",
                self.head_width()
            );
            mistakes.push(Mistake::new([field], message).help("choose an even number of columns a head"));
        }
        if !self.heads().is_multiple_of(self.kv_heads()) {
            let message = format!(
                "{} heads of keys cannot serve {} of queries",
                self.kv_heads(),
                self.heads()
            );
            mistakes.push(Mistake::new(["kv_heads"], message).help("choose a number that divides `heads`"));
        }
        if self.window.is_some() && self.variant != LlamaVariant::Mistral {
            let message = "only `mistral` has a window";
            mistakes.push(
                Mistake::new(["window"], message).help("leave the field out, or use `variant: mistral`"),
            );
        }
        if self.head == Some(TextHead::Masked) {
            let message = "a token of llama does not see those behind it, so masked ones cannot be its task";
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

impl LlamaOptions {
    /// Layers.
    pub fn layers(&self) -> usize {
        self.layers.get() as usize
    }

    /// Attention heads of queries.
    pub fn heads(&self) -> usize {
        self.heads.get() as usize
    }

    /// Heads of keys and values.
    pub fn kv_heads(&self) -> usize {
        or(self.kv_heads, self.heads())
    }

    /// Values of a token.
    pub fn width(&self) -> usize {
        self.width.get() as usize
    }

    /// Columns of a head.
    pub fn head_width(&self) -> usize {
        or(self.head_width, self.width() / self.heads())
    }

    /// Values of the hidden layer in an MLP.
    pub fn ffn(&self) -> usize {
        or(self.ffn, (8 * self.width()).div_ceil(3).next_multiple_of(32))
    }

    /// Tokens of the longest sample.
    pub fn context(&self) -> usize {
        or(self.context, 2048)
    }

    /// The base of the rotary position embedding's frequencies.
    pub fn rope_theta(&self) -> f64 {
        self.rope_theta.map_or(10_000.0, Positive::get)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mistakes(other: Value) -> Vec<(String, String)> {
        let mut options = json!({"layers": 2, "heads": 4, "width": 32});
        for (key, value) in other.as_object().unwrap() {
            options[key] = value.clone();
        }
        let options: LlamaOptions = serde_json::from_value(options).unwrap();
        let told = options.mistakes().into_iter();
        told.map(|mistake| (mistake.path.join("."), mistake.message))
            .collect()
    }

    #[test]
    fn what_cannot_be_is_told_with_its_field() {
        assert_eq!(mistakes(json!({"kv_heads": 2, "head_width": 6})), []);
        for (options, field, message) in [
            (
                json!({"heads": 5}),
                "heads",
                "5 heads do not divide a width of 32",
            ),
            (
                json!({"kv_heads": 3}),
                "kv_heads",
                "3 heads of keys cannot serve 4 of queries",
            ),
            (
                json!({"head_width": 7}),
                "head_width",
                "a head of 7 columns has no two halves to be turned",
            ),
            (
                json!({"heads": 32}),
                "heads",
                "a head of 1 columns has no two halves to be turned",
            ),
            (json!({"window": 4}), "window", "only `mistral` has a window"),
        ] {
            assert_eq!(mistakes(options), [(field.to_owned(), message.to_owned())]);
        }
        assert_eq!(mistakes(json!({"window": 4, "variant": "mistral"})), []);
        assert_eq!(mistakes(json!({"head": "masked"}))[0].0, "head");
    }

    #[test]
    fn sizes_follow_from_each_other() {
        let options: LlamaOptions =
            serde_json::from_value(json!({"layers": 2, "heads": 4, "width": 100})).unwrap();
        assert_eq!(
            (options.kv_heads(), options.head_width(), options.ffn()),
            (4, 25, 288)
        );
    }
}
