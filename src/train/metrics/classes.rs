//! Figures of a classifier, from its logits.

use rayon::prelude::*;

use super::Judged;
use super::calibration::Calibration;
use super::ranking::{mean, roc_auc};

/// What a classifier's figures are made of.
#[derive(Clone, Debug)]
pub struct ClassTally {
    classes: usize,
    /// How many samples' true class has so many classes ahead of it.
    ranks: Vec<u64>,
    /// Row by row: true class, then predicted class.
    confusion: Vec<u64>,
    pub(super) calibration: Calibration,
    /// What the area under the ROC curve needs.
    pub(super) scores: Option<Scores>,
}

/// All samples' logits, row by row, and classes.
#[derive(Clone, Debug, Default)]
pub(super) struct Scores {
    logits: Vec<f32>,
    labels: Vec<u32>,
}

/// How well one class or label is recognised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassFigures {
    /// Samples of the class.
    pub support: u64,
    /// Samples that were taken for the class.
    pub predicted: u64,
    /// The share of `predicted` that are of the class; 0 where nothing was predicted.
    pub precision: f64,
    /// The share of `support` that was found; 0 where the split has no sample of the class.
    pub recall: f64,
    /// The harmonic mean of precision and recall; 0 where both are 0.
    pub f1: f64,
}

impl ClassFigures {
    /// From counts: rightly predicted, of the class, predicted.
    pub(super) fn new(right: u64, support: u64, predicted: u64) -> Self {
        let share = |part: u64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        Self {
            support,
            predicted,
            precision: share(right, predicted),
            recall: share(right, support),
            f1: share(2 * right, support + predicted),
        }
    }
}

impl ClassTally {
    pub(super) fn new(classes: usize) -> Self {
        Self {
            classes,
            ranks: vec![0; classes],
            confusion: vec![0; classes * classes],
            calibration: Calibration::default(),
            scores: Some(Scores::default()),
        }
    }

    /// Judges finite logits; counts them where they count.
    pub(super) fn add(&mut self, logits: &[f32], label: usize, counts: bool) -> Judged {
        let predicted = argmax(logits);
        let scale = Scale::of(logits);
        let probabilities: Vec<f64> = logits.iter().map(|&logit| scale.probability(logit)).collect();
        if counts {
            self.ranks[rank(logits, label)] += 1;
            self.confusion[label * self.classes + predicted] += 1;
            self.calibration.add(probabilities[predicted], predicted == label);
            if let Some(scores) = &mut self.scores {
                scores.logits.extend_from_slice(logits);
                scores.labels.push(label as u32);
            }
        }
        Judged::Class {
            predicted,
            probabilities,
        }
    }

    pub(super) fn top(&self, k: usize, counted: u64) -> f64 {
        let right: u64 = self.ranks.iter().take(k).sum();
        right as f64 / counted as f64
    }

    pub(super) fn confused(&self, label: usize, predicted: usize) -> u64 {
        self.confusion[label * self.classes + predicted]
    }

    pub(super) fn figures(&self) -> Vec<ClassFigures> {
        let figures = (0..self.classes).map(|class| {
            let support = (0..self.classes).map(|other| self.confused(class, other)).sum();
            let predicted = (0..self.classes).map(|other| self.confused(other, class)).sum();
            ClassFigures::new(self.confused(class, class), support, predicted)
        });
        figures.collect()
    }

    pub(super) fn roc_auc(&self) -> Option<f64> {
        let scores = self.scores.as_ref()?;
        // Of two classes both have the same area.
        let first = usize::from(self.classes == 2);
        let rows = || scores.logits.chunks_exact(self.classes);
        let scales: Vec<Scale> = rows().map(Scale::of).collect();
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
}

/// The index of the largest value, the first of equals.
pub fn argmax(logits: &[f32]) -> usize {
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
struct Scale {
    largest: f64,
    /// The sum of `exp(logit - largest)`.
    sum: f64,
}

impl Scale {
    fn of(logits: &[f32]) -> Self {
        let largest = f64::from(logits[argmax(logits)]);
        let sum = logits
            .iter()
            .map(|&logit| (f64::from(logit) - largest).exp())
            .sum();
        Self { largest, sum }
    }

    fn probability(&self, logit: f32) -> f64 {
        (f64::from(logit) - self.largest).exp() / self.sum
    }
}

/// How many classes are ahead of `label`: those with a larger logit, and equal ones before it.
fn rank(logits: &[f32], label: usize) -> usize {
    let own = logits[label];
    let ahead = |(index, &logit): (usize, &f32)| logit > own || (logit == own && index < label);
    logits.iter().enumerate().filter(|&entry| ahead(entry)).count()
}
