//! Which rows make up each batch.

use std::ops::Range;

use super::rows::TextRows;
use super::run::TokenRun;
use crate::data::error::DataError;
use crate::data::sample_order::SampleOrder;
use crate::random::{Purpose, Stream};

/// How rows are put together to batches.
#[derive(Debug)]
pub(super) enum BatchPlan {
    /// So many each, the last one fewer; shuffled under a seed, or in order.
    Counted { size: u32, rows: u32, seed: Option<u64> },
    /// These rows, in order: batch `i` ends with the one before `ends[i]`.
    Ordered { rows: Vec<u32>, ends: Vec<u32> },
    /// As many as a number of tokens allows, shuffled.
    Bucketed(Buckets),
}

/// Rows of like lengths, which take each other's places in each pass: so there are as many batches in each.
#[derive(Debug)]
pub(super) struct Buckets {
    /// The rows by bucket and number.
    rows: Vec<u32>,
    /// Where each bucket ends.
    ends: Vec<u32>,
    /// Where each batch ends.
    batches: Vec<u32>,
    seed: u64,
}

/// The order of one pass.
#[derive(Debug)]
pub(super) enum PassOrder {
    /// Rows in order, `size` to a batch.
    Counted { size: u32, rows: u32 },
    /// The same, in another order.
    Shuffled { size: u32, rows: Vec<u32> },
    /// Batches of `rows`.
    Listed {
        rows: Vec<u32>,
        batches: Vec<Range<usize>>,
    },
}

impl BatchPlan {
    /// Batches of at most `size` rows, and at most `most` tokens, of rows in an order under a seed.
    ///
    /// # Errors
    /// A row has more tokens than that.
    pub fn new(
        run: &TokenRun,
        rows: &TextRows,
        size: usize,
        most: Option<u64>,
        (order, seed): (SampleOrder, u64),
    ) -> Result<Self, DataError> {
        let is_shuffled = order == SampleOrder::Shuffled && !rows.are_drawn();
        let seed = is_shuffled.then_some(seed);
        let count = rows.count();
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let chosen = |lengths: &dyn Fn(u32) -> u64, most| {
            let rows = order.kept(count);
            let ends = cut(rows.iter().map(|row| lengths(*row)), size, most);
            Ok(Self::Ordered { rows, ends })
        };
        let Some(most) = most else {
            if let SampleOrder::Spread(_) = order {
                return chosen(&|_| 0, u64::MAX);
            }
            return Ok(Self::Counted {
                size,
                rows: count,
                seed,
            });
        };
        if rows.are_drawn() {
            let length = rows.longest(run).max(1);
            let fits = u32::try_from(most / length).unwrap_or(u32::MAX);
            if fits == 0 {
                return Err(too_long(length, most));
            }
            return Ok(Self::Counted {
                size: size.min(fits),
                rows: count,
                seed,
            });
        }
        let lengths: Vec<u64> = (0..count).map(|row| rows.len(run, row)).collect();
        if let Some(length) = lengths.iter().find(|length| **length > most) {
            return Err(too_long(*length, most));
        }
        let Some(seed) = seed else {
            return chosen(&|row| lengths[row as usize], most);
        };
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_by_key(|row| bucket(lengths[*row as usize]));
        let of = |row: &u32| bucket(lengths[*row as usize]);
        let mut ends: Vec<u32> = (1..order.len())
            .filter(|at| of(&order[at - 1]) != of(&order[*at]))
            .map(|at| at as u32)
            .collect();
        ends.push(count);
        let batches = cut(order.iter().map(of), size, most);
        Ok(Self::Bucketed(Buckets {
            rows: order,
            ends,
            batches,
            seed,
        }))
    }

    /// Batches of a pass.
    pub fn batches(&self) -> usize {
        match self {
            Self::Counted { size, rows, .. } => rows.div_ceil(*size) as usize,
            Self::Ordered { ends, .. } => ends.len(),
            Self::Bucketed(buckets) => buckets.batches.len(),
        }
    }

    /// Rows of a pass.
    pub fn rows(&self) -> usize {
        match self {
            Self::Counted { rows, .. } => *rows as usize,
            Self::Ordered { rows, .. } | Self::Bucketed(Buckets { rows, .. }) => rows.len(),
        }
    }

    /// The order of the pass `pass`.
    pub fn pass(&self, pass: u32) -> PassOrder {
        match self {
            Self::Counted {
                size,
                rows,
                seed: None,
            } => PassOrder::Counted {
                size: *size,
                rows: *rows,
            },
            Self::Counted {
                size,
                rows,
                seed: Some(seed),
            } => {
                let mut rows: Vec<u32> = (0..*rows).collect();
                Stream::new(*seed, Purpose::Shuffle, pass, 0).shuffle(&mut rows);
                PassOrder::Shuffled { size: *size, rows }
            }
            Self::Ordered { rows, ends } => PassOrder::Listed {
                rows: rows.clone(),
                batches: ranges(ends),
            },
            Self::Bucketed(buckets) => buckets.pass(pass),
        }
    }
}

impl Buckets {
    fn pass(&self, pass: u32) -> PassOrder {
        let mut rows = self.rows.clone();
        let mut start = 0;
        for (bucket, end) in (1..).zip(&self.ends) {
            let end = *end as usize;
            Stream::new(self.seed, Purpose::Shuffle, pass, bucket).shuffle(&mut rows[start..end]);
            start = end;
        }
        let mut batches = ranges(&self.batches);
        Stream::new(self.seed, Purpose::Shuffle, pass, 0).shuffle(&mut batches);
        PassOrder::Listed { rows, batches }
    }
}

impl PassOrder {
    /// The rows of the batch `index`; none where there is no such batch.
    pub fn rows(&self, index: usize) -> Vec<u32> {
        let counted = |size: u32, rows: usize| {
            let start = (index * size as usize).min(rows);
            start..(start + size as usize).min(rows)
        };
        match self {
            Self::Counted { size, rows } => counted(*size, *rows as usize).map(|row| row as u32).collect(),
            Self::Shuffled { size, rows } => rows[counted(*size, rows.len())].to_vec(),
            Self::Listed { rows, batches } => batches
                .get(index)
                .map_or_else(Vec::new, |range| rows[range.clone()].to_vec()),
        }
    }
}

/// A length that is taken for all within an eighth of it, at least as large as they are.
fn bucket(length: u64) -> u64 {
    let step = (length.max(1).next_power_of_two() / 16).max(1);
    length.next_multiple_of(step)
}

/// The ranges that end at `ends`, one behind the other.
fn ranges(ends: &[u32]) -> Vec<Range<usize>> {
    let mut start = 0;
    let ranges = ends.iter().map(|end| {
        let range = start..*end as usize;
        start = range.end;
        range
    });
    ranges.collect()
}

/// Where batches end of rows of such lengths, in order: of at most `size` rows and `most` tokens, or of a single row.
fn cut(lengths: impl Iterator<Item = u64>, size: u32, most: u64) -> Vec<u32> {
    let mut ends = Vec::new();
    let (mut rows, mut tokens, mut end) = (0, 0, 0);
    for length in lengths {
        if rows > 0 && (rows == size || tokens + length > most) {
            ends.push(end);
            (rows, tokens) = (0, 0);
        }
        rows += 1;
        tokens += length;
        end += 1;
    }
    if rows > 0 {
        ends.push(end);
    }
    ends
}

fn too_long(length: u64, most: u64) -> DataError {
    DataError::Options(format!(
        "a sample of {length} tokens does not fit `batch_tokens: {most}`: make that {length} or more, or samples shorter"
    ))
}
