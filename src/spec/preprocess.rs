//! The `preprocess` kind: files of a known format become one dataset.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::Reference;
use super::values::Share;

/// Reads files of a known format, splits them and writes one memory-mappable dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// The files.
    pub input: Reference,
    /// How they are laid out.
    pub format: Format,
    /// Splits carved from the training samples. A split that the files already have stays as it is.
    #[serde(default)]
    pub split: Split,
    /// What to do with a sample that cannot be read.
    #[serde(default)]
    pub on_error: OnError,
}

/// Shares of the training samples that become other splits: stratified by class, and decided by
/// each sample's content, so that neither order nor file names matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The validation split's share.
    #[serde(default)]
    pub val: Option<Share>,
    /// The test split's share.
    #[serde(default)]
    pub test: Option<Share>,
}

/// What to do with a sample that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Stop and name it.
    #[default]
    Fail,
    /// Leave it out, name it in the log and count it in the metrics.
    Skip,
}

/// How the input files are laid out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A table with one sample a row.
    Csv(Csv),
    /// The MNIST family: IDX files of images and labels, plain or gzipped, named
    /// `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-...`.
    Idx(Idx),
    /// CIFAR-10's binary archive.
    Cifar10(Cifar10),
    /// CIFAR-100's binary archive.
    Cifar100(Cifar100),
    /// `SPLIT/CLASS/*.jpg|jpeg|png`, or `CLASS/*` where there are no split folders.
    ImageFolder(ImageFolder),
}

/// A table with one sample a row. Every column that is neither a label nor ignored is a feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Csv {
    /// The label's column: its name, or its index from 0 (negative: from the end). With several
    /// labels or targets a list of columns.
    #[serde(default = "last_column")]
    pub label: Columns,
    /// What the label is.
    #[serde(default)]
    pub task: Task,
    /// Columns of texts, each of which becomes a column of 0 and 1 for every text that occurs.
    #[serde(default)]
    pub categorical: Vec<Column>,
    /// Columns to leave out.
    #[serde(default)]
    pub ignore: Vec<Column>,
    /// Whether the first line names the columns.
    #[serde(default)]
    pub header: bool,
    /// The field separator.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Where the features are an image's pixels (`[C, H, W]` order, integers): its shape.
    #[serde(default)]
    pub image: Option<CsvImage>,
}

/// What is to be predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of some classes.
    #[default]
    Classification,
    /// For each of some labels, whether it applies: columns of 0 and 1.
    MultiLabel,
    /// One or more numbers.
    Regression,
}

impl Task {
    /// What a model for it predicts, in words.
    pub fn predicts(self) -> &'static str {
        match self {
            Self::Classification => "classes",
            Self::MultiLabel => "several labels",
            Self::Regression => "numbers",
        }
    }
}

/// One column or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Columns {
    /// One.
    One(Column),
    /// Several, in order.
    Several(Vec<Column>),
}

impl Columns {
    /// All of them.
    pub fn as_slice(&self) -> &[Column] {
        match self {
            Self::One(column) => std::slice::from_ref(column),
            Self::Several(columns) => columns,
        }
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Column {
    /// Its index from 0; negative ones count from the end.
    Index(i32),
    /// Its name in the header.
    Name(String),
}

/// The image that a row of integers spells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvImage {
    /// Channels; 1 for grey.
    #[serde(default = "one")]
    pub channels: NonZeroU32,
    /// Rows of pixels.
    pub height: NonZeroU32,
    /// Columns of pixels.
    pub width: NonZeroU32,
    /// The value of white; pixels are scaled from `0..=max` to `0..=255`.
    #[serde(default = "full_byte")]
    pub max: NonZeroU32,
}

/// IDX files have no options yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Idx {}

/// CIFAR-10 has no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cifar10 {}

/// CIFAR-100's two label sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cifar100 {
    /// Which labels to take.
    #[serde(default)]
    pub labels: Cifar100Labels,
}

/// CIFAR-100's two label sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cifar100Labels {
    /// 100 classes.
    #[default]
    Fine,
    /// 20 superclasses.
    Coarse,
}

/// A folder of images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageFolder {
    /// Resize every image to `[height, width]`; without it images keep the sizes that they have.
    #[serde(default)]
    pub size: Option<[NonZeroU32; 2]>,
    /// The channels to keep.
    #[serde(default)]
    pub color: Color,
    /// What the dataset holds: pixels, or the files as they are, to be decoded in every epoch.
    #[serde(default)]
    pub store: StoredAs,
}

/// What a dataset of images holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoredAs {
    /// Decoded pixels: fast to read, large.
    #[default]
    Pixels,
    /// The files' bytes, for large images and datasets: decoded by the loader, ahead of the training
    /// step.
    Files,
}

/// The channels of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// One channel of luma with the weights of ITU-R BT.709. Pillow's mode `L`, and torchvision with
    /// it, has those of BT.601: greys differ from theirs where an image has colours.
    Gray,
}

impl Color {
    /// The number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Gray => 1,
        }
    }
}

impl Csv {
    /// The field separator as the one byte that it has to be; nothing where it cannot separate fields,
    /// as it is not ASCII, ends lines or quotes fields.
    pub fn delimiter_byte(&self) -> Option<u8> {
        let byte = u8::try_from(self.delimiter).ok()?;
        (byte.is_ascii() && !b"\n\r\"".contains(&byte)).then_some(byte)
    }
}

fn last_column() -> Columns {
    Columns::One(Column::Index(-1))
}

fn comma() -> char {
    ','
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn full_byte() -> NonZeroU32 {
    NonZeroU32::new(255).unwrap_or(NonZeroU32::MIN)
}
