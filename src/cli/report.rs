//! `erlen report`: one HTML page with everything that is known about a pipeline.

use std::path::PathBuf;

use clap::Args;

use super::arguments::KnownArguments;
use super::exit::DONE;
use crate::app::{AppError, RESULTS, Session, report_input};
use crate::report::plot::slug;
use crate::report::{page, write_if_changed};

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    #[command(flatten)]
    show: KnownArguments,
    /// The page, instead of results/NAME-report.html in the project's root
    #[arg(short, long, value_name = "PAGE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &ReportArguments) -> Result<u8, AppError> {
    let request = arguments.show.request();
    let session = Session::open(&request)?;
    let input = report_input(&session, &request)?;
    let path = arguments.output.clone().unwrap_or_else(|| {
        let name = format!("{}-report.html", slug(&session.pipeline.name));
        session.project.root.join(RESULTS).join(name)
    });
    write_if_changed(&path, page::render(&input).as_bytes())?;
    anstream::println!("{}", path.display());
    Ok(DONE)
}
