//! Where batches come from, in training and in evaluation: samples that are arrays, or texts.
//!
//! A feed is gone through in passes, of which each has as many batches. What it serves is [`Staged`]: on the device,
//! with what it is judged by.

mod samples;
mod texts;

use std::ops::Range;
use std::sync::Arc;

use candle_core::Device;

use super::error::TrainError;
use super::staging::Staged;
use super::tasks::Criterion;
use crate::schema::InputShape;

pub use samples::SampleFeed;
pub use texts::{TextFeed, TextReading};

/// Batches on the device, in order.
pub type StagedBatches = Box<dyn Iterator<Item = Result<Staged, TrainError>>>;

/// Where batches come from.
pub enum Feed {
    /// Samples that are arrays of one shape.
    Samples(SampleFeed),
    /// Texts.
    Texts(TextFeed),
}

impl Feed {
    /// Batches of a pass.
    pub fn batches(&self) -> u32 {
        match self {
            Self::Samples(feed) => feed.batches(),
            Self::Texts(feed) => feed.batches(),
        }
    }

    /// Samples of a pass, of texts its rows, that are in one of the batches.
    pub fn samples(&self) -> u64 {
        match self {
            Self::Samples(feed) => feed.samples(),
            Self::Texts(feed) => feed.samples(),
        }
    }

    /// The samples of `pass`, of texts the rows, in their order.
    pub fn order(&self, pass: u32) -> Arc<Vec<u32>> {
        match self {
            Self::Samples(feed) => feed.order(pass),
            Self::Texts(feed) => Arc::new(feed.order(pass)),
        }
    }

    /// Whether a pass ends with a batch of a single sample where statistics of the batch are of use.
    pub fn ends_with_one(&self) -> bool {
        match self {
            Self::Samples(feed) => feed.last_batch() == 1,
            Self::Texts(_) => false,
        }
    }

    /// The shape of a sample where it reaches the network.
    pub fn input(&self) -> InputShape {
        match self {
            Self::Samples(feed) => feed.input(),
            Self::Texts(feed) => feed.input(),
        }
    }

    /// What the mean loss over the batches `batches` of `pass` divides by, whoever computes their gradients.
    ///
    /// # Errors
    /// The data cannot be read.
    pub fn weight(
        &self,
        criterion: &dyn Criterion,
        pass: u32,
        batches: Range<u32>,
    ) -> Result<f64, TrainError> {
        match self {
            Self::Samples(feed) => feed.weight(criterion, pass, batches),
            Self::Texts(feed) => feed.weight(criterion, pass, batches),
        }
    }

    /// How many samples, of texts rows, the batches `batches` of `pass` have, whoever computes their gradients.
    pub fn samples_of(&self, pass: u32, batches: Range<u32>) -> u64 {
        match self {
            Self::Samples(feed) => feed.samples_of(batches),
            Self::Texts(feed) => feed.samples_of(pass, batches),
        }
    }

    /// The batches of `pass` from `first` on, on `device`; of images also on the host where they are to be kept there.
    pub fn serve(&self, pass: u32, first: u32, device: &Device, keep_host: bool) -> StagedBatches {
        match self {
            Self::Samples(feed) => feed.serve(pass, first, device, keep_host),
            Self::Texts(feed) => feed.serve(pass, first, device),
        }
    }
}
