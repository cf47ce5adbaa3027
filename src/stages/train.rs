//! How the `train` kind runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::data::Dataset;
use crate::event::Monitor;
use crate::spec::{DistillOptions, Input, Mistake, PretrainedOptions, Train};
use crate::train::{
    self, CARD_FILE, Components, FolderWish, PretrainedFolder, ShorterTraining, SingleWorker, TrainError,
    Trained, TrainedModel, Training, on_threads,
};

use super::{Job, Outcome, Registry, StageError, StageRunner, own_tokenizer, whole_models};

/// Trains the model of a `train` job on its input `data`, from the weights of its input `init` where
/// there is one, and with what its inputs `teacher` say, where there are such.
///
/// The artifact: `model.safetensors` (weights as PyTorch names and lays them out), `model.json`
/// (the card), `history.csv`, and `validations.csv` where validations within epochs were asked for; of a model of texts
/// the folder `tokenizer` with that of its data.
/// With `lora`, the weights are two files: `adapter.safetensors`, what was trained, and `base.safetensors`, what was not.
/// The metrics: the selected epoch's `train_loss` and `train_accuracy` (for numbers `train_mae`)
/// and, with a val split, `val_loss` and `val_accuracy` (`val_mae`); `parameters` and `epochs`.
impl StageRunner for Train {
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let data = job.input("data")?;
        let init = self.init.as_ref().map(|_| job.input("init")).transpose()?;
        let base = match self.model.options::<PretrainedOptions>() {
            Some(options) => Some((options, job.input("pretrained")?)),
            None => None,
        };
        let teachers: Vec<Input> = self.distill.iter().flat_map(DistillOptions::inputs).collect();
        let teachers = teachers.into_iter().map(|input| {
            let folder = job.input(&input.role)?;
            Ok((input, folder))
        });
        let teachers = teachers.collect::<Result<Vec<(Input, &Path)>, StageError>>()?;
        let work = || {
            let dataset = Dataset::open(data)?;
            let device = job.surroundings.device.open()?;
            let folder = match base {
                Some((options, path)) => {
                    let folder = open_for(options, path, &dataset, registry.training());
                    Some(
                        folder
                            .map_err(pretrained_mistake)?
                            .called(options.from.to_string()),
                    )
                }
                None => None,
            };
            let described = folder.as_ref().map(|folder| Self {
                model: folder.model().clone(),
                ..self.clone()
            });
            let recipe = described.as_ref().unwrap_or(self);
            let teachers = teachers.iter().map(|(input, folder)| {
                TrainedModel::load(folder, &device, registry.training()).map_err(|error| {
                    Mistake::new(&input.path, format!("`{}`: {error}", input.reference)).into()
                })
            });
            let teachers = teachers.collect::<Result<Vec<TrainedModel>, TrainError>>()?;
            let task = Training {
                recipe,
                metrics: registry.vocabulary().metrics(),
                dataset: &dataset,
                init,
                pretrained: folder.as_ref(),
                teachers: &teachers,
                seed: job.seed,
                identity: job.fingerprint.to_string(),
                scratch: &job.scratch,
                collective: &SingleWorker,
                limits: job.limits.as_ref(),
                shorter: job.shorter.as_ref().map(|shorter| ShorterTraining {
                    checkpoint: &shorter.checkpoint,
                    identity: shorter.fingerprint.to_string(),
                }),
                device: device.clone(),
                components: registry.training(),
            };
            train::tell_unweighted(recipe.loss.as_ref(), &dataset.target().names, monitor);
            let trained = train::train(&task, monitor)?;
            write(&trained, job)?;
            if trained.card.text.is_some() {
                own_tokenizer::take_over(data, &job.output)?;
            }
            Ok(trained)
        };
        let trained = on_threads(job.surroundings.threads, work)?;
        let mut metrics = trained.card.metrics;
        metrics.insert("parameters", trained.card.parameters as f64);
        metrics.insert("epochs", f64::from(trained.card.epochs));
        Ok(Outcome { metrics })
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>, registry: &Registry) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if let (Some(init), Some(path)) = (&self.init, files.get("init")) {
            let problem = train::init_problem(&self.model, path, registry.training());
            let mistake = |problem| Mistake::new(["init", "from"], format!("`{}`: {problem}", init.from));
            mistakes.extend(problem.map(mistake));
        }
        if let (Some(options), Some(path)) =
            (self.model.options::<PretrainedOptions>(), files.get("pretrained"))
        {
            let components = registry.training();
            let checked = open(options, path, components).and_then(|folder| folder.check(&components.models));
            if let Err(problem) = checked {
                mistakes.push(pretrained(format!("`{}`: {problem}", options.from)));
            }
        }
        let teachers = self.distill.iter().flat_map(DistillOptions::inputs);
        mistakes.extend(whole_models::look_into(teachers, files));
        mistakes
    }
}

/// The folder of a model that is there.
fn open(
    options: &PretrainedOptions,
    path: &Path,
    components: &Components,
) -> Result<PretrainedFolder, String> {
    let wish = FolderWish {
        head: options.head,
        tied: options.tied,
        ..FolderWish::default()
    };
    PretrainedFolder::open(path, wish, components)
}

/// The same for a training on `dataset`: where no head is asked for, it is that of what is to be predicted.
fn open_for(
    options: &PretrainedOptions,
    path: &Path,
    dataset: &Dataset,
    components: &Components,
) -> Result<PretrainedFolder, String> {
    let folder = open(options, path, components)?;
    let task = components.tasks.fitting(dataset, folder.model());
    let wanted = task.map(|task| task.rules().head);
    match (options.head, wanted) {
        (None, Some(head)) if head != folder.head() => {
            let options = PretrainedOptions {
                head: Some(head),
                ..options.clone()
            };
            open(&options, path, components)
        }
        _ => Ok(folder),
    }
}

fn pretrained(problem: String) -> Mistake {
    Mistake::new(["model", "pretrained", "from"], problem)
}

fn pretrained_mistake(problem: String) -> TrainError {
    pretrained(problem).into()
}

fn write(trained: &Trained, job: &Job) -> Result<(), TrainError> {
    match &trained.base {
        Some(base) => train::write_adapter(&job.output, base, &trained.weights)?,
        None => train::write_weights(&job.output, &trained.weights)?,
    }
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
