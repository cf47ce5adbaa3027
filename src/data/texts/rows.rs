//! Which tokens make up each row.

use std::ops::Range;

use super::packing::pack;
use super::run::TokenRun;
use crate::data::error::DataError;
use crate::random::{Purpose, Stream};
use crate::schema::FieldKind;
use crate::spec::PackedDocuments;

/// Tokens of a run, one behind the other, that see each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSequence {
    /// The places of those that a network is shown.
    pub inputs: Range<u64>,
    /// Where the next token is to be predicted: the places of those that are, each of which stands behind one that is
    /// shown. Else empty.
    pub targets: Range<u64>,
    /// What its dropout is drawn by.
    pub key: u32,
}

/// How the texts of a run become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowRule {
    /// Each is one.
    Texts,
    /// Pieces of up to `length` tokens whose next ones are to be predicted: of the texts, packed into rows of that
    /// length, or of the whole run. Each token is predicted once but the first of each text, or of the run.
    Packed {
        /// Tokens of a row, at most.
        length: u64,
        /// Whether texts see each other.
        documents: PackedDocuments,
    },
    /// Windows of `length` tokens that begin anywhere in the run: drawn, one for each of `rows`.
    Drawn {
        /// Tokens of a row.
        length: u64,
        /// How many there are.
        rows: u32,
    },
    /// Windows of `window` tokens, the last one of which is predicted only, each of which begins `stride` tokens behind
    /// the one before and predicts what that did not. Of what neither reaches nothing is predicted: with equal window
    /// and stride, the first token of each window.
    Strided {
        /// Tokens of a window.
        window: u64,
        /// Tokens from one to the next.
        stride: u64,
        /// Whether windows are of the whole run; else each text has its own.
        documents: PackedDocuments,
    },
}

/// The rows of a run.
#[derive(Debug)]
pub struct TextRows {
    plan: RowPlan,
    count: u32,
    /// Tokens that a network is shown of each sequence beside its own.
    around: u64,
}

#[derive(Debug)]
enum RowPlan {
    Texts,
    /// Each text is a row of two sequences, of which the first has so many tokens.
    Pairs(Vec<u32>),
    /// Windows of the whole run.
    Strided {
        window: u64,
        stride: u64,
    },
    Drawn {
        length: u64,
        seed: u64,
    },
    /// Of row `i` the sequences from `ends[i - 1]` to `ends[i]`.
    Listed {
        sequences: Vec<TokenSequence>,
        ends: Vec<u32>,
    },
}

impl TextRows {
    /// The rows of `run` by `rule`; what is drawn follows from `seed`.
    ///
    /// # Errors
    /// There are more rows than can be, or windows are drawn from a run that is shorter than one.
    pub fn new(run: &TokenRun, rule: RowRule, seed: u64) -> Result<Self, DataError> {
        let len = run.len();
        let (plan, count) = match rule {
            RowRule::Texts => (RowPlan::Texts, run.texts() as u64),
            RowRule::Drawn { length, rows } => {
                if len <= length {
                    return Err(DataError::Options(format!(
                        "a window of {length} tokens and the one behind it do not fit the {len} tokens that there are: \
                         make `pack.length` smaller"
                    )));
                }
                (RowPlan::Drawn { length, seed }, u64::from(rows))
            }
            RowRule::Packed { length, documents } => match documents {
                PackedDocuments::Joined => strided(len, length + 1, length),
                PackedDocuments::Separate => listed(packed(run, length)),
            },
            RowRule::Strided {
                window,
                stride,
                documents,
            } => match documents {
                PackedDocuments::Joined => strided(len, window, stride),
                PackedDocuments::Separate => listed(windows_of_texts(run, window, stride)),
            },
        };
        let count = u32::try_from(count).map_err(|_| {
            DataError::Options(format!(
                "{count} rows are more than can be counted: make them longer by `pack.length`"
            ))
        })?;
        Ok(Self {
            plan,
            count,
            around: 0,
        })
    }

