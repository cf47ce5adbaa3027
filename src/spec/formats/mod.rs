//! How input files are laid out: the options of each format in a file of its own.

mod cells;
mod chat;
mod cifar;
mod coco;
mod conll;
mod csv;
mod idx;
mod image_folder;
mod image_manifest;
mod image_options;
mod masks;
mod parquet;
mod split_paths;
mod text;
mod voc;
mod yolo;

use super::choice::{ChoiceList, ChoiceOptions, choice};
use super::kinds::{Accepts, Input};
use super::mistake::Mistake;
use super::preprocess::TargetKind;
use crate::schema::InputShape;

pub use cells::{CellConstant, DateOptions, DatePart, MissingOptions, MissingPolicy};
pub use chat::{ChatOptions, ChatTargets};
pub use cifar::{Cifar10Options, Cifar100Labels, Cifar100Options};
pub use coco::{AllClasses, AnnotationTask, CocoClasses, CocoOptions, CrowdObjects};
pub use conll::ConllOptions;
pub use csv::{CsvColumn, CsvImage, CsvOptions, LabelColumns, Quote};
pub use idx::IdxOptions;
pub use image_folder::{
    Color, FolderNames, ImageFolderOptions, NamedSplits, NoSplits, SplitFolders, StoredAs,
};
pub use image_manifest::{ImageManifestOptions, LabelNames};
pub use image_options::ImageOptions;
pub use masks::{IgnoredPixels, MasksOptions, NoIgnoredPixels};
pub use parquet::ParquetOptions;
pub use split_paths::SplitPaths;
pub use text::{DocumentBegin, DocumentEnd, TextOptions};
pub use voc::{DifficultObjects, PixelOrigin, VocOptions};
pub use yolo::YoloOptions;

/// The options of a format.
pub trait FormatOptions: ChoiceOptions {
    /// What is known of the dataset before any file is seen.
    fn facts(&self) -> FormatFacts;

    /// Whether the files are tables, whose columns can say how samples are divided into splits.
    fn has_columns(&self) -> bool {
        false
    }

    /// What is taken in beside the files themselves, with paths from the options on. The fields that refer to it are
    /// no part of a stage's key.
    fn inputs(&self) -> Vec<Input> {
        Vec::new()
    }

    /// What may be given as the input `role` of [`FormatOptions::inputs`].
    fn accepts(&self, role: &str) -> Accepts {
        let _ = role;
        Accepts::ANY
    }

    /// Whether samples hold boxes, which `on_error: clip` can cut to their images.
    fn clips(&self) -> bool {
        false
    }

    /// The names of the metrics that are reported beside those of every format.
    fn metrics(&self) -> &'static [&'static str] {
        &[]
    }

    /// The version of `preprocess` since which datasets in this format are as they are; its history stands there.
    fn since(&self) -> u32 {
        6
    }

    /// What contradicts each other in them, with paths from the options on.
    fn mistakes(&self) -> Vec<Mistake> {
        Vec::new()
    }
}

choice!("How the input files are laid out.", Format of FormatOptions in formats);

/// What the options of a format tell of the dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatFacts {
    /// What there is to predict.
    pub task: TargetKind,
    /// What samples are.
    pub samples: SampleKind,
    /// How many classes, labels or numbers there are to predict, where that is known.
    pub outputs: Option<usize>,
    /// Whether the files may bring a validation split of their own.
    pub brings_val: bool,
}

/// What samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// Images.
    Images,
    /// Rows of numbers.
    Rows,
    /// Texts as tokens.
    Texts,
}

impl SampleKind {
    /// What samples of such a shape are.
    pub fn of(shape: InputShape) -> Self {
        match shape {
            InputShape::Image { .. } => Self::Images,
            InputShape::Features { .. } => Self::Rows,
            InputShape::Tokens { .. } => Self::Texts,
        }
    }

    /// What a dataset of them is called.
    pub fn dataset(self) -> &'static str {
        match self {
            Self::Images => "a dataset of images",
            Self::Rows => "a table",
            Self::Texts => "a dataset of texts",
        }
    }
}

/// The formats of this crate, in the order in which users are told of them. `$each` is a macro that is handed their
/// types: whatever is done with all of them follows from this list.
macro_rules! built_in_formats {
    ($each:ident) => {
        $each! {
            $crate::spec::CsvOptions,
            $crate::spec::ParquetOptions,
            $crate::spec::IdxOptions,
            $crate::spec::Cifar10Options,
            $crate::spec::Cifar100Options,
            $crate::spec::ImageFolderOptions,
            $crate::spec::ImageManifestOptions,
            $crate::spec::MasksOptions,
            $crate::spec::CocoOptions,
            $crate::spec::VocOptions,
            $crate::spec::YoloOptions,
            $crate::spec::TextOptions,
            $crate::spec::ConllOptions,
            $crate::spec::ChatOptions,
        }
    };
}

pub(crate) use built_in_formats;

/// The list of them.
pub(super) fn built_in() -> ChoiceList<dyn FormatOptions> {
    macro_rules! listed {
        ($($entry:path,)*) => { ChoiceList::<dyn FormatOptions>::new()$(.with::<$entry>())* };
    }
    built_in_formats!(listed)
}
