//! Scaled dot-product attention of several heads.

mod backward;
mod composition;
mod dropping;
mod forward;
mod sizes;
mod tiles;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::dropout::DropoutKey;
use super::error::OpError;
use super::fill::in_zeroed_blocks;
use super::microkernel::SharedValues;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::round::rounded_copy;
use super::sequences::Sequences;
use crate::spec::Precision;
use dropping::WeightDropout;
use sizes::{AttentionSizes, HeadPart};

/// What attention works on. Head `h` has columns `h * D..(h + 1) * D` of its part.
#[derive(Clone, Copy)]
pub enum AttentionOperands<'a> {
    /// Queries, keys and values side by side in each row: `[N, T, (H + 2 G) * D]` for H heads of queries
    /// and G of keys and values, or `[rows, (H + 2 G) * D]`.
    SideBySide(&'a Tensor),
    /// Queries `[..., H * D]`, keys and values `[..., G * D]`.
    Apart {
        /// What asks.
        queries: &'a Tensor,
        /// What is compared with it.
        keys: &'a Tensor,
        /// What is averaged.
        values: &'a Tensor,
    },
}

/// Who sees whom in an attention, and how it is computed.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOptions<'a> {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, which divide those of the queries: each serves as many of them that
    /// follow each other (Ainslie et al., 2023).
    pub key_value_heads: usize,
    /// Whether a token sees only those before it, and itself.
    pub causal: bool,
    /// A token sees those that are less than this far away, itself counted as 0: of causal attention the
    /// last `window` tokens.
    pub window: Option<usize>,
    /// The sequences within rows `[rows, W]`; of `[N, T, W]` each sample is one.
    pub sequences: Option<&'a Sequences>,
    /// Dropout of attention weights with its probability, to be left out in evaluation. The key is for as
    /// many samples as there are sequences.
    pub dropout: Option<(f64, DropoutKey<'a>)>,
    /// In a narrow format operands, weights and results are rounded; sums and the softmax are f32, as in
    /// PyTorch's fused kernels.
    pub precision: Precision,
}

impl AttentionOptions<'_> {
    /// As many heads of keys and values as of queries, each token of a sample seeing all of it.
    pub fn full(heads: usize, precision: Precision) -> Self {
        Self {
            heads,
            key_value_heads: heads,
            causal: false,
            window: None,
            sequences: None,
            dropout: None,
            precision,
        }
    }
}

/// Scaled dot-product attention (Vaswani et al., 2017): each head weighs values by `softmax(q k^T /
/// sqrt(D))` over the keys that a query sees. The result has the queries' shape, `[..., H * D]`. A row
/// that sees nothing is 0, and so is its gradient.
///
/// No matrix of all queries by all keys is ever kept: the softmax is summed up block by block (Dao et al.,
/// 2022), and the way back computes the weights anew.
///
/// # Errors
/// Columns that the heads do not divide, heads that do not divide each other, sequences that have other
/// rows, an empty dimension, a window of 0, a probability outside of `[0, 1)`, or a key for another number
/// of samples.
pub fn attention(
    operands: AttentionOperands<'_>,
    options: &AttentionOptions<'_>,
) -> std::result::Result<Tensor, OpError> {
    let op = Attention {
        sizes: AttentionSizes::of(operands, options)?,
        dropout: WeightDropout::of(options)?,
        precision: options.precision,
        statistics: Mutex::default(),
    };
    op.check_dropout(options)?;
    match operands {
        AttentionOperands::SideBySide(qkv) => run(op, &[qkv]),
        AttentionOperands::Apart {
            queries,
            keys,
            values,
        } => run(op, &[queries, keys, values]),
    }
}

struct Attention {
    sizes: AttentionSizes,
    dropout: Option<WeightDropout>,
    precision: Precision,
    /// What the forward pass leaves for the way back: of each head's rows the largest product and one over
    /// the sum of the weights, `[H, rows, 2]`.
    statistics: Mutex<Option<Vec<f32>>>,
}

