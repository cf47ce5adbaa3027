//! What differs between two runs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::{MetricValue, Metrics};
use crate::plan::{Difference, StageKey, differences};
use crate::record::{RunRow, StageRow};

/// What differs between two runs.
#[derive(Debug, Serialize)]
pub struct RunComparison {
    /// The earlier run.
    pub old: i64,
    /// The later run.
    pub new: i64,
    /// Differing parameters.
    pub params: Vec<Difference>,
    /// The stages of both that differ, by name.
    pub stages: BTreeMap<String, StageComparison>,
    /// The stages of the earlier run alone.
    pub only_old: Vec<String>,
    /// The stages of the later run alone.
    pub only_new: Vec<String>,
    /// How many stages of both had the same key and figures.
    pub equal: usize,
}

/// What differs between a stage of two runs.
#[derive(Debug, Default, Serialize)]
pub struct StageComparison {
    /// Differing fields of the key, seed and kind among them.
    pub fields: Vec<Difference>,
    /// Differing inputs.
    pub inputs: Vec<Difference>,
    /// Differing figures, old and new.
    pub metrics: BTreeMap<String, [Option<MetricValue>; 2]>,
    /// Whether the results' bytes differ, where both are known.
    pub artifact: Option<bool>,
    /// Wall time in seconds, old and new, where it ran.
    pub seconds: [Option<f64>; 2],
}

impl RunComparison {
    /// Compares two runs.
    pub fn of(old: &RunRow, new: &RunRow) -> Self {
        let by_name = |run: &RunRow| -> BTreeMap<String, StageRow> {
            run.stages
                .iter()
                .map(|stage| (stage.stage.clone(), stage.clone()))
                .collect()
        };
        let (before, after) = (by_name(old), by_name(new));
        let missing = |from: &BTreeMap<String, StageRow>, of: &BTreeMap<String, StageRow>| {
            of.keys()
                .filter(|name| !from.contains_key(*name))
                .cloned()
                .collect()
        };
        let mut stages = BTreeMap::new();
        let mut equal = 0;
        for (name, new) in &after {
            let Some(old) = before.get(name) else { continue };
            let comparison = StageComparison::of(old, new);
            if comparison.is_equal() {
                equal += 1;
            } else {
                stages.insert(name.clone(), comparison);
            }
        }
        Self {
            old: old.summary.id,
            new: new.summary.id,
            params: differences(&old.summary.params, &new.summary.params),
            stages,
            only_old: missing(&after, &before),
            only_new: missing(&before, &after),
            equal,
        }
    }
}

impl StageComparison {
    fn of(old: &StageRow, new: &StageRow) -> Self {
        let mut comparison = Self {
            metrics: changed_metrics(&old.metrics, &new.metrics),
            artifact: old.artifact.zip(new.artifact).map(|(old, new)| old != new),
            seconds: [old.seconds, new.seconds],
            ..Self::default()
        };
        let key = |stage: &StageRow| serde_json::from_value::<StageKey>(stage.key.clone()).ok();
        if let (Some(old), Some(new)) = (key(old), key(new)) {
            let rest = |key: &StageKey| serde_json::json!({"kind": key.kind, "version": key.version, "seed": key.seed});
            comparison.fields = differences(&old.fields, &new.fields);
            comparison.fields.extend(differences(&rest(&old), &rest(&new)));
            let inputs = |key: &StageKey| serde_json::to_value(&key.inputs).unwrap_or_default();
            comparison.inputs = differences(&inputs(&old), &inputs(&new));
        }
        comparison
    }

    fn is_equal(&self) -> bool {
        self.fields.is_empty()
            && self.inputs.is_empty()
            && self.metrics.is_empty()
            && self.artifact != Some(true)
    }
}

fn changed_metrics(old: &Metrics, new: &Metrics) -> BTreeMap<String, [Option<MetricValue>; 2]> {
    let names = old.names().chain(new.names());
    names
        .map(|name| (name.to_owned(), [old.get(name), new.get(name)]))
        .filter(|(_, [old, new])| old != new)
        .collect()
}
