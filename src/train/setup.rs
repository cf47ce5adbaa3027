//! What a recipe means for a dataset: settled before anything is computed.

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::evaluate::filled_split;
use super::history::Score;
use super::progress::Steps;
use crate::data::{
    Augmentation, Collation, Dataset, Loader, LoaderConfig, Normalization, Split, TargetScale,
};
use crate::ops;
use crate::schema::InputShape;
use crate::spec::{self, Loss, Monitored, Schedule, Select, SplitName, Task};

/// Batches that are made ahead of the training step; each costs its size in memory.
const PREFETCH: usize = 2;

/// What a recipe means for a dataset.
pub struct Setup {
    /// What is to be predicted.
    pub target: Target,
    /// What is minimised.
    pub loss: ops::Loss,
    /// What validation and evaluation report as the loss.
    pub judged_by: Loss,
    /// The figure that decides.
    pub monitored: Monitored,
    /// What is done to each channel (or column).
    pub normalization: Normalization,
    /// The training split's batches.
    pub loader: Loader,
    /// The shape of a sample where it reaches the network.
    input: InputShape,
    /// The validation split, where it has samples.
    pub validation: Option<Split>,
    /// How micro-batches form steps.
    pub steps: Steps,
}

/// What a model predicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Of what kind it is.
    pub task: Task,
    /// The classes', labels' or numbers' names, in the order of the outputs.
    pub names: Vec<String>,
    /// In regression, how targets were shifted and scaled.
    pub scale: Option<TargetScale>,
}

impl Target {
    /// How many outputs a sample gets.
    pub fn outputs(&self) -> usize {
        self.names.len()
    }

    /// What is told beside the loss.
    pub fn score(&self) -> Score {
        match self.task {
            Task::Classification | Task::MultiLabel => Score::Accuracy,
            Task::Regression => Score::Mae,
        }
    }

    /// The names of what a dataset asks to be predicted.
    pub fn names_of(dataset: &Dataset) -> &[String] {
        &dataset.target().names
    }
}

impl Setup {
    /// Settles `recipe` for `dataset`.
    ///
    /// # Errors
    /// The recipe asks for what the dataset does not have, or does not fit it.
    pub fn new(recipe: &spec::Train, dataset: &Dataset, seed: u64) -> Result<Self, TrainError> {
        let split = filled_split(dataset, SplitName::Train)?;
        let validation = dataset.split(SplitName::Val).filter(|split| !split.is_empty());
        let target = Target {
            task: dataset.task()?,
            names: Target::names_of(dataset).to_vec(),
            scale: target_scale(recipe, &split)?,
        };
        let monitored = monitored(recipe, target.task, validation.is_some())?;
        let loss = recipe.loss.clone().unwrap_or_else(|| default_loss(target.task));
        let normalization = match &recipe.normalize {
            Some(given) => Normalization::from_spec(given, dataset.input())?,
            None => Normalization::measure(&split)?,
        };
        let steps = Steps::new(recipe, split.len() as u64);
        check_steps(recipe, steps, split.len())?;
        check_validations(recipe, steps)?;
        let config = LoaderConfig {
            batch_size: recipe.batch_size.get() as usize,
            augment: recipe.augment.clone(),
            normalization: normalization.clone(),
            target_scale: target.scale.clone(),
            collation: Collation::default(),
            shuffle: true,
            seed,
            prefetch: PREFETCH,
        };
        let loader = Loader::new(split, config)?;
        let input = loader.shape()?;
        check_evaluation(recipe, dataset, input)?;
        Ok(Self {
            loss: training_loss(&loss, &target)?,
            judged_by: plain(&loss),
            loader,
            input,
            target,
            monitored,
            normalization,
            validation,
            steps,
        })
    }

    /// What each sample is when it reaches the network.
    pub fn input(&self) -> InputShape {
        self.input
    }
}

