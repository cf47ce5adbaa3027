//! Texts as tokens.

use std::ops::Range;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::StagedBatches;
use crate::data::{RowRule, Split, TextBatch, TextGoal, TextLoader, TextLoaderConfig};
use crate::models::{NetworkInput, TokenBatch};
use crate::schema::InputShape;
use crate::spec::PackedDocuments;
use crate::train::error::TrainError;
use crate::train::staging::Staged;
use crate::train::tasks::Criterion;

/// How texts reach a model, as its card keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextReading {
    /// Tokens of a row that documents are packed into; nothing where samples stay whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// What documents have to do with each other.
    pub documents: PackedDocuments,
    /// Tokens of a micro-batch, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_tokens: Option<u32>,
}

impl TextReading {
    /// How texts become rows.
    pub fn rows(&self) -> RowRule {
        match self.length {
            Some(length) => RowRule::Packed {
                length: length.into(),
                documents: self.documents,
            },
            None => RowRule::Texts,
        }
    }
}

/// Texts of a split.
pub struct TextFeed {
    loader: TextLoader,
    goal: TextGoal,
    input: InputShape,
    batch_size: usize,
    batches: u32,
    samples: u64,
}

impl TextFeed {
    /// The texts of `split`, as `config` says; without the last batch of a pass where it is smaller and `drop_last`.
    ///
    /// # Errors
    /// The configuration does not fit the texts, or nobody knows their vocabulary.
    pub fn new(split: &Split, config: TextLoaderConfig, drop_last: bool) -> Result<Self, TrainError> {
        let (goal, batch_size) = (config.goal, config.batch_size);
        let is_counted = config.batch_tokens.is_none();
        let loader = TextLoader::new(split, config)?;
        let (rows, batches) = (loader.rows(), loader.batches());
        let is_cut = drop_last && is_counted;
        let batches = if is_cut { rows / batch_size } else { batches };
        let samples = if is_cut { batches * batch_size } else { rows };
        let Some(vocabulary) = &split.input().vocabulary else {
            return Err(TrainError::NoVocabulary);
        };
        Ok(Self {
            input: InputShape::Tokens {
                vocabulary: vocabulary.size as usize,
                length: loader.longest(),
            },
            loader,
            goal,
            batch_size,
            batches: u32::try_from(batches).unwrap_or(u32::MAX),
            samples: samples as u64,
        })
    }

    pub(super) fn batches(&self) -> u32 {
        self.batches
    }

    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    pub(super) fn order(&self, pass: u32) -> Vec<u32> {
        let batches = 0..self.batches;
        batches
            .flat_map(|batch| self.loader.rows_of(pass, batch as usize))
            .collect()
    }

    pub(super) fn input(&self) -> InputShape {
        self.input
    }

    /// Rows of a batch, at most.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    pub(super) fn weight(
        &self,
        criterion: &dyn Criterion,
        pass: u32,
        batches: Range<u32>,
    ) -> Result<f64, TrainError> {
        if matches!(self.goal, TextGoal::Samples | TextGoal::Pairs) {
            let rows: Vec<u32> = batches
                .flat_map(|batch| self.loader.rows_of(pass, batch as usize))
                .collect();
            return Ok(criterion.weight_of(self.loader.run().split(), &rows));
        }
        let mut weight = 0.0;
        for batch in batches {
            weight += criterion.weight(&self.loader.targets(pass, batch as usize)?);
        }
        Ok(weight)
    }

    pub(super) fn samples_of(&self, pass: u32, batches: Range<u32>) -> u64 {
        let rows = batches.map(|batch| self.loader.rows_of(pass, batch as usize).len() as u64);
        rows.sum()
    }

    pub(super) fn serve(&self, pass: u32, first: u32, device: &Device) -> StagedBatches {
        let left = self.batches.saturating_sub(first) as usize;
        let device = device.clone();
        let served = self.loader.pass(pass, first as usize).take(left);
        let goal = self.goal;
        Box::new(served.map(move |batch| staged(batch?, goal, &device)))
    }
}

fn staged(batch: TextBatch, goal: TextGoal, device: &Device) -> Result<Staged, TrainError> {
    let TextBatch {
        rows,
        ids,
        segments,
        offsets,
        keys,
        ends,
        targets,
        ..
    } = batch;
    let length = offsets.get(1).copied().unwrap_or(0);
    let alike = offsets.windows(2).all(|pair| pair[1] - pair[0] == length);
    let tokens = match alike {
        true => TokenBatch::equal(&ids, keys.len(), device)?,
        false => TokenBatch::ragged(&ids, &offsets, device)?,
    };
    let tokens = match segments {
        Some(segments) => tokens.with_types(&segments)?,
        None => tokens,
    };
    Ok(Staged {
        inputs: NetworkInput::Tokens(tokens),
        host: None,
        samples: rows.len(),
        keys,
        targets,
        ends: (!matches!(goal, TextGoal::Samples | TextGoal::Pairs)).then_some(ends),
    })
}
