//! A tokenizer that is ready to encode.

use std::collections::HashSet;
use std::path::Path;

use tokenizers::models::ModelWrapper;
use tokenizers::normalizer::NormalizedString;
use tokenizers::tokenizer::Normalizer;
use tokenizers::{
    EncodeInput, Encoding as CrateEncoding, InputSequence, PostProcessor, PostProcessorWrapper,
    PreTokenizerWrapper, Tokenizer as CrateTokenizer, TruncationDirection, TruncationParams,
    TruncationStrategy, truncate_encodings,
};

use super::encoded::EncodedText;
use super::error::TokenizerError;
use super::folder::TokenizerFolder;
use super::special::SpecialTokens;
use crate::fingerprint::Digest;
use crate::schema::TokenVocabulary;

/// Turns texts into tokens and back. What its file says of truncation and padding is never obeyed.
pub struct LoadedTokenizer {
    crate_tokenizer: CrateTokenizer,
    special: SpecialTokens,
    size: u32,
    digest: Digest,
    max_length: Option<u32>,
    chat_template: Option<String>,
    /// The characters that there are tokens for, where one that there is none for would be lost.
    alphabet: Option<HashSet<char>>,
    /// Whether words that are encoded one by one would lose the spaces between them.
    joins_words: bool,
}

