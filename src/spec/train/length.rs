//! How long a training is.

use std::num::NonZeroU32;

use super::Train;

/// Steps that make up an epoch of a training that is measured in steps, where `validate.steps` does not say so.
const STEPS: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// How long a training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingLength {
    /// Passes over the training split.
    Epochs(u32),
    /// Optimizer steps.
    Steps {
        /// All of them.
        steps: u32,
        /// Those between two validations, which take the place of an epoch wherever epochs are counted.
        per_epoch: u32,
    },
}

impl TrainingLength {
    /// Passes or steps, whichever it is measured in.
    pub fn count(self) -> u32 {
        match self {
            Self::Epochs(epochs) => epochs,
            Self::Steps { steps, .. } => steps,
        }
    }

    /// Epochs: passes, or what is between two validations.
    pub fn epochs(self) -> u32 {
        match self {
            Self::Epochs(epochs) => epochs,
            Self::Steps { steps, per_epoch } => steps.div_ceil(per_epoch.max(1)),
        }
    }

    /// What it is measured in: the field that says so.
    pub fn field(self) -> &'static str {
        match self {
            Self::Epochs(_) => "epochs",
            Self::Steps { .. } => "steps",
        }
    }
}

impl Train {
    /// How long it is; no epochs where neither field says so, which is a mistake.
    pub fn length(&self) -> TrainingLength {
        match (self.steps, self.epochs) {
            (Some(steps), _) => TrainingLength::Steps {
                steps: steps.get(),
                per_epoch: self.validate.steps.unwrap_or(STEPS).get(),
            },
            (None, epochs) => TrainingLength::Epochs(epochs.map_or(0, NonZeroU32::get)),
        }
    }
}
