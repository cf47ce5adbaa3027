//! What is known about one trial.

use super::Values;

/// A trial: its values, and what became of it so far.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialState {
    /// Its number, from 1.
    pub number: u32,
    /// The swept parameters' values.
    pub values: Values,
    /// What became of it.
    pub state: TrialPhase,
    /// The judged figure of the first replicate by epoch, as far as it is known.
    pub curve: Vec<f64>,
}

impl TrialState {
    /// Epochs that its judged training is known to have run.
    pub fn epochs(&self) -> u32 {
        u32::try_from(self.curve.len()).unwrap_or(u32::MAX)
    }
}

/// What became of a trial.
#[derive(Clone, Debug, PartialEq)]
pub enum TrialPhase {
    /// It is to be run, or run again.
    Waiting,
    /// A job of it was started and has not ended.
    Running,
    /// It paused under the limits of its last job.
    Paused,
    /// It came to its end.
    Done {
        /// Each objective's mean over the replicates.
        objectives: Vec<f64>,
    },
    /// It failed.
    Failed {
        /// What went wrong.
        error: String,
    },
}
