//! A text as tokens.

use std::ops::Range;

use tokenizers::Encoding as CrateEncoding;

/// A text, or a pair of them, as tokens; all fields but the last one have an item a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedText {
    /// The tokens.
    pub ids: Vec<u32>,
    /// 0 for what belongs to the first text, 1 for the second.
    pub segments: Vec<u8>,
    /// Which bytes of its text a token stands for; an empty range for special tokens.
    pub offsets: Vec<(usize, usize)>,
    /// The word that a token is of: of a text that was given as words their indices, else as the tokenizer splits it;
    /// nothing for special tokens.
    pub words: Vec<Option<u32>>,
    /// Whether a token was added around the text.
    pub added: Vec<bool>,
}

impl EncodedText {
    /// What the crate found. Takes its windows apart: the first is the text's beginning.
    pub(super) fn windows_of(mut encoding: CrateEncoding) -> Vec<Self> {
        let overflowing = encoding.take_overflowing();
        std::iter::once(encoding)
            .chain(overflowing)
            .map(Self::from)
            .collect()
    }
}

impl From<CrateEncoding> for EncodedText {
    fn from(encoding: CrateEncoding) -> Self {
        Self {
            ids: encoding.get_ids().to_vec(),
            // There are two texts at most.
            segments: encoding
                .get_type_ids()
                .iter()
                .map(|segment| *segment as u8)
                .collect(),
            offsets: encoding.get_offsets().to_vec(),
            words: encoding.get_word_ids().to_vec(),
            added: encoding
                .get_special_tokens_mask()
                .iter()
                .map(|mask| *mask == 1)
                .collect(),
        }
    }
}

impl EncodedText {
    /// For each token, 1 where it is of one of `ranges` of the text's bytes, from the token with its first byte to the
    /// one with its last; else 0. That is the mask that transformers makes of what assistants say.
    pub fn within(&self, ranges: &[Range<usize>]) -> Vec<u8> {
        let mut mask = vec![0; self.ids.len()];
        let holding = |byte: usize| {
            let mut offsets = self.offsets.iter();
            offsets.position(|(begin, end)| (*begin..*end).contains(&byte))
        };
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            if let (Some(first), Some(last)) = (holding(range.start), holding(range.end - 1)) {
                mask[first..=last].fill(1);
            }
        }
        mask
    }
}
