//! Serving a split as batches, made ahead of whoever consumes them.

mod epoch;
mod recipe;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::augment::Augmentation;
use super::dataset::Split;
use super::error::DataError;
use super::normalization::Normalization;
use super::shape::SampleShape;
use super::targets::TargetScale;
use crate::schema::{InputShape, Schema};
use crate::spec::{self, Task};

pub use epoch::EpochBatches;
use recipe::Recipe;

/// How a [`Loader`] makes batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Samples a batch; the last batch of an epoch may have fewer.
    pub batch_size: usize,
    /// Changes to each image, in order, and mixing of batches.
    pub augment: Vec<spec::Augment>,
    /// Applied to each image or row, after its changes.
    pub normalization: Normalization,
    /// In a regression: what the numbers are shifted and scaled by.
    pub target_scale: Option<TargetScale>,
    /// Whether each epoch has a new order; otherwise it is the split's.
    pub shuffle: bool,
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
        config.normalization.check(split.shape())?;
        if let Some(scale) = &config.target_scale {
            if split.task() != Task::Regression {
                return Err(DataError::Options(
                    "`standardize_targets` scales numbers, and the data has classes or labels: remove it"
                        .into(),
                ));
            }
            scale.check(split.outputs())?;
        }
        let augmentation =
            Augmentation::new(&config.augment, split.shape())?.with_means(&config.normalization.mean);
        if let SampleShape::Images { .. } = augmentation.shape_after() {
            return Err(DataError::various_sizes());
        }
        let prefetch = config.prefetch.max(1);
        Ok(Self {
            recipe: Arc::new(Recipe::new(split, config, augmentation)?),
            prefetch,
        })
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        self.samples().div_ceil(self.recipe.batch_size())
    }

    /// Samples an epoch.
    pub fn samples(&self) -> usize {
        self.recipe.split().len()
    }

    /// Whether batches are mixed, so that class targets become probabilities.
    pub fn mixes(&self) -> bool {
        self.recipe.mixes()
    }

    /// What a batch holds: the inputs, targets and weights of its samples, as they are after all
    /// changes.
    pub fn schema(&self) -> &Schema {
        self.recipe.schema()
    }

    /// The shape of each sample in a batch.
    pub fn shape(&self) -> InputShape {
        self.recipe.shape()
    }

    /// The classes of the samples in the order of `epoch`: those of batch `b` begin at `b` times the
    /// batch size. Empty unless the task is a classification.
    pub fn labels(&self, epoch: u32) -> Vec<u32> {
        let split = self.recipe.split();
        if split.task() != Task::Classification {
            return Vec::new();
        }
        let order = self.recipe.order(epoch);
        order
            .into_iter()
            .map(|sample| split.label(sample as usize))
            .collect()
    }

    /// The batches of `epoch` in order, from the batch `first_batch` on.
    ///
    /// They are made on other threads until the iterator is dropped.
    pub fn epoch(&self, epoch: u32, first_batch: usize) -> EpochBatches {
        EpochBatches::start(&self.recipe, epoch, first_batch..self.batches(), self.prefetch)
    }
}
