//! Dropout of attention weights.

use std::ops::Range;
use std::sync::Arc;

use super::AttentionOptions;
use crate::ops::dropout::{check_probability, draw_factors};
use crate::ops::error::OpError;
use crate::ops::sequences::SequenceSpan;
use crate::random::Stream;

/// Which weights are dropped. Each is drawn for itself: by its sequence, its head, its query and its key.
#[derive(Clone)]
pub(super) struct WeightDropout {
    pub probability: f64,
    /// For each sequence, its draws.
    streams: Arc<[Stream]>,
}

impl WeightDropout {
    /// That of `options`, if it drops anything.
    pub fn of(options: &AttentionOptions<'_>) -> Result<Option<Self>, OpError> {
        let Some((probability, key)) = options.dropout else {
            return Ok(None);
        };
        check_probability("attention", probability)?;
        let streams = key.samples.iter().map(|&sample| key.stream(sample));
        Ok((probability > 0.0).then(|| Self {
            probability,
            streams: streams.collect(),
        }))
    }

    /// What the weights of one query of a head are multiplied by, for `keys` of the sequence `sequence`, which
    /// is `span`. The first of them is a multiple of four.
    pub fn factors(
        &self,
        (sequence, span): (usize, &SequenceSpan),
        head: usize,
        query: usize,
        keys: Range<usize>,
        factors: &mut [f32],
    ) {
        let blocks = span.keys.len().div_ceil(4);
        let row = head * span.queries.len() + query;
        let first = row as u64 * blocks as u64 + keys.start as u64 / 4;
        let mut stream = self.streams[sequence].clone().skip(first);
        draw_factors(&mut stream, self.probability, &mut factors[..keys.len()]);
    }
}
