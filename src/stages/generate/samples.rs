//! Generated texts as files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::prompts::EncodedPrompt;
use crate::generation::GeneratedTokens;
use crate::stages::StageError;
use crate::tokenizer::LoadedTokenizer;
use crate::train::TrainError;

/// The texts, a JSON object a line.
const LINES_FILE: &str = "samples.jsonl";

/// The texts to be read.
const MARKDOWN_FILE: &str = "samples.md";

/// A text behind a prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GeneratedSample {
    /// The prompt, as it was written.
    pub prompt: String,
    /// The text's number among those of the prompt, from 0.
    pub sample: usize,
    /// What follows the prompt.
    pub text: String,
    /// How many tokens were chosen for it.
    pub tokens: usize,
    /// Why it ended.
    pub end: &'static str,
}

impl GeneratedSample {
    /// The text that `generated` is, without what ended it.
    ///
    /// # Errors
    /// The tokenizer cannot decode it.
    pub fn new(
        prompt: &EncodedPrompt,
        sample: usize,
        generated: &GeneratedTokens,
        stops: &[String],
        tokenizer: &LoadedTokenizer,
    ) -> Result<Self, StageError> {
        let text = prompt.continuation(&generated.tokens, tokenizer);
        let mut text = text.map_err(|error| StageError::failed(error.to_string()))?;
        if let Some(place) = stops.iter().filter_map(|stop| text.find(stop)).min() {
            text.truncate(place);
        }
        Ok(Self {
            prompt: prompt.text.clone(),
            sample,
            text,
            tokens: generated.tokens.len(),
            end: generated.end.name(),
        })
    }
}

/// Writes the texts into `folder`.
///
/// # Errors
/// A file cannot be written.
pub fn write_samples(folder: &Path, samples: &[GeneratedSample]) -> Result<(), StageError> {
    let mut lines = String::new();
    for sample in samples {
        let line = serde_json::to_string(sample)
            .map_err(|error| StageError::failed(format!("a text cannot be written: {error}")))?;
        lines.push_str(&line);
        lines.push('\n');
    }
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(TrainError::writing(&path))
    };
    write(LINES_FILE, &lines)?;
    Ok(write(MARKDOWN_FILE, &markdown(samples))?)
}

/// The texts in `folder`, to be read and as an object each.
///
/// # Errors
/// A sentence: a file cannot be read.
pub fn read_samples(folder: &Path) -> Result<(String, Vec<Value>), String> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
    };
    let lines = read(LINES_FILE)?;
    let lines: Result<Vec<Value>, String> = lines
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{LINES_FILE}: {error}")))
        .collect();
    Ok((read(MARKDOWN_FILE)?, lines?))
}

/// The texts by their prompts.
fn markdown(samples: &[GeneratedSample]) -> String {
    let mut text = String::from("# Samples\n");
    for sample in samples {
        if sample.sample == 0 {
            let _ = write!(text, "\n## Behind\n\n{}\n", fenced(&sample.prompt));
        }
        let _ = write!(
            text,
            "\n{}. {} tokens, ended by {}\n\n{}\n",
            sample.sample + 1,
            sample.tokens,
            sample.end,
            fenced(&sample.text)
        );
    }
    text
}

/// A text as it is, between fences that are longer than any in it.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}
