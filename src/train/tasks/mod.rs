//! What is predicted, one file a task.
//!
//! A [`Task`] is all that the training loop, evaluation and export know of what is predicted: what it
//! needs of the data, how outputs are compared with targets ([`Criterion`]), what is counted over a
//! split ([`TaskTally`]), which files an evaluation can write, and what an exported model says of its
//! outputs. What can be said of it without tensors are its [`TaskRules`]. A program adds its own tasks
//! to [`Tasks`].

mod calibration;
mod class_figures;
mod classification;
mod correlation;
mod csv_file;
mod entities;
mod list;
mod losses;
mod multi_label;
mod predicted;
mod predicted_mask;
mod ranking;
mod regression;
mod scores;
mod segmentation;
mod similarity;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod token_classes;
mod token_prediction;
mod unjudged;

use std::fmt::Debug;
use std::path::Path;

use candle_core::Tensor;

use super::error::TrainError;
use crate::data::{Array, Dataset, ReadText, Split, TextGoal};
use crate::models::TextOutput;
use crate::spec::{EvaluationMetric, Loss, Precision, TaskRules};

pub use class_figures::ClassFigures;
pub use classification::Classification;
pub use csv_file::{CsvFile, float_text};
pub use list::Tasks;
pub use losses::{LossCriterion, target_values};
pub use multi_label::MultiLabel;
pub use predicted::{
    EMBEDDING, ENTITIES, MASK, PIXELS, PREDICTED, PROBABILITIES, PROBABILITY, PredictedColumn,
    PredictedEntity, PredictedKind, PredictedValue,
};
pub use predicted_mask::PredictedMask;
pub use regression::Regression;
pub use scores::score_sum;
pub use segmentation::Segmentation;
pub use similarity::Similarity;
pub use tally::SplitTally;
pub use target::ModelTarget;
pub use token_classes::TokenClasses;
pub use token_prediction::TokenPrediction;
use unjudged::{JUDGES, NoTally, unjudged};

/// What is predicted.
pub trait Task: Debug + Send + Sync {
    /// What a recipe may ask of it.
    fn rules(&self) -> &'static TaskRules;

    /// The names of the outputs that a model needs for `dataset`, such as its classes; nothing where
    /// it does not hold what the task predicts.
    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>>;

    /// How many outputs a sample, or each of its tokens, gets, where they are called `names`: by default one each.
    fn width(&self, dataset: &Dataset, names: &[String]) -> usize {
        let _ = dataset;
        names.len()
    }

    /// What is to be predicted where samples are texts: by default something for each sample.
    fn text_goal(&self) -> TextGoal {
        TextGoal::Samples
    }

    /// The loss where a recipe does not choose: the first of [`TaskRules::losses`], or nothing where the
    /// task has one of its own.
    fn default_loss(&self) -> Option<Loss>;

    /// How outputs are compared with targets: by `loss`, one of [`TaskRules::losses`], or, where the
    /// task has none of those, by one of its own. `mixed` tells that targets are those of samples that
    /// were mixed.
    ///
    /// # Errors
    /// The loss does not fit.
    fn criterion(
        &self,
        target: &ModelTarget,
        loss: Option<&Loss>,
        mixed: bool,
    ) -> Result<Box<dyn Criterion>, TrainError>;

    /// Counts nothing yet, for samples of so many outputs. `asked` are the metrics that will be asked
    /// for: what only others need is not kept.
    fn tally(&self, outputs: usize, asked: &[EvaluationMetric]) -> Box<dyn TaskTally>;

    /// The columns of `predictions.csv` after the sample's own.
    fn prediction_columns(&self, names: &[String]) -> Vec<String>;

    /// The cells under [`Task::prediction_columns`] for the sample `index` of `split`, whose outputs are
    /// in the targets' own units.
    ///
    /// # Errors
    /// The split does not hold what the task predicts.
    fn prediction(
        &self,
        outputs: &[f32],
        split: &Split,
        index: usize,
        names: &[String],
    ) -> Result<Vec<String>, TrainError>;

    /// What is told of a sample of which nobody knows what is to be predicted, where the outputs have
    /// `names`. By default, the outputs as they are.
    fn predicted_columns(&self, names: &[String]) -> Vec<PredictedColumn> {
        PredictedColumn::each(PREDICTED, PredictedKind::Number, names).collect()
    }

    /// The values under [`Task::predicted_columns`] of a sample, whose outputs are in the targets' own
    /// units.
    fn predicted<'a>(&self, outputs: &[f32], names: &'a [String]) -> Vec<PredictedValue<'a>> {
        let _ = names;
        let numbers = outputs
            .iter()
            .map(|&output| PredictedValue::Number(f64::from(output)));
        numbers.collect()
    }

    /// The same of a sample that is a text: by default what is said of any.
    fn predicted_of_text<'a>(
        &self,
        outputs: &[f32],
        names: &'a [String],
        text: &ReadText,
    ) -> Vec<PredictedValue<'a>> {
        let _ = text;
        self.predicted(outputs, names)
    }

    /// What several models say of one sample together, as the outputs of a single one: `models` are each
    /// one's outputs in the targets' own units, all finite and of one length. By default their mean.
    fn average(&self, models: &[&[f32]]) -> Vec<f32> {
        predicted::mean_outputs(models)
    }

    /// How the outputs of two models, `outputs`, compare for the sample `index` of `split`, in the units of `target`; by
    /// default not at all.
    ///
    /// # Errors
    /// The split does not hold what the task predicts.
    fn compare(
        &self,
        outputs: [&[f32]; 2],
        split: &Split,
        index: usize,
        target: &ModelTarget,
    ) -> Result<Option<ComparedOutputs>, TrainError> {
        let _ = (outputs, split, index, target);
        Ok(None)
    }

    /// Why the loss and the score over the samples of `split` say nothing of a model, where they do not.
    ///
    /// # Errors
    /// The split does not hold what the task predicts.
    fn nothing_to_tell(&self, split: &Split) -> Result<Option<String>, TrainError> {
        let _ = split;
        Ok(None)
    }

    /// What an exported model says of its outputs.
    fn meaning(&self) -> OutputMeaning;
}

