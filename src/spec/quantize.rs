//! The `quantize` kind: a trained model with whole numbers of eight bits for weights.

use std::num::NonZeroU32;
use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::{ChoiceOptions, Named};
use super::diagnostic::Diagnostic;
use super::evaluate::SplitName;
use super::kinds::{Accepts, Input, StageKind};
use super::mistake::{Mistake, placed};
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::task_check::{gate_mistake, missing_split};
use super::values::{Percentage, Probability};
use crate::metric::MetricTable;

/// Rounds the weights of a trained model to whole numbers of eight bits, and what goes into its convolutions and fully
/// connected layers to bytes, in steps that samples give. Embeddings and the layer over a vocabulary stay as they are. The
/// result is a model: `evaluate`, `predict`, `serve`, `generate` and `export` with the format `onnx` take it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantize {
    /// A model made by `train` or `export`, or a folder with one.
    pub model: Reference,
    /// The samples whose values tell how far bytes must reach.
    pub calibrate: CalibrationSamples,
    /// How far bytes reach. By default `{percentile: 99.999}`.
    #[serde(default)]
    pub ranges: RangeRule,
    /// Layers that stay as they are, by their names as PyTorch has them, such as `fc` or `layer4.*`.
    #[serde(default)]
    pub keep: Vec<String>,
    /// How alike the model and the quantized one must be: otherwise the stage fails and names the layers that lose most.
    #[serde(default)]
    pub gate: Option<QuantizationGate>,
}

/// The samples that a quantization is calibrated with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrationSamples {
    /// A dataset made by `preprocess`.
    pub data: Reference,
    /// The split.
    #[serde(default = "CalibrationSamples::usual_split")]
    pub split: SplitName,
    /// How many samples, spread evenly over the split; of a smaller one, all. 512 by default. Of documents that are packed
    /// into rows, as for language models, a sample is a row of 512 tokens at most.
    #[serde(default = "CalibrationSamples::usual_count")]
    pub samples: NonZeroU32,
}

impl CalibrationSamples {
    fn usual_split() -> SplitName {
        SplitName::Train
    }

    fn usual_count() -> NonZeroU32 {
        NonZeroU32::MIN.saturating_add(511)
    }
}

/// How far the bytes of a tensor reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RangeRule {
    /// From the smallest to the largest value.
    MinMax,
    /// As far as makes the distribution of the bytes most like that of the values.
    Entropy,
    /// So that so many percent of the values lie under the upper end, and as many over the lower one: over 50, up to 100.
    Percentile(Percentage),
}

impl Default for RangeRule {
    fn default() -> Self {
        Self::Percentile(Percentage::new(99.999).unwrap_or(Percentage::MOST))
    }
}

/// What a quantized model must reach beside the model that it was made from, on the same samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuantizationGate {
    /// A dataset made by `preprocess`.
    pub data: Reference,
    /// The split.
    #[serde(default = "QuantizationGate::usual_split")]
    pub split: SplitName,
    /// The least agreement of the two: the share of samples with the same class, where words have classes the mean over
    /// texts of the share of words; of labels that apply to both or to
    /// neither; of numbers, 1 less the mean squared difference in units of the targets' variance in training.
    #[serde(default)]
    pub agreement: Option<Probability>,
    /// By how much the accuracy may fall; of numbers, the coefficient of determination, with the targets' variance in
    /// training.
    #[serde(default)]
    pub drop: Option<Probability>,
}

impl QuantizationGate {
    fn usual_split() -> SplitName {
        SplitName::Val
    }
}

impl Named for Quantize {
    const NAME: &'static str = "quantize";
}

impl Quantize {
    /// The figures that a stage with a gate reports beside those of every one.
    pub const COMPARED: [&str; 6] = [
        "agreement",
        "score",
        "score_f32",
        "score_drop",
        "score_drop_low",
        "score_drop_high",
    ];
    /// The figures that every stage reports.
    pub const ALWAYS: [&str; 3] = ["quantized_layers", "weight_bytes", "weight_bytes_f32"];
}

/// Version 2: rows of documents have 512 tokens at most, and what stays is computed in f32 by whoever asks the model, the
/// layer over a vocabulary too.
impl StageKind for Quantize {
    fn version(&self) -> u32 {
        2
    }

    fn inputs(&self) -> Vec<Input> {
        let nested = |role: &str, reference: &Reference| Input {
            role: role.to_owned(),
            path: vec![role.to_owned(), "data".to_owned()],
            reference: reference.clone(),
        };
        [
            Input::field("model", &self.model),
            nested("calibrate", &self.calibrate.data),
        ]
        .into_iter()
        .chain(self.gate.iter().map(|gate| nested("gate", &gate.data)))
        .collect()
    }

    fn accepts(&self, role: &str) -> Accepts {
        match role {
            "model" => Accepts::stages_or_files(&["train", "export", "download", "command"]),
            _ => Accepts::stages(&["preprocess", "command"]),
        }
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["model"]
    }

    /// All but where samples come from, which is in the key by its content.
    fn key_fields(&self) -> serde_json::Value {
        let mut fields = super::kinds::keyed(self.to_json(), self.unkeyed_fields());
        for part in ["calibrate", "gate"] {
            if let Some(serde_json::Value::Object(part)) = fields.get_mut(part) {
                part.remove("data");
            }
        }
        fields
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        let compared = self.gate.iter().flat_map(|_| Self::COMPARED);
        Some(
            Self::ALWAYS
                .into_iter()
                .chain(compared)
                .map(str::to_owned)
                .collect(),
        )
    }

    fn mistakes(
        &self,
        stages: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        let Self { calibrate, gate, .. } = self;
        mistakes.extend(missing_split(
            stages,
            &calibrate.data,
            calibrate.split,
            "calibrate",
        ));
        if let Some(gate) = gate {
            mistakes.extend(missing_split(stages, &gate.data, gate.split, "gate"));
            mistakes.extend(gate_mistake(stages, &self.model));
        }
        if let Some(gate) = &self.gate
            && gate.agreement.is_none()
            && gate.drop.is_none()
        {
            let message = "the gate asks for nothing: it has neither `agreement` nor `drop`";
            mistakes.push(Mistake::new(["gate"], message).help("add `agreement: 0.99`, or `drop: 0.01`"));
        }
        for (index, pattern) in self.keep.iter().enumerate() {
            if pattern.trim().is_empty() {
                let path = ["keep".to_owned(), index.to_string()];
                mistakes.push(Mistake::new(path, "it is empty").help("name a layer, such as `fc`"));
            }
        }
        placed(&[], mistakes, place)
    }
}

impl QuantizationGate {
    /// What is told of a gate that figures do not pass.
    pub fn failure(&self, agreement: f64, drop: f64) -> Option<String> {
        let mut failed = Vec::new();
        if let Some(least) = self
            .agreement
            .filter(|least| agreement.is_nan() || agreement < least.get())
        {
            failed.push(format!("the agreement is {agreement}, under {}", least.get()));
        }
        if let Some(most) = self.drop.filter(|most| drop.is_nan() || drop > most.get()) {
            failed.push(format!("the score falls by {drop}, more than {}", most.get()));
        }
        (!failed.is_empty()).then(|| failed.join(", and "))
    }
}
