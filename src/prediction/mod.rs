//! Predictions for files: a [`PredictionTask`] has trained models say something of each sample that is found, and a
//! [`PredictionWriter`] writes that down, row by row. Whoever asks (a stage, `erlen predict`, `erlen-infer`) gets the same
//! bytes.

mod csv_output;
mod json_output;
mod mask_files;
mod output;
#[cfg(feature = "full")]
mod parquet_output;
mod places;
mod task;
mod unnamed;

pub use output::PredictionWriter;
pub use places::{missing_input, model_folder};
pub use task::{
    PredictionCounts, PredictionKeeping, PredictionProgress, PredictionTask, Unpredicted, counted_samples,
};
pub use unnamed::{UnnamedFile, beside};
