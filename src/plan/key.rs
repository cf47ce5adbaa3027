//! The key of a stage's result, and the recipe that stands in for it before inputs are known.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fingerprint::{Digest, Fingerprint, write_canonical, write_text};
use crate::spec::{Kind, StageSpec};

/// All that a stage's result depends on. Two stages with equal keys have equal results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageKey {
    /// What the stage does, such as `train`.
    pub kind: String,
    /// The version of what the kind does.
    pub version: u32,
    /// The fields that affect the output, with parameters and defaults filled in.
    pub fields: Value,
    /// The seed, where the stage draws random numbers or its fields speak of it.
    pub seed: Option<u64>,
    /// The digest of every input's content, by role.
    pub inputs: BTreeMap<String, Digest>,
}

impl StageKey {
    /// The key of `stage` over inputs with the given contents.
    pub fn new(stage: &StageSpec, seed: u64, inputs: BTreeMap<String, Digest>) -> Self {
        let kind = &stage.kind;
        Self {
            kind: kind.name().to_owned(),
            version: kind.version(),
            fields: kind.key_fields(),
            seed: stage.draws().then_some(seed),
            inputs,
        }
    }

    /// What keys of kept checkpoints name as their kind.
    pub const CHECKPOINT: &str = "checkpoint";

    /// The key under which the last checkpoint of a stage of `kind` is kept, which stages share that are equal
    /// but for the number of their epochs; or why such stages do not go on from each other. Nothing for kinds
    /// that go through no epochs.
    pub fn of_any_length(&self, kind: &Kind) -> Option<Result<Self, String>> {
        let key = |fields| Self {
            kind: Self::CHECKPOINT.to_owned(),
            fields: serde_json::json!({ &self.kind: fields }),
            ..self.clone()
        };
        Some(kind.fields_of_any_length()?.map(key))
    }

    /// The digest under which the result is kept.
    pub fn fingerprint(&self) -> Fingerprint {
        Digest::of_canonical("stage key", &self.canonical())
    }

    /// The key's canonical JSON, without the detour over a tree of values.
    fn canonical(&self) -> String {
        let mut out = String::with_capacity(512);
        out.push_str("{\"fields\":");
        write_canonical(&self.fields, &mut out);
        out.push_str(",\"inputs\":{");
        for (index, (role, digest)) in self.inputs.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_text(role, &mut out);
            let _ = write!(out, ":\"{digest}\"");
        }
        out.push_str("},\"kind\":");
        write_text(&self.kind, &mut out);
        out.push_str(",\"seed\":");
        match self.seed {
            Some(seed) => drop(write!(out, "{seed}")),
            None => out.push_str("null"),
        }
        let _ = write!(out, ",\"version\":{}}}", self.version);
        out
    }
}

/// What takes the place of an input's content in a recipe.
#[derive(Clone, Debug)]
pub(super) enum RecipeInput {
    /// A stage, by its own recipe.
    Stage { recipe: Digest, path: Option<String> },
    /// A project file, by its content.
    File(Digest),
}

