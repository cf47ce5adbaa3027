//! Regression: numbers are predicted, one an output.

use std::path::Path;

use candle_core::Tensor;

use super::correlation::{pearson, ranks};
use super::{
    ComparedOutputs, Criterion, JUDGES, LossCriterion, ModelTarget, NoTally, OutputMeaning, Task, TaskTally,
    float_text, score_sum, target_values, unjudged,
};
use crate::data::{Array, Dataset, Split};
use crate::ops;
use crate::schema::FieldKind;
use crate::spec::{self, EvaluationMetric, Loss, TaskRules};
use crate::train::error::TrainError;

/// The figures that are made of all pairs of a number and a prediction.
const CORRELATIONS: [&str; 2] = ["pearson", "spearman"];

/// One or more numbers.
#[derive(Clone, Copy, Debug)]
pub struct Regression;

impl Task for Regression {
    fn rules(&self) -> &'static TaskRules {
        &spec::REGRESSION
    }

    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>> {
        let target = dataset.target();
        (target.kind == FieldKind::Numbers && !dataset.compares()).then(|| target.names.clone())
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
        Ok(Box::new(NumberCriterion {
            loss: LossCriterion::new(self, loss, target.outputs())?,
            units: match &target.scale {
                Some(scale) => scale.std.clone(),
                None => vec![1.0; target.outputs()],
            },
        }))
    }

    fn tally(&self, outputs: usize, asked: &[EvaluationMetric]) -> Box<dyn TaskTally> {
        if !JUDGES {
            return Box::new(NoTally);
        }
        let is_kept = asked.iter().any(|metric| CORRELATIONS.contains(&metric.as_str()));
        Box::new(NumberTally::new(outputs).keeping(is_kept))
    }

    fn prediction_columns(&self, names: &[String]) -> Vec<String> {
        let pairs = names
            .iter()
            .flat_map(|name| [name.clone(), format!("predicted {name}")]);
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
        let cells = pairs.flat_map(|(wanted, &output)| [format!("{wanted:?}"), float_text(output.into())]);
        Ok(cells.collect())
    }

    /// 1 less squared differences in units of the targets' variance in training: over all samples coefficients of
    /// determination.
    fn compare(
        &self,
        outputs: [&[f32]; 2],
        split: &Split,
        index: usize,
        target: &ModelTarget,
    ) -> Result<Option<ComparedOutputs>, TrainError> {
        let mut wanted = vec![0.0; outputs[0].len()];
        split.target_values(index, &mut wanted)?;
        let scale = target.scale.as_ref();
        let determined = |one: &[f32], other: &[f32]| {
            let distances = one.iter().zip(other).enumerate().map(|(place, (one, other))| {
                let unit = scale.map_or(1.0, |scale| f64::from(scale.std[place]));
                ((f64::from(*one) - f64::from(*other)) / unit).powi(2)
            });
            1.0 - distances.sum::<f64>() / one.len().max(1) as f64
        };
        Ok(Some(ComparedOutputs {
            agreement: determined(outputs[0], outputs[1]),
            scores: outputs.map(|outputs| determined(outputs, &wanted)),
        }))
    }

    fn meaning(&self) -> OutputMeaning {
        OutputMeaning {
            tensor: "outputs",
            layout: "N,targets",
            meaning: "predicted numbers",
            names: "targets",
        }
    }
}

/// The squared error or Huber's loss, and the absolute errors in the targets' own units.
#[derive(Debug)]
struct NumberCriterion {
    loss: LossCriterion,
    /// For each output, what 1 stands for.
    units: Vec<f32>,
}

impl Criterion for NumberCriterion {
    fn loss(&self, outputs: &Tensor, targets: &Array, divisor: f64) -> Result<Tensor, TrainError> {
        let wanted = target_values(targets, "numbers")?;
        self.loss.loss(outputs, ops::LossTargets::Values(wanted), divisor)
    }

    fn weight(&self, targets: &Array) -> f64 {
        targets.values.len() as f64
    }

    fn weight_of(&self, _split: &Split, samples: &[u32]) -> f64 {
        samples.len() as f64 * self.loss.outputs as f64
    }

    fn score(&self, outputs: &Tensor, targets: &Array) -> Result<Tensor, TrainError> {
        let wanted = target_values(targets, "numbers")?;
        let sum = score_sum(
            outputs,
            |outputs| {
                let units = self.units.iter().cycle();
                let errors = outputs.iter().zip(wanted).zip(units);
                errors
                    .map(|((&output, &wanted), &unit)| {
                        (f64::from(output) - f64::from(wanted)).abs() * f64::from(unit)
                    })
                    .sum()
            },
            |outputs| {
                let wanted = Tensor::from_slice(wanted, outputs.shape(), outputs.device())?;
                let units = Tensor::from_slice(&self.units, (1, self.units.len()), outputs.device())?;
                (outputs - wanted)?.abs()?.broadcast_mul(&units)
            },
        );
        Ok(sum?)
    }

