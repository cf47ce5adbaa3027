//! A program of its own around Erlen's library: it knows all that `erlen` does, and adds a kind of stages, an
//! architecture, a task and metrics. Each is a type with derived traits and the methods that it cannot do
//! without; names, schema, messages, keys and the worker process follow.
//!
//! `cargo run --example extended -- run pipeline.yaml` runs a pipeline such as
//!
//! ```yaml
//! stages:
//!   words: {count_words: {text: ./notes.txt}}
//!   data: {preprocess: {input: ./table.csv, format: csv, split: {val: 0.2, test: 0.2}}}
//!   model: {train: {data: data, model: {tanh_net: {width: 16}}, epochs: 5, optimizer: {sgd: {lr: 0.1}}}}
//! ```
//!
//! and `cargo run --example extended -- schema` describes the new words beside the old ones.

mod class_number;

use std::fs;
use std::num::NonZeroU32;
use std::process::ExitCode;

use candle_core::Tensor;
use erlen::cli;
use erlen::event::{Metrics, Monitor};
use erlen::metric::{Direction, MetricInfo, MetricTable};
use erlen::models::{Architecture, Builder, InputShape, Linear, ModelBuilder, ModelError, Pass};
use erlen::ops;
use erlen::spec::{Accepts, Input, ModelOptions, Named, Reference, StageKind};
use erlen::stages::{Job, Outcome, Registry, StageError, StageRunner};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use class_number::ClassNumber;

fn main() -> ExitCode {
    let registry = Registry::built_in()
        .with_kind::<CountWords>()
        .with_model::<TanhNet>()
        .with_task(ClassNumber)
        .with_metric(MetricInfo::new("words", "words").unit("count"))
        .with_metric(
            MetricInfo::new("far_off", "mean distance of classes")
                .better(Direction::Minimize)
                .tasks(&["class_number"])
                .every_epoch(),
        );
    ExitCode::from(cli::run(&registry))
}

/// Counts the words of a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CountWords {
    /// The text.
    text: Reference,
    /// How many letters a word has at least.
    #[serde(default = "one")]
    shortest: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl Named for CountWords {
    const NAME: &'static str = "count_words";
}

impl StageKind for CountWords {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::field("text", &self.text)]
    }

    fn accepts(&self, _: &str) -> Accepts {
        Accepts::ANY
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["text"]
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        Some(vec!["words".to_owned()])
    }
}

impl StageRunner for CountWords {
    fn run(&self, job: &Job, _: &Registry, _: &Monitor) -> Result<Outcome, StageError> {
        let path = job.input("text")?;
        let text = fs::read_to_string(path)
            .map_err(|error| StageError::failed(format!("cannot read `{}`: {error}", path.display())))?;
        let shortest = self.shortest.get() as usize;
        let words = text
            .split_whitespace()
            .filter(|word| word.chars().count() >= shortest)
            .count();
        let written = fs::write(job.output.join("words.txt"), format!("{words}\n"));
        written.map_err(|error| StageError::failed(format!("cannot write the count: {error}")))?;
        Ok(Outcome {
            metrics: Metrics::from([("words".to_owned(), words as f64)]),
        })
    }
}

/// One hidden layer with a hyperbolic tangent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TanhNet {
    /// Values of the hidden layer.
    width: NonZeroU32,
}

impl Named for TanhNet {
    const NAME: &'static str = "tanh_net";
}

impl ModelOptions for TanhNet {}

impl ModelBuilder for TanhNet {
    fn check(&self, _: InputShape, _: usize) -> Result<(), ModelError> {
        Ok(())
    }

    fn build(
        &self,
        input: InputShape,
        outputs: usize,
        builder: &mut Builder,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let width = self.width.get() as usize;
        Ok(Box::new(TanhLayers {
            hidden: builder.linear("hidden", input.len(), width)?,
            head: builder.linear("head", width, outputs)?,
        }))
    }
}

/// The layers of a [`TanhNet`].
struct TanhLayers {
    hidden: Linear,
    head: Linear,
}

impl Architecture for TanhLayers {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let hidden = self
            .hidden
            .forward(&ops::flatten(input, 1, input.rank() - 1)?, pass)?;
        self.head.forward(&ops::tanh(&hidden, pass.precision)?, pass)
    }

    fn head(&self) -> &str {
        "head"
    }
}
