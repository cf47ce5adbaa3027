//! More epochs: going on where a training of fewer ended, to the bytes that training so long at once gives.
//!
//! Whether the learning rates allow it, the recipe says before ([`StageKind::fields_of_any_length`]). What is
//! left is the last epoch's validation, which a training makes even where none is due: a longer one does not.
//!
//! [`StageKind::fields_of_any_length`]: crate::spec::StageKind::fields_of_any_length

use super::Trainer;
use crate::train::checkpoint::Checkpoint;

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
        let epochs = self.task.recipe.epochs.get();
        if progress.batch != 0 || progress.epoch > epochs {
            return Err(format!("it ended after {} epochs", progress.epoch));
        }
        checkpoint.identity.clone_from(&self.task.identity);
        let step = progress.steps(self.setup.steps);
        let due = self.is_due_after(progress.epoch, step) || progress.epoch == epochs;
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
        let earlier = earlier
            .filter(|judgement| judgement.epoch == progress.epoch)
            .cloned();
        if let Some(row) = progress.history.last_mut() {
            row.validation = earlier;
        }
        Ok(checkpoint)
    }
}
