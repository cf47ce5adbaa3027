//! What can go wrong in training and evaluation.

use std::io;
use std::path::{Path, PathBuf};

use crate::data::DataError;
use crate::models::ModelError;
use crate::ops::OpError;
use crate::spec::Mistake;

/// Why training, evaluation or a model's file failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// It was asked to stop; a checkpoint stands in the scratch folder.
    #[error("interrupted")]
    Interrupted,
    /// It reached the limits of its task; a checkpoint stands in the scratch folder.
    #[error("paused after epoch {}", curve.len())]
    Paused {
        /// The judged figure of each epoch so far.
        curve: Vec<f64>,
    },
    /// An optimizer that can be named but not followed.
    #[error(
        "this program cannot train with `{name}`: its options are known and its arithmetic is not; add it to \
         the program's optimizers"
    )]
    UnknownOptimizer {
        /// Its name.
        name: &'static str,
    },
    /// The loss is infinite or not a number.
    #[error(
        "the loss is {loss} in epoch {epoch}, batch {batch} (learning rate {lr:?}): the training has \
         diverged; lower the learning rate, add a `warmup`{precision_hint}"
    )]
    NonFiniteLoss {
        /// From 1.
        epoch: u32,
        /// From 1, within the epoch.
        batch: u32,
        /// The loss.
        loss: f64,
        /// The learning rate in effect.
        lr: f64,
        /// What else to try where the precision is not f32.
        precision_hint: &'static str,
    },
    /// A weight became infinite or not a number.
    #[error(
        "the parameter `{name}` has values that are not finite after epoch {epoch}: the training has \
         diverged; lower the learning rate, add a `warmup`{precision_hint}"
    )]
    NonFiniteWeights {
        /// The parameter.
        name: String,
        /// From 1.
        epoch: u32,
        /// What else to try where the precision is not f32.
        precision_hint: &'static str,
    },
    /// The loss scale backed off again and again.
    #[error(
        "gradients overflow in f16 even with a loss scale under {floor}: the training has diverged; \
         lower the learning rate, add a `warmup`, or use `precision: bf16` or `f32`"
    )]
    LossScaleExhausted {
        /// The smallest scale that is tried.
        floor: f64,
    },
    /// A logit is infinite or not a number.
    #[error(
        "the model's output for sample {index} of the {split} split is not finite: the weights or the \
         sample are damaged, or the training has diverged; look at the loss in the model's history.csv"
    )]
    NonFiniteLogits {
        /// The sample's index in the split.
        index: usize,
        /// The split.
        split: &'static str,
    },
    /// The dataset does not hold what any task predicts.
    #[error("`{data}` does not hold what any known task predicts; choose one that fits by `task`")]
    NothingToPredict {
        /// What the recipe calls the dataset.
        data: String,
    },
    /// Tokens of which nobody knows how many there are.
    #[error(
        "the dataset does not tell the vocabulary of its tokens; make it by `preprocess` with a `tokenizer`"
    )]
    NoVocabulary,
    /// A step without anything to predict.
    #[error(
        "step {step} of the epoch has no token that is to be predicted: make batches larger (`batch_size`, `accumulate`), \
         or see by `erlen show` which tokens of the data are learnt"
    )]
    NothingToLearn {
        /// From 1, within the epoch.
        step: u32,
    },
    /// A model predicts what this program does not know of.
    #[error(
        "the model is for the task `{task}`, which this program does not have; use the program that trained it"
    )]
    UnknownTask {
        /// The task's name.
        task: String,
    },
    /// Nothing counts in a split that is judged.
    #[error(
        "every sample of the {split} split is of the class that the loss ignores: nothing is left to judge"
    )]
    NothingToJudge {
        /// The split.
        split: &'static str,
    },
    /// The loader ended before its last batch: a mistake of Erlen's own.
    #[error("the loader ended before {what} did; please report this")]
    Incomplete {
        /// What was to be served.
        what: &'static str,
    },
    /// The recipe does not fit the dataset.
    #[error("{}", told("train", .0))]
    Recipe(Vec<Mistake>),
    /// The evaluation does not fit the model.
    #[error("{}", told("evaluate", .0))]
    Evaluation(Vec<Mistake>),
    /// A device that is not there.
    #[error("{0}")]
    Device(String),
    /// A split is missing or has no samples.
    #[error("the dataset has no samples in the split `{split}`; splits with samples: {available}")]
    EmptySplit {
        /// The split that was asked for.
        split: &'static str,
        /// Those that there are.
        available: String,
    },
    /// Model and dataset do not belong together.
    #[error("the model and the dataset disagree on {what}: the model has {model}, the dataset {data}")]
    Mismatch {
        /// Such as `the input shape`.
        what: &'static str,
        /// The model's side.
        model: String,
        /// The dataset's side.
        data: String,
    },
    /// The columns of a table are not those that the model was trained on.
    #[error(
        "the data does not fit the model: {0}; name the columns as in the data that the model was trained on, \
         leave out by `ignore` what that did not have, and let the categories be those of that data"
    )]
    Columns(String),
    /// Models that are to be averaged.
    #[error(
        "the models cannot be averaged: {0}; name models of one task for the same classes, labels or numbers"
    )]
    Ensemble(String),
    /// A model that cannot be quantized, or that loses too much by it.
    #[error("{0}")]
    Quantization(String),
    /// A quantized model where it is of no use.
    #[error("the model is quantized: {0}")]
    Quantized(String),
    /// A model that cannot be asked about new samples.
    #[error("the model in `{path}` cannot predict: {problem}")]
    CannotPredict {
        /// Its folder.
        path: PathBuf,
        /// Why, and what to do.
        problem: String,
    },
    /// A sample that cannot be predicted for.
    #[error("{0}; mend it or take it out, or leave out what cannot be read by `on_error: skip`")]
    Unpredicted(String),
    /// Nothing to predict for was found.
    #[error("there is nothing to predict for: no file was found that the model can be shown")]
    NothingToPredictFor,
    /// Predictions cannot be passed on.
    #[error("cannot write the predictions: {0}")]
    Output(io::Error),
    /// A checkpoint or a model's file does not hold what the architecture needs.
    #[error("`{path}` does not fit: {problem}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{path}`: {source}; check free space and permissions")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The worker's threads cannot be started.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// How many.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
    /// Data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network cannot be built or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The loss cannot be computed.
    #[error(transparent)]
    Op(#[from] OpError),
    /// Tensor arithmetic failed.
    #[error("tensor arithmetic failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    /// The file at `path` cannot be written.
    pub fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}

impl From<Mistake> for TrainError {
    fn from(mistake: Mistake) -> Self {
        Self::Recipe(vec![mistake])
    }
}

/// Mistakes in a stage of the kind `kind`, each with the path of its field.
fn told(kind: &str, mistakes: &[Mistake]) -> String {
    let told: Vec<String> = mistakes.iter().map(|mistake| mistake.told(kind)).collect();
    told.join("\n")
}
