//! Where a training begins: at its start, or where its latest checkpoint left it.

use std::path::Path;
use std::time::Instant;

use candle_core::DType;

use super::pretrained::load_pretrained;
use super::{Trainer, Training};
use crate::event::{Activity, Monitor};
use crate::models::{Network, Pass};
use crate::ops::{arithmetic, has_own_kernels};
use crate::spec::{Mistake, Precision, SplitName, TextHead, TrainingLength};
use crate::train::checkpoint::Checkpoint;
use crate::train::distillation::Distillation;
use crate::train::ema::{Ema, share_of_the_start};
use crate::train::error::TrainError;
use crate::train::gradients::all_finite;
use crate::train::huggingface::{NO_PAD, adapter_alone};
use crate::train::loss_scale::LossScale;
use crate::train::low_rank::{adapt, merged_weights};
use crate::train::optimizer::{Optimizer, parameter_settings};
use crate::train::progress::TrainingState;
use crate::train::schedule::LearningRate;
use crate::train::setup::Setup;
use crate::train::state_dict::{Fitting, StateDict, WantedTensors};
use crate::train::tensor_file::{input_tensor, to_device};

impl<'a> Trainer<'a> {
    /// A training where its latest checkpoint left it, or at its start.
    pub(super) fn start(
        task: &'a Training<'a>,
        setup: &'a Setup<'a>,
        distillation: Option<&'a Distillation<'a>>,
        monitor: &'a Monitor,
    ) -> Result<Self, TrainError> {
        let new = || Self::new(task, setup, distillation, monitor);
        let mut trainer = new()?;
        trainer.check_smallest_batch()?;
        let warn = |warning| monitor.warn(warning);
        let own = Checkpoint::read(task.scratch, &task.identity, warn);
        let shorter = trainer.read_shorter();
        let place = |checkpoint: &Checkpoint| (checkpoint.progress.epoch, checkpoint.progress.batch);
        let (checkpoint, goes_on) = match (own, shorter) {
            (Some(own), Some(shorter)) if place(&own) < place(&shorter) => (Some(shorter), true),
            (None, shorter) => (shorter, true),
            (own, _) => (own, false),
        };
        if let Some(checkpoint) = checkpoint {
            let length = match task.recipe.length() {
                TrainingLength::Epochs(_) => format!("{} epochs", checkpoint.progress.epoch),
                TrainingLength::Steps { .. } => format!("{} steps", checkpoint.progress.steps(setup.steps)),
            };
            match trainer.restore(checkpoint) {
                Ok(()) if goes_on => {
                    monitor.info(format!(
                        "goes on where a training of {length} ended that is equal but for their number"
                    ));
                    return Ok(trainer);
                }
                Ok(()) => return Ok(trainer),
                Err(problem) => {
                    monitor.warn(format!(
                        "the checkpoint in `{}` does not fit the model ({problem}); training starts anew",
                        task.scratch.display()
                    ));
                    trainer = new()?;
                }
            }
        }
        if task.recipe.lora.is_none() {
            take_over_weights(&trainer.network, task, setup, monitor)?;
        }
        Ok(trainer)
    }

    fn new(
        task: &'a Training<'a>,
        setup: &'a Setup<'a>,
        distillation: Option<&'a Distillation<'a>>,
        monitor: &'a Monitor,
    ) -> Result<Self, TrainError> {
        let recipe = task.recipe;
        let mut network = network(task, setup)?;
        // Low-rank changes are made of weights that are there, whether the training is new or goes on.
        let trained = match &recipe.lora {
            Some(options) => {
                take_over_weights(&network, task, setup, monitor)?;
                let trained = adapt(&mut network, options, task.seed);
                Some(trained.map_err(|problem| Mistake::new(["lora"], problem))?)
            }
            None => None,
        };
        let mut settings = parameter_settings(recipe, network.parameters())?;
        if let Some(trained) = &trained {
            for (parameter, settings) in network.parameters().iter().zip(&mut settings) {
                settings.frozen |= !trained.contains(&parameter.name);
            }
        }
        let frozen: Vec<String> = network
            .parameters()
            .iter()
            .zip(&settings)
            .filter(|(_, settings)| settings.frozen)
            .map(|(parameter, _)| parameter.name.clone())
            .collect();
        network.freeze(|name| frozen.iter().any(|frozen| frozen == name));
        Ok(Self {
            optimizer: Optimizer::new(
                task.components.optimizers.rule(&recipe.optimizer)?,
                network.parameters(),
                &settings,
            ),
            ema: recipe.ema.as_ref().map(|ema| Ema::new(ema, network.parameters())),
            loss_scale: (recipe.precision == Precision::F16).then(LossScale::default),
            rates: LearningRate::new(recipe, setup.monitored.better),
            progress: TrainingState::default(),
            best: None,
            saved: None,
            saved_at: Instant::now(),
            task,
            setup,
            distillation,
            monitor,
            network,
        })
    }

