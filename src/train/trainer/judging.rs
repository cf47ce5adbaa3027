//! Judging the validation split, and what follows from it.

use super::Trainer;
use super::clock::{Clock, EpochPhase};
use crate::data::{SampleOrder, Split};
use crate::metric::Direction;
use crate::spec::{EvaluationMetric, Select, TrainingLength};
use crate::train::error::TrainError;
use crate::train::evaluate::{Evaluation, JudgedModel, evaluate};
use crate::train::history::{Exact, Judgement, Monitored};

impl Trainer<'_> {
    /// Validates where that is due within an epoch.
    pub(super) fn judge_within_epoch(&mut self, clock: &mut Clock) -> Result<(), TrainError> {
        let step = self.progress.steps(self.setup.steps);
        let every = self.task.recipe.validate.steps;
        let due = every.is_some_and(|every| step > 0 && step.is_multiple_of(u64::from(every.get())));
        // The end of an epoch has a rule of its own, which covers this step.
        if due
            && self.progress.batch > 0
            && self.progress.batch < self.setup.steps.batches_of(self.progress.epoch)
        {
            self.judge(step, clock)?;
        }
        Ok(())
    }

    /// Validates where that is due after an epoch's last step.
    pub(super) fn judge_epoch(&mut self, clock: &mut Clock) -> Result<(), TrainError> {
        let (epoch, step) = (self.progress.epoch + 1, self.progress.steps(self.setup.steps));
        let last = epoch == self.setup.steps.epochs() || self.progress.stopped_early;
        if self.is_due_after(epoch, step) || last {
            self.judge(step, clock)?;
        }
        Ok(())
    }

    /// Whether a validation is due after the epoch `epoch`, from 1, which the optimizer step `step` ends,
    /// wherever the training ends.
    pub(super) fn is_due_after(&self, epoch: u32, step: u64) -> bool {
        let validate = &self.task.recipe.validate;
        if let TrainingLength::Steps { per_epoch, .. } = self.task.recipe.length() {
            return step.is_multiple_of(u64::from(per_epoch.max(1)));
        }
        let by_epoch = match (validate.epochs, validate.steps) {
            (Some(every), _) => epoch.is_multiple_of(every.get()),
            (None, None) => true,
            (None, Some(_)) => false,
        };
        let by_step = validate
            .steps
            .is_some_and(|every| step.is_multiple_of(u64::from(every.get())));
        by_epoch || by_step
    }

    /// Validates after `step` optimizer steps, unless that has been done.
    fn judge(&mut self, step: u64, clock: &mut Clock) -> Result<(), TrainError> {
        let Some(split) = &self.setup.validation else {
            return Ok(());
        };
        if self.progress.judged_at(step).is_some() {
            return Ok(());
        }
        clock.tick(EpochPhase::Data);
        self.exchange_averages()?;
        let judged = self.measure(split, step);
        let state = match &judged {
            Ok(judgement) if self.task.recipe.select == Select::Best && self.is_best(judgement) => {
                Some(self.changing_state()?)
            }
            _ => None,
        };
        self.exchange_averages()?;
        let judgement = match judged {
            Err(TrainError::Interrupted) => {
                self.interrupt()?;
                return Ok(());
            }
            other => other?,
        };
        if let Some(state) = state {
            self.progress.best = Some(judgement.clone());
            self.best = Some(state);
        }
        self.progress.judgements.push(judgement);
        // Once it has run out, later gains in the same epoch change nothing.
        self.progress.stopped_early |= self.has_run_out(&self.progress.judgements);
        clock.tick(EpochPhase::Validation);
        Ok(())
    }

    /// Exchanges the weights and their averages, where averages are kept.
    pub(super) fn exchange_averages(&mut self) -> Result<(), TrainError> {
        if let Some(ema) = &mut self.ema {
            ema.swap(self.network.parameters())?;
        }
        Ok(())
    }

    fn measure(&self, split: &Split, step: u64) -> Result<Judgement, TrainError> {
        let rules = self.setup.task.rules();
        let score = rules.score;
        let asked = std::iter::once(score).chain(rules.further.iter().copied());
        let options = Evaluation {
            task: self.setup.task,
            loss: self.setup.reported_loss.clone(),
            metrics: asked.map(EvaluationMetric::plain).collect(),
            batch_size: self.task.recipe.batch_size.get() as usize,
            order: match self.task.recipe.validate.samples {
                Some(most) => SampleOrder::Spread(most.get()),
                None => SampleOrder::Given,
            },
            test_time_flip: false,
            device: self.task.device.clone(),
        };
        let model = JudgedModel {
            network: &self.network,
            split: split.clone(),
            precision: self.task.recipe.precision,
            normalization: self.setup.normalization.clone(),
            transforms: self.task.recipe.eval_transforms.clone(),
            target: self.setup.target.clone(),
            text: self.setup.text,
        };
        let tally = evaluate(&[model], &options, self.monitor, |_, _, _| Ok(()))?;
        let further = rules.further.iter().filter_map(|name| {
            let figure = tally.figure(name)?;
            Some(((*name).to_owned(), Exact(figure)))
        });
        Ok(Judgement {
            epoch: self.progress.epoch + 1,
            step,
            loss: Exact(tally.loss()),
            score: Exact(tally.figure(score).unwrap_or(f64::NAN)),
            further: further.collect(),
        })
    }

    fn is_best(&self, judgement: &Judgement) -> bool {
        let monitored = &self.setup.monitored;
        let value = judgement.monitored(monitored);
        match &self.progress.best {
            // What is not defined is never the best.
            None => !value.is_nan(),
            Some(best) => gains(monitored, value, best.monitored(monitored), 0.0),
        }
    }

    /// Tells that the training ends where nothing has been gained for long enough.
    pub(super) fn tell_early_stop(&self) {
        if self.progress.stopped_early && self.progress.epoch < self.setup.steps.epochs() {
            let monitored = &self.setup.monitored.name;
            let epoch = self.progress.epoch;
            self.monitor.info(format!(
                "stops after epoch {epoch}: `{monitored}` has not got better for long enough (`early_stop`)"
            ));
        }
    }

    /// Whether the patience of `early_stop` is used up after these validations.
    pub(super) fn has_run_out(&self, judgements: &[Judgement]) -> bool {
        let Some(rule) = &self.task.recipe.early_stop else {
            return false;
        };
        let monitored = &self.setup.monitored;
        let mut best = None;
        let mut waited = 0;
        for judgement in judgements {
            let value = judgement.monitored(monitored);
            let gained = best.is_none_or(|best| gains(monitored, value, best, rule.min_delta.get()));
            if gained && !value.is_nan() {
                best = Some(value);
                waited = 0;
            } else {
                waited += 1;
            }
        }
        waited >= rule.patience.get()
    }
}

/// Whether `value` is better than `best` by more than `least`.
fn gains(monitored: &Monitored, value: f64, best: f64, least: f64) -> bool {
    if monitored.better == Direction::Maximize {
        value > best + least
    } else {
        value < best - least
    }
}
