//! Tables as HTML: one `<table>` to be put into a page, which brings the style.
//!
//! Its classes: `erlen-table`; `number`, `missing`, `best` on cells; `notes` on the foot. The
//! attribute `data-cell` of a figure is what `erlen show TABLE:CELL` takes.

use super::shown::{CellKind, Shown, ShownCell};
use super::table::{Row, TableData};

/// `table` as a `<table>` element.
pub fn render(table: &TableData) -> String {
    let shown = Shown::of(table);
    let mut text = format!(
        "<table class=\"erlen-table\" data-table=\"{}\">\n<thead>\n<tr>",
        escape(&table.name)
    );
    for column in &shown.columns {
        let class = if column.numeric { " class=\"number\"" } else { "" };
        text.push_str(&format!(
            "<th scope=\"col\"{class}>{}</th>",
            escape(&column.title)
        ));
    }
    text.push_str("</tr>\n</thead>\n<tbody>\n");
    let addresses = addresses(table);
    for (index, (cells, row)) in shown.rows.iter().zip(&table.rows).enumerate() {
        text.push_str("<tr>");
        for (at, cell) in cells.iter().enumerate() {
            match at.checked_sub(table.labels.len()) {
                None => text.push_str(&label(cell)),
                Some(at) => text.push_str(&figure(cell, index + 1, row, addresses[at], table)),
            }
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n");
    if !shown.notes.is_empty() {
        let notes: Vec<String> = shown.notes.iter().map(|note| escape(note)).collect();
        text.push_str(&format!(
            "<tfoot class=\"notes\">\n<tr><td colspan=\"{}\">{}</td></tr>\n</tfoot>\n",
            shown.columns.len(),
            notes.join("<br>")
        ));
    }
    text.push_str("</table>\n");
    text
}

/// For each shown column of figures: the table's column that it belongs to, and whether it is the
/// figure itself.
fn addresses(table: &TableData) -> Vec<(usize, bool)> {
    let mut addresses = Vec::new();
    for (index, column) in table.columns.iter().enumerate() {
        let spec = &column.spec;
        let more = usize::from(spec.rank) + usize::from(spec.delta) + usize::from(spec.significance);
        addresses.push((index, true));
        addresses.extend(std::iter::repeat_n((index, false), more));
    }
    addresses
}

fn label(cell: &ShownCell) -> String {
    let class = if cell.kind == CellKind::Number {
        " class=\"number\""
    } else {
        ""
    };
    format!("<th scope=\"row\"{class}>{}</th>", escape(&cell.text))
}

fn figure(
    cell: &ShownCell,
    row: usize,
    data: &Row,
    (column, own): (usize, bool),
    table: &TableData,
) -> String {
    let mut classes = vec!["number"];
    if cell.kind == CellKind::Missing {
        classes.push("missing");
    }
    if cell.best {
        classes.push("best");
    }
    let mut attributes = format!(" class=\"{}\"", classes.join(" "));
    if own {
        let title = &table.columns[column].title;
        attributes.push_str(&format!(" data-cell=\"{}\"", escape(&format!("{row}.{title}"))));
        let values: Vec<String> = data.cells[column]
            .samples
            .iter()
            .map(|sample| format!("seed {}: {}", sample.seed, super::number::full(sample.value)))
            .collect();
        if values.len() > 1 {
            attributes.push_str(&format!(" title=\"{}\"", values.join("&#10;")));
        }
    }
    let mut text = escape(&cell.text);
    if cell.best {
        text = format!("<strong>{text}</strong>");
    }
    if let Some((found, expected)) = cell.partial {
        text.push_str(&format!(" <small>({found} of {expected})</small>"));
    }
    format!("<td{attributes}>{text}</td>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
