//! `erlen show`: a run, or from a figure in a table to the results behind it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::arguments::StoreArguments;
use super::exit::DONE;
use super::{show_examples, show_run};
use crate::app::{AppError, find_cell, labels_text, made_from, names_run, provenance_of};
use crate::fingerprint::Fingerprint;
use crate::report::{CellOrigin, Provenance, ProvenanceRow, StageOrigin, Summary, ValueOrigin};
use crate::spec::counted;
use crate::store::{Lookup, Store};

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// A run's number, or `latest`; or a table's name (or the path of one of its files) and a cell:
    /// the row's number or values, and the column's title, such as models:2.accuracy or
    /// models:lr=0.1,accuracy; without a cell, the rows and columns that there are; or a pipeline file
    /// and a stage that made a dataset of texts, such as pipelines/sotu-gpt.yaml:text, for a look at
    /// its tokens, or one that generated texts, to read them
    #[arg(value_name = "RUN|TABLE:CELL|FILE:STAGE")]
    cell: String,
    /// Print what a run's stages printed, or what one of them did
    #[arg(long, value_name = "STAGE", num_args = 0..=1, default_missing_value = "")]
    log: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArguments,
}

pub(super) fn run(arguments: &ShowArguments) -> Result<u8, AppError> {
    if names_run(&arguments.cell) {
        match &arguments.log {
            Some(stage) => show_run::show_log(&arguments.cell, stage, &arguments.store)?,
            None => show_run::show(&arguments.cell, &arguments.store, arguments.json)?,
        }
        return Ok(DONE);
    }
    if arguments.log.is_some() {
        return Err(AppError::Request(
            "--log is about a run: give its number, as `erlen runs` lists it, or latest".to_owned(),
        ));
    }
    if let Some((file, stage)) = show_examples::stage_of(&arguments.cell) {
        let Some(stage) = stage else {
            return Err(show_examples::without_stage(&file));
        };
        show_examples::show(file, &stage, &arguments.store, arguments.json)?;
        return Ok(DONE);
    }
    let project = arguments.store.project()?;
    let (table, cell) = match arguments.cell.split_once(':') {
        Some((table, cell)) => (table, Some(cell)),
        None => (arguments.cell.as_str(), None),
    };
    let provenance = provenance_of(&project, table)?;
    let Some(cell) = cell.filter(|cell| !cell.is_empty()) else {
        if arguments.json {
            anstream::println!("{}", provenance.to_text().trim_end());
        } else {
            anstream::print!("{}", contents(&provenance));
        }
        return Ok(DONE);
    };
    let (number, row, title, origin) = find_cell(&provenance, cell)?;
    if arguments.json {
        anstream::println!("{:#}", to_json(&provenance, number, row, title, origin));
        return Ok(DONE);
    }
    // Without a store the file still tells; the store adds when and where.
    let store = project
        .store
        .join("format")
        .is_file()
        .then(|| Store::open(&project.store));
    let store = store.transpose()?;
    anstream::print!(
        "{}",
        to_text(&provenance, (number, row), title, origin, store.as_ref())
    );
    Ok(DONE)
}

/// What can be asked for.
fn contents(provenance: &Provenance) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {}",
        provenance.table,
        counted(provenance.rows.len(), "row")
    );
    for (index, row) in provenance.rows.iter().enumerate() {
        let _ = writeln!(text, "  {:>3}  {}", index + 1, labels_text(row));
    }
    if let Some(row) = provenance.rows.first() {
        let titles: Vec<&str> = row.cells.keys().map(String::as_str).collect();
        let _ = writeln!(text, "columns: {}", titles.join(", "));
        let _ = writeln!(
            text,
            "for example: erlen show '{}:1.{}'",
            provenance.table,
            titles.first().unwrap_or(&"")
        );
    }
    text
}

