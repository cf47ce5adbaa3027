//! The dynamic loss scale of half precision.
//!
//! Gradients smaller than about 6e-8 vanish in f16 and those over 65,504 overflow. So the loss is
//! multiplied by a scale before the backward pass and the gradients are divided by it after; the
//! scale seeks the largest value that does not overflow, as `torch.amp.GradScaler` does.

use serde::{Deserialize, Serialize};

use super::error::TrainError;

/// The scale's first value.
const INITIAL: f64 = 65_536.0;
/// The factor after [`GROWTH_INTERVAL`] steps without overflow.
const GROWTH: f64 = 2.0;
/// The factor after an overflow.
const BACKOFF: f64 = 0.5;
/// Steps without overflow until the scale grows.
const GROWTH_INTERVAL: u32 = 2000;
/// Under this, gradients overflow whatever the scale: the training has diverged.
const FLOOR: f64 = 1.0 / 16_384.0;
/// Over this, growing is pointless; it keeps the scale a finite f32.
const CEILING: f64 = 1e30;

/// The scale and what decides its next change. Its values are powers of two: dividing by it is
/// exact.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// log2 of the scale.
    exponent: i32,
    /// Steps since the last change.
    good_steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self {
            exponent: INITIAL.log2() as i32,
            good_steps: 0,
        }
    }
}

impl LossScale {
    /// What the loss is multiplied by.
    pub fn get(&self) -> f64 {
        2f64.powi(self.exponent)
    }

    /// Takes note of whether the step's losses and gradients were all `finite`, and changes the scale.
    /// A step where they were not must be skipped.
    ///
    /// # Errors
    /// Gradients overflow even with a tiny scale.
    pub fn update(&mut self, finite: bool) -> Result<(), TrainError> {
        if finite {
            self.good_steps += 1;
            if self.good_steps == GROWTH_INTERVAL {
                self.good_steps = 0;
                if self.get() < CEILING {
                    self.exponent += GROWTH.log2() as i32;
                }
            }
            return Ok(());
        }
        self.good_steps = 0;
        self.exponent += BACKOFF.log2() as i32;
        if self.get() < FLOOR {
            return Err(TrainError::LossScaleExhausted { floor: FLOOR });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_after_the_interval_and_backs_off_on_overflow() {
        let mut scale = LossScale::default();
        assert_eq!(scale.get(), 65_536.0);
        for _ in 0..1999 {
            scale.update(true).unwrap();
        }
        assert_eq!(scale.get(), 65_536.0);
        scale.update(true).unwrap();
        assert_eq!(scale.get(), 131_072.0);

        for _ in 0..1999 {
            scale.update(true).unwrap();
        }
        scale.update(false).unwrap();
        assert_eq!(scale.get(), 65_536.0);
        // The overflow starts the count anew.
        scale.update(true).unwrap();
        assert_eq!(scale.get(), 65_536.0);
    }

    #[test]
    fn gives_up_below_the_floor() {
        let mut scale = LossScale::default();
        for _ in 0..30 {
            scale.update(false).unwrap();
        }
        assert_eq!(scale.get(), FLOOR);
        let error = scale.update(false).unwrap_err().to_string();
        assert!(error.contains("lower the learning rate"), "{error}");
    }

    #[test]
    fn never_grows_past_what_f32_holds() {
        let mut scale = LossScale::default();
        for _ in 0..2000 * 200 {
            scale.update(true).unwrap();
        }
        assert!((scale.get() as f32).is_finite());
    }
}
