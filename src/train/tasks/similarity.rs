//! How alike two texts are: the cosine of their embeddings.

use std::path::Path;

use candle_core::Tensor;
use rayon::prelude::*;

use super::correlation::{pearson, ranks};
use super::{
    Criterion, EMBEDDING, JudgedOutputs, ModelTarget, OutputMeaning, PredictedColumn, PredictedKind,
    PredictedValue, Task, TaskTally, float_text, score_sum,
};
use crate::data::{Array, ArrayValues, Dataset, Split, TextGoal};
use crate::models::TextOutput;
use crate::ops::{PairTargets, loss_per_pair, normalize_rows, pair_loss};
use crate::schema::FieldKind;
use crate::spec::{self, EvaluationMetric, Loss, Precision, TaskRules};
use crate::train::error::TrainError;

/// How alike two texts are.
///
/// The losses are those of a batch: of pairs without numbers each second text is to be nearer to its first one than those
/// of all other pairs, of pairs with numbers cosines are to have the numbers' order. So micro-batches that one step
/// accumulates are not what one larger batch is: each is compared within itself, and their losses are averaged by pairs.
#[derive(Clone, Copy, Debug)]
pub struct Similarity;

impl Task for Similarity {
    fn rules(&self) -> &'static TaskRules {
        &spec::SIMILARITY
    }

    /// An embedding's numbers have no names, so that a model is the same whatever is known of pairs.
    fn outputs(&self, dataset: &Dataset) -> Option<Vec<String>> {
        dataset.compares().then(Vec::new)
    }

    fn text_goal(&self) -> TextGoal {
        TextGoal::Pairs
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
        let width = target.outputs();
        Ok(Box::new(PairCriterion { width }))
    }

    fn tally(&self, outputs: usize, _asked: &[EvaluationMetric]) -> Box<dyn TaskTally> {
        Box::new(PairTally {
            width: outputs,
            ..PairTally::default()
        })
    }

    fn prediction_columns(&self, _names: &[String]) -> Vec<String> {
        ["number", "cosine"].map(str::to_owned).into()
    }

    fn prediction(
        &self,
        outputs: &[f32],
        split: &Split,
        index: usize,
        _names: &[String],
    ) -> Result<Vec<String>, TrainError> {
        let number = number(split, index)?.map(|number| format!("{number:?}"));
        let cosine = float_text(cosine(outputs));
        Ok(vec![number.unwrap_or_default(), cosine])
    }

    /// Where the text is among others.
    fn predicted_columns(&self, _names: &[String]) -> Vec<PredictedColumn> {
        vec![PredictedColumn::single(EMBEDDING, PredictedKind::Vector)]
    }

    fn predicted<'a>(&self, outputs: &[f32], _names: &'a [String]) -> Vec<PredictedValue<'a>> {
        let mut embedding = outputs.to_vec();
        normalize_rows(&mut embedding, outputs.len());
        vec![PredictedValue::Vector(embedding)]
    }

    fn nothing_to_tell(&self, split: &Split) -> Result<Option<String>, TrainError> {
        let numbers: Result<Option<Vec<f32>>, TrainError> =
            (0..split.len()).map(|index| number(split, index)).collect();
        let problem = match numbers? {
            None if split.len() == 1 => "its only pair is compared with no other",
            Some(numbers) if numbers.windows(2).all(|two| two[0] == two[1]) => {
                "no two of its pairs have different numbers, so there is no order"
            }
            _ => return Ok(None),
        };
        Ok(Some(format!(
            "{problem}: the loss and the accuracy of it say nothing of a model"
        )))
    }

    fn meaning(&self) -> OutputMeaning {
        OutputMeaning {
            tensor: "embeddings",
            layout: "N,width",
            meaning: "the mean of the tokens: of two that are divided by their lengths, the product is their cosine",
            names: "embeddings",
        }
    }
}

