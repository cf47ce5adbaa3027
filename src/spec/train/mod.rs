//! The `train` kind: a dataset and an architecture become weights.

mod augment;
mod augment_check;
mod check;
mod class_weights;
mod distill;
mod keeping;
mod length;
mod lora;
mod loss;
pub(super) mod optimizers;
mod pack;
mod pattern;
mod rules;
pub(super) mod schedules;
mod text_rules;
mod update;

use std::num::NonZeroU32;
use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::choice::{ChoiceOptions, Named};
use super::diagnostic::Diagnostic;
use super::kinds::{Accepts, Input, StageKind, keyed};
use super::known_metrics::describe_loss;
use super::mistake::{Mistake, placed};
use super::models::Model;
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::task_check::{teacher_mistakes, train_mistakes};
use super::validate::image_mistakes;
use super::values::Positive;
use crate::metric::MetricTable;

pub use augment::{
    Augment, CenterCropOptions, ColorJitterOptions, CutmixOptions, EvalTransform, GaussianBlurOptions,
    MixupOptions, RandAugmentOptions, RandomAffineOptions, RandomCropOptions, RandomErasingOptions,
    RandomFlipOptions, RandomGrayscaleOptions, RandomIouCropOptions, RandomPhotometricDistortOptions,
    RandomResizedCropOptions, RandomRotationOptions, RandomZoomOutOptions, ResizeOptions, Size,
    TrivialAugmentOptions,
};
pub use augment_check::{AugmentMistake, augment_mistakes};
pub use class_weights::ClassWeights;
pub use distill::DistillOptions;
pub use keeping::{CheckpointOptions, EarlyStop, Select, Validate};
pub use length::TrainingLength;
pub use lora::{LoraOptions, LoraTargets};
pub use loss::{BinaryCrossEntropy, CrossEntropy, Huber, Loss, Mse};
pub use optimizers::{AdamOptions, AdamWOptions, LionOptions, Optimizer, OptimizerOptions, SgdOptions};
pub use pack::{Pack, PackedDocuments};
pub use pattern::fits_pattern;
pub use rules::{DataFacts, recipe_mistakes, shortened};
pub use schedules::{
    Anneal, ConstantOptions, CosineOptions, CosineRestartsOptions, ExponentialOptions, MultistepOptions,
    OneCycleOptions, Pace, PlateauOptions, PolynomialOptions, Schedule, ScheduleMoment, ScheduleOptions,
    StepOptions, ThresholdMode, Warmup,
};
pub use update::{Clip, DecayOn, EmaOptions, ParameterGroup};

