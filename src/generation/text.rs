//! One text, token by token.

use super::decoder::Decoder;
use super::error::GenerationError;
use super::rules::{GeneratedTokens, GenerationEnd, GenerationRules};
use super::scores::{constrain, draw, likeliest, narrow_choice};
use crate::models::KeyValueCache;
use crate::random::{Purpose, Stream};

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

    /// The draws of the text `number` under `seed`: those of this prompt, whatever others there are.
    fn stream(&self, seed: u64, number: u32) -> Stream {
        let hash = self.prompt.iter().flat_map(|token| token.to_le_bytes());
        // FNV-1a.
        let hash = hash.fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        Stream::new(seed ^ hash, Purpose::Generate, (hash >> 32) as u32, number)
    }
}

/// The text `number` behind a prompt: drawn where the rules say so, else the likeliest token each time. After each
/// token, `is_over` is told those so far, and says whether something in them ends the text.
///
/// # Errors
/// No token is left to choose, scores are not finite, or what `is_over` reports.
pub fn continue_text(
    started: &Started<'_>,
    rules: &GenerationRules,
    (seed, number): (u64, u32),
    is_over: &mut dyn FnMut(&[u32]) -> Result<bool, GenerationError>,
) -> Result<GeneratedTokens, GenerationError> {
    let decoder = started.decoder;
    let mut stream = started.stream(seed, number);
    let mut cache = started.cache(1)?;
    let mut scores = started.scores.clone();
    let mut all = started.prompt.clone();
    let before = all.len();
    loop {
        constrain(&mut scores, &all, all.len() - before, rules);
        let token = match &rules.sample {
            Some(options) => {
                narrow_choice(&mut scores, options);
                draw(&scores, &mut stream)?
            }
            None => likeliest(&scores)?,
        };
        let ended = |end, all: &[u32]| GeneratedTokens {
            tokens: all[before..].to_vec(),
            end,
        };
        if rules.ends.contains(&token) {
            return Ok(ended(GenerationEnd::Token, &all));
        }
        all.push(token);
        if is_over(&all[before..])? {
            return Ok(ended(GenerationEnd::Text, &all));
        }
        if all.len() - before >= rules.tokens {
            return Ok(ended(GenerationEnd::Length, &all));
        }
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
