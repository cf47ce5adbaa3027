//! What a network of text keeps of tokens that it has seen, so that it is shown each of them once.

use candle_core::{DType, Device, Tensor};

use super::batch::TokenBatch;
use crate::models::error::ModelError;
use crate::ops::{SequenceSpan, Sequences};

/// The keys and values of the tokens so far, of some sequences: a row a token, of as many columns as the heads of keys and
/// values have. Each sequence has rows of its own, one behind the other.
///
/// Sequences may come and go ([`KeyValueCache::open`], [`KeyValueCache::close`]); a batch is of those that were chosen for
/// it.
#[derive(Debug)]
pub struct KeyValueCache {
    /// Of each layer keys and values, `[rows, columns]`, of as many rows as were needed so far; nothing before the first
    /// tokens.
    layers: Vec<[Tensor; 2]>,
    /// Rows of all sequences together, at most.
    rows: usize,
    /// Nothing where one was closed.
    sequences: Vec<Option<KeptRows>>,
    /// Those that the next batch is of.
    chosen: Vec<usize>,
}

/// The rows of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeptRows {
    start: usize,
    /// The most tokens.
    capacity: usize,
    /// Tokens so far.
    length: usize,
}

impl KeyValueCache {
    /// For so many sequences of up to `capacity` tokens each, which all batches are of; nothing is held yet.
    pub fn new(sequences: usize, capacity: usize) -> Self {
        let mut cache = Self::with_room(sequences.saturating_mul(capacity));
        cache.chosen = (0..sequences).filter_map(|_| cache.open(capacity)).collect();
        cache
    }

