//! A task that is not one of this crate's: that of the example.

#[path = "../../../examples/extended/class_number.rs"]
mod class_number;

use serde_json::json;

use self::class_number::ClassNumber;
use super::super::testing::{Bench, recipe};
use super::super::*;
use crate::data::Dataset;
use crate::event::Monitor;
use crate::metric::{Direction, MetricInfo, MetricTable};
use crate::spec;
use crate::spec::SplitName::{Train, Val};

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
        pretrained: None,
        teachers: &[],
        seed: 3,
        identity: "test".to_owned(),
        scratch: &scratch,
        collective: &SingleWorker,
        limits: None,
        shorter: None,
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
    let figures: Vec<&str> = trained.card.metrics.names().collect();
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
        "`train.task`: there is no task `class_number`: use classification or multi_label or regression or \
         segmentation or token_classes or similarity or next_token or masked_token"
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
