//! The `generate` kind: texts that a model goes on with.

mod prompt;

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
use super::mistake::{Mistake, placed};
use super::pipeline::StageSpec;
use super::reference::Reference;
use super::task_check::generation_mistake;
use super::train::Precision;
use super::values::{Positive, Probability, Share};
use crate::metric::MetricTable;

pub use prompt::{ChatTurn, Prompt};

/// Has a model of text go on with prompts: by the likeliest token each time, by draws (`sample`), or by a search
/// (`beams`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// A model with the head `causal`: made by `train` or `export`, a folder as Hugging Face's programs write it, or a
    /// GGUF file with a Llama.
    pub model: Reference,
    /// The tokenizer, where none stands beside the model: a stage of kind `tokenizer`, a folder, or a `tokenizer.json`.
    #[serde(default)]
    pub tokenizer: Option<Reference>,
    /// What is gone on with: texts, `{file: ./prompts.txt}` with one a line, or conversations that the model answers,
    /// `{messages: [{role: user, content: ...}]}`, by the template of the tokenizer's folder.
    pub prompts: Vec<Prompt>,
    /// The most tokens behind a prompt. Beyond the positions that the model has, it is shown the last ones alone, anew
    /// for each token.
    #[serde(default = "hundred")]
    pub tokens: NonZeroU32,
    /// So many tokens at least: what ends a text is not chosen before.
    #[serde(default)]
    pub min_tokens: u32,
    /// Texts a prompt.
    #[serde(default = "one")]
    pub count: NonZeroU32,
    /// Draws tokens by their probabilities.
    #[serde(default)]
    pub sample: Option<SampleOptions>,
    /// Searches for likely texts, so many at once, as transformers does with a length penalty of 1.
    #[serde(default)]
    pub beams: Option<NonZeroU32>,
    /// Scores of tokens that the text has already, the prompt included, are divided by it where they are over 0, else
    /// multiplied (Keskar et al., 2019).
    #[serde(default)]
    pub repetition_penalty: Option<Positive>,
    /// No so many tokens in a row occur twice.
    #[serde(default)]
    pub no_repeat_ngram: Option<NonZeroU32>,
    /// Texts that end it, which are cut off.
    #[serde(default)]
    pub stop: Vec<String>,
    /// The arithmetic of matrix products.
    #[serde(default)]
    pub precision: Precision,
    /// What the weights of fully connected layers are rounded to, and the values that they are multiplied with: `int8`,
    /// blocks of 32 whole numbers with a scale each (GGUF's `Q8_0`), a quarter of f32's bytes to read for each token, on
    /// the CPU. Without it they are as `precision` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<NarrowWeights>,
}

/// What weights are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NarrowWeights {
    /// Whole numbers of eight bits, in blocks of 32 with a scale each.
    Int8,
}

/// How tokens are drawn: of those that are left by all of these, in this order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleOptions {
    /// Scores are divided by it: under 1 likely tokens become likelier. 1 by default.
    #[serde(default)]
    pub temperature: Option<Positive>,
    /// The likeliest so many, and those as likely as the last of them.
    #[serde(default)]
    pub top_k: Option<NonZeroU32>,
    /// The likeliest that together have this probability (Holtzman et al., 2019).
    #[serde(default)]
    pub top_p: Option<Share>,
    /// Those that have this share of the likeliest one's probability.
    #[serde(default)]
    pub min_p: Option<Probability>,
}

impl Named for Generate {
    const NAME: &'static str = "generate";
}

impl StageKind for Generate {
    fn inputs(&self) -> Vec<Input> {
        let tokenizer = self.tokenizer.as_ref();
        let tokenizer = tokenizer.map(|reference| Input::field("tokenizer", reference));
        let prompts = self.prompts.iter().enumerate().filter_map(|(index, prompt)| {
            Some(Input {
                role: Self::prompt_role(index),
                path: vec!["prompts".to_owned(), index.to_string(), "file".to_owned()],
                reference: prompt.file()?.clone(),
            })
        });
        std::iter::once(Input::field("model", &self.model))
            .chain(tokenizer)
            .chain(prompts)
            .collect()
    }