/// Trains a model on a dataset's training split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// A dataset made by `preprocess`.
    pub data: Reference,
    /// The architecture.
    pub model: Model,
    /// Weights to begin with. Without it they are drawn.
    #[serde(default)]
    pub init: Option<InitOptions>,
    /// Train low-rank changes beside weights that stay as they are. Needs weights to begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraOptions>,
    /// Parameters that are frozen, or trained with a learning rate or weight decay of their own.
    #[serde(default)]
    pub groups: Vec<ParameterGroup>,
    /// Changes to each training image, in order.
    #[serde(default)]
    pub augment: Vec<Augment>,
    /// Changes to each image that is judged, in order; a model keeps them for `evaluate`.
    #[serde(default)]
    pub eval_transforms: Vec<EvalTransform>,
    /// Per-channel normalisation of pixels scaled to `[0, 1]` (of plain features, per column).
    /// Without it, mean and deviation are measured on the training split.
    #[serde(default)]
    pub normalize: Option<Normalize>,
    /// In regression: whether to train on targets shifted and scaled to mean 0 and deviation 1 (of the
    /// training split), as is done by default; with `init` by default as the model that it begins with was
    /// trained. Predictions, `mae`, `rmse` and `r2` are in the targets' own units in any case; losses are in
    /// the scaled ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standardize_targets: Option<bool>,
    /// How documents become the rows that a language model is trained on. For texts without a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<Pack>,
    /// Passes over the training split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<NonZeroU32>,
    /// Optimizer steps, instead of `epochs`. Schedules and their options then count steps instead of epochs, and what
    /// is between two validations (`validate.steps`, 1000 by default) is what the history and pruners call an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<NonZeroU32>,
    /// Samples a micro-batch, at most; of documents that are packed, rows.
    #[serde(default = "default_batch_size")]
    pub batch_size: NonZeroU32,
    /// Tokens a micro-batch, at most, beside `batch_size`. Samples of like lengths are then put together. For texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_tokens: Option<NonZeroU32>,
    /// Leave out the last micro-batch of an epoch where it is smaller than the others.
    #[serde(default)]
    pub drop_last: bool,
    /// Micro-batches per optimizer step.
    #[serde(default = "one")]
    pub accumulate: NonZeroU32,
    /// The arithmetic of convolutions and matrix products; master weights are always f32.
    #[serde(default)]
    pub precision: Precision,
    /// What is predicted. By default what the dataset has to predict: `classification`, `multi_label`, `regression`,
    /// `token_classes`, or of texts without a label `next_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::tasks::task_names")]
    pub task: Option<String>,
    /// What is minimised. By default cross-entropy for classes, binary cross-entropy for several
    /// labels, the mean squared error for numbers.
    #[serde(default)]
    pub loss: Option<Loss>,
    /// Learn from what another model says of the samples too. For classes and numbers of whole samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<DistillOptions>,
    /// How the weights are updated.
    pub optimizer: Optimizer,
    /// Which parameters the optimizer's weight decay applies to.
    #[serde(default)]
    pub weight_decay_on: DecayOn,
    /// Limits to the gradients.
    #[serde(default)]
    pub clip: Clip,
    /// A moving average of the weights, which is then what is validated and written.
    #[serde(default)]
    pub ema: Option<EmaOptions>,
    /// How the learning rate changes.
    #[serde(default)]
    pub schedule: Schedule,
    /// A linear rise of the learning rate before the schedule.
    #[serde(default)]
    pub warmup: Option<Warmup>,
    /// When the validation split is judged.
    #[serde(default)]
    pub validate: Validate,
    /// The figure that decides on the best epoch, on stopping early and on a plateau: `val_loss`,
    /// `val_accuracy` (for classes and labels) or `val_mae` (for numbers). By default `val_accuracy`
    /// for classes, else `val_loss`.
    #[serde(default)]
    #[schemars(schema_with = "super::tasks::monitor_names")]
    pub monitor: Option<String>,
    /// Stop before the last epoch when nothing is gained any more.
    #[serde(default)]
    pub early_stop: Option<EarlyStop>,
    /// Which weights become the artifact.
    #[serde(default)]
    pub select: Select,
    /// When to write what a resume needs. Does not change the result.
    #[serde(default)]
    pub checkpoint: CheckpointOptions,
    /// Let the activations inside a transformer's blocks go after the forward pass, and compute them again in the backward
    /// pass: less memory, and about a third more time. On the CPU; does not change a bit of the result.
    #[serde(default)]
    pub checkpoint_activations: bool,
    /// Optimizer steps between two lines in the log; none by default. Does not change the result.
    #[serde(default)]
    pub log_every: Option<NonZeroU32>,
}

impl Named for Train {
    const NAME: &'static str = "train";
}

/// Version 2: sums in the order of the register tiles, 3x3 kernels by Winograd. Version 3: dropout,
/// stochastic depth, mixup and CutMix are drawn by epoch and sample instead of by micro-batch, a sample is
/// mixed with the next of the epoch instead of with one of its micro-batch, and the gradients of four and
/// more micro-batches are summed pairwise. Version 4: the targets of a regression are standardised by default,
/// weights to begin with are matched with the data by the names of columns, classes and targets, the card tells
/// the inputs by name, whole floats are written with a point (`1.0`) in CSV files, and attention is summed by tiles,
/// so that vision transformers round otherwise; a training that begins with a model normalises as that model did, where
/// the recipe does not say how. Version 5: gradients of the weights of fully connected layers, of convolutions of
/// one pixel and of vocabularies are summed in the order of the rows, and GELU's derivative is found in f32. Version 6:
/// GELU itself is found in f32, and the card tells the kernels. Version 7, of trainings in bf16 alone: a gradient is rounded
/// where the tensor is that it is of, and so is a sum of several.
impl StageKind for Train {
    fn version(&self) -> u32 {
        match self.precision {
            Precision::Bf16 => 7,
            Precision::F32 | Precision::F16 => 6,
        }
    }

    fn inputs(&self) -> Vec<Input> {
        let init = self.init.iter().map(|init| Input {
            role: "init".to_owned(),
            path: vec!["init".to_owned(), "from".to_owned()],
            reference: init.from.clone(),
        });
        let base = self.model.base().map(|(field, reference)| Input {
            role: "pretrained".to_owned(),
            path: ["model", self.model.name(), field].map(str::to_owned).into(),
            reference: reference.clone(),
        });
        std::iter::once(Input::field("data", &self.data))
            .chain(init)
            .chain(base)
            .chain(self.distill.iter().flat_map(DistillOptions::inputs))
            .collect()
    }

