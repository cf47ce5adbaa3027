//! `erlen show RUN`: what one run did.

use std::fmt::Write as _;

use serde_json::Value;

use super::arguments::StoreArguments;
use super::text::{duration, mark, moment, status, value_text};
use crate::app::{AppError, find_run};
use crate::metric::MetricTable;
use crate::progress::text;
use crate::record::{RunRow, StageRow};
use crate::spec::suggest;

pub(super) fn show(name: &str, store: &StoreArguments, json: bool) -> Result<(), AppError> {
    let run = find_run(&store.history()?, name)?;
    if json {
        let run = serde_json::to_value(&run).unwrap_or_default();
        anstream::println!("{run:#}");
    } else {
        anstream::print!("{}", to_text(&run));
    }
    Ok(())
}

/// Prints what the stages of a run printed; with a `stage` that is named, what that one did.
pub(super) fn show_log(name: &str, stage: &str, store: &StoreArguments) -> Result<(), AppError> {
    let run = find_run(&store.history()?, name)?;
    let mut stages = run.stages.iter();
    let id = run.summary.id;
    if stage.is_empty() {
        let printed: Vec<&StageRow> = stages.filter(|stage| stage.printed.is_some()).collect();
        if printed.is_empty() {
            return Err(AppError::Request(format!(
                "no stage of run {id} printed anything"
            )));
        }
        let (bold, many) = (anstyle::Style::new().bold(), printed.len() > 1);
        for stage in printed {
            if many {
                anstream::println!("{bold}{}{bold:#}", text::printable(&stage.stage));
            }
            print_log(stage);
        }
        return Ok(());
    }
    let Some(found) = stages.find(|row| row.stage == stage) else {
        let names = run.stages.iter().map(|stage| stage.stage.as_str());
        let help = suggest(stage, "stages", names);
        return Err(AppError::Request(format!(
            "run {id} has no stage `{stage}`: {help}"
        )));
    };
    if found.printed.is_none() {
        return Err(AppError::Request(format!(
            "the stage `{stage}` of run {id} printed nothing"
        )));
    }
    print_log(found);
    Ok(())
}

fn print_log(stage: &StageRow) {
    for line in stage.printed.iter().flat_map(|printed| printed.lines()) {
        anstream::println!("{}", text::printable(line));
    }
}

fn to_text(run: &RunRow) -> String {
    let (bold, dim) = (anstyle::Style::new().bold(), anstyle::Style::new().dimmed());
    let summary = &run.summary;
    let mut out = String::new();
    let took = duration(summary).map_or_else(String::new, |took| format!(" in {took}"));
    let _ = writeln!(
        out,
        "{bold}run {}: {}{bold:#}, {}{took}",
        summary.id,
        summary.pipeline,
        status(summary)
    );
    let commit = summary
        .git_commit
        .as_deref()
        .map_or_else(String::new, |commit| format!(", commit {commit}"));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {dim}{name:8}{dim:#}  {value}");
    };
    line("file", &summary.file);
    line(
        "started",
        &format!(
            "{} on {} by erlen {}{commit}",
            moment(summary.started),
            summary.host,
            summary.version
        ),
    );
    line("command", &text::printable(&summary.command.join(" ")));
    if let Value::Object(params) = &summary.params
        && !params.is_empty()
    {
        let params: Vec<String> = params
            .iter()
            .map(|(name, value)| format!("{name}={}", value_text(Some(value))))
            .collect();
        line("params", &params.join(" "));
    }
    out.push('\n');
    let width = |of: fn(&StageRow) -> usize| run.stages.iter().map(of).max().unwrap_or(0);
    let names = width(|stage| stage.stage.chars().count());
    let kinds = width(|stage| kind(stage).len());
    let known = MetricTable::built_in();
    for stage in &run.stages {
        let (mark, style) = mark(stage.status);
        let took = stage.seconds.map_or_else(String::new, text::seconds);
        let memory = stage
            .peak_memory
            .map_or_else(String::new, |bytes| text::bytes(bytes as f64));
        let metrics: Vec<String> = text::metrics(&stage.stage, &stage.metrics, &known)
            .into_iter()
            .map(|(_, metric)| metric)
            .collect();
        let line = format!(
            "  {style}{mark}{style:#} {}  {:kinds$}  {:11}  {took:>7}  {memory:>9}  {}",
            text::padded(&stage.stage, names),
            kind(stage),
            stage.status.as_str(),
            metrics.join("  ")
        );
        out.push_str(line.trim_end());
        out.push('\n');
        for line in stage.error.iter().flat_map(|error| error.lines()) {
            let _ = writeln!(out, "      {}", text::printable(line));
        }
        if let Some(printed) = &stage.printed {
            let lines = text::counted(printed.lines().count(), "line");
            let (id, name) = (summary.id, text::printable(&stage.stage));
            let _ = writeln!(
                out,
                "      {dim}printed {lines}: erlen show {id} --log {name}{dim:#}"
            );
        }
    }
    out
}

/// A stage's kind; where it did not run, its key tells.
fn kind(stage: &StageRow) -> &str {
    let told = || stage.key.get("kind").and_then(Value::as_str);
    stage.kind.as_deref().or_else(told).unwrap_or("")
}