    fn accepts(&self, role: &str) -> Accepts {
        match role {
            "model" => Accepts::stages_or_files(&["train", "quantize", "export", "download", "command"]),
            "tokenizer" => Accepts::stages_or_files(&["tokenizer", "download", "command"]),
            _ => Accepts::stages_or_files(&["download", "command"]),
        }
    }

    fn unkeyed_fields(&self) -> &'static [&'static str] {
        &["model", "tokenizer"]
    }

    /// Files of prompts count by their content, as other inputs do.
    fn key_fields(&self) -> Value {
        let mut fields = keyed(self.to_json(), self.unkeyed_fields());
        let prompts = fields.get_mut("prompts").and_then(Value::as_array_mut);
        for prompt in prompts.into_iter().flatten() {
            if let Some(file) = prompt.get_mut("file") {
                *file = Value::Null;
            }
        }
        fields
    }

    fn draws(&self) -> bool {
        self.sample.is_some()
    }

    fn takes_gpu(&self) -> bool {
        true
    }

    fn metrics(&self, _: &MetricTable) -> Option<Vec<String>> {
        Some(["samples", "tokens"].map(str::to_owned).into())
    }

    fn mistakes(
        &self,
        stages: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let mut mistakes = self.contradictions();
        mistakes.extend(generation_mistake(stages, &self.model));
        placed(&[], mistakes, place)
    }
}

impl Generate {
    /// What the stage calls the file of the prompt `index`.
    pub fn prompt_role(index: usize) -> String {
        format!("prompts.{index}")
    }

    fn contradictions(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if self.prompts.is_empty() {
            mistakes.push(
                Mistake::new(["prompts"], "there is nothing to go on with")
                    .help("give at least one text, such as `prompts: [\"Once upon a time\"]`"),
            );
        }
        if self.sample.is_some() && self.beams.is_some() {
            mistakes.push(
                Mistake::new(
                    ["beams"],
                    "tokens are drawn (`sample`) and searched for (`beams`) at once",
                )
                .help("leave one of them out"),
            );
        }
        let count = self.count.get();
        let possible = match (&self.sample, self.beams) {
            (Some(_), _) => u32::MAX,
            (None, beams) => beams.map_or(1, NonZeroU32::get),
        };
        if count > possible {
            let (message, help) = match self.beams {
                Some(beams) => (
                    format!("{beams} beams do not give {count} texts"),
                    "ask for no more texts than beams",
                ),
                None => (
                    "nothing is drawn, so all texts would be the same".to_owned(),
                    "add `sample`, such as `sample: {temperature: 0.8}`, or `beams`",
                ),
            };
            mistakes.push(Mistake::new(["count"], message).help(help));
        }
        if self.min_tokens > self.tokens.get() {
            let message = format!("{} tokens at least and {} at most", self.min_tokens, self.tokens);
            mistakes.push(Mistake::new(["min_tokens"], message).help("make `tokens` larger"));
        }
        for (index, stop) in self.stop.iter().enumerate() {
            if stop.is_empty() {
                let path = ["stop".to_owned(), index.to_string()];
                mistakes.push(
                    Mistake::new(path, "an empty text ends everything").help("remove it, or name a text"),
                );
            }
        }
        mistakes
    }
}

