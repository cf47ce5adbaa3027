//! `erlen table`: brings tables up to date with all that they need, or checks that they are.

use std::path::PathBuf;

use clap::Args;
use indexmap::IndexMap;
use similar::TextDiff;

use super::execution::ExecutionArguments;
use super::results::{Effort, Gathered, results_of};
use super::session::{PipelineArguments, Session};
use super::tables::{Built, build, needs, open_other};
use super::{DONE, FAILED, Fail};
use crate::event::Event;
use crate::report::{Results, check_across};
use crate::spec::{Override, Pipeline, Table, suggest};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Tables of the file; by default all
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// Write nothing; show what differs from the files that are there, and exit with 1 where any does
    #[arg(long)]
    check: bool,
    /// Run nothing: use the results that are there, and mark what is missing
    #[arg(long)]
    no_run: bool,
    /// Replace a parameter's value (or the pipeline's `seed`); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    overrides: Vec<Override>,
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    store: Option<PathBuf>,
    #[command(flatten)]
    execution: ExecutionArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let session = Session::open(&PipelineArguments {
        file: arguments.file.clone(),
        overrides: arguments.overrides.clone(),
        store: arguments.store.clone(),
        ..PipelineArguments::default()
    })?;
    let tables = chosen(&session.pipeline, arguments)?;
    let mut others: IndexMap<&str, Session> = IndexMap::new();
    for path in tables.iter().flat_map(|(_, table)| &table.pipelines) {
        if !others.contains_key(path.as_str()) {
            others.insert(path, open_other(&session, path)?);
        }
    }
    for (name, table) in tables.iter().filter(|(_, table)| !table.pipelines.is_empty()) {
        let mut pipelines = vec![&session.pipeline];
        pipelines.extend(table.pipelines.iter().map(|path| &others[path.as_str()].pipeline));
        check_across(name, table, &pipelines)?;
    }

    let effort = if arguments.no_run {
        Effort::Known
    } else {
        Effort::Run(&arguments.execution)
    };
    let all: Vec<&Table> = tables.iter().map(|(_, table)| *table).collect();
    let own = match gather(&session, &all, &arguments.overrides, effort)? {
        Gathered::Known(results) => results,
        Gathered::Ended(code) => return Ok(code),
    };
    let mut known: IndexMap<&str, Results> = IndexMap::new();
    for (path, other) in &others {
        let interested: Vec<&Table> = all
            .iter()
            .copied()
            .filter(|table| table.pipelines.iter().any(|one| one == path))
            .collect();
        match gather(other, &interested, &[], effort)? {
            Gathered::Known(results) => known.insert(path, results),
            Gathered::Ended(code) => return Ok(code),
        };
    }

    let mut built = Vec::new();
    for (name, table) in &tables {
        let mut sources = vec![(&session.pipeline, &own)];
        sources.extend(table.pipelines.iter().map(|path| {
            let path = path.as_str();
            (&others[path].pipeline, &known[path])
        }));
        built.push(build(name, table, &sources)?);
    }
    if arguments.check {
        return check(&session, &built);
    }
    let mut progress = arguments.execution.progress(&session)?;
    for table in &built {
        table.write(&session, &mut |event: &Event| progress.event(event))?;
    }
    drop(progress);
    for (index, table) in built.iter().enumerate() {
        anstream::print!("{}", table.text_after(index > 0));
    }
    Ok(DONE)
}

/// The named tables of the pipeline, or all.
fn chosen<'a>(pipeline: &'a Pipeline, arguments: &Arguments) -> Result<Vec<(&'a str, &'a Table)>, Fail> {
    let file = arguments.file.display();
    if pipeline.tables.is_empty() {
        return Err(Fail::Usage(format!(
            "{file} has no tables; add a section `tables`"
        )));
    }
    if arguments.tables.is_empty() {
        return Ok(pipeline
            .tables
            .iter()
            .map(|(name, table)| (name.as_str(), table))
            .collect());
    }
    let find = |name: &String| {
        let found = pipeline.tables.get_key_value(name);
        found.map(|(name, table)| (name.as_str(), table)).ok_or_else(|| {
            let help = suggest(name, "tables", pipeline.tables.keys().map(String::as_str));
            Fail::Usage(format!("{file} has no table `{name}`; {help}"))
        })
    };
    arguments.tables.iter().map(find).collect()
}

/// What `tables` need of the session's pipeline.
fn gather(
    session: &Session,
    tables: &[&Table],
    overrides: &[Override],
    effort: Effort<'_>,
) -> Result<Gathered, Fail> {
    let mut needs = needs(session, tables);
    needs.overrides = overrides.to_vec();
    // No stages would mean all of them; what is shown is of other files.
    let effort = if needs.stages.is_empty() {
        Effort::Known
    } else {
        effort
    };
    results_of(session, &needs, effort)
}

/// Shows how the files differ from what they should be.
fn check(session: &Session, tables: &[Built]) -> Result<u8, Fail> {
    let mut stale = Vec::new();
    for table in tables {
        for (path, wanted) in &table.files {
            let place = session.project.root.join(path);
            let found = match std::fs::read(&place) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    stale.push(format!("{path} is missing"));
                    continue;
                }
                Err(error) => return Err(Fail::io(format!("reading {}", place.display()))(error)),
            };
            if found != *wanted {
                show_difference(path, &found, wanted);
                stale.push(format!("{path} is not what the results say"));
            }
        }
    }
    for what in &stale {
        anstream::eprintln!("{what}");
    }
    if stale.is_empty() {
        for table in tables {
            anstream::eprintln!("the table `{}` is up to date", table.name);
        }
        return Ok(DONE);
    }
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    anstream::eprintln!(
        "`erlen table {} {}` writes them anew",
        session.file().display(),
        names.join(" ")
    );
    Ok(FAILED)
}

/// A unified difference, cut short where it is long.
fn show_difference(path: &str, found: &[u8], wanted: &[u8]) {
    const MOST_LINES: usize = 100;
    let (found, wanted) = (String::from_utf8_lossy(found), String::from_utf8_lossy(wanted));
    let difference = TextDiff::from_lines(found.as_ref(), wanted.as_ref());
    let text = difference
        .unified_diff()
        .header(path, &format!("{path} (from the results)"))
        .to_string();
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().take(MOST_LINES) {
        let color = match line.as_bytes().first() {
            Some(b'+') => Some(anstyle::AnsiColor::Green),
            Some(b'-') => Some(anstyle::AnsiColor::Red),
            _ => None,
        };
        let style = anstyle::Style::new().fg_color(color.map(Into::into));
        anstream::println!("{style}{line}{style:#}");
    }
    if lines.len() > MOST_LINES {
        anstream::println!("… and {} more lines", lines.len() - MOST_LINES);
    }
}