    /// A last micro-batch of one sample would stop a network with batch norm at the end of the first
    /// epoch; that is better known now.
    fn check_smallest_batch(&self) -> Result<(), TrainError> {
        if !self.setup.feed.ends_with_one() {
            return Ok(());
        }
        let trial = network(self.task, self.setup)?;
        let shape = self.setup.input;
        let input = input_tensor(vec![0.0; shape.len()], 1, shape, &self.task.device)?;
        let pass = Pass {
            train: true,
            precision: self.task.recipe.precision,
            seed: self.task.seed,
            epoch: 0,
            samples: &[0],
            sequences: None,
        };
        trial.forward(&input, &pass)?;
        Ok(())
    }

    /// Keeps what multiplies from now on, and tells where it is something else than before: what a training gives is a matter
    /// of its kernels.
    pub(super) fn tell_kernels(&mut self) {
        let own = arithmetic(self.task.recipe.precision, &self.task.device);
        let known = &mut self.progress.kernels;
        if let Some(last) = known.last().filter(|last| *last != own) {
            self.monitor.warn(format!(
                "the training began with kernels for {last}, and goes on with those for {own}: its result differs in the last \
                 bits from one that is made with either alone"
            ));
        }
        if known.last().is_none_or(|last| last != own) {
            known.push(own.to_owned());
        }
    }

    pub(super) fn announce(&self) -> Result<(), TrainError> {
        let recipe = self.task.recipe;
        self.monitor.emit(Activity::TrainingStarted {
            parameters: self.parameters(),
            samples: self.setup.feed.samples(),
            epochs: self.setup.steps.epochs(),
            batches: self.setup.steps.batches_of(self.progress.epoch),
            threads: rayon::current_num_threads(),
            resumed_from: self.saved,
        });
        if recipe.optimizer.lr() == 0.0 {
            self.monitor
                .warn("the learning rate is 0: nothing is learnt, and the weights stay as they begin");
        }
        if recipe.lora.is_some() {
            let sizes = |trained: bool| {
                let own = self
                    .network
                    .parameters()
                    .iter()
                    .filter(|parameter| !trained || !parameter.frozen);
                own.map(|parameter| parameter.var.elem_count()).sum::<usize>()
            };
            self.monitor.info(format!(
                "trains {} of {} parameters (`lora`)",
                sizes(true),
                sizes(false)
            ));
        }
        if let Some(distillation) = self.distillation {
            self.monitor.info(distillation.told());
        }
        if recipe.checkpoint_activations && !self.task.device.is_cpu() {
            self.monitor
                .warn("`checkpoint_activations` is for the CPU: on this device activations are kept");
        }
        self.warn_of_few_steps();
        self.warn_of_untrained_token();
        self.warn_of_missing_padding();
        self.warn_of_splits()?;
        if self.setup.target.scale.is_some() {
            self.monitor.info(
                "trains on standardised targets (mean 0, deviation 1): losses are of those, predictions and all \
                 other figures in the targets' own units",
            );
        }
        let name = match recipe.precision {
            Precision::F32 => return Ok(()),
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        };
        if self.task.device.is_cpu() && !has_own_kernels(recipe.precision) {
            self.monitor.info(format!(
                "on this processor, `precision: {name}` is computed no faster than f32"
            ));
        }
        Ok(())
    }

    /// Tells of splits whose figures say nothing.
    fn warn_of_splits(&self) -> Result<(), TrainError> {
        let trained = self.task.dataset.split(SplitName::Train);
        for split in trained.iter().chain(&self.setup.validation) {
            if let Some(problem) = self.setup.task.nothing_to_tell(split)? {
                self.monitor
                    .warn(format!("the split `{}`: {problem}", split.name().as_str()));
            }
        }
        Ok(())
    }

    /// Tells of a tokenizer that leaves the programs which embeddings are exported for nothing to fill up texts with.
    fn warn_of_missing_padding(&self) {
        let vocabulary = self.task.dataset.input().vocabulary.as_ref();
        if self.setup.task.rules().head == TextHead::Similarity
            && vocabulary.is_some_and(|vocabulary| vocabulary.roles.pad.is_none())
        {
            self.monitor
                .warn(format!("{NO_PAD}: give it one by `special: {{pad: \"<pad>\"}}`"));
        }
    }

