//! `erlen push` and `erlen pull`.

use std::path::PathBuf;

use clap::Args;

use super::arguments::StoreArguments;
use super::exit::{DONE, FAILED};
use crate::app::{self, AppError, PipelineRequest, TransferRequest, Transferred};
use crate::plan::Selection;
use crate::progress::text::{bytes, counted};
use crate::spec::Override;

#[derive(Debug, Args)]
pub(super) struct TransferArguments {
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

pub(super) fn push(arguments: &TransferArguments) -> Result<u8, AppError> {
    let moved = app::push(&arguments.request())?;
    Ok(arguments.report(&moved, "sent"))
}

pub(super) fn pull(arguments: &TransferArguments) -> Result<u8, AppError> {
    let moved = app::pull(&arguments.request())?;
    Ok(arguments.report(&moved, "received"))
}

impl TransferArguments {
    fn request(&self) -> TransferRequest {
        let store = self.store.folder();
        match &self.file {
            Some(file) => TransferRequest::Pipeline(PipelineRequest {
                file: file.clone(),
                overrides: self.overrides.clone(),
                selection: Selection {
                    targets: self.stages.clone(),
                    ..Selection::default()
                },
                store,
            }),
            None => TransferRequest::All { store },
        }
    }

    /// Says what was moved; gives the exit code.
    fn report(&self, moved: &Transferred, verb: &str) -> u8 {
        if self.json {
            anstream::println!("{:#}", serde_json::to_value(moved).unwrap_or_default());
        } else {
            anstream::println!(
                "{verb} {} ({}, {}); {} there already: {}",
                counted(moved.results, "result"),
                counted(usize::try_from(moved.files).unwrap_or(usize::MAX), "file"),
                bytes(moved.bytes as f64),
                match moved.known {
                    1 => "1 was".to_owned(),
                    known => format!("{known} were"),
                },
                moved.url
            );
            for problem in &moved.problems {
                anstream::eprintln!("{problem}");
            }
        }
        if moved.problems.is_empty() { DONE } else { FAILED }
    }
}
