//! What a network of text gives.

use candle_core::{DType, Tensor};

use crate::models::error::ModelError;
use crate::ops::{self, LossFunction, LossTargets, RowVerdict};
use crate::spec::Precision;

/// What a network gives for a batch.
#[derive(Clone, Debug)]
pub enum TextOutput {
    /// A row for each sample or token: `[N, outputs]`, `[N, T, outputs]` or `[rows, outputs]`.
    Rows(Tensor),
    /// For each token the hidden state whose product with the rows of a vocabulary's weight are its logits. They are
    /// many, so who wants nothing but a loss asks for that.
    Vocabulary {
        /// `[N, T, W]` or `[rows, W]`.
        hidden: Tensor,
        /// `[V, W]`.
        weight: Tensor,
        /// `[V]`.
        bias: Option<Tensor>,
    },
}

impl TextOutput {
    /// All outputs, those of a vocabulary too: `[..., outputs]` of f32.
    ///
    /// # Errors
    /// What the tensor engine reports.
    pub fn outputs(&self, precision: Precision) -> Result<Tensor, ModelError> {
        match self {
            // What a tape has stored in bf16 is read as f32.
            Self::Rows(rows) => Ok(rows.to_dtype(DType::F32)?),
            Self::Vocabulary { hidden, weight, bias } => {
                Ok(ops::linear(hidden, weight, bias.as_ref(), precision)?)
            }
        }
    }

    /// The cross-entropy summed over the rows (tokens or samples, in order) that have a target, divided by `divisor`:
    /// a scalar in the graph. With the number of targets of all micro-batches of a step as the divisor, their losses
    /// add up to the mean over all their tokens. Logits of a vocabulary are never held.
    ///
    /// # Errors
    /// Another number of targets than of rows, or a target that is no output.
    pub fn loss(
        &self,
        targets: &[Option<u32>],
        divisor: f64,
        precision: Precision,
    ) -> Result<Tensor, ModelError> {
        match self {
            Self::Vocabulary { hidden, weight, bias } => {
                let hidden = flat(hidden)?;
                let bias = bias.as_ref();
                Ok(ops::vocabulary_loss(
                    &hidden, weight, bias, targets, divisor, precision,
                )?)
            }
            Self::Rows(rows) => {
                const IGNORED: u32 = u32::MAX;
                let classes: Vec<u32> = targets.iter().map(|target| target.unwrap_or(IGNORED)).collect();
                let kind = LossFunction::CrossEntropy {
                    label_smoothing: 0.0,
                    class_weights: None,
                    ignore_index: Some(IGNORED),
                };
                Ok(ops::loss(
                    &flat(rows)?,
                    LossTargets::Classes(&classes),
                    &kind,
                    divisor,
                )?)
            }
        }
    }

    /// As [`TextOutput::loss`] of a vocabulary, and beside the graph how many targets have the largest logit: a scalar of
    /// f64.
    ///
    /// # Errors
    /// As there, or outputs that are no vocabulary's.
    pub fn vocabulary_loss(
        &self,
        targets: &[Option<u32>],
        divisor: f64,
        precision: Precision,
    ) -> Result<(Tensor, Tensor), ModelError> {
        let (hidden, weight, bias) = self.vocabulary()?;
        let hidden = flat(hidden)?;
        Ok(ops::vocabulary_loss_with_score(
            &hidden, weight, bias, targets, divisor, precision,
        )?)
    }

    /// What is found of each row of a vocabulary's outputs, on the host; nothing for rows without a target. Not
    /// differentiable.
    ///
    /// # Errors
    /// As [`TextOutput::vocabulary_loss`].
    pub fn vocabulary_verdicts(
        &self,
        targets: &[Option<u32>],
        precision: Precision,
    ) -> Result<Vec<Option<RowVerdict>>, ModelError> {
        let (hidden, weight, bias) = self.vocabulary()?;
        let hidden = flat(hidden)?;
        Ok(ops::vocabulary_verdicts(
            &hidden, weight, bias, targets, precision,
        )?)
    }

    fn vocabulary(&self) -> Result<(&Tensor, &Tensor, Option<&Tensor>), ModelError> {
        match self {
            Self::Vocabulary { hidden, weight, bias } => Ok((hidden, weight, bias.as_ref())),
            Self::Rows(_) => {
                let problem = "the network's head gives no vocabulary".to_owned();
                Err(ModelError::Tokens { problem })
            }
        }
    }

    /// The cross-entropy of each row, in f64 and on the host; nothing for rows without a target. Not differentiable.
    ///
    /// # Errors
    /// As [`TextOutput::loss`].
    pub fn loss_per_row(
        &self,
        targets: &[Option<u32>],
        precision: Precision,
    ) -> Result<Vec<Option<f64>>, ModelError> {
        if let Self::Vocabulary { hidden, weight, bias } = self {
            let (hidden, bias) = (flat(hidden)?, bias.as_ref());
            let verdicts = ops::vocabulary_verdicts(&hidden, weight, bias, targets, precision)?;
            let losses = verdicts
                .into_iter()
                .map(|verdict| verdict.map(|verdict| verdict.loss));
            return Ok(losses.collect());
        }
        const IGNORED: u32 = u32::MAX;
        let rows = flat(&self.outputs(precision)?)?;
        let width = rows.dims()[1];
        let classes: Vec<u32> = targets.iter().map(|target| target.unwrap_or(IGNORED)).collect();
        let kind = LossFunction::CrossEntropy {
            label_smoothing: 0.0,
            class_weights: None,
            ignore_index: Some(IGNORED),
        };
        let values = rows.flatten_all()?.to_vec1::<f32>()?;
        let losses = ops::loss_per_sample(&values, LossTargets::Classes(&classes), &kind, width)?;
        let judged = losses.into_iter().zip(targets);
        Ok(judged.map(|((loss, _), target)| target.map(|_| loss)).collect())
    }
}

/// Rows of all tokens.
fn flat(x: &Tensor) -> Result<Tensor, ModelError> {
    match x.rank() {
        3 => Ok(ops::flatten(x, 0, 1)?),
        _ => Ok(x.clone()),
    }
}
