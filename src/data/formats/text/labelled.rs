//! Texts and pairs of texts with something to be predicted for them.

use std::path::Path;

use super::bundles::Bundles;
use super::vocabulary::{TextVocabulary, row, scalar};
use crate::data::digest::RowDigest;
use crate::data::documents::{DocumentContent, DocumentSource};
use crate::data::error::DataError;
use crate::data::field_names::{DOCUMENT, SEGMENTS};
use crate::data::formats::places::RecordPlaces;
use crate::data::intake::{Intake, IntakeSample, SplitPlace};
use crate::data::labels::Classes;
use crate::data::record_targets::{RecordTarget, RecordTargets};
use crate::data::value::FieldValue;
use crate::schema::{Field, Schema};
use crate::spec::{RecordOptions, SplitName, TextOptions, counted_that};
use crate::tokenizer::{CuttingTokenizer, EncodedText, TokenizerError};

/// A sample that waits.
struct WaitingSample {
    origin: String,
    text: String,
    pair: Option<String>,
    /// The number of its target.
    target: usize,
    place: SplitPlace,
    split: SplitName,
}

/// Reads samples: the fields `tokens`, `segments` of pairs, what is to be predicted, and `document` of windows.
///
/// The input is read twice, first for what is to be predicted, so that texts need not be kept.
pub(super) fn read(
    options: &TextOptions,
    input: &Path,
    intake: &mut Intake<'_>,
) -> Result<Option<Classes>, DataError> {
    let source = DocumentSource::find(&options.documents, input)?;
    let records = options.documents.records();
    let labelled = records.and_then(|records| Some((records, records.label.as_ref()?)));
    let Some((records, label)) = labelled else {
        return Err(DataError::Options(
            "there is nothing to be predicted for the texts".to_owned(),
        ));
    };
    let vocabulary = TextVocabulary::open(intake)?;
    let length = vocabulary.length(options.max_length)?;
    let stride = options.stride.map_or(0, std::num::NonZeroU32::get);
    let cutting = length
        .map(|length| vocabulary.tokenizer.cut(length, stride))
        .transpose()?;

    let mut targets = RecordTargets::new(records.task, label.as_slice(), &records.separator);
    let mut taken: Vec<Result<usize, String>> = Vec::new();
    source.each(|found| {
        intake.tick()?;
        let record = found
            .content
            .and_then(|content| content.record.ok_or_else(no_record));
        taken.push(record.and_then(|record| targets.take(&record)));
        Ok(())
    })?;
    let (field, targets, classes) = targets.finish(input, intake)?;
    intake.begin(schema(options, records, &vocabulary, field)?, input)?;

    let mut places = RecordPlaces::new(intake.split())?;
    let mut digest = RowDigest::default();
    let mut cut = 0u64;
    let mut bundles = Bundles::new(
        |sample: &WaitingSample| {
            let encoded = encode(&vocabulary, cutting.as_ref(), sample);
            encoded.map_err(|error| bad(&sample.origin, error.to_string()))
        },
        |sample: WaitingSample, (windows, is_cut): (Vec<EncodedText>, bool), intake: &mut Intake<'_>| {
            cut += u64::from(is_cut);
            digest.clear();
            digest.text(&sample.text);
            if let Some(pair) = &sample.pair {
                digest.text(pair);
            }
            let target = targets.of(sample.target);
            take(
                &vocabulary,
                options,
                &sample,
                &windows,
                &target,
                digest.finish(),
                intake,
            )
        },
    );
    let mut taken = taken.into_iter();
    source.each(|found| {
        let target = taken
            .next()
            .unwrap_or_else(|| Err("the file changed while it was read".to_owned()));
        let sample = found.content.and_then(|content| {
            let (split, place) = places.streamed(content.record.as_ref(), &found.origin)?;
            let DocumentContent { text, pair, .. } = content;
            Ok(WaitingSample {
                origin: found.origin.clone(),
                text,
                pair,
                target: target?,
                place,
                split,
            })
        });
        let bytes = sample.as_ref().map_or(0, |sample| sample.text.len());
        bundles.push(
            sample.map_err(|problem| bad(&found.origin, problem)),
            bytes,
            intake,
        )
    })?;
    bundles.flush(intake)?;
    places.finish(intake)?;
    if cut > 0 {
        intake.warn(format!(
            "{} longer than {} tokens and cut: make `max_length` larger where the tokenizer allows it, or \
             add `stride` to have the rest as samples of their own",
            counted_that(cut, "text", ["is", "are"]),
            length.unwrap_or_default()
        ));
    }
    Ok(classes)
}

fn no_record() -> String {
    "it is no record".to_owned()
}

fn schema(
    options: &TextOptions,
    records: &RecordOptions,
    vocabulary: &TextVocabulary,
    target: Field,
) -> Result<Schema, DataError> {
    let mut fields = vec![vocabulary.field.clone()];
    if records.pair.is_some() {
        fields.push(Field::segments(SEGMENTS));
    }
    fields.push(target);
    if options.stride.is_some() {
        fields.push(Field::count(DOCUMENT));
    }
    Schema::new(fields).map_err(DataError::Options)
}

/// The windows of a text, and whether something of it is in none of them.
fn encode(
    vocabulary: &TextVocabulary,
    cutting: Option<&CuttingTokenizer>,
    sample: &WaitingSample,
) -> Result<(Vec<EncodedText>, bool), TokenizerError> {
    let (text, pair) = (sample.text.as_str(), sample.pair.as_deref());
    match cutting {
        Some(cutting) => {
            let found = cutting.windows(&vocabulary.tokenizer, text, pair)?;
            Ok((found.windows, found.is_cut))
        }
        None => Ok((vec![vocabulary.tokenizer.encode_pair(text, pair)?], false)),
    }
}

fn take(
    vocabulary: &TextVocabulary,
    options: &TextOptions,
    sample: &WaitingSample,
    windows: &[EncodedText],
    target: &RecordTarget,
    digest: [u8; 16],
    intake: &mut Intake<'_>,
) -> Result<(), DataError> {
    let unit = intake.begin_document();
    for (number, window) in windows.iter().enumerate() {
        let tokens = vocabulary.bytes(&window.ids);
        let document = unit.to_le_bytes();
        let mut values = vec![row(&tokens, vocabulary.field.element.bytes())];
        if sample.pair.is_some() {
            values.push(row(&window.segments, 1));
        }
        let class = match target {
            RecordTarget::Class(class) => Some(*class),
            RecordTarget::Value(bytes) => {
                values.push(target_value(intake, bytes));
                None
            }
        };
        if options.stride.is_some() {
            values.push(scalar(&document));
        }
        let origin = match number {
            0 => sample.origin.clone(),
            _ => format!("{}#{}", sample.origin, number + 1),
        };
        let placed = SplitPlace {
            unit: Some(unit),
            ..sample.place
        };
        intake.count_tokens(window.ids.len());
        let sample = IntakeSample {
            split: sample.split,
            class,
            values: &values,
            origin: &origin,
        };
        intake.push_placed(sample, digest, placed)?;
    }
    Ok(())
}

/// Labels or numbers, as the schema has them.
fn target_value<'a>(intake: &Intake<'_>, bytes: &'a [u8]) -> FieldValue<'a> {
    let size = intake.target().map_or(1, |target| target.element.bytes());
    row(bytes, size)
}

/// What is wrong with what comes from `origin`.
pub(in crate::data::formats) fn bad(origin: &str, problem: String) -> DataError {
    DataError::Input {
        place: format!("`{origin}`"),
        problem,
    }
}
