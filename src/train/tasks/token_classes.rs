//! Classes of words: each word of a text is of one of some classes, which its first token tells.

use std::path::Path;

use candle_core::{D, DType, Tensor};

use super::class_figures::{macro_mean, write_classes};
use super::classification::{SoftmaxScale, argmax};
use super::entities::{EntityCounts, entities_in_order};
use super::losses::not;
use super::{
    ComparedOutputs, Criterion, ENTITIES, LossCriterion, ModelTarget, OutputMeaning, PredictedColumn,
    PredictedEntity, PredictedKind, PredictedValue, Task, TaskTally, score_sum,
};
use crate::data::{Array, Dataset, ReadText, Split, TextGoal};
use crate::ops;
use crate::schema::{FieldKind, NO_CLASS};
use crate::spec::{self, EntityF1Options, EntityMode, EvaluationMetric, Loss, MetricDetail, TaskRules};
use crate::train::error::TrainError;

/// One of some classes for each word.
#[derive(Clone, Copy, Debug)]
pub struct TokenClasses;

impl Task for TokenClasses {
    fn rules(&self) -> &'static TaskRules {
        &spec::TOKEN_CLASSES
    }

    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>> {
        let target = dataset.target();
        let is_ragged = target.kind == FieldKind::Class && !target.dimensions.is_fixed();
        is_ragged.then(|| target.names.clone())
    }

    fn text_goal(&self) -> TextGoal {
        TextGoal::Tokens
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
        let mut loss = LossCriterion::new(self, loss, target.outputs())?;
        let mut ignored = None;
        // What is not to be predicted has the place of the class that a recipe ignores, and is told by that too.
        if let ops::LossFunction::CrossEntropy { ignore_index, .. } = &mut loss.loss {
            ignored = ignore_index.replace(NO_CLASS);
        }
        Ok(Box::new(TokenLoss { loss, ignored }))
    }

    fn tally(&self, outputs: usize, asked: &[EvaluationMetric]) -> Box<dyn TaskTally> {
        let options = asked.iter().find_map(|metric| match metric.options() {
            MetricDetail::EntityF1(options) => Some(options),
            _ => None,
        });
        Box::new(WordTally {
            classes: outputs,
            options: options.unwrap_or_default(),
            right: 0,
            words: 0,
            lenient: EntityCounts::default(),
            strict: EntityCounts::default(),
        })
    }

    fn prediction_columns(&self, _names: &[String]) -> Vec<String> {
        ["classes", "predicted"].map(str::to_owned).to_vec()
    }

    /// The classes of the words, between blanks.
    fn prediction(
        &self,
        outputs: &[f32],
        split: &Split,
        index: usize,
        names: &[String],
    ) -> Result<Vec<String>, TrainError> {
        let words = words_of(outputs, split, index, names.len())?;
        let listed = |of: fn(&(usize, usize)) -> usize| {
            let names: Vec<&str> = words.iter().map(|word| names[of(word)].as_str()).collect();
            names.join(" ")
        };
        Ok(vec![listed(|word| word.0), listed(|word| word.1)])
    }

    /// The entities; where classes are no tags of such, the words.
    fn predicted_columns(&self, _names: &[String]) -> Vec<PredictedColumn> {
        vec![PredictedColumn::single(ENTITIES, PredictedKind::Entities)]
    }

    /// A sample of which nobody knows the words has none.
    fn predicted<'a>(&self, _outputs: &[f32], _names: &'a [String]) -> Vec<PredictedValue<'a>> {
        vec![PredictedValue::Entities(Vec::new())]
    }

    fn predicted_of_text<'a>(
        &self,
        outputs: &[f32],
        names: &'a [String],
        text: &ReadText,
    ) -> Vec<PredictedValue<'a>> {
        let (mut tags, mut probabilities) = (Vec::new(), Vec::new());
        let rows: Vec<&[f32]> = outputs.chunks_exact(names.len().max(1)).collect();
        for word in &text.words {
            let Some(row) = rows.get(word.token) else { break };
            let class = argmax(row);
            tags.push(names[class].as_str());
            probabilities.push(SoftmaxScale::of(row).probability(row[class]));
        }
        let entity = |(label, first, last): (&str, usize, usize)| {
            let (from, to) = (&text.words[first], &text.words[last]);
            let own = &probabilities[first..=last];
            PredictedEntity {
                start: from.characters.start,
                end: to.characters.end,
                label: label.to_owned(),
                text: text.text[from.bytes.start..to.bytes.end].to_owned(),
                probability: own.iter().sum::<f64>() / own.len() as f64,
            }
        };
        let found = entities_in_order(&tags, names);
        vec![PredictedValue::Entities(found.into_iter().map(entity).collect())]
    }

    /// The shares of a text's words with the same class.
    fn compare(
        &self,
        outputs: [&[f32]; 2],
        split: &Split,
        index: usize,
        target: &ModelTarget,
    ) -> Result<Option<ComparedOutputs>, TrainError> {
        let [first, second] = outputs.map(|outputs| words_of(outputs, split, index, target.outputs()));
        let (first, second) = (first?, second?);
        let share = |holds: &dyn Fn(usize) -> bool| {
            let holding = (0..first.len()).filter(|word| holds(*word)).count();
            holding as f64 / first.len().max(1) as f64
        };
        let right = |words: &[(usize, usize)]| share(&|word| words[word].0 == words[word].1);
        Ok(Some(ComparedOutputs {
            agreement: share(&|word| first[word].1 == second[word].1),
            scores: [right(&first), right(&second)],
        }))
    }

    fn meaning(&self) -> OutputMeaning {
        OutputMeaning {
            tensor: "logits",
            layout: "N,T,classes",
            meaning: "logits of each token's class, of which those of a word's first token count: softmax gives \
                      probabilities",
            names: "classes",
        }
    }
}