fn hundred() -> NonZeroU32 {
    NonZeroU32::new(100).unwrap_or(NonZeroU32::MIN)
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(more: Value) -> Generate {
        let mut fields = json!({"model": "./m", "prompts": ["a"]});
        for (key, value) in more.as_object().expect("a mapping") {
            fields[key] = value.clone();
        }
        serde_json::from_value(fields).expect("valid")
    }

    #[test]
    fn contradictions_are_told() {
        for (more, expected) in [
            (json!({"prompts": []}), "prompts: there is nothing to go on with"),
            (json!({"sample": {}, "beams": 2}), "beams: tokens are drawn"),
            (json!({"count": 2}), "count: nothing is drawn"),
            (
                json!({"count": 3, "beams": 2}),
                "count: 2 beams do not give 3 texts",
            ),
            (
                json!({"min_tokens": 9, "tokens": 8}),
                "min_tokens: 9 tokens at least and 8 at most",
            ),
            (json!({"stop": ["a", ""]}), "stop.1: an empty text"),
        ] {
            let told = options(more).contradictions();
            let told: Vec<String> = told
                .iter()
                .map(|mistake| format!("{}: {}", mistake.path.join("."), mistake.message))
                .collect();
            assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
        }
        for fine in [
            json!({}),
            json!({"count": 4, "sample": {"top_k": 3}}),
            json!({"count": 2, "beams": 2}),
        ] {
            assert!(options(fine).contradictions().is_empty());
        }
    }

    #[test]
    fn models_that_do_not_go_on_with_texts_are_told() {
        let told = |data: &str, train: &str, model: &str| {
            let source = format!(
                "stages:\n  d: {data}\n  m: {{train: {{data: d, epochs: 1, optimizer: {{sgd: {{lr: 0.1}}}}, {train}}}}}\n  \
                 e: {{export: {{model: m, format: huggingface}}}}\n  s: {{export: {{model: m}}}}\n  g: {{generate: \
                 {{model: {model}, prompts: [a]}}}}\n"
            );
            let found = crate::spec::Pipeline::parse(std::path::Path::new("p.yaml"), &source, &[]).err();
            let mistakes = found.into_iter().flat_map(|error| error.mistakes);
            // What is wrong with the training or the export itself is none of this.
            let own = mistakes.filter(|mistake| mistake.message.contains("goes on with texts"));
            let tell = |mistake: Diagnostic| {
                let span = mistake.span.expect("has a place");
                let text = &source[span.offset()..span.offset() + span.len()];
                format!(
                    "{text}: {} ({})",
                    mistake.message,
                    mistake.help.expect("has advice")
                )
            };
            own.map(tell).collect::<Vec<String>>().join("; ")
        };
        let texts = |label: &str| {
            format!(
                "{{preprocess: {{input: ./x, format: {{text: {{documents: {{jsonl: {{{label}}}}}, tokenizer: ./t}}}}}}}}"
            )
        };
        let command = "{command: {run: make, outputs: [o]}}";
        let (documents, classes) = (texts("text: text"), texts("label: y"));
        let help = "(name a training of `gpt2` or `llama` on documents without a label)";
        let head = |name: &str, head: &str| {
            format!(
                "{name}: the head of `{name}` is `{head}`, and only a model with the head `causal` goes on with texts {help}"
            )
        };
        for (data, train, model, expected) in [
            (
                command,
                "model: mlp",
                "m",
                format!("m: `m` is a `mlp`, and only a model of text goes on with texts {help}"),
            ),
            (
                command,
                "model: resnet18",
                "s",
                format!("s: `s` is a `resnet18`, and only a model of text goes on with texts {help}"),
            ),
            (&documents, "model: bert", "m", head("m", "masked")),
            (command, "model: bert", "e", head("e", "masked")),
            (
                command,
                "model: {bert: {head: classification}}",
                "m",
                head("m", "classification"),
            ),
            (&classes, "model: gpt2", "e", head("e", "classification")),
            (
                &classes,
                "model: {pretrained: {from: ./x}}",
                "m",
                head("m", "classification"),
            ),
            (
                command,
                "model: {pretrained: {from: ./x, head: tokens}}",
                "m",
                head("m", "tokens"),
            ),
            (
                command,
                "model: {pretrained: {from: ./x}}, task: masked_token",
                "m",
                head("m", "masked"),
            ),
            // What only the folder or the data tells.
            (&documents, "model: {pretrained: {from: ./x}}", "m", String::new()),
            (command, "model: {pretrained: {from: ./x}}", "m", String::new()),
            (command, "model: gpt2", "m", String::new()),
            (&documents, "model: llama", "e", String::new()),
            (&documents, "model: llama", "./folder", String::new()),
        ] {
            assert_eq!(told(data, train, model), expected, "{data} {train}");
        }
    }

    #[test]
    fn files_of_prompts_count_by_their_content() {
        let of = |file: &str| options(json!({"prompts": ["a", {"file": file}]}));
        assert_eq!(of("./one.txt").key_fields(), of("./two.txt").key_fields());
        let inputs = of("./one.txt").inputs();
        assert_eq!((inputs.len(), inputs[1].role.as_str()), (2, "prompts.1"));
        assert_eq!(inputs[1].path, ["prompts", "1", "file"]);
        assert_ne!(of("./one.txt").key_fields(), options(json!({})).key_fields());
        assert!(!of("./one.txt").draws() && options(json!({"sample": {}})).draws());
    }
}