fn default_loss(task: Task) -> Loss {
    match task {
        Task::Classification => Loss::CrossEntropy(spec::CrossEntropy::default()),
        Task::MultiLabel => Loss::BinaryCrossEntropy(spec::BinaryCrossEntropy::default()),
        Task::Regression => Loss::Mse(spec::Mse::default()),
    }
}

/// The loss without what only shapes the training: smoothing and weights.
fn plain(loss: &Loss) -> Loss {
    match loss {
        Loss::CrossEntropy(given) => Loss::CrossEntropy(spec::CrossEntropy {
            ignore_index: given.ignore_index,
            ..spec::CrossEntropy::default()
        }),
        Loss::BinaryCrossEntropy(_) => Loss::BinaryCrossEntropy(spec::BinaryCrossEntropy::default()),
        Loss::Mse(_) | Loss::Huber(_) => loss.clone(),
    }
}

/// The loss as an operation, whatever data it is for.
pub fn loss_operation(loss: &Loss) -> ops::Loss {
    match loss {
        Loss::CrossEntropy(given) => ops::Loss::CrossEntropy {
            label_smoothing: given.label_smoothing.get(),
            class_weights: given
                .class_weights
                .as_ref()
                .map(|weights| weights.iter().map(|weight| weight.get() as f32).collect()),
            ignore_index: given.ignore_index,
        },
        Loss::BinaryCrossEntropy(given) => ops::Loss::BinaryCrossEntropy {
            pos_weight: given
                .pos_weight
                .as_ref()
                .map(|weights| weights.iter().map(|weight| weight.get() as f32).collect()),
        },
        Loss::Mse(_) => ops::Loss::Mse,
        Loss::Huber(given) => ops::Loss::Huber {
            delta: given.delta.get(),
        },
    }
}

/// The loss as an operation, if it fits what is to be predicted.
fn training_loss(loss: &Loss, target: &Target) -> Result<ops::Loss, TrainError> {
    let outputs = target.outputs();
    if loss.task() != target.task {
        return Err(TrainError::Recipe(format!(
            "`loss: {}` does not fit the dataset, which has {} to predict: use {}, or leave `loss` out",
            loss.as_str(),
            target.task.predicts(),
            Loss::choices(target.task)
        )));
    }
    let count = |what: &str, given: Option<usize>| match given {
        Some(given) if given != outputs => Err(TrainError::Recipe(format!(
            "`{what}` of the loss has {given} values, and the dataset has {outputs} ({})",
            shortened(&target.names)
        ))),
        _ => Ok(()),
    };
    match loss {
        Loss::CrossEntropy(given) => {
            count("class_weights", given.class_weights.as_ref().map(Vec::len))?;
            if let Some(weights) = &given.class_weights
                && weights.iter().all(|weight| weight.get() == 0.0)
            {
                return Err(TrainError::Recipe("every one of `class_weights` is 0".into()));
            }
            if let Some(index) = given.ignore_index
                && index as usize >= outputs
            {
                return Err(TrainError::Recipe(format!(
                    "`ignore_index: {index}` is no class: the dataset has {outputs}, counted from 0"
                )));
            }
        }
        Loss::BinaryCrossEntropy(given) => count("pos_weight", given.pos_weight.as_ref().map(Vec::len))?,
        Loss::Mse(_) | Loss::Huber(_) => {}
    }
    Ok(loss_operation(loss))
}

fn target_scale(recipe: &spec::Train, split: &Split) -> Result<Option<TargetScale>, TrainError> {
    if !recipe.standardize_targets {
        return Ok(None);
    }
    if split.task()? != Task::Regression {
        return Err(TrainError::Recipe(
            "`standardize_targets` is for numbers to predict, and the dataset has classes or labels: leave it out"
                .into(),
        ));
    }
    let (mean, std) = split.target_moments();
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    Ok(Some(TargetScale {
        mean: narrow(mean),
        std: narrow(std),
    }))
}

