//! `erlen check`: are these pipeline files right?

use std::path::PathBuf;

use clap::Args;

use super::exit::{DONE, USAGE, print_error};
use super::text::print_notices;
use crate::app::{AppError, check, find_project, input_problems, missing_environments, warnings};
use crate::exec::Capacity;
use crate::spec::{Override, counted};
use crate::stages::Registry;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Pipeline files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Replace a parameter's value; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    overrides: Vec<Override>,
}

pub(super) fn run(arguments: &CheckArguments, registry: &Registry) -> Result<u8, AppError> {
    let mut mistakes = 0;
    let capacity = Capacity::of_this_machine();
    for file in &arguments.files {
        match check(file, &arguments.overrides, registry) {
            Ok(pipeline) => {
                let project = find_project(file, None)?;
                let places = project.places();
                let problems = input_problems(file, &pipeline, &places)?;
                mistakes += problems.unknown_roots.len();
                if !problems.unknown_roots.is_empty() {
                    for error in problems.unknown_roots {
                        print_error(&error.into());
                    }
                    continue;
                }
                let (stages, tables) = (pipeline.stages.len(), pipeline.tables.len());
                anstream::println!(
                    "{}: right: {}, {}",
                    file.display(),
                    counted(stages, "stage"),
                    counted(tables, "table"),
                );
                print_notices(&warnings(&pipeline, &capacity, &project.root));
                print_notices(&missing_environments(&pipeline, &project.root));
                for error in problems.missing {
                    anstream::eprintln!("{error}");
                    for help in error.mistakes.iter().filter_map(|mistake| mistake.help.as_ref()) {
                        anstream::eprintln!("  {help}");
                    }
                }
            }
            Err(AppError::Spec(error)) => {
                mistakes += error.mistakes.len();
                print_error(&error.into());
            }
            Err(other) => return Err(other),
        }
    }
    if mistakes == 0 {
        return Ok(DONE);
    }
    anstream::eprintln!("{}", counted(mistakes, "mistake"));
    Ok(USAGE)
}
