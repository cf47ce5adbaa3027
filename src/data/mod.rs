//! Data: from files in a known format to batches ready for a training step.
//!
//! Two halves meet in one file. [`prepare`] reads CSV tables, IDX files, CIFAR archives or folders
//! of images, decides the splits by content, and writes a dataset: a single file that can be
//! mapped into memory. [`Dataset`] opens it, and a [`Loader`] serves a [`Split`] of it as shuffled,
//! decoded, augmented, normalised batches, made ahead on other threads. What is to be predicted are
//! classes, several labels or numbers. A dataset may be larger than memory.
//!
//! The same input files give the same dataset file, byte for byte; the same seed, epoch and index
//! give the same batch, whatever the number of threads.

mod augment;
mod batch;
mod dataset;
mod decode;
mod digest;
mod error;
mod field_names;
mod formats;
mod intake;
mod labels;
mod layout;
mod loader;
mod normalization;
mod prepare;
mod shape;
mod split;
mod targets;
#[cfg(test)]
mod testing;
mod writer;

pub use augment::Augmentation;
pub use batch::{Array, ArrayValues, Batch};
pub use dataset::{Dataset, Split};
pub use error::DataError;
pub use layout::FILE_NAME;
pub use loader::{EpochBatches, Loader, LoaderConfig};
pub use normalization::Normalization;
pub use prepare::{Prepared, prepare};
pub use shape::SampleShape;
pub use targets::TargetScale;
pub use writer::{DatasetWriter, Sample};
