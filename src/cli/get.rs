//! `erlen get`: a stage's result as files of one's own.

use std::path::PathBuf;

use clap::Args;

use super::arguments::KnownArguments;
use super::exit::DONE;
use crate::app::{AppError, Session, copy_result};

#[derive(Debug, Args)]
pub(super) struct GetArguments {
    #[command(flatten)]
    show: KnownArguments,
    /// The stage, with a path inside its result where only a part is wanted
    #[arg(value_name = "STAGE[/PATH]")]
    stage: String,
    /// Where to put it; by default the last part of what is asked for, in the current folder
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &GetArguments) -> Result<u8, AppError> {
    let request = arguments.show.request();
    let (stage, inside) = match arguments.stage.split_once('/') {
        Some((stage, inside)) => (
            stage,
            Some(inside.trim_end_matches('/')).filter(|inside| !inside.is_empty()),
        ),
        None => (arguments.stage.as_str(), None),
    };
    let session = Session::open(&request)?;
    let name = inside
        .and_then(|inside| inside.rsplit('/').next())
        .unwrap_or(stage);
    let target = arguments.output.clone().unwrap_or_else(|| PathBuf::from(name));
    copy_result(&session, &request, stage, inside, &target)?;
    anstream::println!("{}", target.display());
    Ok(DONE)
}