    /// Rows of up to `length` tokens, of pieces of the texts, or of the whole run, each of which gets `around` tokens more.
    ///
    /// # Errors
    /// A row has no room for a token between those.
    pub(super) fn pieces(
        run: &TokenRun,
        length: u64,
        documents: PackedDocuments,
        around: u64,
    ) -> Result<Self, DataError> {
        let room = length.checked_sub(around).filter(|room| *room > 0).ok_or_else(|| {
            DataError::Options(format!(
                "rows of {length} tokens have no room beside what each text begins and ends with: make `pack.length` larger"
            ))
        })?;
        let texts: Vec<Range<u64>> = match documents {
            PackedDocuments::Joined => std::iter::once(0..run.len()).collect(),
            PackedDocuments::Separate => (0..run.texts()).map(|text| run.text(text)).collect(),
        };
        let cut = texts.into_iter().flat_map(|text| {
            let starts = (text.start..text.end).step_by(usize::try_from(room).unwrap_or(usize::MAX));
            starts.map(move |start| start..text.end.min(start + room))
        });
        let pieces: Vec<TokenSequence> = cut
            .zip(0..)
            .map(|(inputs, key)| TokenSequence {
                inputs,
                targets: 0..0,
                key,
            })
            .collect();
        let (plan, count) = listed(shared(pieces, length, around));
        Ok(Self {
            plan,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            around,
        })
    }

