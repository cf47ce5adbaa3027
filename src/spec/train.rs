//! The `train` kind: a dataset and an architecture become weights.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Model;
use super::reference::Reference;
use super::values::{BelowOne, NonNegative, Positive, Probability};

/// Trains a model on a dataset's training split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// A dataset made by `preprocess`.
    pub data: Reference,
    /// The architecture.
    pub model: Model,
    /// Random changes to each training sample, in order.
    #[serde(default)]
    pub augment: Vec<Augment>,
    /// Per-channel normalisation of pixels scaled to `[0, 1]` (of plain features, per column).
    /// Without it, mean and deviation are measured on the training split.
    #[serde(default)]
    pub normalize: Option<Normalize>,
    /// Passes over the training split.
    pub epochs: NonZeroU32,
    /// Samples a micro-batch.
    #[serde(default = "default_batch_size")]
    pub batch_size: NonZeroU32,
    /// Micro-batches per optimizer step.
    #[serde(default = "one")]
    pub accumulate: NonZeroU32,
    /// The arithmetic of convolutions and matrix products; master weights are always f32.
    #[serde(default)]
    pub precision: Precision,
    /// What is minimised.
    #[serde(default)]
    pub loss: Loss,
    /// How the weights are updated.
    pub optimizer: Optimizer,
    /// How the learning rate changes from epoch to epoch.
    #[serde(default)]
    pub schedule: Schedule,
    /// A linear rise of the learning rate before the schedule.
    #[serde(default)]
    pub warmup: Option<Warmup>,
    /// Which weights become the artifact.
    #[serde(default)]
    pub select: Select,
    /// When to write what a resume needs. Does not change the result.
    #[serde(default)]
    pub checkpoint: Checkpoint,
}

/// The arithmetic of convolutions and matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision, with a dynamic loss scale.
    F16,
}

/// What is minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Softmax cross-entropy.
    CrossEntropy(CrossEntropy),
}

impl Default for Loss {
    fn default() -> Self {
        Self::CrossEntropy(CrossEntropy::default())
    }
}

/// Softmax cross-entropy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {
    /// The share of each target that is spread evenly over all classes.
    #[serde(default)]
    pub label_smoothing: BelowOne,
}

/// How the weights are updated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent, as `torch.optim.SGD`.
    Sgd(Sgd),
    /// Adam with decoupled weight decay, as `torch.optim.AdamW`.
    #[serde(rename = "adamw")]
    AdamW(AdamW),
}

impl Optimizer {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.lr.get(),
            Self::AdamW(adamw) => adamw.lr.get(),
        }
    }
}

/// Stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// The learning rate.
    pub lr: Positive,
    /// The momentum.
    #[serde(default)]
    pub momentum: BelowOne,
    /// Nesterov's momentum.
    #[serde(default)]
    pub nesterov: bool,
    /// The L2 penalty, added to the gradient.
    #[serde(default)]
    pub weight_decay: NonNegative,
}

/// Adam with decoupled weight decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    /// The learning rate.
    pub lr: Positive,
    /// Decay of the running means of the gradient and of its square.
    #[serde(default = "default_betas")]
    pub betas: [BelowOne; 2],
    /// Added to the denominator.
    #[serde(default = "default_eps")]
    pub eps: Positive,
    /// The decay, times the learning rate, taken off the weights.
    #[serde(default = "default_decay")]
    pub weight_decay: NonNegative,
}

/// How the learning rate changes. Factors are applied to the optimizer's `lr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same throughout.
    Constant(Constant),
    /// Times `gamma` every `every` epochs.
    Step(Step),
    /// Cosine annealing, stepped each epoch.
    Cosine(Cosine),
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Constant(Constant {})
    }
}

/// The constant schedule has no options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {}

/// As `torch.optim.lr_scheduler.StepLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Epochs between two changes.
    pub every: NonZeroU32,
    /// The factor.
    #[serde(default = "default_gamma")]
    pub gamma: Positive,
}

/// As `torch.optim.lr_scheduler.CosineAnnealingLR`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Epochs from the top to the bottom; by default the epochs that the warm-up leaves.
    #[serde(default)]
    pub t_max: Option<NonZeroU32>,
    /// The learning rate at the bottom.
    #[serde(default)]
    pub eta_min: NonNegative,
}

/// A linear rise of the learning rate, step by step, before the schedule starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// Epochs that it takes; the schedule counts from their end.
    pub epochs: NonZeroU32,
    /// The factor at the first step.
    #[serde(default = "default_start")]
    pub start: Probability,
}

/// Which weights become the artifact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Those after the last epoch.
    #[default]
    Last,
    /// Those of the epoch with the best validation accuracy (the first of equals).
    Best,
}

/// When to write what a resume needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Epochs between two checkpoints.
    #[serde(default = "one")]
    pub every: NonZeroU32,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { every: one() }
    }
}

/// Per-channel normalisation: `(x - mean) / std`, with pixels scaled to `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// The mean of each channel.
    pub mean: Vec<f64>,
    /// The standard deviation of each channel.
    pub std: Vec<Positive>,
}

/// A random change to a training sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// Pad with zeros and crop back to the old size at a random place.
    RandomCrop(RandomCrop),
    /// Mirror left and right.
    RandomHorizontalFlip(RandomFlip),
}

/// Pad with zeros, then crop back at a random place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    /// Pixels added on each side.
    pub padding: NonZeroU32,
}

/// A random mirror image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomFlip {
    /// The probability.
    #[serde(default = "half")]
    pub p: Probability,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn default_batch_size() -> NonZeroU32 {
    NonZeroU32::new(128).unwrap_or(NonZeroU32::MIN)
}

fn half() -> Probability {
    Probability::new(0.5).expect("0.5 is a probability")
}

fn default_start() -> Probability {
    Probability::new(0.01).expect("0.01 is a probability")
}

fn default_gamma() -> Positive {
    Positive::new(0.1).expect("0.1 is positive")
}

fn default_eps() -> Positive {
    Positive::new(1e-8).expect("1e-8 is positive")
}

fn default_decay() -> NonNegative {
    NonNegative::new(0.01).expect("0.01 is not negative")
}

fn default_betas() -> [BelowOne; 2] {
    [0.9, 0.999].map(|beta| BelowOne::new(beta).expect("both are under 1"))
}
