//! Hidden tokens of a text: each of its tokens gets a logit for each of the vocabulary, and those of hidden ones count.

use super::next_token::{TokenTally, VocabularyCriterion, vocabulary_of};
use super::{Criterion, ModelTarget, OutputMeaning, PredictedColumn, PredictedValue, Task, TaskTally};
use crate::data::{Dataset, Split, TextGoal};
use crate::schema::FieldKind;
use crate::spec::{self, EvaluationMetric, Loss, TaskRules};
use crate::train::error::TrainError;

/// For some tokens of a text, which are hidden, what they were.
#[derive(Clone, Copy, Debug)]
pub struct MaskedToken;

impl Task for MaskedToken {
    fn rules(&self) -> &'static TaskRules {
        &spec::MASKED_TOKEN
    }

    /// The tokens have no names here: they are the vocabulary's.
    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>> {
        (dataset.target().kind == FieldKind::Tokens).then(Vec::new)
    }

    fn width(&self, dataset: &Dataset, _names: &[String]) -> usize {
        vocabulary_of(dataset)
    }

    fn text_goal(&self) -> TextGoal {
        TextGoal::MaskedTokens
    }

    fn default_loss(&self) -> Option<Loss> {
        None
    }

    fn criterion(
        &self,
        target: &ModelTarget,
        _loss: Option<&Loss>,
        _mixed: bool,
    ) -> Result<Box<dyn Criterion>, TrainError> {
        Ok(Box::new(VocabularyCriterion::new(target.outputs())))
    }

    fn tally(&self, _outputs: usize, _asked: &[EvaluationMetric]) -> Box<dyn TaskTally> {
        Box::new(TokenTally::default())
    }

    /// Tokens are too many to be listed.
    fn prediction_columns(&self, _names: &[String]) -> Vec<String> {
        Vec::new()
    }

    fn prediction(
        &self,
        _outputs: &[f32],
        _split: &Split,
        _index: usize,
        _names: &[String],
    ) -> Result<Vec<String>, TrainError> {
        Ok(Vec::new())
    }

    fn predicted_columns(&self, _names: &[String]) -> Vec<PredictedColumn> {
        Vec::new()
    }

    fn predicted<'a>(&self, _outputs: &[f32], _names: &'a [String]) -> Vec<PredictedValue<'a>> {
        Vec::new()
    }

    fn meaning(&self) -> OutputMeaning {
        OutputMeaning {
            layout: "N,T,tokens",
            meaning: "logits of the token at each place, of which those of hidden ones count: softmax gives probabilities",
            names: "tokens",
        }
    }
}
