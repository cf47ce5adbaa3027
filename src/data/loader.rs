//! Serving a split as batches, made ahead of whoever consumes them.

mod epoch;
mod recipe;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::batch::Batch;
use super::collate::Collation;
use super::dataset::Split;
use super::error::DataError;
use super::normalization::Normalization;
use super::pipeline::{PipelineOptions, SamplePipeline};
use super::sample_order::SampleOrder;
use super::target_scale::TargetScale;
use crate::schema::{InputShape, Schema};
use crate::spec;

pub use epoch::EpochBatches;
use recipe::Recipe;

/// How a [`Loader`] makes batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Samples a batch; the last batch of an epoch may have fewer.
    pub batch_size: usize,
    /// Changes to each image, in order, and mixing with the next sample of the epoch.
    pub augment: Vec<spec::Augment>,
    /// Applied to each image or row, after its changes.
    pub normalization: Normalization,
    /// In a regression: what the numbers are shifted and scaled by.
    pub target_scale: Option<TargetScale>,
    /// What becomes of samples of various lengths.
    pub collation: Collation,
    /// The order of an epoch.
    pub order: SampleOrder,
    /// What everything drawn depends on, with the epoch and the sample's index.
    pub seed: u64,
    /// Batches that wait, at least 1, while one more is being made; each costs its size in memory.
    pub prefetch: usize,
}

/// Serves a split, epoch by epoch.
///
/// Samples are decoded, changed and normalised on threads of the loader's own, as many as the pool
/// has that it is made on. So a training step never waits for a thread of its pool that decodes an
/// image, and what a thread does first never changes a batch.
pub struct Loader {
    recipe: Arc<Recipe>,
    prefetch: usize,
}

impl Loader {
    /// A loader of `split`.
    ///
    /// # Errors
    /// The batch size is 0, the normalisation or the targets' scale is for other data, the changes do
    /// not fit the samples, images have various sizes in the end, or threads cannot be started.
    pub fn new(split: Split, config: LoaderConfig) -> Result<Self, DataError> {
        if config.batch_size == 0 {
            return Err(DataError::Options("the batch size must be over 0".into()));
        }
        let options = PipelineOptions {
            augment: config.augment,
            normalization: config.normalization,
            target_scale: config.target_scale,
            collation: config.collation,
        };
        let recipe = Recipe {
            batch_size: config.batch_size,
            order: config.order,
            seed: config.seed,
            pipeline: SamplePipeline::new(split.schema(), options)?,
            pool: None,
            split,
        };
        Ok(Self {
            recipe: Arc::new(recipe.with_threads()?),
            prefetch: config.prefetch.max(1),
        })
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        self.samples().div_ceil(self.recipe.batch_size)
    }

    /// Samples an epoch.
    pub fn samples(&self) -> usize {
        self.recipe.order.len(self.recipe.split.len())
    }

    /// Whether samples are mixed, so that classes become probabilities.
    pub fn mixes(&self) -> bool {
        self.recipe.pipeline.mixes()
    }

    /// Whether samples are changed on their way.
    pub fn changes(&self) -> bool {
        self.recipe.pipeline.changes()
    }

    /// What a batch holds: the inputs, targets and weights of its samples, as they are after all
    /// changes.
    pub fn schema(&self) -> &Schema {
        self.recipe.pipeline.schema()
    }

    /// The shape of each sample in a batch.
    ///
    /// # Errors
    /// A network is shown something else than an image or a row of numbers.
    pub fn shape(&self) -> Result<InputShape, DataError> {
        self.recipe.pipeline.shape().ok_or_else(|| {
            DataError::Options(format!(
                "the network needs images or rows of numbers, and `{}` is neither",
                self.recipe.split.input().name
            ))
        })
    }

    /// The samples' indices in the order of `epoch`: those of batch `b` begin at `b` times the batch
    /// size.
    pub fn order(&self, epoch: u32) -> Vec<u32> {
        self.recipe.order(epoch)
    }

    /// The batch `index` of `epoch`, made while its caller waits.
    ///
    /// # Errors
    /// A sample cannot be read or changed.
    pub fn batch(&self, epoch: u32, index: usize) -> Result<Batch, DataError> {
        self.recipe.batch(epoch, index, &self.recipe.order(epoch))
    }

    /// The batches of `epoch` in order, from the batch `first_batch` on.
    ///
    /// They are made on other threads until the iterator is dropped.
    pub fn epoch(&self, epoch: u32, first_batch: usize) -> EpochBatches {
        EpochBatches::start(&self.recipe, epoch, first_batch..self.batches(), self.prefetch)
    }
}