fn to_text(
    provenance: &Provenance,
    (number, row): (usize, &ProvenanceRow),
    title: &str,
    cell: &CellOrigin,
    store: Option<&Store>,
) -> String {
    let bold = anstyle::Style::new().bold();
    let dim = anstyle::Style::new().dimmed();
    let mut text = String::new();
    let labels = labels_text(row);
    let labels = if labels.is_empty() {
        labels
    } else {
        format!(" ({labels})")
    };
    let _ = writeln!(
        text,
        "{bold}{}: row {number}{labels}, {title}{bold:#}",
        provenance.table
    );
    let values: Vec<f64> = cell.values.iter().map(|value| value.value).collect();
    match Summary::of(&values) {
        None => {
            let _ = writeln!(text, "  no result: {} is missing", cell.metric);
        }
        Some(Summary { count: 1, mean, .. }) => {
            let _ = writeln!(text, "  {} = {mean:?}", cell.metric);
        }
        Some(summary) => {
            let figure = cell
                .figure
                .map_or_else(|| "no figure".to_owned(), |figure| format!("{figure:?}"));
            let _ = writeln!(
                text,
                "  {figure} ({}) of {} of {}: mean {:?}, deviation {:?}, from {:?} to {:?}",
                show_text(cell),
                counted(summary.count, "value"),
                cell.metric,
                summary.mean,
                summary.std.unwrap_or_default(),
                summary.min,
                summary.max
            );
        }
    }
    let mut told = BTreeSet::new();
    for value in &cell.values {
        let _ = writeln!(text, "\n{}", value_text(provenance, value));
        for fingerprint in made_from(provenance, value.fingerprint) {
            let Some(stage) = provenance.stages.get(&fingerprint) else {
                continue;
            };
            if told.insert(fingerprint) {
                text.push_str(&stage_text(provenance, fingerprint, stage, store));
            } else {
                let short = fingerprint.short();
                let _ = writeln!(text, "  {} {dim}{short}: as above{dim:#}", stage.stage);
            }
        }
    }
    text
}

fn show_text(cell: &CellOrigin) -> String {
    match serde_json::to_value(cell.show) {
        Ok(Value::String(name)) => name.replace('_', " and "),
        _ => String::new(),
    }
}

fn value_text(provenance: &Provenance, value: &ValueOrigin) -> String {
    let bold = anstyle::Style::new().bold();
    let origin = provenance.pipelines.get(value.pipeline);
    let parameters = origin.and_then(|origin| origin.trials.get(&value.trial));
    let parameters: Vec<String> = parameters
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!(
        "{bold}{:?}{bold:#}  seed {}, trial {} of {} ({})\n  {}",
        value.value,
        value.seed,
        value.trial,
        origin.map_or("", |origin| &origin.name),
        origin.map_or("", |origin| &origin.file),
        parameters.join(" ")
    )
}

fn stage_text(
    provenance: &Provenance,
    fingerprint: Fingerprint,
    stage: &StageOrigin,
    store: Option<&Store>,
) -> String {
    let dim = anstyle::Style::new().dimmed();
    let mut text = String::new();
    let seed = stage
        .seed
        .map_or_else(String::new, |seed| format!(", seed {seed}"));
    let _ = writeln!(
        text,
        "  {}  {} version {}{seed}\n    {dim}fingerprint{dim:#} {fingerprint}\n    {dim}artifact{dim:#}    {}",
        stage.stage, stage.kind, stage.version, stage.artifact
    );
    for (role, input) in &stage.inputs {
        let from = input.from.and_then(|from| provenance.stages.get(&from));
        let from = from.map_or("a file of the project", |stage| &stage.stage);
        let _ = writeln!(
            text,
            "    {dim}input{dim:#}       {role} = {} from {from}",
            input.digest
        );
    }
    if let Value::Object(fields) = &stage.fields {
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let _ = writeln!(text, "    {dim}field{dim:#}       {name} = {value}");
        }
    }
    if let Some(Ok(Lookup::Hit(action))) = store.map(|store| store.look_up(&fingerprint)) {
        let how = action.made.value();
        let made = |field: &str| how.get(field).and_then(Value::as_str).unwrap_or("?");
        let _ = writeln!(
            text,
            "    {dim}made{dim:#}        {} on {} by erlen {}",
            made("started"),
            made("host"),
            made("erlen")
        );
    }
    text
}

fn to_json(
    provenance: &Provenance,
    number: usize,
    row: &ProvenanceRow,
    title: &str,
    cell: &CellOrigin,
) -> Value {
    let mut fingerprints = BTreeSet::new();
    for value in &cell.values {
        fingerprints.extend(made_from(provenance, value.fingerprint));
    }
    let stages: serde_json::Map<String, Value> = provenance
        .stages
        .iter()
        .filter(|(fingerprint, _)| fingerprints.contains(fingerprint))
        .map(|(fingerprint, stage)| {
            let stage = serde_json::to_value(stage).unwrap_or_default();
            (fingerprint.to_string(), stage)
        })
        .collect();
    serde_json::json!({
        "table": provenance.table,
        "row": number,
        "labels": row.labels,
        "column": title,
        "cell": cell,
        "pipelines": provenance.pipelines,
        "stages": stages,
    })
}