    /// The texts of `run`, each of which is two of its own: where the field `field` changes, the second begins.
    ///
    /// # Errors
    /// One of the two has no token.
    pub(super) fn pairs(run: &TokenRun, field: usize) -> Result<Self, DataError> {
        let mut texts = Vec::new();
        let firsts: Result<Vec<u32>, DataError> = (0..run.texts())
            .map(|text| {
                texts.clear();
                run.append(field, run.text(text), &mut texts);
                let first = texts.partition_point(|of| *of == 0);
                match first == 0 || first == texts.len() {
                    false => Ok(first as u32),
                    true => Err(DataError::Options(format!(
                        "the texts of the sample {text} of the split `{}` are to be compared, and one of them has no token",
                        run.split().name().as_str()
                    ))),
                }
            })
            .collect();
        let firsts = firsts?;
        Ok(Self {
            count: firsts.len() as u32,
            plan: RowPlan::Pairs(firsts),
            around: 0,
        })
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether a row is another one in each pass, so that there is nothing to shuffle.
    pub fn are_drawn(&self) -> bool {
        matches!(self.plan, RowPlan::Drawn { .. })
    }

    /// Hands the sequences of the row `row` of `run` to `take`. Panics unless there is such a row.
    pub fn each(&self, run: &TokenRun, row: u32, mut take: impl FnMut(TokenSequence)) {
        match &self.plan {
            RowPlan::Texts => take(TokenSequence {
                inputs: run.text(row as usize),
                targets: 0..0,
                key: row,
            }),
            RowPlan::Pairs(firsts) => {
                let text = run.text(row as usize);
                let middle = text.start + u64::from(firsts[row as usize]);
                for (number, inputs) in (0..).zip([text.start..middle, middle..text.end]) {
                    take(TokenSequence {
                        inputs,
                        targets: 0..0,
                        key: row.wrapping_mul(2).wrapping_add(number),
                    });
                }
            }
            RowPlan::Strided { window, stride } => take(TokenSequence {
                key: row,
                ..window_at(0..run.len(), u64::from(row), *window, *stride)
            }),
            RowPlan::Drawn { length, seed } => {
                let places = run.len() - length;
                let mut stream = Stream::new(*seed, Purpose::Window, 0, row);
                let start = match u32::try_from(places) {
                    Ok(places) => u64::from(stream.below(places)),
                    // Of so many places the bias of a remainder is below 2^-31.
                    Err(_) => stream.next_u64() % places,
                };
                take(TokenSequence {
                    inputs: start..start + length,
                    targets: start + 1..start + length + 1,
                    key: row,
                });
            }
            RowPlan::Listed { sequences, ends } => {
                let start = row.checked_sub(1).map_or(0, |before| ends[before as usize]);
                let own = &sequences[start as usize..ends[row as usize] as usize];
                own.iter().cloned().for_each(take);
            }
        }
    }

    /// The tokens of the row `row` that a network is shown.
    pub fn len(&self, run: &TokenRun, row: u32) -> u64 {
        let mut len = 0;
        self.each(run, row, |sequence| {
            len += sequence.inputs.end - sequence.inputs.start + self.around;
        });
        len
    }

    /// The tokens of the longest sequence.
    pub fn longest(&self, run: &TokenRun) -> u64 {
        match &self.plan {
            RowPlan::Texts => {
                let lengths = (0..run.texts())
                    .map(|text| run.text(text))
                    .map(|text| text.end - text.start);
                lengths.max().unwrap_or(0)
            }
            RowPlan::Pairs(firsts) => {
                let halves = firsts.iter().zip(0..).map(|(first, text)| {
                    let text = run.text(text);
                    let first = u64::from(*first);
                    first.max(text.end - text.start - first)
                });
                halves.max().unwrap_or(0)
            }
            RowPlan::Strided { window, .. } => (window - 1).min(run.len().saturating_sub(1)),
            RowPlan::Drawn { length, .. } => *length,
            RowPlan::Listed { sequences, .. } => {
                let lengths = sequences.iter().map(|sequence| &sequence.inputs);
                let longest = lengths.map(|inputs| inputs.end - inputs.start).max();
                longest.unwrap_or(0) + self.around
            }
        }
    }
}

/// Windows of the whole run.
fn strided(len: u64, window: u64, stride: u64) -> (RowPlan, u64) {
    (RowPlan::Strided { window, stride }, windows(len, window, stride))
}

fn listed((sequences, ends): (Vec<TokenSequence>, Vec<u32>)) -> (RowPlan, u64) {
    let count = ends.len() as u64;
    (RowPlan::Listed { sequences, ends }, count)
}

/// How many windows `len` tokens have.
fn windows(len: u64, window: u64, stride: u64) -> u64 {
    match len {
        0 | 1 => 0,
        len if len <= window => 1,
        len => {
            let more = (len - window).div_ceil(stride);
            // With equal window and stride, a last window of one token would predict nothing.
            let start = more * stride;
            let before = start - stride + window;
            1 + more - u64::from(before.max(start + 1) >= len)
        }
    }
}

/// The window `index` of the tokens at `range`.
fn window_at(range: Range<u64>, index: u64, window: u64, stride: u64) -> TokenSequence {
    let start = range.start + index * stride;
    let end = (start + window).min(range.end);
    // Where the window before ended.
    let predicted = index
        .checked_sub(1)
        .map_or(range.start, |before| range.start + before * stride + window);
    TokenSequence {
        inputs: start..end - 1,
        targets: predicted.max(start + 1)..end,
        key: 0,
    }
}

/// The windows of each text, a row each.
fn windows_of_texts(run: &TokenRun, window: u64, stride: u64) -> (Vec<TokenSequence>, Vec<u32>) {
    let mut sequences = Vec::new();
    for text in (0..run.texts()).map(|text| run.text(text)) {
        let count = windows(text.end - text.start, window, stride);
        sequences.extend((0..count).map(|index| window_at(text.clone(), index, window, stride)));
    }
    for (key, sequence) in (0..).zip(&mut sequences) {
        sequence.key = key;
    }
    let ends = (1..=sequences.len() as u32).collect();
    (sequences, ends)
}

/// The pieces of the texts, packed. Pieces of which nothing is to be predicted are left out.
fn packed(run: &TokenRun, length: u64) -> (Vec<TokenSequence>, Vec<u32>) {
    let mask = mask_of(run);
    let mut marks = Vec::new();
    let mut pieces = Vec::new();
    for text in (0..run.texts()).map(|text| run.text(text)) {
        let count = windows(text.end - text.start, length + 1, length);
        for index in 0..count {
            let piece = window_at(text.clone(), index, length + 1, length);
            if let Some(mask) = mask {
                marks.clear();
                run.append(mask, piece.targets.clone(), &mut marks);
                if !marks.contains(&1) {
                    continue;
                }
            }
            pieces.push(piece);
        }
    }
    for (key, piece) in (0..).zip(&mut pieces) {
        piece.key = key;
    }
    shared(pieces, length, 0)
}

/// The pieces, several to a row of `length` tokens, where each takes `around` more than its own.
fn shared(pieces: Vec<TokenSequence>, length: u64, around: u64) -> (Vec<TokenSequence>, Vec<u32>) {
    let lengths: Vec<u64> = pieces
        .iter()
        .map(|piece| piece.inputs.end - piece.inputs.start + around)
        .collect();
    let mut sequences = Vec::with_capacity(pieces.len());
    let mut ends = Vec::new();
    for row in pack(&lengths, length) {
        sequences.extend(row.into_iter().map(|piece| pieces[piece as usize].clone()));
        ends.push(sequences.len() as u32);
    }
    (sequences, ends)
}

/// The field that says which tokens are to be predicted, where there is one.
pub(super) fn mask_of(run: &TokenRun) -> Option<usize> {
    let fields = run.split().schema().fields();
    fields.iter().position(|field| field.kind == FieldKind::TokenMask)
}
