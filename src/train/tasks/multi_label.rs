//! Several labels: each applies to a sample or not, and gets a logit.

use std::path::Path;

use candle_core::Tensor;
use rayon::prelude::*;

use super::class_figures::{macro_mean, write_classes};
use super::predicted::log_mean_exp;
use super::ranking::{mean, roc_auc};
use super::{
    ClassFigures, ComparedOutputs, Criterion, JUDGES, LossCriterion, ModelTarget, NoTally, OutputMeaning,
    PREDICTED, PROBABILITIES, PredictedColumn, PredictedKind, PredictedValue, Task, TaskTally, float_text,
    score_sum, target_values, unjudged,
};
use crate::data::{Array, Dataset, Split};
use crate::ops;
use crate::schema::FieldKind;
use crate::spec::{self, EvaluationMetric, Loss, TaskRules};
use crate::train::error::TrainError;

/// For each of some labels, whether it applies.
#[derive(Clone, Copy, Debug)]
pub struct MultiLabel;

impl Task for MultiLabel {
    fn rules(&self) -> &'static TaskRules {
        &spec::MULTI_LABEL
    }

    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>> {
        let target = dataset.target();
        (target.kind == FieldKind::Labels).then(|| target.names.clone())
    }

    fn default_loss(&self) -> Option<Loss> {
        Some(Loss::usual(self.rules().data))
    }

    fn criterion(
        &self,
        target: &ModelTarget,
        loss: Option<&Loss>,
        _mixed: bool,
    ) -> Result<Box<dyn Criterion>, TrainError> {
        if !JUDGES {
            return Err(unjudged());
        }
        let loss = LossCriterion::new(self, loss, target.outputs())?;
        Ok(Box::new(LabelCriterion { loss }))
    }

    fn tally(&self, outputs: usize, asked: &[EvaluationMetric]) -> Box<dyn TaskTally> {
        if !JUDGES {
            return Box::new(NoTally);
        }
        let scores = asked.iter().any(|metric| metric.as_str() == "roc_auc");
        Box::new(LabelTally::new(outputs, scores))
    }

    fn prediction_columns(&self, names: &[String]) -> Vec<String> {
        let pairs = names.iter().flat_map(|name| [name.clone(), format!("p({name})")]);
        pairs.collect()
    }

    fn prediction(
        &self,
        outputs: &[f32],
        split: &Split,
        index: usize,
        _names: &[String],
    ) -> Result<Vec<String>, TrainError> {
        let mut wanted = vec![0.0; outputs.len()];
        split.target_values(index, &mut wanted)?;
        let pairs = wanted.iter().zip(outputs);
        let cells = pairs.flat_map(|(wanted, &output)| [wanted.to_string(), float_text(sigmoid(output))]);
        Ok(cells.collect())
    }

    fn predicted_columns(&self, names: &[String]) -> Vec<PredictedColumn> {
        PredictedColumn::each(PREDICTED, PredictedKind::Applies, names)
            .chain(PredictedColumn::each(PROBABILITIES, PredictedKind::Number, names))
            .collect()
    }

    fn predicted<'a>(&self, outputs: &[f32], _names: &'a [String]) -> Vec<PredictedValue<'a>> {
        let applies = outputs.iter().map(|&logit| PredictedValue::Applies(logit >= 0.0));
        let probabilities = outputs
            .iter()
            .map(|&logit| PredictedValue::Number(sigmoid(logit)));
        applies.chain(probabilities).collect()
    }

    /// The logits of the mean of the models' probabilities.
    fn average(&self, models: &[&[f32]]) -> Vec<f32> {
        let labels = models.first().map_or(0, |logits| logits.len());
        let average = |label: usize| {
            let mean = |sign: f64| {
                let logits = models.iter().map(move |logits| sign * f64::from(logits[label]));
                log_mean_exp(logits.map(log_sigmoid))
            };
            (mean(1.0) - mean(-1.0)) as f32
        };
        (0..labels).map(average).collect()
    }

    fn compare(
        &self,
        outputs: [&[f32]; 2],
        split: &Split,
        index: usize,
        _target: &ModelTarget,
    ) -> Result<Option<ComparedOutputs>, TrainError> {
        let mut wanted = vec![0.0; outputs[0].len()];
        split.target_values(index, &mut wanted)?;
        let wanted: Vec<bool> = wanted.iter().map(|wanted| *wanted >= 0.5).collect();
        let predicted =
            outputs.map(|outputs| outputs.iter().map(|logit| *logit >= 0.0).collect::<Vec<bool>>());
        let share = |one: &[bool], other: &[bool]| {
            let same = one.iter().zip(other).filter(|(one, other)| one == other).count();
            same as f64 / one.len().max(1) as f64
        };
        Ok(Some(ComparedOutputs {
            agreement: share(&predicted[0], &predicted[1]),
            scores: [share(&predicted[0], &wanted), share(&predicted[1], &wanted)],
        }))
    }

    fn meaning(&self) -> OutputMeaning {
        OutputMeaning {
            tensor: "logits",
            layout: "N,labels",
            meaning: "logits: the logistic function gives probabilities",
            names: "labels",
        }
    }
}

/// Binary cross-entropy, and how many labels are right.
#[derive(Debug)]
struct LabelCriterion {
    loss: LossCriterion,
}

impl Criterion for LabelCriterion {
    fn loss(&self, outputs: &Tensor, targets: &Array, divisor: f64) -> Result<Tensor, TrainError> {
        let wanted = target_values(targets, "labels")?;
        self.loss.loss(outputs, ops::LossTargets::Values(wanted), divisor)
    }

