//! `erlen schema`: the JSON Schemas of pipeline files and of the event stream.

use clap::Args;

use super::exit::DONE;
use crate::app::AppError;
use crate::progress::event_schema;
use crate::spec::json_schema;

#[derive(Debug, Args)]
pub(super) struct SchemaArguments {
    /// The one of a line of the event stream: what `--log-format json` prints and `--events` writes
    #[arg(long)]
    events: bool,
}

pub(super) fn run(arguments: &SchemaArguments) -> Result<u8, AppError> {
    let schema = if arguments.events {
        event_schema()
    } else {
        json_schema()
    };
    anstream::println!("{schema:#}");
    Ok(DONE)
}
