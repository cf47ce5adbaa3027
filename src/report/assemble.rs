//! From results to the rows of a table.

mod check;

use serde_json::Value;

use super::ReportError;
use super::compare::compare_rows;
use super::results::{Results, Trial, TrialStatus};
use super::table::{Cell, Column, Row, Sample, TableData};
use crate::event::MetricValue;
use crate::spec::{Filter, Group, MetricPath, Show, Table, TableColumn, counted};

pub(super) use check::listed;

impl TableData {
    /// Fills `table` with results: those of the file that it stands in, and of the other files that
    /// it names, in that order.
    ///
    /// A row of parameters stands for the trials that agree in them: the best of them by the first
    /// objective, or all of them where the table says so. Only trials that came to their end count,
    /// or where there is none, what is known of those that have not run; the others are in the table
    /// only where each trial has a row.
    ///
    /// # Errors
    /// A parameter or a metric that no result has, a baseline that no row is, or rows that hide a
    /// swept parameter without a rule for it.
    pub fn assemble(name: &str, table: &Table, results: &[&Results]) -> Result<Self, ReportError> {
        let assembly = Assembly { name, table, results };
        assembly.check_parameters()?;
        assembly.check_filters()?;
        let candidates = assembly.candidates();
        let mut rows = Vec::new();
        let mut chosen_among = 0;
        for group in assembly.groups(&candidates) {
            let members = assembly.members(&group)?;
            let done = group.iter().filter(|one| one.trial.status == TrialStatus::Done);
            let done = done.count();
            if members.len() < done {
                chosen_among = chosen_among.max(done);
            }
            rows.extend(assembly.rows(&group, &members));
        }
        assembly.check_metrics(&rows)?;
        let mut data = Self {
            name: name.to_owned(),
            labels: table.labels(),
            columns: assembly.columns(),
            rows,
            each_trial: table.rows.each_trial,
            round: table.round,
            notes: assembly.notes(&candidates, chosen_among),
        };
        data.sort(table);
        compare_rows(&mut data, table, assembly.is_incomplete())?;
        Ok(data)
    }
}

/// A trial and the results that it belongs to.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    source: usize,
    results: &'a Results,
    trial: &'a Trial,
}

impl Candidate<'_> {
    /// The values of a metric where it is defined, one a seed.
    fn samples(&self, path: &MetricPath) -> impl Iterator<Item = Sample> {
        self.trial.replicates.iter().filter_map(|replicate| {
            let result = replicate.stages.get(&path.stage)?;
            Some(Sample {
                source: self.source,
                trial: self.trial.number,
                seed: replicate.seed,
                value: result.metrics.get(&path.metric)?.defined()?,
                fingerprint: result.fingerprint,
            })
        })
    }

    /// For how many seeds a metric is not defined.
    fn undefined(&self, path: &MetricPath) -> usize {
        let values = self.trial.replicates.iter().filter_map(|replicate| {
            let stage = replicate.stages.get(&path.stage)?;
            stage.metrics.get(&path.metric)
        });
        values.filter(|value| *value == MetricValue::Undefined).count()
    }

    /// Whether a result says something of a metric.
    fn tells(&self, path: &MetricPath) -> bool {
        self.samples(path).next().is_some() || self.undefined(path) > 0
    }

    /// The mean of a metric over the seeds; none where it is missing.
    fn mean(&self, path: &MetricPath) -> Option<f64> {
        let values: Vec<f64> = self.samples(path).map(|sample| sample.value).collect();
        (!values.is_empty()).then(|| super::statistics::mean(&values))
    }
}

struct Assembly<'a> {
    name: &'a str,
    table: &'a Table,
    results: &'a [&'a Results],
}

impl<'a> Assembly<'a> {
    fn trials(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        self.results.iter().enumerate().flat_map(|(source, results)| {
            results.trials.iter().map(move |trial| Candidate {
                source,
                results,
                trial,
            })
        })
    }

    fn is_incomplete(&self) -> bool {
        self.trials().any(|one| one.trial.status == TrialStatus::Missing)
    }

