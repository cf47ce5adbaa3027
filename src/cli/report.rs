//! `erlen report`: one HTML page with everything that is known about a pipeline.

use std::path::PathBuf;

use clap::Args;

use super::gather::{ShowArguments, gather};
use super::session::Session;
use super::{DONE, Fail, tables};
use crate::report::plot::slug;
use crate::report::{page, write_if_changed};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    show: ShowArguments,
    /// The page, instead of results/NAME-report.html in the project's root
    #[arg(short, long, value_name = "PAGE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let pipeline = arguments.show.pipeline();
    let session = Session::open(&pipeline)?;
    let input = gather(&session, &pipeline)?;
    let path = arguments.output.clone().unwrap_or_else(|| {
        let name = format!("{}-report.html", slug(&session.pipeline.name));
        session.project.root.join(tables::FOLDER).join(name)
    });
    write_if_changed(&path, page::render(&input).as_bytes())?;
    anstream::println!("{}", path.display());
    Ok(DONE)
}
