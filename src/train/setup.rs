//! What a recipe means for a dataset: settled before anything is computed.

use super::class_weights::with_weights_in_order;
use super::error::TrainError;
use super::evaluate::filled_split;
use super::history::Monitored;
use super::meeting::Beginning;
use super::progress::EpochSteps;
use super::tasks::{Criterion, ModelTarget, Task, Tasks};
use crate::data::{
    Augmentation, Collation, Dataset, Loader, LoaderConfig, Normalization, Split, TargetScale,
};
use crate::metric::MetricTable;
use crate::schema::InputShape;
use crate::spec::{self, DataFacts, Loss, Mistake, SplitName, TaskRules};

/// Batches that are made ahead of the training step; each costs its size in memory.
const PREFETCH: usize = 2;

/// What a recipe means for a dataset.
pub struct Setup<'a> {
    /// What is predicted.
    pub task: &'a dyn Task,
    /// The outputs.
    pub target: ModelTarget,
    /// How outputs are compared with targets.
    pub criterion: Box<dyn Criterion>,
    /// What validation and evaluation report as the loss; nothing where the task has one of its own.
    pub reported_loss: Option<Loss>,
    /// The figure that decides.
    pub monitored: Monitored,
    /// What is done to each channel (or column).
    pub normalization: Normalization,
    /// The training split's batches.
    pub loader: Loader,
    /// The shape of a sample where it reaches the network.
    pub input: InputShape,
    /// The training split.
    pub split: Split,
    /// The validation split, where it has samples.
    pub validation: Option<Split>,
    /// Why weights to begin with bring no output layer for this, where they do not.
    pub other_outputs: Option<String>,
    /// How micro-batches form steps.
    pub steps: EpochSteps,
}

impl<'a> Setup<'a> {
    /// Settles `recipe` for `dataset`, where `tasks` are those that there are, `metrics` tells which way
    /// they are better, and the weights begin as `beginning` says.
    ///
    /// # Errors
    /// The recipe asks for what the dataset does not have, or does not fit it.
    pub fn new(
        recipe: &spec::Train,
        dataset: &Dataset,
        tasks: &'a Tasks,
        metrics: &MetricTable,
        seed: u64,
        beginning: &Beginning,
    ) -> Result<Self, TrainError> {
        let split = filled_split(dataset, SplitName::Train)?;
        let validation = dataset.split(SplitName::Val).filter(|split| !split.is_empty());
        let of_data = tasks.of(dataset);
        let chosen = match &recipe.task {
            Some(name) => tasks.named(name),
            None => of_data,
        };
        let names = chosen.and_then(|task| task.outputs(dataset)).unwrap_or_default();
        let facts = DataFacts {
            task: of_data.map(Task::rules),
            images: Some(dataset.input().is_image()),
            outputs: Some(names.len()),
            names: &names,
            samples: Some(split.len() as u64),
            validated: Some(validation.is_some()),
        };
        let known: Vec<&TaskRules> = tasks.iter().map(Task::rules).collect();
        let mistakes = spec::recipe_mistakes(recipe, &facts, &known);
        if !mistakes.is_empty() {
            return Err(TrainError::Recipe(mistakes));
        }
        let task = chosen
            .filter(|_| !names.is_empty())
            .ok_or_else(|| TrainError::NothingToPredict {
                data: recipe.data.to_string(),
            })?;
        let rules = task.rules();
        let monitor = recipe.monitor.clone();
        let name = monitor.unwrap_or_else(|| rules.monitor.to_owned());
        let Some(better) = metrics.better("", &name) else {
            let message = format!("nothing says which way `{name}` is better");
            let help = "monitor `val_loss`, or have the program add it to its metrics";
            return Err(Mistake::new(["monitor"], message).help(help).into());
        };
        let monitored = Monitored { name, better };
        let target = ModelTarget {
            task: rules.name.to_owned(),
            names,
            // Weights that are kept give what they gave before.
            scale: match &beginning.scale {
                Some(scale) => scale.clone(),
                None => {
                    let standardized = recipe.standardize_targets.unwrap_or(rules.standardizes);
                    standardized.then(|| target_scale(&split))
                }
            },
        };
        let normalization = match &recipe.normalize {
            Some(given) => Normalization::from_spec(given, dataset.input())?,
            None => Normalization::measure(&split)?,
        };
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
        let loader = Loader::new(split.clone(), config)?;
        let input = loader.shape()?;
        check_evaluation(recipe, dataset, input)?;
        let loss = recipe.loss.clone().or_else(|| task.default_loss());
        let loss = loss.map(|loss| with_weights_in_order(loss, &target.names, &split));
        Ok(Self {
            criterion: task.criterion(&target, loss.as_ref(), loader.mixes())?,
            reported_loss: loss.as_ref().map(Loss::reported),
            monitored,
            steps: EpochSteps::new(recipe, split.len() as u64),
            task,
            target,
            normalization,
            loader,
            input,
            other_outputs: beginning.other_outputs.clone(),
            split,
            validation,
        })
    }
}

fn target_scale(split: &Split) -> TargetScale {
    let (mean, std) = split.target_moments();
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    TargetScale {
        mean: narrow(mean),
        std: narrow(std),
    }
}

/// Images that are judged must reach the network in the size that it is trained for.
fn check_evaluation(recipe: &spec::Train, dataset: &Dataset, trained: InputShape) -> Result<(), TrainError> {
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
        InputShape::Features { .. } | InputShape::Tokens { .. } => "[]".to_owned(),
    };
    let message = format!(
        "with `augment` the network is trained on samples of {}, and with `eval_transforms` it would be judged \
         on {judged}",
        trained.of_sample()
    );
    let help = format!("let both end in one size, such as by `eval_transforms: {example}`");
    Err(Mistake::new(["eval_transforms"], message).help(help).into())
}
