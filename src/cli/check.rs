//! `erlen check`: are these pipeline files right?

use std::path::PathBuf;

use clap::Args;

use super::exit::{DONE, USAGE, print_error};
use crate::app::AppError;
use crate::spec::{Override, Pipeline};

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Pipeline files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Replace a parameter's value; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    overrides: Vec<Override>,
}

pub(super) fn run(arguments: &CheckArguments) -> Result<u8, AppError> {
    let mut mistakes = 0;
    for file in &arguments.files {
        match Pipeline::load(file, &arguments.overrides) {
            Ok(pipeline) => {
                let (stages, tables) = (pipeline.stages.len(), pipeline.tables.len());
                anstream::println!(
                    "{}: right: {stages} stage{}, {tables} table{}",
                    file.display(),
                    if stages == 1 { "" } else { "s" },
                    if tables == 1 { "" } else { "s" },
                );
            }
            Err(error) => {
                mistakes += error.mistakes.len();
                print_error(&error.into());
            }
        }
    }
    if mistakes == 0 {
        return Ok(DONE);
    }
    anstream::eprintln!("{mistakes} mistake{}", if mistakes == 1 { "" } else { "s" });
    Ok(USAGE)
}