/// Cross-entropy of the tokens that have a class, and how many of those have it as the most likely one.
#[derive(Debug)]
pub(super) struct TokenLoss {
    /// With [`NO_CLASS`] as the class that does not count.
    loss: LossCriterion,
    /// Another class that does not count.
    ignored: Option<u32>,
}

impl TokenLoss {
    /// Cross-entropy without further ado, over so many outputs.
    pub fn plain(outputs: usize) -> Self {
        Self {
            loss: LossCriterion {
                loss: ops::LossFunction::CrossEntropy {
                    label_smoothing: 0.0,
                    class_weights: None,
                    ignore_index: Some(NO_CLASS),
                },
                outputs,
            },
            ignored: None,
        }
    }

    /// The classes of the tokens, with [`NO_CLASS`] where nothing counts.
    fn wanted(&self, targets: &Array) -> Result<Vec<u32>, TrainError> {
        let classes = targets.u32().ok_or_else(|| not("classes of tokens"))?;
        let kept = |class: &u32| {
            if Some(*class) == self.ignored {
                NO_CLASS
            } else {
                *class
            }
        };
        Ok(classes.iter().map(kept).collect())
    }

    /// The loss of each token and what it adds to the divisor.
    pub fn losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError> {
        let wanted = self.wanted(targets)?;
        self.loss
            .sample_losses(outputs, ops::LossTargets::Classes(&wanted))
    }
}

impl Criterion for TokenLoss {
    fn loss(&self, outputs: &Tensor, targets: &Array, divisor: f64) -> Result<Tensor, TrainError> {
        let wanted = self.wanted(targets)?;
        self.loss
            .loss(&rows(outputs)?, ops::LossTargets::Classes(&wanted), divisor)
    }

    fn weight(&self, targets: &Array) -> f64 {
        match self.wanted(targets) {
            Ok(wanted) => self.loss.weight(ops::LossTargets::Classes(&wanted)),
            Err(_) => 0.0,
        }
    }

    fn weight_of(&self, split: &Split, samples: &[u32]) -> f64 {
        let classes = samples.iter().flat_map(|sample| split.classes(*sample as usize));
        let classes: Vec<u32> = classes.collect();
        let count = classes.len();
        let values = crate::data::ArrayValues::U32(classes);
        self.weight(&Array::stacked(values, vec![count]))
    }

    fn score(&self, outputs: &Tensor, targets: &Array) -> Result<Tensor, TrainError> {
        let (wanted, width) = (self.wanted(targets)?, self.loss.outputs);
        let sum = score_sum(
            &rows(outputs)?,
            |outputs| {
                let right = outputs
                    .chunks_exact(width)
                    .zip(&wanted)
                    .filter(|(row, class)| **class != NO_CLASS && argmax(row) == **class as usize);
                right.count() as f64
            },
            |outputs| {
                // No class is at the place of one that does not count.
                let wanted = Tensor::from_slice(&wanted, wanted.len(), outputs.device())?;
                outputs.argmax(D::Minus1)?.to_dtype(DType::U32)?.eq(&wanted)
            },
        );
        Ok(sum?)
    }