/// How two models compare for a sample: what the means over all samples are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComparedOutputs {
    /// How far they say the same: 1 where they agree.
    pub agreement: f64,
    /// How far each of them is right: 1 where it is.
    pub scores: [f64; 2],
}

/// How outputs are compared with targets in training and evaluation.
pub trait Criterion: Debug + Send + Sync {
    /// The loss of `outputs`, `[N, outputs]`, summed over the batch and divided by `divisor`: a scalar
    /// in the graph.
    ///
    /// # Errors
    /// Outputs and targets do not fit each other.
    fn loss(&self, outputs: &Tensor, targets: &Array, divisor: f64) -> Result<Tensor, TrainError>;

    /// The loss of what a network gives, as [`Criterion::loss`], and the sum of the scores where it is found on the way:
    /// by default of all outputs, and none.
    ///
    /// # Errors
    /// As [`Criterion::loss`].
    fn answer_loss(
        &self,
        answer: &TextOutput,
        targets: &Array,
        divisor: f64,
        precision: Precision,
    ) -> Result<(Tensor, Option<Tensor>), TrainError> {
        Ok((self.loss(&answer.outputs(precision)?, targets, divisor)?, None))
    }

    /// What is judged of what a network gives, on the host: by default all outputs.
    ///
    /// # Errors
    /// As [`Criterion::loss`].
    fn judged(
        &self,
        answer: &TextOutput,
        targets: &Array,
        precision: Precision,
    ) -> Result<JudgedOutputs, TrainError> {
        let _ = targets;
        let values = answer.outputs(precision)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(JudgedOutputs { values, losses: None })
    }

    /// What a batch of such targets adds to the divisor of the mean loss.
    fn weight(&self, targets: &Array) -> f64;

    /// Whether targets weigh as they are served: what changes to images cut off weighs nothing. Then no other weight is
    /// asked for where samples are changed.
    fn weighs_as_served(&self) -> bool {
        false
    }

    /// The same for `samples` of `split` before they are served: what the mean loss of an optimizer
    /// step divides by, whoever serves its micro-batches.
    fn weight_of(&self, split: &Split, samples: &[u32]) -> f64;

    /// The sum of the samples' scores, an f64 where the outputs are. Nothing is copied to the host.
    ///
    /// # Errors
    /// The arithmetic fails.
    fn score(&self, outputs: &Tensor, targets: &Array) -> Result<Tensor, TrainError>;

    /// What the mean of the scores divides by.
    fn scored(&self, targets: &Array) -> u64;

    /// The loss of each sample before any division, and what it adds to the divisor, for `outputs` on
    /// the host, row by row.
    ///
    /// # Errors
    /// As [`Criterion::loss`].
    fn sample_losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError>;
}

/// What is judged of what a network gives for a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedOutputs {
    /// The outputs, row by row; of a vocabulary, which are too many, what is found of each row.
    pub values: Vec<f32>,
    /// The losses, where they follow from more than the values: as [`Criterion::sample_losses`] gives them.
    pub losses: Option<Vec<(f64, f64)>>,
}

/// What a task counts over the samples of a split, in their order and in f64, so that its figures are
/// the same bits whatever the batch size.
pub trait TaskTally: Debug + Send {
    /// Counts the sample `index` of `split`, whose outputs are finite and in the targets' own units.
    ///
    /// # Errors
    /// The split does not hold what the task predicts.
    fn add(&mut self, outputs: &[f32], split: &Split, index: usize) -> Result<(), TrainError>;

    /// Counts the sample `index` of `split`, which is the one at `place` of a batch with these `targets`: as they are after all
    /// changes. By default what the split holds counts.
    ///
    /// # Errors
    /// As [`TaskTally::add`].
    fn add_served(
        &mut self,
        outputs: &[f32],
        (targets, place): (&Array, usize),
        split: &Split,
        index: usize,
    ) -> Result<(), TrainError> {
        let _ = (targets, place);
        self.add(outputs, split, index)
    }

    /// Counts the loss of the sample that was added last, and what it adds to the divisor. By default nothing.
    fn add_loss(&mut self, loss: f64, weight: f64) {
        let _ = (loss, weight);
    }

    /// Says that the samples are a part of their split, over which the divisor is `whole`. For figures that compare with
    /// something of the whole split.
    fn add_rest(&mut self, whole: f64) {
        let _ = whole;
    }

    /// The figure `name` over the samples so far, at least one; nothing where it is not defined for
    /// them.
    fn figure(&self, name: &str) -> Option<f64>;

    /// Writes the files of the metric `metric` into `folder`, where it has any. `names` are those of the
    /// outputs.
    ///
    /// # Errors
    /// A file cannot be written.
    fn write(&self, metric: &str, names: &[String], folder: &Path) -> Result<(), TrainError>;
}

/// What an exported model says of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputMeaning {
    /// What a file with named outputs calls them, such as `logits`.
    pub tensor: &'static str,
    /// Such as `N,classes`.
    pub layout: &'static str,
    /// Such as `logits: softmax gives probabilities`.
    pub meaning: &'static str,
    /// What the outputs' names are listed under, such as `classes`.
    pub names: &'static str,
}
