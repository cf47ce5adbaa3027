//! How one batch is made.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::data::batch::Batch;
use crate::data::dataset::Split;
use crate::data::error::DataError;
use crate::data::pipeline::{Draws, FillThreads, SamplePipeline, SampleSource};
use crate::data::sample_order::SampleOrder;
use crate::data::value::FieldValue;

/// All that a batch depends on beside its epoch and index.
pub(super) struct Recipe {
    pub split: Split,
    pub batch_size: usize,
    pub pipeline: SamplePipeline,
    pub order: SampleOrder,
    pub seed: u64,
    /// Nothing where a batch is too small to be shared by threads.
    pub pool: Option<ThreadPool>,
}

impl Recipe {
    /// The same with threads of its own, as many as the current pool has, if they bring anything.
    pub fn with_threads(mut self) -> Result<Self, DataError> {
        if !self.pipeline.is_small(self.batch_size.min(self.split.len())) {
            let threads = rayon::current_num_threads();
            let pool = ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|index| format!("loader-{index}"))
                .build();
            self.pool = Some(pool.map_err(|error| {
                DataError::Options(format!("cannot start {threads} threads for the loader: {error}"))
            })?);
        }
        Ok(self)
    }

    /// The order of `epoch`'s samples.
    pub fn order(&self, epoch: u32) -> Vec<u32> {
        // A dataset holds fewer than 2^32 samples.
        self.order.of_pass(self.split.len() as u32, self.seed, epoch)
    }

    /// The batch `index` of `epoch`, whose samples have the order `order`.
    pub fn batch(&self, epoch: u32, index: usize, order: &[u32]) -> Result<Batch, DataError> {
        let start = index * self.batch_size;
        let end = order.len().min(start + self.batch_size);
        let mut samples = order[start..end].to_vec();
        let draws = Draws {
            seed: self.seed,
            epoch,
        };
        let threads = self.pool.as_ref().map_or(FillThreads::Caller, FillThreads::Pool);
        let fields = if self.pipeline.mixes() {
            // The last one's partner, wherever it lies: the epoch's order decides it, not the batch.
            samples.push(order[end % order.len()]);
            let fields = self.pipeline.mixed(&self.split, &samples, draws, threads)?;
            samples.pop();
            fields
        } else {
            self.pipeline.arrays(&self.split, &samples, draws, threads)?
        };
        Ok(Batch {
            index,
            samples,
            fields,
        })
    }
}

impl SampleSource for Split {
    fn value(&self, field: usize, sample: u32) -> FieldValue<'_> {
        Split::value(self, field, sample as usize)
    }

    fn name(&self, sample: u32) -> String {
        format!("sample `{}`", self.origin(sample as usize))
    }

    fn bad(&self, sample: u32, problem: &str) -> DataError {
        Split::bad(self, sample as usize, problem)
    }
}