/// What is known of how alike the texts of a pair are.
fn number(split: &Split, index: usize) -> Result<Option<f32>, TrainError> {
    if split.target().kind != FieldKind::Numbers {
        return Ok(None);
    }
    let mut value = [0.0];
    split.target_values(index, &mut value)?;
    Ok(Some(value[0]))
}

/// The cosine of two embeddings of length 1, one behind the other. Those of equal texts are equal, whose lengths are 1 but
/// for a rounding each: theirs is 1, so that they are as alike as other equal ones.
fn cosine(pair: &[f32]) -> f64 {
    let (first, second) = pair.split_at(pair.len() / 2);
    match first == second {
        true => 1.0,
        false => dot(first, second).clamp(-1.0, 1.0),
    }
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    let products = left.iter().zip(right);
    products
        .map(|(left, right)| f64::from(*left) * f64::from(*right))
        .sum()
}

/// The share, or the number, of what is in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct InPlace {
    right: f64,
    of: u64,
}

/// Of how many first texts the own second one is the nearest. `pairs` are embeddings of length 1. Of several that are as near
/// as the own, each may be the one that is taken: so a model to which all texts are alike finds one in as many as there are.
fn nearest(pairs: &[f32], width: usize) -> InPlace {
    let pairs: Vec<&[f32]> = pairs.chunks_exact((2 * width).max(1)).collect();
    let found = |pair: &&[f32]| {
        let first = &pair[..width];
        let own = dot(first, &pair[width..]);
        let mut as_near = 0u32;
        for other in &pairs {
            let near = dot(first, &other[width..]);
            if near > own {
                return 0.0;
            }
            as_near += u32::from(near == own);
        }
        1.0 / f64::from(as_near.max(1))
    };
    // In their order, so that the sum is the same for any number of threads.
    let found: Vec<f64> = pairs.par_iter().map(found).collect();
    InPlace {
        right: found.iter().sum(),
        of: pairs.len() as u64,
    }
}

/// Of how many two pairs with different numbers the cosines have the same order.
fn in_order(cosines: &[f64], numbers: &[f32]) -> InPlace {
    let of_pair = |less: usize| {
        let mut found = InPlace::default();
        for more in 0..numbers.len() {
            if numbers[less] < numbers[more] {
                found.of += 1;
                found.right += f64::from(u8::from(cosines[less] < cosines[more]));
            }
        }
        found
    };
    let found: Vec<InPlace> = (0..numbers.len()).into_par_iter().map(of_pair).collect();
    InPlace {
        right: found.iter().map(|found| found.right).sum(),
        of: found.iter().map(|found| found.of).sum(),
    }
}

/// The loss of a batch of pairs.
#[derive(Debug)]
struct PairCriterion {
    /// Of an embedding.
    width: usize,
}

impl PairCriterion {
    fn in_place(&self, pairs: &[f32], targets: &Array) -> InPlace {
        let mut pairs = pairs.to_vec();
        normalize_rows(&mut pairs, self.width);
        match pair_targets(targets) {
            PairTargets::Matches => nearest(&pairs, self.width),
            PairTargets::Numbers(numbers) => {
                let cosines: Vec<f64> = pairs.chunks_exact((2 * self.width).max(1)).map(cosine).collect();
                in_order(&cosines, numbers)
            }
        }
    }
}

/// What is known of the pairs of a batch.
fn pair_targets(targets: &Array) -> PairTargets<'_> {
    match &targets.values {
        ArrayValues::F32(numbers) => PairTargets::Numbers(numbers),
        _ => PairTargets::Matches,
    }
}

impl Criterion for PairCriterion {
    fn loss(&self, outputs: &Tensor, targets: &Array, divisor: f64) -> Result<Tensor, TrainError> {
        Ok(pair_loss(outputs, pair_targets(targets), divisor)?)
    }

    /// Embeddings of length 1, two a sample.
    fn judged(
        &self,
        answer: &TextOutput,
        targets: &Array,
        precision: Precision,
    ) -> Result<JudgedOutputs, TrainError> {
        let mut values = answer.outputs(precision)?.flatten_all()?.to_vec1::<f32>()?;
        let losses = self.sample_losses(&values, targets)?;
        normalize_rows(&mut values, self.width);
        Ok(JudgedOutputs {
            values,
            losses: Some(losses),
        })
    }

