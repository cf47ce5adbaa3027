//! The `export` kind: a model in a form that other programs read.

use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choice::Named;
use super::diagnostic::Diagnostic;
use super::export_formats::ExportFormat;
use super::kinds::{Accepts, Input, StageKind};
use super::mistake::placed;
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::{Quantize, Train};
use crate::metric::MetricTable;

/// Writes a trained model for use elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// A model made by `train`; for the formats `huggingface` and `onnx` a folder too that a Hugging Face program has
    /// written, and for `onnx` a model made by `quantize`.
    pub model: Reference,
    /// Stages whose metrics belong on the model's card.
    #[serde(default)]
    pub metrics: Vec<Reference>,
    /// The file format.
    #[serde(default)]
    pub format: ExportFormat,
}

impl Named for Export {
    const NAME: &'static str = "export";
}

/// Version 2: the card tells the inputs by name, the task, the loss and the batch size. Version 3, of `huggingface` and
/// `peft`: heads that give numbers give them in the units of the targets, and tokenizers tell the length of the training.
impl StageKind for Export {
    fn version(&self) -> u32 {
        match self.format.name() {
            "huggingface" | "peft" => 3,
            _ => 2,
        }
    }

    fn inputs(&self) -> Vec<Input> {
        let metrics = self.metrics.iter().enumerate().map(|(index, reference)| Input {
            role: format!("metrics.{}", reference.to_string().replace('/', ".")),
            path: vec!["metrics".to_owned(), index.to_string()],
            reference: reference.clone(),
        });
        std::iter::once(Input::field("model", &self.model))
            .chain(metrics)
            .collect()
    }

    fn accepts(&self, role: &str) -> Accepts {
        match role {
            "model" if self.format.takes_folders() => {
                Accepts::stages_or_files(&["train", "quantize", "export", "download", "command"])
            }
            "model" => Accepts::stages(&["train", "quantize", "command"]),
            _ => Accepts::stages(&["evaluate", "train", "quantize", "command"]),
        }
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["model", "metrics"]
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        Some(Vec::new())
    }

    fn mistakes(
        &self,
        stages: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let stage = self.model.stage().and_then(|stage| stages.get(stage));
        let train = stage.and_then(|stage| stage.kind.options::<Train>());
        let of_model = train.and_then(|train| self.format.model_mistake(train));
        let mut mistakes = placed(&["format", self.format.name()], self.format.mistakes(), place);
        if stage.is_some_and(|stage| stage.kind.options::<Quantize>().is_some()) {
            let of_quantized = self.format.quantized_mistake().into_iter().collect();
            mistakes.extend(placed(&["format", self.format.name()], of_quantized, place));
        }
        mistakes.extend(placed(&["model"], of_model.into_iter().collect(), place));
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::Pipeline;

    /// What is wrong with an export of a training, each as `TEXT AT ITS PLACE: MESSAGE`.
    fn told(train: &str, format: &str) -> Vec<String> {
        let source = format!(
            "stages:\n  d: {{command: {{run: make, outputs: [o]}}}}\n  m: {{train: {{data: d, epochs: 1, optimizer: {{sgd: \
             {{lr: 0.1}}}}, {train}}}}}\n  e: {{export: {{model: m, format: {format}}}}}\n"
        );
        let Err(error) = Pipeline::parse(Path::new("p.yaml"), &source, &[]) else {
            return Vec::new();
        };
        let tell = |mistake: &crate::spec::Diagnostic| {
            let span = mistake.span.expect("has a place");
            assert!(mistake.help.is_some());
            format!(
                "{}: {mistake}",
                &source[span.offset()..span.offset() + span.len()]
            )
        };
        error.mistakes.iter().map(tell).collect()
    }

    #[test]
    fn an_adapter_is_no_model_to_go_on_with() {
        let told = |stage: &str| {
            let source = format!(
                "stages:\n  d: {{command: {{run: make, outputs: [o]}}}}\n  m: {{train: {{data: d, model: {{pretrained: {{from: \
                 ./bert}}}}, lora: {{rank: 2}}, epochs: 1, optimizer: {{sgd: {{lr: 0.1}}}}}}}}\n  a: {{export: {{model: m, format: \
                 peft}}}}\n  w: {{export: {{model: m, format: huggingface}}}}\n  s: {{{stage}}}\n"
            );
            let error = Pipeline::parse(Path::new("p.yaml"), &source, &[]).err();
            let mistakes = error.into_iter().flat_map(|error| error.mistakes);
            let tell = |mistake: crate::spec::Diagnostic| {
                let span = mistake.span.expect("has a place");
                let text = &source[span.offset()..span.offset() + span.len()];
                format!(
                    "{text}: {} ({})",
                    mistake.message,
                    mistake.help.unwrap_or_default()
                )
            };
            mistakes.map(tell).collect::<Vec<String>>()
        };
        let train =
            |more: &str| format!("train: {{data: d, epochs: 1, optimizer: {{sgd: {{lr: 0.1}}}}, {more}}}");
        let kinds = [
            "evaluate: {model: MODEL, data: d}".to_owned(),
            "predict: {model: [MODEL, ./other], input: ./new}".to_owned(),
            "generate: {model: MODEL, prompts: [a]}".to_owned(),
            "export: {model: MODEL, format: huggingface}".to_owned(),
            train("model: {pretrained: {from: MODEL}}"),
            train("model: bert, init: {from: MODEL}"),
        ];
        for kind in kinds {
            let expected = "a: `a` writes low-rank changes (`peft`) without the model that they change (name `m`, of which it \
                            writes them, or export that by `format: huggingface`)";
            assert_eq!(told(&kind.replace("MODEL", "a")), [expected], "{kind}");
            assert_eq!(told(&kind.replace("MODEL", "w")), [""; 0], "{kind}");
        }
        // Whoever takes anything takes an adapter too.
        assert_eq!(told("command: {run: ls, inputs: {A: a}, outputs: [o]}"), [""; 0]);
    }

    #[test]
    fn what_a_format_cannot_hold_is_told_before_anything_is_trained() {
        let text = "model: {pretrained: {from: ./bert}}";
        let changed = format!("{text}, lora: {{rank: 2}}");
        for (train, format, expected) in [
            (
                text,
                "peft",
                vec![
                    "m: the training has no low-rank changes (`lora`), so there is nothing that `peft` could hold",
                ],
            ),
            (
                text,
                "{huggingface: {merge: false}}",
                vec![
                    "m: the training has no low-rank changes (`lora`), so there is nothing that could be left unmerged \
                     (`merge: false`)",
                ],
            ),
            (
                "model: mlp, lora: {rank: 2}, init: {from: ./w.pth}",
                "peft",
                vec![
                    "m: `peft` is a format for models of text that Hugging Face's programs know, and this is a `mlp`",
                ],
            ),
            (
                "model: mlp",
                "huggingface",
                vec![
                    "m: `huggingface` is a format for models of text that Hugging Face's programs know, and this is a \
                     `mlp`",
                ],
            ),
            (
                &changed,
                "{peft: {base: /home/me/bert}}",
                vec!["/home/me/bert: `/home/me/bert` is a path of this machine, which no other has"],
            ),
            (
                &changed,
                "{peft: {base: \"\"}}",
                vec!["\"\": it is empty, or has spaces around it"],
            ),
            (&changed, "{peft: {base: me/bert}}", vec![]),
            (&changed, "peft", vec![]),
            (&changed, "{huggingface: {merge: false}}", vec![]),
            (text, "{huggingface: {merge: true}}", vec![]),
        ] {
            assert_eq!(told(train, format), expected, "{train}, {format}");
        }
    }
}
