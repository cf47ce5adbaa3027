//! How the `train` kind runs.

use crate::data::Dataset;
use crate::event::Monitor;
use crate::spec::{ArtifactTable, Train};
use crate::train::{self, CARD_FILE, SingleWorker, TrainError, Trained, Training, on_threads};

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
                device: job.surroundings.device.open()?,
                components: registry.training(),
            };
            let trained = train::train(&task, monitor)?;
            write(&trained, job)?;
            Ok(trained)
        };
        let trained = on_threads(job.surroundings.threads, work)?;
        let mut metrics = trained.card.metrics;
        metrics.insert("parameters".to_owned(), trained.card.parameters as f64);
        metrics.insert("epochs".to_owned(), f64::from(trained.card.epochs));
        Ok(Outcome { metrics })
    }
}

fn write(trained: &Trained, job: &Job) -> Result<(), TrainError> {
    train::write_weights(&job.output, &trained.weights)?;
    train::write_json(&job.output.join(CARD_FILE), &trained.card)?;
    train::write_history(&job.output.join(ArtifactTable::HISTORY.name), &trained.history)?;
    match &trained.validations {
        Some(validations) => {
            let path = job.output.join(ArtifactTable::VALIDATIONS.name);
            train::write_validations(&path, trained.score, validations)
        }
        None => Ok(()),
    }
}

impl From<TrainError> for StageError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Interrupted | TrainError::Data(crate::data::DataError::Stopped) => Self::Interrupted,
            TrainError::Paused { curve } => Self::Paused { curve },
            other => Self::failed(other.to_string()),
        }
    }
}
