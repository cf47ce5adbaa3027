//! A page that tells everything about a pipeline: one HTML file that needs nothing else.
//!
//! In go [`ReportInput`]: results, the graph, the files of artifacts, tables. Out comes HTML with
//! its style, its script and its pictures inside. It loads nothing, and forbids itself to. Without
//! JavaScript all can be read; with it, tables can be sorted, and a trial that is pointed at shows
//! in every picture. The same results give the same bytes: nothing of the present (the date, the
//! machine) goes in, only what is known about the results.

mod html;
mod metrics;
mod provenance;
mod summary;
mod tables;
mod trials;

use std::fmt::Write as _;

use super::ReportInput;
use super::plot::{Figure, Ink, Section, Setting, View, duration, escape, figures_of, timings};
use html::{HtmlTable, scroll};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Drawings that are wider than this get a row of their own.
const WIDE: f64 = 560.0;

/// A part of the page: its id, its heading, its content.
struct Part {
    id: &'static str,
    title: &'static str,
    html: String,
}

/// The page for `input`.
pub fn render(input: &ReportInput) -> String {
    let view = View::new(input);
    let figures = figures_of(&view);
    let parts: Vec<Part> = parts(&view, &figures)
        .into_iter()
        .filter(|part| !part.html.is_empty())
        .collect();
    let name = escape(&input.results.pipeline);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"generator\" content=\"erlen {}\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{name}</title>\n<style>\n:root{{{}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n\
         {STYLE}</style>\n</head>\n<body>\n",
        env!("CARGO_PKG_VERSION"),
        Ink::declarations(false),
        Ink::declarations(true),
    );
    page.push_str(&summary::header(&view));
    page.push_str("<nav aria-label=\"Parts of the page\"><div>");
    for part in &parts {
        let _ = write!(page, "<a href=\"#{}\">{}</a>", part.id, part.title);
    }
    page.push_str("</div></nav>\n<main>\n");
    for Part { id, title, html } in &parts {
        let _ = writeln!(page, "<section id=\"{id}\">\n<h2>{title}</h2>\n{html}</section>");
    }
    let _ = write!(
        page,
        "</main>\n<footer>Made by erlen {} from <code>{}</code>. Everything is in this file; it loads nothing.\
         </footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        escape(&input.results.file),
    );
    page
}

fn parts(view: &View, figures: &[Figure]) -> Vec<Part> {
    let part = |id, title, html| Part { id, title, html };
    vec![
        part("summary", "Summary", summary::html(view)),
        part("tables", "Tables", tables::html(&view.input.tables)),
        part("sweep", "Sweep", figures_html(figures, Section::Sweep)),
        part(
            "curves",
            "Learning curves",
            figures_html(figures, Section::Curves),
        ),
        part(
            "evaluation",
            "Evaluation",
            figures_html(figures, Section::Evaluation),
        ),
        part("metrics", "Metrics", metrics::html(view)),
        part("trials", "Trials", trials::html(view)),
        part("pipeline", "Pipeline", pipeline_html(view, figures)),
        part("timings", "Timings", timings_html(view, figures)),
        part("provenance", "Provenance", provenance::html(view)),
    ]
}

/// The figures of a section beside each other, as far as there is room.
fn figures_html(figures: &[Figure], section: Section) -> String {
    let of_section: Vec<&Figure> = figures
        .iter()
        .filter(|figure| figure.section == section)
        .collect();
    if of_section.is_empty() {
        return String::new();
    }
    let mut html = "<div class=\"figures\">\n".to_owned();
    for figure in of_section {
        html.push_str(&figure_html(figure));
    }
    html.push_str("</div>\n");
    html
}

fn figure_html(figure: &Figure) -> String {
    let class = if figure.drawing.width > WIDE {
        " class=\"wide\""
    } else {
        ""
    };
    let svg = figure.svg(Setting::Page);
    let picture = if class.is_empty() {
        svg
    } else {
        scroll(&figure.title, &svg)
    };
    let mut html = format!("<figure id=\"{}\"{class}>\n{picture}\n", figure.id);
    if !figure.note.is_empty() {
        let _ = writeln!(html, "<figcaption>{}</figcaption>", escape(&figure.note));
    }
    html.push_str("</figure>\n");
    html
}

fn pipeline_html(view: &View, figures: &[Figure]) -> String {
    let mut table = HtmlTable::new(&["stage", "kind", "takes in", "state"]);
    for node in &view.input.graph {
        let name = match &node.description {
            Some(description) => format!("{}<br><small>{}</small>", escape(&node.name), escape(description)),
            None => escape(&node.name),
        };
        table.row([
            name,
            escape(&node.kind),
            escape(&node.upstream.join(", ")),
            node.status.as_str().to_owned(),
        ]);
    }
    let pictures = figures_html(figures, Section::Pipeline);
    if view.input.graph.is_empty() {
        return pictures;
    }
    format!(
        "<div class=\"beside\">\n{pictures}{}</div>\n",
        table.html("The stages")
    )
}

fn timings_html(view: &View, figures: &[Figure]) -> String {
    let timings = timings(view);
    let pictures = figures_html(figures, Section::Timings);
    if timings.is_empty() {
        return pictures;
    }
    let mut table = HtmlTable::new(&[
        "stage",
        "results",
        "median",
        "longest",
        "all together",
        "peak memory",
    ]);
    for timing in &timings {
        table.row([
            escape(&timing.stage),
            timing.seconds.len().to_string(),
            duration(timing.median()),
            timing
                .seconds
                .last()
                .map_or_else(String::new, |longest| duration(*longest)),
            duration(timing.total()),
            timing.peak_memory.map_or_else(|| "-".to_owned(), html::bytes),
        ]);
    }
    let total: f64 = timings.iter().map(|timing| timing.total()).sum();
    format!(
        "<div class=\"beside\">\n{pictures}<div>{}<p>Making all of these results took {} of wall time, one after the \
         other.</p></div></div>\n",
        table.html("Wall time by stage"),
        duration(total)
    )
}

#[cfg(test)]
mod tests;
