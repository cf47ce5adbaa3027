//! A batch of tokens as networks take it.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::models::error::ModelError;
use crate::ops::{AttentionOptions, Sequences, TableRows};

/// The tokens of a batch: of samples of one length `[N, T]`, else one sample behind the other, `[rows]`.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// u32.
    ids: Tensor,
    /// Of each token the type, u32; all are 0 where it is nothing.
    types: Option<Tensor>,
    /// The place of each token in its sequence, where it is not counted from the sequence's first.
    positions: Option<Arc<[u32]>>,
    /// The samples among the rows; nothing where they are all of one length.
    sequences: Option<Sequences>,
}

impl TokenBatch {
    /// Samples of one length: `ids` are `samples` times as many tokens.
    ///
    /// # Errors
    /// Ids that are no whole samples, or memory that the device does not have.
    pub fn equal(ids: &[u32], samples: usize, device: &Device) -> Result<Self, ModelError> {
        let tokens = ids.len() / samples.max(1);
        if tokens == 0 || tokens * samples != ids.len() {
            let problem = format!("{} tokens are not {samples} samples of one length", ids.len());
            return Err(ModelError::Tokens { problem });
        }
        Self::of_tensor(&Tensor::from_slice(ids, (samples, tokens), device)?)
    }

    /// Samples one behind the other: sample `i` has the tokens `offsets[i]..offsets[i + 1]`. In attention a token sees
    /// those of its own sample alone, so samples may as well be documents that were packed into rows.
    ///
    /// # Errors
    /// Offsets that do not ascend from 0 to the number of tokens, or memory that the device does not have.
    pub fn ragged(ids: &[u32], offsets: &[usize], device: &Device) -> Result<Self, ModelError> {
        if offsets.last() != Some(&ids.len()) || ids.is_empty() {
            let problem = format!(
                "the offsets end at {:?}, and there are {} tokens",
                offsets.last(),
                ids.len()
            );
            return Err(ModelError::Tokens { problem });
        }
        Ok(Self {
            ids: Tensor::from_slice(ids, ids.len(), device)?,
            types: None,
            positions: None,
            sequences: Some(Sequences::from_offsets(offsets)?),
        })
    }

    /// Samples that were made equally long, of which the first `lengths[i]` tokens are sample `i`'s own: the others
    /// are left out.
    ///
    /// # Errors
    /// A length over that of the samples, or what [`TokenBatch::ragged`] refuses.
    pub fn padded(ids: &[u32], lengths: &[usize], device: &Device) -> Result<Self, ModelError> {
        let (own, offsets) = Self::without_padding(ids, lengths)?;
        Self::ragged(&own, &offsets, device)
    }

    /// What [`TokenBatch::padded`] keeps of values that stand for tokens, and the offsets of the samples.
    ///
    /// # Errors
    /// A length over that of the samples.
    pub fn without_padding<T: Copy>(
        values: &[T],
        lengths: &[usize],
    ) -> Result<(Vec<T>, Vec<usize>), ModelError> {
        let stride = values.len() / lengths.len().max(1);
        if stride * lengths.len() != values.len() || lengths.iter().any(|length| *length > stride) {
            let problem = format!(
                "{} tokens do not make {} samples of lengths up to {}",
                values.len(),
                lengths.len(),
                lengths.iter().max().copied().unwrap_or(0)
            );
            return Err(ModelError::Tokens { problem });
        }
        let mut own = Vec::with_capacity(lengths.iter().sum());
        let mut offsets = vec![0];
        for (sample, length) in values.chunks(stride.max(1)).zip(lengths) {
            own.extend_from_slice(&sample[..*length]);
            offsets.push(own.len());
        }
        Ok((own, offsets))
    }

    /// Samples of one length: `ids` are `[N, T]`, of u32.
    pub(super) fn of_tensor(ids: &Tensor) -> Result<Self, ModelError> {
        if ids.rank() != 2 || ids.dtype() != DType::U32 || ids.elem_count() == 0 {
            let problem = format!(
                "{:?} of {} are no samples [N, T] of u32",
                ids.dims(),
                ids.dtype().as_str()
            );
            return Err(ModelError::Tokens { problem });
        }
        Ok(Self {
            ids: ids.clone(),
            types: None,
            positions: None,
            sequences: None,
        })
    }

