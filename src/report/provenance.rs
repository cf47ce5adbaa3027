//! From each cell of a table to the results behind it.
//!
//! The file `NAME.provenance.json` stands beside a table. For each cell it names the trials, seeds
//! and values that the figure sums up; for each of these the stage that gave it, by fingerprint; and
//! for each stage, back to the raw data, its kind with the kind's version, the fields and the seed
//! in its key, the digest of every input, and its artifact. It holds nothing that differs between two
//! runs with the same results (no times, no machines): those stay in the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::results::{Replicate, Results, StageResult};
use super::table::{Cell, TableData};
use crate::event::figure;
use crate::fingerprint::{Digest, Fingerprint};
use crate::spec::{Pipeline, Show};

/// Where a table's figures come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The table's name.
    pub table: String,
    /// The pipelines whose results it shows.
    pub pipelines: Vec<Origin>,
    /// The titles of the columns that tell rows apart.
    pub labels: Vec<String>,
    /// The rows, in the table's order.
    pub rows: Vec<ProvenanceRow>,
    /// The stages behind the figures, by fingerprint.
    pub stages: BTreeMap<Fingerprint, StageOrigin>,
}

/// A pipeline whose results a table shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// Its file, relative to the project's root.
    pub file: String,
    /// The trials that are in the table, by number: the parameters that tell rows apart or that the
    /// stages behind the figures speak of.
    pub trials: BTreeMap<u32, IndexMap<String, Value>>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProvenanceRow {
    /// The values that tell it from the others.
    pub labels: IndexMap<String, Value>,
    /// Its cells, by the column's title.
    pub cells: IndexMap<String, CellOrigin>,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellOrigin {
    /// The metric, as `STAGE.METRIC`.
    pub metric: String,
    /// What stands for the values.
    pub show: Show,
    /// The figure; none where the result is missing.
    pub figure: Option<f64>,
    /// The values that it sums up.
    pub values: Vec<ValueOrigin>,
}

/// A value behind a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueOrigin {
    /// The pipeline, by its place in the list.
    pub pipeline: usize,
    /// The trial's number.
    pub trial: u32,
    /// The seed.
    pub seed: u64,
    /// The value.
    #[serde(with = "figure::one")]
    pub value: f64,
    /// The stage that gave it.
    pub fingerprint: Fingerprint,
}

/// A stage behind a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageOrigin {
    /// Its name in the pipeline.
    pub stage: String,
    /// Its kind.
    pub kind: String,
    /// The version of what the kind does.
    pub version: u64,
    /// The seed, where the kind draws random numbers.
    pub seed: Option<u64>,
    /// The fields of its key.
    pub fields: Value,
    /// Its inputs, by role.
    pub inputs: BTreeMap<String, InputOrigin>,
    /// The digest of its artifact.
    pub artifact: Digest,
}

/// An input of a stage behind a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputOrigin {
    /// The digest of its content.
    pub digest: Digest,
    /// The stage that made it; none where it is a file of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Fingerprint>,
}

