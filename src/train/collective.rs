//! Several workers that train one network together.

use super::error::TrainError;
use super::gradients::Gradients;

/// Workers that train one network together, each with some of the micro-batches of every optimizer
/// step. Gradients pass it once a step, between the last backward pass and the optimizer: that is all
/// that workers exchange.
///
/// A step's loss divides by the weight of all its samples, whoever serves them, and a step's gradients
/// are summed in one order, so the optimizer of every worker is given what that of a single one would be,
/// to the bit.
pub trait Collective: Send + Sync {
    /// Which of the workers this one is, from 0.
    fn rank(&self) -> u32;

    /// How many workers there are.
    fn size(&self) -> u32;

    /// Exchanges `gradients`, this worker's share of a step, for those of all workers, by
    /// [`Gradients::merge`].
    ///
    /// # Errors
    /// A worker is lost, or the addition fails.
    fn sum(&self, gradients: &mut Gradients) -> Result<(), TrainError>;
}

/// A worker that trains alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleWorker;

impl Collective for SingleWorker {
    fn rank(&self) -> u32 {
        0
    }

    fn size(&self) -> u32 {
        1
    }

    fn sum(&self, _gradients: &mut Gradients) -> Result<(), TrainError> {
        Ok(())
    }
}
