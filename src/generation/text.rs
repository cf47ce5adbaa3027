//! One text, token by token.

use super::choice::{ChosenToken, TokenChoice};
use super::decoder::Decoder;
use super::error::GenerationError;
use super::rules::{GeneratedTokens, GenerationEnd, GenerationRules};
use crate::models::KeyValueCache;

/// A prompt that the network has been shown; several texts begin with it.
pub struct Started<'a> {
    decoder: &'a Decoder<'a>,
    prompt: Vec<u32>,
    cache: KeyValueCache,
    scores: Vec<f32>,
}

impl<'a> Started<'a> {
    /// Shows `prompt` to the network, and keeps room for `tokens` behind it as far as it has positions for them.
    ///
    /// # Errors
    /// A prompt without tokens, or of more than the network has positions for.
    pub fn new(decoder: &'a Decoder<'a>, prompt: &[u32], tokens: usize) -> Result<Self, GenerationError> {
        let context = decoder.context();
        if prompt.is_empty() {
            let problem = "a prompt without any token gives nothing to go on with: write a text".to_owned();
            return Err(GenerationError::Prompt(problem));
        }
        if prompt.len() > context {
            return Err(GenerationError::Prompt(format!(
                "a prompt has {} tokens, and the model {context} positions: make it shorter",
                prompt.len()
            )));
        }
        let mut cache = KeyValueCache::new(1, context.min(prompt.len() + tokens));
        let scores = decoder.scores(&mut cache, &[prompt])?;
        Ok(Self {
            decoder,
            prompt: prompt.to_vec(),
            cache,
            scores: scores.into_iter().next().unwrap_or_default(),
        })
    }

    /// The prompt's tokens.
    pub fn prompt(&self) -> &[u32] {
        &self.prompt
    }

    /// Who asks the network.
    pub(super) fn decoder(&self) -> &'a Decoder<'a> {
        self.decoder
    }

    /// The scores behind the prompt.
    pub(super) fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// A copy of what is kept of the prompt.
    pub(super) fn cache(&self, copies: usize) -> Result<KeyValueCache, GenerationError> {
        Ok(self.cache.of_parents(&vec![0; copies])?)
    }
}

/// The text behind a prompt of this seed and number: drawn where the rules say so, else the likeliest token each time. After each
/// token, `is_over` is told those so far, and says whether something in them ends the text.
///
/// # Errors
/// No token is left to choose, scores are not finite, or what `is_over` reports.
pub fn continue_text(
    started: &Started<'_>,
    rules: &GenerationRules,
    number: (u64, u32),
    is_over: &mut dyn FnMut(&[u32]) -> Result<bool, GenerationError>,
) -> Result<GeneratedTokens, GenerationError> {
    let decoder = started.decoder;
    let mut choice = TokenChoice::new(&started.prompt, rules, number);
    let mut cache = started.cache(1)?;
    let mut scores = started.scores.clone();
    loop {
        let ChosenToken { token, end } = choice.next(scores)?;
        let end = match end {
            Some(GenerationEnd::Token) => end,
            _ if is_over(choice.chosen())? => Some(GenerationEnd::Text),
            end => end,
        };
        if let Some(end) = end {
            let tokens = choice.chosen().to_vec();
            return Ok(GeneratedTokens { tokens, end });
        }
        let all = choice.all();
        let next = match all.len() <= decoder.context() {
            true => decoder.scores(&mut cache, &[&[token]])?,
            // The places of all tokens change, so that nothing of them can be kept.
            false => {
                let mut cache = KeyValueCache::new(1, decoder.context());
                decoder.scores(&mut cache, &[&all[all.len() - decoder.context()..]])?
            }
        };
        scores = next.into_iter().next().unwrap_or_default();
    }
}
