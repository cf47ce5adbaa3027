//! What can be told of a table over several files before anything runs.

use super::ReportError;
use super::assemble::listed;
use crate::spec::{MetricPath, Pipeline, Table, TableColumn};

/// Looks for parameters and metrics that none of `pipelines` can have.
///
/// # Errors
/// The first that none has.
pub fn check_across(name: &str, table: &Table, pipelines: &[&Pipeline]) -> Result<(), ReportError> {
    for parameter in &table.rows.parameters {
        if !pipelines.iter().any(|one| one.params.contains_key(parameter)) {
            return Err(ReportError::NoParameter {
                table: name.to_owned(),
                parameter: parameter.clone(),
                known: listed(
                    "the parameters are",
                    pipelines.iter().flat_map(|one| one.params.keys().cloned()),
                ),
            });
        }
    }
    for (title, column) in &table.columns {
        let metrics = table.metrics(column);
        let is_known = |one: &&Pipeline| metrics.iter().any(|path| may_have(one, path));
        if !pipelines.iter().any(is_known) {
            return Err(ReportError::NoMetric {
                table: name.to_owned(),
                place: format!("column `{title}`"),
                path: column.metric.clone(),
                known: listed(
                    "the metrics are",
                    pipelines.iter().flat_map(|one| all_metrics(one)),
                ),
            });
        }
    }
    let labels = table.labels();
    for filter in table.filters.keys() {
        let of_rows = table.metrics(&TableColumn::of(filter));
        let is_known = |one: &&Pipeline| {
            one.params.contains_key(filter)
                || filter.parse().is_ok_and(|path| may_have(one, &path))
                || of_rows.iter().any(|path| may_have(one, path))
        };
        if !labels.contains(filter) && !pipelines.iter().any(is_known) {
            return Err(ReportError::NoMetric {
                table: name.to_owned(),
                place: "`where`".to_owned(),
                path: filter.clone(),
                known: listed(
                    "the metrics are",
                    pipelines.iter().flat_map(|one| all_metrics(one)),
                ),
            });
        }
    }
    Ok(())
}

/// Whether a pipeline can report a metric. What a command reports is known only once it has run.
fn may_have(pipeline: &Pipeline, path: &MetricPath) -> bool {
    pipeline.stages.get(&path.stage).is_some_and(|stage| {
        stage
            .kind
            .metrics(&pipeline.metrics)
            .is_none_or(|metrics| metrics.contains(&path.metric))
    })
}

fn all_metrics(pipeline: &Pipeline) -> impl Iterator<Item = String> + '_ {
    pipeline.stages.iter().flat_map(|(name, stage)| {
        let metrics = stage.kind.metrics(&pipeline.metrics).unwrap_or_default();
        metrics.into_iter().map(move |metric| format!("{name}.{metric}"))
    })
}
