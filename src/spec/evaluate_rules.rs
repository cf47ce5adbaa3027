//! What an evaluation cannot measure, whenever it is looked at.

use super::evaluate::Evaluate;
use super::formats::SampleKind;
use super::mistake::Mistake;
use super::preprocess::TargetKind;
use super::tasks::TaskRules;
use super::vocabulary::Vocabulary;

/// The mistakes of `evaluate`, whose paths begin at it, where the model predicts what `task` says and
/// the samples are `samples`; `outputs` is how many classes, labels or numbers the data has to predict, where that is known.
pub fn evaluate_mistakes(
    evaluate: &Evaluate,
    task: &TaskRules,
    samples: SampleKind,
    outputs: Option<usize>,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (index, metric) in evaluate.metrics.iter().enumerate() {
        let known = task.metric(metric.as_str());
        if known.is_some_and(|known| known.of_numbers) && outputs == Some(0) {
            let message = format!(
                "`{}` compares with numbers, and the pairs of `{}` have none",
                metric.as_str(),
                evaluate.data
            );
            let help = "take it out, or name the field of the numbers by `label`";
            mistakes.push(Mistake::new(["metrics", &index.to_string()], message).help(help));
        } else if known.is_none() {
            let message = format!(
                "`{}` is not defined: `{}` has {} to predict",
                metric.as_str(),
                evaluate.data,
                task.predicts
            );
            let vocabulary = Vocabulary::current();
            let other = vocabulary
                .tasks()
                .iter()
                .find(|other| other.metric(metric.as_str()).is_some());
            let help = match other {
                // Masks are a format of their own.
                Some(other) if other.data == TargetKind::Segmentation => "take it out".to_owned(),
                Some(other) => format!("take it out, or read the data with `task: {}`", other.name),
                None => "take it out".to_owned(),
            };
            mistakes.push(Mistake::new(["metrics", &index.to_string()], message).help(help));
        }
        if let Some((field, message, help)) = metric.mistake() {
            let path = ["metrics", &index.to_string(), metric.as_str(), field];
            mistakes.push(Mistake::new(path, message).help(help));
        }
    }
    if evaluate.test_time_flip && samples != SampleKind::Images {
        let message = format!(
            "`test_time_flip` mirrors images, and `{}` is {}",
            evaluate.data,
            samples.dataset()
        );
        mistakes.push(Mistake::new(["test_time_flip"], message).help("leave it out"));
    }
    mistakes
}
