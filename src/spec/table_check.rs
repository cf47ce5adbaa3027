//! What a table's types cannot say: parameters and metrics that exist, columns that can be
//! compared, files that no other table writes.

mod files;
#[cfg(test)]
mod tests;

use files::file_mistakes;
use miette::SourceSpan;
use serde_json::Value;

use super::diagnostic::{Diagnostic, suggest};
use super::node::{Node, Value as NodeValue};
use super::table::{MetricPath, Table};
use super::table_column::{Best, Show, TableColumn};
use super::table_rows::{Filter, Group};
use super::validate::{metric_mistake, unknown_stage};
use super::{Pipeline, Sweep};

/// All mistakes of the tables whose fields are right by themselves.
pub(super) fn table_mistakes(pipeline: &Pipeline, root: &Node) -> Vec<Diagnostic> {
    let mut mistakes = Vec::new();
    let folds = fold_parameters(root);
    for (name, table) in &pipeline.tables {
        let check = Check {
            pipeline,
            table,
            place: &|path: &[&str]| root.span_at(&[&["tables", name], path].concat()),
            listed: is_list(root, name),
            folds: &folds,
        };
        mistakes.extend(check.rows());
        mistakes.extend(check.columns(name));
        mistakes.extend(check.filters());
        mistakes.extend(check.sort());
        mistakes.extend(check.baseline());
        mistakes.extend(check.group());
        mistakes.extend(check.folds());
        mistakes.extend(check.pipelines());
    }
    mistakes.extend(file_mistakes(pipeline, root));
    mistakes
}

/// The parameters that choose the fold which a dataset is tested on.
fn fold_parameters(root: &Node) -> Vec<&str> {
    let Some(NodeValue::Map(stages)) = root.get("stages").map(|stages| &stages.value) else {
        return Vec::new();
    };
    let fold = stages
        .iter()
        .filter_map(|(_, stage)| stage.get("preprocess")?.get("split")?.get("fold"));
    fold.filter_map(|fold| fold.parameter.as_deref()).collect()
}

/// Whether a table's rows are written as a list, and not as a mapping.
fn is_list(root: &Node, table: &str) -> bool {
    let rows = root
        .get("tables")
        .and_then(|tables| tables.get(table)?.get("rows"));
    matches!(rows.map(|rows| &rows.value), Some(NodeValue::List(_)))
}

struct Check<'a> {
    pipeline: &'a Pipeline,
    table: &'a Table,
    place: &'a dyn Fn(&[&str]) -> SourceSpan,
    listed: bool,
    /// Parameters that choose a fold.
    folds: &'a [&'a str],
}

