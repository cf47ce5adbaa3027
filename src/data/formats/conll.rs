//! Words with tags.

mod sentences;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::text::bundles::Bundles;
use super::text::vocabulary::{TextVocabulary, look_into, row};
use super::{FormatReader, SplitInput};
use crate::data::digest::RowDigest;
use crate::data::documents::find_files;
use crate::data::error::DataError;
use crate::data::field_names::{TAGS, WORDS};
use crate::data::intake::{Intake, IntakeSample, SplitPlace};
use crate::data::labels::Classes;
use crate::schema::{Field, NO_CLASS, Schema};
use crate::spec::{ConllOptions, Mistake, SplitName, counted_that};
use sentences::{Sentence, each_sentence};

/// The tag of words that are of nothing.
const OUTSIDE: &str = "O";

impl FormatReader for ConllOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        self.read_all(&[SplitInput::whole(input)], intake)
    }

    /// Reads the inputs twice, first for the tags that there are.
    fn read_all(
        &self,
        inputs: &[SplitInput<'_>],
        intake: &mut Intake<'_>,
    ) -> Result<Option<Classes>, DataError> {
        let mut files = Vec::new();
        for input in inputs {
            let usual = [".conll", ".iob", ".bio", ".txt"];
            files.push((input, find_files(input.path, self.files.as_deref(), &usual)?));
        }
        let mut tags = BTreeSet::new();
        let mut problem = None;
        for (_, files) in &files {
            for (path, name) in files {
                each_sentence(self, path, name, |sentence| {
                    intake.tick()?;
                    match sentence {
                        Ok(sentence) => tags.extend(sentence.tags),
                        Err(found) => problem = problem.take().or(Some(found)),
                    }
                    Ok(())
                })?;
            }
        }
        if tags.is_empty() {
            let place = inputs.first().map_or(Path::new(""), |input| input.path);
            let none = || DataError::input(place, "there is no word with a tag");
            return Err(problem.unwrap_or_else(none));
        }
        let is_outside = tags.remove(OUTSIDE).then(|| OUTSIDE.to_owned());
        let tags: Vec<String> = is_outside.into_iter().chain(tags).collect();
        let numbers: BTreeMap<String, u32> = tags.iter().cloned().zip(0..).collect();

        let vocabulary = TextVocabulary::open(intake)?;
        let length = vocabulary.length(self.max_length)?;
        let schema = Schema::new(vec![
            vocabulary.field.clone().with_max_length(length),
            Field::token_classes(TAGS, tags),
            Field::token_counts(WORDS),
        ]);
        let schema = schema.map_err(DataError::Options)?;
        let mut lost = 0;
        for (input, files) in &files {
            intake.begin_input(input.split);
            intake.begin(schema.clone(), input.path)?;
            for (path, name) in files {
                lost += read_file(self, &vocabulary, length, &numbers, (path, name), intake)?;
            }
        }
        if lost > 0 {
            intake.warn(format!(
                "{} left out that {} behind the first {} tokens of a sentence: make `max_length` larger \
                 where the tokenizer allows it, or divide the sentences",
                counted_that(lost, "word", ["is", "are"]),
                if lost == 1 { "stands" } else { "stand" },
                length.unwrap_or_default()
            ));
        }
        Ok(None)
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>) -> Vec<Mistake> {
        look_into(files, self.max_length)
    }
}

/// A sentence as tokens.
struct TaggedTokens {
    ids: Vec<u32>,
    /// The tag of each first token of a word, else [`NO_CLASS`].
    tags: Vec<u32>,
    /// The word of each token, or [`NO_CLASS`].
    words: Vec<u32>,
    /// Words that were left out.
    lost: usize,
}

/// Reads a file; how many words were left out.
fn read_file(
    options: &ConllOptions,
    vocabulary: &TextVocabulary,
    length: Option<u32>,
    numbers: &BTreeMap<String, u32>,
    (path, name): (&Path, &str),
    intake: &mut Intake<'_>,
) -> Result<usize, DataError> {
    let mut lost = 0;
    let mut digest = RowDigest::default();
    let bytes =
        |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|number| number.to_le_bytes()).collect() };
    let mut bundles = Bundles::new(
        |sentence: &Sentence| encode(vocabulary, length, numbers, sentence),
        |sentence: Sentence, tokens: TaggedTokens, intake: &mut Intake<'_>| {
            lost += tokens.lost;
            digest.clear();
            for word in &sentence.words {
                digest.text(word);
            }
            intake.count_tokens(tokens.ids.len());
            let ids = vocabulary.bytes(&tokens.ids);
            let (tags, words) = (bytes(&tokens.tags), bytes(&tokens.words));
            let sample = IntakeSample {
                split: SplitName::Train,
                class: None,
                values: &[
                    row(&ids, vocabulary.field.element.bytes()),
                    row(&tags, 4),
                    row(&words, 4),
                ],
                origin: &sentence.origin,
            };
            let place = SplitPlace {
                unit: Some(intake.begin_document()),
                ..SplitPlace::default()
            };
            intake.push_placed(sample, digest.finish(), place)
        },
    );
    each_sentence(options, path, name, |sentence| {
        let size = sentence
            .as_ref()
            .map_or(0, |sentence| sentence.words.iter().map(String::len).sum());
        bundles.push(sentence, size, intake)
    })?;
    bundles.flush(intake)?;
    Ok(lost)
}

/// The tokens of a sentence, the first of each word with its tag.
fn encode(
    vocabulary: &TextVocabulary,
    length: Option<u32>,
    numbers: &BTreeMap<String, u32>,
    sentence: &Sentence,
) -> Result<TaggedTokens, DataError> {
    let bad = |problem: String| DataError::Input {
        place: format!("`{}`", sentence.origin),
        problem,
    };
    let encoded = vocabulary.tokenizer.encode_words(&sentence.words);
    let encoded = encoded.map_err(|error| bad(error.to_string()))?;
    let trailing = encoded.added.iter().rev().take_while(|added| **added).count();
    let whole = encoded.ids.len();
    let inner = whole - trailing;
    let kept = match length {
        Some(length) if whole > length as usize => (length as usize).saturating_sub(trailing),
        _ => inner,
    };
    let keep = |at: &usize| *at < kept || *at >= inner;
    let mut tokens = TaggedTokens {
        ids: Vec::new(),
        tags: Vec::new(),
        words: Vec::new(),
        lost: 0,
    };
    let mut seen = vec![false; sentence.words.len()];
    for at in (0..whole).filter(keep) {
        let word = encoded.words[at];
        tokens.ids.push(encoded.ids[at]);
        tokens.words.push(word.unwrap_or(NO_CLASS));
        let first = word.filter(|word| !std::mem::replace(&mut seen[*word as usize], true));
        let tag = first.and_then(|word| numbers.get(&sentence.tags[word as usize]));
        tokens.tags.push(tag.copied().unwrap_or(NO_CLASS));
    }
    let mut has_token = vec![false; sentence.words.len()];
    for word in encoded.words.iter().flatten() {
        has_token[*word as usize] = true;
    }
    if let Some(word) = has_token.iter().position(|has_token| !has_token) {
        return Err(bad(format!(
            "its word {:?} has no token, so that nobody can be asked for its tag: write it otherwise, or take another \
             tokenizer",
            sentence.words[word]
        )));
    }
    tokens.lost = seen.iter().filter(|seen| !**seen).count();
    match tokens.lost == seen.len() {
        true => Err(bad("none of its words fits: make `max_length` larger".to_owned())),
        false => Ok(tokens),
    }
}