    fn scored(&self, targets: &Array) -> u64 {
        targets.values.len() as u64
    }

    fn sample_losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError> {
        let wanted = target_values(targets, "numbers")?;
        self.loss.sample_losses(outputs, ops::LossTargets::Values(wanted))
    }
}

/// What a regression's figures are made of.
#[derive(Clone, Debug)]
pub(super) struct NumberTally {
    samples: u64,
    outputs: Vec<OutputSums>,
    /// For each output all numbers and predictions, where they are kept.
    pairs: Option<Vec<[Vec<f64>; 2]>>,
}

/// One output's sums.
#[derive(Clone, Copy, Debug, Default)]
struct OutputSums {
    samples: f64,
    absolute: f64,
    squared: f64,
    /// The running mean of the targets and the sum of their squared distances from it (Welford,
    /// 1962): targets far from 0 lose no digits.
    mean: f64,
    spread: f64,
}

impl NumberTally {
    /// Nothing yet.
    pub fn new(outputs: usize) -> Self {
        Self {
            samples: 0,
            outputs: vec![OutputSums::default(); outputs],
            pairs: None,
        }
    }

    /// With all pairs, or without.
    pub fn keeping(mut self, is_kept: bool) -> Self {
        self.pairs = is_kept.then(|| vec![<[Vec<f64>; 2]>::default(); self.outputs.len()]);
        self
    }

    /// Counts finite outputs for these targets.
    pub fn count(&mut self, outputs: &[f32], targets: &[f32]) {
        self.samples += 1;
        for (kept, (&value, &target)) in self.pairs.iter_mut().flatten().zip(outputs.iter().zip(targets)) {
            kept[0].push(target.into());
            kept[1].push(value.into());
        }
        for ((sums, &value), &target) in self.outputs.iter_mut().zip(outputs).zip(targets) {
            let target = f64::from(target);
            let error = f64::from(value) - target;
            sums.samples += 1.0;
            sums.absolute += error.abs();
            sums.squared += error * error;
            let distance = target - sums.mean;
            sums.mean += distance / sums.samples;
            sums.spread += distance * (target - sums.mean);
        }
    }

    /// The mean absolute error over samples and outputs.
    fn mae(&self) -> f64 {
        self.mean(|sums| sums.absolute / self.samples as f64)
    }

    /// The root of the mean squared error, averaged over the outputs.
    fn rmse(&self) -> f64 {
        self.mean(|sums| (sums.squared / self.samples as f64).sqrt())
    }

    /// The coefficient of determination, averaged over the outputs; of two samples or more. As
    /// scikit-learn, an output whose target never changes has 1 where it is met, else 0.
    fn r2(&self) -> Option<f64> {
        let of_output = |sums: &OutputSums| {
            if sums.squared == 0.0 {
                1.0
            } else if sums.spread == 0.0 {
                0.0
            } else {
                1.0 - sums.squared / sums.spread
            }
        };
        (self.samples > 1).then(|| self.mean(of_output))
    }

    /// The mean over the outputs of the correlation of `of` the numbers and `of` the predictions.
    fn correlation(&self, of: fn(&[f64]) -> Vec<f64>) -> Option<f64> {
        let pairs = self.pairs.as_ref()?;
        let each: Option<Vec<f64>> = pairs
            .iter()
            .map(|[numbers, predictions]| pearson(&of(numbers), &of(predictions)))
            .collect();
        let each = each?;
        Some(each.iter().sum::<f64>() / each.len() as f64)
    }

    fn mean(&self, figure: impl Fn(&OutputSums) -> f64) -> f64 {
        self.outputs.iter().map(figure).sum::<f64>() / self.outputs.len() as f64
    }
}

impl TaskTally for NumberTally {
    fn add(&mut self, outputs: &[f32], split: &Split, index: usize) -> Result<(), TrainError> {
        let mut wanted = vec![0.0; outputs.len()];
        split.target_values(index, &mut wanted)?;
        self.count(outputs, &wanted);
        Ok(())
    }

    fn figure(&self, name: &str) -> Option<f64> {
        match name {
            "mae" => Some(self.mae()),
            "rmse" => Some(self.rmse()),
            "r2" => self.r2(),
            "pearson" => self.correlation(<[f64]>::to_vec),
            "spearman" => self.correlation(ranks),
            _ => None,
        }
    }

    fn write(&self, _metric: &str, _names: &[String], _folder: &Path) -> Result<(), TrainError> {
        Ok(())
    }
}
