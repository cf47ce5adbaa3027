//! What a user may write: a pipeline file's text becomes a validated [`Pipeline`].
//!
//! In goes YAML text; out comes either a pipeline whose every field is known to be right, or a
//! list of diagnostics with source spans. The types of this module are the vocabulary that the
//! rest of the crate works with: plain data, without behaviour of their own.

mod command;
mod command_metrics;
mod decode;
mod diagnostic;
mod download;
mod evaluate;
mod evaluate_rules;
mod export;
mod interpolate;
mod kind;
mod known_metrics;
mod mistake;
mod model;
mod model_check;
mod node;
mod pipeline;
mod preprocess;
mod preprocess_check;
mod project;
mod read;
mod reference;
mod schema;
mod sweep;
mod table;
mod table_check;
mod table_column;
mod table_rows;
mod task_check;
mod tasks;
mod template;
mod train;
mod validate;
mod values;

pub use command::{Command, EnvEntry, EnvValue, Run, Secret};
pub use command_metrics::{Better, CommandMetrics, MetricOptions};
pub use diagnostic::{Diagnostic, SpecError, nearest, suggest};
pub use download::{Download, Sha256};
pub use evaluate::{Evaluate, Metric, SplitName};
pub use evaluate_rules::evaluate_mistakes;
pub use export::{Export, ExportFormat};
pub use kind::{Input, Kind};
pub use mistake::Mistake;
pub use model::{
    ConvLayer, ConvNet, DropoutLayer, EfficientNet, Layer, LeakyReluLayer, LinearLayer, Mlp, MobileNet,
    Model, NoOptions, PoolLayer, ResNet, Sequential, Stem, VisionTransformer, VitPreset, WideDepth,
    WideResNet,
};
pub use pipeline::{Override, Pipeline, Resources, Stage};
pub use preprocess::{
    Cifar10, Cifar100, Cifar100Labels, Color, Column, Columns, Csv, CsvImage, Format, Idx, ImageFolder,
    OnError, Preprocess, Split, StoredAs, Task,
};
pub use project::{Project, Remote};
pub use reference::Reference;
pub use schema::json_schema;
pub use sweep::{
    Asha, CmaEs, Constraint, Direction, Domain, EpochLimits, Grid, Median, Objective, Objectives, OneOrMany,
    Operand, Parameter, Patience, Prune, Search, Sweep, Tpe, Trials,
};
pub use table::{MetricPath, Round, Table, TableFormat};
pub use table_column::{Best, NumberFormat, Show, TableColumn};
pub use table_rows::{Baseline, Filter, Group, Rows, SortKey, SortKeys, same_value};
pub use tasks::{CLASSIFICATION, MULTI_LABEL, REGRESSION, TaskMetric, TaskRules};
pub use template::Template;
pub use train::{
    Adam, AdamW, Anneal, Augment, BinaryCrossEntropy, CenterCrop, Checkpoint, Clip, ColorJitter, Constant,
    Cosine, CosineRestarts, CrossEntropy, Cutmix, DecayOn, EarlyStop, Ema, EvalTransform, Exponential,
    GaussianBlur, Huber, Init, Lion, Loss, Mixup, Mse, Multistep, Normalize, OneCycle, Optimizer, Pace,
    ParameterGroup, Plateau, Polynomial, Precision, RandAugment, RandomAffine, RandomCrop, RandomErasing,
    RandomFlip, RandomGrayscale, RandomResizedCrop, RandomRotation, Resize, Schedule, Select, Sgd, Size,
    Step, ThresholdMode, Train, TrivialAugment, Validate, Warmup,
};
pub use train::{AugmentMistake, DataFacts, augment_mistakes, recipe_mistakes, shortened};
pub use values::{BelowOne, ByteSize, NonNegative, Positive, Probability, Share, Span};
