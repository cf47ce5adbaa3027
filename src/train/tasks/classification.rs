//! Classification: a sample is of one of some classes, and each class gets a logit.

use std::path::Path;

use candle_core::{D, DType, Tensor};
use rayon::prelude::*;

use super::calibration::Calibration;
use super::class_figures::{macro_mean, write_classes};
use super::losses::not;
use super::predicted::log_mean_exp;
use super::ranking::{mean, roc_auc};
use super::{
    ClassFigures, ComparedOutputs, Criterion, CsvFile, JUDGES, LossCriterion, ModelTarget, NoTally,
    OutputMeaning, PREDICTED, PROBABILITIES, PROBABILITY, PredictedColumn, PredictedKind, PredictedValue,
    Task, TaskTally, float_text, score_sum, unjudged,
};
use crate::data::{Array, Dataset, Split};
use crate::ops;
use crate::schema::FieldKind;
use crate::spec::{self, ArtifactTable, EvaluationMetric, Loss, TaskRules};
use crate::train::error::TrainError;

/// With more classes than this, `predictions.csv` gives only the predicted class's probability.
const PROBABILITY_COLUMNS: usize = 20;

/// One of some classes.
#[derive(Clone, Copy, Debug)]
pub struct Classification;

impl Task for Classification {
    fn rules(&self) -> &'static TaskRules {
        &spec::CLASSIFICATION
    }

    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>> {
        let target = dataset.target();
        let is_one = target.kind == FieldKind::Class && target.dimensions.is_fixed();
        is_one.then(|| target.names.clone())
    }

    fn default_loss(&self) -> Option<Loss> {
        Some(Loss::usual(self.rules().data))
    }

    fn criterion(
        &self,
        target: &ModelTarget,
        loss: Option<&Loss>,
        mixed: bool,
    ) -> Result<Box<dyn Criterion>, TrainError> {
        if !JUDGES {
            return Err(unjudged());
        }
        Ok(Box::new(ClassCriterion {
            loss: LossCriterion::new(self, loss, target.outputs())?,
            mixed,
        }))
    }

    fn tally(&self, outputs: usize, asked: &[EvaluationMetric]) -> Box<dyn TaskTally> {
        if !JUDGES {
            return Box::new(NoTally);
        }
        let scores = asked.iter().any(|metric| metric.as_str() == "roc_auc");
        Box::new(ClassTally::new(outputs, scores))
    }

    fn prediction_columns(&self, names: &[String]) -> Vec<String> {
        let mut columns = ["class", "predicted", "probability"].map(str::to_owned).to_vec();
        if names.len() <= PROBABILITY_COLUMNS {
            columns.extend(names.iter().map(|name| format!("p({name})")));
        }
        columns
    }

    fn prediction(
        &self,
        outputs: &[f32],
        split: &Split,
        index: usize,
        names: &[String],
    ) -> Result<Vec<String>, TrainError> {
        let (scale, predicted) = (SoftmaxScale::of(outputs), argmax(outputs));
        let probability = |output: &f32| float_text(scale.probability(*output));
        let mut cells = vec![
            class_of(split, index, names.len()).map(|class| names[class].clone())?,
            names[predicted].clone(),
            probability(&outputs[predicted]),
        ];
        if names.len() <= PROBABILITY_COLUMNS {
            cells.extend(outputs.iter().map(probability));
        }
        Ok(cells)
    }

    fn predicted_columns(&self, names: &[String]) -> Vec<PredictedColumn> {
        let first = [
            PredictedColumn::single(PREDICTED, PredictedKind::Name),
            PredictedColumn::single(PROBABILITY, PredictedKind::Number),
        ];
        first
            .into_iter()
            .chain(PredictedColumn::each(PROBABILITIES, PredictedKind::Number, names))
            .collect()
    }

    fn predicted<'a>(&self, outputs: &[f32], names: &'a [String]) -> Vec<PredictedValue<'a>> {
        let (scale, predicted) = (SoftmaxScale::of(outputs), argmax(outputs));
        let probability = |output: &f32| PredictedValue::Number(scale.probability(*output));
        let first = [
            PredictedValue::Name(&names[predicted]),
            probability(&outputs[predicted]),
        ];
        first.into_iter().chain(outputs.iter().map(probability)).collect()
    }

    /// The logarithms of the mean of the models' probabilities, which are logits of these.
    fn average(&self, models: &[&[f32]]) -> Vec<f32> {
        let scales: Vec<SoftmaxScale> = models.iter().map(|logits| SoftmaxScale::of(logits)).collect();
        let classes = models.first().map_or(0, |logits| logits.len());
        let average = |class: usize| {
            let models = scales.iter().zip(models);
            log_mean_exp(models.map(|(scale, logits)| scale.log_probability(logits[class]))) as f32
        };
        (0..classes).map(average).collect()
    }

    fn compare(
        &self,
        outputs: [&[f32]; 2],
        split: &Split,
        index: usize,
        target: &ModelTarget,
    ) -> Result<Option<ComparedOutputs>, TrainError> {
        let class = class_of(split, index, target.outputs())?;
        let predicted = outputs.map(argmax);
        let share = |holds: bool| if holds { 1.0 } else { 0.0 };
        Ok(Some(ComparedOutputs {
            agreement: share(predicted[0] == predicted[1]),
            scores: predicted.map(|predicted| share(predicted == class)),
        }))
    }

    fn meaning(&self) -> OutputMeaning {
        OutputMeaning {
            tensor: "logits",
            layout: "N,classes",
            meaning: "logits: softmax gives probabilities",
            names: "classes",
        }
    }
}

