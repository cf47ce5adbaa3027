//! What a user may write: a pipeline file's text becomes a validated [`Pipeline`].
//!
//! In goes YAML text; out comes either a pipeline whose every field is known to be right, or a
//! list of diagnostics with source spans. The types of this module are the vocabulary that the
//! rest of the crate works with: plain data, without behaviour of their own.

mod artifact_table;
mod choice;
mod command;
mod confidential;
mod counted;
mod decode;
mod diagnostic;
mod documents;
mod download;
mod evaluate;
mod evaluate_rules;
mod export;
mod export_formats;
mod file_places;
mod formats;
mod generate;
mod header;
mod interpolate;
mod kinds;
mod known_metrics;
mod mistake;
mod model_references;
mod models;
mod node;
mod pipeline;
mod predict;
mod preprocess;
mod project;
mod quantize;
mod read;
mod reference;
mod rewritten;
mod schema;
mod source;
mod split;
mod sweep;
mod table;
mod table_check;
mod table_column;
mod table_rows;
mod task_check;
mod tasks;
mod template;
mod tokenizer;
mod train;
mod validate;
mod values;
mod vocabulary;
mod yaml;

pub use artifact_table::{ArtifactTable, EPOCH, METRICS_FILE, Sheet, cell_number};
pub use choice::{Choice, ChoiceFamily, ChoiceList, ChoiceOptions, ListedOptions, Named};
pub use command::{
    Better, CallersVariable, Command, CommandMetrics, CondaEnvironment, ContainerEngine,
    ContainerEnvironment, EnvEntry, EnvValue, Environment, LONGEST_ARGUMENT, MetricOptions, PASSED_VARIABLES,
    PythonEnvironment, Run, Secret, is_passed,
};
pub use counted::{counted, counted_that};
pub use diagnostic::{Diagnostic, SpecError, nearest, suggest};
pub use documents::{Documents, RecordOptions, TextFiles};
pub use download::{Download, Sha256};
pub use evaluate::{Evaluate, SplitName};
pub use evaluate_rules::evaluate_mistakes;
pub use export::Export;
#[cfg(feature = "full")]
pub(crate) use export_formats::built_in_export_formats;
pub use export_formats::{
    ExportFormat, ExportFormatOptions, HuggingFaceOptions, OnnxExportOptions, OnnxInput, OnnxNumbers, Opset,
    PeftOptions, SafetensorsOptions,
};
pub use file_places::{FilePlaces, UnknownRoot};
pub(crate) use formats::built_in_formats;
pub use formats::{
    AllClasses, AnnotationTask, CellConstant, ChatOptions, ChatTargets, Cifar10Options, Cifar100Labels,
    Cifar100Options, CocoClasses, CocoOptions, Color, ConllOptions, CrowdObjects, CsvColumn, CsvImage,
    CsvOptions, DateOptions, DatePart, DifficultObjects, DocumentBegin, DocumentEnd, FolderNames, Format,
    FormatFacts, FormatOptions, IdxOptions, IgnoredPixels, ImageFolderOptions, ImageManifestOptions,
    ImageOptions, LabelColumns, LabelNames, MasksOptions, MissingOptions, MissingPolicy, NamedSplits,
    NoIgnoredPixels, NoSplits, ParquetOptions, PixelOrigin, Quote, SampleKind, SplitFolders, SplitPaths,
    StoredAs, TextOptions, VocOptions, YoloOptions,
};
pub use generate::{ChatTurn, Generate, NarrowWeights, Prompt, SampleOptions};
pub use header::{HeaderEntry, HeaderSecret};
#[cfg(feature = "full")]
pub(crate) use kinds::built_in_kinds;
pub use kinds::{Accepts, Input, Kind, StageKind};
pub use mistake::Mistake;
pub use model_references::ModelReferences;
pub use models::{
    BertOptions, BertVariant, ConvLayer, ConvNetOptions, DropoutLayer, EfficientNetOptions, Gpt2Options,
    Layer, LeakyReluLayer, LinearLayer, LlamaOptions, LlamaVariant, MlpActivation, MlpOptions,
    MobileNetOptions, Model, ModelOptions, NoOptions, PoolLayer, PretrainedOptions, ResNet18Options,
    ResNet34Options, ResNet50Options, ResNet101Options, ResNetOptions, SequentialOptions, Stem, TextHead,
    TextModelFacts, UNetOptions, VisionTransformerOptions, VitPreset, WideDepth, WideResNetOptions,
};
pub(crate) use models::{built_in_models, built_in_text_models};
pub use pipeline::{Override, Pipeline, Resources, StageSpec};
pub use predict::{Predict, PredictionFormat};
pub use preprocess::{OnError, Preprocess, SplitInputs, TargetKind};
pub use project::{Project, Remote};
pub use quantize::{CalibrationSamples, QuantizationGate, Quantize, RangeRule};
pub use reference::Reference;
pub use rewritten::RewrittenParameter;
pub use schema::json_schema;
pub use source::PipelineSource;
pub use split::{EverySample, SplitOptions};
pub use sweep::{
    Asha, CmaEs, Constraint, Direction, Domain, EpochLimits, Grid, Median, Objective, Objectives, OneOrMany,
    Operand, Patience, Prune, Search, Sweep, SweptParameter, Tpe, Trials,
};
pub use table::{MetricPath, Round, Table, TableFormat};
pub use table_column::{Best, NumberFormat, Show, TableColumn};
pub use table_rows::{Baseline, Filter, Group, Rows, SortKey, SortKeys, same_value};
pub use task_check::silence_of;
pub use tasks::{
    CLASSIFICATION, EntityF1Options, EntityMode, EntityScheme, EvaluationMetric, MASKED_TOKEN, MULTI_LABEL,
    MetricDetail, NEXT_TOKEN, PerplexityOptions, REGRESSION, SEGMENTATION, SIMILARITY, TOKEN_CLASSES,
    TaskMetric, TaskRules, TaughtBy,
};
pub use template::Template;
pub use tokenizer::{
    BpeOptions, CharOptions, SpecialTokenOptions, Tokenizer, TokenizerModel, UnicodeForm, UnigramOptions,
    WordOptions, WordPieceOptions,
};
pub(crate) use train::optimizers::built_in_optimizers;
pub use train::{
    AdamOptions, AdamWOptions, Anneal, Augment, BinaryCrossEntropy, CenterCropOptions, CheckpointOptions,
    ClassWeights, Clip, ColorJitterOptions, ConstantOptions, CosineOptions, CosineRestartsOptions,
    CrossEntropy, CutmixOptions, DecayOn, DistillOptions, EarlyStop, EmaOptions, EvalTransform,
    ExponentialOptions, GaussianBlurOptions, Huber, InitOptions, LionOptions, Loss, MixupOptions, Mse,
    MultistepOptions, Normalize, OneCycleOptions, Optimizer, OptimizerOptions, Pace, Pack, PackedDocuments,
    ParameterGroup, PlateauOptions, PolynomialOptions, Precision, RandAugmentOptions, RandomAffineOptions,
    RandomCropOptions, RandomErasingOptions, RandomFlipOptions, RandomGrayscaleOptions, RandomIouCropOptions,
    RandomPhotometricDistortOptions, RandomResizedCropOptions, RandomRotationOptions, RandomZoomOutOptions,
    ResizeOptions, Schedule, ScheduleMoment, ScheduleOptions, Select, SgdOptions, Size, StepOptions,
    ThresholdMode, Train, TrainingLength, TrivialAugmentOptions, Validate, Warmup,
};
pub use train::{
    AugmentMistake, DataFacts, LoraOptions, LoraTargets, augment_mistakes, fits_pattern, recipe_mistakes,
    shortened,
};
pub use values::{BelowOne, ByteSize, NonNegative, Percentage, Positive, Probability, Share, Span, UpToOne};
pub use vocabulary::Vocabulary;
