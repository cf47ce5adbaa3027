//! Layers that networks of text have besides others'.

use candle_core::Tensor;

use super::batch::TokenBatch;
use crate::models::builder::{Builder, Init};
use crate::models::error::ModelError;
use crate::models::layers::{Dropout, Weight};
use crate::models::low_rank::{ChangeSlot, LinearOperands};
use crate::models::network::Pass;
use crate::ops;
use crate::spec::MlpActivation;

/// The deviation of the initial weights, as in Hugging Face's models.
pub(super) const DEVIATION: f64 = 0.02;

/// A row for each token of a vocabulary.
#[derive(Clone)]
pub(super) struct EmbeddingTable {
    /// `[V, W]`.
    pub weight: Weight,
    /// A row that is not trained here.
    pub padding: Option<u32>,
}

impl EmbeddingTable {
    /// The rows that `ids` name, `[..., W]`.
    pub fn forward(&self, ids: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        Ok(ops::embedding(ids, &self.weight.operand(pass), self.padding)?)
    }
}

/// Root mean square normalisation.
pub(super) struct RmsNorm {
    /// `[columns]`.
    pub weight: Weight,
    /// Added to the mean square.
    pub epsilon: f64,
}

impl RmsNorm {
    /// With a weight of 1.
    pub fn build(
        builder: &mut Builder,
        name: &str,
        columns: usize,
        epsilon: f64,
    ) -> Result<Self, ModelError> {
        let weight = builder.parameter(format!("{name}.weight"), &[columns], Init::Constant(1.0))?;
        Ok(Self { weight, epsilon })
    }

    /// Rows of a multiple of the columns, to the same shape.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        Ok(ops::rms_norm(x, &self.weight.operand(pass), self.epsilon)?)
    }
}

/// A fully connected layer whose weight is held as `[inputs, outputs]`.
pub(super) struct TransposedLinear {
    weight: Weight,
    bias: Weight,
    change: ChangeSlot,
}

impl TransposedLinear {
    /// With a normal weight of that deviation, and a bias of 0.
    pub fn build(
        builder: &mut Builder,
        name: &str,
        shape: [usize; 2],
        deviation: f64,
    ) -> Result<Self, ModelError> {
        let weight = builder.parameter(format!("{name}.weight"), &shape, Init::Normal(deviation))?;
        Ok(Self {
            bias: builder.parameter(format!("{name}.bias"), &shape[1..], Init::Constant(0.0))?,
            change: builder.changeable(name, shape, &weight, true),
            weight,
        })
    }

    /// `[..., in]` to `[..., out]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let layer = LinearOperands {
            weight: &self.weight.operand(pass),
            bias: Some(&self.bias.operand(pass)),
            transposed: true,
        };
        layer.forward(x, &self.change, pass)
    }
}

/// Gives dropout layers their numbers.
#[derive(Default)]
pub(super) struct Dropouts(u32);

impl Dropouts {
    /// The next one.
    pub fn next(&mut self, probability: f64) -> Dropout {
        let layer = self.0;
        self.0 += 1;
        Dropout { probability, layer }
    }
}

/// Drops values of tokens, in training only: those of a sample by that sample's draws.
pub(super) fn drop_tokens(
    dropout: &Dropout,
    x: Tensor,
    batch: &TokenBatch,
    pass: &Pass,
) -> Result<Tensor, ModelError> {
    match (dropout.of(pass), batch.sequences()) {
        (Some((probability, key)), Some(sequences)) => {
            Ok(ops::dropout_rows(&x, probability, key, sequences)?)
        }
        _ => dropout.forward(x, pass),
    }
}

/// The function between the layers of an MLP, of each value.
pub(super) fn activate(activation: MlpActivation, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
    Ok(match activation {
        MlpActivation::Gelu => ops::gelu(x, pass.precision)?,
        MlpActivation::GeluTanh => ops::gelu_tanh(x, pass.precision)?,
        MlpActivation::Relu => ops::relu(x)?,
    })
}
