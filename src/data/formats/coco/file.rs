//! The JSON file of COCO's annotations.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::data::error::DataError;
use crate::data::formats::scenes::Outline;
use crate::metric::mask::RunLengths;

/// What is read of a file.
#[derive(Deserialize)]
pub(super) struct CocoFile {
    pub images: Vec<CocoImage>,
    #[serde(default)]
    pub annotations: Vec<CocoAnnotation>,
    pub categories: Vec<CocoCategory>,
}

#[derive(Deserialize)]
pub(super) struct CocoImage {
    pub id: i64,
    pub file_name: String,
    #[serde(default)]
    pub width: Option<usize>,
    #[serde(default)]
    pub height: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct CocoAnnotation {
    #[serde(default)]
    pub id: Option<i64>,
    pub image_id: i64,
    pub category_id: i64,
    /// Numbers that are none are nothing.
    #[serde(default)]
    pub bbox: Option<Vec<Option<f64>>>,
    #[serde(default)]
    pub area: Option<f64>,
    #[serde(default)]
    pub iscrowd: Option<u8>,
    /// Read where masks are wanted.
    #[serde(default)]
    segmentation: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
pub(super) struct CocoCategory {
    pub id: u64,
    pub name: String,
}

/// An object's pixels as they are written.
#[derive(Deserialize)]
#[serde(untagged)]
enum CocoSegmentation {
    Polygons(Vec<Vec<f64>>),
    Runs { size: [usize; 2], counts: RunCounts },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RunCounts {
    Numbers(Vec<u32>),
    Text(String),
}

impl CocoFile {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).map_err(DataError::io("read", path))?;
        let text = text.trim_start_matches('\u{feff}');
        serde_json::from_str(text)
            .or_else(|error| match without_nan(text) {
                Cow::Owned(mended) => serde_json::from_str(&mended),
                Cow::Borrowed(_) => Err(error),
            })
            .map_err(|error| {
                let problem = format!(
                    "it is no file of COCO's annotations, with `images`, `annotations` and `categories`: {error}"
                );
                DataError::input(path, problem)
            })
    }
}

impl CocoAnnotation {
    /// The object's pixels, where they are told. An error says what is wrong with them.
    pub fn outline(&self) -> Result<Option<Outline>, String> {
        let Some(raw) = &self.segmentation else {
            return Ok(None);
        };
        if raw.get() == "null" {
            return Ok(None);
        }
        let read = serde_json::from_str(raw.get()).map_err(|_| {
            "its `segmentation` is neither a list of polygons, [[x, y, x, y, ...], ...], nor run lengths, {size, counts}"
                .to_owned()
        })?;
        let runs = match read {
            CocoSegmentation::Polygons(polygons) if polygons.is_empty() => return Ok(None),
            CocoSegmentation::Polygons(polygons) => return Ok(Some(Outline::Polygons(polygons))),
            CocoSegmentation::Runs {
                size: [height, width],
                counts: RunCounts::Numbers(counts),
            } => RunLengths::new(height, width, counts),
            CocoSegmentation::Runs {
                size: [height, width],
                counts: RunCounts::Text(text),
            } => RunLengths::from_text(&text, height, width),
        };
        match runs {
            Ok(runs) => Ok(Some(Outline::Runs(runs))),
            Err(error) => Err(format!("its run lengths are none: {error}")),
        }
    }
}

/// The text with `null` for each `NaN` and `Infinity`, which Python writes and JSON does not know.
fn without_nan(text: &str) -> Cow<'_, str> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_quoted = false;
    while let Some(letter) = rest.chars().next() {
        let word = WORDS.iter().find(|word| !is_quoted && rest.starts_with(**word));
        let length = match (word, letter) {
            (Some(word), _) => {
                out.push_str("null");
                rest = &rest[word.len()..];
                continue;
            }
            // With what it escapes.
            (None, '\\') if is_quoted => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, '"') => {
                is_quoted = !is_quoted;
                1
            }
            _ => letter.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Cow::Owned(out)
}