/// Cross-entropy, and how many samples are of the class that is the most likely one.
#[derive(Debug)]
struct ClassCriterion {
    loss: LossCriterion,
    /// Whether samples are mixed: then they have probabilities instead of classes, and weigh the same.
    mixed: bool,
}

impl ClassCriterion {
    fn ignored(&self) -> Option<u32> {
        match self.loss.loss {
            ops::LossFunction::CrossEntropy { ignore_index, .. } => ignore_index,
            _ => None,
        }
    }
}

impl Criterion for ClassCriterion {
    fn loss(&self, outputs: &Tensor, targets: &Array, divisor: f64) -> Result<Tensor, TrainError> {
        self.loss.loss(outputs, wanted(targets)?, divisor)
    }

    fn weight(&self, targets: &Array) -> f64 {
        match wanted(targets) {
            Ok(wanted) => self.loss.weight(wanted),
            Err(_) => 0.0,
        }
    }

    fn weight_of(&self, split: &Split, samples: &[u32]) -> f64 {
        if self.mixed {
            return samples.len() as f64;
        }
        let labels: Vec<u32> = samples
            .iter()
            .filter_map(|&sample| split.class(sample as usize))
            .collect();
        self.loss.weight(ops::LossTargets::Classes(&labels))
    }

    fn score(&self, outputs: &Tensor, targets: &Array) -> Result<Tensor, TrainError> {
        let (width, ignored) = (self.loss.outputs, self.ignored());
        let sum = match wanted(targets)? {
            ops::LossTargets::Classes(classes) => score_sum(
                outputs,
                |outputs| {
                    let right = outputs
                        .chunks_exact(width)
                        .zip(classes)
                        .filter(|&(row, &class)| Some(class) != ignored && argmax(row) == class as usize);
                    right.count() as f64
                },
                |outputs| {
                    // No class is at the place of an ignored one.
                    let classes = classes
                        .iter()
                        .map(|&class| if Some(class) == ignored { u32::MAX } else { class });
                    let classes: Vec<u32> = classes.collect();
                    let classes = Tensor::from_vec(classes, outputs.dims()[0], outputs.device())?;
                    outputs.argmax(D::Minus1)?.to_dtype(DType::U32)?.eq(&classes)
                },
            ),
            ops::LossTargets::Probabilities(wanted) | ops::LossTargets::Values(wanted) => score_sum(
                outputs,
                |outputs| {
                    let right = outputs
                        .chunks_exact(width)
                        .zip(wanted.chunks_exact(width))
                        .filter(|(row, wanted)| argmax(row) == argmax(wanted));
                    right.count() as f64
                },
                |outputs| {
                    let wanted = Tensor::from_slice(wanted, outputs.shape(), outputs.device())?;
                    outputs.argmax(D::Minus1)?.eq(&wanted.argmax(D::Minus1)?)
                },
            ),
        };
        Ok(sum?)
    }