impl Check<'_> {
    /// Whether what this file lacks may be in another one.
    fn is_alone(&self) -> bool {
        self.table.pipelines.is_empty()
    }

    fn rows(&self) -> Vec<Diagnostic> {
        let rows = &self.table.rows;
        let field = if rows.each_trial { "trials" } else { "parameters" };
        let place = |index: usize| {
            let index = index.to_string();
            if self.listed {
                (self.place)(&["rows", &index])
            } else {
                (self.place)(&["rows", field, &index])
            }
        };
        let mut mistakes = Vec::new();
        let own = ["pipeline", "trial", "stage"];
        for (index, parameter) in rows.parameters.iter().enumerate() {
            if own.contains(&parameter.as_str()) {
                mistakes.push(
                    Diagnostic::new(
                        format!(
                            "the parameter `{parameter}` has the name of a column that tables have themselves"
                        ),
                        place(index),
                    )
                    .help("rename the parameter"),
                );
            }
            if self.is_alone() && !self.pipeline.params.contains_key(parameter) {
                mistakes.push(self.unknown_parameter(parameter, place(index)));
            }
            if rows.parameters[..index].contains(parameter) {
                mistakes.push(Diagnostic::new(
                    format!("the parameter `{parameter}` stands here twice"),
                    place(index),
                ));
            }
        }
        for (index, stage) in rows.stages.iter().enumerate() {
            let span = (self.place)(&["rows", "stages", &index.to_string()]);
            if self.is_alone() && !self.pipeline.stages.contains_key(stage) {
                mistakes.push(unknown_stage(&self.pipeline.stages, stage, span));
            }
            if rows.stages[..index].contains(stage) {
                mistakes.push(Diagnostic::new(
                    format!("the stage `{stage}` stands here twice"),
                    span,
                ));
            }
        }
        mistakes
    }

    fn unknown_parameter(&self, name: &str, span: SourceSpan) -> Diagnostic {
        let known = self.pipeline.params.keys().map(String::as_str);
        Diagnostic::new(format!("there is no parameter `{name}`"), span).help(suggest(
            name,
            "parameters",
            known,
        ))
    }

    fn columns(&self, name: &str) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        if self.table.columns.is_empty() {
            mistakes.push(Diagnostic::new(
                format!("the table `{name}` has no columns"),
                (self.place)(&["columns"]),
            ));
        }
        let labels = self.table.labels();
        for (title, column) in &self.table.columns {
            let key = (self.place)(&["columns", title]);
            if labels.contains(title) || title == "status" {
                mistakes.push(
                    Diagnostic::new(
                        format!("the column `{title}` has the title of another column"),
                        key,
                    )
                    .help("rows are told apart by a column of that title; choose another"),
                );
            }
            let derived = [" std", " count", " low", " high", " rank", " delta", " Δ", " p"];
            let clash = derived
                .iter()
                .find_map(|ending| title.strip_suffix(ending))
                .filter(|other| self.table.columns.contains_key(*other));
            if let Some(other) = clash {
                mistakes.push(
                    Diagnostic::new(
                        format!("the column `{title}` has a title that goes with the column `{other}`"),
                        key,
                    )
                    .help("it may stand beside that column's figures; choose another"),
                );
            }
            // The long form has its metric in a field.
            let long = (self.place)(&["columns", title, "metric"]);
            mistakes.extend(self.metric(column, long));
            mistakes.extend(self.comparisons(title, column));
        }
        mistakes
    }

    /// What is wrong with a column's metric.
    fn metric(&self, column: &TableColumn, span: SourceSpan) -> Option<Diagnostic> {
        let stages = &self.pipeline.stages;
        if self.table.rows.stages.is_empty() {
            return match column.metric.parse::<MetricPath>() {
                Ok(path) if self.is_alone() => metric_mistake(stages, &self.pipeline.metrics, &path, span),
                Ok(_) => None,
                Err(message) => Some(Diagnostic::new(message, span)),
            };
        }
        if !self.is_alone() {
            return None;
        }
        // Stages that do not exist are told elsewhere.
        let known: Vec<_> = self
            .table
            .rows
            .stages
            .iter()
            .filter_map(|stage| stages.get(stage))
            .collect();
        let metrics: Option<Vec<String>> = known
            .iter()
            .map(|stage| stage.kind.metrics(&self.pipeline.metrics))
            .collect::<Option<Vec<_>>>()
            .map(|metrics| metrics.concat());
        let metrics = metrics?;
        (!known.is_empty() && !metrics.contains(&column.metric)).then(|| {
            let message = format!("none of the stages reports `{}`", column.metric);
            let help = match column.metric.split_once('.') {
                Some((stage, metric)) if metrics.iter().any(|known| known == metric) => {
                    format!("where rows are stages, a column names a metric alone: `{metric}`, not `{stage}.{metric}`")
                }
                _ => suggest(&column.metric, "metrics of these stages", metrics.iter().map(String::as_str)),
            };
            Diagnostic::new(message, span).help(help)
        })
    }

    /// Ranks, differences and significance that cannot be told.
    fn comparisons(&self, title: &str, column: &TableColumn) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        let place = |field: &str| (self.place)(&["columns", title, field]);
        let objectives = self.pipeline.sweep.as_ref().map(|sweep| &sweep.objective.0);
        let objectives = objectives.map_or(&[][..], Vec::as_slice);
        if column.rank
            && self
                .table
                .direction(column, objectives, &self.pipeline.metrics)
                .is_none()
        {
            let message = format!("there is no rank where no `{title}` is better than another");
            mistakes.push(Diagnostic::new(message, place("rank")).help("add best: max or best: min"));
        }
        for (field, wanted) in [("delta", column.delta), ("significance", column.significance)] {
            if wanted && self.table.baseline.is_none() {
                mistakes.push(
                    Diagnostic::new(
                        format!("`{field}` compares with a baseline, and there is none"),
                        place(field),
                    )
                    .help("name a row: baseline: {PARAMETER: VALUE}"),
                );
            }
        }
        if column.significance && !column.show.is_mean() {
            mistakes.push(
                Diagnostic::new("significance is told of means", place("significance"))
                    .help("show: mean_std, mean or interval"),
            );
        }
        if column.best.is_some_and(|best| best != Best::None) && column.show == Show::Count {
            mistakes.push(Diagnostic::new(
                "no number of values is better than another",
                place("best"),
            ));
        }
        mistakes
    }

    fn filters(&self) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        let labels = self.table.labels();
        for (name, filter) in &self.table.filters {
            let span = (self.place)(&["where", name]);
            if labels.contains(name) || self.pipeline.params.contains_key(name) {
                mistakes.extend(self.never(name, filter, span));
                continue;
            }
            if !self.is_alone() {
                continue;
            }
            match name.parse::<MetricPath>() {
                Ok(path) if self.pipeline.stages.contains_key(&path.stage) => {
                    mistakes.extend(metric_mistake(
                        &self.pipeline.stages,
                        &self.pipeline.metrics,
                        &path,
                        span,
                    ));
                }
                Ok(path) if self.table.rows.stages.is_empty() => {
                    mistakes.push(unknown_stage(&self.pipeline.stages, &path.stage, span));
                }
                // A metric of the stages that are rows.
                _ if !self.table.rows.stages.is_empty() => {
                    mistakes.extend(self.metric(&TableColumn::of(name), span));
                }
                _ => mistakes.push(self.unknown_parameter(name, span)),
            }
        }
        mistakes
    }

    /// A filter for values that a swept parameter never has.
    fn never(&self, name: &str, filter: &Filter, span: SourceSpan) -> Option<Diagnostic> {
        let Filter::OneOf(values) = filter else {
            return None;
        };
        let never: Vec<String> = values
            .iter()
            .filter(|value| self.is_never(name, value))
            .map(Value::to_string)
            .collect();
        (!never.is_empty())
            .then(|| Diagnostic::new(format!("`{name}` is never {}", never.join(" or ")), span))
    }

    /// Whether a swept parameter or a stage's row can never have this value. Other parameters can:
    /// the command line sets them.
    fn is_never(&self, name: &str, value: &Value) -> bool {
        if !self.is_alone() {
            return false;
        }
        if name == "stage" && !self.table.rows.stages.is_empty() {
            return !value
                .as_str()
                .is_some_and(|stage| self.table.rows.stages.iter().any(|known| known == stage));
        }
        let Some(parameter) = self.sweep().and_then(|sweep| sweep.params.get(name)) else {
            return false;
        };
        // Where it is not used, it has the value that the file gives it.
        parameter.when.is_empty() && !parameter.domain.contains(value)
    }

    fn sweep(&self) -> Option<&Sweep> {
        self.pipeline.sweep.as_ref()
    }

    fn sort(&self) -> Vec<Diagnostic> {
        let labels = self.table.labels();
        let known = || labels.iter().chain(self.table.columns.keys()).map(String::as_str);
        let mut mistakes = Vec::new();
        for (index, key) in self.table.sort.0.iter().enumerate() {
            if known().any(|name| name == key.by) {
                continue;
            }
            let span = match (self.place)(&["sort", &index.to_string(), "by"]) {
                deep if deep != (self.place)(&["sort"]) => deep,
                _ => (self.place)(&["sort", "by"]),
            };
            let message = format!(
                "the rows cannot be sorted by `{}`: there is no such column",
                key.by
            );
            mistakes.push(Diagnostic::new(message, span).help(suggest(&key.by, "columns", known())));
        }
        mistakes
    }

    fn baseline(&self) -> Vec<Diagnostic> {
        let Some(baseline) = &self.table.baseline else {
            return Vec::new();
        };
        let labels = self.table.labels();
        let values = baseline.values(&labels);
        let span = (self.place)(&["baseline"]);
        let mut mistakes = Vec::new();
        let is_used = |column: &TableColumn| column.delta || column.significance;
        if !self.table.columns.values().any(is_used) {
            mistakes.push(
                Diagnostic::new("no column compares with the baseline", span)
                    .help("add delta: true or significance: true to a column"),
            );
        }
        if matches!(baseline, super::Baseline::Only(_)) && labels.len() != 1 {
            mistakes.push(
                Diagnostic::new("a value alone names no row here", span).help(format!(
                    "rows are told apart by {}; write baseline: {{NAME: VALUE}}",
                    if labels.is_empty() {
                        "nothing".to_owned()
                    } else {
                        labels.join(", ")
                    }
                )),
            );
            return mistakes;
        }
        if values.is_empty() {
            mistakes
                .push(Diagnostic::new("the baseline names no row", span).help("for example {model: mlp}"));
        }
        for (name, value) in &values {
            let span = (self.place)(&["baseline", name]);
            if !labels.contains(name) {
                let known = labels.iter().map(String::as_str);
                mistakes.push(
                    Diagnostic::new(format!("rows are not told apart by `{name}`"), span).help(suggest(
                        name,
                        "what tells rows apart",
                        known,
                    )),
                );
            } else if self.is_never(name, value) {
                mistakes.push(
                    Diagnostic::new(
                        format!("no row can be the baseline: `{name}` is never {value}"),
                        span,
                    )
                    .help(self.known_values(name)),
                );
            }
        }
        mistakes
    }

    /// The values that a label may have, as a sentence.
    fn known_values(&self, name: &str) -> String {
        if name == "stage" {
            return format!("stages: {}", self.table.rows.stages.join(", "));
        }
        let domain = self.sweep().and_then(|sweep| sweep.params.get(name));
        match domain.and_then(|parameter| parameter.domain.values()) {
            Some(values) => {
                let values: Vec<String> = values.iter().take(20).map(Value::to_string).collect();
                format!("it is swept over {}", values.join(", "))
            }
            None => "it is swept over other numbers".to_owned(),
        }
    }

    /// Rows that hide a swept parameter without a rule for it.
    fn group(&self) -> Option<Diagnostic> {
        let rows = &self.table.rows;
        let sweep = self.sweep()?;
        if rows.each_trial || self.table.group == Some(Group::All) || !sweep.objective.0.is_empty() {
            return None;
        }
        let open: Vec<&str> = self.hidden(sweep).collect();
        (!open.is_empty()).then(|| {
            let message = format!(
                "a row stands for several trials: `{}` {} swept too",
                open.join("`, `"),
                if open.len() == 1 { "is" } else { "are" }
            );
            let span = (self.place)(&[if self.table.group.is_some() { "group" } else { "rows" }]);
            Diagnostic::new(message, span).help(
                "add it to the rows, fix it under `where`, write group: all, or give the sweep an objective: then \
                 the best trial stands for the row",
            )
        })
    }

    /// Rows that would show the fold on which a model happens to be best.
    fn folds(&self) -> Option<Diagnostic> {
        let sweep = self.sweep()?;
        if self.table.rows.each_trial || self.table.group == Some(Group::All) || sweep.objective.0.is_empty()
        {
            return None;
        }
        let fold = self.hidden(sweep).find(|name| self.folds.contains(name))?;
        let message = format!("a row would be the best of the folds: `{fold}` chooses one, and is swept");
        let span = (self.place)(&[if self.table.group.is_some() {
            "group"
        } else {
            "rows"
        }]);
        let help = format!("write `group: all` for the mean over the folds, or add `{fold}` to the rows");
        Some(Diagnostic::new(message, span).help(help))
    }

    /// Swept parameters that rows do not tell apart.
    fn hidden<'s>(&'s self, sweep: &'s Sweep) -> impl Iterator<Item = &'s str> {
        let is_fixed = |name: &str| match self.table.filters.get(name) {
            Some(Filter::OneOf(values)) => values.len() == 1,
            _ => false,
        };
        let rows = &self.table.rows.parameters;
        let names = sweep.params.keys().map(String::as_str);
        names.filter(move |name| !rows.iter().any(|row| row == name) && !is_fixed(name))
    }

    fn pipelines(&self) -> Vec<Diagnostic> {
        let mut mistakes = Vec::new();
        for (index, path) in self.table.pipelines.iter().enumerate() {
            let span = (self.place)(&["pipelines", &index.to_string()]);
            if !path.starts_with("./") {
                mistakes.push(
                    Diagnostic::new(format!("`{path}` is not a file of the project"), span)
                        .help(format!("a file of the project is written ./{path}")),
                );
            }
            if self.table.pipelines[..index].contains(path) {
                mistakes.push(Diagnostic::new(
                    format!("the file `{path}` stands here twice"),
                    span,
                ));
            }
        }
        mistakes
    }
}
