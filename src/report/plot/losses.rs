//! What the figures of a training measure, as an axis says it.

use serde::Deserialize;
use serde_json::Value;

use super::view::View;
use crate::metric::MetricInfo;
use crate::spec::Loss;

/// What stands at an axis for the metric `name` of the training `stage`. A loss is that which its
/// results were trained with; where they differ in it, it is a loss and nothing more is said.
pub fn axis(view: &View, stage: &str, name: &str) -> String {
    let metrics = &view.input.results.metrics;
    let Some(info) = metrics.get(name).filter(|_| name == MetricInfo::LOSS) else {
        return metrics.axis(stage, name);
    };
    let mut found: Vec<MetricInfo> = Vec::new();
    for key in keys(view, stage) {
        let described = described(key, info).or_else(|| metrics.of_stage(stage, name).cloned());
        let described = described.unwrap_or_else(|| info.clone());
        if !found.contains(&described) {
            found.push(described);
        }
    }
    match found.as_slice() {
        [] => metrics.axis(stage, name),
        [only] => only.axis(),
        _ => info.axis(),
    }
}

/// The keys of the results of `stage`.
fn keys<'a>(view: &'a View, stage: &'a str) -> impl Iterator<Item = &'a Value> {
    let replicates = view.trials().iter().flat_map(|trial| &trial.replicates);
    replicates.filter_map(move |replicate| replicate.stages.get(stage).map(|result| &result.key))
}

/// `info` of the loss that a training's key names; nothing where it leaves the loss to the data. With teachers it is of two
/// kinds.
fn described(key: &Value, info: &MetricInfo) -> Option<MetricInfo> {
    let fields = key.get("fields")?;
    if fields.get("distill").is_some() {
        return Some(info.clone());
    }
    let loss = Loss::deserialize(fields.get("loss")?).ok()?;
    let standardized = fields.get("standardize_targets").and_then(Value::as_bool);
    Some(loss.describe(info, standardized.unwrap_or(true)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::ReportInput;
    use crate::report::testing::{results, trial};

    /// A view of trainings `test` with these fields in their keys.
    fn axis_of(fields: &[Value]) -> String {
        let trials = fields.iter().zip(1..).map(|(fields, number)| {
            let mut trial = trial(number, json!({}), &[0.5]);
            for replicate in &mut trial.replicates {
                for result in replicate.stages.values_mut() {
                    result.key = json!({"fields": fields});
                }
            }
            trial
        });
        let input = ReportInput {
            results: results(trials.collect()),
            ..ReportInput::default()
        };
        axis(&View::new(&input), "test", "loss")
    }

    #[test]
    fn a_loss_is_the_one_that_was_trained_with() {
        let mse = json!({"loss": {"mse": {}}, "standardize_targets": false});
        let standardized = json!({"loss": {"huber": {"delta": 1.0}}, "standardize_targets": true});
        let logits = json!({"loss": {"binary_cross_entropy": {"pos_weight": null}}});
        let classes = json!({"loss": {"cross_entropy": {}}});
        assert_eq!(
            axis_of(&[mse.clone(), mse.clone()]),
            "mean squared error (squared units of the target)"
        );
        assert_eq!(
            axis_of(std::slice::from_ref(&standardized)),
            "Huber loss (of standardised targets)"
        );
        assert_eq!(axis_of(&[logits]), "binary cross-entropy (nats per label)");
        assert_eq!(axis_of(&[classes]), "cross-entropy (nats per sample)");
        assert_eq!(axis_of(&[mse, standardized]), "loss");
        assert_eq!(axis_of(&[json!({"loss": null})]), "loss");
        assert_eq!(axis_of(&[]), "loss");
    }
}
