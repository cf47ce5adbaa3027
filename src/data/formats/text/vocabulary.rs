//! The tokenizer of a format of texts.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use crate::data::error::DataError;
use crate::data::field_names::TOKENS;
use crate::data::intake::Intake;
use crate::data::value::FieldValue;
use crate::schema::{Dimensions, ElementType, Field};
use crate::spec::Mistake;
use crate::tokenizer::{LoadedTokenizer, TokenizerFolder};

/// The role of the tokenizer among the inputs.
const ROLE: &str = "tokenizer";

/// The tokenizer, and the field of its tokens.
pub(in crate::data::formats) struct TextVocabulary {
    pub tokenizer: LoadedTokenizer,
    pub field: Field,
}

impl TextVocabulary {
    /// Opens the tokenizer that is taken in, and keeps it beside the dataset.
    pub fn open(intake: &mut Intake<'_>) -> Result<Self, DataError> {
        let folder = TokenizerFolder::read(intake.other(ROLE)?)?;
        let tokenizer = LoadedTokenizer::of_folder(&folder)?;
        intake.keep_tokenizer(folder.adopted(&folder.parsed()?, false, tokenizer.special(), None, None)?);
        Ok(Self {
            field: Field::tokens_of(TOKENS, tokenizer.vocabulary()),
            tokenizer,
        })
    }

    /// The most tokens of a sample: what is asked for, or what the tokenizer says.
    pub fn length(&self, asked: Option<NonZeroU32>) -> Result<Option<u32>, DataError> {
        let known = self.tokenizer.max_length();
        match too_long(asked, known) {
            Some(problem) => Err(DataError::Options(format!("`max_length`: {problem}"))),
            None => Ok(asked.map(NonZeroU32::get).or(known)),
        }
    }

    /// Tokens as the dataset holds them.
    pub fn bytes(&self, ids: &[u32]) -> Vec<u8> {
        match self.field.element {
            // The field was chosen so that all of them fit.
            ElementType::U16 => ids.iter().flat_map(|id| (*id as u16).to_le_bytes()).collect(),
            _ => ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
        }
    }
}

/// A row of values, each of which has `size` bytes.
pub(in crate::data::formats) fn row(bytes: &[u8], size: usize) -> FieldValue<'_> {
    FieldValue {
        bytes,
        dimensions: Dimensions::row(bytes.len() / size),
    }
}

/// One number.
pub(in crate::data::formats) fn scalar(bytes: &[u8]) -> FieldValue<'_> {
    FieldValue {
        bytes,
        dimensions: Dimensions::SCALAR,
    }
}

fn too_long(asked: Option<NonZeroU32>, known: Option<u32>) -> Option<String> {
    let (asked, known) = (asked?, known?);
    (asked.get() > known).then(|| {
        format!(
            "samples of {asked} tokens are longer than the {known} that the tokenizer says its models take: make it \
             {known} or less"
        )
    })
}

/// What is wrong with the tokenizer among `files`.
pub(in crate::data::formats) fn look_into(
    files: &BTreeMap<String, PathBuf>,
    max_length: Option<NonZeroU32>,
) -> Vec<Mistake> {
    let Some(path) = files.get(ROLE) else {
        return Vec::new();
    };
    match LoadedTokenizer::open(path) {
        Err(error) => vec![Mistake::new([ROLE], error.to_string())],
        Ok(tokenizer) => {
            let problem = too_long(max_length, tokenizer.max_length());
            problem
                .map(|problem| Mistake::new(["max_length"], problem))
                .into_iter()
                .collect()
        }
    }
}
