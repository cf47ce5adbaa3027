//! The learning rate as a pure function of the recipe, the place in training, and the figures so far.

use crate::metric::Direction;
use crate::spec::{self, ScheduleMoment, TrainingLength};

/// The learning rate of every optimizer step: a schedule counted in epochs, or in steps where the training is measured
/// in them, after a linear warm-up counted in steps.
///
/// A group's `lr_factor` multiplies what comes out, lower bounds such as `eta_min` included.
#[derive(Clone, Debug)]
pub struct LearningRate {
    base: f64,
    length: TrainingLength,
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
            length: recipe.length(),
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
    /// moves with every step. In a training that is measured in steps, it counts these instead.
    pub fn at(&self, epoch: u32, step: u32, steps_per_epoch: u32, judged: &[f64]) -> f64 {
        let steps_per_epoch = steps_per_epoch.max(1);
        let per_epoch = f64::from(steps_per_epoch);
        let total = match self.length {
            TrainingLength::Epochs(epochs) => f64::from(epochs) * per_epoch,
            TrainingLength::Steps { steps, .. } => f64::from(steps),
        };
        let done = f64::from(epoch) * per_epoch + f64::from(step);
        let warm = self
            .warmup
            .as_ref()
            .map_or(0.0, |warmup| warmup.steps_of(per_epoch, total));
        if let Some(warmup) = &self.warmup
            && done < warm
        {
            let start = warmup.first_factor(warm);
            return self.base * (start + (1.0 - start) * (done / warm));
        }
        // What the schedule calls an epoch.
        let unit = match self.length {
            TrainingLength::Epochs(_) => steps_per_epoch,
            TrainingLength::Steps { .. } => 1,
        };
        // Whole numbers far below 2^53.
        let past = (done - warm) as u64;
        let warm_epochs = (warm / per_epoch).ceil() as usize;
        let finished = judged.len().min(epoch as usize);
        let moment = ScheduleMoment {
            epoch: u32::try_from(past / u64::from(unit)).unwrap_or(u32::MAX),
            step: (past % u64::from(unit)) as u32,
            steps_per_epoch: unit,
            epochs: ((total - warm) / f64::from(unit)).max(1.0 / f64::from(unit)),
            figures: judged.get(warm_epochs..finished).unwrap_or_default(),
            better: self.better,
        };
        self.schedule.rate(self.base, &moment)
    }
}

#[cfg(test)]
mod tests;