    /// With a type for each token.
    ///
    /// # Errors
    /// Another number of them.
    pub fn with_types(self, types: &[u32]) -> Result<Self, ModelError> {
        self.check_count("types", types.len())?;
        let types = Tensor::from_slice(types, self.ids.shape(), self.ids.device())?;
        Ok(Self {
            types: Some(types),
            ..self
        })
    }

    /// With a place for each token, counted from 0, instead of those in its sample.
    ///
    /// # Errors
    /// Another number of them.
    pub fn with_positions(self, positions: &[u32]) -> Result<Self, ModelError> {
        self.check_count("positions", positions.len())?;
        Ok(Self {
            positions: Some(positions.into()),
            ..self
        })
    }

    /// The same tokens on `device`.
    ///
    /// # Errors
    /// Memory that the device does not have.
    pub fn to_device(&self, device: &Device) -> Result<Self, ModelError> {
        let types = self.types.as_ref().map(|types| types.to_device(device));
        Ok(Self {
            ids: self.ids.to_device(device)?,
            types: types.transpose()?,
            ..self.clone()
        })
    }

    fn check_count(&self, what: &str, count: usize) -> Result<(), ModelError> {
        if count != self.ids.elem_count() {
            let problem = format!("{count} {what} for {} tokens", self.ids.elem_count());
            return Err(ModelError::Tokens { problem });
        }
        Ok(())
    }

    /// Fails where a token stands at `context` or beyond.
    pub(super) fn check(&self, context: usize) -> Result<(), ModelError> {
        let longest = match (&self.positions, &self.sequences) {
            (Some(positions), _) => positions.iter().max().map_or(0, |last| *last as usize + 1),
            (None, Some(sequences)) => {
                let lengths = sequences.spans().iter().map(|span| span.queries.len());
                lengths.max().unwrap_or(0)
            }
            (None, None) => self.ids.dims()[1],
        };
        match longest > context {
            true => Err(ModelError::TooLong { longest, context }),
            false => Ok(()),
        }
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> usize {
        self.ids.elem_count()
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        match &self.sequences {
            Some(sequences) => sequences.spans().len(),
            None => self.ids.dims()[0],
        }
    }

    /// The samples among the rows; nothing where they are all of one length.
    pub fn sequences(&self) -> Option<&Sequences> {
        self.sequences.as_ref()
    }

    /// The numbers of the tokens.
    pub(super) fn ids(&self) -> &Tensor {
        &self.ids
    }

    /// The types of the tokens, where they have any.
    pub(super) fn types(&self) -> Option<&Tensor> {
        self.types.as_ref()
    }

    /// The place of each token, where it is not that in `[N, T]`.
    pub(super) fn positions(&self) -> Option<Arc<[u32]>> {
        let sequences = match (&self.positions, &self.sequences) {
            (Some(positions), _) => return Some(positions.clone()),
            (None, None) => return None,
            (None, Some(sequences)) => sequences,
        };
        let mut positions = vec![0u32; self.ids.elem_count()];
        for span in sequences.spans() {
            let rows = &mut positions[span.queries.clone()];
            rows.iter_mut()
                .zip(0..)
                .for_each(|(position, place)| *position = place);
        }
        Some(positions.into())
    }

    /// The rows of a table of positions, whose first one is at `first`.
    pub(super) fn position_rows(&self, first: usize) -> TableRows {
        match self.positions() {
            None => TableRows::Counted { first },
            Some(positions) if first == 0 => TableRows::Given(positions),
            Some(positions) => {
                let rows = positions
                    .iter()
                    .map(|position| position.saturating_add(first as u32));
                TableRows::Given(rows.collect())
            }
        }
    }

    /// `options` for tokens of which others are kept, whose rows `spans` tells.
    pub(super) fn attending_to<'a>(
        spans: &'a Sequences,
        options: AttentionOptions<'a>,
    ) -> AttentionOptions<'a> {
        AttentionOptions {
            sequences: Some(spans),
            ..options
        }
    }

    /// `options` for these samples.
    pub(super) fn attending<'a>(&'a self, options: AttentionOptions<'a>) -> AttentionOptions<'a> {
        AttentionOptions {
            sequences: self.sequences.as_ref(),
            ..options
        }
    }
}
