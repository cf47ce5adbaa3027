//! What a table asks for and no result has.

use std::collections::BTreeSet;

use super::{Assembly, Candidate};
use crate::report::{ReportError, Row, Trial, TrialStatus};
use crate::spec::same_value;

impl Assembly<'_> {
    pub(super) fn check_parameters(&self) -> Result<(), ReportError> {
        let mut trials = self.trials().peekable();
        if trials.peek().is_none() {
            return Ok(());
        }
        for parameter in &self.table.rows.parameters {
            if !self
                .trials()
                .any(|one| one.trial.parameters.contains_key(parameter))
            {
                return Err(ReportError::NoParameter {
                    table: self.name.to_owned(),
                    parameter: parameter.clone(),
                    known: listed(
                        "the parameters are",
                        self.trials().flat_map(|one| one.trial.parameters.keys().cloned()),
                    ),
                });
            }
        }
        Ok(())
    }

    /// A filter that speaks of what no result has, although trials came to their end.
    pub(super) fn check_filters(&self) -> Result<(), ReportError> {
        if !self.trials().any(|one| one.trial.status == TrialStatus::Done) {
            return Ok(());
        }
        let labels = self.table.labels();
        for name in self.table.filters.keys() {
            let is_known = labels.contains(name)
                || self.is_of_rows(name)
                || self.trials().any(|one| one.trial.parameters.contains_key(name))
                || name
                    .parse()
                    .is_ok_and(|path| self.trials().any(|one| one.tells(&path)));
            if !is_known {
                return Err(ReportError::NoMetric {
                    table: self.name.to_owned(),
                    place: "`where`".to_owned(),
                    path: name.clone(),
                    known: listed(
                        "the metrics are",
                        self.trials().flat_map(|one| all_metrics(one.trial)),
                    ),
                });
            }
        }
        Ok(())
    }

    /// A metric that no row has although trials came to their end.
    pub(super) fn check_metrics(&self, rows: &[Row]) -> Result<(), ReportError> {
        if !rows.iter().any(|row| row.status == TrialStatus::Done) {
            return Ok(());
        }
        for (index, (title, column)) in self.table.columns.iter().enumerate() {
            if !rows.iter().any(|row| row.cells[index].is_told()) {
                return Err(ReportError::NoMetric {
                    table: self.name.to_owned(),
                    place: format!("column `{title}`"),
                    path: column.metric.clone(),
                    known: listed(
                        "the metrics are",
                        self.trials().flat_map(|one| all_metrics(one.trial)),
                    ),
                });
            }
        }
        Ok(())
    }

    /// Several trials that share a row without a rule for it.
    pub(super) fn open_group(&self, members: &[Candidate<'_>]) -> ReportError {
        let first = &members[0].trial.parameters;
        let differs = |name: &&String| {
            let value = &first[*name];
            members.iter().any(|one| {
                !one.trial
                    .parameters
                    .get(*name)
                    .is_some_and(|other| same_value(other, value))
            })
        };
        let open: Vec<&str> = first.keys().filter(differs).map(String::as_str).collect();
        ReportError::OpenGroup {
            table: self.name.to_owned(),
            trials: members.len(),
            open: open.join(", "),
        }
    }
}

fn all_metrics(trial: &Trial) -> impl Iterator<Item = String> + '_ {
    let stages = trial.replicates.iter().flat_map(|replicate| &replicate.stages);
    stages.flat_map(|(stage, result)| {
        let names = result.metrics.names();
        names.map(move |metric| format!("{stage}.{metric}"))
    })
}

/// `intro` and the names, sorted, each once; or a sentence that there are none.
pub(in crate::report) fn listed(intro: &str, names: impl Iterator<Item = String>) -> String {
    let names: BTreeSet<String> = names.collect();
    if names.is_empty() {
        return "there are none".to_owned();
    }
    format!("{intro} {}", Vec::from_iter(names).join(", "))
}
