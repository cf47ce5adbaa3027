//! The options of `image_manifest`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image_folder::{Color, StoredAs};
use super::image_options::ImageOptions;
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;
use crate::spec::validate::is_inside;

/// Images and a list of them: a CSV file, or JSON lines, with a line for each image that tells its path, what is to be
/// predicted, and its split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageManifestOptions {
    /// The list's path in the input. A name that ends in `.jsonl` or `.ndjson` holds a JSON object a line, one in
    /// `.tsv` has tabs between its fields; `.gz` may follow.
    pub file: String,
    /// The column with the image's path, seen from the list's folder; or a pattern with columns in braces, such as
    /// `train/{id}.jpg`.
    #[serde(default = "default_path")]
    pub path: String,
    /// The column of the label; with several labels or numbers a list of columns.
    pub label: LabelNames,
    /// What the label is. With `multi_label`, several columns hold 0 and 1 each, and one column the names of all labels
    /// that apply: a list in JSON, else a text with `separator` between them.
    #[serde(default)]
    pub task: TargetKind,
    /// What stands between the labels of a column with several of them.
    #[serde(default = "space")]
    pub separator: String,
    /// The column of the split: `train`, `val` or `test`, or what else these are called. Without it all images are
    /// training samples.
    #[serde(default)]
    pub split: Option<String>,
    /// The field separator, where it is neither a comma nor, in a `.tsv` file, a tab.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// Resize every image to `[height, width]`; without it images keep the sizes that they have.
    #[serde(default)]
    pub size: Option<[NonZeroU32; 2]>,
    /// The channels to keep.
    #[serde(default)]
    pub color: Color,
    /// What the dataset holds: pixels, or the files as they are, to be decoded in every epoch.
    #[serde(default)]
    pub store: StoredAs,
    /// Whether images are turned upright as their EXIF data say. Pillow and torchvision do not.
    #[serde(default)]
    pub exif_orientation: bool,
}

impl Named for ImageManifestOptions {
    const NAME: &'static str = "image_manifest";
}

impl FormatOptions for ImageManifestOptions {
    fn facts(&self) -> FormatFacts {
        let columns = self.label.as_slice().len();
        let is_counted = match self.task {
            TargetKind::Classification
            | TargetKind::NextToken
            | TargetKind::TokenClasses
            | TargetKind::Similarity
            | TargetKind::Segmentation
            | TargetKind::Detection => false,
            TargetKind::MultiLabel => columns > 1,
            TargetKind::Regression => true,
        };
        FormatFacts {
            task: self.task,
            samples: SampleKind::Images,
            outputs: is_counted.then_some(columns),
            brings_val: self.split.is_some(),
        }
    }

    fn has_columns(&self) -> bool {
        true
    }

    fn since(&self) -> u32 {
        7
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.images().mistakes();
        if !is_inside(&self.file) {
            mistakes.push(
                Mistake::new(["file"], format!("`{}` is no file of the input", self.file))
                    .help("give the list's path from the input on, such as `labels.csv`"),
            );
        }
        if self.label.as_slice().is_empty() {
            let mistake = Mistake::new(["label"], "there is nothing to be predicted");
            mistakes.push(mistake.help("name at least one column"));
        }
        if self.label.as_slice().len() > 1 && self.task == TargetKind::Classification {
            mistakes.push(
                Mistake::new(["label"], "several label columns, and a classification has one")
                    .help("for columns of 0 and 1 add `task: multi_label`, for numbers `task: regression`"),
            );
        }
        if self.separator.is_empty() {
            let mistake = Mistake::new(["separator"], "nothing cannot separate labels");
            mistakes.push(mistake.help("write what stands between them, such as \",\" or \"|\""));
        }
        if self
            .delimiter
            .is_some_and(|delimiter| !delimiter.is_ascii() || "\n\r\"".contains(delimiter))
        {
            mistakes.push(
                Mistake::new(
                    ["delimiter"],
                    format!("{:?} cannot separate fields", self.delimiter.unwrap_or_default()),
                )
                .help("choose one ASCII character that neither ends lines nor quotes fields, such as \";\""),
            );
        }
        mistakes
    }
}

impl ImageManifestOptions {
    /// What becomes of an image.
    pub fn images(&self) -> ImageOptions {
        ImageOptions {
            size: self.size,
            color: self.color,
            store: self.store,
            exif_orientation: self.exif_orientation,
        }
    }
}

/// One column's name or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a column's name, or a list of names")]
pub enum LabelNames {
    /// One.
    One(String),
    /// Several, in order.
    Several(Vec<String>),
}

impl LabelNames {
    /// All of them.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(column) => std::slice::from_ref(column),
            Self::Several(columns) => columns,
        }
    }
}

fn default_path() -> String {
    "file_name".to_owned()
}

fn space() -> String {
    " ".to_owned()
}
