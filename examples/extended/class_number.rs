//! A task of its own: the index of a class, as a number.

use std::path::Path;

use candle_core::{DType, Tensor};
use erlen::data::{Array, Dataset, Split};
use erlen::schema::FieldKind;
use erlen::spec::{self, Loss, TaskMetric, TaskRules};
use erlen::train::{Criterion, ModelTarget, OutputMeaning, Task, TaskTally, TrainError};

/// Predicts the index of the class as a number, with a loss of its own.
#[derive(Clone, Copy, Debug)]
pub struct ClassNumber;

static RULES: TaskRules = TaskRules {
    name: "class_number",
    data: spec::TargetKind::Classification,
    predicts: "the numbers of classes",
    outputs: "the number",
    losses: &[],
    head: spec::TextHead::Classification,
    score: "far_off",
    further: &[],
    monitor: "val_far_off",
    standardizes: false,
    taught: None,
    metrics: &[TaskMetric {
        name: "far_off",
        about: "The mean distance between the numbers.",
        figures: &["far_off"],
        always: true,
        of_numbers: false,
    }],
};

impl Task for ClassNumber {
    fn rules(&self) -> &'static TaskRules {
        &RULES
    }

    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>> {
        (dataset.target().kind == FieldKind::Class).then(|| vec!["number".to_owned()])
    }

    fn default_loss(&self) -> Option<Loss> {
        None
    }

    fn criterion(
        &self,
        _target: &ModelTarget,
        _loss: Option<&Loss>,
        _mixed: bool,
    ) -> Result<Box<dyn Criterion>, TrainError> {
        Ok(Box::new(*self))
    }

    fn tally(&self, _outputs: usize, _asked: &[spec::EvaluationMetric]) -> Box<dyn TaskTally> {
        Box::new(FarOff::default())
    }

    fn prediction_columns(&self, names: &[String]) -> Vec<String> {
        names.to_vec()
    }

    fn prediction(
        &self,
        outputs: &[f32],
        _split: &Split,
        _index: usize,
        _names: &[String],
    ) -> Result<Vec<String>, TrainError> {
        Ok(vec![outputs[0].to_string()])
    }

    fn meaning(&self) -> OutputMeaning {
        OutputMeaning {
            tensor: "numbers",
            layout: "N,1",
            meaning: "the number of the class",
            names: "numbers",
        }
    }
}

fn numbers(targets: &Array) -> Vec<f32> {
    let classes = targets.u32().unwrap_or_default();
    classes.iter().map(|&class| class as f32).collect()
}

impl ClassNumber {
    fn errors(outputs: &Tensor, targets: &Array) -> candle_core::Result<Tensor> {
        let wanted = Tensor::from_vec(numbers(targets), outputs.shape(), outputs.device())?;
        outputs - wanted
    }
}

impl Criterion for ClassNumber {
    fn loss(&self, outputs: &Tensor, targets: &Array, divisor: f64) -> Result<Tensor, TrainError> {
        Ok((Self::errors(outputs, targets)?.sqr()?.sum_all()? / divisor)?)
    }

    fn weight(&self, targets: &Array) -> f64 {
        numbers(targets).len() as f64
    }

    fn weight_of(&self, _split: &Split, samples: &[u32]) -> f64 {
        samples.len() as f64
    }

    fn score(&self, outputs: &Tensor, targets: &Array) -> Result<Tensor, TrainError> {
        let errors = Self::errors(&outputs.detach(), targets)?;
        Ok(errors.abs()?.to_dtype(DType::F64)?.sum_all()?)
    }

    fn scored(&self, targets: &Array) -> u64 {
        numbers(targets).len() as u64
    }

    fn sample_losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError> {
        let pairs = outputs.iter().zip(numbers(targets));
        Ok(pairs
            .map(|(output, wanted)| (f64::from(output - wanted).powi(2), 1.0))
            .collect())
    }
}

/// The mean distance between the numbers.
#[derive(Debug, Default)]
struct FarOff {
    sum: f64,
    samples: u64,
}

impl TaskTally for FarOff {
    fn add(&mut self, outputs: &[f32], split: &Split, index: usize) -> Result<(), TrainError> {
        let class = split.class(index).unwrap_or_default();
        self.sum += f64::from((outputs[0] - class as f32).abs());
        self.samples += 1;
        Ok(())
    }

    fn figure(&self, name: &str) -> Option<f64> {
        (name == "far_off").then(|| self.sum / self.samples as f64)
    }

    fn write(&self, _metric: &str, _names: &[String], _folder: &Path) -> Result<(), TrainError> {
        Ok(())
    }
}