    fn scored(&self, targets: &Array) -> u64 {
        let wanted = self.wanted(targets).unwrap_or_default();
        wanted.iter().filter(|class| **class != NO_CLASS).count() as u64
    }

    fn sample_losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError> {
        self.losses(outputs, targets)
    }
}

/// A row for each token.
fn rows(outputs: &Tensor) -> Result<Tensor, TrainError> {
    match outputs.rank() {
        3 => Ok(ops::flatten(outputs, 0, 1)?),
        _ => Ok(outputs.clone()),
    }
}

/// How many tokens have something to be predicted.
pub(super) fn counted(targets: &Array) -> u64 {
    let classes = targets.u32().unwrap_or_default();
    classes.iter().filter(|class| **class != NO_CLASS).count() as u64
}

/// What is to be predicted for each token, or nothing.
pub(super) fn targets_of(targets: &Array) -> Result<Vec<Option<u32>>, TrainError> {
    let classes = targets.u32().ok_or_else(|| not("tokens"))?;
    let target = |class: &u32| (*class != NO_CLASS).then_some(*class);
    Ok(classes.iter().map(target).collect())
}

/// Of each word of the sample `index` its class and the most likely one.
fn words_of(
    outputs: &[f32],
    split: &Split,
    index: usize,
    width: usize,
) -> Result<Vec<(usize, usize)>, TrainError> {
    let classes = split.classes(index);
    if classes.len() * width != outputs.len() {
        return Err(not("classes of tokens"));
    }
    let tokens = classes.iter().zip(outputs.chunks_exact(width.max(1)));
    let words = tokens.filter(|(class, _)| **class != NO_CLASS);
    Ok(words
        .map(|(class, outputs)| (*class as usize, argmax(outputs)))
        .collect())
}

/// What the figures over words are made of.
#[derive(Debug)]
struct WordTally {
    classes: usize,
    options: EntityF1Options,
    right: u64,
    words: u64,
    lenient: EntityCounts,
    strict: EntityCounts,
}

impl WordTally {
    /// The entities as they are asked for.
    fn entities(&self) -> &EntityCounts {
        match self.options.mode {
            EntityMode::Lenient => &self.lenient,
            EntityMode::Strict => &self.strict,
        }
    }
}

impl TaskTally for WordTally {
    fn add(&mut self, outputs: &[f32], split: &Split, index: usize) -> Result<(), TrainError> {
        let words = words_of(outputs, split, index, self.classes)?;
        let names = &split.target().names;
        let tags = |of: fn(&(usize, usize)) -> usize| -> Vec<&str> {
            let tag = |word| names.get(of(word)).map_or("O", String::as_str);
            words.iter().map(tag).collect()
        };
        let (wanted, found) = (tags(|word| word.0), tags(|word| word.1));
        self.lenient
            .add(&wanted, &found, EntityMode::Lenient, self.options.scheme);
        self.strict
            .add(&wanted, &found, EntityMode::Strict, self.options.scheme);
        self.words += words.len() as u64;
        self.right += words.iter().filter(|(class, found)| class == found).count() as u64;
        Ok(())
    }

    fn figure(&self, name: &str) -> Option<f64> {
        let all = self.entities().all();
        match name {
            "accuracy" => Some(self.right as f64 / self.words as f64),
            "entity_f1" => Some(all.f1),
            "entity_precision" => Some(all.precision),
            "entity_recall" => Some(all.recall),
            "entity_f1_strict" => Some(self.strict.all().f1),
            _ => {
                let figures: Vec<_> = self.entities().by_type().map(|(_, figures)| figures).collect();
                macro_mean(name, &figures)
            }
        }
    }

    fn write(&self, metric: &str, _names: &[String], folder: &Path) -> Result<(), TrainError> {
        match metric {
            "per_class" => {
                let (names, figures): (Vec<String>, Vec<_>) = self
                    .entities()
                    .by_type()
                    .map(|(name, figures)| (name.to_owned(), figures))
                    .unzip();
                write_classes(folder, &figures, &names)
            }
            _ => Ok(()),
        }
    }
}
