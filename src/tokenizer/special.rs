//! The special tokens of a tokenizer, with their numbers.

use serde_json::{Map, Value};
use tokenizers::Tokenizer as CrateTokenizer;

use super::error::TokenizerError;
use super::train::add_templates;
use crate::schema::TokenRoles;
use crate::spec::SpecialTokenOptions;

/// A special token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialToken {
    /// As texts have it.
    pub text: String,
    /// Its number.
    pub id: u32,
}

/// The special tokens of a tokenizer by what they stand for, as far as the vocabulary has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// What fills up shorter samples.
    pub pad: Option<SpecialToken>,
    /// What stands for an unknown part of a text.
    pub unk: Option<SpecialToken>,
    /// The beginning of a text.
    pub bos: Option<SpecialToken>,
    /// The end of a text.
    pub eos: Option<SpecialToken>,
    /// What a text is classified at.
    pub cls: Option<SpecialToken>,
    /// What stands between two texts and behind the last.
    pub sep: Option<SpecialToken>,
    /// What hides a token that is to be guessed.
    pub mask: Option<SpecialToken>,
    /// More of them.
    pub additional: Vec<SpecialToken>,
}

impl SpecialTokens {
    /// Those of `options`; `id` knows the numbers of the vocabulary.
    pub(super) fn of_options(options: &SpecialTokenOptions, id: impl Fn(&str) -> Option<u32>) -> Self {
        let token = |text: Option<&str>| {
            let text = text?;
            Some(SpecialToken {
                text: text.to_owned(),
                id: id(text)?,
            })
        };
        let [pad, unk, bos, eos, cls, sep, mask] = options.named().map(|(_, text)| token(text));
        let additional = options.additional.iter();
        Self {
            pad,
            unk,
            bos,
            eos,
            cls,
            sep,
            mask,
            additional: additional.filter_map(|text| token(Some(text))).collect(),
        }
    }

    /// Those that a `tokenizer_config.json` or `special_tokens_map.json` names, over what `self` has: texts, or objects
    /// with their `content`.
    pub(super) fn named_in(mut self, config: &Map<String, Value>, id: impl Fn(&str) -> Option<u32>) -> Self {
        let token = |value: &Value| {
            let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
            Some(SpecialToken {
                text: text.to_owned(),
                id: id(text)?,
            })
        };
        for (name, place) in self.places() {
            if let Some(found) = config.get(&format!("{name}_token")).and_then(token) {
                *place = Some(found);
            }
        }
        // Version 5 of transformers calls them so, and has them as a list or an object of further names.
        for name in ["additional_special_tokens", "extra_special_tokens"] {
            let found: Vec<SpecialToken> = match config.get(name) {
                Some(Value::Array(tokens)) => tokens.iter().filter_map(token).collect(),
                Some(Value::Object(tokens)) => tokens.values().filter_map(token).collect(),
                _ => continue,
            };
            for token in found {
                if !self.additional.contains(&token) {
                    self.additional.push(token);
                }
            }
        }
        self
    }

    fn places(&mut self) -> [(&'static str, &mut Option<SpecialToken>); 7] {
        [
            ("pad", &mut self.pad),
            ("unk", &mut self.unk),
            ("bos", &mut self.bos),
            ("eos", &mut self.eos),
            ("cls", &mut self.cls),
            ("sep", &mut self.sep),
            ("mask", &mut self.mask),
        ]
    }

    /// The tokens by what they stand for, but for the additional ones.
    pub fn named(&self) -> [(&'static str, Option<&SpecialToken>); 7] {
        [
            ("pad", self.pad.as_ref()),
            ("unk", self.unk.as_ref()),
            ("bos", self.bos.as_ref()),
            ("eos", self.eos.as_ref()),
            ("cls", self.cls.as_ref()),
            ("sep", self.sep.as_ref()),
            ("mask", self.mask.as_ref()),
        ]
    }

    /// Their numbers, as a dataset keeps them.
    pub fn roles(&self) -> TokenRoles {
        let id = |token: &Option<SpecialToken>| token.as_ref().map(|token| token.id);
        TokenRoles {
            pad: id(&self.pad),
            unk: id(&self.unk),
            bos: id(&self.bos),
            eos: id(&self.eos),
            cls: id(&self.cls),
            sep: id(&self.sep),
            mask: id(&self.mask),
        }
    }

    /// With those of `options` over these, as far as `tokenizer` has them.
    #[must_use]
    pub fn overridden(self, options: &SpecialTokenOptions, tokenizer: &CrateTokenizer) -> Self {
        self.with(Self::of_options(options, |token| tokenizer.token_to_id(token)))
    }

    /// Makes `tokenizer` put them around texts: `cls` and `sep` where both are there, else `bos` and `eos` as is
    /// asked for.
    ///
    /// # Errors
    /// One that is asked for is not there.
    pub fn put_around(
        &self,
        tokenizer: &mut CrateTokenizer,
        add_bos: bool,
        add_eos: bool,
    ) -> Result<(), TokenizerError> {
        for (name, is_asked, token) in [("bos", add_bos, &self.bos), ("eos", add_eos, &self.eos)] {
            if is_asked && token.is_none() {
                return Err(TokenizerError::Options(format!(
                    "`add_{name}` puts a token around texts that the tokenizer does not have: name it in `special`, such \
                     as `special: {{{name}: \"<{name}>\"}}`"
                )));
            }
        }
        add_templates(tokenizer, self, add_bos, add_eos)
            .map_err(|error| TokenizerError::Options(format!("the tokenizer cannot be made: {error}")))
    }

    /// Those of `other` over these.
    #[must_use]
    fn with(mut self, other: Self) -> Self {
        let Self {
            pad,
            unk,
            bos,
            eos,
            cls,
            sep,
            mask,
            additional,
        } = other;
        for ((_, place), token) in self
            .places()
            .into_iter()
            .zip([pad, unk, bos, eos, cls, sep, mask])
        {
            if token.is_some() {
                *place = token;
            }
        }
        for token in additional {
            if !self.additional.contains(&token) {
                self.additional.push(token);
            }
        }
        self
    }
}
