//! Words and how often they occur.

use std::collections::HashMap;

use rayon::prelude::*;
use tokenizers::normalizer::NormalizedString;
use tokenizers::pre_tokenizer::PreTokenizedString;
use tokenizers::tokenizer::{Normalizer, OffsetReferential, PreTokenizer};
use tokenizers::{OffsetType, Tokenizer as CrateTokenizer};

use crate::tokenizer::error::TokenizerError;

/// How often each word occurs in documents. What is in it depends neither on the order of the documents nor on the
/// number of threads.
#[derive(Clone, Debug, Default)]
pub struct WordCounts(HashMap<String, u64>);

impl WordCounts {
    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the words that `tokenizer` splits `documents` into; with `characters` their characters alone.
    pub(super) fn add(
        &mut self,
        tokenizer: &CrateTokenizer,
        documents: &[String],
        characters: bool,
    ) -> Result<(), TokenizerError> {
        let found = documents
            .par_iter()
            .map(|document| counted(tokenizer, document, characters))
            .try_reduce(HashMap::new, |left, right| Ok(merged(left, right)))?;
        self.0 = merged(std::mem::take(&mut self.0), found);
        Ok(())
    }

    /// All words in the order of their bytes.
    pub(in crate::tokenizer) fn sorted(self) -> Vec<(String, u64)> {
        let mut words: Vec<(String, u64)> = self.0.into_iter().collect();
        words.par_sort_unstable();
        words
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, u64); N]> for WordCounts {
    fn from(words: [(&str, u64); N]) -> Self {
        Self(words.map(|(word, count)| (word.to_owned(), count)).into())
    }
}

fn counted(
    tokenizer: &CrateTokenizer,
    document: &str,
    characters: bool,
) -> Result<HashMap<String, u64>, TokenizerError> {
    let failed =
        |error: tokenizers::Error| TokenizerError::Text(format!("a document cannot be split: {error}"));
    let mut normalized = NormalizedString::from(document);
    if let Some(normalizer) = tokenizer.get_normalizer() {
        normalizer.normalize(&mut normalized).map_err(failed)?;
    }
    let mut counts: HashMap<String, u64> = HashMap::new();
    if characters {
        let mut numbers: HashMap<char, u64> = HashMap::new();
        for character in normalized.get().chars() {
            *numbers.entry(character).or_default() += 1;
        }
        counts.extend(
            numbers
                .into_iter()
                .map(|(character, count)| (character.to_string(), count)),
        );
        return Ok(counts);
    }
    let mut split = PreTokenizedString::from(normalized);
    if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut split).map_err(failed)?;
    }
    for (word, _, _) in split.get_splits(OffsetReferential::Original, OffsetType::Byte) {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.to_owned(), 1);
            }
        }
    }
    // What a pre-tokenizer leaves of nothing is no word.
    counts.remove("");
    Ok(counts)
}

fn merged(left: HashMap<String, u64>, right: HashMap<String, u64>) -> HashMap<String, u64> {
    let (mut into, from) = if left.len() >= right.len() {
        (left, right)
    } else {
        (right, left)
    };
    for (word, count) in from {
        *into.entry(word).or_default() += count;
    }
    into
}