    fn accepts(&self, role: &str) -> Accepts {
        match role {
            "init" | "pretrained" => Accepts::stages_or_files(&["train", "export", "download", "command"]),
            role if DistillOptions::is_role(role) => {
                Accepts::stages_or_files(&["train", "quantize", "export", "download", "command"])
            }
            _ => Accepts::stages(&["preprocess", "command"]),
        }
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &[
            "data",
            "init",
            "checkpoint",
            "checkpoint_activations",
            "log_every",
        ]
    }

    /// A model that is there counts by its content, as other inputs do.
    fn key_fields(&self) -> Value {
        let mut fields = keyed(self.to_json(), self.unkeyed_fields());
        if let Some((field, _)) = self.model.base()
            && let Some(Value::Object(options)) = fields.pointer_mut(&format!("/model/{}", self.model.name()))
        {
            options.shift_remove(field);
        }
        if let (Some(distill), Value::Object(fields)) = (&self.distill, &mut fields) {
            fields.insert("distill".to_owned(), distill.key_fields());
        }
        fields
    }

    fn draws(&self) -> bool {
        true
    }

    fn takes_gpu(&self) -> bool {
        true
    }

    fn epochs(&self) -> Option<u32> {
        Some(self.length().epochs())
    }

    fn length(&self) -> Option<u32> {
        Some(Self::length(self).count())
    }

    fn fields_of_any_length(&self) -> Option<Result<Value, String>> {
        let fields = || {
            let mut fields = self.key_fields();
            if let Value::Object(fields) = &mut fields {
                fields.shift_remove("epochs");
                // Epochs and steps have other data in another order.
                if let Some(steps) = fields.get_mut("steps") {
                    *steps = Value::Bool(true);
                }
            }
            fields
        };
        Some(if !self.checkpoint.lasting {
            Err("`checkpoint: {lasting: false}` keeps nothing to go on from".to_owned())
        } else if self.schedule.depends_on_length() {
            Err(format!(
                "the learning rates of `schedule: {}` depend on the number of {}",
                self.schedule.name(),
                Self::length(self).field()
            ))
        } else if self
            .warmup
            .as_ref()
            .is_some_and(|warmup| warmup.fraction.is_some())
        {
            Err("the learning rates of `warmup: {fraction}` depend on the number of steps".to_owned())
        } else {
            Ok(fields())
        })
    }

    fn metrics(&self, known: &MetricTable) -> Option<Vec<String>> {
        let mut names = known.of_epochs();
        names.extend(["parameters", "epochs"].map(str::to_owned));
        Some(names)
    }

    fn describe_metrics(
        &self,
        stage: &str,
        stages: &IndexMap<String, Arc<StageSpec>>,
        known: &mut MetricTable,
    ) {
        // With teachers, the loss in training is of two kinds.
        if self.distill.is_none() {
            describe_loss(stage, self, stages, known);
        }
    }

    fn mistakes(
        &self,
        stages: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        image_mistakes(self, &mut mistakes, place);
        mistakes.extend(placed(
            &["model", self.model.name()],
            self.model.mistakes(),
            place,
        ));
        mistakes.extend(placed(&[], self.two_beginnings().into_iter().collect(), place));
        mistakes.extend(placed(&[], check::lora_mistakes(self), place));
        mistakes.extend(placed(
            &[],
            check::blocks_mistake(self).into_iter().collect(),
            place,
        ));
        mistakes.extend(train_mistakes(stages, self, place));
        mistakes.extend(teacher_mistakes(stages, self, place));
        mistakes
    }
}

impl Train {
    /// Weights to begin with beside a model that brings its own.
    fn two_beginnings(&self) -> Option<Mistake> {
        let (_, base) = self.model.base().filter(|_| self.init.is_some())?;
        let message = format!("the training would begin with these weights and with those of `{base}`");
        Some(Mistake::new(["init", "from"], message).help("leave one of them out"))
    }

    /// Micro-batches of an epoch over `samples` samples; the last may be smaller than the others.
    pub fn batches(&self, samples: u64) -> u32 {
        let size = u64::from(self.batch_size.get());
        let batches = if self.drop_last {
            samples / size
        } else {
            samples.div_ceil(size)
        };
        u32::try_from(batches).unwrap_or(u32::MAX)
    }
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

/// Weights to begin with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InitOptions {
    /// A file of weights with the names and shapes of PyTorch, torchvision or timm (safetensors, or what
    /// `torch.save` wrote of a `state_dict()`, nested and with prefixes as it may be), or a stage of kind
    /// `train` or `export`. A last layer of another size is drawn anew, which is told.
    pub from: Reference,
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

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn default_batch_size() -> NonZeroU32 {
    NonZeroU32::new(128).unwrap_or(NonZeroU32::MIN)
}
