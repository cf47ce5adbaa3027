//! What is to be predicted for texts.

use super::masking::Masking;
use super::rows::{TokenSequence, mask_of};
use super::run::TokenRun;
use crate::data::batch::{Array, ArrayValues};
use crate::data::collate::{Collation, collate};
use crate::data::error::DataError;
use crate::data::target_scale::TargetScale;
use crate::schema::{ElementType, Field, FieldKind, NO_CLASS};

/// What is to be predicted for texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextGoal {
    /// For each token the next one, where a row's sequences say so, and a mask of the samples where they have one.
    NextToken,
    /// For some tokens, which are hidden, what they were.
    MaskedTokens,
    /// For each token what the samples' target holds for it.
    Tokens,
    /// For each sample what its target holds.
    Samples,
    /// For each sample, which is two texts, how alike these are, or nothing but that they belong together.
    Pairs,
}

/// Reads what is to be predicted.
#[derive(Debug)]
pub(super) enum TargetReader {
    NextToken {
        tokens: usize,
        mask: Option<usize>,
    },
    Masked(Masking),
    Tokens {
        field: usize,
    },
    Samples {
        field: usize,
        stored: Box<Field>,
        served: Box<Field>,
        scale: Option<TargetScale>,
    },
    /// The field of numbers, where there are some.
    Pairs(Option<(usize, Box<Field>)>),
}

impl TargetReader {
    /// For the texts of `run`.
    ///
    /// # Errors
    /// They do not hold what is to be predicted, or it cannot be scaled so.
    pub fn new(
        run: &TokenRun,
        goal: TextGoal,
        scale: Option<TargetScale>,
        seed: u64,
    ) -> Result<Self, DataError> {
        let split = run.split();
        let target = split.target();
        let of_tokens = !target.dimensions.is_fixed();
        let field = split.schema().position(&target.name);
        let unfit = || {
            DataError::Options(format!(
                "`{}` is not what is to be predicted for texts here",
                target.name
            ))
        };
        match (goal, field) {
            (TextGoal::NextToken, _) => Ok(Self::NextToken {
                tokens: run.tokens(),
                mask: mask_of(run),
            }),
            (TextGoal::MaskedTokens, _) => {
                let vocabulary = split.input().vocabulary.as_ref().ok_or_else(unfit)?;
                Masking::new(vocabulary, seed)
                    .map(Self::Masked)
                    .map_err(DataError::Options)
            }
            (TextGoal::Tokens, Some(field)) if target.kind == FieldKind::Class && of_tokens => {
                Ok(Self::Tokens { field })
            }
            (TextGoal::Pairs, field) if split.compares() => {
                let field = field.filter(|_| target.kind == FieldKind::Numbers);
                Ok(Self::Pairs(field.map(|field| (field, Box::new(target.clone())))))
            }
            (TextGoal::Samples, Some(field)) if !of_tokens && !split.compares() => {
                if let Some(scale) = &scale {
                    match target.kind {
                        FieldKind::Numbers => scale.check(target.dimensions.len().unwrap_or(0))?,
                        _ => return Err(unfit()),
                    }
                }
                let served = match target.kind {
                    FieldKind::Labels => target.clone().with_element(ElementType::F32),
                    _ => target.clone(),
                };
                Ok(Self::Samples {
                    field,
                    stored: Box::new(target.clone()),
                    served: Box::new(served),
                    scale,
                })
            }
            _ => Err(unfit()),
        }
    }

    /// What each piece of a text begins and ends with.
    pub fn around(&self) -> Option<[u32; 2]> {
        match self {
            Self::Masked(masking) => masking.around,
            _ => None,
        }
    }

    /// What is to be predicted in `pass` for the rows `rows` of `run`, whose sequences are `sequences` and whose tokens
    /// are `ids`, some of which it may hide.
    pub fn read(
        &self,
        run: &TokenRun,
        pass: u32,
        rows: &[u32],
        sequences: &[TokenSequence],
        ids: &mut [u32],
    ) -> Result<Array, DataError> {
        let mut values = Vec::new();
        match self {
            Self::NextToken { tokens, mask } => {
                let mut marks = Vec::new();
                for TokenSequence { inputs, targets, .. } in sequences {
                    // The first inputs stand before tokens that are predicted elsewhere, or nowhere.
                    let before = targets.start - 1 - inputs.start;
                    let first = values.len() + before as usize;
                    values.resize(first, NO_CLASS);
                    run.append(*tokens, targets.clone(), &mut values);
                    if let Some(mask) = mask {
                        marks.clear();
                        run.append(*mask, targets.clone(), &mut marks);
                        for (value, mark) in values[first..].iter_mut().zip(&marks) {
                            *value = if *mark == 1 { *value } else { NO_CLASS };
                        }
                    }
                }
            }
            Self::Masked(masking) => {
                let around = masking.around.map_or(0, |around| around.len());
                let mut start = 0;
                for sequence in sequences {
                    let own = (sequence.inputs.end - sequence.inputs.start) as usize + around;
                    masking.hide(pass, sequence, &mut ids[start..start + own], &mut values);
                    start += own;
                }
            }
            Self::Tokens { field } => {
                for sequence in sequences {
                    run.append(*field, sequence.inputs.clone(), &mut values);
                }
            }
            // That they belong together is known of all of them.
            Self::Pairs(None) => {
                let matches = ArrayValues::U32(vec![1; rows.len()]);
                return Ok(Array::stacked(matches, vec![rows.len()]));
            }
            Self::Pairs(Some((field, stored))) => {
                let held: Vec<_> = rows
                    .iter()
                    .map(|row| run.split().value(*field, *row as usize))
                    .collect();
                return collate(stored, stored, &held, Collation::Pack);
            }
            Self::Samples {
                field,
                stored,
                served,
                scale,
            } => {
                let held: Vec<_> = rows
                    .iter()
                    .map(|row| run.split().value(*field, *row as usize))
                    .collect();
                let mut array = collate(stored, served, &held, Collation::Pack)?;
                if let (Some(scale), ArrayValues::F32(values)) = (scale, &mut array.values) {
                    for row in values.chunks_exact_mut(scale.mean.len().max(1)) {
                        scale.apply(row);
                    }
                }
                return Ok(array);
            }
        }
        let count = values.len();
        Ok(Array::stacked(ArrayValues::U32(values), vec![count]))
    }
}
