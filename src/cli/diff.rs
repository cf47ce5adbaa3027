//! `erlen diff A B`: what differs between two runs.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::arguments::StoreArguments;
use super::exit::DONE;
use super::text::{moment, value_text};
use crate::app::{AppError, RunComparison, find_run};
use crate::event::MetricValue;
use crate::plan::Difference;
use crate::progress::text;
use crate::record::RunRow;

#[derive(Debug, Args)]
pub(super) struct DiffArguments {
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

pub(super) fn run(arguments: &DiffArguments) -> Result<u8, AppError> {
    let history = arguments.store.history()?;
    let old = find_run(&history, &arguments.old)?;
    let new = find_run(&history, &arguments.new)?;
    let comparison = RunComparison::of(&old, &new);
    if arguments.json {
        anstream::println!("{:#}", serde_json::to_value(&comparison).unwrap_or_default());
    } else {
        anstream::print!("{}", to_text(&comparison, &old, &new));
    }
    Ok(DONE)
}

fn to_text(comparison: &RunComparison, old: &RunRow, new: &RunRow) -> String {
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
            let [old, new] = values.map(|value| value.map_or_else(|| "-".to_owned(), text::metric_value));
            let change = match values.map(|value| value.and_then(MetricValue::number)) {
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
