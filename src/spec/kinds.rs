//! The kinds of stages: what each takes in, what of it is part of a stage's key, and what it needs.

use std::sync::Arc;

use indexmap::IndexMap;
use miette::SourceSpan;
use serde_json::Value;

use super::choice::{ChoiceList, ChoiceOptions, choice};
use super::diagnostic::Diagnostic;
use super::{Reference, StageSpec};
use crate::metric::MetricTable;

/// What a stage does: the options of a kind.
///
/// What runs it stands elsewhere; this is all that reading, planning and scheduling know of a kind.
pub trait StageKind: ChoiceOptions {
    /// The version of what the kind does. Raising it makes every earlier result of the kind stale; do
    /// it when the same fields and inputs give other bytes than before, and say why in the
    /// documentation of the kind's own implementation.
    fn version(&self) -> u32 {
        1
    }

    /// What the stage takes in.
    fn inputs(&self) -> Vec<Input>;

    /// What may be given as the input `role`.
    fn accepts(&self, role: &str) -> Accepts;

    /// The kinds that it can stand in for where one of them is asked for, since it makes what they
    /// make.
    fn stands_in_for(&self) -> &'static [&'static str] {
        &[]
    }

    /// The fields that are no part of the key: inputs, which are in it by their contents, and what
    /// changes nothing about the output.
    fn unkeyed_fields(&self) -> &'static [&'static str];

    /// The fields that the output depends on, beside the inputs' contents, with every default
    /// filled in.
    ///
    /// # Panics
    /// The options hold what JSON cannot: a mistake in the kind, which must not pass for a key.
    fn key_fields(&self) -> Value {
        keyed(self.to_json(), self.unkeyed_fields())
    }

    /// Whether it draws random numbers, so that the seed is part of its key.
    fn draws(&self) -> bool {
        false
    }

    /// Whether it computes enough to deserve a process and all processor cores of its own.
    fn is_heavy(&self) -> bool {
        true
    }

    /// Whether it computes on a graphics processor where there is one.
    fn takes_gpu(&self) -> bool {
        false
    }

    /// Whether what a try had done by the time it was interrupted is of use to the next one.
    fn keeps_unfinished(&self) -> bool {
        self.epochs().is_some()
    }

    /// Whether it runs a foreign program, which may write beside its inputs: then the project's own files are laid
    /// out as copies, as far as they are small.
    fn lays_out_files(&self) -> bool {
        false
    }

    /// The epochs that it goes through, where it can pause after each of them and go on later.
    fn epochs(&self) -> Option<u32> {
        None
    }

    /// How long it is in whatever its options measure it in, such as steps; by default in epochs. Of two stages that are
    /// equal but for their lengths, the longer one has the larger length.
    fn length(&self) -> Option<u32> {
        self.epochs()
    }

    /// The fields that the output depends on but for the number of epochs, where what more epochs give
    /// begins, bit for bit, with what fewer give, so that the one can go on where the other ended; else why
    /// it does not. Nothing for kinds that go through no epochs.
    fn fields_of_any_length(&self) -> Option<Result<Value, String>> {
        None
    }

    /// The environment variables that hold its secrets.
    fn secrets(&self) -> Vec<&str> {
        Vec::new()
    }

    /// What changes where its work comes from and not what comes out, as text; empty where nothing
    /// does.
    fn sources(&self) -> String {
        String::new()
    }

    /// The names of the metrics that the stage will report, where they are known beforehand; `known` is
    /// what is known of metrics.
    fn metrics(&self, known: &MetricTable) -> Option<Vec<String>>;

    /// Adds to `known` what the options say of the metrics of their stage, which is called `stage`.
    fn describe_metrics(
        &self,
        stage: &str,
        stages: &IndexMap<String, Arc<StageSpec>>,
        known: &mut MetricTable,
    ) {
        let _ = (stage, stages, known);
    }

    /// What its fields' types do not tell to be wrong, among the pipeline's `stages`; `place` finds a
    /// path within the options in the file.
    fn mistakes(
        &self,
        stages: &IndexMap<String, Arc<StageSpec>>,
        place: &dyn Fn(&[&str]) -> SourceSpan,
    ) -> Vec<Diagnostic> {
        let _ = (stages, place);
        Vec::new()
    }
}

/// Options without the `unkeyed` ones.
pub(super) fn keyed(options: serde_json::Result<Value>, unkeyed: &[&str]) -> Value {
    let mut fields = options.expect("options serialise to JSON");
    if let Value::Object(fields) = &mut fields {
        fields.retain(|name, _| !unkeyed.contains(&name.as_str()));
    }
    fields
}

choice!("What a stage does.", Kind of StageKind in kinds);

/// An input of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// What the stage calls it: `data`, `model`, a command's variable.
    pub role: String,
    /// Where it stands in the kind's fields.
    pub path: Vec<String>,
    /// What is referred to.
    pub reference: Reference,
}

impl Input {
    /// The input that the field `name` refers to.
    pub fn field(name: &str, reference: &Reference) -> Self {
        Self {
            role: name.to_owned(),
            path: vec![name.to_owned()],
            reference: reference.clone(),
        }
    }
}

/// What may be given as an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// The kinds of stages; nothing means any.
    pub kinds: Option<&'static [&'static str]>,
    /// Whether a file of the project may be.
    pub files: bool,
}

impl Accepts {
    /// Anything.
    pub const ANY: Self = Self {
        kinds: None,
        files: true,
    };

    /// Stages of such kinds.
    pub fn stages(kinds: &'static [&'static str]) -> Self {
        Self {
            kinds: Some(kinds),
            files: false,
        }
    }

    /// Stages of such kinds, and files of the project.
    pub fn stages_or_files(kinds: &'static [&'static str]) -> Self {
        Self {
            kinds: Some(kinds),
            files: true,
        }
    }
}

/// The kinds of this crate, in the order in which users are told of them. `$each` is a macro that is handed their
/// types: whatever is done with all of them follows from this list.
macro_rules! built_in_kinds {
    ($each:ident) => {
        $each! {
            $crate::spec::Download,
            $crate::spec::Tokenizer,
            $crate::spec::Preprocess,
            $crate::spec::Train,
            $crate::spec::Quantize,
            $crate::spec::Evaluate,
            $crate::spec::Predict,
            $crate::spec::Generate,
            $crate::spec::Export,
            $crate::spec::Command,
        }
    };
}

#[cfg(feature = "full")]
pub(crate) use built_in_kinds;

/// The list of them.
pub(super) fn built_in() -> ChoiceList<dyn StageKind> {
    macro_rules! listed {
        ($($entry:path,)*) => { ChoiceList::<dyn StageKind>::new()$(.with::<$entry>())* };
    }
    built_in_kinds!(listed)
}
