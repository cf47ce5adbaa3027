//! The sizes of an attention, and where its heads lie in memory.

use std::borrow::Cow;
use std::ops::Range;

use super::{AttentionOperands, AttentionOptions};
use crate::ops::error::OpError;
use crate::ops::sequences::{SequenceSpan, Sequences};

/// What an attention depends on besides values, known to fit its operands.
#[derive(Clone, Debug)]
pub(super) struct AttentionSizes {
    pub heads: usize,
    pub key_value_heads: usize,
    /// Columns of a head.
    pub width: usize,
    pub causal: bool,
    pub window: Option<usize>,
    pub sequences: Sequences,
    pub query_rows: usize,
    pub key_rows: usize,
    /// Whether queries, keys and values lie in one operand.
    pub side_by_side: bool,
}

/// One part of the operands, of all heads: rows of `stride` values, of which its own begin at `column`.
#[derive(Clone, Copy)]
pub(super) struct HeadPart<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    pub column: usize,
}

impl<'a> HeadPart<'a> {
    /// Where a head of `width` columns begins in row `row`.
    pub fn place(&self, row: usize, head: usize, width: usize) -> usize {
        row * self.stride + self.column + head * width
    }

    /// What a head has in a row.
    pub fn head(&self, row: usize, head: usize, width: usize) -> &'a [f32] {
        &self.values[self.place(row, head, width)..][..width]
    }
}

impl AttentionSizes {
    pub fn of(operands: AttentionOperands<'_>, options: &AttentionOptions<'_>) -> Result<Self, OpError> {
        const OP: &str = "attention";
        let AttentionOptions {
            heads,
            key_value_heads,
            causal,
            window,
            ..
        } = *options;
        let wrong = |problem: String| Err(OpError::shape(OP, problem));
        if heads == 0 || key_value_heads == 0 || !heads.is_multiple_of(key_value_heads) {
            return wrong(format!(
                "{key_value_heads} heads of keys and values cannot serve {heads} heads of queries"
            ));
        }
        if window == Some(0) {
            return wrong("a window of 0 tokens shows nothing".to_owned());
        }
        let rows_of = |dims: &[usize]| match (dims, options.sequences) {
            (&[samples, tokens, columns], None) => Ok((samples, tokens, columns)),
            (&[rows, columns], Some(_)) => Ok((1, rows, columns)),
            _ => {
                let problem = format!(
                    "needs [N, T, columns], or [rows, columns] with the sequences among the rows, got {dims:?}"
                );
                Err(OpError::shape(OP, problem))
            }
        };
        let (first, keys, side_by_side) = match operands {
            AttentionOperands::SideBySide(qkv) => (qkv, None, true),
            AttentionOperands::Apart {
                queries,
                keys,
                values,
            } => {
                if keys.dims() != values.dims() {
                    return wrong(format!("keys {:?} for values {:?}", keys.dims(), values.dims()));
                }
                (queries, Some(keys), false)
            }
        };
        let (samples, tokens, columns) = rows_of(first.dims())?;
        let all = if side_by_side {
            heads + 2 * key_value_heads
        } else {
            heads
        };
        if tokens == 0 || columns == 0 || !columns.is_multiple_of(all) {
            let held = if side_by_side {
                " (queries, keys and values)"
            } else {
                ""
            };
            return wrong(format!(
                "{tokens} tokens of {columns} columns{held} cannot be cut into {heads} heads"
            ));
        }
        let width = columns / all;
        let query_rows = samples * tokens;
        let mut key_rows = query_rows;
        if let Some(keys) = keys {
            let (key_samples, key_tokens, key_columns) = rows_of(keys.dims())?;
            let same_tokens = (key_samples, key_tokens) == (samples, tokens);
            if key_columns != key_value_heads * width || !(options.sequences.is_some() || same_tokens) {
                return wrong(format!(
                    "queries {:?} of {heads} heads and keys {:?} of {key_value_heads} do not fit each other",
                    first.dims(),
                    keys.dims()
                ));
            }
            key_rows = key_samples * key_tokens;
        }
        let sequences = match options.sequences {
            Some(sequences) => {
                sequences.check(OP, query_rows, key_rows)?;
                sequences.clone()
            }
            None => Sequences::equal(samples, tokens),
        };
        Ok(Self {
            heads,
            key_value_heads,
            width,
            causal,
            window,
            sequences,
            query_rows,
            key_rows,
            side_by_side,
        })
    }

    /// Columns of the result.
    pub fn columns(&self) -> usize {
        self.heads * self.width
    }

    /// Heads of queries that one of keys and values serves.
    pub fn group(&self) -> usize {
        self.heads / self.key_value_heads
    }

    /// `1 / sqrt(D)`.
    pub fn scale(&self) -> f32 {
        (1.0 / (self.width as f64).sqrt()) as f32
    }

    /// Columns of queries, keys or values.
    pub fn part_columns(&self, part: usize) -> usize {
        let heads = if part == 0 {
            self.heads
        } else {
            self.key_value_heads
        };
        heads * self.width
    }

    /// Queries, keys or values among the operands.
    pub fn part<'a>(&self, part: usize, operands: &'a [Cow<'_, [f32]>]) -> HeadPart<'a> {
        let (operand, stride, column) = self.place(part);
        HeadPart {
            values: &operands[operand],
            stride,
            column,
        }
    }

    /// Which operand queries, keys or values are in, of how many columns, and at which they begin.
    pub fn place(&self, part: usize) -> (usize, usize, usize) {
        if !self.side_by_side {
            return (part, self.part_columns(part), 0);
        }
        let columns = (0..3).map(|part| self.part_columns(part)).sum();
        (0, columns, (0..part).map(|part| self.part_columns(part)).sum())
    }

    /// The keys of a sequence, counted from its first, that its query `query` sees.
    pub fn seen(&self, span: &SequenceSpan, query: usize) -> Range<usize> {
        let keys = span.keys.len();
        // The place of the query among the keys.
        let place = keys - span.queries.len() + query;
        let end = match (self.causal, self.window) {
            (true, _) => place + 1,
            (false, Some(window)) => place.saturating_add(window).min(keys),
            (false, None) => keys,
        };
        let start = self.window.map_or(0, |window| (place + 1).saturating_sub(window));
        start..end
    }

    /// The keys that any of some queries sees.
    pub fn seen_by_any(&self, span: &SequenceSpan, queries: &Range<usize>) -> Range<usize> {
        // Both ends ascend with the query.
        match queries.is_empty() {
            true => 0..0,
            false => self.seen(span, queries.start).start..self.seen(span, queries.end - 1).end,
        }
    }
}

/// The common part of two ranges; where there is none, the empty range at the beginning of `other`.
pub(super) fn common(one: &Range<usize>, other: &Range<usize>) -> Range<usize> {
    let (start, end) = (one.start.max(other.start), one.end.min(other.end));
    if start < end {
        start..end
    } else {
        other.start..other.start
    }
}
