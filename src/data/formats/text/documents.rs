//! Documents for language models: whole, with their lengths in bytes.

use std::path::Path;

use super::bundles::Bundles;
use super::labelled::bad;
use super::vocabulary::{TextVocabulary, row, scalar};
use crate::data::digest::RowDigest;
use crate::data::documents::DocumentSource;
use crate::data::error::DataError;
use crate::data::field_names::BYTES;
use crate::data::formats::places::RecordPlaces;
use crate::data::intake::{Intake, IntakeSample, SplitPlace};
use crate::schema::{Field, Schema};
use crate::spec::{DocumentBegin, DocumentEnd, SplitName, TextOptions};
use crate::tokenizer::{LoadedTokenizer, TokenizerError};

/// A document that waits.
struct WaitingDocument {
    origin: String,
    text: String,
    place: SplitPlace,
    split: SplitName,
}

/// Reads documents: the fields `tokens` and `bytes`.
pub(super) fn read(options: &TextOptions, input: &Path, intake: &mut Intake<'_>) -> Result<(), DataError> {
    let source = DocumentSource::find(&options.documents, input)?;
    let vocabulary = TextVocabulary::open(intake)?;
    let around = Around::new(options, &vocabulary.tokenizer)?;
    let schema = Schema::new(vec![vocabulary.field.clone(), Field::count(BYTES)]);
    intake.begin(schema.map_err(DataError::Options)?, input)?;
    let mut places = RecordPlaces::new(intake.split())?;
    let mut digest = RowDigest::default();
    let mut bundles = Bundles::new(
        |document: &WaitingDocument| {
            let encoded = around.encode(&vocabulary.tokenizer, &document.text);
            Ok(vocabulary.bytes(&encoded.map_err(|error| bad(&document.origin, error.to_string()))?))
        },
        |document: WaitingDocument, tokens: Vec<u8>, intake: &mut Intake<'_>| {
            let size = vocabulary.field.element.bytes();
            intake.count_tokens(tokens.len() / size);
            // A text of 4 GiB has more tokens than a sample can.
            let bytes = u32::try_from(document.text.len())
                .map_err(|_| bad(&document.origin, "it has 4 GiB or more: divide it".to_owned()))?;
            let bytes = bytes.to_le_bytes();
            let unit = intake.begin_document();
            digest.clear();
            digest.text(&document.text);
            let sample = IntakeSample {
                split: document.split,
                class: None,
                values: &[row(&tokens, size), scalar(&bytes)],
                origin: &document.origin,
            };
            let place = SplitPlace {
                unit: Some(unit),
                ..document.place
            };
            intake.push_placed(sample, digest.finish(), place)
        },
    );
    source.each(|found| {
        let sample = found.content.and_then(|content| {
            let (split, place) = places.streamed(content.record.as_ref(), &found.origin)?;
            Ok(WaitingDocument {
                origin: found.origin.clone(),
                text: content.text,
                place,
                split,
            })
        });
        let bytes = sample.as_ref().map_or(0, |document| document.text.len());
        bundles.push(
            sample.map_err(|problem| bad(&found.origin, problem)),
            bytes,
            intake,
        )
    })?;
    bundles.flush(intake)?;
    places.finish(intake)
}

/// What stands before and behind the tokens of each document.
struct Around {
    begin: Vec<u32>,
    end: Vec<u32>,
    /// What is put behind the text itself.
    text: String,
}

impl Around {
    fn new(options: &TextOptions, tokenizer: &LoadedTokenizer) -> Result<Self, DataError> {
        let special = tokenizer.special();
        let missing = |field: &str, name: &str| {
            DataError::Options(format!(
                "`{field}: {name}` asks for a token that the tokenizer does not have: write `{field}: none`, or give it \
                 one in its `special`"
            ))
        };
        let bos = special.bos.as_ref().map(|token| token.id);
        let eos = special.eos.as_ref().map(|token| token.id);
        // What the tokenizer itself puts before texts.
        let first = tokenizer.encode("", true)?.ids.first().copied();
        let begin = match options.begin {
            Some(DocumentBegin::None) => None,
            Some(DocumentBegin::Bos) => Some(bos.ok_or_else(|| missing("begin", "bos"))?),
            None => bos.filter(|bos| Some(*bos) == first),
        };
        let (end, text) = match &options.end {
            Some(DocumentEnd::None) => (None, String::new()),
            Some(DocumentEnd::Eos) => (Some(eos.ok_or_else(|| missing("end", "eos"))?), String::new()),
            Some(DocumentEnd::Text(text)) => (None, text.clone()),
            None => (eos, String::new()),
        };
        Ok(Self {
            begin: begin.into_iter().collect(),
            end: end.into_iter().collect(),
            text,
        })
    }

    fn encode(&self, tokenizer: &LoadedTokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let inner = match self.text.is_empty() {
            true => tokenizer.ids(text, false)?,
            false => tokenizer.ids(&format!("{text}{}", self.text), false)?,
        };
        Ok([&self.begin[..], &inner, &self.end].concat())
    }
}
