//! How input files are laid out: the options of each format in a file of its own.

mod cifar;
mod csv;
mod idx;
mod image_folder;

use super::choice::{ChoiceList, ChoiceOptions, choice};
use super::mistake::Mistake;
use super::preprocess::TargetKind;

pub use cifar::{Cifar10Options, Cifar100Labels, Cifar100Options};
pub use csv::{CsvColumn, CsvImage, CsvOptions, LabelColumns};
pub use idx::IdxOptions;
pub use image_folder::{Color, ImageFolderOptions, StoredAs};

/// The options of a format.
pub trait FormatOptions: ChoiceOptions {
    /// What is known of the dataset before any file is seen.
    fn facts(&self) -> FormatFacts;

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
    /// Whether samples are images.
    pub images: bool,
    /// How many classes, labels or numbers there are to predict, where that is known.
    pub outputs: Option<usize>,
    /// Whether the files may bring a validation split of their own.
    pub brings_val: bool,
}

/// The formats of this crate.
pub(super) fn built_in() -> ChoiceList<dyn FormatOptions> {
    ChoiceList::<dyn FormatOptions>::new()
        .with::<CsvOptions>()
        .with::<IdxOptions>()
        .with::<Cifar10Options>()
        .with::<Cifar100Options>()
        .with::<ImageFolderOptions>()
}
