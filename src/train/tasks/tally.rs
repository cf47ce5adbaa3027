//! Figures of a model over a split.

use std::path::Path;

use super::TaskTally;
use crate::data::{Array, Split};
use crate::train::error::TrainError;

/// What is counted over the samples of a split: the loss, and what their task counts.
#[derive(Debug)]
pub struct SplitTally {
    samples: u64,
    /// Those that count: not the samples of an ignored class.
    counted: u64,
    loss: f64,
    weight: f64,
    figures: Box<dyn TaskTally>,
}

impl SplitTally {
    /// Nothing yet.
    pub fn new(figures: Box<dyn TaskTally>) -> Self {
        Self {
            samples: 0,
            counted: 0,
            loss: 0.0,
            weight: 0.0,
            figures,
        }
    }

    /// Adds the sample `index` of `split`, which a batch with targets had at a place: its outputs, and its loss with its
    /// weight, as [`Criterion::sample_losses`](super::Criterion::sample_losses) gives them. A sample of weight 0, as one of
    /// an ignored class, counts in no figure.
    ///
    /// Adds nothing and gives false where an output is not finite.
    ///
    /// # Errors
    /// The split does not hold what the task predicts.
    pub fn add(
        &mut self,
        outputs: &[f32],
        served: (&Array, usize),
        split: &Split,
        index: usize,
        loss: (f64, f64),
    ) -> Result<bool, TrainError> {
        if outputs.iter().any(|output| !output.is_finite()) {
            return Ok(false);
        }
        self.samples += 1;
        let (value, weight) = loss;
        if weight != 0.0 {
            self.figures.add_served(outputs, served, split, index)?;
            self.figures.add_loss(value, weight);
            self.counted += 1;
            self.loss += value;
            self.weight += weight;
        }
        Ok(true)
    }

    /// Says that the samples are a part of their split, over which the divisor of the loss is `whole`.
    pub fn add_rest(&mut self, whole: f64) {
        self.figures.add_rest(whole);
    }

    /// How many samples were added.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// How many of them count.
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// The mean loss; 0 where nothing counts.
    pub fn loss(&self) -> f64 {
        if self.weight > 0.0 {
            self.loss / self.weight
        } else {
            0.0
        }
    }

    /// The figure `name`; nothing where the task does not have it, or it is not defined for the
    /// samples.
    pub fn figure(&self, name: &str) -> Option<f64> {
        if self.counted == 0 {
            return None;
        }
        if name == "loss" {
            return Some(self.loss());
        }
        self.figures.figure(name)
    }

    /// Writes the files of the metric `metric` into `folder`, where it has any. `names` are those of the
    /// outputs.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, metric: &str, names: &[String], folder: &Path) -> Result<(), TrainError> {
        self.figures.write(metric, names, folder)
    }
}
