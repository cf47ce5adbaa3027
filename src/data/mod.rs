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

mod augment;
mod batch;
mod collate;
mod dataset;
mod decode;
mod digest;
mod error;
mod example;
mod field_names;
mod formats;
mod intake;
mod labels;
mod layout;
mod layout_2;
mod loader;
mod normalization;
mod pipeline;
mod pixels;
mod prepare;
mod split;
mod target_scale;
#[cfg(test)]
mod testing;
mod value;
mod writer;

pub use augment::Augmentation;
pub use batch::{Array, ArrayValues, Batch};
pub use collate::Collation;
pub use dataset::{Dataset, Split};
pub use error::DataError;
pub use example::Example;
pub use formats::{FormatReader, Formats};
pub use intake::{Intake, IntakeSample};
pub use labels::{Classes, LabelIndex};
pub use layout::FILE_NAME;
pub use loader::{EpochBatches, Loader, LoaderConfig};
pub use normalization::Normalization;
pub use pipeline::{PipelineOptions, SamplePipeline};
pub use prepare::{Prepared, prepare};
pub use target_scale::TargetScale;
pub use value::FieldValue;
pub use writer::DatasetWriter;