    fn weight(&self, targets: &Array) -> f64 {
        targets.values.len() as f64
    }

    fn weight_of(&self, _split: &Split, samples: &[u32]) -> f64 {
        samples.len() as f64 * self.loss.outputs as f64
    }

    fn score(&self, outputs: &Tensor, targets: &Array) -> Result<Tensor, TrainError> {
        let wanted = target_values(targets, "labels")?;
        let sum = score_sum(
            outputs,
            |outputs| {
                let right = outputs
                    .iter()
                    .zip(wanted)
                    .filter(|&(&output, &wanted)| (output >= 0.0) == (wanted >= 0.5));
                right.count() as f64
            },
            |outputs| {
                let wanted = Tensor::from_slice(wanted, outputs.shape(), outputs.device())?;
                outputs.ge(0f32)?.eq(&wanted.ge(0.5f32)?)
            },
        );
        Ok(sum?)
    }

    fn scored(&self, targets: &Array) -> u64 {
        targets.values.len() as u64
    }

    fn sample_losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError> {
        let wanted = target_values(targets, "labels")?;
        self.loss.sample_losses(outputs, ops::LossTargets::Values(wanted))
    }
}

/// What the figures of several labels are made of. A label is predicted at a probability of 0.5 or
/// more, that is, at a logit of 0 or more; it applies where its target is 0.5 or more.
#[derive(Clone, Debug)]
pub(super) struct LabelTally {
    samples: u64,
    counts: Vec<LabelCounts>,
    /// Samples with all labels right.
    exact: u64,
    /// What the area under the ROC curve needs, where it is asked for.
    scores: Option<LabelScores>,
}

#[derive(Clone, Copy, Debug, Default)]
struct LabelCounts {
    /// Samples to which the label applies and for which it was predicted.
    found: u64,
    /// Samples to which it applies.
    support: u64,
    /// Samples for which it was predicted.
    predicted: u64,
    /// Samples for which it is right, either way.
    right: u64,
}

/// All samples' logits, row by row, and whether each label applies.
#[derive(Clone, Debug, Default)]
struct LabelScores {
    logits: Vec<f32>,
    applies: Vec<bool>,
}

impl LabelTally {
    /// Nothing yet; with `scores`, the outputs of all samples are kept.
    pub fn new(labels: usize, scores: bool) -> Self {
        Self {
            samples: 0,
            counts: vec![LabelCounts::default(); labels],
            exact: 0,
            scores: scores.then(LabelScores::default),
        }
    }

    /// Counts finite logits of a sample with these labels.
    pub fn count(&mut self, logits: &[f32], targets: &[f32]) {
        let mut all_right = true;
        for ((counts, &logit), &target) in self.counts.iter_mut().zip(logits).zip(targets) {
            let (predicted, applies) = (logit >= 0.0, target >= 0.5);
            counts.found += u64::from(predicted && applies);
            counts.support += u64::from(applies);
            counts.predicted += u64::from(predicted);
            counts.right += u64::from(predicted == applies);
            all_right &= predicted == applies;
        }
        self.samples += 1;
        self.exact += u64::from(all_right);
        if let Some(scores) = &mut self.scores {
            scores.logits.extend_from_slice(logits);
            scores.applies.extend(targets.iter().map(|&target| target >= 0.5));
        }
    }

    /// The share of labels that are right.
    fn accuracy(&self) -> f64 {
        let right: u64 = self.counts.iter().map(|counts| counts.right).sum();
        right as f64 / (self.samples as f64 * self.counts.len() as f64)
    }

    /// The figures of each label.
    pub fn class_figures(&self) -> Vec<ClassFigures> {
        let figures = self
            .counts
            .iter()
            .map(|counts| ClassFigures::new(counts.found, counts.support, counts.predicted));
        figures.collect()
    }

    /// The mean over labels of the area under the ROC curve, but for those without both kinds of
    /// samples: scikit-learn's mean is not a number there, and torchmetrics counts such a label as 0.
    fn roc_auc(&self) -> Option<f64> {
        let scores = self.scores.as_ref()?;
        let labels = self.counts.len();
        let areas: Vec<Option<f64>> = (0..labels)
            .into_par_iter()
            .map(|label| {
                let logits = scores.logits.iter().skip(label).step_by(labels);
                let applies = scores.applies.iter().skip(label).step_by(labels);
                roc_auc(
                    logits
                        .map(|&logit| sigmoid(logit))
                        .zip(applies.copied())
                        .collect(),
                )
            })
            .collect();
        mean(areas)
    }
}

impl TaskTally for LabelTally {
    fn add(&mut self, outputs: &[f32], split: &Split, index: usize) -> Result<(), TrainError> {
        let mut wanted = vec![0.0; outputs.len()];
        split.target_values(index, &mut wanted)?;
        self.count(outputs, &wanted);
        Ok(())
    }

    fn figure(&self, name: &str) -> Option<f64> {
        match name {
            "accuracy" => Some(self.accuracy()),
            "exact_match" => Some(self.exact as f64 / self.samples as f64),
            "roc_auc" => self.roc_auc(),
            _ => macro_mean(name, &self.class_figures()),
        }
    }

    fn write(&self, metric: &str, names: &[String], folder: &Path) -> Result<(), TrainError> {
        match metric {
            "per_class" => write_classes(folder, &self.class_figures(), names),
            _ => Ok(()),
        }
    }
}

fn sigmoid(logit: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(logit)).exp())
}

/// The logarithm of the probability that belongs to a logit, which is never 0.
fn log_sigmoid(logit: f64) -> f64 {
    logit.min(0.0) - (-logit.abs()).exp().ln_1p()
}
