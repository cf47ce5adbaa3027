//! `erlen graph`: the graph of stages, for other programs and for the eye.

use clap::{Args, ValueEnum};

use super::arguments::KnownArguments;
use super::exit::DONE;
use crate::app::{AppError, Session, graph_nodes};
use crate::report::plot::{Setting, dot, graph_figure, mermaid};

#[derive(Debug, Args)]
pub(super) struct GraphArguments {
    #[command(flatten)]
    show: KnownArguments,
    /// The language
    #[arg(long, value_enum, default_value_t)]
    format: GraphFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum GraphFormat {
    /// Graphviz
    #[default]
    Dot,
    /// Mermaid, which many Markdown viewers draw
    Mermaid,
    /// A picture
    Svg,
}

pub(super) fn run(arguments: &GraphArguments) -> Result<u8, AppError> {
    let request = arguments.show.request();
    let session = Session::open(&request)?;
    // The graph itself needs nothing but the file; where inputs are missing, no result is known.
    let plan = session.plan(&request).ok();
    let nodes = graph_nodes(&session.pipeline, plan.as_ref());
    match arguments.format {
        GraphFormat::Dot => anstream::print!("{}", dot(&session.pipeline.name, &nodes)),
        GraphFormat::Mermaid => anstream::print!("{}", mermaid(&nodes)),
        GraphFormat::Svg => anstream::println!("{}", graph_figure(&nodes).svg(Setting::Alone)),
    }
    Ok(DONE)
}
