//! Distillation: what a model learns from other ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::spec::kinds::Input;
use crate::spec::model_references::ModelReferences;
use crate::spec::values::{TeacherTemperature, UpToOne};

/// Knowledge distillation (Hinton, Vinyals and Dean, 2015): the loss becomes `(1 - weight) * own + weight * taught`, where
/// `own` is the loss of the recipe and `taught` says how far the model is from its teachers. Of classes it is `T^2 *
/// KL(softmax(teacher / T) || softmax(model / T))` with the temperature `T`, of numbers the squared distance, in the units
/// that the model is trained in; both are means over all samples, whatever `class_weights` and `ignore_index` say of them.
/// The teachers are shown what the model is shown, changed and mixed as that is, each normalised as it knows it. The loss
/// that is told of the training is the whole one; validation and evaluation report the loss of the recipe, as without
/// teachers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistillOptions {
    /// A model of the same classes or numbers, made by `train`, `quantize` or `export`, or a folder with one; of a list,
    /// the average of the models' probabilities or numbers is learnt from.
    pub teacher: ModelReferences,
    /// For classes: what both models' logits are divided by, from 0.0001 to 10000. A higher one tells more of the unlikely
    /// classes. 4 by default.
    #[serde(default)]
    pub temperature: Option<TeacherTemperature>,
    /// The share of the teachers in the loss: over 0, up to 1. 0.9 by default.
    #[serde(default = "DistillOptions::usual_weight")]
    pub weight: UpToOne,
}

/// What the stage calls its only teacher, and what the names of several begin with.
const ROLE: &str = "teacher";

impl DistillOptions {
    /// The temperature where none is given. It and [`DistillOptions::usual_weight`] are those of the comparisons of
    /// Zagoruyko and Komodakis (2017) and of Tian, Krishnan and Isola (2020).
    pub const USUAL_TEMPERATURE: f64 = 4.0;

    fn usual_weight() -> UpToOne {
        UpToOne::new(0.9).expect("0.9 is a share")
    }

    /// What the logits of classes are divided by.
    pub fn temperature(&self) -> f64 {
        self.temperature
            .map_or(Self::USUAL_TEMPERATURE, TeacherTemperature::get)
    }

    /// The teachers as inputs: `teacher`, or `teacher.0`, `teacher.1`, ...
    pub fn inputs(&self) -> impl Iterator<Item = Input> + '_ {
        self.teacher.inputs_as(ROLE, &["distill"])
    }

    /// Whether an input's role is that of a teacher.
    pub(super) fn is_role(role: &str) -> bool {
        ModelReferences::is_role_as(ROLE, role)
    }

    /// What of it is in the key of a stage: teachers count by their contents.
    pub(super) fn key_fields(&self) -> Value {
        json!({"temperature": self.temperature(), "weight": self.weight.get()})
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::spec::{Pipeline, StageSpec};

    fn stage(distill: &str) -> Result<std::sync::Arc<StageSpec>, String> {
        let source = format!(
            "stages:\n  d: {{command: {{run: make, outputs: [o]}}}}\n  t: {{train: {{data: d, model: mlp, epochs: 1, optimizer: \
             {{sgd: {{lr: 0.1}}}}}}}}\n  m: {{train: {{data: d, model: mlp, epochs: 1, optimizer: {{sgd: {{lr: 0.1}}}}{distill}}}}}\n"
        );
        match Pipeline::parse(Path::new("p.yaml"), &source, &[]) {
            Ok(pipeline) => Ok(pipeline.stages["m"].clone()),
            Err(error) => Err(error.mistakes.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn teachers_are_inputs_and_count_by_their_contents() {
        let roles = |distill: &str| {
            let inputs = stage(distill).unwrap().kind.inputs();
            let roles = inputs
                .iter()
                .map(|input| (input.role.clone(), input.path.join(".")));
            roles.collect::<Vec<_>>()
        };
        let pair = |role: &str, path: &str| (role.to_owned(), path.to_owned());
        assert_eq!(
            roles(", distill: {teacher: t}"),
            [pair("data", "data"), pair("teacher", "distill.teacher")]
        );
        assert_eq!(
            roles(", distill: {teacher: [t, ./other]}")[1..],
            [
                pair("teacher.0", "distill.teacher.0"),
                pair("teacher.1", "distill.teacher.1")
            ]
        );
        let key = |distill: &str| stage(distill).unwrap().kind.key_fields();
        let usual = key(", distill: {teacher: t}");
        assert_eq!(usual, key(", distill: {teacher: ./other}"));
        assert_eq!(usual, key(", distill: {teacher: t, temperature: 4, weight: 0.9}"));
        assert_ne!(usual, key(", distill: {teacher: t, temperature: 2}"));
        assert_ne!(usual, key(", distill: {teacher: t, weight: 1}"));
        assert_ne!(usual, key(""));
    }

    #[test]
    fn wrong_options_are_told() {
        for (distill, told) in [
            ("{teacher: t, weight: 0}", "0 is not over 0 and at most 1"),
            ("{teacher: t, weight: 1.5}", "1.5 is not over 0 and at most 1"),
            (
                "{teacher: t, temperature: 0}",
                "0 is not a temperature from 0.0001 to 10000",
            ),
            (
                "{teacher: t, temperature: 1e-5}",
                "is not a temperature from 0.0001 to 10000",
            ),
            (
                "{teacher: t, temperature: 1e10}",
                "10000000000 is not a temperature from 0.0001 to 10000",
            ),
            ("{weight: 0.5}", "teacher"),
            ("{teacher: []}", "the list is empty"),
            ("{teacher: d2}", "there is no stage `d2`"),
            ("{teacher: m}", "stages wait for each other: m → m"),
        ] {
            let error = stage(&format!(", distill: {distill}")).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
