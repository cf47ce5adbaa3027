//! The training loop.
//!
//! A [`Trainer`] is made at its start or from a checkpoint (`starting`), goes epoch by epoch through
//! micro-batches and optimizer steps (`epoch`), judges the validation split when that is due
//! (`judging`), and keeps checkpoints and the selected weights (`keeping`). Where a training of fewer epochs
//! ended, one of more can go on (`lengthening`).

mod clock;
mod epoch;
mod judging;
mod keeping;
mod lengthening;
mod pretrained;
mod starting;

use std::path::Path;
use std::time::Instant;

use candle_core::Device;

use super::collective::Collective;
use super::components::Components;
use super::distillation::Distillation;
use super::ema::Ema;
use super::error::TrainError;
use super::history::{EpochFigures, Judgement};
use super::huggingface::PretrainedFolder;
use super::init_check::{has_card_beside, init_problem};
use super::loss_scale::LossScale;
use super::meeting::{Beginning, KnownModel};
use super::model_file::{Card, TrainedModel};
use super::optimizer::Optimizer;
use super::progress::TrainingState;
use super::schedule::LearningRate;
use super::setup::Setup;
use super::tensor_file::NamedTensors;
use crate::data::Dataset;
use crate::event::Monitor;
use crate::metric::MetricTable;
use crate::models::{Network, is_low_rank};
use crate::spec::{self, Mistake};

/// What is to be trained.
#[derive(Clone)]
pub struct Training<'a> {
    /// How.
    pub recipe: &'a spec::Train,
    /// What is known of metrics.
    pub metrics: &'a MetricTable,
    /// On what.
    pub dataset: &'a Dataset,
    /// Weights to begin with: a file of weights, or a folder that holds `model.safetensors`.
    pub init: Option<&'a Path>,
    /// A folder whose model this is, to begin with its weights. The recipe's model is what the folder describes.
    pub pretrained: Option<&'a PretrainedFolder>,
    /// The models that the recipe's `distill` names, in order.
    pub teachers: &'a [TrainedModel],
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
    /// Where a training of fewer epochs ended that is equal to this one but for that.
    pub shorter: Option<ShorterTraining<'a>>,
    /// Where to compute.
    pub device: Device,
    /// What the recipe chooses among.
    pub components: &'a Components,
}

/// The end of a training that is equal to another one but for the number of its epochs.
#[derive(Clone, Debug)]
pub struct ShorterTraining<'a> {
    /// Its last checkpoint.
    pub checkpoint: &'a Path,
    /// What names that training.
    pub identity: String,
}

/// A training's result.
#[derive(Clone, Debug)]
pub struct Trained {
    /// What the model is.
    pub card: Card,
    /// The selected weights and running statistics.
    pub weights: NamedTensors,
    /// The weights that stayed as they were, where low-rank changes were trained: then `weights` are the others.
    pub base: Option<NamedTensors>,
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
    let tasks = &task.components.tasks;
    let (dataset, beginning) = task.begin(monitor)?;
    let task = &Training {
        dataset: &dataset,
        ..task.clone()
    };
    let setup = Setup::new(
        task.recipe,
        task.dataset,
        tasks,
        task.metrics,
        task.seed,
        &beginning,
    )?;
    let distillation = Distillation::new(task, &setup, monitor)?;
    let mut trainer = Trainer::start(task, &setup, distillation.as_ref(), monitor)?;
    trainer.tell_kernels();
    trainer.announce()?;
    while trainer.goes_on() {
        trainer.pause_at_limits()?;
        trainer.epoch()?;
    }
    trainer.finish()
}

impl Training<'_> {
    /// The dataset as the model knows it that the training begins with, and what becomes of that model's
    /// output layer.
    fn begin(&self, monitor: &Monitor) -> Result<(Dataset, Beginning), TrainError> {
        let as_it_is = || Ok((self.dataset.clone(), Beginning::default()));
        let (Some(folder), Some(init)) = (self.init, &self.recipe.init) else {
            return as_it_is();
        };
        if !folder.is_dir() {
            let problem = init_problem(&self.recipe.model, folder, self.components);
            return match problem.filter(|_| has_card_beside(folder)) {
                Some(problem) => {
                    Err(Mistake::new(["init", "from"], format!("`{}`: {problem}", init.from)).into())
                }
                None => as_it_is(),
            };
        }
        let tasks = &self.components.tasks;
        let task = match &self.recipe.task {
            Some(name) => tasks.named(name),
            None => tasks.fitting(self.dataset, &self.recipe.model),
        };
        let (Some(known), Some(task)) = (KnownModel::read(folder, tasks)?, task) else {
            return as_it_is();
        };
        let standardized = self.recipe.standardize_targets;
        let met = known.meet_to_begin(self.dataset, task, standardized, self.scratch, monitor);
        met.map_err(|error| Mistake::new(["init", "from"], format!("`{}`: {error}", init.from)).into())
    }
}

struct Trainer<'a> {
    task: &'a Training<'a>,
    setup: &'a Setup<'a>,
    distillation: Option<&'a Distillation<'a>>,
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
        !stopped && self.progress.epoch < self.setup.steps.epochs()
    }

    /// The number of the model's parameters, frozen ones included.
    fn parameters(&self) -> u64 {
        let own = self.network.parameters().iter();
        let sizes = own
            .filter(|parameter| !is_low_rank(&parameter.name))
            .map(|parameter| parameter.var.elem_count() as u64);
        sizes.sum()
    }
}
