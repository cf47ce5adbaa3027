//! Samples that are arrays of one shape: images, rows of a table.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;

use super::StagedBatches;
use crate::data::{Loader, LoaderConfig, Split};
use crate::schema::InputShape;
use crate::train::error::TrainError;
use crate::train::staging::stage;
use crate::train::tasks::Criterion;

/// Samples of a split.
pub struct SampleFeed {
    loader: Loader,
    split: Split,
    input: InputShape,
    batch_size: u64,
    batches: u32,
    /// The order of the pass that was asked for last.
    order: Mutex<Option<(u32, Arc<Vec<u32>>)>>,
}

impl SampleFeed {
    /// The samples of `split`, as `config` says; without the last batch of a pass where it is smaller and `drop_last`.
    ///
    /// # Errors
    /// The configuration does not fit the samples.
    pub fn new(split: Split, config: LoaderConfig, drop_last: bool) -> Result<Self, TrainError> {
        let batch_size = config.batch_size as u64;
        let loader = Loader::new(split.clone(), config)?;
        let input = loader.shape()?;
        let samples = loader.samples() as u64;
        let batches = match drop_last {
            true => samples / batch_size.max(1),
            false => samples.div_ceil(batch_size.max(1)),
        };
        Ok(Self {
            loader,
            split,
            input,
            batch_size,
            batches: u32::try_from(batches).unwrap_or(u32::MAX),
            order: Mutex::default(),
        })
    }

    /// Whether samples are mixed, so that classes become probabilities.
    pub fn mixes(&self) -> bool {
        self.loader.mixes()
    }

    pub(super) fn batches(&self) -> u32 {
        self.batches
    }

    pub(super) fn samples(&self) -> u64 {
        (self.loader.samples() as u64).min(u64::from(self.batches) * self.batch_size)
    }

    /// Samples of the last batch of a pass.
    pub(super) fn last_batch(&self) -> u64 {
        self.samples() - u64::from(self.batches.saturating_sub(1)) * self.batch_size
    }

    pub(super) fn input(&self) -> InputShape {
        self.input
    }

    pub(super) fn weight(
        &self,
        criterion: &dyn Criterion,
        pass: u32,
        batches: Range<u32>,
    ) -> Result<f64, TrainError> {
        if criterion.weighs_as_served() && self.loader.changes() {
            let target = self.loader.schema().target().map(|field| field.name.clone());
            let weight = |batch: u32| {
                let mut batch = self.loader.batch(pass, batch as usize)?;
                let targets = target.as_ref().and_then(|name| batch.take(name));
                Ok(targets.map_or(0.0, |targets| criterion.weight(&targets)))
            };
            return batches.map(weight).sum();
        }
        let order = self.order(pass);
        let places = self.places(batches);
        Ok(criterion.weight_of(&self.split, &order[places.start as usize..places.end as usize]))
    }

    pub(super) fn samples_of(&self, batches: Range<u32>) -> u64 {
        let places = self.places(batches);
        places.end - places.start
    }

    /// Where the samples of some batches stand in a pass.
    fn places(&self, batches: Range<u32>) -> Range<u64> {
        let place = |batch: u32| (u64::from(batch) * self.batch_size).min(self.samples());
        place(batches.start)..place(batches.end)
    }

    pub(super) fn serve(&self, pass: u32, first: u32, device: &Device, keep_host: bool) -> StagedBatches {
        let left = self.batches.saturating_sub(first) as usize;
        let served = self.loader.epoch(pass, first as usize).take(left);
        stage(served, self.loader.schema(), device, keep_host)
    }

    pub(super) fn order(&self, pass: u32) -> Arc<Vec<u32>> {
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, order)) if *of == pass => Arc::clone(order),
            _ => {
                let order = Arc::new(self.loader.order(pass));
                *kept = Some((pass, Arc::clone(&order)));
                order
            }
        }
    }
}
