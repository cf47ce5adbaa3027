//! One token behind the other of a text.

use super::error::GenerationError;
use super::rules::{GenerationEnd, GenerationRules};
use super::scores::{constrain, draw, likeliest, narrow_choice};
use crate::random::{Purpose, Stream};

/// A text that grows by tokens which are chosen from a network's scores.
#[derive(Debug)]
pub(super) struct TokenChoice {
    /// The prompt, and what was chosen behind it.
    all: Vec<u32>,
    /// Tokens of the prompt.
    before: usize,
    rules: GenerationRules,
    stream: Stream,
}

/// A token that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChosenToken {
    /// The token. One that ends the text is none of it.
    pub token: u32,
    /// Why the text ends with it, where it does.
    pub end: Option<GenerationEnd>,
}

impl TokenChoice {
    /// The text `number` behind `prompt` under `seed`: its draws are those of this prompt, whatever others there are.
    pub fn new(prompt: &[u32], rules: &GenerationRules, (seed, number): (u64, u32)) -> Self {
        let hash = prompt.iter().flat_map(|token| token.to_le_bytes());
        // FNV-1a.
        let hash = hash.fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        Self {
            all: prompt.to_vec(),
            before: prompt.len(),
            rules: rules.clone(),
            stream: Stream::new(seed ^ hash, Purpose::Generate, (hash >> 32) as u32, number),
        }
    }

    /// The prompt, and what was chosen behind it.
    pub fn all(&self) -> &[u32] {
        &self.all
    }

    /// What was chosen behind the prompt.
    pub fn chosen(&self) -> &[u32] {
        &self.all[self.before..]
    }

    /// The next token: drawn where the rules say so, else the likeliest by `scores`.
    ///
    /// # Errors
    /// No token is left to choose.
    pub fn next(&mut self, mut scores: Vec<f32>) -> Result<ChosenToken, GenerationError> {
        constrain(&mut scores, &self.all, self.all.len() - self.before, &self.rules);
        let token = match &self.rules.sample {
            Some(options) => {
                narrow_choice(&mut scores, options);
                draw(&scores, &mut self.stream)?
            }
            None => likeliest(&scores)?,
        };
        if self.rules.ends.contains(&token) {
            let end = Some(GenerationEnd::Token);
            return Ok(ChosenToken { token, end });
        }
        self.all.push(token);
        let is_full = self.all.len() - self.before >= self.rules.tokens;
        let end = is_full.then_some(GenerationEnd::Length);
        Ok(ChosenToken { token, end })
    }
}
