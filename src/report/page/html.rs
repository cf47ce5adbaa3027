//! Small pieces of HTML.

use std::fmt::Write as _;

use crate::report::plot::escape;

/// A table that is filled row by row. Cells are HTML already.
pub struct HtmlTable {
    titles: Vec<String>,
    /// Whether a column holds a number, and whether it holds anything else but gaps.
    content: Vec<(bool, bool)>,
    sortable: bool,
    rows: String,
}

impl HtmlTable {
    /// A table with these titles, which are plain text.
    pub fn new<T: AsRef<str>>(titles: &[T]) -> Self {
        Self {
            titles: titles.iter().map(|title| escape(title.as_ref())).collect(),
            content: vec![(false, false); titles.len()],
            sortable: false,
            rows: String::new(),
        }
    }

    /// With titles that sort it.
    pub fn sortable(mut self) -> Self {
        self.sortable = true;
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.row_with("", cells);
    }

    /// Adds a row whose element has `attributes`.
    pub fn row_with(&mut self, attributes: &str, cells: impl IntoIterator<Item = String>) {
        let _ = write!(self.rows, "<tr{attributes}>");
        for (cell, content) in cells.into_iter().zip(&mut self.content) {
            // Numbers stand to the right.
            let number = cell.starts_with(|c: char| c.is_ascii_digit() || c == '-') && cell != "-";
            content.0 |= number;
            content.1 |= !number && cell != "-";
            let class = if number { " class=\"n\"" } else { "" };
            let _ = write!(self.rows, "<td{class}>{cell}</td>");
        }
        self.rows.push_str("</tr>\n");
    }

    /// The table in a box that scrolls sideways where there is no room; `name` says what it is.
    pub fn html(&self, name: &str) -> String {
        let class = if self.sortable { " class=\"sortable\"" } else { "" };
        let mut html = format!("<table{class}>\n<thead><tr>");
        for (title, content) in self.titles.iter().zip(&self.content) {
            let class = if *content == (true, false) {
                " class=\"n\""
            } else {
                ""
            };
            let _ = write!(html, "<th scope=\"col\"{class}>{title}</th>");
        }
        let _ = write!(html, "</tr></thead>\n<tbody>\n{}</tbody>\n</table>", self.rows);
        scroll(name, &html)
    }
}

/// A box that scrolls sideways, and can be reached with the keyboard.
pub fn scroll(name: &str, html: &str) -> String {
    format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{html}\n</div>\n",
        escape(name)
    )
}

/// A size in bytes, for reading.
pub fn bytes(count: f64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 100.0);
    format!("{value:.decimals$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let all = [12.0, 2048.0, 1.5 * 1024.0 * 1024.0, 3e12];
        assert_eq!(all.map(bytes).join(", "), "12 bytes, 2.0 KiB, 1.5 MiB, 2.7 TiB");
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = HtmlTable::new(&["<a>", "b"]);
        table.row(["-0.5".to_owned(), "-".to_owned()]);
        let html = table.html("t");
        assert!(html.contains("<th scope=\"col\" class=\"n\">&lt;a&gt;</th><th scope=\"col\">b</th>"));
        assert!(html.contains("<td class=\"n\">-0.5</td><td>-</td>"), "{html}");
    }
}
