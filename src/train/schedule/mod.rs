//! The learning rate as a pure function of the recipe, the place in training, and the figures so far.

use crate::metric::Direction;
use crate::spec::{self, ScheduleMoment};

/// The learning rate of every optimizer step: a schedule counted in epochs, after a linear warm-up
/// counted in steps.
///
/// A group's `lr_factor` multiplies what comes out, lower bounds such as `eta_min` included.
#[derive(Clone, Debug)]
pub struct LearningRate {
    base: f64,
    epochs: u32,
    schedule: spec::Schedule,
    warmup: Option<spec::Warmup>,
    /// Which way the figure that a plateau is made of is better.
    better: Direction,
}

impl LearningRate {
    /// The learning rates that `recipe` asks for, where `better` is the way in which the figure is
    /// better that a plateau is made of.
    pub fn new(recipe: &spec::Train, better: Direction) -> Self {
        Self {
            base: recipe.optimizer.lr(),
            epochs: recipe.epochs.get(),
            schedule: recipe.schedule.clone(),
            warmup: recipe.warmup.clone(),
            better,
        }
    }

    /// The learning rate of optimizer step `step` (from 0) of `epoch` (from 0), where an epoch has
    /// `steps_per_epoch` steps. `judged` are the monitored figures of the finished epochs, NaN where
    /// there was no validation; only a plateau looks at them, and at none of later epochs or of the
    /// warm-up.
    ///
    /// During the warm-up the base rate is multiplied by a factor that rises linearly from
    /// `warmup.start` at the very first step to 1 at the first step after the warm-up, as
    /// `torch.optim.lr_scheduler.LinearLR` stepped every batch. The schedule counts its epochs from
    /// there. It is constant within an epoch, as PyTorch's are when stepped every epoch, unless it
    /// moves with every step.
    pub fn at(&self, epoch: u32, step: u32, steps_per_epoch: u32, judged: &[f64]) -> f64 {
        let steps_per_epoch = steps_per_epoch.max(1);
        let warm_epochs = self.warmup.as_ref().map_or(0, |warmup| warmup.epochs.get());
        if let Some(warmup) = &self.warmup
            && epoch < warm_epochs
        {
            let done = f64::from(epoch) * f64::from(steps_per_epoch) + f64::from(step);
            let share = done / (f64::from(warm_epochs) * f64::from(steps_per_epoch));
            let start = warmup.start.get();
            return self.base * (start + (1.0 - start) * share);
        }
        let finished = judged.len().min(epoch as usize);
        let moment = ScheduleMoment {
            epoch: epoch - warm_epochs,
            step,
            steps_per_epoch,
            epochs: self.epochs.saturating_sub(warm_epochs).max(1),
            figures: judged.get(warm_epochs as usize..finished).unwrap_or_default(),
            better: self.better,
        };
        self.schedule.rate(self.base, &moment)
    }
}

#[cfg(test)]
mod tests;
