//! Where a training begins: at its start, or where its latest checkpoint left it.

use std::path::Path;
use std::time::Instant;

use candle_core::DType;

use super::{Trainer, Training};
use crate::event::{Activity, Monitor};
use crate::models::{Network, Pass};
use crate::spec::Precision;
use crate::train::checkpoint::Checkpoint;
use crate::train::ema::Ema;
use crate::train::error::TrainError;
use crate::train::gradients::all_finite;
use crate::train::loss_scale::LossScale;
use crate::train::model_file::{WEIGHTS_FILE, build};
use crate::train::optimizer::{Optimizer, parameter_settings};
use crate::train::progress::TrainingState;
use crate::train::schedule::LearningRate;
use crate::train::setup::Setup;
use crate::train::tensor_file::{decode, input_tensor, to_device};

impl<'a> Trainer<'a> {
    /// A training where its latest checkpoint left it, or at its start.
    pub(super) fn start(
        task: &'a Training<'a>,
        setup: &'a Setup<'a>,
        monitor: &'a Monitor,
    ) -> Result<Self, TrainError> {
        let new = || Self::new(task, setup, monitor);
        let mut trainer = new()?;
        trainer.check_smallest_batch()?;
        let warn = |warning| monitor.warn(warning);
        if let Some(checkpoint) = Checkpoint::read(task.scratch, &task.identity, warn) {
            match trainer.restore(checkpoint) {
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
        if let Some(path) = task.init {
            trainer.load_init(path)?;
        }
        Ok(trainer)
    }

    fn new(task: &'a Training<'a>, setup: &'a Setup<'a>, monitor: &'a Monitor) -> Result<Self, TrainError> {
        let recipe = task.recipe;
        let mut network = network(task, setup)?;
        let settings = parameter_settings(recipe, network.parameters())?;
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
            monitor,
            network,
        })
    }

    /// Begins with the weights in a file, or in the folder of a model.
    fn load_init(&mut self, path: &Path) -> Result<(), TrainError> {
        let path = if path.is_dir() {
            path.join(WEIGHTS_FILE)
        } else {
            path.to_owned()
        };
        let from = match &self.task.recipe.init {
            Some(init) => init.from.to_string(),
            None => path.display().to_string(),
        };
        let failed = |problem: String| TrainError::Init {
            from: from.clone(),
            problem,
        };
        let bytes =
            std::fs::read(&path).map_err(|error| failed(format!("cannot read the weights: {error}")))?;
        let (tensors, _) = decode(&bytes).map_err(|problem| {
            failed(format!(
                "this is no whole safetensors file ({problem}); PyTorch's state dicts become one by \
                 `safetensors.torch.save_file`"
            ))
        })?;
        let tensors = to_device(&tensors, &self.task.device).map_err(failed)?;
        for (name, tensor) in &tensors {
            if tensor.dtype() == DType::F32 && !all_finite(tensor)? {
                return Err(failed(format!("`{name}` holds values that are not finite")));
            }
        }
        let anew = self
            .network
            .load_pretrained(&tensors)
            .map_err(|error| failed(error.to_string()))?;
        self.monitor.info(match anew.as_slice() {
            [] => format!("begins with the weights of `{from}`"),
            anew => format!(
                "begins with the weights of `{from}`, but for the output layer ({}), which does not fit and \
                 is drawn anew",
                anew.join(", ")
            ),
        });
        Ok(())
    }

    /// A last micro-batch of one sample would stop a network with batch norm at the end of the first
    /// epoch; that is better known now.
    fn check_smallest_batch(&self) -> Result<(), TrainError> {
        if self.setup.steps.last_batch() != 1 {
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
        };
        trial.forward(&input, &pass)?;
        Ok(())
    }

    pub(super) fn announce(&self) {
        let recipe = self.task.recipe;
        self.monitor.emit(Activity::TrainingStarted {
            parameters: self.parameters(),
            samples: self.setup.steps.used(),
            epochs: recipe.epochs.get(),
            batches: self.setup.steps.batches(),
            threads: rayon::current_num_threads(),
            resumed_from: self.saved,
        });
        let name = match recipe.precision {
            Precision::F32 => return,
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        };
        if self.task.device.is_cpu() {
            self.monitor.info(format!(
                "on the CPU, `precision: {name}` is computed no faster than f32"
            ));
        }
    }
}

/// The network with its initial weights.
fn network(task: &Training<'_>, setup: &Setup<'_>) -> Result<Network, TrainError> {
    build(
        &task.components.models,
        &task.recipe.model,
        setup.input,
        setup.target.outputs(),
        task.seed,
        &task.device,
    )
}
