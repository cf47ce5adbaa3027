//! The `preprocess` kind: files of a known format become one dataset.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::choice::{ChoiceOptions, Named};
use super::diagnostic::Diagnostic;
use super::evaluate::SplitName;
use super::formats::Format;
use super::kinds::{Accepts, Input, StageKind, keyed};
use super::mistake::placed;
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::split::SplitOptions;
use crate::metric::MetricTable;

/// Reads files of a known format, splits them and writes one memory-mappable dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The files, or those of each split: `{train: ./a.csv, test: ./b.csv}`.
    pub input: SplitInputs,
    /// How they are laid out.
    pub format: Format,
    /// Splits carved from the training samples. A split that the files already have stays as it is.
    #[serde(default)]
    pub split: SplitOptions,
    /// What to do with a sample that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
}

impl Named for Preprocess {
    const NAME: &'static str = "preprocess";
}

impl Preprocess {
    /// Whether there may be a validation split, whatever the format brings.
    pub(super) fn makes_val(&self) -> bool {
        let is_given =
            matches!(&self.input, SplitInputs::BySplit(files) if files.contains_key(&SplitName::Val));
        is_given || self.split.makes_val()
    }
}

/// Version 2: the dataset file's layout 2. Version 3: the layout 3, which names the fields of a sample.
/// Version 4: the layout 4, which tells the columns of the table that features are made from, with their
/// categories. Classes that are numbers are in the numbers' order, and one where they are equal (they were in
/// the order of their texts but for integers). The line of a table's row is its first (it was its last).
/// Version 5: grey has the weights of BT.601, as Pillow's has; they were those of BT.709. Folders called as
/// splits are by custom (`Training`, `dev`, ...) are splits; they were classes or left out.
/// Version 6: groups that are one but for how they are written are one (they were several, which splits could part). The
/// categories of a Parquet file's column are the names that it has for its whole numbers (they were the numbers). Labels
/// by name of a list are one where they are equal as numbers, and in the numbers' order. Blanks without width around
/// cells are none of their texts, and no-break blanks between thousands none of a number. The numbers and dates of an order
/// are read as those of the table (by `decimal`, `thousands` and `dates`), years of `%Y` have four digits, and Parquet
/// files that are called as splits are (`test.parquet`) are splits. Tables without a header tell the places of their columns.
/// Version 7, of documents in CSV, lists of images and pairs of texts that are compared alone: the line of a record is its
/// first (it was the one before where lines end in CR LF, and behind blank lines). Texts that are compared tell the length
/// that they are cut to.
/// Version 8, of texts with something to be predicted for them alone: they tell the length that they are cut to, and what
/// their records call them, so that a model can be asked about others.
impl StageKind for Preprocess {
    fn version(&self) -> u32 {
        self.format.since()
    }

    fn inputs(&self) -> Vec<Input> {
        let format = self.format.inputs().into_iter().map(|input| Input {
            path: ["format", self.format.name()]
                .map(str::to_owned)
                .into_iter()
                .chain(input.path)
                .collect(),
            ..input
        });
        let files = match &self.input {
            SplitInputs::One(reference) => vec![Input::field("input", reference)],
            SplitInputs::BySplit(files) => {
                let input = |(split, reference): (&SplitName, &Reference)| Input {
                    role: split.as_str().to_owned(),
                    path: vec!["input".to_owned(), split.as_str().to_owned()],
                    reference: reference.clone(),
                };
                files.iter().map(input).collect()
            }
        };
        files.into_iter().chain(format).collect()
    }

    fn accepts(&self, role: &str) -> Accepts {
        match self.format.inputs().iter().any(|input| input.role == role) {
            true => self.format.accepts(role),
            false => Accepts::stages_or_files(&["download", "command"]),
        }
    }

    fn key_fields(&self) -> Value {
        let mut fields = keyed(self.to_json(), self.unkeyed_fields());
        // What the format takes in is in the key by its contents.
        for input in self.format.inputs() {
            let options = fields
                .get_mut("format")
                .and_then(|format| format.get_mut(self.format.name()));
            if let (Some(Value::Object(options)), Some(field)) = (options, input.path.first()) {
                options.shift_remove(field);
            }
        }
        fields
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["input"]
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        let usual = ["train", "val", "test", "classes", "skipped"];
        let names = usual.iter().chain(self.format.metrics());
        Some(names.map(|name| (*name).to_owned()).collect())
    }

    fn mistakes(
        &self,
        _: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        mistakes.extend(placed(
            &["split"],
            self.split.mistakes(self.format.has_columns()),
            place,
        ));
        if let SplitInputs::BySplit(files) = &self.input
            && !files.contains_key(&SplitName::Train)
        {
            let mistake = Diagnostic::new("there are no files to train on".to_owned(), place(&["input"]));
            mistakes.push(mistake.help("name those of the `train` split too"));
        }
        if self.on_error == OnError::Clip && !self.format.clips() {
            let message = "`clip` cuts boxes, and these samples have none".to_owned();
            let mistake = Diagnostic::new(message, place(&["on_error"]));
            mistakes.push(mistake.help("write `skip`, or `fail`"));
        }
        let format = ["format", self.format.name()];
        mistakes.extend(placed(&format, self.format.mistakes(), place));
        mistakes
    }
}

/// What a dataset is made from.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SplitInputs {
    /// Files of all splits, or of those that are to be divided.
    One(Reference),
    /// The files of each split; those of `train` are divided further where `split` says so.
    BySplit(BTreeMap<SplitName, Reference>),
}

impl<'de> Deserialize<'de> for SplitInputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SplitInputsVisitor)
    }
}

/// Tells the two forms apart, so that what is wrong within one of them is told as there.
struct SplitInputsVisitor;

impl<'de> Visitor<'de> for SplitInputsVisitor {
    type Value = SplitInputs;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a reference, or one for each split")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SplitInputs, E> {
        Reference::parse(text).map(SplitInputs::One).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SplitInputs, A::Error> {
        BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(SplitInputs::BySplit)
    }
}

/// What to do with a sample that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Stop and name it.
    #[default]
    Fail,
    /// Leave it out, name it in the log and count it in the metrics. Of an image with objects, only those that are wrong.
    Skip,
    /// Cut boxes that reach out of their images; leave out what else is wrong.
    Clip,
}

/// What is to be predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// One of some classes.
    #[default]
    Classification,
    /// For each of some labels, whether it applies: columns of 0 and 1.
    MultiLabel,
    /// One or more numbers.
    Regression,
    /// The next token of a text, or one that is hidden. No label says so: texts without a label are for it.
    #[serde(skip)]
    NextToken,
    /// A class for each word. The format says so, and no option.
    #[serde(skip)]
    TokenClasses,
    /// How alike two texts are. Records say so by `compare`.
    #[serde(skip)]
    Similarity,
    /// A class for each pixel. The format says so, and no option.
    #[serde(skip)]
    Segmentation,
    /// Objects in an image, each a box with a class. The format says so, and no option.
    #[serde(skip)]
    Detection,
}

impl TargetKind {
    /// What a model for it predicts, in words.
    pub fn predicts(self) -> &'static str {
        match self {
            Self::Classification => "classes",
            Self::MultiLabel => "several labels",
            Self::Regression => "numbers",
            Self::NextToken => "tokens",
            Self::TokenClasses => "classes of words",
            Self::Similarity => "how alike two texts are",
            Self::Segmentation => "classes of pixels",
            Self::Detection => "objects",
        }
    }
}