    fn weight(&self, targets: &Array) -> f64 {
        targets.values.len() as f64
    }

    fn weight_of(&self, _split: &Split, samples: &[u32]) -> f64 {
        samples.len() as f64
    }

    fn score(&self, outputs: &Tensor, targets: &Array) -> Result<Tensor, TrainError> {
        let right = |pairs: &[f32]| self.in_place(pairs, targets).right;
        let sum = score_sum(outputs, right, |outputs| {
            let pairs = outputs.flatten_all()?.to_vec1::<f32>()?;
            Tensor::new(right(&pairs), outputs.device())
        });
        Ok(sum?)
    }

    fn scored(&self, targets: &Array) -> u64 {
        match pair_targets(targets) {
            PairTargets::Matches => targets.values.len() as u64,
            PairTargets::Numbers(numbers) => in_order(&vec![0.0; numbers.len()], numbers).of,
        }
    }

    fn sample_losses(&self, outputs: &[f32], targets: &Array) -> Result<Vec<(f64, f64)>, TrainError> {
        let losses = loss_per_pair(outputs, self.width, pair_targets(targets))?;
        Ok(losses.into_iter().map(|loss| (loss, 1.0)).collect())
    }
}

/// What the figures are made of.
#[derive(Debug, Default)]
struct PairTally {
    width: usize,
    /// Embeddings of length 1, two a pair; nothing where pairs have numbers.
    pairs: Vec<f32>,
    cosines: Vec<f64>,
    /// How alike the texts of each pair are, where that is known.
    numbers: Vec<f32>,
}

impl PairTally {
    /// The correlation of `of` the numbers and `of` the cosines.
    fn correlation(&self, of: fn(&[f64]) -> Vec<f64>) -> Option<f64> {
        let numbers: Vec<f64> = self.numbers.iter().map(|number| f64::from(*number)).collect();
        (!numbers.is_empty()).then(|| pearson(&of(&numbers), &of(&self.cosines)))?
    }
}

impl TaskTally for PairTally {
    fn add(&mut self, outputs: &[f32], split: &Split, index: usize) -> Result<(), TrainError> {
        self.cosines.push(cosine(outputs));
        match number(split, index)? {
            Some(number) => self.numbers.push(number),
            None => self.pairs.extend(outputs),
        }
        Ok(())
    }

    fn figure(&self, name: &str) -> Option<f64> {
        match name {
            "accuracy" => {
                let InPlace { right, of } = match self.numbers.is_empty() {
                    true => nearest(&self.pairs, self.width),
                    false => in_order(&self.cosines, &self.numbers),
                };
                (of > 0).then(|| right / of as f64)
            }
            "pearson" => self.correlation(<[f64]>::to_vec),
            "spearman" => self.correlation(ranks),
            _ => None,
        }
    }

    fn write(&self, _metric: &str, _names: &[String], _folder: &Path) -> Result<(), TrainError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_to_all_is_found_by_chance() {
        // Three pairs of the same embedding, then two whose second texts are one another's.
        let alike = [1.0, 0.0, 1.0, 0.0].repeat(3);
        assert_eq!(nearest(&alike, 2), InPlace { right: 1.0, of: 3 });
        let crossed = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        assert_eq!(nearest(&crossed, 2), InPlace { right: 0.0, of: 2 });
        let own = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        assert_eq!(nearest(&own, 2), InPlace { right: 2.0, of: 2 });
        let third = 1.0 / 3.0f32.sqrt();
        assert_eq!(cosine(&[third; 6]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0, 0.0, -1.0, 0.0, 0.0]), -1.0);
        assert_eq!(in_order(&[0.5, 0.5], &[1.0, 2.0]), InPlace { right: 0.0, of: 1 });
    }
}
