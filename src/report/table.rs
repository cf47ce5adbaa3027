//! What a table says, before it has a format.

use serde_json::Value;

use super::ReportError;
use super::results::{Replicate, Trial};
use crate::spec::{MetricPath, Table};

/// A table's content.
#[derive(Clone, Debug, PartialEq)]
pub struct TableData {
    /// The table's name.
    pub name: String,
    /// The parameters that tell the rows apart: the first columns' titles.
    pub parameters: Vec<String>,
    /// The columns of figures.
    pub columns: Vec<Column>,
    /// The rows, in the order in which they are written.
    pub rows: Vec<Row>,
}

/// A column of figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its title.
    pub title: String,
    /// What stands for a cell's values.
    pub aggregate: Aggregate,
}

/// What stands for the values of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// Their mean; a single value is its own.
    #[default]
    Mean,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The values of the table's parameters, in their order.
    pub parameters: Vec<Value>,
    /// The cells, in the order of the table's columns.
    pub cells: Vec<Cell>,
}

/// A cell: one value a replicate, none where the result is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// The values.
    pub values: Vec<f64>,
}

impl TableData {
    /// Fills `table` with the results of `trials`, a row each.
    ///
    /// # Errors
    /// A parameter that no trial has, or a metric that no trial has although there are trials.
    pub fn assemble(name: &str, table: &Table, trials: &[Trial]) -> Result<Self, ReportError> {
        for parameter in &table.rows {
            let known = |trial: &Trial| trial.parameters.contains_key(parameter);
            if !trials.is_empty() && !trials.iter().any(known) {
                return Err(ReportError::NoParameter {
                    table: name.to_owned(),
                    parameter: parameter.clone(),
                    known: listed(
                        "the parameters are",
                        trials.iter().flat_map(|trial| trial.parameters.keys().cloned()),
                    ),
                });
            }
        }
        let rows: Vec<Row> = trials
            .iter()
            .map(|trial| Row {
                parameters: table
                    .rows
                    .iter()
                    .map(|name| trial.parameters.get(name).cloned().unwrap_or(Value::Null))
                    .collect(),
                cells: table.columns.values().map(|path| Cell::of(trial, path)).collect(),
            })
            .collect();
        for (index, (title, path)) in table.columns.iter().enumerate() {
            if !rows.is_empty() && rows.iter().all(|row| row.cells[index].values.is_empty()) {
                return Err(ReportError::NoMetric {
                    table: name.to_owned(),
                    column: title.clone(),
                    path: String::from(path.clone()),
                    known: listed("the metrics are", trials.iter().flat_map(all_metrics)),
                });
            }
        }
        Ok(Self {
            name: name.to_owned(),
            parameters: table.rows.clone(),
            columns: table
                .columns
                .keys()
                .map(|title| Column {
                    title: title.clone(),
                    aggregate: Aggregate::Mean,
                })
                .collect(),
            rows,
        })
    }
}

impl Cell {
    fn of(trial: &Trial, path: &MetricPath) -> Self {
        let value = |replicate: &Replicate| {
            let result = replicate.stages.get(&path.stage)?;
            result.metrics.get(&path.metric).copied()
        };
        Self {
            values: trial.replicates.iter().filter_map(value).collect(),
        }
    }

    /// The figure that stands for the cell; none where there is no value.
    pub fn figure(&self, aggregate: Aggregate) -> Option<f64> {
        match (aggregate, self.values.as_slice()) {
            (_, []) => None,
            (Aggregate::Mean, values) => Some(values.iter().sum::<f64>() / values.len() as f64),
        }
    }
}

fn all_metrics(trial: &Trial) -> impl Iterator<Item = String> + '_ {
    let stages = trial.replicates.iter().flat_map(|replicate| &replicate.stages);
    stages.flat_map(|(stage, result)| {
        result
            .metrics
            .keys()
            .map(move |metric| format!("{stage}.{metric}"))
    })
}

/// `intro` and the names, sorted, each once; or a sentence that there are none.
fn listed(intro: &str, names: impl Iterator<Item = String>) -> String {
    let names: std::collections::BTreeSet<String> = names.collect();
    if names.is_empty() {
        return "there are none".to_owned();
    }
    format!("{intro} {}", Vec::from_iter(names).join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use indexmap::IndexMap;
    use serde_json::json;

    use super::*;
    use crate::event::Metrics;
    use crate::fingerprint::Digest;
    use crate::report::StageResult;

    fn metrics(figures: &[(&str, f64)]) -> Metrics {
        figures
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    }

    fn trial() -> Trial {
        let replicate = |accuracy| {
            let result = StageResult {
                kind: "evaluate".to_owned(),
                fingerprint: Digest::of_bytes(b"f"),
                artifact: Digest::of_bytes(b"a"),
                metrics: metrics(&[("accuracy", accuracy), ("loss", 0.1)]),
                key: Value::Null,
                made: Value::Null,
            };
            Replicate {
                seed: 0,
                stages: BTreeMap::from([("test".to_owned(), result)]),
            }
        };
        Trial {
            parameters: IndexMap::from([
                ("lr".to_owned(), json!(0.1)),
                ("precision".to_owned(), json!("f32")),
            ]),
            replicates: vec![replicate(0.5), replicate(0.75)],
            ..Trial::default()
        }
    }

    fn table(rows: &[&str], column: &str) -> Table {
        serde_json::from_value(json!({"rows": rows, "columns": {"result": column}})).unwrap()
    }

    #[test]
    fn gathers_parameters_and_replicates() {
        let data = TableData::assemble("t", &table(&["precision"], "test.accuracy"), &[trial()]).unwrap();
        assert_eq!(data.rows[0].parameters, [json!("f32")]);
        assert_eq!(data.rows[0].cells[0].values, [0.5, 0.75]);
        assert_eq!(
            data.rows[0].cells[0].figure(data.columns[0].aggregate),
            Some(0.625)
        );
        assert_eq!(Cell::default().figure(Aggregate::Mean), None);
    }

    #[test]
    fn names_what_exists_where_something_does_not() {
        let error = |rows, column| {
            TableData::assemble("t", &table(rows, column), &[trial()])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error(&["width"], "test.loss"),
            "table `t`: there is no parameter `width`; the parameters are lr, precision"
        );
        assert_eq!(
            error(&["lr"], "test.f1"),
            "table `t`, column `result`: no result has `test.f1`; the metrics are test.accuracy, test.loss"
        );
        let missing = Trial {
            replicates: vec![],
            ..trial()
        };
        let data = TableData::assemble("t", &table(&[], "test.loss"), &[missing, trial()]).unwrap();
        assert!(data.rows[0].cells[0].values.is_empty());
    }
}
