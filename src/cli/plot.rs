//! `erlen plot`: the pictures of the page by themselves.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::gather::{ShowArguments, gather};
use super::session::Session;
use super::{DONE, Fail, tables};
use crate::report::plot::{Figure, Setting, figures, slug};
use crate::report::write_if_changed;
use crate::spec::suggest;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    show: ShowArguments,
    /// The plots, or what their names begin with, such as `curves`; by default all
    #[arg(value_name = "PLOT")]
    plots: Vec<String>,
    /// List the plots that there are; nothing is written
    #[arg(long)]
    list: bool,
    /// The files' format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Pixels for one of the natural size, in PNG
    #[arg(long, value_name = "FACTOR", default_value_t = 2.0)]
    scale: f32,
    /// The folder, instead of results/NAME-plots in the project's root
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// Lines and text, sharp in any size
    #[default]
    Svg,
    /// Pixels
    Png,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Fail> {
    let pipeline = arguments.show.pipeline();
    let session = Session::open(&pipeline)?;
    let figures = wanted(figures(&gather(&session, &pipeline)?), &arguments.plots)?;
    if arguments.list {
        let width = figures.iter().map(|figure| figure.id.len()).max().unwrap_or(0);
        for figure in &figures {
            anstream::println!("{:width$}  {}", figure.id, figure.title);
        }
        return Ok(DONE);
    }
    let folder = arguments.output.clone().unwrap_or_else(|| {
        let name = format!("{}-plots", slug(&session.pipeline.name));
        session.project.root.join(tables::FOLDER).join(name)
    });
    for figure in &figures {
        let (extension, bytes) = match arguments.format {
            Format::Svg => ("svg", format!("{}\n", figure.svg(Setting::Alone)).into_bytes()),
            Format::Png => ("png", figure.png(arguments.scale)?),
        };
        let path = folder.join(&figure.id).with_extension(extension);
        write_if_changed(&path, &bytes)?;
        anstream::println!("{}", path.display());
    }
    Ok(DONE)
}

/// The figures that are named, or whose names begin with what is named.
fn wanted(figures: Vec<Figure>, names: &[String]) -> Result<Vec<Figure>, Fail> {
    let matches = |figure: &Figure, name: &String| {
        let rest = figure.id.strip_prefix(name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    for name in names {
        if !figures.iter().any(|figure| matches(figure, name)) {
            let help = suggest(name, "plots", figures.iter().map(|figure| figure.id.as_str()));
            return Err(Fail::Usage(format!("there is no plot `{name}`: {help}")));
        }
    }
    let chosen = figures
        .into_iter()
        .filter(|figure| names.is_empty() || names.iter().any(|name| matches(figure, name)));
    Ok(chosen.collect())
}