    /// Tells of a token that is taken for what fills up texts, where the tokenizer says nothing of it.
    fn warn_of_untrained_token(&self) {
        let row = self.setup.model.text().and_then(|text| text.padding);
        let vocabulary = self.task.dataset.input().vocabulary.as_ref();
        if let (Some(row), Some(vocabulary)) = (row, vocabulary)
            && vocabulary.roles.pad.is_none()
        {
            self.monitor.warn(format!(
                "the embedding of the token {row} is not trained: `{}` takes it for what fills up texts (`padding`), and \
                 the tokenizer has no `pad`",
                self.setup.model.name()
            ));
        }
    }

    /// Tells what a recipe asks for that so few steps do not give.
    fn warn_of_few_steps(&self) {
        let (recipe, steps) = (self.task.recipe, &self.setup.steps);
        if recipe.accumulate.get() > steps.batches_of_pass() {
            self.monitor.warn(format!(
                "`accumulate: {}` is more than an epoch's micro-batches ({}): an epoch is one step over its samples ({})",
                recipe.accumulate,
                steps.batches_of_pass(),
                self.setup.feed.samples(),
            ));
        }
        let all = steps.total();
        if let Some(ema) = &recipe.ema
            && let Some(left) = share_of_the_start(ema.decay.get(), all)
        {
            self.monitor.warn(format!(
                "`ema`: after all {all} steps, {:.0} % of the average are still the weights of the first one (`decay: \
                 {}`); a smaller `decay` forgets them",
                left * 100.0,
                ema.decay.get(),
            ));
        }
    }
}

/// The network with its initial weights.
fn network(task: &Training<'_>, setup: &Setup<'_>) -> Result<Network, TrainError> {
    let (models, model, outputs) = (&task.components.models, &setup.model, setup.target.outputs());
    models
        .check(model, setup.input, outputs)
        .map_err(|error| Mistake::new(["model"], error.to_string()))?;
    Ok(models.build(model, setup.input, outputs, task.seed, &task.device)?)
}

/// Takes over the weights that the recipe begins with, where it names any.
fn take_over_weights(
    network: &Network,
    task: &Training<'_>,
    setup: &Setup<'_>,
    monitor: &Monitor,
) -> Result<(), TrainError> {
    if let Some(path) = task.init {
        load_init(network, task, setup, monitor, path)?;
    }
    if let Some(folder) = task.pretrained {
        load_pretrained(network, task, monitor, folder)?;
    }
    Ok(())
}

/// Begins with the weights in a file, or in the folder of a model.
fn load_init(
    network: &Network,
    task: &Training<'_>,
    setup: &Setup<'_>,
    monitor: &Monitor,
    path: &Path,
) -> Result<(), TrainError> {
    let from = match &task.recipe.init {
        Some(init) => init.from.to_string(),
        None => path.display().to_string(),
    };
    let failed = |problem: String| -> TrainError {
        Mistake::new(["init", "from"], format!("`{from}`: {problem}")).into()
    };
    if let Some(problem) = adapter_alone(path) {
        return Err(failed(problem));
    }
    let (tensors, told) = match merged_weights(path, task.components)? {
        Some(tensors) => (tensors, Vec::new()),
        None => {
            let file = StateDict::open(path).map_err(failed)?;
            let wanted = WantedTensors::of(task.recipe.model.name(), network.layout());
            let fitting = Fitting::find(&wanted, &file).map_err(failed)?;
            (fitting.read(&file).map_err(failed)?, fitting.told())
        }
    };
    let tensors = to_device(&tensors, &task.device).map_err(failed)?;
    for (name, tensor) in &tensors {
        if tensor.dtype() == DType::F32 && !all_finite(tensor)? {
            return Err(failed(format!(
                "`{name}` holds values that are not finite (in f32)"
            )));
        }
    }
    let other_outputs = setup.other_outputs.as_deref();
    let anew = network
        .load_pretrained(&tensors, other_outputs.is_none())
        .map_err(|error| failed(error.to_string()))?;
    monitor.info(match anew.as_slice() {
        [] => format!("begins with the weights of `{from}`"),
        anew => format!(
            "begins with the weights of `{from}`, but for the output layer ({}), which {} and is drawn anew",
            anew.join(", "),
            match other_outputs {
                Some(reason) => format!("is of no use here ({reason})"),
                None => "does not fit".to_owned(),
            }
        ),
    });
    for told in told {
        monitor.info(format!("`{from}`: {told}"));
    }
    Ok(())
}
