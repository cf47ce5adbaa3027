//! `erlen diff A B`: what differs between two runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::past::{StoreArguments, find_run, moment, value_text};
use super::{DONE, Fail};
use crate::event::Metrics;
use crate::plan::{Difference, StageKey, differences};
use crate::progress::text;
use crate::record::{RunRow, StageRow};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The earlier run, by its number
    #[arg(value_name = "RUN")]
    old: String,
    /// The later run, by its number, or latest
    #[arg(value_name = "RUN", default_value = "latest")]
    new: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let history = arguments.store.history()?;
    let old = find_run(&history, &arguments.old)?;
    let new = find_run(&history, &arguments.new)?;
    let comparison = Comparison::of(&old, &new);
    if arguments.json {
        anstream::println!("{:#}", serde_json::to_value(&comparison).unwrap_or_default());
    } else {
        anstream::print!("{}", to_text(&comparison, &old, &new));
    }
    Ok(DONE)
}

/// What differs between two runs.
#[derive(Debug, Serialize)]
struct Comparison {
    old: i64,
    new: i64,
    params: Vec<Difference>,
    /// The stages of both that differ, by name.
    stages: BTreeMap<String, StageComparison>,
    only_old: Vec<String>,
    only_new: Vec<String>,
    /// How many stages of both had the same key and figures.
    equal: usize,
}

#[derive(Debug, Default, Serialize)]
struct StageComparison {
    /// Differing fields of the key, seed and kind among them.
    fields: Vec<Difference>,
    /// Differing inputs.
    inputs: Vec<Difference>,
    /// Differing figures, old and new.
    metrics: BTreeMap<String, [Option<f64>; 2]>,
    /// Whether the results' bytes differ, where both are known.
    artifact: Option<bool>,
    seconds: [Option<f64>; 2],
}

impl Comparison {
    fn of(old: &RunRow, new: &RunRow) -> Self {
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

fn changed_metrics(old: &Metrics, new: &Metrics) -> BTreeMap<String, [Option<f64>; 2]> {
    let names = old.keys().chain(new.keys());
    names
        .map(|name| (name.clone(), [old.get(name).copied(), new.get(name).copied()]))
        .filter(|(_, [old, new])| old.map(f64::to_bits) != new.map(f64::to_bits))
        .collect()
}

fn to_text(comparison: &Comparison, old: &RunRow, new: &RunRow) -> String {
    let (bold, dim) = (anstyle::Style::new().bold(), anstyle::Style::new().dimmed());
    let mut out = String::new();
    let mut title = |sign: char, run: &RunRow| {
        let summary = &run.summary;
        let _ = writeln!(
            out,
            "{sign} {bold}run {}: {}{bold:#}  {}",
            summary.id,
            summary.pipeline,
            moment(summary.started)
        );
    };
    title('-', old);
    title('+', new);
    let nothing = comparison.params.is_empty()
        && comparison.stages.is_empty()
        && comparison.only_old.is_empty()
        && comparison.only_new.is_empty();
    if nothing {
        let _ = writeln!(
            out,
            "no difference in {}",
            text::counted(comparison.equal, "stage")
        );
        return out;
    }
    if !comparison.params.is_empty() {
        let _ = writeln!(out, "\n{bold}params{bold:#}");
        lines(&mut out, "  ", &comparison.params, value_text);
    }
    for (name, stage) in &comparison.stages {
        let _ = writeln!(out, "\n{bold}{name}{bold:#}");
        lines(&mut out, "  ", &stage.fields, value_text);
        lines(&mut out, "  input ", &stage.inputs, |digest| {
            digest.and_then(Value::as_str).map_or_else(
                || "-".to_owned(),
                |digest| digest[..12.min(digest.len())].to_owned(),
            )
        });
        let width = stage
            .metrics
            .keys()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        for (name, values) in &stage.metrics {
            let [old, new] = values.map(|value| value.map_or_else(|| "-".to_owned(), text::metric));
            let change = match values {
                [Some(old), Some(new)] => {
                    let sign = if new >= old { "+" } else { "" };
                    format!("  {dim}{sign}{}{dim:#}", text::metric(new - old))
                }
                _ => String::new(),
            };
            let _ = writeln!(out, "  {}  {old} -> {new}{change}", text::padded(name, width));
        }
        if stage.artifact == Some(true) && stage.metrics.is_empty() {
            let _ = writeln!(out, "  another result");
        }
    }
    let mut only = |run: i64, names: &[String]| {
        if !names.is_empty() {
            let _ = writeln!(out, "\nonly in run {run}: {}", names.join(", "));
        }
    };
    only(comparison.old, &comparison.only_old);
    only(comparison.new, &comparison.only_new);
    if comparison.equal > 0 {
        let _ = writeln!(
            out,
            "\n{} without a difference",
            text::counted(comparison.equal, "stage")
        );
    }
    out
}

fn lines(
    out: &mut String,
    indent: &str,
    differences: &[Difference],
    show: impl Fn(Option<&Value>) -> String,
) {
    let width = differences
        .iter()
        .map(|difference| difference.path.chars().count())
        .max()
        .unwrap_or(0);
    for Difference { path, old, new } in differences {
        let (old, new) = (show(old.as_ref()), show(new.as_ref()));
        let _ = writeln!(out, "{indent}{}  {old} -> {new}", text::padded(path, width));
    }
}
