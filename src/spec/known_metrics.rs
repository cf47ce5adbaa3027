//! What a pipeline itself says of the metrics that its stages report: a command of its own ones, a
//! training of its loss.

use std::sync::Arc;

use indexmap::IndexMap;

use super::preprocess::TargetKind;
use super::task_check::data_of;
use super::vocabulary::Vocabulary;
use super::{Loss, StageSpec, Train};
use crate::metric::{MetricInfo, MetricTable};

/// `metrics`, and what `stages` add to them.
pub(super) fn known_metrics(
    stages: &IndexMap<String, Arc<StageSpec>>,
    mut metrics: MetricTable,
) -> MetricTable {
    for (name, stage) in stages {
        stage.kind.describe_metrics(name, stages, &mut metrics);
    }
    metrics
}

/// Adds to `known` that the loss of `stage` is the one that `train` minimises.
pub(super) fn describe_loss(
    stage: &str,
    train: &Train,
    stages: &IndexMap<String, Arc<StageSpec>>,
    known: &mut MetricTable,
) {
    let target = target_of(stages, train);
    let loss = train.loss.clone().or_else(|| target.map(Loss::usual));
    if let (Some(loss), Some(info)) = (loss, known.get(MetricInfo::LOSS)) {
        let info = loss.describe(info, train.standardize_targets.unwrap_or(true));
        let info = match target {
            Some(TargetKind::NextToken) => info.unit("nats per token"),
            Some(TargetKind::TokenClasses) => info.unit("nats per word"),
            Some(TargetKind::Similarity) => info.unit("nats per pair"),
            Some(TargetKind::Segmentation) => info.unit("nats per pixel"),
            _ => info,
        };
        known.add_to(stage, info);
    }
}

/// What a training predicts, where the file tells.
fn target_of(stages: &IndexMap<String, Arc<StageSpec>>, train: &Train) -> Option<TargetKind> {
    let task = match &train.task {
        None => data_of(stages, &train.data).task,
        Some(name) => Vocabulary::current().task(name),
    };
    Some(task?.data)
}

impl Loss {
    /// The loss where a pipeline names none.
    pub fn usual(task: TargetKind) -> Self {
        match task {
            TargetKind::Classification
            | TargetKind::NextToken
            | TargetKind::TokenClasses
            | TargetKind::Similarity
            | TargetKind::Segmentation
            | TargetKind::Detection => Self::CrossEntropy(Default::default()),
            TargetKind::MultiLabel => Self::BinaryCrossEntropy(Default::default()),
            TargetKind::Regression => Self::Mse(Default::default()),
        }
    }

    /// `info` of a loss, where it is this one, on targets as they are or `standardized`.
    pub fn describe(&self, info: &MetricInfo, standardized: bool) -> MetricInfo {
        let (quantity, unit) = match self {
            Self::CrossEntropy(_) => ("cross-entropy", "nats per sample"),
            Self::BinaryCrossEntropy(_) => ("binary cross-entropy", "nats per label"),
            Self::Mse(_) => ("mean squared error", squared_unit(standardized)),
            Self::Huber(_) => ("Huber loss", squared_unit(standardized)),
        };
        info.clone().quantity(quantity).unit(unit)
    }
}

fn squared_unit(standardized: bool) -> &'static str {
    if standardized {
        "of standardised targets"
    } else {
        "squared units of the target"
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::Pipeline;

    #[test]
    fn a_loss_is_called_what_it_is() {
        let axis = |task: &str, train: &str, stage: &str| {
            let source = format!(
                "stages:
  data: {{preprocess: {{input: ./t.csv, format: {{csv: {{label: [-1, -2], task: {task}}}}}, split: {{test: 0.2}}}}}}
  model: {{train: {{data: data, model: {{mlp: {{hidden: [4]}}}}, epochs: 1, batch_size: 2, optimizer: {{sgd: {{lr: 0.1}}}}{train}}}}}
  test: {{evaluate: {{model: model, data: data}}}}
"
            );
            let source = source.replace("[-1, -2], task: classification", "-1");
            let pipeline = Pipeline::parse(Path::new("p.yaml"), &source, &[]).unwrap();
            pipeline.metrics.axis(stage, "val_loss")
        };
        for (task, train, expected) in [
            ("classification", "", "cross-entropy (nats per sample)"),
            ("multi_label", "", "binary cross-entropy (nats per label)"),
            (
                "regression",
                ", standardize_targets: false",
                "mean squared error (squared units of the target)",
            ),
            (
                "regression",
                ", loss: mse",
                "mean squared error (of standardised targets)",
            ),
            (
                "regression",
                ", loss: {huber: {delta: 0.5}}, standardize_targets: true",
                "Huber loss (of standardised targets)",
            ),
        ] {
            assert_eq!(axis(task, train, "model"), expected);
            assert_eq!(axis(task, train, "test"), expected);
        }
    }
}
