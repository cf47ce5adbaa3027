//! Plots: results in, SVG and PNG out. Pure: the same results give the same bytes.
//!
//! A [`Figure`] holds a [`Drawing`] whose colours are roles, not values. Inside a page they become
//! the page's CSS variables, so that one picture serves light, dark and paper; in a file of its own
//! they become concrete colours on white. PNG is painted from the same drawing, with a bundled font.
//!
//! Why the SVG is written here and not by a plotting library: `plotters`, the one that is kept up,
//! writes every colour and font size into every element, so that a page could not follow the
//! reader's dark mode without drawing everything twice; it lays text out with the fonts of the
//! machine, so that bytes would differ between machines; and it has no place for what a page needs
//! of its marks: a tip, and the trial that each one stands for. What remained of it would be the
//! scales, and those are one file here ([`scale`]).

mod chart;
mod classes;
mod confusion;
mod curves;
mod drawing;
mod figure;
mod forest;
mod graph;
mod importance;
mod ink;
mod losses;
mod paint;
mod parallel;
mod parameter;
mod png;
mod scale;
mod search;
#[cfg(test)]
pub(in crate::report) mod testing;
mod text;
mod timings;
mod typeface;
mod view;

pub use drawing::{Drawing, Setting};
pub use figure::{Figure, Section, slug};
pub use graph::{dot, figure as graph_figure, mermaid};
pub use png::PngError;

pub(in crate::report) use ink::Ink;
pub(in crate::report) use text::escape;
pub(in crate::report) use timings::{duration, timings};
pub(in crate::report) use view::{View, metric_values, path_of, short_value, significant};

use super::ReportInput;

/// All plots that there are for `input`, each with an id of its own. What has no data yet says so.
pub fn figures(input: &ReportInput) -> Vec<Figure> {
    figures_of(&View::new(input))
}

pub(in crate::report) fn figures_of(view: &View) -> Vec<Figure> {
    let mut figures = vec![graph::figure(&view.input.graph)];
    if view.is_sweep() {
        figures.extend(search::course(view));
        figures.extend(search::pareto(view));
        figures.extend(importance::figures(view));
        figures.extend(parallel::figures(view));
        figures.extend(search::slices(view));
    }
    figures.extend(curves::figures(view));
    figures.extend(confusion::figures(view));
    figures.extend(classes::figures(view));
    figures.extend(timings::figures(view));
    figure::tell_apart(&mut figures);
    figures
}
