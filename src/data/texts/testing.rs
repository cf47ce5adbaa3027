//! Tiny datasets of texts for tests.

use std::path::Path;

use crate::data::{DatasetWriter, FieldValue};
use crate::random::{Purpose, Stream};
use crate::schema::{Dimensions, Field, Schema, TokenRoles, TokenVocabulary};
use crate::spec::SplitName;

/// A text, and what is to be predicted for it.
#[derive(Clone, Debug)]
pub struct TinyText {
    pub tokens: Vec<u32>,
    pub target: TinyTarget,
}

/// What is to be predicted for a text.
#[derive(Clone, Debug)]
pub enum TinyTarget {
    /// The next tokens.
    Tokens,
    /// Those of them that have a 1.
    Masked(Vec<u8>),
    /// A class for each token, or [`crate::schema::NO_CLASS`].
    Classes(Vec<u32>),
    /// A class.
    Class(u32),
    /// Numbers.
    Numbers(Vec<f32>),
    /// The text is two, of which the first has so many tokens, and how alike these are, where that is known.
    Pair(usize, Option<f32>),
}

impl TinyText {
    /// A document.
    pub fn document(tokens: &[u32]) -> Self {
        Self {
            tokens: tokens.to_vec(),
            target: TinyTarget::Tokens,
        }
    }
}

/// The tags of the tiny datasets.
pub const TAGS: [&str; 5] = ["O", "B-ant", "B-bee", "I-ant", "I-bee"];

/// Writes a dataset of texts, which have targets of one kind; each token stands for two bytes.
pub fn write_texts(folder: &Path, vocabulary: u32, texts: &[(SplitName, TinyText)]) {
    write_texts_with(folder, vocabulary, texts, TokenRoles::default());
}

/// The same, where some tokens have a meaning of their own.
pub fn write_texts_with(folder: &Path, vocabulary: u32, texts: &[(SplitName, TinyText)], roles: TokenRoles) {
    std::fs::create_dir_all(folder).unwrap();
    let vocabulary = TokenVocabulary {
        size: vocabulary,
        digest: "the digest of a tokenizer".to_owned(),
        roles,
    };
    let owned = |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
    let tokens = Field::tokens_of("tokens", vocabulary);
    let second = match &texts[0].1.target {
        TinyTarget::Tokens => Field::count("bytes"),
        TinyTarget::Masked(_) => Field::token_mask("loss_mask"),
        TinyTarget::Classes(_) => Field::token_classes("tags", owned(&TAGS)),
        TinyTarget::Class(_) => Field::class("class", owned(&["ant", "bee", "cat"])),
        TinyTarget::Numbers(numbers) => Field::numbers("targets", owned(&["x", "y"][..numbers.len()])),
        TinyTarget::Pair(..) => Field::segments("texts"),
    };
    let mut fields = vec![tokens, second];
    if let TinyTarget::Pair(_, Some(_)) = &texts[0].1.target {
        fields.push(Field::numbers("targets", owned(&["alike"])));
    }
    let schema = Schema::new(fields).unwrap();
    let mut writer = DatasetWriter::create(folder, schema).unwrap();
    let wide =
        |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|number| number.to_le_bytes()).collect() };
    for (index, (_, text)) in texts.iter().enumerate() {
        let ids: Vec<u8> = text
            .tokens
            .iter()
            .flat_map(|id| u16::try_from(*id).unwrap().to_le_bytes())
            .collect();
        let (bytes, dimensions) = match &text.target {
            TinyTarget::Tokens => (wide(&[2 * text.tokens.len() as u32]), Dimensions::SCALAR),
            TinyTarget::Masked(mask) => (mask.clone(), Dimensions::row(mask.len())),
            TinyTarget::Classes(classes) => (wide(classes), Dimensions::row(classes.len())),
            TinyTarget::Class(class) => (wide(&[*class]), Dimensions::SCALAR),
            TinyTarget::Numbers(numbers) => {
                let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
                (bytes.collect(), Dimensions::row(numbers.len()))
            }
            TinyTarget::Pair(first, _) => {
                let of_texts = (0..text.tokens.len()).map(|token| u8::from(token >= *first));
                (of_texts.collect(), Dimensions::row(text.tokens.len()))
            }
        };
        let number = match &text.target {
            TinyTarget::Pair(_, number) => number.map(f32::to_le_bytes),
            _ => None,
        };
        let mut values = vec![
            FieldValue {
                bytes: &ids,
                dimensions: Dimensions::row(text.tokens.len()),
            },
            FieldValue {
                bytes: &bytes,
                dimensions,
            },
        ];
        values.extend(number.as_ref().map(|number| FieldValue {
            bytes: number,
            dimensions: Dimensions::row(1),
        }));
        writer.push(&values, &format!("text {index}")).unwrap();
    }
    let splits: Vec<SplitName> = texts.iter().map(|(split, _)| *split).collect();
    writer.finish(&splits).unwrap();
}

/// `count` documents of lengths from `shortest` to twice that, of tokens that mostly follow from the ones before.
pub fn documents(split: SplitName, vocabulary: u32, count: u32, shortest: u32) -> Vec<(SplitName, TinyText)> {
    let document = |index: u32| {
        let mut stream = Stream::new(5, Purpose::Bootstrap, split as u32, index);
        let length = shortest + stream.below(shortest + 1);
        let mut tokens = vec![stream.below(vocabulary)];
        for _ in 1..length {
            let last = tokens[tokens.len() - 1];
            tokens.push(match stream.bernoulli(0.8) {
                true => (last * 5 + 1) % vocabulary,
                false => stream.below(vocabulary),
            });
        }
        (split, TinyText::document(&tokens))
    };
    (0..count).map(document).collect()
}
