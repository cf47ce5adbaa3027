//! Tokens with a meaning of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::models::TokenizerModel;
use crate::spec::mistake::Mistake;

/// Tokens that no text is split into, by what they stand for. Trained tokenizers have them first, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecialTokenOptions {
    /// What fills up shorter samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<String>,
    /// What stands for a part of a text that the vocabulary does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unk: Option<String>,
    /// The beginning of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bos: Option<String>,
    /// The end of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eos: Option<String>,
    /// What a text is classified at. With `sep`, every text that is encoded is put between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cls: Option<String>,
    /// What stands between two texts and behind the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sep: Option<String>,
    /// What hides a token that is to be guessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// More of them, such as those that a chat template writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional: Vec<String>,
}

impl SpecialTokenOptions {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The tokens by what they stand for, but for the additional ones.
    pub fn named(&self) -> [(&'static str, Option<&str>); 7] {
        [
            ("pad", self.pad.as_deref()),
            ("unk", self.unk.as_deref()),
            ("bos", self.bos.as_deref()),
            ("eos", self.eos.as_deref()),
            ("cls", self.cls.as_deref()),
            ("sep", self.sep.as_deref()),
            ("mask", self.mask.as_deref()),
        ]
    }

    /// All tokens, each once, in the order of the vocabulary.
    pub fn all(&self) -> Vec<&str> {
        let named = self.named().into_iter().filter_map(|(_, token)| token);
        let mut all: Vec<&str> = Vec::new();
        for token in named.chain(self.additional.iter().map(String::as_str)) {
            if !all.contains(&token) {
                all.push(token);
            }
        }
        all
    }

    /// With the tokens that `model` cannot do without, or always has.
    pub(super) fn completed(&self, model: &TokenizerModel<'_>) -> Self {
        let mut tokens = self.clone();
        let or = |token: &mut Option<String>, usual: &str| {
            token.get_or_insert_with(|| usual.to_owned());
        };
        match model {
            TokenizerModel::WordPiece(_) => {
                or(&mut tokens.pad, "[PAD]");
                or(&mut tokens.unk, "[UNK]");
                or(&mut tokens.cls, "[CLS]");
                or(&mut tokens.sep, "[SEP]");
                or(&mut tokens.mask, "[MASK]");
            }
            TokenizerModel::Bpe(options) if options.byte_level => {}
            TokenizerModel::Bpe(_) | TokenizerModel::Unigram(_) | TokenizerModel::Word(_) => {
                or(&mut tokens.unk, "<unk>");
            }
            TokenizerModel::Char(_) => {}
        }
        tokens
    }

    /// What contradicts each other, with paths from the stage's options on.
    pub(super) fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for (name, token) in self.named() {
            if token == Some("") {
                let mistake = Mistake::new(["special", name], "a token cannot be empty");
                mistakes.push(mistake.help(format!("write it as texts have it, such as \"<{name}>\"")));
            }
        }
        if self.additional.iter().any(String::is_empty) {
            let mistake = Mistake::new(["special", "additional"], "a token cannot be empty");
            mistakes.push(mistake.help("remove it"));
        }
        if self.pad.is_some() && self.pad == self.eos {
            mistakes.push(
                Mistake::new(
                    ["special", "pad"],
                    "`pad` and `eos` are the same token: programs that leave padding out of the loss leave the end of \
                     texts out too, and what they train never stops",
                )
                .help("give `pad` a token of its own, such as \"<pad>\", or remove it"),
            );
        }
        mistakes
    }
}
