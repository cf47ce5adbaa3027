//! `erlen store gc`: removing results that nobody needs any more.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::app::{AppError, PIPELINES, existing_store, pipelines_of, retention_rules};
use crate::cli::arguments::StoreArguments;
use crate::cli::exit::DONE;
use crate::cli::text::{moment, shown_path};
use crate::progress::text::{bytes, counted};
use crate::spec::{ByteSize, Span};
use crate::store::Collection;

#[derive(Debug, Args)]
pub(super) struct GcArguments {
    /// The pipelines whose results stay, as they are written now; by default all in pipelines/
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Keep what was used lately too, such as 30d
    #[arg(long, value_name = "TIME")]
    keep: Option<Span>,
    /// Remove no more than is needed to come under this size, the least recently used first
    #[arg(long, value_name = "SIZE")]
    quota: Option<ByteSize>,
    /// Remove it, instead of showing what would go
    #[arg(long)]
    delete: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArguments,
}

pub(super) fn run(arguments: &GcArguments) -> Result<u8, AppError> {
    let project = arguments.store.project()?;
    let store = existing_store(&project)?;
    let files = if arguments.files.is_empty() {
        let files = pipelines_of(&project)?;
        if files.is_empty() {
            return Err(AppError::Request(format!(
                "there are no pipeline files in {}: name those whose results are to stay",
                project.root.join(PIPELINES).display()
            )));
        }
        files
    } else {
        arguments.files.clone()
    };
    let keep = arguments.keep.unwrap_or(Span(Duration::ZERO));
    let rules = retention_rules(&project, &files, keep, arguments.quota)?;
    for unplanned in &rules.unplanned {
        anstream::eprintln!(
            "{}: {}; so all results of its past runs stay",
            shown_path(&unplanned.file),
            unplanned.problem
        );
    }
    let collection = store.collect(&rules.retention, arguments.delete)?;
    if arguments.json {
        anstream::println!("{:#}", serde_json::to_value(&collection).unwrap_or_default());
    } else {
        anstream::print!("{}", to_text(&collection, &files, arguments.delete));
    }
    Ok(DONE)
}

fn to_text(collection: &Collection, files: &[PathBuf], deleted: bool) -> String {
    let dim = anstyle::Style::new().dimmed();
    let mut out = String::new();
    for removed in &collection.results {
        let _ = writeln!(
            out,
            "- {}  {}  {:>10}  {dim}last used {}{dim:#}",
            removed.fingerprint.short(),
            removed.stage.as_deref().unwrap_or("?"),
            bytes(removed.bytes as f64),
            moment(removed.last_used)
        );
    }
    let verb = if deleted { "removed" } else { "would remove" };
    let _ = writeln!(
        out,
        "{verb} {} and {} of {}; {} of {} stay",
        counted(collection.results.len(), "result"),
        counted(
            (collection.objects.count + collection.quarantine.count) as usize,
            "file"
        ),
        bytes((collection.objects.bytes + collection.quarantine.bytes) as f64),
        counted(collection.kept.count as usize, "result"),
        bytes(collection.kept.bytes as f64)
    );
    if collection.processes > 0 {
        let _ = writeln!(
            out,
            "{} the store right now: what they rely on stays",
            match collection.processes {
                1 => "another process uses".to_owned(),
                processes => format!("{processes} processes use"),
            }
        );
    }
    if !deleted {
        let files: Vec<String> = files.iter().map(|file| shown_path(file)).collect();
        let _ = writeln!(
            out,
            "needed is what these pipelines would reuse: {}",
            files.join(", ")
        );
        if !collection.results.is_empty() || collection.objects.count + collection.quarantine.count > 0 {
            let _ = writeln!(out, "nothing was touched; with --delete it goes");
        }
    }
    out
}
