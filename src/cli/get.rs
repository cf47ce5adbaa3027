//! `erlen get`: a stage's result as files of one's own.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use walkdir::WalkDir;

use super::gather::ShowArguments;
use super::session::Session;
use super::{DONE, Fail};
use crate::plan::Decision;
use crate::spec::suggest;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    show: ShowArguments,
    /// The stage, with a path inside its result where only a part is wanted
    #[arg(value_name = "STAGE[/PATH]")]
    stage: String,
    /// Where to put it; by default the last part of what is asked for, in the current folder
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let mut pipeline = arguments.show.pipeline();
    let (stage, inside) = match arguments.stage.split_once('/') {
        Some((stage, inside)) => (
            stage,
            Some(inside.trim_end_matches('/')).filter(|inside| !inside.is_empty()),
        ),
        None => (arguments.stage.as_str(), None),
    };
    let session = Session::open(&pipeline)?;
    let stages = &session.pipeline.stages;
    if !stages.contains_key(stage) {
        let help = suggest(stage, "stages", stages.keys().map(String::as_str));
        return Err(Fail::Usage(format!("there is no stage `{stage}`; {help}")));
    }
    pipeline.stages = vec![stage.to_owned()];
    let plan = session.plan(&pipeline)?;
    let mut nodes = plan.order().iter().map(|&index| plan.node(index));
    let node = nodes.find(|node| node.names.iter().any(|name| name.stage() == stage));
    let Some(Decision::Reuse(action)) = node.map(|node| &node.decision) else {
        return Err(Fail::Stopped(format!(
            "the result of `{stage}` is not known yet: `erlen run {} {stage}` makes it",
            session.file().display()
        )));
    };
    let name = inside
        .and_then(|inside| inside.rsplit('/').next())
        .unwrap_or(stage);
    let target = arguments.output.clone().unwrap_or_else(|| PathBuf::from(name));
    if target.symlink_metadata().is_ok() {
        return Err(Fail::Usage(format!(
            "`{}` is there already: remove it, or name another place with --output",
            target.display()
        )));
    }
    // The store shares its bytes with what it lays out, so that is copied before anyone may write. One that
    // cannot be written is read all the same.
    let shared = tempfile::tempdir_in(&session.project.store)
        .or_else(|_| tempfile::tempdir())
        .map_err(Fail::io("making a folder"))?;
    let laid_out = shared.path().join("result");
    if let Err(error) = session.store.materialise(&action.artifact, inside, &laid_out) {
        if error.is_loss() {
            session.store.forsake(action)?;
        }
        return Err(error.into());
    }
    copy(&laid_out, &target).map_err(Fail::io(format!("writing `{}`", target.display())))?;
    anstream::println!("{}", target.display());
    Ok(DONE)
}

/// Copies a file or a folder, readable and writable as new files are.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(around) = to.parent() {
        fs::create_dir_all(around)?;
    }
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let inside = entry.path().strip_prefix(from).unwrap_or(entry.path());
        let target = if inside.as_os_str().is_empty() {
            to.to_owned()
        } else {
            to.join(inside)
        };
        if entry.file_type().is_dir() {
            fs::create_dir(&target)?;
        } else {
            let (mut source, mut target) = (fs::File::open(entry.path())?, fs::File::create(&target)?);
            std::io::copy(&mut source, &mut target)?;
        }
    }
    Ok(())
}
