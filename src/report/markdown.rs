//! Tables as Markdown, with columns that line up as plain text too.

use super::shown::{CellKind, Shown, ShownCell};
use super::table::TableData;

/// `table` as a pipe table: what tells rows apart to the left, figures to the right, the best in
/// bold. Notes follow as lines of their own.
pub fn render(table: &TableData) -> String {
    let shown = Shown::of(table);
    let columns: Vec<TextColumn> = shown
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = shown.rows.iter().map(|row| cell_text(&row[index]));
            TextColumn::new(escape(&column.title), column.numeric, cells.collect())
        })
        .collect();

    let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    let mut text = line(&columns, &titles);
    text.push('|');
    for column in &columns {
        let dashes = "-".repeat(column.width - usize::from(column.right));
        text.push_str(&format!(" {dashes}{} |", if column.right { ":" } else { "" }));
    }
    text.push('\n');
    for index in 0..shown.rows.len() {
        let cells: Vec<&str> = columns
            .iter()
            .map(|column| column.cells[index].as_str())
            .collect();
        text.push_str(&line(&columns, &cells));
    }
    for note in &shown.notes {
        text.push_str(&format!("\n{}\n", escape(note)));
    }
    text
}

struct TextColumn {
    title: String,
    right: bool,
    cells: Vec<String>,
    width: usize,
}

impl TextColumn {
    fn new(title: String, right: bool, cells: Vec<String>) -> Self {
        let widths = cells.iter().chain([&title]).map(|cell| cell.chars().count());
        Self {
            width: widths.max().unwrap_or(0).max(3),
            title,
            right,
            cells,
        }
    }
}

fn cell_text(cell: &ShownCell) -> String {
    let mut text = match cell.kind {
        // `<0.001` is no tag.
        CellKind::Number => cell.text.replace('<', "\\<"),
        CellKind::Text | CellKind::Missing => escape(&cell.text),
    };
    if cell.best {
        text = format!("**{text}**");
    }
    if let Some((found, expected)) = cell.partial {
        text.push_str(&format!(" ({found} of {expected})"));
    }
    text
}

fn line(columns: &[TextColumn], cells: &[&str]) -> String {
    let mut text = String::from("|");
    for (column, cell) in columns.iter().zip(cells) {
        let padding = " ".repeat(column.width - cell.chars().count());
        let padded = if column.right {
            format!("{padding}{cell}")
        } else {
            format!("{cell}{padding}")
        };
        text.push_str(&format!(" {padded} |"));
    }
    text.push('\n');
    text
}

/// What would end a cell, or begin markup, made harmless.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('*', "\\*")
        .replace('`', "\\`")
        .replace('<', "\\<")
        .replace("\r\n", "<br>")
        .replace(['\n', '\r'], "<br>")
}
