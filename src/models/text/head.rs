//! From hidden states to outputs.

use candle_core::Tensor;

use super::batch::TokenBatch;
use super::layers::{activate, drop_tokens};
use super::output::TextOutput;
use crate::models::error::ModelError;
use crate::models::layers::{Dropout, LayerNorm, Linear, Weight};
use crate::models::network::Pass;
use crate::ops;
use crate::spec::MlpActivation;

/// The layers of a head.
pub(super) enum HeadLayers {
    /// Logits over the vocabulary, after some changes.
    Vocabulary {
        transform: Option<HiddenTransform>,
        /// `[V, W]`; the embedding's where it is tied.
        weight: Weight,
        /// `[V]`.
        bias: Option<Weight>,
    },
    /// Outputs of one token of each sample.
    Sample {
        token: SampleToken,
        /// Dropped before `hidden`.
        first: Option<Dropout>,
        /// A layer between and the function behind it.
        hidden: Option<(Linear, HeadFunction)>,
        /// Dropped before the last layer.
        dropout: Option<Dropout>,
        outputs: Linear,
    },
    /// Outputs of each token.
    Tokens { dropout: Dropout, outputs: Linear },
    /// The mean of each sample's tokens.
    Mean,
}

/// Which token stands for its sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleToken {
    First,
    Last,
}

/// What is behind the hidden layer of a head for samples.
#[derive(Clone, Copy)]
pub(super) enum HeadFunction {
    Tanh,
    Relu,
}

/// What hidden states go through before they meet the vocabulary.
pub(super) struct HiddenTransform {
    pub dense: Linear,
    pub activation: MlpActivation,
    pub norm: LayerNorm,
}

impl HeadLayers {
    /// From hidden states, `[N, T, W]` or `[rows, W]`.
    pub fn forward(
        &self,
        hidden: &Tensor,
        batch: &TokenBatch,
        pass: &Pass,
    ) -> Result<TextOutput, ModelError> {
        match self {
            Self::Vocabulary {
                transform,
                weight,
                bias,
            } => {
                let hidden = match transform {
                    None => hidden.clone(),
                    Some(transform) => {
                        let x = transform.dense.forward(hidden, pass)?;
                        let x = activate(transform.activation, &x, pass)?;
                        transform.norm.forward(&x, pass)?
                    }
                };
                Ok(TextOutput::Vocabulary {
                    hidden,
                    weight: weight.operand(pass),
                    bias: bias.as_ref().map(|bias| bias.operand(pass)),
                })
            }
            Self::Sample {
                token,
                first,
                hidden: between,
                dropout,
                outputs,
            } => {
                // A row is a sample from here on.
                let pass = &Pass {
                    sequences: None,
                    ..*pass
                };
                let drop = |dropout: &Option<Dropout>, x: Tensor| match dropout {
                    Some(dropout) => dropout.forward(x, pass),
                    None => Ok(x),
                };
                let mut x = drop(first, token.of(hidden, batch)?)?;
                if let Some((layer, function)) = between {
                    x = layer.forward(&x, pass)?;
                    x = match function {
                        HeadFunction::Tanh => ops::tanh(&x, pass.precision)?,
                        HeadFunction::Relu => ops::relu(&x)?,
                    };
                }
                let x = drop(dropout, x)?;
                Ok(TextOutput::Rows(outputs.forward(&x, pass)?))
            }
            Self::Tokens { dropout, outputs } => {
                let x = drop_tokens(dropout, hidden.clone(), batch, pass)?;
                Ok(TextOutput::Rows(outputs.forward(&x, pass)?))
            }
            Self::Mean => Ok(TextOutput::Rows(ops::sequence_mean(hidden, batch.sequences())?)),
        }
    }
}

impl SampleToken {
    /// The hidden state of that token of each sample, `[samples, W]`.
    fn of(self, hidden: &Tensor, batch: &TokenBatch) -> Result<Tensor, ModelError> {
        let Some(sequences) = batch.sequences() else {
            let last = hidden.dims()[1].saturating_sub(1);
            let index = if self == Self::First { 0 } else { last };
            return Ok(ops::select(hidden, 1, index)?);
        };
        let mut rows = Vec::with_capacity(sequences.spans().len());
        for (sample, span) in sequences.spans().iter().enumerate() {
            let row = match self {
                _ if span.queries.is_empty() => {
                    let problem =
                        format!("sample {sample} of the batch has none, and one of them is to stand for it");
                    return Err(ModelError::Tokens { problem });
                }
                Self::First => span.queries.start,
                Self::Last => span.queries.end - 1,
            };
            rows.push(row as u32);
        }
        let rows = Tensor::new(rows, hidden.device())?;
        Ok(ops::embedding(&rows, hidden, None)?)
    }
}