    fn scored(&self, targets: &Array) -> u64 {
        let ignored = self.ignored();
        match targets.u32() {
            Some(classes) => classes.iter().filter(|&&class| Some(class) != ignored).count() as u64,
            None => (targets.values.len() / self.loss.outputs) as u64,
        }
    }

    fn sample_losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError> {
        self.loss.sample_losses(outputs, wanted(targets)?)
    }
}

/// A batch's targets as the loss takes them: classes, or their probabilities where samples were mixed.
fn wanted(targets: &Array) -> Result<ops::LossTargets<'_>, TrainError> {
    match (targets.u32(), targets.f32()) {
        (Some(classes), _) => Ok(ops::LossTargets::Classes(classes)),
        (None, Some(probabilities)) => Ok(ops::LossTargets::Probabilities(probabilities)),
        (None, None) => Err(not("classes")),
    }
}

/// The class of the sample `index`, one of `classes`.
fn class_of(split: &Split, index: usize, classes: usize) -> Result<usize, TrainError> {
    let class = split.class(index).map(|class| class as usize);
    class
        .filter(|class| *class < classes)
        .ok_or_else(|| not("classes"))
}

/// What a classifier's figures are made of.
#[derive(Clone, Debug)]
pub(super) struct ClassTally {
    classes: usize,
    samples: u64,
    /// How many samples' true class has so many classes ahead of it.
    ranks: Vec<u64>,
    /// Row by row: true class, then predicted class.
    confusion: Vec<u64>,
    calibration: Calibration,
    /// What the area under the ROC curve needs, where it is asked for.
    scores: Option<ClassScores>,
}

/// All samples' logits, row by row, and classes.
#[derive(Clone, Debug, Default)]
struct ClassScores {
    logits: Vec<f32>,
    labels: Vec<u32>,
}

impl ClassTally {
    /// Nothing yet; with `scores`, the outputs of all samples are kept.
    pub fn new(classes: usize, scores: bool) -> Self {
        Self {
            classes,
            samples: 0,
            ranks: vec![0; classes],
            confusion: vec![0; classes * classes],
            calibration: Calibration::default(),
            scores: scores.then(ClassScores::default),
        }
    }

    /// Counts finite logits of a sample of class `label`.
    pub fn count(&mut self, logits: &[f32], label: usize) {
        let predicted = argmax(logits);
        let confidence = SoftmaxScale::of(logits).probability(logits[predicted]);
        self.samples += 1;
        self.ranks[rank(logits, label)] += 1;
        self.confusion[label * self.classes + predicted] += 1;
        self.calibration.add(confidence, predicted == label);
        if let Some(scores) = &mut self.scores {
            scores.logits.extend_from_slice(logits);
            scores.labels.push(label as u32);
        }
    }

    /// The share of samples whose class is among the `k` most likely.
    fn top(&self, k: usize) -> f64 {
        let right: u64 = self.ranks.iter().take(k).sum();
        right as f64 / self.samples as f64
    }

    /// How many samples of class `label` were taken for class `predicted`.
    pub fn confused(&self, label: usize, predicted: usize) -> u64 {
        self.confusion[label * self.classes + predicted]
    }

    /// The figures of each class.
    pub fn class_figures(&self) -> Vec<ClassFigures> {
        let figures = (0..self.classes).map(|class| {
            let support = (0..self.classes).map(|other| self.confused(class, other)).sum();
            let predicted = (0..self.classes).map(|other| self.confused(other, class)).sum();
            ClassFigures::new(self.confused(class, class), support, predicted)
        });
        figures.collect()
    }

    /// The area under the ROC curve: of the second of two classes, of more classes the mean over each
    /// against the rest, but for those without both kinds of samples. As scikit-learn's
    /// `roc_auc_score` with `multi_class="ovr"`, which gives what is not a number where a class is absent.
    fn roc_auc(&self) -> Option<f64> {
        let scores = self.scores.as_ref()?;
        // Of two classes both have the same area.
        let first = usize::from(self.classes == 2);
        let rows = || scores.logits.chunks_exact(self.classes);
        let scales: Vec<SoftmaxScale> = rows().map(SoftmaxScale::of).collect();
        let areas: Vec<Option<f64>> = (first..self.classes)
            .into_par_iter()
            .map(|class| {
                let samples = rows().zip(&scales).zip(&scores.labels);
                let of_class = samples
                    .map(|((row, scale), &label)| (scale.probability(row[class]), label as usize == class));
                roc_auc(of_class.collect())
            })
            .collect();
        mean(areas)
    }

