//! `erlen store gc`: removing results that nobody needs any more.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::cli::past::{StoreArguments, moment, shown_path};
use crate::cli::results::{Effort, Gathered, of_plan, results_of};
use crate::cli::session::{PipelineArguments, Session};
use crate::cli::{DONE, Fail};
use crate::fingerprint::Fingerprint;
use crate::progress::text::{bytes, counted};
use crate::record::History;
use crate::report::{Provenance, Results};
use crate::spec::{ByteSize, Pipeline, Project, Span};
use crate::store::{Collection, Wish};

/// The project's folder for pipeline files.
const PIPELINES: &str = "pipelines";

#[derive(Debug, Args)]
pub(super) struct Arguments {
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

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let project = arguments.store.project()?;
    let store = super::open(&project)?;
    let files = if arguments.files.is_empty() {
        let files = pipelines_of(&project)?;
        if files.is_empty() {
            return Err(Fail::Usage(format!(
                "there are no pipeline files in {}: name those whose results are to stay",
                project.root.join(PIPELINES).display()
            )));
        }
        files
    } else {
        arguments.files.clone()
    };
    let keep = arguments.keep.unwrap_or(Span(Duration::ZERO));
    let wish = wish(&project, &files, keep, arguments.quota)?;
    let collection = store.collect(&wish, arguments.delete)?;
    if arguments.json {
        anstream::println!("{:#}", serde_json::to_value(&collection).unwrap_or_default());
    } else {
        anstream::print!("{}", to_text(&collection, &files, arguments.delete));
    }
    Ok(DONE)
}

/// What has to stay: what the pipelines `files` would reuse, what is behind committed tables, and what was
/// used within the time `keep`; beyond that, what a quota has room for.
pub(super) fn wish(
    project: &Project,
    files: &[PathBuf],
    keep: Span,
    quota: Option<ByteSize>,
) -> Result<Wish, Fail> {
    // What is used from here on may be needed by what is looked at first.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let history = History::open(&project.store.join("erlen.db"))?;
    let mut needed = cited(project)?;
    for file in files {
        needed.extend(needs(file, project, &history)?);
    }
    Ok(Wish {
        needed,
        last_used: history.last_used()?,
        since: i64::try_from(now.saturating_sub(keep.0).as_millis()).ok(),
        quota: quota.map(|ByteSize(bytes)| bytes),
    })
}

/// The pipeline files in the project's folder for them.
pub(super) fn pipelines_of(project: &Project) -> Result<Vec<PathBuf>, Fail> {
    let mut files: Vec<PathBuf> = files_in(&project.root.join(PIPELINES))?
        .into_iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == "yaml" || ending == "yml")
        })
        .collect();
    files.sort();
    Ok(files)
}

/// The results that a pipeline would reuse as it is written now, those of its sweep's trials among
/// them. Where that cannot be told since an input is missing, all that its runs ever had.
fn needs(file: &Path, project: &Project, history: &History) -> Result<HashSet<Fingerprint>, Fail> {
    let arguments = PipelineArguments {
        file: file.to_owned(),
        store: Some(project.store.clone()),
        ..PipelineArguments::default()
    };
    let pipeline = Pipeline::load(file, &[])?;
    let session = Session::with(pipeline, file, Some(&project.store))?;
    let mut needed = HashSet::new();
    let mut take = |results: Results| {
        let replicates = results.trials.iter().flat_map(|trial| &trial.replicates);
        needed.extend(
            replicates
                .flat_map(|replicate| replicate.stages.values())
                .map(|stage| stage.fingerprint),
        );
    };
    let mut reused = || -> Result<(), Fail> {
        let plan = session.plan(&arguments)?;
        take(of_plan(&session, &plan));
        if session.pipeline.sweep.is_some()
            && let Gathered::Known(results) = results_of(&session, &arguments, Effort::Known)?
        {
            take(results);
        }
        Ok(())
    };
    match reused() {
        Ok(()) => Ok(needed),
        Err(Fail::Plan(problem)) => {
            anstream::eprintln!(
                "{}: {problem}; so all results of its past runs stay",
                shown_path(file)
            );
            Ok(history.results_of(&session.pipeline.name)?)
        }
        Err(other) => Err(other),
    }
}

/// What a folder holds; nothing where there is none. Not to see what is there must not read as
/// nothing being there.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Fail> {
    let list = || -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    match list() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(Fail::io(format!("listing {}", folder.display()))),
    }
}

/// The results behind the tables in the project's `results/`.
fn cited(project: &Project) -> Result<HashSet<Fingerprint>, Fail> {
    let mut needed = HashSet::new();
    for path in files_in(&project.root.join("results"))? {
        if !path.to_string_lossy().ends_with(".provenance.json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(Fail::io(format!("reading {}", path.display())))?;
        let provenance: Provenance = serde_json::from_str(&text).map_err(|error| {
            Fail::Stopped(format!(
                "{} is not what `erlen table` wrote: {error}",
                path.display()
            ))
        })?;
        needed.extend(provenance.stages.into_keys());
    }
    Ok(needed)
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
