//! `erlen graph`: the graph of stages, for other programs and for the eye.

use clap::{Args, ValueEnum};

use super::gather::{ShowArguments, graph};
use super::session::Session;
use super::{DONE, Fail};
use crate::report::plot::{Setting, dot, graph_figure, mermaid};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    show: ShowArguments,
    /// The language
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// Graphviz
    #[default]
    Dot,
    /// Mermaid, which many Markdown viewers draw
    Mermaid,
    /// A picture
    Svg,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let pipeline = arguments.show.pipeline();
    let session = Session::open(&pipeline)?;
    // The graph itself needs nothing but the file; where inputs are missing, no result is known.
    let plan = session.plan(&pipeline).ok();
    let nodes = graph(&session.pipeline, plan.as_ref());
    match arguments.format {
        Format::Dot => anstream::print!("{}", dot(&session.pipeline.name, &nodes)),
        Format::Mermaid => anstream::print!("{}", mermaid(&nodes)),
        Format::Svg => anstream::println!("{}", graph_figure(&nodes).svg(Setting::Alone)),
    }
    Ok(DONE)
}
