//! The training loop.
//!
//! A [`Trainer`] is made at its start or from a checkpoint (`starting`), goes epoch by epoch through
//! micro-batches and optimizer steps (`epoch`), judges the validation split when that is due
//! (`judging`), and keeps checkpoints and the selected weights (`keeping`).

mod clock;
mod epoch;
mod judging;
mod keeping;
mod starting;

use std::path::Path;
use std::time::Instant;

use candle_core::Device;

use super::collective::Collective;
use super::components::Components;
use super::ema::Ema;
use super::error::TrainError;
use super::history::{EpochFigures, Judgement};
use super::loss_scale::LossScale;
use super::model_file::Card;
use super::optimizer::Optimizer;
use super::progress::TrainingState;
use super::schedule::LearningRate;
use super::setup::Setup;
use super::tensor_file::NamedTensors;
use crate::data::Dataset;
use crate::event::Monitor;
use crate::metric::MetricTable;
use crate::models::Network;
use crate::spec;

/// What is to be trained.
#[derive(Clone)]
pub struct Training<'a> {
    /// How.
    pub recipe: &'a spec::Train,
    /// What is known of metrics.
    pub metrics: &'a MetricTable,
    /// On what.
    pub dataset: &'a Dataset,
    /// Weights to begin with: a safetensors file, or a folder that holds `model.safetensors`.
    pub init: Option<&'a Path>,
    /// The seed of everything drawn.
    pub seed: u64,
    /// What names this training: only a checkpoint with the same name is continued.
    pub identity: String,
    /// Where checkpoints are kept.
    pub scratch: &'a Path,
    /// The workers that train together.
    pub collective: &'a dyn Collective,
    /// How far to go for now; nothing means to the end.
    pub limits: Option<&'a spec::EpochLimits>,
    /// Where to compute.
    pub device: Device,
    /// What the recipe chooses among.
    pub components: &'a Components,
}

/// A training's result.
#[derive(Clone, Debug)]
pub struct Trained {
    /// What the model is.
    pub card: Card,
    /// The selected weights and running statistics.
    pub weights: NamedTensors,
    /// The name of the score, the metric that stands beside the loss.
    pub score: &'static str,
    /// What each epoch gave.
    pub history: Vec<EpochFigures>,
    /// The validations, where they were asked for within epochs.
    pub validations: Option<Vec<Judgement>>,
}

/// Trains, from the latest checkpoint where there is one. The result is the same to the bit whether
/// or not it was interrupted on the way.
///
/// Run it on a thread with a large stack: the backward pass recurses over the network's depth.
///
/// # Errors
/// [`TrainError::Interrupted`], with a checkpoint written, soon after the monitor asks to stop;
/// [`TrainError::Paused`], likewise, after the epoch at which the task's limits end; the recipe does
/// not fit the dataset; the training diverges; data cannot be read; a checkpoint cannot be written.
pub fn train(task: &Training<'_>, monitor: &Monitor) -> Result<Trained, TrainError> {
    let setup = Setup::new(
        task.recipe,
        task.dataset,
        &task.components.tasks,
        task.metrics,
        task.seed,
    )?;
    let mut trainer = Trainer::start(task, &setup, monitor)?;
    trainer.announce();
    while trainer.goes_on() {
        trainer.pause_at_limits()?;
        trainer.epoch()?;
    }
    trainer.finish()
}

struct Trainer<'a> {
    task: &'a Training<'a>,
    setup: &'a Setup<'a>,
    monitor: &'a Monitor,
    rates: LearningRate,
    network: Network,
    optimizer: Optimizer,
    ema: Option<Ema>,
    loss_scale: Option<LossScale>,
    progress: TrainingState,
    best: Option<NamedTensors>,
    /// Where the latest checkpoint stands: finished epochs, and batches within the next.
    saved: Option<(u32, u32)>,
    /// When it was written.
    saved_at: Instant,
}

impl Trainer<'_> {
    fn goes_on(&self) -> bool {
        // An epoch that is under way is finished.
        let stopped = self.progress.stopped_early && self.progress.batch == 0;
        !stopped && self.progress.epoch < self.task.recipe.epochs.get()
    }

    /// The number of parameters, frozen ones included.
    fn parameters(&self) -> u64 {
        let sizes = self
            .network
            .parameters()
            .iter()
            .map(|parameter| parameter.var.elem_count() as u64);
        sizes.sum()
    }
}