impl LoadedTokenizer {
    /// Opens a folder as Hugging Face's programs write it, or a `tokenizer.json`.
    ///
    /// # Errors
    /// It holds no tokenizer that can be used, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        Self::of_folder(&TokenizerFolder::read(path)?)
    }

    /// The tokenizer of a folder that has been read.
    ///
    /// # Errors
    /// Its file is none of a tokenizer.
    pub fn of_folder(folder: &TokenizerFolder) -> Result<Self, TokenizerError> {
        let mut crate_tokenizer = folder.parsed()?;
        crate_tokenizer
            .with_truncation(None)
            .map_err(|error| TokenizerError::file(&folder.path, error.to_string()))?;
        crate_tokenizer.with_padding(None);
        let largest = crate_tokenizer.get_vocab(true).into_values().max();
        let size = largest.and_then(|id| id.checked_add(1));
        let size = size.ok_or_else(|| TokenizerError::file(&folder.path, "it has no tokens"))?;
        let special = folder.special_tokens(&crate_tokenizer);
        Ok(Self {
            alphabet: alphabet(&crate_tokenizer),
            joins_words: joins_words(crate_tokenizer.get_pre_tokenizer()),
            special,
            size,
            digest: Digest::of_bytes(&folder.tokenizer),
            max_length: folder.max_length(),
            chat_template: folder.chat_template.clone(),
            crate_tokenizer,
        })
    }

    /// One more than the largest number of a token.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The special tokens.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// The most tokens that models for it take, where its folder tells.
    pub fn max_length(&self) -> Option<u32> {
        self.max_length
    }

    /// The template that conversations are written by, where its folder has one.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// What a dataset keeps of it.
    pub fn vocabulary(&self) -> TokenVocabulary {
        TokenVocabulary {
            size: self.size,
            digest: self.digest.to_string(),
            roles: self.special.roles(),
        }
    }

    /// The tokens of `text` alone; with `special`, those around it too. Faster than [`LoadedTokenizer::encode`].
    ///
    /// # Errors
    /// The text has a character that there is no token for, and none that stands for what is unknown.
    pub fn ids(&self, text: &str, special: bool) -> Result<Vec<u32>, TokenizerError> {
        self.check(text)?;
        let encoding = self
            .crate_tokenizer
            .encode_fast(text, special)
            .map_err(bad_text)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Bytes of the longest token, as the vocabulary writes it.
    pub fn longest_token(&self) -> usize {
        let tokens = self.crate_tokenizer.get_vocab(true);
        tokens.keys().map(String::len).max().unwrap_or(1)
    }

    /// The tokens of `text`, which is to be gone on with: those before it too, and none that ends it.
    ///
    /// # Errors
    /// As of [`LoadedTokenizer::ids`].
    pub fn prompt_ids(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = self.ids(text, true)?;
        // Where the tokenizer puts an end behind each text, the prompt is not to end.
        let end = self.special.eos.as_ref().map(|token| token.id);
        if ids.last().copied() == end && self.ids(text, false)?.last().copied() != end {
            ids.pop();
        }
        Ok(ids)
    }

    /// `text` as tokens; with `special`, with those around it.
    ///
    /// # Errors
    /// As of [`LoadedTokenizer::ids`].
    pub fn encode(&self, text: &str, special: bool) -> Result<EncodedText, TokenizerError> {
        self.check(text)?;
        let encoding = self.crate_tokenizer.encode(text, special).map_err(bad_text)?;
        Ok(encoding.into())
    }

    /// `text`, and `pair` behind it, as tokens with the special ones, all of them.
    ///
    /// # Errors
    /// As of [`LoadedTokenizer::ids`].
    pub fn encode_pair(&self, text: &str, pair: Option<&str>) -> Result<EncodedText, TokenizerError> {
        let Some(pair) = pair else {
            return self.encode(text, true);
        };
        self.check(text)?;
        self.check(pair)?;
        let encoding = self
            .crate_tokenizer
            .encode((text, pair), true)
            .map_err(bad_text)?;
        Ok(encoding.into())
    }

    /// `words`, which are a text together, as tokens with the special ones; `words` of the result are indices into
    /// them.
    ///
    /// # Errors
    /// As of [`LoadedTokenizer::ids`].
    pub fn encode_words(&self, words: &[String]) -> Result<EncodedText, TokenizerError> {
        for word in words {
            self.check(word)?;
        }
        if !self.joins_words {
            let input = EncodeInput::Single(InputSequence::from(words.to_vec()));
            return Ok(self.crate_tokenizer.encode(input, true).map_err(bad_text)?.into());
        }
        let mut encoded = self.encode(&words.join(" "), true)?;
        let mut ends = Vec::with_capacity(words.len());
        let mut end = 0;
        for word in words {
            end += word.len();
            ends.push(end);
            // The space.
            end += 1;
        }
        for ((word, (begin, end)), added) in
            encoded.words.iter_mut().zip(&encoded.offsets).zip(&encoded.added)
        {
            // A token may have the space before its word in it, so its last byte decides.
            let index = ends.partition_point(|last| last < end);
            *word = (!added && begin < end).then_some(index as u32);
        }
        Ok(encoded)
    }

    /// The same tokenizer, which cuts what is longer than `max` tokens, special ones included: of a pair, where `pairs` are
    /// read as one, the longer text. With a `stride`, a single text becomes windows of that length instead, each of which begins with the last
    /// `stride` tokens of the one before.
    ///
    /// # Errors
    /// The special tokens leave no room for text, or not for more than the stride.
    pub fn cut(&self, max: u32, stride: u32, pairs: bool) -> Result<CuttingTokenizer, TokenizerError> {
        let added = |text: &str, pair: Option<&str>| -> Result<usize, TokenizerError> {
            let encoded = self.encode_pair(text, pair)?;
            Ok(encoded.added.iter().filter(|added| **added).count())
        };
        let around = added("", pairs.then_some(""))?;
        let room = (max as usize).saturating_sub(around);
        if room <= stride as usize {
            let what = if pairs { "a pair" } else { "a text" };
            let advice = match stride {
                0 => "make `max_length` larger".to_owned(),
                _ => format!("and the stride is {stride}: make `max_length` larger, or `stride` smaller"),
            };
            let joint = if stride == 0 { ":" } else { "," };
            return Err(TokenizerError::Options(format!(
                "{max} tokens with {around} special ones leave room for {room} of {what}{joint} {advice}"
            )));
        }
        let mut bare = self.crate_tokenizer.clone();
        bare.with_post_processor(None::<PostProcessorWrapper>);
        Ok(CuttingTokenizer {
            bare,
            completing: self.crate_tokenizer.clone(),
            max: max as usize,
            stride: stride as usize,
        })
    }

    /// The text of tokens; with `skip_special`, without the special ones.
    ///
    /// # Errors
    /// The decoder refuses them.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        self.crate_tokenizer.decode(ids, skip_special).map_err(bad_text)
    }

    /// A token as the vocabulary has it.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.crate_tokenizer.id_to_token(id)
    }

    /// The number of a token of the vocabulary.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.crate_tokenizer.token_to_id(piece)
    }

    /// Whether a text can be encoded without losing a character.
    pub(super) fn check(&self, text: &str) -> Result<(), TokenizerError> {
        let Some(alphabet) = &self.alphabet else {
            return Ok(());
        };
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = self.crate_tokenizer.get_normalizer() {
            normalizer.normalize(&mut normalized).map_err(bad_text)?;
        }
        let is_lost = |character: &char| !alphabet.contains(character) && !character.is_whitespace();
        // Blanks may be what words are split at.
        let is_lost_blank = |character: &char| {
            !alphabet.contains(character) && self.crate_tokenizer.get_pre_tokenizer().is_none()
        };
        match normalized
            .get()
            .chars()
            .find(|character| is_lost(character) || is_lost_blank(character))
        {
            None => Ok(()),
            Some(character) => Err(TokenizerError::Text(format!(
                "the vocabulary has no token for {character:?} (U+{:04X}), and none for what is unknown: train the \
                 tokenizer with `special: {{unk: \"<unk>\"}}`, or on texts that have it",
                u32::from(character)
            ))),
        }
    }
}

