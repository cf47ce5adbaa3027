//! The `tables:` section: results as files.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de};

use super::sweep::Objective;
use super::table_column::{Best, Show, TableColumn};
use super::table_rows::{Baseline, Filter, Group, Rows, SortKeys};
use crate::metric::{Direction, MetricTable};

/// A results table, written to `results/NAME.FORMAT`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// What tells the rows apart: parameters, or `{trials: [...]}` for a row a trial, or
    /// `{stages: [...]}` for a row a stage.
    #[serde(default)]
    pub rows: Rows,
    /// Titles and the metrics under them, as `STAGE.METRIC`; where rows are stages, as
    /// `METRIC` alone.
    pub columns: IndexMap<String, TableColumn>,
    /// What trials must fulfil to be in the table: parameters' values, and bounds of metrics.
    #[serde(default, rename = "where")]
    pub filters: IndexMap<String, Filter>,
    /// The order of the rows, by a parameter or a column; by default the order of the trials.
    #[serde(default)]
    pub sort: SortKeys,
    /// The row that `delta` and `significance` compare with. What it leaves open is taken from each
    /// row itself.
    #[serde(default)]
    pub baseline: Option<Baseline>,
    /// What stands for several trials that share a row.
    #[serde(default)]
    pub group: Option<Group>,
    /// How figures are rounded in the formats for reading.
    #[serde(default)]
    pub round: Round,
    /// Further pipeline files whose results are rows too, written with a leading `./`.
    #[serde(default)]
    pub pipelines: Vec<String>,
    /// Where the files go, relative to the project's root and without an ending; by default
    /// `results/NAME`.
    #[serde(default)]
    pub path: Option<String>,
    /// The files to write.
    #[serde(default = "default_formats")]
    pub formats: Vec<TableFormat>,
}

impl Table {
    /// The titles of the columns that tell the rows apart.
    pub fn labels(&self) -> Vec<String> {
        let mut labels = Vec::new();
        if !self.pipelines.is_empty() {
            labels.push("pipeline".to_owned());
        }
        if self.rows.each_trial {
            labels.push("trial".to_owned());
        }
        labels.extend(self.rows.parameters.iter().cloned());
        if !self.rows.stages.is_empty() {
            labels.push("stage".to_owned());
        }
        labels
    }

    /// The metrics of a column: one, or where rows are stages one of each.
    pub fn metrics(&self, column: &TableColumn) -> Vec<MetricPath> {
        if self.rows.stages.is_empty() {
            return column.metric.parse().into_iter().collect();
        }
        let of = |stage: &String| MetricPath {
            stage: stage.clone(),
            metric: column.metric.clone(),
        };
        self.rows.stages.iter().map(of).collect()
    }

    /// Which way a column is better, where that is said or `known` of the metric.
    pub fn direction(
        &self,
        column: &TableColumn,
        objectives: &[Objective],
        known: &MetricTable,
    ) -> Option<Direction> {
        match column.best {
            Some(Best::Max) => return Some(Direction::Maximize),
            Some(Best::Min) => return Some(Direction::Minimize),
            Some(Best::None) => return None,
            None => {}
        }
        if matches!(column.show, Show::Std | Show::Count) {
            return None;
        }
        let metrics = self.metrics(column);
        let objective = objectives
            .iter()
            .find(|objective| metrics.contains(objective.path()));
        if let Some(objective) = objective {
            return Some(objective.direction());
        }
        let mut ways = metrics.iter().map(|path| known.better(&path.stage, &path.metric));
        let first = ways.next()?;
        // Figures of which one is better when larger and another when smaller have no best.
        ways.all(|way| way == first).then_some(first)?
    }

    /// The stages whose results the table shows or chooses by.
    pub fn stages(&self) -> BTreeSet<String> {
        let shown = self.columns.values().flat_map(|column| self.metrics(column));
        let filtered = self.filters.keys().filter_map(|name| name.parse().ok());
        shown.chain(filtered).map(|path: MetricPath| path.stage).collect()
    }

    /// The path of the files without their endings, relative to the project's root.
    pub fn place(&self, name: &str) -> String {
        let Some(path) = &self.path else {
            return format!("results/{name}");
        };
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        parts.collect::<Vec<_>>().join("/")
    }

    /// The file of a format, relative to the project's root.
    pub fn file(&self, name: &str, format: TableFormat) -> String {
        format!("{}.{}", self.place(name), format.extension())
    }

