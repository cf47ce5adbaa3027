//! Data: from files in a known format to batches ready for a training step.
//!
//! Two halves meet in one file. [`prepare`] reads CSV tables, IDX files, CIFAR archives or folders
//! of images, decides the splits by content, and writes a dataset: a single file that can be
//! mapped into memory, whose [`crate::schema::Schema`] names the fields of a sample. [`Dataset`] opens
//! it, and a [`Loader`] serves a [`Split`] of it as shuffled batches of named arrays, made ahead on
//! other threads. On the way samples are decoded, changed, normalised and collated by a
//! [`SamplePipeline`], which takes an [`Example`] from outside in the very same way. A dataset may be
//! larger than memory.
//!
//! The same input files give the same dataset file, byte for byte; the same seed, epoch and index
//! give the same batch, whatever the number of threads.

mod alignment;
mod augment;
mod batch;
mod blanks;
mod collate;
mod dataset;
mod decimal;
mod decode;
mod digest;
mod documents;
mod error;
mod example;
mod field_names;
mod file_kind;
mod fills;
mod formats;
mod intake;
mod labels;
mod layout;
mod layout_2;
mod loader;
mod normalization;
mod object;
mod packing;
mod pipeline;
mod pixels;
mod prepare;
mod record_targets;
mod records;
mod sample_order;
mod split;
mod target_scale;
#[cfg(test)]
mod testing;
mod texts;
mod unlabelled;
mod untrained;
mod value;
mod writer;

pub use alignment::{Alignment, UnknownFeature, match_classes};
pub use augment::Augmentation;
pub use batch::{Array, ArrayValues, Batch};
pub use collate::Collation;
pub use dataset::{Dataset, Rearrangement, Split};
pub use decode::claimed_size;
pub use documents::{DocumentContent, DocumentSource, FoundDocument};
pub use error::DataError;
pub use example::Example;
pub(crate) use field_names::SEGMENTS;
pub use formats::{FormatReader, Formats, SplitInput};
pub use intake::{Intake, IntakeSample};
pub use labels::{Classes, LabelIndex};
pub use layout::FILE_NAME;
pub use loader::{EpochBatches, Loader, LoaderConfig};
pub use normalization::Normalization;
pub use object::Object;
pub use packing::Packing;
pub use pipeline::{PipelineOptions, SamplePipeline};
pub use prepare::{Prepared, TOKENIZER_FOLDER, prepare, prepare_with};
pub use sample_order::SampleOrder;
pub use target_scale::TargetScale;
#[cfg(test)]
pub(crate) use texts::testing as text_testing;
pub use texts::{
    RowRule, TextBatch, TextGoal, TextLoader, TextLoaderConfig, TextRows, TokenRun, TokenSequence,
};
pub use unlabelled::{
    ArchiveUnpacker, AskedColumn, ColumnCells, ReadText, ReadWord, TextForm, TextReader, UnlabelledInputs,
    UnlabelledSample, UnlabelledSource, asked_columns, features_of, listing_digest,
};
pub use value::FieldValue;
pub use writer::DatasetWriter;