/// A tokenizer that keeps to a length; see [`LoadedTokenizer::cut`].
///
/// The crate is asked for whole texts, which are cut afterwards: where it is told the length (version 0.23.2), it
/// encodes no more than that of each text, so that windows are missing, and the longer text of a pair is not known.
pub struct CuttingTokenizer {
    /// Without what puts special tokens around texts.
    bare: CrateTokenizer,
    /// With it.
    completing: CrateTokenizer,
    max: usize,
    stride: usize,
}

impl CuttingTokenizer {
    /// The windows of `text` with the special tokens, or its beginning alone where there is no stride; `whole` is
    /// asked whether it can be encoded at all.
    ///
    /// # Errors
    /// As of [`LoadedTokenizer::ids`].
    pub fn windows(
        &self,
        whole: &LoadedTokenizer,
        text: &str,
        pair: Option<&str>,
    ) -> Result<TextWindows, TokenizerError> {
        let alone = |text: &str| {
            whole.check(text)?;
            self.bare.encode(text, false).map_err(bad_text)
        };
        let (first, second) = (alone(text)?, pair.map(alone).transpose()?);
        let added = self.completing.get_post_processor();
        let added = added.map_or(0, |processor| processor.added_tokens(second.is_some()));
        let params = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: self.max.saturating_sub(added),
            strategy: TruncationStrategy::LongestFirst,
            stride: self.stride,
        };
        let length = first.len() + second.as_ref().map_or(0, CrateEncoding::len);
        let (first, second) = truncate_encodings(first, second, &params).map_err(bad_text)?;
        let encoding = self.completing.post_process(first, second, true);
        let mut windows = EncodedText::windows_of(encoding.map_err(bad_text)?);
        let is_cut = self.stride == 0 && length > params.max_length;
        if self.stride == 0 {
            windows.truncate(1);
        }
        Ok(TextWindows { windows, is_cut })
    }
}

/// What a [`CuttingTokenizer`] makes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextWindows {
    /// At least one.
    pub windows: Vec<EncodedText>,
    /// Whether something of the text is in none of them.
    pub is_cut: bool,
}

fn bad_text(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Text(format!("the text cannot be encoded: {error}"))
}

/// The characters of the vocabulary, where the tokenizer would pass over others without a word.
fn alphabet(tokenizer: &CrateTokenizer) -> Option<HashSet<char>> {
    let ModelWrapper::BPE(model) = tokenizer.get_model() else {
        return None;
    };
    if model.unk_token.is_some() || model.byte_fallback || has_bytes(tokenizer.get_pre_tokenizer()) {
        return None;
    }
    let pieces = tokenizer.get_vocab(true).into_keys();
    let single = pieces.filter_map(|piece| {
        let mut characters = piece.chars();
        characters.next().filter(|_| characters.next().is_none())
    });
    Some(single.collect())
}

/// Whether texts are turned into bytes before they are split, so that no character is unknown.
fn has_bytes(pre_tokenizer: Option<&PreTokenizerWrapper>) -> bool {
    match pre_tokenizer {
        Some(PreTokenizerWrapper::ByteLevel(_)) => true,
        Some(PreTokenizerWrapper::Sequence(parts)) => parts.as_ref().iter().any(|part| has_bytes(Some(part))),
        _ => false,
    }
}

/// Whether a space belongs to the word behind it, and is not added before each word.
fn joins_words(pre_tokenizer: Option<&PreTokenizerWrapper>) -> bool {
    match pre_tokenizer {
        None => true,
        Some(PreTokenizerWrapper::ByteLevel(bytes)) => !bytes.add_prefix_space,
        Some(PreTokenizerWrapper::Sequence(parts)) => {
            parts.as_ref().iter().any(|part| joins_words(Some(part)))
        }
        Some(_) => false,
    }
}
