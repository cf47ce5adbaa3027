//! The learning rate as a pure function of the recipe and the place in training.

use std::f64::consts::PI;

use crate::spec;

/// The learning rate of every optimizer step: a schedule counted in epochs, after a linear warm-up
/// counted in steps.
#[derive(Clone, Debug)]
pub struct LearningRate {
    base: f64,
    epochs: u32,
    schedule: spec::Schedule,
    warmup: Option<spec::Warmup>,
}

impl LearningRate {
    /// The learning rates that `recipe` asks for.
    pub fn new(recipe: &spec::Train) -> Self {
        Self {
            base: recipe.optimizer.lr(),
            epochs: recipe.epochs.get(),
            schedule: recipe.schedule.clone(),
            warmup: recipe.warmup.clone(),
        }
    }

    /// The learning rate of optimizer step `step` (from 0) of `epoch` (from 0), where an epoch has
    /// `steps_per_epoch` steps.
    ///
    /// During the warm-up the base rate is multiplied by a factor that rises linearly from
    /// `warmup.start` at the very first step to 1 at the first step after the warm-up, as
    /// `torch.optim.lr_scheduler.LinearLR` stepped every batch. The schedule counts its epochs from
    /// there and is constant within an epoch, as PyTorch's are when stepped every epoch.
    pub fn at(&self, epoch: u32, step: u32, steps_per_epoch: u32) -> f64 {
        let Some(warmup) = &self.warmup else {
            return self.scheduled(epoch, self.epochs);
        };
        let warm_epochs = warmup.epochs.get();
        if epoch >= warm_epochs {
            return self.scheduled(epoch - warm_epochs, self.epochs.saturating_sub(warm_epochs));
        }
        let done = f64::from(epoch) * f64::from(steps_per_epoch) + f64::from(step);
        let share = done / (f64::from(warm_epochs) * f64::from(steps_per_epoch));
        let start = warmup.start.get();
        self.base * (start + (1.0 - start) * share)
    }

    /// The schedule's rate in its own `epoch`, of `epochs` that are left to it.
    fn scheduled(&self, epoch: u32, epochs: u32) -> f64 {
        match &self.schedule {
            spec::Schedule::Constant(_) => self.base,
            spec::Schedule::Step(step) => {
                let falls = epoch / step.every.get();
                self.base * step.gamma.get().powf(f64::from(falls))
            }
            spec::Schedule::Cosine(cosine) => {
                let t_max = cosine.t_max.map_or(epochs.max(1), |t_max| t_max.get());
                let low = cosine.eta_min.get();
                let angle = PI * f64::from(epoch) / f64::from(t_max);
                low + (self.base - low) * (1.0 + angle.cos()) / 2.0
            }
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rates(schedule: serde_json::Value, warmup: serde_json::Value, epochs: u32) -> LearningRate {
        let recipe = json!({
            "data": "data", "model": {"mlp": {}}, "epochs": epochs,
            "optimizer": {"sgd": {"lr": 0.1}},
            "schedule": schedule, "warmup": warmup,
        });
        LearningRate::new(&serde_json::from_value(recipe).unwrap())
    }

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    }

    #[test]
    fn constant_stays() {
        let rates = rates(json!({"constant": {}}), json!(null), 9);
        for epoch in 0..9 {
            assert_close(rates.at(epoch, 3, 4), 0.1);
        }
    }

    #[test]
    fn step_falls_every_so_many_epochs() {
        let rates = rates(json!({"step": {"every": 3, "gamma": 0.5}}), json!(null), 9);
        let expected = [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025];
        for (epoch, expected) in (0..).zip(expected) {
            assert_close(rates.at(epoch, 0, 4), expected);
            assert_close(rates.at(epoch, 3, 4), expected);
        }
    }

    /// Values of `CosineAnnealingLR(T_max=4, eta_min=0.02)` on lr 0.1.
    #[test]
    fn cosine_anneals() {
        let half = 0.5f64.sqrt();
        let expected = [0.1, 0.06 + 0.04 * half, 0.06, 0.06 - 0.04 * half, 0.02];
        let given = rates(json!({"cosine": {"t_max": 4, "eta_min": 0.02}}), json!(null), 5);
        let default = rates(json!({"cosine": {"eta_min": 0.02}}), json!(null), 4);
        for (epoch, expected) in (0..).zip(expected) {
            assert_close(given.at(epoch, 1, 2), expected);
            assert_close(default.at(epoch, 1, 2), expected);
        }
    }

    #[test]
    fn warmup_rises_by_step_and_the_schedule_counts_from_its_end() {
        let warmup = json!({"epochs": 2, "start": 0.2});
        let rates = rates(json!({"cosine": {}}), warmup, 6);
        for step in 0..10 {
            let expected = 0.1 * (0.2 + 0.8 * f64::from(step) / 10.0);
            assert_close(rates.at(step / 5, step % 5, 5), expected);
        }
        assert_close(rates.at(2, 0, 5), 0.1);
        assert_close(rates.at(4, 0, 5), 0.05);
        assert_close(rates.at(5, 4, 5), 0.05 * (1.0 - 0.5f64.sqrt()));
    }

    #[test]
    fn a_warmup_longer_than_training_is_cut_short() {
        let rates = rates(json!({"cosine": {}}), json!({"epochs": 4, "start": 0.0}), 2);
        assert_close(rates.at(0, 0, 2), 0.0);
        assert_close(rates.at(1, 1, 2), 0.1 * 3.0 / 8.0);
        assert!(rates.at(4, 0, 2).is_finite());
    }
}
