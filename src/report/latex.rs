//! Tables as LaTeX, for the package booktabs: a `tabular` to be taken into a document with
//! `\input`, inside a `table` with the caption that the document gives it.

use super::shown::{CellKind, Shown, ShownCell};
use super::table::TableData;

/// `table` as a `tabular`; notes are comments behind it.
pub fn render(table: &TableData) -> String {
    let shown = Shown::of(table);
    let columns: String = shown
        .columns
        .iter()
        .map(|column| if column.numeric { 'r' } else { 'l' })
        .collect();
    let titles = shown.columns.iter().map(|column| escape(&column.title));
    let mut text = format!(
        "% Table {}; needs \\usepackage{{booktabs}}.\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{}\\midrule\n",
        comment(&table.name),
        line(titles)
    );
    for row in &shown.rows {
        text.push_str(&line(row.iter().map(cell_text)));
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n");
    for note in &shown.notes {
        text.push_str(&format!("% {}\n", comment(note)));
    }
    text
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let text = cells.collect::<Vec<_>>().join(" & ");
    // Behind the line break before it, these would be its options.
    let guard = if text.starts_with(['[', '*']) { "{}" } else { "" };
    format!("{guard}{text} \\\\\n")
}

fn cell_text(cell: &ShownCell) -> String {
    let mut text = match cell.kind {
        CellKind::Text => escape(&cell.text),
        CellKind::Missing if cell.text == "-" => "--".to_owned(),
        CellKind::Missing => format!("\\emph{{{}}}", escape(&cell.text)),
        CellKind::Number if cell.text.is_empty() => String::new(),
        CellKind::Number if cell.best => format!("$\\mathbf{{{}}}$", math(&cell.text)),
        CellKind::Number => format!("${}$", math(&cell.text)),
    };
    if let Some((found, expected)) = cell.partial {
        text.push_str(&format!(" ({found}/{expected})"));
    }
    text
}

/// A number in math mode: `±` as a sign, exponents as powers of ten.
fn math(text: &str) -> String {
    let words: Vec<String> = text
        .split(' ')
        .map(|word| {
            let number = word.trim_start_matches('[');
            let (open, number) = (&word[..word.len() - number.len()], number);
            let digits = number.trim_end_matches([',', ']']);
            let close = &number[digits.len()..];
            let number = match digits.split_once('e') {
                Some((digits, exponent)) if exponent.parse::<i32>().is_ok() => {
                    format!("{digits} \\times 10^{{{exponent}}}")
                }
                _ if digits == "±" => "\\pm".to_owned(),
                _ if digits == "inf" => "\\infty".to_owned(),
                _ if digits == "-inf" => "-\\infty".to_owned(),
                _ => digits.to_owned(),
            };
            format!("{open}{number}{close}")
        })
        .collect();
    words.join(" ").replace(" [", "\\ [").replace(", ", ",\\ ")
}

/// A user's text: what LaTeX takes for its own, and signs that its fonts lack, made harmless.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            // A straight one needs a font encoding that not every document has.
            '"' => out.push_str("''"),
            '±' => out.push_str("$\\pm$"),
            'Δ' => out.push_str("$\\Delta$"),
            'µ' | 'μ' => out.push_str("$\\mu$"),
            '°' => out.push_str("$^\\circ$"),
            '²' => out.push_str("$^2$"),
            '³' => out.push_str("$^3$"),
            '\n' | '\r' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// A text in a comment, which ends with its line.
fn comment(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
