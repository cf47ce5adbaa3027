//! `erlen plot`: the pictures of the page by themselves.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::arguments::KnownArguments;
use super::exit::DONE;
use crate::app::{AppError, RESULTS, Session, report_input};
use crate::report::plot::{Figure, Setting, figures, slug};
use crate::report::write_if_changed;
use crate::spec::suggest;

#[derive(Debug, Args)]
pub(super) struct PlotArguments {
    #[command(flatten)]
    show: KnownArguments,
    /// The plots, or what their names begin with, such as `curves`; by default all
    #[arg(value_name = "PLOT")]
    plots: Vec<String>,
    /// List the plots that there are; nothing is written
    #[arg(long)]
    list: bool,
    /// The files' format
    #[arg(long, value_enum, default_value_t)]
    format: PlotFormat,
    /// Pixels for one of the natural size, in PNG
    #[arg(long, value_name = "FACTOR", default_value_t = 2.0)]
    scale: f32,
    /// The folder, instead of results/NAME-plots in the project's root
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PlotFormat {
    /// Lines and text, sharp in any size
    #[default]
    Svg,
    /// Pixels
    Png,
}

pub(super) fn run(arguments: &PlotArguments) -> Result<u8, AppError> {
    let request = arguments.show.request();
    let session = Session::open(&request)?;
    let figures = wanted(figures(&report_input(&session, &request)?), &arguments.plots)?;
    if arguments.list {
        let width = figures.iter().map(|figure| figure.id.len()).max().unwrap_or(0);
        for figure in &figures {
            anstream::println!("{:width$}  {}", figure.id, figure.title);
        }
        return Ok(DONE);
    }
    let folder = arguments.output.clone().unwrap_or_else(|| {
        let name = format!("{}-plots", slug(&session.pipeline.name));
        session.project.root.join(RESULTS).join(name)
    });
    for figure in &figures {
        let (extension, bytes) = match arguments.format {
            PlotFormat::Svg => ("svg", format!("{}\n", figure.svg(Setting::Alone)).into_bytes()),
            PlotFormat::Png => ("png", figure.png(arguments.scale)?),
        };
        let path = folder.join(&figure.id).with_extension(extension);
        write_if_changed(&path, &bytes)?;
        anstream::println!("{}", path.display());
    }
    Ok(DONE)
}

/// The figures that are named, or whose names begin with what is named.
fn wanted(figures: Vec<Figure>, names: &[String]) -> Result<Vec<Figure>, AppError> {
    let matches = |figure: &Figure, name: &String| {
        let rest = figure.id.strip_prefix(name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    for name in names {
        if !figures.iter().any(|figure| matches(figure, name)) {
            let help = suggest(name, "plots", figures.iter().map(|figure| figure.id.as_str()));
            return Err(AppError::Request(format!("there is no plot `{name}`: {help}")));
        }
    }
    let chosen = figures
        .into_iter()
        .filter(|figure| names.is_empty() || names.iter().any(|name| matches(figure, name)));
    Ok(chosen.collect())
}