fn monitored(recipe: &spec::Train, task: Task, validated: bool) -> Result<Monitored, TrainError> {
    let asks = if recipe.select == Select::Best {
        Some("`select: best` chooses the weights")
    } else if recipe.early_stop.is_some() {
        Some("`early_stop` ends the training")
    } else if matches!(recipe.schedule, Schedule::Plateau(_)) {
        Some("`schedule: plateau` lowers the learning rate")
    } else {
        None
    };
    if let (Some(asks), false) = (asks, validated) {
        return Err(TrainError::NoValidation { asks });
    }
    let default = match task {
        Task::Classification => Monitored::ValAccuracy,
        Task::MultiLabel | Task::Regression => Monitored::ValLoss,
    };
    let monitored = recipe.monitor.unwrap_or(default);
    if !monitored.is_measured(task) {
        return Err(TrainError::Recipe(format!(
            "`monitor: {}` is not measured on this dataset: use {}",
            monitored.as_str(),
            Monitored::choices(task)
        )));
    }
    Ok(monitored)
}

fn check_steps(recipe: &spec::Train, steps: Steps, samples: usize) -> Result<(), TrainError> {
    let batches = steps.batches();
    if batches == 0 {
        return Err(TrainError::Recipe(format!(
            "with `drop_last`, a `batch_size` of {} leaves none of the {samples} training samples: make it smaller",
            recipe.batch_size
        )));
    }
    if recipe.accumulate.get() > batches {
        return Err(TrainError::Recipe(format!(
            "`accumulate: {}` sums over more micro-batches than an epoch has: {samples} training samples make \
             {batches} of `batch_size` {}; use a smaller one",
            recipe.accumulate, recipe.batch_size
        )));
    }
    Ok(())
}

/// What goes by validations needs one before the training ends.
fn check_validations(recipe: &spec::Train, steps: Steps) -> Result<(), TrainError> {
    let what = if matches!(recipe.schedule, Schedule::Plateau(_)) {
        "`schedule: plateau`"
    } else if recipe.early_stop.is_some() {
        "`early_stop`"
    } else {
        return Ok(());
    };
    let (epochs, every) = (recipe.epochs.get(), &recipe.validate);
    let by_epoch = match (every.epochs, every.steps) {
        (Some(every), _) => every.get() < epochs,
        (None, None) => epochs > 1,
        (None, Some(_)) => false,
    };
    let before_the_last = u64::from(epochs - 1) * u64::from(steps.per_epoch());
    let by_step = every
        .steps
        .is_some_and(|every| u64::from(every.get()) <= before_the_last);
    if by_epoch || by_step {
        return Ok(());
    }
    Err(TrainError::Recipe(format!(
        "{what} goes by validations, and none falls before the last of {epochs} epochs ({} steps each): validate \
         more often, or leave it out",
        steps.per_epoch()
    )))
}

/// Images that are judged must reach the network in the size that it is trained for.
fn check_evaluation(recipe: &spec::Train, dataset: &Dataset, trained: InputShape) -> Result<(), TrainError> {
    if !recipe.eval_transforms.is_empty() && !dataset.input().is_image() {
        return Err(TrainError::Recipe(
            "`eval_transforms` changes images, and the data is a table: leave it out".to_owned(),
        ));
    }
    let transforms: Vec<spec::Augment> = recipe.eval_transforms.iter().map(spec::Augment::from).collect();
    let evaluation = Augmentation::new(&transforms, dataset.schema())?;
    let judged = evaluation.input_after();
    if judged.input_shape() == Some(trained) {
        return Ok(());
    }
    let example = match trained {
        InputShape::Image { height, width, .. } if height == width => {
            format!("[{{resize: {{size: {height}}}}}, {{center_crop: {{size: {height}}}}}]")
        }
        InputShape::Image { height, width, .. } => format!("[{{resize: {{size: [{height}, {width}]}}}}]"),
        InputShape::Features { .. } => "[]".to_owned(),
    };
    Err(TrainError::Recipe(format!(
        "with `augment` the network is trained on samples of {}, and with `eval_transforms` it would be \
         judged on {judged}: let both end in one size, such as by `eval_transforms: {example}`",
        trained.of_sample()
    )))
}

/// The first of a list of names.
pub fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}
