//! Texts and pairs of texts with something to be predicted for them.

use std::path::Path;

use super::bundles::Bundles;
use super::vocabulary::{TextVocabulary, row, scalar};
use crate::data::digest::RowDigest;
use crate::data::documents::{DocumentContent, DocumentSource};
use crate::data::error::DataError;
use crate::data::field_names::{DOCUMENT, SEGMENTS, TEXTS};
use crate::data::formats::places::RecordPlaces;
use crate::data::intake::{Intake, IntakeSample, SplitPlace};
use crate::data::labels::Classes;
use crate::data::record_targets::{RecordTarget, RecordTargets};
use crate::data::value::FieldValue;
use crate::schema::{Field, Schema, TextFields};
use crate::spec::{RecordOptions, SplitName, TargetKind, TextOptions, counted_that};
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
    let labelled = records.filter(|records| records.label.is_some() || records.compare);
    let Some(records) = labelled else {
        return Err(DataError::Options(
            "there is nothing to be predicted for the texts".to_owned(),
        ));
    };
    let vocabulary = TextVocabulary::open(intake)?;
    let length = vocabulary.length(options.max_length)?;
    let stride = options.stride.map_or(0, std::num::NonZeroU32::get);
    // Texts that are compared are read apart, each with special tokens of its own.
    let as_one = records.pair.is_some() && !records.compare;
    let cutting = length
        .map(|length| vocabulary.tokenizer.cut(length, stride, as_one))
        .transpose()?;

    let mut taken: Vec<Result<usize, String>> = Vec::new();
    let (field, targets, classes) = match &records.label {
        Some(label) => {
            let task = match records.compare {
                true => TargetKind::Similarity,
                false => records.task,
            };
            let mut targets = RecordTargets::new(task, label.as_slice(), &records.separator);
            source.each(|found| {
                intake.tick()?;
                let record = found
                    .content
                    .and_then(|content| content.record.ok_or_else(no_record));
                taken.push(record.and_then(|record| targets.take(&record)));
                Ok(())
            })?;
            let (field, targets, classes) = targets.finish(input, intake)?;
            (Some(field), Some(targets), classes)
        }
        None => (None, None, None),
    };
    let is_labelled = targets.is_some();
    intake.begin(schema(options, records, &vocabulary, length, field)?, input)?;

    let mut places = RecordPlaces::new(intake.split())?;
    let mut digest = RowDigest::default();
    let mut cut = 0u64;
    let mut bundles = Bundles::new(
        |sample: &WaitingSample| {
            let encoded = match records.compare {
                true => encode_apart(&vocabulary, cutting.as_ref(), sample),
                false => encode(&vocabulary, cutting.as_ref(), sample),
            };
            let encoded = encoded.map_err(|error| bad(&sample.origin, error.to_string()))?;
            match records.compare && !encoded.0.iter().all(has_both) {
                true => Err(bad(&sample.origin, "one of its texts has no token".to_owned())),
                false => Ok(encoded),
            }
        },
        |sample: WaitingSample, (windows, own): (Vec<EncodedText>, u64), intake: &mut Intake<'_>| {
            cut += own;
            digest.clear();
            digest.text(&sample.text);
            if let Some(pair) = &sample.pair {
                digest.text(pair);
            }
            let target = targets.as_ref().map(|targets| targets.of(sample.target));
            take(
                &vocabulary,
                options,
                &sample,
                &windows,
                target.as_ref(),
                digest.finish(),
                intake,
            )
        },
    );
    let mut taken = taken.into_iter();
    source.each(|found| {
        let target = match is_labelled {
            true => taken
                .next()
                .unwrap_or_else(|| Err("the file changed while it was read".to_owned())),
            false => Ok(0),
        };
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
        // Pairs do not become several samples.
        let (what, advice) = match (&records.pair, records.compare) {
            (None, _) => ("text", "add `stride` to have the rest as samples of their own"),
            (Some(_), false) => ("pair", "shorten the longer text"),
            (Some(_), true) => ("text", "shorten what is cut"),
        };
        intake.warn(format!(
            "{} longer than {} tokens and cut: make `max_length` larger where the tokenizer allows it, or {advice}",
            counted_that(cut, what, ["is", "are"]),
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
    length: Option<u32>,
    target: Option<Field>,
) -> Result<Schema, DataError> {
    // Whoever is asked about other texts later finds them by their names, and cuts them alike.
    let texts = TextFields {
        text: records.text.clone(),
        pair: records.pair.clone(),
    };
    let field = vocabulary.field.clone().with_max_length(length);
    let mut fields = vec![field.with_texts(texts)];
    if records.pair.is_some() {
        fields.push(Field::segments(if records.compare { TEXTS } else { SEGMENTS }));
    }
    fields.extend(target);
    if options.stride.is_some() {
        fields.push(Field::count(DOCUMENT));
    }
    Schema::new(fields).map_err(DataError::Options)
}

/// The windows of a text, and of how many texts (or pairs) something is in none of them.
fn encode(
    vocabulary: &TextVocabulary,
    cutting: Option<&CuttingTokenizer>,
    sample: &WaitingSample,
) -> Result<(Vec<EncodedText>, u64), TokenizerError> {
    let (text, pair) = (sample.text.as_str(), sample.pair.as_deref());
    match cutting {
        Some(cutting) => {
            let found = cutting.windows(&vocabulary.tokenizer, text, pair)?;
            Ok((found.windows, found.is_cut.into()))
        }
        None => Ok((vec![vocabulary.tokenizer.encode_pair(text, pair)?], 0)),
    }
}

/// The tokens of both texts, each as if it were alone, one behind the other, and of how many of them something is missing.
fn encode_apart(
    vocabulary: &TextVocabulary,
    cutting: Option<&CuttingTokenizer>,
    sample: &WaitingSample,
) -> Result<(Vec<EncodedText>, u64), TokenizerError> {
    let (mut both, mut cut) = (EncodedText::default(), 0);
    let texts = [Some(sample.text.as_str()), sample.pair.as_deref()];
    for (number, text) in (0..).zip(texts.into_iter().flatten()) {
        let own = match cutting {
            Some(cutting) => {
                let found = cutting.windows(&vocabulary.tokenizer, text, None)?;
                cut += u64::from(found.is_cut || found.windows.len() > 1);
                found.windows.into_iter().next().unwrap_or_default()
            }
            None => vocabulary.tokenizer.encode_pair(text, None)?,
        };
        both.segments.extend(own.ids.iter().map(|_| number));
        both.ids.extend(own.ids);
    }
    Ok((vec![both], cut))
}

fn has_both(encoded: &EncodedText) -> bool {
    encoded.segments.first() == Some(&0) && encoded.segments.last() == Some(&1)
}

fn take(
    vocabulary: &TextVocabulary,
    options: &TextOptions,
    sample: &WaitingSample,
    windows: &[EncodedText],
    target: Option<&RecordTarget>,
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
            Some(RecordTarget::Class(class)) => Some(*class),
            Some(RecordTarget::Value(bytes)) => {
                values.push(target_value(intake, bytes));
                None
            }
            None => None,
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
