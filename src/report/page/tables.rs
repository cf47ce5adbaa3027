//! The pipeline's tables on the page.

use std::fmt::Write as _;

use super::html::scroll;
use crate::report::PageTable;
use crate::report::plot::escape;

/// All tables, each with its name.
pub fn html(tables: &[PageTable]) -> String {
    let mut html = String::new();
    for table in tables {
        let _ = writeln!(
            html,
            "<h3>{}</h3>\n{}",
            escape(&table.name),
            scroll(&table.name, &table.html)
        );
    }
    html
}
