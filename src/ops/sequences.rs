//! Where sequences of tokens lie among the rows of a tensor.
//!
//! Rows of tokens of several samples stand one behind another, `[rows, W]`, and nothing is there to fill
//! shorter ones up. A tensor `[N, T, W]` needs no such list: its samples are the sequences.

use std::ops::Range;
use std::sync::Arc;

use super::error::OpError;

/// Sequences within rows of tokens: a token sees those of its own sequence alone. Rows that belong to
/// none see nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    spans: Arc<[SequenceSpan]>,
}

/// The rows of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceSpan {
    /// Its tokens that ask.
    pub queries: Range<usize>,
    /// Its tokens that are seen. The last ones stand at the places of those that ask; those before are
    /// such as were asked for earlier.
    pub keys: Range<usize>,
}

impl Sequences {
    /// Sequences that follow each other: the rows `offsets[i]..offsets[i + 1]` are sequence `i`.
    ///
    /// # Errors
    /// Offsets that do not begin with 0 or do not ascend.
    pub fn from_offsets(offsets: &[usize]) -> Result<Self, OpError> {
        if offsets.first() != Some(&0) || !offsets.is_sorted() {
            let problem = format!("the offsets {} do not ascend from 0", told(offsets));
            return Err(OpError::shape("sequences", problem));
        }
        Ok(Self::of_rows(offsets.windows(2).map(|pair| pair[0]..pair[1])))
    }

    /// The first `lengths[i]` of each `stride` rows: those of samples that were made equally long.
    ///
    /// # Errors
    /// A length over the stride.
    pub fn padded(lengths: &[usize], stride: usize) -> Result<Self, OpError> {
        if let Some(length) = lengths.iter().find(|length| **length > stride) {
            let problem = format!("a sequence of {length} tokens does not fit {stride} rows");
            return Err(OpError::shape("sequences", problem));
        }
        let rows = lengths.iter().enumerate();
        Ok(Self::of_rows(rows.map(|(sample, length)| {
            sample * stride..sample * stride + length
        })))
    }

    /// Sequences whose queries and keys are other rows, such as those of a cache.
    ///
    /// # Errors
    /// A sequence with more queries than keys, or queries that do not follow each other.
    pub fn of_spans(spans: Vec<SequenceSpan>) -> Result<Self, OpError> {
        let mut end = 0;
        for span in &spans {
            if span.queries.start < end || span.queries.end < span.queries.start {
                let problem = format!("the queries {:?} do not follow those before", span.queries);
                return Err(OpError::shape("sequences", problem));
            }
            if span.keys.len() < span.queries.len() || span.keys.end < span.keys.start {
                let problem = format!(
                    "the queries {:?} are not among the keys {:?}",
                    span.queries, span.keys
                );
                return Err(OpError::shape("sequences", problem));
            }
            end = span.queries.end;
        }
        Ok(Self { spans: spans.into() })
    }

    /// `samples` sequences of `tokens` each.
    pub(super) fn equal(samples: usize, tokens: usize) -> Self {
        Self::of_rows((0..samples).map(|sample| sample * tokens..(sample + 1) * tokens))
    }

    fn of_rows(rows: impl Iterator<Item = Range<usize>>) -> Self {
        let span = |rows: Range<usize>| SequenceSpan {
            queries: rows.clone(),
            keys: rows,
        };
        Self {
            spans: rows.map(span).collect(),
        }
    }

    /// The sequences, in the order of their rows.
    pub fn spans(&self) -> &[SequenceSpan] {
        &self.spans
    }

    /// Fails unless all rows are among `queries` and `keys`.
    pub(super) fn check(&self, op: &'static str, queries: usize, keys: usize) -> Result<(), OpError> {
        let last = self.spans.iter().map(|span| span.queries.end).max().unwrap_or(0);
        let last_key = self.spans.iter().map(|span| span.keys.end).max().unwrap_or(0);
        if last > queries || last_key > keys {
            let problem = format!(
                "the sequences end at row {last} (keys at {last_key}), and there are {queries} rows ({keys} of keys)"
            );
            return Err(OpError::shape(op, problem));
        }
        Ok(())
    }

    /// The number of queries and keys of each sequence, and how many there are, where all are alike and
    /// leave no row out.
    pub(super) fn uniform(&self, queries: usize, keys: usize) -> Option<[usize; 3]> {
        let first = self.spans.first()?;
        let [asked, seen] = [first.queries.len(), first.keys.len()];
        let fits = |(index, span): (usize, &SequenceSpan)| {
            span.queries == (index * asked..(index + 1) * asked)
                && span.keys == (index * seen..(index + 1) * seen)
        };
        let count = self.spans.len();
        let whole = count * asked == queries && count * seen == keys;
        (whole && self.spans.iter().enumerate().all(fits)).then_some([count, asked, seen])
    }
}

/// The first few of a list of numbers.
fn told(numbers: &[usize]) -> String {
    const SHOWN: usize = 8;
    let shown = &numbers[..numbers.len().min(SHOWN)];
    let more = if numbers.len() > SHOWN { ", ..." } else { "" };
    let list: Vec<String> = shown.iter().map(usize::to_string).collect();
    format!("[{}{more}]", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_found_among_the_rows() {
        let of = |sequences: &Sequences| -> Vec<Range<usize>> {
            sequences
                .spans()
                .iter()
                .map(|span| span.queries.clone())
                .collect()
        };
        let ragged = Sequences::from_offsets(&[0, 3, 3, 7]).expect("ascends");
        assert_eq!(of(&ragged), [0..3, 3..3, 3..7]);
        assert_eq!(ragged.uniform(7, 7), None);
        let padded = Sequences::padded(&[3, 0, 2], 4).expect("fits");
        assert_eq!(of(&padded), [0..3, 4..4, 8..10]);
        let equal = Sequences::from_offsets(&[0, 2, 4]).expect("ascends");
        assert_eq!(equal, Sequences::equal(2, 2));
        assert_eq!(
            (equal.uniform(4, 4), equal.uniform(5, 5)),
            (Some([2, 2, 2]), None)
        );
        equal.check("attention", 4, 4).expect("inside");
    }

    #[test]
    fn what_cannot_be_is_told() {
        let told = |result: Result<Sequences, OpError>| result.expect_err("refused").to_string();
        assert_eq!(
            told(Sequences::from_offsets(&[1, 2])),
            "sequences: the offsets [1, 2] do not ascend from 0"
        );
        assert!(told(Sequences::from_offsets(&[0, 4, 3])).contains("do not ascend"));
        assert!(told(Sequences::padded(&[3, 5], 4)).contains("5 tokens does not fit 4 rows"));
        let span = |queries: Range<usize>, keys: Range<usize>| SequenceSpan { queries, keys };
        assert!(told(Sequences::of_spans(vec![span(0..3, 0..2)])).contains("not among the keys"));
        assert!(
            told(Sequences::of_spans(vec![span(0..3, 0..3), span(2..4, 0..3)])).contains("do not follow")
        );
        let error = Sequences::equal(2, 3)
            .check("attention", 5, 6)
            .expect_err("too few");
        assert!(
            error
                .to_string()
                .starts_with("attention: the sequences end at row 6")
        );
    }
}