/// The operands on their way into a kernel: rounded, and where each part lies in them.
struct AttentionInputs<'a> {
    queries: HeadPart<'a>,
    keys: HeadPart<'a>,
    values: HeadPart<'a>,
    sequences: &'a Sequences,
}

impl Attention {
    fn check_dropout(&self, options: &AttentionOptions<'_>) -> std::result::Result<(), OpError> {
        match (&self.dropout, options.dropout) {
            (Some(_), Some((_, key))) => key.check_count("attention", self.sizes.sequences.spans().len()),
            _ => Ok(()),
        }
    }

    /// Calls `body` with the operands as the kernels take them.
    fn with_inputs<T>(&self, operands: &[ArrayView], body: impl FnOnce(&AttentionInputs) -> T) -> T {
        let rounded: Vec<_> = operands
            .iter()
            .map(|operand| rounded_copy(operand.values, self.precision))
            .collect();
        let part = |index: usize| self.sizes.part(index, &rounded);
        let inputs = AttentionInputs {
            queries: part(0),
            keys: part(1),
            values: part(2),
            sequences: &self.sizes.sequences,
        };
        body(&inputs)
    }
}

impl Operation for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    /// The products of queries and keys are divided by the root of a head's width. Of the sequences
    /// nothing: a graph that is exported has samples of one length.
    fn attributes(&self) -> Attributes {
        let sizes = &self.sizes;
        let mut attributes = Attributes::default().with("num_heads", sizes.heads);
        if sizes.key_value_heads != sizes.heads {
            attributes = attributes.with("kv_num_heads", sizes.key_value_heads);
        }
        if sizes.causal {
            attributes = attributes.with("is_causal", true);
        }
        if let Some(window) = sizes.window {
            attributes = attributes.with("window", window);
        }
        if let Some(dropout) = &self.dropout {
            attributes = attributes.with("ratio", dropout.probability);
        }
        attributes.with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        composition::attention(self, operands)
    }
}

impl CpuKernel for Attention {
    /// What is recorded is of samples of one length, without dropout.
    fn refitted(self: &Arc<Self>, operands: &[&Tensor]) -> std::result::Result<Arc<Self>, OpError> {
        let given = match *operands {
            [queries, keys, values] => AttentionOperands::Apart {
                queries,
                keys,
                values,
            },
            _ => AttentionOperands::SideBySide(operands[0]),
        };
        let options = AttentionOptions {
            key_value_heads: self.sizes.key_value_heads,
            causal: self.sizes.causal,
            window: self.sizes.window,
            ..AttentionOptions::full(self.sizes.heads, self.precision)
        };
        Ok(Arc::new(Self {
            sizes: AttentionSizes::of(given, &options)?,
            dropout: None,
            precision: self.precision,
            statistics: Mutex::default(),
        }))
    }

    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let sizes = &self.sizes;
        let rows = sizes.query_rows;
        let mut statistics = vec![0.0; 2 * sizes.heads * rows];
        let y = self.with_inputs(operands, |inputs| {
            // Rows of no sequence are 0.
            let mut y = in_zeroed_blocks(rows * sizes.columns(), 1 << 14, |_, _| {});
            forward::run(
                self,
                inputs,
                &SharedValues::new(&mut y),
                &SharedValues::new(&mut statistics),
            );
            y
        });
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Some(statistics);
        let mut dims = operands[0].dims.to_vec();
        if let Some(columns) = dims.last_mut() {
            *columns = sizes.columns();
        }
        (y, dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        if !wanted.contains(&true) {
            return wanted.iter().map(|_| None).collect();
        }
        let statistics = || self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        if statistics().is_none() {
            // They were taken by another walk through the same pass.
            self.forward(operands);
        }
        let kept = statistics().take().unwrap_or_default();
        let gradient = rounded_copy(gradient, self.precision);
        let found = self.with_inputs(operands, |inputs| {
            backward::run(self, inputs, output, &gradient, &kept)
        });
        *statistics() = Some(kept);
        let found = found.into_iter().zip(wanted);
        found
            .map(|(found, &wanted)| OperandGradient::if_wanted(wanted, || found))
            .collect()
    }
}

#[cfg(test)]
mod tests;