    /// Matthews' correlation coefficient, of more than two classes Gorodkin's (2004), as scikit-learn's
    /// `matthews_corrcoef`: 0 where there is one class only, or one only is predicted.
    fn correlation(&self) -> f64 {
        let sums = |of: &dyn Fn(usize, usize) -> u64| -> Vec<f64> {
            let sum = |class| (0..self.classes).map(|other| of(class, other)).sum::<u64>() as f64;
            (0..self.classes).map(sum).collect()
        };
        let true_ones = sums(&|class, other| self.confused(class, other));
        let predicted = sums(&|class, other| self.confused(other, class));
        let samples = self.samples as f64;
        let right: f64 = (0..self.classes)
            .map(|class| self.confused(class, class) as f64)
            .sum();
        let products =
            |left: &[f64], right: &[f64]| -> f64 { left.iter().zip(right).map(|(l, r)| l * r).sum() };
        let spread = |sums: &[f64]| samples * samples - products(sums, sums);
        let below = spread(&true_ones) * spread(&predicted);
        match below > 0.0 {
            true => (right * samples - products(&true_ones, &predicted)) / below.sqrt(),
            false => 0.0,
        }
    }

    /// Rows are true classes, columns predicted ones.
    fn write_confusion(&self, folder: &Path, classes: &[String]) -> Result<(), TrainError> {
        let mut file = CsvFile::create(folder, ArtifactTable::CONFUSION, classes.iter().cloned())?;
        for (label, class) in classes.iter().enumerate() {
            let counts = (0..classes.len()).map(|predicted| self.confused(label, predicted).to_string());
            file.row(std::iter::once(class.clone()).chain(counts))?;
        }
        file.finish()
    }
}

impl TaskTally for ClassTally {
    fn add(&mut self, outputs: &[f32], split: &Split, index: usize) -> Result<(), TrainError> {
        self.count(outputs, class_of(split, index, self.classes)?);
        Ok(())
    }

    fn figure(&self, name: &str) -> Option<f64> {
        match name {
            "accuracy" => Some(self.top(1)),
            "top3" => Some(self.top(3)),
            "top5" => Some(self.top(5)),
            "roc_auc" => self.roc_auc(),
            "f1" if self.classes == 2 => Some(self.class_figures()[1].f1),
            "mcc" => Some(self.correlation()),
            "calibration_error" => Some(self.calibration.error(self.samples)),
            // The means are over the classes that occur in the split or were predicted.
            _ => {
                let mut figures = self.class_figures();
                figures.retain(|class| class.support + class.predicted > 0);
                macro_mean(name, &figures)
            }
        }
    }

    fn write(&self, metric: &str, names: &[String], folder: &Path) -> Result<(), TrainError> {
        match metric {
            "confusion" => self.write_confusion(folder, names),
            "per_class" => write_classes(folder, &self.class_figures(), names),
            _ => Ok(()),
        }
    }
}

/// The index of the largest value, the first of equals.
pub(super) fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = index;
        }
    }
    best
}

/// What turns a sample's finite logits into probabilities.
#[derive(Clone, Copy)]
pub(super) struct SoftmaxScale {
    largest: f64,
    /// The sum of `exp(logit - largest)`.
    sum: f64,
}

impl SoftmaxScale {
    pub fn of(logits: &[f32]) -> Self {
        let largest = f64::from(logits[argmax(logits)]);
        let sum = logits
            .iter()
            .map(|&logit| (f64::from(logit) - largest).exp())
            .sum();
        Self { largest, sum }
    }

    pub fn probability(&self, logit: f32) -> f64 {
        (f64::from(logit) - self.largest).exp() / self.sum
    }

    /// The logarithm of the probability, which is never 0.
    fn log_probability(&self, logit: f32) -> f64 {
        f64::from(logit) - self.largest - self.sum.ln()
    }
}

/// How many classes are ahead of `label`: those with a larger logit, and equal ones before it.
fn rank(logits: &[f32], label: usize) -> usize {
    let own = logits[label];
    let ahead = |(index, &logit): (usize, &f32)| logit > own || (logit == own && index < label);
    logits.iter().enumerate().filter(|&entry| ahead(entry)).count()
}
