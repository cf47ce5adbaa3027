//! What a network of text keeps of tokens that it has seen, so that it is shown each of them once.

use candle_core::{DType, Device, Tensor};

use super::batch::TokenBatch;
use crate::models::error::ModelError;
use crate::ops::{SequenceSpan, Sequences};

/// The keys and values of the tokens so far, of a few sequences: a row a token, of as many columns as the heads of keys
/// and values have.
#[derive(Debug)]
pub struct KeyValueCache {
    /// Of each layer keys and values, `[sequences * capacity, columns]`; nothing before the first tokens.
    layers: Vec<[Tensor; 2]>,
    /// Tokens of each sequence.
    lengths: Vec<usize>,
    /// The most tokens of a sequence.
    capacity: usize,
}

impl KeyValueCache {
    /// For so many sequences of up to `capacity` tokens each; nothing is held yet.
    pub fn new(sequences: usize, capacity: usize) -> Self {
        Self {
            layers: Vec::new(),
            lengths: vec![0; sequences],
            capacity,
        }
    }

    /// Tokens of each sequence so far.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// A batch of the next tokens, `ids[i]` of the sequence `i`, at their places.
    ///
    /// # Errors
    /// Another number of sequences, one without tokens, or more of them than there is room for.
    pub fn batch(&self, ids: &[&[u32]], device: &Device) -> Result<TokenBatch, ModelError> {
        let wrong = |problem: String| Err(ModelError::Tokens { problem });
        if ids.len() != self.lengths.len() {
            return wrong(format!(
                "{} sequences for a cache of {}",
                ids.len(),
                self.lengths.len()
            ));
        }
        let (mut offsets, mut positions) = (vec![0], Vec::new());
        for (ids, length) in ids.iter().zip(&self.lengths) {
            let end = length + ids.len();
            if ids.is_empty() || end > self.capacity {
                return wrong(format!(
                    "{} tokens behind {length} for a cache of {}",
                    ids.len(),
                    self.capacity
                ));
            }
            positions.extend((*length..end).map(|position| position as u32));
            offsets.push(positions.len());
        }
        TokenBatch::ragged(&ids.concat(), &offsets, device)?.with_positions(&positions)
    }

    /// The rows of the sequences of `batch`, those that ask and those that are seen, once its tokens are added.
    pub(super) fn spans(&self, batch: &TokenBatch) -> Result<Sequences, ModelError> {
        let Some(sequences) = batch
            .sequences()
            .filter(|rows| rows.spans().len() == self.lengths.len())
        else {
            let problem = format!(
                "a batch that was not made by this cache of {} sequences",
                self.lengths.len()
            );
            return Err(ModelError::Tokens { problem });
        };
        let spans = sequences.spans().iter().zip(&self.lengths).enumerate();
        let spans = spans.map(|(index, (span, length))| {
            let start = index * self.capacity;
            SequenceSpan {
                queries: span.queries.clone(),
                keys: start..start + length + span.queries.len(),
            }
        });
        Ok(Sequences::of_spans(spans.collect())?)
    }

    /// Adds a layer's keys and values, `[rows, columns]` each, of the tokens of `batch`, and gives those of all tokens.
    pub(super) fn add(
        &mut self,
        layer: usize,
        batch: &TokenBatch,
        new: [&Tensor; 2],
    ) -> Result<[Tensor; 2], ModelError> {
        if layer == self.layers.len() {
            let rows = self.lengths.len() * self.capacity;
            let empty = |tensor: &Tensor| {
                let shape = (rows, tensor.dims()[tensor.rank() - 1]);
                Tensor::zeros(shape, DType::F32, tensor.device())
            };
            self.layers.push([empty(new[0])?, empty(new[1])?]);
        }
        let Some(held) = self.layers.get(layer) else {
            let problem = format!("layer {layer} before those in front of it");
            return Err(ModelError::Tokens { problem });
        };
        let spans = batch.sequences().map(Sequences::spans).unwrap_or_default();
        for (held, new) in held.iter().zip(new) {
            let new = new.detach();
            for (index, (span, length)) in spans.iter().zip(&self.lengths).enumerate() {
                let rows = new.narrow(0, span.queries.start, span.queries.len())?;
                held.slice_set(&rows.contiguous()?, 0, index * self.capacity + length)?;
            }
        }
        Ok(held.clone())
    }

    /// Takes note that all layers have the tokens of `batch`.
    pub(super) fn advance(&mut self, batch: &TokenBatch) {
        let spans = batch.sequences().map(Sequences::spans).unwrap_or_default();
        for (length, span) in self.lengths.iter_mut().zip(spans) {
            *length += span.queries.len();
        }
    }

    /// A copy whose sequence `i` is this one's sequence `parents[i]`.
    ///
    /// # Errors
    /// There is no such sequence, or memory that the device does not have.
    pub fn of_parents(&self, parents: &[usize]) -> Result<Self, ModelError> {
        if let Some(parent) = parents.iter().find(|parent| **parent >= self.lengths.len()) {
            let problem = format!("sequence {parent} of a cache of {}", self.lengths.len());
            return Err(ModelError::Tokens { problem });
        }
        let mut layers = Vec::with_capacity(self.layers.len());
        for held in &self.layers {
            let mut copies = Vec::with_capacity(2);
            for held in held {
                let columns = held.dims()[1];
                let copy = Tensor::zeros(
                    (parents.len() * self.capacity, columns),
                    DType::F32,
                    held.device(),
                )?;
                for (index, parent) in parents.iter().enumerate() {
                    // What is behind a sequence's tokens is not looked at.
                    let rows = held.narrow(0, parent * self.capacity, self.lengths[*parent])?;
                    copy.slice_set(&rows.contiguous()?, 0, index * self.capacity)?;
                }
                copies.push(copy);
            }
            if let Ok(copies) = <[Tensor; 2]>::try_from(copies) {
                layers.push(copies);
            }
        }
        Ok(Self {
            layers,
            lengths: parents.iter().map(|parent| self.lengths[*parent]).collect(),
            capacity: self.capacity,
        })
    }
}
