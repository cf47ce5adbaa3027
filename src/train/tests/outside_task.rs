//! A task that is not one of this crate's.

use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::json;

use super::super::testing::{Bench, recipe};
use super::super::*;
use crate::data::{Array, Dataset, Split};
use crate::event::Monitor;
use crate::metric::{Direction, MetricInfo, MetricTable};
use crate::schema::FieldKind;
use crate::spec::SplitName::{Train, Val};
use crate::spec::{self, Loss, TaskMetric, TaskRules};

/// Predicts the index of the class as a number, with a loss of its own.
#[derive(Clone, Copy, Debug)]
struct ClassNumber;

static RULES: TaskRules = TaskRules {
    name: "class_number",
    data: spec::TargetKind::Classification,
    predicts: "the numbers of classes",
    outputs: "the number",
    losses: &[],
    score: "far_off",
    monitor: "val_far_off",
    standardizes: false,
    metrics: &[TaskMetric::always("far_off", &["far_off"])],
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

    fn tally(&self, _outputs: usize, _asked: &[&str]) -> Box<dyn TaskTally> {
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

fn train_with(bench: &Bench, tasks: &Tasks, recipe: &spec::Train) -> Result<Trained, TrainError> {
    let (dataset, scratch) = (Dataset::open(&bench.data())?, bench.scratch());
    let mut metrics = MetricTable::built_in();
    let far_off = MetricInfo::new("far_off", "mean distance of classes");
    metrics.add(far_off.better(Direction::Minimize).every_epoch());
    let training = Training {
        recipe,
        metrics: &metrics,
        dataset: &dataset,
        init: None,
        seed: 3,
        identity: "test".to_owned(),
        scratch: &scratch,
        collective: &SingleWorker,
        limits: None,
        device: candle_core::Device::Cpu,
        components: &Components {
            tasks: tasks.clone(),
            ..Components::built_in()
        },
    };
    on_threads(2, || train(&training, &Monitor::silent()))
}

#[test]
fn a_recipe_can_choose_a_task_that_is_added() {
    let bench = Bench::table(6, &[(Train, 60), (Val, 30)]);
    let tasks = Tasks::built_in().with(ClassNumber);
    let changes = json!({
        "task": "class_number", "epochs": 40, "select": "best", "optimizer": {"adam": {"lr": 0.02}},
    });
    let trained = train_with(&bench, &tasks, &recipe(changes.clone())).unwrap();
    assert_eq!(trained.card.target.task, "class_number");
    assert_eq!(trained.card.reported_loss, None);
    let figures: Vec<&str> = trained.card.metrics.keys().map(String::as_str).collect();
    assert_eq!(
        figures,
        ["train_far_off", "train_loss", "val_far_off", "val_loss"]
    );
    assert!(
        trained.card.metrics["val_far_off"] < 0.5,
        "{:?}",
        trained.card.metrics
    );
    // It chose the smallest, which is the best.
    let of_epoch = |row: &EpochFigures| row.metrics()["val_far_off"];
    let least = trained.history.iter().map(of_epoch).fold(f64::MAX, f64::min);
    assert_eq!(trained.card.metrics["val_far_off"], least);

    let error = bench.train(&recipe(changes)).unwrap_err().to_string();
    assert_eq!(
        error,
        "`train.task`: there is no task `class_number`: use classification or multi_label or regression"
    );
    let changes = json!({"task": "class_number", "loss": {"mse": {}}});
    let error = train_with(&bench, &tasks, &recipe(changes))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("`train.loss`: this loss does not fit"),
        "{error}"
    );
    let error = bench
        .train(&recipe(json!({"task": "regression"})))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`train.task`: the task `regression` predicts numbers"),
        "{error}"
    );
}
