//! Serving the texts of a split as batches.

use std::sync::{Arc, Mutex, PoisonError};

use super::batch::TextBatch;
use super::batches::{BatchPlan, PassOrder};
use super::rows::{RowRule, TextRows, TokenSequence};
use super::run::TokenRun;
use super::targets::{TargetReader, TextGoal};
use crate::data::batch::Array;
use crate::data::dataset::Split;
use crate::data::error::DataError;
use crate::data::field_names::{SEGMENTS, TEXTS};
use crate::data::sample_order::SampleOrder;
use crate::data::target_scale::TargetScale;

/// How a [`TextLoader`] makes batches.
#[derive(Clone, Debug)]
pub struct TextLoaderConfig {
    /// How texts become rows.
    pub rows: RowRule,
    /// What is to be predicted.
    pub goal: TextGoal,
    /// Rows of a batch, at most.
    pub batch_size: usize,
    /// Tokens of a batch, at most.
    pub batch_tokens: Option<u64>,
    /// The order of a pass over rows that are not drawn.
    pub order: SampleOrder,
    /// What everything drawn depends on.
    pub seed: u64,
    /// In a regression: what the numbers are shifted and scaled by.
    pub target_scale: Option<TargetScale>,
}

/// Serves a split of texts, pass by pass.
///
/// To copy tokens out of the mapped file takes so little beside a step that nothing is made ahead.
#[derive(Clone)]
pub struct TextLoader {
    recipe: Arc<TextRecipe>,
}

/// All that a batch depends on beside its pass and index.
struct TextRecipe {
    run: TokenRun,
    rows: TextRows,
    targets: TargetReader,
    segments: Option<usize>,
    plan: BatchPlan,
    /// The order of the pass that was asked for last.
    order: Mutex<Option<(u32, Arc<PassOrder>)>>,
}

impl TextLoader {
    /// A loader of `split`.
    ///
    /// # Errors
    /// The batch size is 0, the split does not hold what is asked for, nothing in it is to be predicted, or a row has
    /// more tokens than a batch may.
    pub fn new(split: &Split, config: TextLoaderConfig) -> Result<Self, DataError> {
        if config.batch_size == 0 {
            return Err(DataError::Options("the batch size must be over 0".into()));
        }
        let run = TokenRun::new(split)?;
        let targets = TargetReader::new(&run, config.goal, config.target_scale, config.seed)?;
        let rows = match (config.goal, config.rows) {
            (TextGoal::MaskedTokens, RowRule::Packed { length, documents }) => {
                let around = targets.around().map_or(0, |around| around.len() as u64);
                TextRows::pieces(&run, length, documents, around)?
            }
            (TextGoal::Pairs, _) => {
                let field = split.schema().position(TEXTS).unwrap_or_default();
                TextRows::pairs(&run, field)?
            }
            (_, rule) => TextRows::new(&run, rule, config.seed)?,
        };
        if rows.count() == 0 {
            return Err(DataError::Options(format!(
                "the texts of the split `{}` have nothing to predict: each is a single token, or none of its tokens is \
                 learnt",
                split.name().as_str()
            )));
        }
        let order = (config.order, config.seed);
        let recipe = TextRecipe {
            targets,
            segments: split.schema().position(SEGMENTS),
            plan: BatchPlan::new(&run, &rows, config.batch_size, config.batch_tokens, order)?,
            order: Mutex::default(),
            run,
            rows,
        };
        Ok(Self {
            recipe: Arc::new(recipe),
        })
    }

    /// Batches of a pass.
    pub fn batches(&self) -> usize {
        self.recipe.plan.batches()
    }

    /// Rows of a pass.
    pub fn rows(&self) -> usize {
        self.recipe.plan.rows()
    }

    /// The tokens of the longest sequence.
    pub fn longest(&self) -> usize {
        self.recipe.rows.longest(&self.recipe.run) as usize
    }

    /// The tokens of the split.
    pub fn run(&self) -> &TokenRun {
        &self.recipe.run
    }

    /// The rows of the batch `index` of `pass`.
    pub fn rows_of(&self, pass: u32, index: usize) -> Vec<u32> {
        self.recipe.order(pass).rows(index)
    }

    /// What is to be predicted in the batch `index` of `pass`.
    ///
    /// # Errors
    /// The split does not hold it.
    pub fn targets(&self, pass: u32, index: usize) -> Result<Array, DataError> {
        let order = self.recipe.order(pass);
        if let TargetReader::Masked(_) = self.recipe.targets {
            return Ok(self.recipe.batch(pass, index, &order)?.targets);
        }
        let rows = order.rows(index);
        let (sequences, _) = self.recipe.sequences(&rows);
        self.recipe
            .targets
            .read(&self.recipe.run, pass, &rows, &sequences, &mut [])
    }

    /// The batches of `pass` in order, from the batch `first` on.
    pub fn pass(
        &self,
        pass: u32,
        first: usize,
    ) -> impl Iterator<Item = Result<TextBatch, DataError>> + Send + use<> {
        let recipe = Arc::clone(&self.recipe);
        let order = recipe.order(pass);
        (first..self.batches()).map(move |index| recipe.batch(pass, index, &order))
    }
}

impl TextRecipe {
    fn order(&self, pass: u32) -> Arc<PassOrder> {
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, order)) if *of == pass => Arc::clone(order),
            _ => {
                let order = Arc::new(self.plan.pass(pass));
                *kept = Some((pass, Arc::clone(&order)));
                order
            }
        }
    }

    /// The sequences of `rows`, and where those of each row end.
    fn sequences(&self, rows: &[u32]) -> (Vec<TokenSequence>, Vec<usize>) {
        let (mut sequences, mut ends) = (Vec::new(), Vec::with_capacity(rows.len()));
        for row in rows {
            self.rows
                .each(&self.run, *row, |sequence| sequences.push(sequence));
            ends.push(sequences.len());
        }
        (sequences, ends)
    }

    fn batch(&self, pass: u32, index: usize, order: &PassOrder) -> Result<TextBatch, DataError> {
        let rows = order.rows(index);
        let (sequences, of_rows) = self.sequences(&rows);
        let (mut ids, mut offsets) = (Vec::new(), vec![0]);
        let mut segments = self.segments.map(|_| Vec::new());
        let [before, behind] = match self.targets.around() {
            Some([first, last]) => [Some(first), Some(last)],
            None => [None, None],
        };
        for TokenSequence { inputs, .. } in &sequences {
            ids.extend(before);
            self.run.append(self.run.tokens(), inputs.clone(), &mut ids);
            ids.extend(behind);
            if let (Some(field), Some(segments)) = (self.segments, &mut segments) {
                self.run.append(field, inputs.clone(), segments);
            }
            offsets.push(ids.len());
        }
        Ok(TextBatch {
            index,
            targets: self.targets.read(&self.run, pass, &rows, &sequences, &mut ids)?,
            rows,
            ids,
            segments,
            ends: of_rows.into_iter().map(|end| offsets[end]).collect(),
            offsets,
            keys: sequences.into_iter().map(|sequence| sequence.key).collect(),
        })
    }
}
