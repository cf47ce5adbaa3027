//! Training and evaluation: a dataset and a recipe become weights, and weights become figures.
//!
//! [`train`] takes a [`Task`] (recipe, dataset, seed, a place for checkpoints) and gives the
//! selected weights with a [`Card`] and the history of the epochs. [`evaluate`] takes a network and
//! a split and gives a [`Tally`] of figures. Both tell what they do through a
//! [`Monitor`](crate::event::Monitor), and both give the same bits on every repeat, for any number
//! of threads, and after any interruption: every draw is counter-based, sums have a fixed order,
//! and a [`Checkpoint`] holds everything that the rest of a training depends on.
//!
//! The parts: [`Optimizer`] (the update of the weights), [`parameter_settings`] (what the recipe's
//! groups ask for), [`Ema`] (the average of the weights), [`LearningRate`] (the schedule),
//! [`LossScale`] (half precision), [`Tally`] (the figures), and the loop that joins them.

mod checkpoint;
mod device;
mod ema;
mod error;
mod evaluate;
mod gradients;
mod groups;
mod history;
mod loss_scale;
mod metrics;
mod model_file;
mod optimizer;
mod progress;
mod schedule;
mod setup;
mod staging;
mod tensor_file;
mod threads;
mod trainer;

pub use checkpoint::Checkpoint;
pub use device::DeviceChoice;
pub use error::TrainError;
pub use evaluate::{Evaluation, evaluate, filled_split};
pub use history::{EpochRow, Exact, Judgement, Scaling, Score, write_history, write_validations};
pub use loss_scale::LossScale;
pub use metrics::{ClassFigures, Judged, Tally};
pub use model_file::{CARD_FILE, Card, TrainedModel, WEIGHTS_FILE, read_card, write_json, write_weights};
pub use optimizer::{Optimizer, OptimizerState, ParameterSettings};
pub use progress::{Progress, Steps};
pub use schedule::LearningRate;
pub use setup::Target;
pub use tensor_file::{HostTensor, NamedTensors, read_tensors};
pub use threads::on_threads;
pub use trainer::{Task, Trained, train};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
