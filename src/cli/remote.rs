//! What has to be said about a remote store; `erlen push` and `erlen pull`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::past::StoreArguments;
use super::session::{PipelineArguments, Session, remote_options};
use super::{DONE, FAILED, Fail};
use crate::event::Level;
use crate::fingerprint::Fingerprint;
use crate::plan::Decision;
use crate::progress::text::{bytes, counted};
use crate::spec::Override;
use crate::store::{Amount, Lookup, RemoteReport, Store};

/// What there is to say about the store's remote since this was last asked.
pub(super) fn notices(store: &Store) -> Vec<(Level, String)> {
    let RemoteReport { found, off, refused } = store.remote_report();
    let url = store.remote_url().unwrap_or_default();
    let mut notices = Vec::new();
    if found > 0 {
        notices.push((
            Level::Info,
            format!("{} found in the remote {url}", counted(found, "result")),
        ));
    }
    for what in refused {
        notices.push((
            Level::Warning,
            format!("the remote {url} is not believed: {what}"),
        ));
    }
    if let Some(why) = off {
        notices.push((
            Level::Warning,
            format!("the remote {url} is left out from here on: {why}"),
        ));
    }
    notices
}

/// Says it on standard error, where no run shows it.
pub(super) fn tell_notices(store: &Store) {
    for (_, message) in notices(store) {
        anstream::eprintln!("{message}");
    }
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pipeline whose results are meant; by default all that there are
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Stages, with all that they need; by default all
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    /// Replace a parameter's value (or the pipeline's `seed`); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "file")]
    overrides: Vec<Override>,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArguments,
}

/// What was moved.
#[derive(Debug, Default, Serialize)]
struct Moved {
    results: usize,
    known: usize,
    files: u64,
    bytes: u64,
    problems: Vec<String>,
}

pub(super) fn push(arguments: &Arguments) -> Result<u8, Fail> {
    let (store, wanted) = arguments.open(|store| {
        let all = store.actions()?;
        Ok(all.into_iter().map(|action| action.fingerprint).collect())
    })?;
    let mut moved = Moved::default();
    for fingerprint in wanted {
        match store.send(&fingerprint) {
            Ok(Some(sent)) if sent.known => moved.known += 1,
            Ok(Some(sent)) => {
                moved.results += 1;
                moved.files += sent.files;
                moved.bytes += sent.bytes;
            }
            Ok(None) => break,
            Err(problem) => moved.problems.push(format!("{}: {problem}", fingerprint.short())),
        }
    }
    arguments.finish(&store, moved, "sent")
}

pub(super) fn pull(arguments: &Arguments) -> Result<u8, Fail> {
    let (store, wanted) = arguments.open(|store| {
        let listed = store.remote_results().map_err(Fail::Stopped)?;
        store.look_ahead(&listed)?;
        Ok(listed.into_iter().collect())
    })?;
    let mut moved = Moved::default();
    for fingerprint in wanted {
        let Lookup::Hit(action) = store.look_up_everywhere(&fingerprint)? else {
            moved
                .problems
                .push(format!("{}: it is not whole in the remote", fingerprint.short()));
            continue;
        };
        match store.complete(&action)? {
            Some(Amount { count: 0, .. }) => moved.known += 1,
            Some(Amount { count, bytes }) => {
                moved.results += 1;
                moved.files += count;
                moved.bytes += bytes;
            }
            None => moved.problems.push(format!(
                "{}: not all of its files could be had",
                fingerprint.short()
            )),
        }
    }
    arguments.finish(&store, moved, "received")
}

impl Arguments {
    /// The store with its remote, and the results that are meant: those of the pipeline, or what `all` gives.
    fn open(
        &self,
        all: impl Fn(&Store) -> Result<BTreeSet<Fingerprint>, Fail>,
    ) -> Result<(Store, BTreeSet<Fingerprint>), Fail> {
        let project = match &self.file {
            Some(file) => {
                let session = Session::open(&self.pipeline(file.clone()))?;
                if session.project.remote.is_some() {
                    let plan = session.plan(&self.pipeline(file.clone()))?;
                    let nodes = plan.order().iter().map(|&index| plan.node(index));
                    let known = nodes.filter_map(|node| match &node.decision {
                        Decision::Reuse(action) => Some(action.fingerprint),
                        _ => None,
                    });
                    return Ok((session.store.clone(), known.collect()));
                }
                session.project
            }
            None => self.store.project()?,
        };
        let Some(remote) = &project.remote else {
            return Err(Fail::Usage(format!(
                "no remote is named: write `remote: {{url: s3://BUCKET/PREFIX}}` (or http://, https://, a folder) into {}",
                project.root.join("erlen.yaml").display()
            )));
        };
        let store = Store::open(&project.store)?;
        store.rely_on_results();
        store.attach(remote_options(remote));
        let all = all(&store)?;
        Ok((store, all))
    }

    fn pipeline(&self, file: PathBuf) -> PipelineArguments {
        PipelineArguments {
            file,
            stages: self.stages.clone(),
            overrides: self.overrides.clone(),
            store: self.store.folder(),
            ..PipelineArguments::default()
        }
    }

    fn finish(&self, store: &Store, mut moved: Moved, verb: &str) -> Result<u8, Fail> {
        let report = store.remote_report();
        moved.problems.extend(report.refused);
        moved.problems.extend(report.off);
        if self.json {
            anstream::println!("{:#}", serde_json::to_value(&moved).unwrap_or_default());
        } else {
            let url = store.remote_url().unwrap_or_default();
            anstream::println!(
                "{verb} {} ({}, {}); {} there already: {url}",
                counted(moved.results, "result"),
                counted(usize::try_from(moved.files).unwrap_or(usize::MAX), "file"),
                bytes(moved.bytes as f64),
                match moved.known {
                    1 => "1 was".to_owned(),
                    known => format!("{known} were"),
                }
            );
            for problem in &moved.problems {
                anstream::eprintln!("{problem}");
            }
        }
        Ok(if moved.problems.is_empty() { DONE } else { FAILED })
    }
}
