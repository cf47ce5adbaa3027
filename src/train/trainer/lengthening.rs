//! More epochs: going on where a training of fewer ended, to the bytes that training so long at once gives.
//!
//! Whether the learning rates allow it, the recipe says before ([`StageKind::fields_of_any_length`]). What is
//! left is the last epoch's validation, which a training makes even where none is due: a longer one does not.
//!
//! [`StageKind::fields_of_any_length`]: crate::spec::StageKind::fields_of_any_length

use super::Trainer;
use crate::train::checkpoint::Checkpoint;
use crate::train::progress::TrainingState;

impl Trainer<'_> {
    /// The end of the shorter training, where there is one, as a checkpoint of this one.
    pub(super) fn read_shorter(&self) -> Option<Checkpoint> {
        let shorter = self.task.shorter.as_ref()?;
        let checkpoint = Checkpoint::open(shorter.checkpoint, &shorter.identity)
            .and_then(|checkpoint| self.lengthened(checkpoint));
        match checkpoint {
            Ok(checkpoint) => Some(checkpoint),
            Err(problem) => {
                self.monitor.info(format!(
                    "starts anew: it cannot go on where the training of fewer epochs ended ({problem})"
                ));
                None
            }
        }
    }

    /// What the end of a shorter training would be in the middle of this one.
    fn lengthened(&self, mut checkpoint: Checkpoint) -> Result<Checkpoint, String> {
        let progress = &mut checkpoint.progress;
        let steps = self.setup.steps;
        if progress.batch != 0 || progress.epoch > steps.epochs() {
            return Err(format!("it ended after {} epochs", progress.epoch));
        }
        let ended = self.reopen_last_epoch(progress)?;
        checkpoint.identity.clone_from(&self.task.identity);
        let step = progress.steps(steps);
        let due = self.is_due_after(ended, step) || step == steps.total();
        let Some((last, before)) = progress.judgements.split_last() else {
            return Ok(checkpoint);
        };
        // Where the patience had run out before, the training ends here however long it may be.
        if due || last.step != step || self.has_run_out(before) {
            return Ok(checkpoint);
        }
        if progress.best.as_ref() == Some(last) {
            return Err(
                "its best validation is one that was made only since the training ended there: `validate`"
                    .to_owned(),
            );
        }
        progress.judgements.pop();
        progress.stopped_early = false;
        let earlier = progress.judgements.last();
        let earlier = earlier.filter(|judgement| judgement.epoch == ended).cloned();
        if let Some(row) = progress.history.last_mut().filter(|row| row.epoch == ended) {
            row.validation = earlier;
        }
        Ok(checkpoint)
    }

    /// Goes back into the last epoch where that was not filled, as it may be in a training that is measured in steps;
    /// the number of that epoch, from 1.
    fn reopen_last_epoch(&self, progress: &mut TrainingState) -> Result<u32, String> {
        let ended = progress.epoch;
        let Some(sums) = progress.unfilled.take() else {
            return Ok(ended);
        };
        let done = sums.stepped + sums.skipped;
        let epoch = ended.saturating_sub(1);
        let done = u32::try_from(done).unwrap_or(u32::MAX);
        if done > self.setup.steps.steps_of(epoch) {
            return Err("it ended after more steps".to_owned());
        }
        progress.history.pop();
        progress.epoch = epoch;
        progress.batch = self.setup.steps.batches_within(epoch, done);
        progress.sums = sums;
        Ok(ended)
    }
}