/// The digest of a stage's recipe: like its key, but with upstream recipes in place of contents.
/// Known before anything runs. `after` is part of it, as it is part of what will happen. `key` is the digest of the
/// stage's, without inputs.
pub(super) fn recipe(key: &Fingerprint, inputs: &BTreeMap<&str, RecipeInput>, after: &[Digest]) -> Digest {
    let mut text = String::with_capacity(512);
    let _ = write!(text, "[\"{key}\"");
    for (role, input) in inputs {
        text.push_str(",[");
        write_text(role, &mut text);
        let _ = match input {
            RecipeInput::Stage { recipe, .. } => write!(text, ",\"stage\",\"{recipe}\""),
            RecipeInput::File(digest) => write!(text, ",\"file\",\"{digest}\""),
        };
        if let RecipeInput::Stage { path: Some(path), .. } = input {
            text.push(',');
            write_text(path, &mut text);
        }
        text.push(']');
    }
    for recipe in after {
        let _ = write!(text, ",\"{recipe}\"");
    }
    text.push(']');
    Digest::of_canonical("recipe", &text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::spec::Pipeline;

    fn key(yaml: &str, seed: u64) -> StageKey {
        let source = format!("stages:\n  d:\n    preprocess: {{input: ./x, format: csv}}\n  s:\n{yaml}\n");
        let pipeline = Pipeline::parse(Path::new("p.yaml"), &source, &[]).unwrap();
        StageKey::new(&pipeline.stages["s"], seed, BTreeMap::new())
    }

    const TRAIN: &str =
        "    train: {data: d, model: mlp, epochs: 2, batch_size: 4, optimizer: {sgd: {lr: 0.1}}}";

    #[test]
    fn only_what_affects_the_output_is_in_the_key() {
        let base = key(TRAIN, 0);
        let spelt_out = "    description: words\n    resources: {cpus: 1}\n    retries: 3\n    train:\n      \
                         optimizer: {sgd: {lr: 0.1, momentum: 0, nesterov: false}}\n      checkpoint: {every: 7}\n      \
                         model: {mlp: {hidden: [128]}}\n      batch_size: 4\n      epochs: 2\n      data: d\n";
        assert_eq!(base.fingerprint(), key(spelt_out, 0).fingerprint());
        assert_ne!(base.fingerprint(), key(TRAIN, 1).fingerprint());
        assert_ne!(
            base.fingerprint(),
            key(&TRAIN.replace("0.1", "0.2"), 0).fingerprint()
        );
        assert_ne!(
            base.fingerprint(),
            key(&TRAIN.replace("mlp", "conv_net"), 0).fingerprint()
        );
    }

    #[test]
    fn the_seed_matters_only_where_it_is_used() {
        let command = "    command: {run: echo}";
        assert_eq!(key(command, 0).fingerprint(), key(command, 1).fingerprint());
        let draws = "    command: {run: echo, draws: true}";
        assert_ne!(key(draws, 0).fingerprint(), key(draws, 1).fingerprint());
        assert_ne!(key(draws, 0).fingerprint(), key(command, 0).fingerprint());
        // Written out, the seed is only a number: no variable tells it.
        let (named, written) = (
            "    command: {run: 'echo ${seed}'}",
            "    command: {run: 'echo 0'}",
        );
        assert_ne!(key(named, 0).fingerprint(), key(written, 0).fingerprint());
    }

    proptest! {
        /// A key that went through its JSON text has the same fingerprint.
        #[test]
        fn fingerprints_survive_json(lr in 1e-9f64..1e3, epochs in 1u32..1000, seed: u64) {
            let text = TRAIN.replace("0.1", &format!("{lr:?}")).replace("epochs: 2", &format!("epochs: {epochs}"));
            let key = key(&text, seed);
            let back: StageKey = serde_json::from_str(&serde_json::to_string(&key).unwrap()).unwrap();
            prop_assert_eq!(key.fingerprint(), back.fingerprint());
        }

        /// The short way to the canonical text gives what the long way does.
        #[test]
        fn fingerprints_are_those_of_the_canonical_value(
            kind in ".*", text in ".*", role in ".*", number: f64, seed: Option<u64>,
        ) {
            let digest = Digest::of_bytes(text.as_bytes());
            let key = StageKey {
                kind,
                version: 7,
                fields: serde_json::json!({"b": [text, number, null], "a": {"y": true, role.as_str(): -1}}),
                seed,
                inputs: BTreeMap::from([(role, digest), ("data".to_owned(), digest)]),
            };
            prop_assert_eq!(key.fingerprint(), Digest::of_value("stage key", &key));
        }
    }

    #[test]
    fn a_model_that_is_there_counts_by_its_content_and_what_is_asked_of_it_by_itself() {
        let stage = |model: &str| {
            let source = format!(
                "stages:\n  d: {{command: {{run: make, outputs: [o]}}}}\n  m: {{train: {{data: d, model: {{pretrained: \
                 {model}}}, epochs: 1, optimizer: {{sgd: {{lr: 0.1}}}}}}}}\n"
            );
            Pipeline::parse(Path::new("p.yaml"), &source, &[]).unwrap().stages["m"].clone()
        };
        let key = |model: &str| StageKey::new(&stage(model), 0, BTreeMap::new()).fingerprint();
        let one = key("{from: ./a}");
        assert_eq!(one, key("{from: /elsewhere/b}"));
        assert_ne!(one, key("{from: ./a, head: tokens}"));
        assert_ne!(one, key("{from: ./a, tied: true}"));
        let inputs = stage("{from: ./a}").kind.inputs();
        assert_eq!((inputs.len(), inputs[1].role.as_str()), (2, "pretrained"));
        assert_eq!(inputs[1].path, ["model", "pretrained", "from"]);
    }
}
