//! How the `train` kind runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::data::Dataset;
use crate::event::Monitor;
use crate::spec::{Mistake, Train};
use crate::train::{
    self, CARD_FILE, ShorterTraining, SingleWorker, TrainError, Trained, Training, on_threads,
};

use super::{Job, Outcome, Registry, StageError, StageRunner};

/// Trains the model of a `train` job on its input `data`, from the weights of its input `init` where
/// there is one.
///
/// The artifact: `model.safetensors` (weights as PyTorch names and lays them out), `model.json`
/// (the card), `history.csv`, and `validations.csv` where validations within epochs were asked for.
/// The metrics: the selected epoch's `train_loss` and `train_accuracy` (for numbers `train_mae`)
/// and, with a val split, `val_loss` and `val_accuracy` (`val_mae`); `parameters` and `epochs`.
impl StageRunner for Train {
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let recipe = self;
        let data = job.input("data")?;
        let init = recipe.init.as_ref().map(|_| job.input("init")).transpose()?;
        let work = || {
            let dataset = Dataset::open(data)?;
            let task = Training {
                recipe,
                metrics: registry.vocabulary().metrics(),
                dataset: &dataset,
                init,
                seed: job.seed,
                identity: job.fingerprint.to_string(),
                scratch: &job.scratch,
                collective: &SingleWorker,
                limits: job.limits.as_ref(),
                shorter: job.shorter.as_ref().map(|shorter| ShorterTraining {
                    checkpoint: &shorter.checkpoint,
                    identity: shorter.fingerprint.to_string(),
                }),
                device: job.surroundings.device.open()?,
                components: registry.training(),
            };
            let trained = train::train(&task, monitor)?;
            write(&trained, job)?;
            Ok(trained)
        };
        let trained = on_threads(job.surroundings.threads, work)?;
        let mut metrics = trained.card.metrics;
        metrics.insert("parameters", trained.card.parameters as f64);
        metrics.insert("epochs", f64::from(trained.card.epochs));
        Ok(Outcome { metrics })
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>, registry: &Registry) -> Vec<Mistake> {
        let (Some(init), Some(path)) = (&self.init, files.get("init")) else {
            return Vec::new();
        };
        let problem = train::init_problem(&self.model, path, registry.training());
        let mistake = |problem| Mistake::new(["init", "from"], format!("`{}`: {problem}", init.from));
        problem.map(mistake).into_iter().collect()
    }
}

fn write(trained: &Trained, job: &Job) -> Result<(), TrainError> {
    train::write_weights(&job.output, &trained.weights)?;
    train::write_json(&job.output.join(CARD_FILE), &trained.card)?;
    train::write_history(&job.output, &trained.history)?;
    match &trained.validations {
        Some(validations) => train::write_validations(&job.output, trained.score, validations),
        None => Ok(()),
    }
}

impl From<TrainError> for StageError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Interrupted | TrainError::Data(crate::data::DataError::Stopped) => Self::Interrupted,
            TrainError::Paused { curve } => Self::Paused { curve },
            other => {
                let message = other.to_string();
                let mistakes = match other {
                    TrainError::Recipe(mistakes) | TrainError::Evaluation(mistakes) => mistakes,
                    _ => Vec::new(),
                };
                Self::Failed {
                    message,
                    transient: false,
                    mistakes,
                }
            }
        }
    }
}
