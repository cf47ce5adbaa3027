//! What a user may write: a pipeline file's text becomes a validated [`Pipeline`].
//!
//! In goes YAML text; out comes either a pipeline whose every field is known to be right, or a
//! list of diagnostics with source spans. The types of this module are the vocabulary that the
//! rest of the crate works with: plain data, without behaviour of their own.

mod artifact_table;
mod choice;
mod command;
mod command_metrics;
mod decode;
mod diagnostic;
mod download;
mod evaluate;
mod evaluate_rules;
mod export;
mod export_formats;
mod formats;
mod interpolate;
mod kinds;
mod known_metrics;
mod mistake;
mod models;
mod node;
mod pipeline;
mod preprocess;
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
mod vocabulary;

pub use artifact_table::{ArtifactTable, EPOCH, METRICS_FILE, Sheet, cell_number};
pub use choice::{Choice, ChoiceFamily, ChoiceList, ChoiceOptions, ListedOptions, Named};
pub use command::{Command, EnvEntry, EnvValue, Run, Secret};
pub use command_metrics::{Better, CommandMetrics, MetricOptions};
pub use diagnostic::{Diagnostic, SpecError, nearest, suggest};
pub use download::{Download, Sha256};
pub use evaluate::{Evaluate, Metric, SplitName};
pub use evaluate_rules::evaluate_mistakes;
pub use export::Export;
pub use export_formats::{ExportFormat, ExportFormatOptions, SafetensorsOptions};
pub use formats::{
    Cifar10Options, Cifar100Labels, Cifar100Options, Color, CsvColumn, CsvImage, CsvOptions, Format,
    FormatFacts, FormatOptions, IdxOptions, ImageFolderOptions, LabelColumns, StoredAs,
};
pub use kinds::{Accepts, Input, Kind, StageKind};
pub use mistake::Mistake;
pub use models::{
    ConvLayer, ConvNetOptions, DropoutLayer, EfficientNetOptions, Layer, LeakyReluLayer, LinearLayer,
    MlpOptions, MobileNetOptions, Model, ModelOptions, NoOptions, PoolLayer, ResNet18Options,
    ResNet34Options, ResNet50Options, ResNet101Options, ResNetOptions, SequentialOptions, Stem,
    VisionTransformerOptions, VitPreset, WideDepth, WideResNetOptions,
};
pub use pipeline::{Override, Pipeline, Resources, StageSpec};
pub use preprocess::{OnError, Preprocess, SplitOptions, TargetKind};
pub use project::{Project, Remote};
pub use reference::Reference;
pub use schema::json_schema;
pub use sweep::{
    Asha, CmaEs, Constraint, Direction, Domain, EpochLimits, Grid, Median, Objective, Objectives, OneOrMany,
    Operand, Patience, Prune, Search, Sweep, SweptParameter, Tpe, Trials,
};
pub use table::{MetricPath, Round, Table, TableFormat};
pub use table_column::{Best, NumberFormat, Show, TableColumn};
pub use table_rows::{Baseline, Filter, Group, Rows, SortKey, SortKeys, same_value};
pub use tasks::{CLASSIFICATION, MULTI_LABEL, REGRESSION, TaskMetric, TaskRules};
pub use template::Template;
pub use train::{
    AdamOptions, AdamWOptions, Anneal, Augment, BinaryCrossEntropy, CenterCropOptions, CheckpointOptions,
    Clip, ColorJitterOptions, ConstantOptions, CosineOptions, CosineRestartsOptions, CrossEntropy,
    CutmixOptions, DecayOn, EarlyStop, EmaOptions, EvalTransform, ExponentialOptions, GaussianBlurOptions,
    Huber, InitOptions, LionOptions, Loss, MixupOptions, Mse, MultistepOptions, Normalize, OneCycleOptions,
    Optimizer, OptimizerOptions, Pace, ParameterGroup, PlateauOptions, PolynomialOptions, Precision,
    RandAugmentOptions, RandomAffineOptions, RandomCropOptions, RandomErasingOptions, RandomFlipOptions,
    RandomGrayscaleOptions, RandomResizedCropOptions, RandomRotationOptions, ResizeOptions, Schedule,
    ScheduleMoment, ScheduleOptions, Select, SgdOptions, Size, StepOptions, ThresholdMode, Train,
    TrivialAugmentOptions, Validate, Warmup,
};
pub use train::{AugmentMistake, DataFacts, augment_mistakes, recipe_mistakes, shortened};
pub use values::{BelowOne, ByteSize, NonNegative, Positive, Probability, Share, Span};
pub use vocabulary::Vocabulary;
