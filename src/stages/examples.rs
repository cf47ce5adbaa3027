//! Samples of a dataset of texts, token by token, for people to look at.

use std::path::Path;

use serde::Serialize;

use crate::data::{Dataset, FILE_NAME, TOKENIZER_FOLDER};
use crate::schema::{Field, FieldKind, FieldRole, NO_CLASS};
use crate::spec::SplitName;
use crate::tokenizer::LoadedTokenizer;

/// A sample of a dataset of texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextExample {
    /// Its split.
    pub split: SplitName,
    /// Where it comes from.
    pub origin: String,
    /// What is to be predicted for it as a whole, where that is a class.
    pub class: Option<String>,
    /// The labels that apply to it, where any can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// The numbers that are to be predicted for it; empty where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<f32>,
    /// Its tokens.
    pub tokens: Vec<TokenExample>,
}

/// A token of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenExample {
    /// Its number.
    pub id: u32,
    /// As the vocabulary has it.
    pub piece: String,
    /// Whether it is learnt, where that differs from token to token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learnt: Option<bool>,
    /// What it is classified as, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// The first `count` samples of each split of the dataset in `folder`, at most `most` tokens of each.
///
/// # Errors
/// A sentence: it is no dataset of texts.
pub fn text_examples(folder: &Path, count: usize, most: usize) -> Result<Vec<TextExample>, String> {
    if !folder.join(FILE_NAME).is_file() {
        return Err("it has made no dataset: `erlen get` copies what it has made".to_owned());
    }
    let dataset = Dataset::open(folder).map_err(|error| error.to_string())?;
    let fields = dataset.schema().fields();
    let of_kind = |kind: FieldKind| fields.iter().position(|field| field.kind == kind);
    let Some(tokens) = of_kind(FieldKind::Tokens) else {
        return Err("its samples are no texts, and only those of texts are shown token by token".to_owned());
    };
    let mask = of_kind(FieldKind::TokenMask);
    let is_tag = |field: &Field| {
        field.kind == FieldKind::Class && field.role == FieldRole::Target && !field.dimensions.is_fixed()
    };
    let tags = fields.iter().position(is_tag);
    let tokenizer =
        LoadedTokenizer::open(&folder.join(TOKENIZER_FOLDER)).map_err(|error| error.to_string())?;
    let mut examples = Vec::new();
    for split in dataset.splits().filter_map(|name| dataset.split(name)) {
        let numbers = |field: usize, index: usize| -> Vec<u32> {
            let width = fields[field].element.bytes();
            let bytes = split.value(field, index).bytes;
            let number = |bytes: &[u8]| {
                let mut whole = [0; 4];
                whole[..bytes.len()].copy_from_slice(bytes);
                u32::from_le_bytes(whole)
            };
            bytes.chunks(width).take(most).map(number).collect()
        };
        for index in 0..split.len().min(count) {
            let masks = mask.map(|mask| numbers(mask, index));
            let tagged = tags.map(|tags| (numbers(tags, index), &fields[tags].names));
            let shown = numbers(tokens, index).into_iter().enumerate().map(|(at, id)| {
                let tag = tagged.as_ref().and_then(|(tags, names)| {
                    let tag = *tags.get(at)?;
                    names.get(tag as usize).filter(|_| tag != NO_CLASS).cloned()
                });
                TokenExample {
                    id,
                    piece: tokenizer.piece(id).unwrap_or_default(),
                    learnt: masks.as_ref().and_then(|masks| Some(*masks.get(at)? == 1)),
                    tag,
                }
            });
            let class = match tags {
                None => split.class(index),
                Some(_) => None,
            };
            let target = split.target();
            let mut values = match target.kind {
                FieldKind::Labels | FieldKind::Numbers => vec![0.0; target.dimensions.len().unwrap_or(0)],
                _ => Vec::new(),
            };
            if !values.is_empty() {
                let read = split.target_values(index, &mut values);
                read.map_err(|error| error.to_string())?;
            }
            let labels = (target.kind == FieldKind::Labels).then(|| {
                let named = target.names.iter().zip(&values);
                let applying = named.filter(|(_, value)| **value != 0.0);
                applying.map(|(name, _)| name.clone()).collect()
            });
            examples.push(TextExample {
                split: split.name(),
                origin: split.origin(index),
                class: class.and_then(|class| dataset.target().names.get(class as usize).cloned()),
                numbers: match labels {
                    Some(_) => Vec::new(),
                    None => values,
                },
                labels,
                tokens: shown.collect(),
            });
        }
    }
    Ok(examples)
}
