//! Tokens of a text: each of its tokens gets a logit for each of the vocabulary, for the next one or for itself where it
//! is hidden.

use std::path::Path;

use candle_core::Tensor;

use super::losses::not;
use super::token_classes::{TokenLoss, counted, targets_of};
use super::{
    Criterion, JudgedOutputs, ModelTarget, OutputMeaning, PredictedColumn, PredictedValue, Task, TaskTally,
};
use crate::data::{Array, Dataset, Split, TextGoal};
use crate::models::TextOutput;
use crate::schema::FieldKind;
use crate::spec::{self, EvaluationMetric, Loss, Precision, TaskRules};
use crate::train::error::TrainError;

/// Which tokens of a text are predicted.
#[derive(Clone, Copy, Debug)]
pub struct TokenPrediction {
    rules: &'static TaskRules,
    goal: TextGoal,
    /// What the outputs are, in words.
    meaning: &'static str,
}

impl TokenPrediction {
    /// For each token of a text the next one.
    pub const NEXT: Self = Self {
        rules: &spec::NEXT_TOKEN,
        goal: TextGoal::NextToken,
        meaning: "logits of the token behind each token: softmax gives probabilities",
    };

    /// For some tokens of a text, which are hidden, what they were.
    pub const MASKED: Self = Self {
        rules: &spec::MASKED_TOKEN,
        goal: TextGoal::MaskedTokens,
        meaning: "logits of the token at each place, of which those of hidden ones count: softmax gives probabilities",
    };
}

impl Task for TokenPrediction {
    fn rules(&self) -> &'static TaskRules {
        self.rules
    }

    /// The tokens have no names here: they are the vocabulary's.
    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>> {
        (dataset.target().kind == FieldKind::Tokens && !dataset.compares()).then(Vec::new)
    }

    fn width(&self, dataset: &Dataset, _names: &[String]) -> usize {
        let vocabulary = dataset.target().vocabulary.as_ref();
        vocabulary.map_or(0, |vocabulary| vocabulary.size as usize)
    }

    fn text_goal(&self) -> TextGoal {
        self.goal
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
            tensor: "logits",
            layout: "N,T,tokens",
            meaning: self.meaning,
            names: "tokens",
        }
    }
}

/// Cross-entropy over the vocabulary, and how many tokens are the most likely ones.
#[derive(Debug)]
struct VocabularyCriterion {
    /// For logits that are there.
    rows: TokenLoss,
}

impl VocabularyCriterion {
    /// Over so many tokens.
    fn new(vocabulary: usize) -> Self {
        Self {
            rows: TokenLoss::plain(vocabulary),
        }
    }
}

impl Criterion for VocabularyCriterion {
    fn loss(&self, outputs: &Tensor, targets: &Array, divisor: f64) -> Result<Tensor, TrainError> {
        self.rows.loss(outputs, targets, divisor)
    }

    /// Without logits of all tokens at once.
    fn answer_loss(
        &self,
        answer: &TextOutput,
        targets: &Array,
        divisor: f64,
        precision: Precision,
    ) -> Result<(Tensor, Option<Tensor>), TrainError> {
        let (loss, score) = answer.vocabulary_loss(&targets_of(targets)?, divisor, precision)?;
        Ok((loss, Some(score)))
    }

    /// Of each token 1 where it was the most likely one, else 0.
    fn judged(
        &self,
        answer: &TextOutput,
        targets: &Array,
        precision: Precision,
    ) -> Result<JudgedOutputs, TrainError> {
        let verdicts = answer.vocabulary_verdicts(&targets_of(targets)?, precision)?;
        let values = verdicts
            .iter()
            .map(|verdict| match verdict {
                // A loss that is not finite is told as an output that is none.
                Some(verdict) if !verdict.loss.is_finite() => f32::NAN,
                Some(verdict) => f32::from(u8::from(verdict.is_likeliest)),
                None => 0.0,
            })
            .collect();
        let losses = verdicts
            .iter()
            .map(|verdict| verdict.map_or((0.0, 0.0), |verdict| (verdict.loss, 1.0)));
        Ok(JudgedOutputs {
            values,
            losses: Some(losses.collect()),
        })
    }

    fn weight(&self, targets: &Array) -> f64 {
        counted(targets) as f64
    }

    /// Of documents that are whole: all tokens but each first.
    fn weight_of(&self, split: &Split, samples: &[u32]) -> f64 {
        let size = split.input().element.bytes();
        let field = split.schema().position(&split.input().name).unwrap_or_default();
        let tokens = samples
            .iter()
            .map(|sample| split.value(field, *sample as usize).bytes.len() / size);
        tokens.map(|tokens| tokens.saturating_sub(1) as f64).sum()
    }

    fn score(&self, outputs: &Tensor, targets: &Array) -> Result<Tensor, TrainError> {
        self.rows.score(outputs, targets)
    }

    fn scored(&self, targets: &Array) -> u64 {
        counted(targets)
    }

    fn sample_losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError> {
        self.rows.losses(outputs, targets)
    }
}

/// What a language model's figures are made of.
#[derive(Debug, Default)]
struct TokenTally {
    likeliest: f64,
    /// The summed loss in nats.
    loss: f64,
    tokens: f64,
    /// The tokens that are predicted in the whole split, where that is more.
    whole: Option<f64>,
    split: Option<Split>,
}

impl TokenTally {
    /// The bytes of all texts of the split; nothing where the dataset does not tell.
    fn bytes(&self) -> Option<f64> {
        const BYTES: &str = "bytes";
        let split = self.split.as_ref()?;
        let schema = split.schema();
        let field = schema.position(BYTES)?;
        (schema.fields()[field].kind == FieldKind::Counts).then_some(())?;
        let bytes = (0..split.len()).map(|index| split.value(field, index).class().map(f64::from));
        bytes.sum()
    }
}

impl TaskTally for TokenTally {
    fn add(&mut self, outputs: &[f32], split: &Split, _index: usize) -> Result<(), TrainError> {
        if split.target().kind != FieldKind::Tokens {
            return Err(not("tokens"));
        }
        self.likeliest += outputs.iter().map(|found| f64::from(*found)).sum::<f64>();
        self.split.get_or_insert_with(|| split.clone());
        Ok(())
    }

    fn add_loss(&mut self, loss: f64, weight: f64) {
        self.loss += loss;
        self.tokens += weight;
    }

    fn add_rest(&mut self, whole: f64) {
        self.whole = Some(whole);
    }

    fn figure(&self, name: &str) -> Option<f64> {
        match name {
            "accuracy" => Some(self.likeliest / self.tokens),
            "perplexity" => Some((self.loss / self.tokens).exp()),
            "scored_tokens" => Some(self.tokens),
            "bits_per_byte" => {
                let bytes = self.bytes().filter(|bytes| *bytes > 0.0)?;
                let loss = match self.whole {
                    Some(whole) => self.loss / self.tokens * whole,
                    None => self.loss,
                };
                Some(loss / std::f64::consts::LN_2 / bytes)
            }
            _ => None,
        }
    }

    fn write(&self, _metric: &str, _names: &[String], _folder: &Path) -> Result<(), TrainError> {
        Ok(())
    }
}