impl Provenance {
    /// Where the figures of `table` come from, which was made of these pipelines' results.
    pub fn of(table: &TableData, sources: &[(&Pipeline, &Results)]) -> Self {
        let mut origins: Vec<Origin> = sources
            .iter()
            .map(|(_, results)| Origin {
                name: results.pipeline.clone(),
                file: results.file.clone(),
                trials: BTreeMap::new(),
            })
            .collect();
        let mut stages = BTreeMap::new();
        let mut used: HashMap<(usize, String), BTreeSet<String>> = HashMap::new();
        let mut rows = Vec::new();
        for row in &table.rows {
            let labels = table.labels.iter().cloned().zip(row.labels.iter().cloned());
            let mut cells = IndexMap::new();
            for (column, cell) in table.columns.iter().zip(&row.cells) {
                let origin = CellOrigin {
                    metric: cell.metric.to_string(),
                    show: column.spec.show,
                    figure: cell.figure(column),
                    values: values(cell),
                };
                cells.insert(column.title.clone(), origin);
                for sample in &cell.samples {
                    let (pipeline, results) = sources[sample.source];
                    let Some(trial) = results.trials.iter().find(|trial| trial.number == sample.trial) else {
                        continue;
                    };
                    let used = used.entry((sample.source, cell.metric.stage.clone()));
                    let used = used.or_insert_with(|| {
                        let mut used = BTreeSet::new();
                        parameters_behind(pipeline, &cell.metric.stage, &mut BTreeSet::new(), &mut used);
                        used
                    });
                    let known = origins[sample.source].trials.entry(trial.number).or_default();
                    for (name, value) in &trial.parameters {
                        if used.contains(name) || table.labels.contains(name) {
                            known.entry(name.clone()).or_insert_with(|| value.clone());
                        }
                    }
                    for replicate in trial.replicates.iter().filter(|one| one.seed == sample.seed) {
                        collect(pipeline, replicate, &cell.metric.stage, &mut stages);
                    }
                }
            }
            rows.push(ProvenanceRow {
                labels: labels.collect(),
                cells,
            });
        }
        Self {
            table: table.name.clone(),
            pipelines: origins,
            labels: table.labels.clone(),
            rows,
            stages,
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        // Text keys, numbers and JSON values always serialise.
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{text}\n")
    }
}

fn values(cell: &Cell) -> Vec<ValueOrigin> {
    let samples = cell.samples.iter().map(|sample| ValueOrigin {
        pipeline: sample.source,
        trial: sample.trial,
        seed: sample.seed,
        value: sample.value,
        fingerprint: sample.fingerprint,
    });
    samples.collect()
}

/// The parameters that a stage and all that it is made from speak of.
fn parameters_behind<'a>(
    pipeline: &'a Pipeline,
    name: &'a str,
    seen: &mut BTreeSet<&'a str>,
    used: &mut BTreeSet<String>,
) {
    let Some((name, stage)) = pipeline.stages.get_key_value(name) else {
        return;
    };
    if !seen.insert(name) {
        return;
    }
    used.extend(stage.params.iter().cloned());
    for input in stage.kind.inputs() {
        if let Some((upstream, _)) = input
            .reference
            .stage()
            .and_then(|name| pipeline.stages.get_key_value(name))
        {
            parameters_behind(pipeline, upstream, seen, used);
        }
    }
}

/// Adds a stage and all that it was made from.
fn collect(
    pipeline: &Pipeline,
    replicate: &Replicate,
    name: &str,
    stages: &mut BTreeMap<Fingerprint, StageOrigin>,
) {
    let Some(result) = replicate.stages.get(name) else {
        return;
    };
    if stages.contains_key(&result.fingerprint) {
        return;
    }
    let mut upstream = Vec::new();
    let mut inputs = BTreeMap::new();
    if let Some(Value::Object(digests)) = result.key.get("inputs") {
        for (role, digest) in digests {
            let Some(digest) = digest.as_str().and_then(|text| text.parse::<Digest>().ok()) else {
                continue;
            };
            let made_by = maker(pipeline, replicate, name, role, &digest);
            let from = made_by.map(|(stage, result)| {
                upstream.push(stage);
                result.fingerprint
            });
            inputs.insert(role.clone(), InputOrigin { digest, from });
        }
    }
    let key = |field: &str| result.key.get(field);
    stages.insert(
        result.fingerprint,
        StageOrigin {
            stage: name.to_owned(),
            kind: result.kind.clone(),
            version: key("version").and_then(Value::as_u64).unwrap_or_default(),
            seed: key("seed").and_then(Value::as_u64),
            fields: key("fields").cloned().unwrap_or_default(),
            inputs,
            artifact: result.artifact,
        },
    );
    for stage in upstream {
        collect(pipeline, replicate, stage, stages);
    }
}

/// The stage that made an input: the one that the file refers to, or where a parameter decides that,
/// the one whose artifact it is.
fn maker<'a>(
    pipeline: &'a Pipeline,
    replicate: &'a Replicate,
    stage: &str,
    role: &str,
    digest: &Digest,
) -> Option<(&'a str, &'a StageResult)> {
    let inputs = pipeline.stages.get(stage).map(|stage| stage.kind.inputs())?;
    let reference = inputs.into_iter().find(|input| input.role == role)?.reference;
    let named = reference
        .stage()
        .and_then(|name| replicate.stages.get_key_value(name));
    let has_path = matches!(reference, crate::spec::Reference::Stage { path: Some(_), .. });
    if let Some((name, result)) = named
        && (has_path || result.artifact == *digest)
    {
        return Some((name, result));
    }
    replicate
        .stages
        .iter()
        .find(|(name, result)| *name != stage && result.artifact == *digest)
        .map(|(name, result)| (name.as_str(), result))
}
