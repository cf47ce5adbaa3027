//! Tables as Markdown, with columns that line up as plain text too.

use super::number;
use super::table::{Row, TableData};

/// `table` as a pipe table: parameters to the left, figures to the right.
pub fn render(table: &TableData) -> String {
    let mut columns: Vec<TextColumn> = Vec::new();
    for (index, title) in table.parameters.iter().enumerate() {
        let values: Vec<_> = table.rows.iter().map(|row| &row.parameters[index]).collect();
        columns.push(TextColumn {
            title: escape(title),
            right: !values.is_empty() && values.iter().all(|value| value.is_number()),
            cells: values
                .iter()
                .map(|value| escape(&number::parameter(value)))
                .collect(),
        });
    }
    for (index, column) in table.columns.iter().enumerate() {
        let figure = |row: &Row| row.cells[index].figure(column.aggregate);
        let figures: Vec<Option<f64>> = table.rows.iter().map(figure).collect();
        columns.push(TextColumn {
            title: escape(&column.title),
            right: true,
            cells: text_of(&figures),
        });
    }

    let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    let mut text = line(&columns, &titles);
    text.push('|');
    for column in &columns {
        let dashes = "-".repeat(column.width() - usize::from(column.right));
        text.push_str(&format!(" {dashes}{} |", if column.right { ":" } else { "" }));
    }
    text.push('\n');
    for index in 0..table.rows.len() {
        let cells: Vec<&str> = columns
            .iter()
            .map(|column| column.cells[index].as_str())
            .collect();
        text.push_str(&line(&columns, &cells));
    }
    text
}

struct TextColumn {
    title: String,
    right: bool,
    cells: Vec<String>,
}

impl TextColumn {
    fn width(&self) -> usize {
        let cells = self.cells.iter().chain([&self.title]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    }
}

/// Whole numbers plain where a column holds nothing else; otherwise all alike.
fn text_of(figures: &[Option<f64>]) -> Vec<String> {
    let whole = figures
        .iter()
        .flatten()
        .all(|figure| figure.fract() == 0.0 && figure.abs() < 1e15);
    let text = if whole { number::full } else { number::readable };
    figures
        .iter()
        .map(|figure| figure.map_or_else(|| "-".to_owned(), text))
        .collect()
}

fn line(columns: &[TextColumn], cells: &[&str]) -> String {
    let mut text = String::from("|");
    for (column, cell) in columns.iter().zip(cells) {
        let padding = " ".repeat(column.width() - cell.chars().count());
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
        .replace("\r\n", "<br>")
        .replace(['\n', '\r'], "<br>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::{Aggregate, Cell, Column, render as render_as};
    use crate::spec::TableFormat;

    fn sample() -> TableData {
        let row = |parameters: [serde_json::Value; 2], cells: [&[f64]; 3]| Row {
            parameters: parameters.into(),
            cells: cells
                .map(|values| Cell {
                    values: values.into(),
                })
                .into(),
        };
        TableData {
            name: "digits".into(),
            parameters: vec!["model".into(), "lr".into()],
            columns: ["accuracy", "loss, \"mean\"", "images"]
                .map(|title| Column {
                    title: title.into(),
                    aggregate: Aggregate::Mean,
                })
                .into(),
            rows: vec![
                row(
                    [json!("mlp|small"), json!(0.1)],
                    [&[0.975, 0.985], &[0.061234567890123], &[360.0]],
                ),
                row([json!("two\nlines"), json!(0.05)], [&[1.0], &[12.5], &[]]),
            ],
        }
    }

    #[test]
    fn markdown() {
        insta::assert_snapshot!(render(&sample()));
    }

    #[test]
    fn csv() {
        let bytes = render_as(&sample(), TableFormat::Csv);
        assert_eq!(bytes, render_as(&sample(), TableFormat::Csv));
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
    }

    #[test]
    fn no_rows() {
        let table = TableData {
            rows: vec![],
            ..sample()
        };
        assert_eq!(render(&table).lines().count(), 2);
        let csv = render_as(&table, TableFormat::Csv);
        assert_eq!(
            String::from_utf8(csv).unwrap(),
            "model,lr,accuracy,\"loss, \"\"mean\"\"\",images\n"
        );
    }
}