    /// For sequences that have `rows` tokens together at most; there is none yet.
    pub fn with_room(rows: usize) -> Self {
        Self {
            layers: Vec::new(),
            rows,
            sequences: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// Where so many rows in a row are free, those of the sequence `own` included.
    fn place(&self, capacity: usize, own: Option<usize>) -> Option<usize> {
        let others = self.sequences.iter().enumerate();
        let others = others.filter(|(sequence, _)| Some(*sequence) != own);
        let mut taken: Vec<KeptRows> = others.filter_map(|(_, rows)| *rows).collect();
        taken.sort_by_key(|rows| rows.start);
        let mut start = 0;
        for rows in &taken {
            if start + capacity <= rows.start {
                break;
            }
            start = rows.start + rows.capacity;
        }
        (start + capacity <= self.rows).then_some(start)
    }

    /// Gives a new sequence room for up to `capacity` tokens, and its number; nothing where there is no room for it now.
    pub fn open(&mut self, capacity: usize) -> Option<usize> {
        let start = self.place(capacity, None)?;
        let rows = Some(KeptRows {
            start,
            capacity,
            length: 0,
        });
        match self.sequences.iter().position(Option::is_none) {
            Some(free) => {
                self.sequences[free] = rows;
                Some(free)
            }
            None => {
                self.sequences.push(rows);
                Some(self.sequences.len() - 1)
            }
        }
    }

    /// Gives a sequence room for up to `capacity` tokens, more than it has; false where there is no room for it now, and it
    /// keeps what it has.
    ///
    /// # Errors
    /// There is no such sequence, or memory that the device does not have.
    pub fn grow(&mut self, sequence: usize, capacity: usize) -> Result<bool, ModelError> {
        let Some(Some(known)) = self.sequences.get(sequence).copied() else {
            let problem = format!("sequence {sequence} of a cache of {}", self.sequences.len());
            return Err(ModelError::Tokens { problem });
        };
        let others = self.sequences.iter().flatten();
        let next = others
            .map(|rows| rows.start)
            .filter(|start| *start > known.start)
            .min();
        let start = match known.start + capacity <= next.unwrap_or(self.rows) {
            true => known.start,
            false => match self.place(capacity, Some(sequence)) {
                Some(start) => start,
                None => return Ok(false),
            },
        };
        if start != known.start && known.length > 0 {
            for layer in 0..self.layers.len() {
                self.lengthen(layer, start + capacity)?;
            }
            for held in self.layers.iter().flatten() {
                // What is read and what is written may overlap.
                let rows = held.narrow(0, known.start, known.length)?.copy()?;
                held.slice_set(&rows, 0, start)?;
            }
        }
        self.sequences[sequence] = Some(KeptRows {
            start,
            capacity,
            ..known
        });
        Ok(true)
    }

    /// Tokens that a sequence has room for; nothing where there is no such sequence.
    pub fn capacity(&self, sequence: usize) -> Option<usize> {
        Some(self.sequences.get(sequence)?.as_ref()?.capacity)
    }

    /// Gives back the room of a sequence.
    pub fn close(&mut self, sequence: usize) {
        if let Some(rows) = self.sequences.get_mut(sequence) {
            *rows = None;
        }
        self.chosen.retain(|chosen| *chosen != sequence);
    }

    /// Says which sequences the next batches are of, in their order.
    ///
    /// # Errors
    /// There is no such sequence, or it comes twice.
    pub fn choose(&mut self, sequences: &[usize]) -> Result<(), ModelError> {
        let is_there = |sequence: &usize| self.sequences.get(*sequence).is_some_and(Option::is_some);
        let comes_twice = |place: usize| sequences[..place].contains(&sequences[place]);
        if !sequences.iter().all(is_there) || (0..sequences.len()).any(comes_twice) {
            let problem = format!(
                "the sequences {sequences:?} of a cache of {}",
                self.sequences.len()
            );
            return Err(ModelError::Tokens { problem });
        }
        self.chosen = sequences.to_vec();
        Ok(())
    }

    /// Bytes that a token takes; nothing before the first ones.
    pub fn bytes_per_token(&self) -> Option<usize> {
        let of_layer = |layer: &[Tensor; 2]| -> usize {
            let columns = layer.iter().map(|tensor| tensor.dims()[1]);
            columns.sum::<usize>() * DType::F32.size_in_bytes()
        };
        (!self.layers.is_empty()).then(|| self.layers.iter().map(of_layer).sum())
    }

    /// The rows of the chosen sequences.
    fn kept(&self) -> impl Iterator<Item = KeptRows> + '_ {
        self.chosen
            .iter()
            .filter_map(|sequence| self.sequences[*sequence])
    }

    /// Tokens of each of the chosen sequences so far.
    pub fn lengths(&self) -> Vec<usize> {
        self.kept().map(|rows| rows.length).collect()
    }

    /// A batch of the next tokens, `ids[i]` of the chosen sequence `i`, at their places.
    ///
    /// # Errors
    /// Another number of sequences, one without tokens, or more of them than there is room for.
    pub fn batch(&self, ids: &[&[u32]], device: &Device) -> Result<TokenBatch, ModelError> {
        let wrong = |problem: String| Err(ModelError::Tokens { problem });
        if ids.len() != self.chosen.len() {
            return wrong(format!(
                "{} sequences for a cache of {}",
                ids.len(),
                self.chosen.len()
            ));
        }
        let (mut offsets, mut positions) = (vec![0], Vec::new());
        for (ids, KeptRows { length, capacity, .. }) in ids.iter().zip(self.kept()) {
            let end = length + ids.len();
            if ids.is_empty() || end > capacity {
                return wrong(format!(
                    "{} tokens behind {length} for a cache of {capacity}",
                    ids.len()
                ));
            }
            positions.extend((length..end).map(|position| position as u32));
            offsets.push(positions.len());
        }
        TokenBatch::ragged(&ids.concat(), &offsets, device)?.with_positions(&positions)
    }

    /// The rows of the sequences of `batch`, those that ask and those that are seen, once its tokens are added.
    pub(super) fn spans(&self, batch: &TokenBatch) -> Result<Sequences, ModelError> {
        let Some(sequences) = batch
            .sequences()
            .filter(|rows| rows.spans().len() == self.chosen.len())
        else {
            let problem = format!(
                "a batch that was not made by this cache of {} sequences",
                self.chosen.len()
            );
            return Err(ModelError::Tokens { problem });
        };
        let spans = sequences.spans().iter().zip(self.kept());
        let spans = spans.map(|(span, KeptRows { start, length, .. })| SequenceSpan {
            queries: span.queries.clone(),
            keys: start..start + length + span.queries.len(),
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
        let needed = self.kept().map(|rows| rows.start + rows.capacity).max();
        let needed = needed.unwrap_or(0);
        if layer == self.layers.len() {
            let rows = needed;
            let empty = |tensor: &Tensor| {
                let shape = (rows, tensor.dims()[tensor.rank() - 1]);
                Tensor::zeros(shape, DType::F32, tensor.device())
            };
            self.layers.push([empty(new[0])?, empty(new[1])?]);
        }
        self.lengthen(layer, needed)?;
        let Some(held) = self.layers.get(layer) else {
            let problem = format!("layer {layer} before those in front of it");
            return Err(ModelError::Tokens { problem });
        };
        let spans = batch.sequences().map(Sequences::spans).unwrap_or_default();
        for (held, new) in held.iter().zip(new) {
            let new = new.detach();
            for (span, KeptRows { start, length, .. }) in spans.iter().zip(self.kept()) {
                let rows = new.narrow(0, span.queries.start, span.queries.len())?;
                held.slice_set(&rows.contiguous()?, 0, start + length)?;
            }
        }
        Ok(held.clone())
    }

    /// Has a layer's tensors have so many rows: twice as many as before, so that rows are moved a few times at most.
    fn lengthen(&mut self, layer: usize, needed: usize) -> Result<(), ModelError> {
        let Some(held) = self.layers.get_mut(layer) else {
            return Ok(());
        };
        for held in held {
            let (rows, columns) = held.dims2()?;
            if rows < needed {
                let more = needed.max(2 * rows).min(self.rows.max(needed));
                let longer = Tensor::zeros((more, columns), DType::F32, held.device())?;
                longer.slice_set(held, 0, 0)?;
                *held = longer;
            }
        }
        Ok(())
    }

    /// Takes note that all layers have the tokens of `batch`.
    pub(super) fn advance(&mut self, batch: &TokenBatch) {
        let spans = batch.sequences().map(Sequences::spans).unwrap_or_default();
        for (sequence, span) in self.chosen.iter().zip(spans) {
            if let Some(rows) = &mut self.sequences[*sequence] {
                rows.length += span.queries.len();
            }
        }
    }

    /// A copy whose sequence `i` is this one's chosen sequence `parents[i]`, with room for as many tokens.
    ///
    /// # Errors
    /// There is no such sequence, or memory that the device does not have.
    pub fn of_parents(&self, parents: &[usize]) -> Result<Self, ModelError> {
        let known: Vec<KeptRows> = self.kept().collect();
        let mut sequences: Vec<(KeptRows, KeptRows)> = Vec::with_capacity(parents.len());
        let mut start = 0;
        for parent in parents {
            let Some(rows) = known.get(*parent) else {
                let problem = format!("sequence {parent} of a cache of {}", known.len());
                return Err(ModelError::Tokens { problem });
            };
            sequences.push((*rows, KeptRows { start, ..*rows }));
            start += rows.capacity;
        }
        let mut layers = Vec::with_capacity(self.layers.len());
        for held in &self.layers {
            let mut copies = Vec::with_capacity(2);
            for held in held {
                let columns = held.dims()[1];
                let copy = Tensor::zeros((start, columns), DType::F32, held.device())?;
                for (parent, own) in &sequences {
                    // What is behind a sequence's tokens is not looked at.
                    let rows = held.narrow(0, parent.start, parent.length)?;
                    copy.slice_set(&rows.contiguous()?, 0, own.start)?;
                }
                copies.push(copy);
            }
            if let Ok(copies) = <[Tensor; 2]>::try_from(copies) {
                layers.push(copies);
            }
        }
        Ok(Self {
            layers,
            rows: start,
            chosen: (0..sequences.len()).collect(),
            sequences: sequences.into_iter().map(|(_, own)| Some(own)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_given_and_given_back() {
        let mut cache = KeyValueCache::with_room(10);
        let [a, b] = [4, 4].map(|capacity| cache.open(capacity).unwrap());
        assert_eq!(cache.open(3), None);
        let c = cache.open(2).unwrap();
        cache.close(a);
        assert_eq!(cache.open(5), None);
        // The numbers and the rows of those that have gone are used again.
        let d = cache.open(3).unwrap();
        assert_eq!((d, cache.sequences[d].unwrap().start), (a, 0));
        assert_eq!(cache.open(1).map(|e| cache.sequences[e].unwrap().start), Some(3));
        cache.choose(&[c, b]).unwrap();
        assert_eq!(cache.lengths(), [0, 0]);
        assert!(cache.choose(&[b, b]).is_err() && cache.choose(&[9]).is_err());
        cache.close(b);
        assert_eq!(cache.chosen, [c]);
        assert!(cache.choose(&[b]).is_err());
        // Where it is, or elsewhere; never into others' rows.
        let mut cache = KeyValueCache::with_room(10);
        let [a, b] = [3, 2].map(|capacity| cache.open(capacity).unwrap());
        let start = |cache: &KeyValueCache, sequence: usize| cache.sequences[sequence].unwrap().start;
        assert!(cache.grow(b, 4).unwrap() && start(&cache, b) == 3);
        assert!(!cache.grow(a, 4).unwrap() && cache.capacity(a) == Some(3));
        cache.close(b);
        let c = cache.open(2).unwrap();
        assert!(cache.grow(a, 5).unwrap() && start(&cache, a) == 5);
        assert!(cache.grow(c, 5).unwrap() && start(&cache, c) == 0);
        assert!(cache.grow(9, 1).is_err() && cache.capacity(9).is_none());
    }
}
