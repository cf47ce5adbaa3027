//! `erlen worker`: the other end of a dispatcher's line. Not for users.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::exit::{DONE, FAILED};
use crate::app::AppError;
use crate::exec;
use crate::stages::Registry;

#[derive(Debug, Args)]
pub(super) struct WorkerArguments {
    /// The job file
    job: PathBuf,
}

pub(super) fn run(arguments: &WorkerArguments, registry: &Registry) -> Result<u8, AppError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(AppError::io("signal handlers"))?;
    }
    let done = exec::serve(&arguments.job, std::io::stdout(), &stop, registry)
        .map_err(AppError::io("the worker"))?;
    Ok(if done { DONE } else { FAILED })
}
