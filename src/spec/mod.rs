//! What a user may write: a pipeline file's text becomes a validated [`Pipeline`].
//!
//! In goes YAML text; out comes either a pipeline whose every field is known to be right, or a
//! list of diagnostics with source spans. The types of this module are the vocabulary that the
//! rest of the crate works with: plain data, without behaviour of their own.

mod command;
mod download;
mod evaluate;
mod export;
mod model;
mod preprocess;
mod reference;
mod table;
mod train;
mod values;

pub use command::{Command, EnvValue, Run};
pub use download::{Download, Sha256};
pub use evaluate::{Evaluate, Metric, SplitName};
pub use export::{Export, ExportFormat};
pub use model::{ConvNet, Mlp, Model, ResNet, Stem};
pub use preprocess::{
    Cifar10, Cifar100, Cifar100Labels, Color, Column, Csv, CsvImage, Format, Idx, ImageFolder, OnError,
    Preprocess, Split,
};
pub use reference::Reference;
pub use table::{MetricPath, Table, TableFormat};
pub use train::{
    AdamW, Augment, Checkpoint, Constant, Cosine, CrossEntropy, Loss, Normalize, Optimizer, Precision,
    RandomCrop, RandomFlip, Schedule, Select, Sgd, Step, Train, Warmup,
};
pub use values::{BelowOne, ByteSize, NonNegative, Positive, Probability, Share, Span};

use serde::{Deserialize, Serialize};

/// What a stage does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Bytes from a project file or a URL.
    Download(Download),
    /// Files of a known format become a dataset.
    Preprocess(Preprocess),
    /// A dataset and an architecture become weights.
    Train(Box<Train>),
    /// A model's figures on one split.
    Evaluate(Evaluate),
    /// A model in a form that other programs read.
    Export(Export),
    /// Any program.
    Command(Command),
}
