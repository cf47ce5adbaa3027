//! Which stage of a run an event is about.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// A stage of a run: one of the pipeline, or in a sweep a trial's (and its replicate's) own.
///
/// It is shown as `model`, `model@3` or `model@3.2`, and never read from that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Fields", into = "Fields")]
pub struct StageId {
    stage: Arc<str>,
    trial: Option<u32>,
    replicate: Option<u32>,
}

impl StageId {
    /// A stage of the pipeline that belongs to no trial: there is no sweep, or all trials share it.
    pub fn shared(stage: &str) -> Self {
        Self {
            stage: stage.into(),
            trial: None,
            replicate: None,
        }
    }

    /// A trial's own stage, and where its replicates differ, a replicate's. Both are counted from 1.
    pub fn of_trial(stage: &str, trial: u32, replicate: Option<u32>) -> Self {
        Self {
            stage: stage.into(),
            trial: Some(trial),
            replicate,
        }
    }

    /// The stage's name in the pipeline.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// The trial whose own it is, from 1.
    pub fn trial(&self) -> Option<u32> {
        self.trial
    }

    /// The replicate of the trial whose own it is, from 1.
    pub fn replicate(&self) -> Option<u32> {
        self.replicate
    }
}

impl Display for StageId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stage)?;
        if let Some(trial) = self.trial {
            write!(f, "@{trial}")?;
        }
        if let Some(replicate) = self.replicate {
            write!(f, ".{replicate}")?;
        }
        Ok(())
    }
}

impl From<&str> for StageId {
    fn from(stage: &str) -> Self {
        Self::shared(stage)
    }
}

/// How it stands among the fields of an event.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Fields {
    /// The stage as it is shown, unlike any other of the run: its name, and behind it the trial and the
    /// replicate whose own it is, such as `model@3.2`.
    stage: String,
    /// The stage's name in the pipeline, where it is a trial's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The trial whose own it is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<u32>,
    /// The replicate of that trial whose own it is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replicate: Option<u32>,
}

impl From<StageId> for Fields {
    fn from(id: StageId) -> Self {
        Self {
            stage: id.to_string(),
            name: id.trial.map(|_| id.stage.as_ref().to_owned()),
            trial: id.trial,
            replicate: id.replicate,
        }
    }
}

impl From<Fields> for StageId {
    fn from(fields: Fields) -> Self {
        Self {
            stage: fields.name.unwrap_or(fields.stage).into(),
            trial: fields.trial,
            replicate: fields.replicate,
        }
    }
}

impl JsonSchema for StageId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Fields::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Fields::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn shown_as_one_word_and_read_by_its_fields() {
        for (id, shown, json) in [
            (
                StageId::shared("model-a"),
                "model-a",
                r#"{"event":"stage_waiting","stage":"model-a"}"#,
            ),
            (
                StageId::of_trial("model-a", 13, None),
                "model-a@13",
                r#"{"event":"stage_waiting","stage":"model-a@13","name":"model-a","trial":13}"#,
            ),
            (
                StageId::of_trial("model@a", 13, Some(2)),
                "model@a@13.2",
                r#"{"event":"stage_waiting","stage":"model@a@13.2","name":"model@a","trial":13,"replicate":2}"#,
            ),
        ] {
            assert_eq!(id.to_string(), shown);
            let event = Event::StageWaiting { stage: id };
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
            assert_eq!(serde_json::from_str::<Event>(json).unwrap(), event);
        }
    }
}