    /// The file that leads from each cell to the results behind it, relative to the project's root.
    pub fn provenance_file(&self, name: &str) -> String {
        format!("{}.provenance.json", self.place(name))
    }
}

/// How figures are rounded in the formats for reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// As the column's format and digits say.
    #[default]
    Digits,
    /// The uncertainty (standard deviation, or half the interval) to two significant digits, and
    /// the figure to the same decimal. A column's own `digits` go before.
    Uncertainty,
}

/// A metric of a stage, written `STAGE.METRIC`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String")]
pub struct MetricPath {
    /// The stage's name.
    pub stage: String,
    /// The metric's name.
    pub metric: String,
}

impl Display for MetricPath {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stage, self.metric)
    }
}

impl From<MetricPath> for String {
    fn from(path: MetricPath) -> Self {
        path.to_string()
    }
}

impl std::str::FromStr for MetricPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            Some((stage, metric)) if !stage.is_empty() && !metric.is_empty() => Ok(Self {
                stage: stage.to_owned(),
                metric: metric.to_owned(),
            }),
            _ => Err(format!(
                "`{text}` is not a metric: STAGE.METRIC is expected, such as test.accuracy"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for MetricPath {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A table's file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    /// Comma-separated values, numbers in full precision.
    Csv,
    /// A Markdown table.
    Md,
    /// A LaTeX table, for the package booktabs.
    Tex,
    /// An HTML table, to be put into a page.
    Html,
    /// JSON with every value in full precision.
    Json,
}

impl TableFormat {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Csv, Self::Md, Self::Tex, Self::Html, Self::Json];

    /// The file name's ending.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Md => "md",
            Self::Tex => "tex",
            Self::Html => "html",
            Self::Json => "json",
        }
    }
}

fn default_formats() -> Vec<TableFormat> {
    vec![TableFormat::Csv, TableFormat::Md]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn table(value: Value) -> Table {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn short_forms_stand_for_long_ones() {
        let short = table(json!({"rows": ["lr"], "columns": {"accuracy": "test.accuracy"}, "sort": "lr"}));
        let long = table(json!({
            "rows": {"parameters": ["lr"]},
            "columns": {"accuracy": {"metric": "test.accuracy", "show": "mean_std"}},
            "sort": [{"by": "lr"}],
            "formats": ["csv", "md"],
        }));
        assert_eq!(short, long);
        assert_eq!(short.labels(), ["lr"]);
        assert_eq!(short.file("a", TableFormat::Tex), "results/a.tex");
    }

    #[test]
    fn rows_may_be_trials_or_stages() {
        let trials = table(json!({"rows": {"trials": ["lr"]}, "columns": {}, "pipelines": ["./b.yaml"]}));
        assert_eq!(trials.labels(), ["pipeline", "trial", "lr"]);
        let stages = table(json!({"rows": {"stages": ["a", "b"]}, "columns": {"x": "deep.y"}}));
        assert_eq!(stages.labels(), ["stage"]);
        let metrics = stages.metrics(&stages.columns["x"]);
        assert_eq!(metrics[1].to_string(), "b.deep.y");
        assert_eq!(stages.stages().len(), 2);
        let both = json!({"rows": {"parameters": ["lr"], "trials": []}, "columns": {}});
        assert!(serde_json::from_value::<Table>(both).is_err());
    }

    #[test]
    fn what_is_better_is_told_by_name_objective_or_word() {
        let better = |column: Value, objectives: Value| {
            let table = table(json!({"columns": {"x": column}}));
            let objectives: Vec<Objective> = serde_json::from_value(objectives).unwrap();
            table.direction(&table.columns["x"], &objectives, &MetricTable::built_in())
        };
        assert_eq!(better(json!("m.val_loss"), json!([])), Some(Direction::Minimize));
        assert_eq!(better(json!("m.accuracy"), json!([])), Some(Direction::Maximize));
        assert_eq!(better(json!("m.bytes"), json!([])), None);
        assert_eq!(
            better(json!("m.bytes"), json!([{"minimize": "m.bytes"}])),
            Some(Direction::Minimize)
        );
        assert_eq!(
            better(json!({"metric": "m.loss", "best": "max"}), json!([])),
            Some(Direction::Maximize)
        );
        assert_eq!(
            better(json!({"metric": "m.loss", "best": "none"}), json!([])),
            None
        );
    }
}
