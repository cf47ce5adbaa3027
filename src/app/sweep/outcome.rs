//! What a trial's results come to.

use std::collections::BTreeMap;

use super::setting::{Replicates, SweepSetting};
use crate::app::results::stage_result;
use crate::event::Metrics;
use crate::plan::{NodeIndex, Plan};
use crate::report::{Replicate, Results, Summary, Trial, TrialStatus};
use crate::spec::{ArtifactTable, MetricPath, Sheet};
use crate::store::Store;
use crate::sweep::{TrialPhase, TrialState};

/// Each objective's value in every replicate.
///
/// # Errors
/// A stage reports no such figure: what it does report.
pub(super) fn objective_values(
    setting: &SweepSetting,
    plan: &Plan,
    replicates: &Replicates,
) -> Result<Vec<Vec<f64>>, String> {
    let objectives = setting.sweep.objective.0.iter();
    objectives
        .map(|objective| {
            let path = objective.path();
            // Replicates may share a node: then there is one value, not several that agree.
            let mut nodes: Vec<NodeIndex> = replicates.iter().map(|nodes| nodes[&path.stage]).collect();
            nodes.dedup();
            nodes
                .into_iter()
                .map(|index| {
                    let node = plan.node(index);
                    let action = node
                        .decision
                        .action()
                        .ok_or_else(|| format!("the stage `{}` has no result", path.stage))?;
                    objective_value(&action.metrics, path)
                })
                .collect()
        })
        .collect()
}

/// The figure `path` of a stage that reports `metrics`.
fn objective_value(metrics: &Metrics, path: &MetricPath) -> Result<f64, String> {
    match metrics.get(&path.metric) {
        // What is not defined, or not a number, is never the best.
        Some(value) => Ok(value.defined().unwrap_or(f64::NAN)),
        None => {
            let known: Vec<&str> = metrics.names().collect();
            let known = match known.as_slice() {
                [] => "nothing".to_owned(),
                known => known.join(", "),
            };
            Err(format!(
                "the objective `{path}` is not among what the stage reports: {known}"
            ))
        }
    }
}

/// The judged figure of the first replicate's epochs; empty where nothing is judged, or where it
/// cannot be read.
pub(super) fn curve_of(
    setting: &SweepSetting,
    plan: &Plan,
    store: &Store,
    replicates: &Replicates,
) -> Vec<f64> {
    let read = || {
        let judged = setting.judged.as_ref()?;
        let node = plan.node(replicates.first()?[&judged.stage]);
        let action = node.decision.action()?;
        let bytes = store
            .read_file(&action.artifact, ArtifactTable::HISTORY.name)
            .ok()?;
        let sheet = Sheet::of(ArtifactTable::HISTORY, std::str::from_utf8(&bytes).ok()?)?;
        let column = sheet.titles.iter().position(|name| *name == judged.metric)?;
        // An epoch without the figure is judged by the one before, as the training itself does.
        let mut latest = f64::NAN;
        let rows = sheet.rows.iter();
        rows.map(|row| {
            match row[column].as_str() {
                "" => {}
                cell => latest = cell.parse().ok()?,
            }
            Some(latest)
        })
        .collect::<Option<Vec<f64>>>()
    };
    read().unwrap_or_default()
}

/// The mean of each objective's values.
pub(super) fn means(values: &[Vec<f64>]) -> Vec<f64> {
    let summaries = values.iter().filter_map(|values| Summary::of(values));
    summaries.map(|summary| summary.mean).collect()
}

/// What is known of a sweep's trials, for tables and pages.
pub(super) fn results(
    setting: &SweepSetting,
    file: String,
    plan: &Plan,
    trials: &[TrialState],
    nodes: &std::collections::HashMap<u32, Replicates>,
) -> Results {
    let trials = trials.iter().map(|trial| {
        let replicates: Vec<Replicate> = nodes
            .get(&trial.number)
            .into_iter()
            .flatten()
            .zip(0..)
            .map(|(nodes, replicate)| Replicate {
                seed: setting.seed(replicate),
                stages: nodes
                    .iter()
                    .filter_map(|(name, &index)| {
                        let node = plan.node(index);
                        let action = node.decision.action()?;
                        Some((name.clone(), stage_result(node.stage.kind.name(), action)))
                    })
                    .collect::<BTreeMap<_, _>>(),
            })
            .collect();
        let whole = |replicate: &Replicate| {
            setting
                .targets
                .iter()
                .all(|name| replicate.stages.contains_key(name))
        };
        Trial {
            number: trial.number,
            parameters: setting.parameters(&trial.values),
            curve: trial.curve.clone(),
            status: match &trial.state {
                TrialPhase::Failed { error } => TrialStatus::Failed { error: error.clone() },
                TrialPhase::Paused => TrialStatus::Pruned {
                    epoch: trial.epochs(),
                },
                TrialPhase::Done { .. } if replicates.iter().all(whole) && !replicates.is_empty() => {
                    TrialStatus::Done
                }
                TrialPhase::Done { .. } | TrialPhase::Waiting | TrialPhase::Running => TrialStatus::Missing,
            },
            replicates,
        }
    });
    Results {
        pipeline: setting.base.name.clone(),
        file,
        description: setting.base.description.clone(),
        swept: setting.sweep.params.keys().cloned().collect(),
        objectives: setting.sweep.objective.0.clone(),
        judged: setting.judged.clone(),
        metrics: setting.base.metrics.clone(),
        trials: trials.collect(),
    }
}
