//! Training and evaluation: a dataset and a recipe become weights, and weights become figures.
//!
//! [`train`] takes a [`Training`] (recipe, dataset, seed, a place for checkpoints) and gives the
//! selected weights with a [`Card`] and the history of the epochs. [`evaluate`] takes a network and
//! a split and gives a [`SplitTally`] of figures. A [`Predictor`] is asked about samples of which nobody knows what
//! is true. The former two tell what they do through a
//! [`Monitor`](crate::event::Monitor), and both give the same bits on every repeat, for any number
//! of threads, and after any interruption: every draw is counter-based, sums have a fixed order,
//! and a [`Checkpoint`] holds everything that the rest of a training depends on.
//!
//! The parts: [`Optimizer`] (the update of the weights), [`parameter_settings`] (what the recipe's
//! groups ask for), [`Ema`] (the average of the weights), [`LearningRate`] (the schedule),
//! [`LossScale`] (half precision), [`Task`] (what is predicted), [`SplitTally`] (the figures), and the loop that
//! joins them.

mod checkpoint;
mod class_weights;
mod collective;
mod components;
mod device;
mod distillation;
mod ema;
mod ensemble_member;
mod error;
mod evaluate;
mod exported_card;
mod feed;
mod gradients;
mod groups;
mod history;
mod huggingface;
mod inference;
mod init_check;
mod loss_scale;
mod low_rank;
mod meeting;
mod model_file;
mod optimizer;
mod predictor;
mod progress;
mod quantized;
mod row_predictor;
mod schedule;
mod setup;
mod speed;
mod staging;
mod state_dict;
mod tasks;
mod tensor_file;
mod text_predictor;
mod threads;
mod trainer;

pub use checkpoint::{Checkpoint, LAST_CHECKPOINT};
pub use class_weights::tell_unweighted;
pub use collective::{Collective, SingleWorker};
pub use components::Components;
pub use device::DeviceChoice;
pub use error::TrainError;
pub use evaluate::{Evaluation, JudgedModel, evaluate, filled_split};
pub use feed::{Feed, SampleFeed, StagedBatches, TextFeed, TextReading};
pub use gradients::{Gradients, StepGradients};
pub use history::{EpochFigures, Exact, Judgement, Monitored, Scaling, write_history, write_validations};
pub use huggingface::{
    ADAPTER_FOLDER, CONFIG_FILE, Filled, FolderFamily, FolderFitting, FolderLabels, FolderWeights,
    FolderWish, FolderWriting, LabelKind, NO_PAD, PeftAdapter, PretrainedFolder, TextModelSizes,
    adapter_alone, write_folder,
};
pub use init_check::init_problem;
pub use loss_scale::LossScale;
pub use low_rank::{ADAPTER_FILE, BASE_FILE, write_adapter};
pub use meeting::{Beginning, KnownModel};
pub use model_file::{CARD_FILE, Card, TrainedModel, WEIGHTS_FILE, read_card, write_json, write_weights};
pub use optimizer::{
    Chunk, Optimizer, OptimizerRule, OptimizerState, Optimizers, ParameterSettings, StepSettings, UpdateRule,
};
pub use predictor::{Predictor, PredictorOptions, SampleAnswer};
pub use progress::{BatchPlace, EpochSteps, EpochSums, TrainingState};
pub use quantized::{CardQuantization, QuantizationOptions, quantize, write_quantized};
pub use row_predictor::RowPredictor;
pub use schedule::LearningRate;
pub use speed::{MeasuredSpeed, measure_speed};
pub use tasks::{
    ClassFigures, Classification, ComparedOutputs, Criterion, CsvFile, EMBEDDING, ENTITIES, JudgedOutputs,
    LossCriterion, MASK, ModelTarget, MultiLabel, OutputMeaning, PIXELS, PREDICTED, PROBABILITIES,
    PROBABILITY, PredictedColumn, PredictedEntity, PredictedKind, PredictedMask, PredictedValue, Regression,
    Segmentation, Similarity, SplitTally, Task, TaskTally, Tasks, TokenClasses, TokenPrediction, float_text,
    score_sum, target_values,
};
pub use tensor_file::{HostTensor, NamedTensors, read_tensors};
pub use text_predictor::TextPredictor;
pub use threads::on_threads;
pub use trainer::{ShorterTraining, Trained, Training, train};

#[cfg(test)]
pub(crate) use huggingface::testing as folder_testing;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