    /// The trials that fulfil the filters.
    fn candidates(&self) -> Vec<Candidate<'a>> {
        let holds = |one: &Candidate<'_>| {
            let filters = &self.table.filters;
            filters.iter().all(|(name, filter)| self.holds(one, name, filter))
        };
        self.trials().filter(holds).collect()
    }

    fn holds(&self, one: &Candidate<'_>, name: &str, filter: &Filter) -> bool {
        let labels = self.table.labels();
        let is_label = |label: &str| name == label && labels.iter().any(|known| known == label);
        if is_label("pipeline") {
            return filter.holds(&Value::from(self.pipeline(one.source)));
        }
        if is_label("trial") {
            return filter.holds(&Value::from(one.trial.number));
        }
        if let Some(value) = one.trial.parameters.get(name) {
            return filter.holds(value);
        }
        if self.is_of_rows(name) {
            return true;
        }
        let mean = name.parse().ok().and_then(|path| one.mean(&path));
        mean.is_some_and(|mean| filter.holds(&Value::from(mean)))
    }

    /// Whether a filter speaks of stages that are rows: of their names, or of a metric of theirs.
    fn is_of_rows(&self, name: &str) -> bool {
        let has_stage = |path: &MetricPath| {
            let replicates = self.trials().flat_map(|one| &one.trial.replicates);
            replicates
                .into_iter()
                .any(|replicate| replicate.stages.contains_key(&path.stage))
        };
        !self.table.rows.stages.is_empty()
            && !self.trials().any(|one| one.trial.parameters.contains_key(name))
            && !name.parse().is_ok_and(|path| has_stage(&path))
    }

    /// Whether the row of a stage is as the filters say.
    fn holds_for_stage(&self, members: &[Candidate<'_>], stage: &str) -> bool {
        let filters = self.table.filters.iter();
        let mut of_rows = filters.filter(|(name, _)| self.is_of_rows(name));
        of_rows.all(|(name, filter)| {
            if name == "stage" {
                return filter.holds(&Value::from(stage));
            }
            let path = MetricPath {
                stage: stage.to_owned(),
                metric: name.clone(),
            };
            let values: Vec<f64> = members
                .iter()
                .flat_map(|one| one.samples(&path))
                .map(|sample| sample.value)
                .collect();
            !values.is_empty() && filter.holds(&Value::from(super::statistics::mean(&values)))
        })
    }

    /// What a results' rows are called where there are several: the pipeline's name, or its file
    /// where names are not enough.
    fn pipeline(&self, source: usize) -> String {
        let own = self.results[source];
        let same = self.results.iter().filter(|other| other.pipeline == own.pipeline);
        if same.count() > 1 {
            own.file.clone()
        } else {
            own.pipeline.clone()
        }
    }

    /// The labels of a trial's row, but for its stage.
    fn labels(&self, one: &Candidate<'_>) -> Vec<Value> {
        let mut labels = Vec::new();
        if !self.table.pipelines.is_empty() {
            labels.push(Value::from(self.pipeline(one.source)));
        }
        if self.table.rows.each_trial {
            labels.push(Value::from(one.trial.number));
        }
        let parameters = &one.trial.parameters;
        let values = self.table.rows.parameters.iter();
        labels.extend(values.map(|name| parameters.get(name).cloned().unwrap_or_default()));
        labels
    }

    /// Trials that share a row, in the order of the first of each.
    fn groups(&self, candidates: &[Candidate<'a>]) -> Vec<Vec<Candidate<'a>>> {
        let mut groups: Vec<(Vec<Value>, Vec<Candidate<'a>>)> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for one in candidates {
            let labels = self.labels(one);
            // As a key, `1` and `1.0` are the same.
            let key: Vec<String> = labels
                .iter()
                .map(|label| match label.as_f64() {
                    Some(number) => format!("{number:?}"),
                    None => label.to_string(),
                })
                .collect();
            let index = *known.entry(key).or_insert(groups.len());
            if index == groups.len() {
                groups.push((labels, Vec::new()));
            }
            groups[index].1.push(*one);
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }

    /// The trials that stand for a row.
    fn members(&self, group: &[Candidate<'a>]) -> Result<Vec<Candidate<'a>>, ReportError> {
        if self.table.rows.each_trial {
            return Ok(group.to_vec());
        }
        let with = |status: &TrialStatus| {
            let members = group.iter().filter(|one| one.trial.status == *status);
            members.copied().collect::<Vec<_>>()
        };
        let mut members = with(&TrialStatus::Done);
        if members.is_empty() {
            members = with(&TrialStatus::Missing);
        }
        if members.len() < 2 || self.table.group == Some(Group::All) {
            return Ok(members);
        }
        let Some(objective) = members.iter().find_map(|one| one.results.objectives.first()) else {
            return Err(self.open_group(&members));
        };
        let loss = |one: &Candidate<'_>| {
            let mean = one.mean(objective.path()).unwrap_or(f64::NAN);
            objective.direction().loss(mean)
        };
        let best = members
            .iter()
            .min_by(|left, right| loss(left).total_cmp(&loss(right)))
            .copied();
        Ok(best.into_iter().collect())
    }

    /// A row for the trials `members` of `group`, or one for each stage.
    fn rows(&self, group: &[Candidate<'a>], members: &[Candidate<'a>]) -> Vec<Row> {
        let Some(first) = members.first().or(group.first()) else {
            return Vec::new();
        };
        let row = |stage: Option<&String>| {
            let path = |metric: &str| match stage {
                Some(stage) => Some(MetricPath {
                    stage: stage.clone(),
                    metric: metric.to_owned(),
                }),
                None => metric.parse().ok(),
            };
            let mut labels = self.labels(first);
            labels.extend(stage.map(|stage| Value::from(stage.as_str())));
            let expected = members.iter().map(|one| one.trial.replicates.len()).sum();
            let columns = self.table.columns.values();
            let cells = columns.filter_map(|column| {
                let path = path(&column.metric)?;
                let samples = members.iter().flat_map(|one| one.samples(&path)).collect();
                let undefined = members.iter().map(|one| one.undefined(&path)).sum();
                Some(Cell {
                    undefined,
                    ..Cell::new(path, samples, expected)
                })
            });
            Row {
                labels,
                status: first.trial.status.clone(),
                cells: cells.collect(),
            }
        };
        match self.table.rows.stages.as_slice() {
            [] => vec![row(None)],
            stages => stages
                .iter()
                .filter(|stage| self.holds_for_stage(members, stage))
                .map(|stage| row(Some(stage)))
                .collect(),
        }
    }

    fn columns(&self) -> Vec<Column> {
        let objectives: Vec<_> = self
            .results
            .iter()
            .flat_map(|results| results.objectives.iter().cloned())
            .collect();
        let direction = |column: &TableColumn| {
            let known = self.with_figures(column).into_iter();
            agreed(known.map(|results| self.table.direction(column, &objectives, &results.metrics)))
        };
        let columns = self.table.columns.iter();
        columns
            .map(|(title, spec)| Column {
                title: title.clone(),
                spec: TableColumn {
                    unit: spec.unit.clone().or_else(|| self.unit(spec)),
                    ..spec.clone()
                },
                direction: direction(spec),
            })
            .collect()
    }

    /// The unit that a pipeline file gives a column's metric, where the column shows figures of it.
    fn unit(&self, column: &TableColumn) -> Option<String> {
        if column.show == Show::Count {
            return None;
        }
        let metrics = self.table.metrics(column);
        let results = self.with_figures(column);
        let places = results
            .iter()
            .flat_map(|results| metrics.iter().map(move |path| (results, path)));
        agreed(places.map(|(results, path)| {
            let info = results.metrics.of_stage(&path.stage, &path.metric)?;
            let unit = info.unit.as_ref().filter(|_| info.from_file)?;
            Some(unit.to_string())
        }))
    }

    /// The results in which a stage of the column's has any.
    fn with_figures(&self, column: &TableColumn) -> Vec<&Results> {
        let metrics = self.table.metrics(column);
        let has = |results: &&&Results| {
            let mut replicates = results.trials.iter().flat_map(|trial| &trial.replicates);
            replicates.any(|replicate| {
                metrics
                    .iter()
                    .any(|path| replicate.stages.contains_key(&path.stage))
            })
        };
        let with: Vec<&Results> = self.results.iter().filter(has).copied().collect();
        if with.is_empty() {
            self.results.to_vec()
        } else {
            with
        }
    }

    fn notes(&self, candidates: &[Candidate<'_>], chosen_among: usize) -> Vec<String> {
        let mut notes = Vec::new();
        if chosen_among > 1 {
            let objective = self.results.iter().find_map(|results| results.objectives.first());
            if let Some(objective) = objective {
                notes.push(format!(
                    "Each row is the best of up to {chosen_among} trials by {}.",
                    objective.path()
                ));
            }
        }
        let count = |wanted: fn(&TrialStatus) -> bool| {
            let trials = candidates.iter().filter(|one| wanted(&one.trial.status));
            trials.count()
        };
        let total = candidates.len();
        let ended = count(|status| matches!(status, TrialStatus::Pruned { .. } | TrialStatus::Failed { .. }));
        if ended > 0 && !self.table.rows.each_trial {
            notes.push(format!(
                "{ended} of {} {} stopped early or failed, and {} not count.",
                counted(total, "trial"),
                if ended == 1 { "was" } else { "were" },
                if ended == 1 { "does" } else { "do" }
            ));
        }
        let missing = count(|status| *status == TrialStatus::Missing);
        if missing > 0 {
            notes.push(if total == 1 {
                "Some results are missing.".to_owned()
            } else {
                format!("Results of {missing} of {total} trials are missing.")
            });
        }
        notes
    }
}

/// What all say, where they say the same.
fn agreed<T: PartialEq>(mut said: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = said.next()?;
    if said.all(|other| other == first) {
        first
    } else {
        None
    }
}
