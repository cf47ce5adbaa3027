//! Figures of a model of several labels, from a logit for each.

use rayon::prelude::*;

use super::Judged;
use super::classes::ClassFigures;
use super::ranking::{mean, roc_auc};

/// What the figures of several labels are made of. A label is predicted at a probability of 0.5 or
/// more, that is, at a logit of 0 or more; it applies where its target is 0.5 or more.
#[derive(Clone, Debug)]
pub struct LabelTally {
    counts: Vec<Counts>,
    /// Samples with all labels right.
    exact: u64,
    /// What the area under the ROC curve needs.
    pub(super) scores: Option<Scores>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
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
pub(super) struct Scores {
    logits: Vec<f32>,
    applies: Vec<bool>,
}

impl LabelTally {
    pub(super) fn new(labels: usize) -> Self {
        Self {
            counts: vec![Counts::default(); labels],
            exact: 0,
            scores: Some(Scores::default()),
        }
    }

    /// Judges finite logits; counts them where they count.
    pub(super) fn add(&mut self, logits: &[f32], targets: &[f32], counts: bool) -> Judged {
        let probabilities = logits.iter().map(|&logit| sigmoid(logit)).collect();
        if counts {
            let mut all_right = true;
            for ((counts, &logit), &target) in self.counts.iter_mut().zip(logits).zip(targets) {
                let (predicted, applies) = (logit >= 0.0, target >= 0.5);
                counts.found += u64::from(predicted && applies);
                counts.support += u64::from(applies);
                counts.predicted += u64::from(predicted);
                counts.right += u64::from(predicted == applies);
                all_right &= predicted == applies;
            }
            self.exact += u64::from(all_right);
            if let Some(scores) = &mut self.scores {
                scores.logits.extend_from_slice(logits);
                scores.applies.extend(targets.iter().map(|&target| target >= 0.5));
            }
        }
        Judged::Labels { probabilities }
    }

    pub(super) fn accuracy(&self, counted: u64) -> f64 {
        let right: u64 = self.counts.iter().map(|counts| counts.right).sum();
        right as f64 / (counted as f64 * self.counts.len() as f64)
    }

    pub(super) fn exact_match(&self, counted: u64) -> f64 {
        self.exact as f64 / counted as f64
    }

    pub(super) fn figures(&self) -> Vec<ClassFigures> {
        let figures = self
            .counts
            .iter()
            .map(|counts| ClassFigures::new(counts.found, counts.support, counts.predicted));
        figures.collect()
    }

    pub(super) fn roc_auc(&self) -> Option<f64> {
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

fn sigmoid(logit: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(logit)).exp())
}
