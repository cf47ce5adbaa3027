//! The pipeline's tables on the page.

use std::fmt::Write as _;

use super::html::Table;
use crate::report::number;
use crate::report::plot::escape;
use crate::report::{PageTable, TableData};

/// All tables, each with its name.
pub fn html(tables: &[PageTable]) -> String {
    let mut html = String::new();
    for table in tables {
        let _ = writeln!(html, "<h3>{}</h3>\n{}", escape(&table.name), table.html);
    }
    html
}

/// A table as a page shows it.
pub fn table_html(table: &TableData) -> String {
    let titles: Vec<&str> = table
        .parameters
        .iter()
        .map(String::as_str)
        .chain(table.columns.iter().map(|column| column.title.as_str()))
        .collect();
    let mut html = Table::new(&titles).sortable();
    for row in &table.rows {
        let parameters = row
            .parameters
            .iter()
            .map(|value| escape(&number::parameter(value)));
        let cells = row.cells.iter().zip(&table.columns).map(|(cell, column)| {
            cell.figure(column.aggregate)
                .map_or_else(|| "-".to_owned(), number::readable)
        });
        html.row(parameters.chain(cells));
    }
    html.html(&table.name)
}
