//! Training: from documents to a tokenizer.

mod lattice;
mod merges;
mod pipeline;
mod unigram;
mod words;

use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{AddedToken, Tokenizer as CrateTokenizer};

use super::error::TokenizerError;
use super::special::SpecialTokens;
use crate::spec::{SpecialTokenOptions, Tokenizer, TokenizerModel};
use merges::{MergeOptions, MergedPieces, merge_pieces};
use unigram::{UnigramSettings, unigram_pieces};

pub(super) use pipeline::add_templates;
pub use words::WordCounts;

/// The mark that WordPiece puts before a piece which goes on.
const CONTINUATION: &str = "##";

/// The longest word that WordPiece looks at, in characters; BERT's.
const LONGEST_WORD: usize = 100;

/// A tokenizer that is to be trained.
pub struct TokenizerTraining<'a> {
    model: TokenizerModel<'a>,
    special: SpecialTokenOptions,
    add_bos: bool,
    add_eos: bool,
    untrained: CrateTokenizer,
}

impl<'a> TokenizerTraining<'a> {
    /// The training that `options` ask for; nothing where they take a tokenizer that is there.
    ///
    /// # Errors
    /// A part of the tokenizer cannot be made.
    pub fn new(options: &'a Tokenizer) -> Result<Option<Self>, TokenizerError> {
        let Some(model) = options.model() else {
            return Ok(None);
        };
        let special = options.special_tokens();
        let untrained = pipeline::untrained(&model).map_err(failed)?;
        Ok(Some(Self {
            model,
            special,
            add_bos: options.add_bos,
            add_eos: options.add_eos,
            untrained,
        }))
    }

    /// Adds the words of `documents` to `counts`, on all threads of the current pool.
    ///
    /// # Errors
    /// A document cannot be split into words.
    pub fn count(&self, documents: &[String], counts: &mut WordCounts) -> Result<(), TokenizerError> {
        let whole = matches!(self.model, TokenizerModel::Char(_));
        counts.add(&self.untrained, documents, whole)
    }

    /// The tokenizer that the words of the documents make.
    ///
    /// # Errors
    /// There are no words, or the vocabulary has no room for what has to be in it.
    pub fn finish(self, counts: WordCounts) -> Result<(CrateTokenizer, SpecialTokens), TokenizerError> {
        if counts.is_empty() {
            return Err(TokenizerError::Options(
                "the documents hold no text to train a tokenizer on".to_owned(),
            ));
        }
        let special: Vec<String> = self.special.all().into_iter().map(str::to_owned).collect();
        let unk = self.special.unk.clone();
        let model = train_model(&self.model, counts, &special, unk)?;
        let mut tokenizer = self.untrained;
        tokenizer.with_model(model);
        let added = special.iter().map(|token| AddedToken::from(token.as_str(), true));
        tokenizer.add_special_tokens(added).map_err(failed)?;
        let tokens = SpecialTokens::of_options(&self.special, |token| tokenizer.token_to_id(token));
        tokens.put_around(&mut tokenizer, self.add_bos, self.add_eos)?;
        Ok((tokenizer, tokens))
    }
}

/// The crate's errors, which are sentences.
pub(super) fn failed(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Options(format!("the tokenizer cannot be made: {error}"))
}

fn train_model(
    model: &TokenizerModel<'_>,
    counts: WordCounts,
    special: &[String],
    unk: Option<String>,
) -> Result<ModelWrapper, TokenizerError> {
    let words = counts.sorted();
    Ok(match model {
        TokenizerModel::Bpe(options) => {
            let merged = merge_pieces(
                &words,
                &MergeOptions {
                    vocab_size: options.vocab_size.get() as usize,
                    min_frequency: options.min_frequency,
                    special,
                    alphabet: if options.byte_level {
                        pipeline::byte_alphabet()
                    } else {
                        Vec::new()
                    },
                    continuation: None,
                },
            )?;
            byte_pairs(merged, unk.filter(|_| !options.byte_level))?
        }
        TokenizerModel::Char(options) => {
            let merged = merge_pieces(
                &words,
                &MergeOptions {
                    vocab_size: 0,
                    min_frequency: 0,
                    special,
                    alphabet: options.alphabet.chars().collect(),
                    continuation: None,
                },
            )?;
            byte_pairs(merged, unk)?
        }
        TokenizerModel::WordPiece(options) => {
            let merged = merge_pieces(
                &words,
                &MergeOptions {
                    vocab_size: options.vocab_size.get() as usize,
                    min_frequency: options.min_frequency,
                    special,
                    alphabet: Vec::new(),
                    continuation: Some(CONTINUATION),
                },
            )?;
            let vocabulary: Vocab = merged.pieces.into_iter().zip(0u32..).collect();
            let model = WordPiece::builder()
                .vocab(vocabulary)
                .unk_token(unk.unwrap_or_default())
                .continuing_subword_prefix(CONTINUATION.to_owned())
                .max_input_chars_per_word(LONGEST_WORD);
            model.build().map_err(failed)?.into()
        }
        TokenizerModel::Unigram(options) => {
            let pieces = unigram_pieces(
                &words,
                &UnigramSettings {
                    vocab_size: options.vocab_size.get() as usize,
                    max_piece_length: options.max_piece_length.get() as usize,
                    special,
                },
            )?;
            let unk = unk.and_then(|unk| special.iter().position(|token| *token == unk));
            Unigram::from(pieces, unk, false).map_err(failed)?.into()
        }
        TokenizerModel::Word(options) => {
            let mut words = words;
            words.sort_by(|(left, fewer), (right, more)| more.cmp(fewer).then_with(|| left.cmp(right)));
            let frequent = words
                .into_iter()
                .filter(|(word, count)| *count >= options.min_frequency && !special.contains(word))
                .map(|(word, _)| word);
            let kept = special.iter().cloned().chain(frequent);
            let vocabulary: Vocab = kept.take(options.vocab_size.get() as usize).zip(0u32..).collect();
            let model = WordLevel::builder()
                .vocab(vocabulary)
                .unk_token(unk.unwrap_or_default());
            model.build().map_err(failed)?.into()
        }
    })
}

/// A BPE model of pieces and merges.
fn byte_pairs(merged: MergedPieces, unk: Option<String>) -> Result<ModelWrapper, TokenizerError> {
    let MergedPieces { pieces, merges } = merged;
    let merges = merges
        .into_iter()
        .map(|(left, right)| (pieces[left as usize].clone(), pieces[right as usize].clone()))
        .collect();
    let vocabulary: Vocab = pieces.iter().cloned().zip(0u32..).collect();
    let mut model = BPE::builder().vocab_and_merges(vocabulary, merges);
    if let Some(unk) = unk {
        model = model.unk_token(unk);
    }
    Ok(model.build().map_err(failed)?.into())
}
