//! What a recipe means for a dataset: settled before anything is computed.

use super::class_weights::with_weights_in_order;
use super::error::TrainError;
use super::evaluate::filled_split;
use super::feed::{Feed, SampleFeed, TextFeed, TextReading};
use super::history::Monitored;
use super::meeting::Beginning;
use super::progress::EpochSteps;
use super::tasks::{Criterion, ModelTarget, Task, Tasks};
use crate::data::{
    Augmentation, Collation, Dataset, LoaderConfig, Normalization, RowRule, SampleOrder, Split, TargetScale,
    TextGoal, TextLoaderConfig, TokenRun,
};
use crate::metric::MetricTable;
use crate::schema::{FieldKind, InputShape};
use crate::spec::{
    self, DataFacts, Loss, Mistake, Model, PackedDocuments, SampleKind, SplitName, TargetKind, TaskRules,
    TextHead, TrainingLength,
};

/// Batches that are made ahead of the training step; each costs its size in memory.
const PREFETCH: usize = 2;

/// What a recipe means for a dataset.
pub struct Setup<'a> {
    /// What is predicted.
    pub task: &'a dyn Task,
    /// The architecture, with the head that the task needs.
    pub model: Model,
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
    /// How texts reach the network, where samples are texts.
    pub text: Option<TextReading>,
    /// The training split's batches.
    pub feed: Feed,
    /// The shape of a sample where it reaches the network.
    pub input: InputShape,
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
        let of_data = tasks.fitting(dataset, &recipe.model);
        let chosen = match &recipe.task {
            Some(name) => tasks.named(name),
            None => of_data,
        };
        let names = chosen.and_then(|task| task.outputs(dataset)).unwrap_or_default();
        let width = chosen.map_or(0, |task| match (task.rules().head, recipe.model.text()) {
            // Embeddings are as wide as the model.
            (TextHead::Similarity, Some(text)) => text.width,
            _ => task.width(dataset, &names),
        });
        check(
            recipe,
            dataset,
            tasks,
            of_data,
            &names,
            (&split, validation.is_some()),
        )?;
        let task = chosen
            .filter(|_| width > 0)
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
            width: (width != names.len()).then_some(width),
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
        let is_text = dataset.input().kind == FieldKind::Tokens;
        let text = is_text.then(|| reading(recipe, task));
        let normalization = match (&recipe.normalize, &beginning.normalization) {
            (Some(given), _) => Normalization::from_spec(given, dataset.input())?,
            // Weights that are kept see what they saw before.
            (None, Some(known)) => known.clone(),
            (None, None) => Normalization::measure(&split)?,
        };
        let (feed, mixes) = match &text {
            Some(text) => {
                let feed = text_feed(recipe, task, &target, text, &split, seed)?;
                (Feed::Texts(feed), false)
            }
            None => {
                let config = LoaderConfig {
                    batch_size: recipe.batch_size.get() as usize,
                    augment: recipe.augment.clone(),
                    normalization: normalization.clone(),
                    target_scale: target.scale.clone(),
                    collation: Collation::default(),
                    order: SampleOrder::Shuffled,
                    seed,
                    prefetch: PREFETCH,
                };
                let feed = SampleFeed::new(split.clone(), config, recipe.drop_last)?;
                let mixes = feed.mixes();
                (Feed::Samples(feed), mixes)
            }
        };
        let input = feed.input();
        if !is_text {
            check_evaluation(recipe, dataset, input)?;
        }
        if feed.batches() == 0 {
            let message = format!(
                "with `drop_last`, a `batch_size` of {} leaves nothing to train on",
                recipe.batch_size
            );
            return Err(Mistake::new(["batch_size"], message)
                .help("make it smaller")
                .into());
        }
        let loss = recipe.loss.clone().or_else(|| task.default_loss());
        let loss = loss.map(|loss| with_weights_in_order(loss, &target.names, &split));
        let model = recipe
            .model
            .with_head(rules.head)
            .unwrap_or_else(|| recipe.model.clone());
        Ok(Self {
            criterion: task.criterion(&target, loss.as_ref(), mixes)?,
            reported_loss: loss.as_ref().map(Loss::reported),
            monitored,
            steps: EpochSteps::new(recipe, feed.batches()),
            task,
            model,
            target,
            normalization,
            text,
            feed,
            input,
            other_outputs: beginning.other_outputs.clone(),
            validation,
        })
    }
}

/// Fails where the recipe asks for what the dataset does not have.
fn check(
    recipe: &spec::Train,
    dataset: &Dataset,
    tasks: &Tasks,
    of_data: Option<&dyn Task>,
    names: &[String],
    (split, validated): (&Split, bool),
) -> Result<(), TrainError> {
    let field = dataset.input();
    let is_text = field.kind == FieldKind::Tokens;
    let rules = of_data.map(Task::rules);
    // Documents are cut into rows, and of pairs each text is one of its own.
    let is_one = |kind| !matches!(kind, TargetKind::NextToken | TargetKind::Similarity);
    let is_whole = is_text && rules.is_some_and(|rules| is_one(rules.data));
    let longest = match is_whole {
        true => {
            let run = TokenRun::new(split)?;
            let lengths = (0..run.texts())
                .map(|text| run.text(text))
                .map(|text| text.end - text.start);
            lengths.max().map(|longest| longest as usize)
        }
        false => None,
    };
    let facts = DataFacts {
        task: rules,
        kind: Some(match (is_text, field.is_image()) {
            (true, _) => SampleKind::Texts,
            (false, true) => SampleKind::Images,
            (false, false) => SampleKind::Rows,
        }),
        longest,
        vocabulary: field
            .vocabulary
            .as_ref()
            .map(|vocabulary| vocabulary.size as usize),
        roles: field.vocabulary.as_ref().map(|vocabulary| vocabulary.roles),
        outputs: Some(names.len()),
        names,
        samples: (!is_text).then_some(split.len() as u64),
        validated: Some(validated),
    };
    let known: Vec<&TaskRules> = tasks.iter().map(Task::rules).collect();
    let mistakes = spec::recipe_mistakes(recipe, &facts, &known);
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(TrainError::Recipe(mistakes)),
    }
}

/// How texts reach the network.
fn reading(recipe: &spec::Train, task: &dyn Task) -> TextReading {
    let pack = recipe.pack.unwrap_or_default();
    let context = recipe.model.text().map_or(0, |text| text.context);
    let length = pack.length.map_or_else(
        || u32::try_from(context).unwrap_or(u32::MAX),
        std::num::NonZeroU32::get,
    );
    TextReading {
        length: matches!(task.text_goal(), TextGoal::NextToken | TextGoal::MaskedTokens)
            .then_some(length.max(1)),
        documents: pack.documents,
        batch_tokens: recipe.batch_tokens.map(std::num::NonZeroU32::get),
    }
}

/// The texts of the training split.
fn text_feed(
    recipe: &spec::Train,
    task: &dyn Task,
    target: &ModelTarget,
    text: &TextReading,
    split: &Split,
    seed: u64,
) -> Result<TextFeed, TrainError> {
    let batch_size = recipe.batch_size.get();
    let rows = match (recipe.length(), text.length) {
        // One window for each place of each batch of the training.
        (TrainingLength::Steps { steps, .. }, Some(length))
            if text.documents == PackedDocuments::Joined && task.text_goal() == TextGoal::NextToken =>
        {
            let fits = text
                .batch_tokens
                .map_or(batch_size, |most| batch_size.min(most / length));
            let rows = u64::from(steps) * u64::from(recipe.accumulate.get()) * u64::from(fits.max(1));
            let rows = u32::try_from(rows).map_err(|_| {
                let message = format!("{rows} windows are more than can be counted");
                Mistake::new(["steps"], message).help("train fewer steps, or on fewer and longer rows")
            })?;
            RowRule::Drawn {
                length: length.into(),
                rows,
            }
        }
        _ => text.rows(),
    };
    let config = TextLoaderConfig {
        rows,
        goal: task.text_goal(),
        batch_size: batch_size as usize,
        batch_tokens: text.batch_tokens.map(u64::from),
        order: SampleOrder::Shuffled,
        seed,
        target_scale: target.scale.clone(),
    };
    TextFeed::new(split, config, recipe.drop_last)
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
