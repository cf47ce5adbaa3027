//! The cell of a table that a user names.

use std::fmt::Write as _;

use serde_json::Value;

use super::error::AppError;
use crate::report::{CellOrigin, Provenance, ProvenanceRow};
use crate::spec::{same_value, suggest};

/// The cell that `text` names: `2.accuracy`, `lr=0.1,accuracy`, or the column alone where there is
/// one row.
///
/// # Errors
/// There is no such cell, or more than one.
pub fn find_cell<'a>(
    provenance: &'a Provenance,
    text: &str,
) -> Result<(usize, &'a ProvenanceRow, &'a str, &'a CellOrigin), AppError> {
    look_up(provenance, text).map_err(AppError::Request)
}

fn look_up<'a>(
    provenance: &'a Provenance,
    text: &str,
) -> Result<(usize, &'a ProvenanceRow, &'a str, &'a CellOrigin), String> {
    let table = &provenance.table;
    if provenance.rows.is_empty() {
        return Err(format!("the table `{table}` has no rows"));
    }
    let (index, column) = row_and_column(provenance, text)?;
    let row = &provenance.rows[index];
    let (title, cell) = row.cells.get_key_value(column).ok_or_else(|| {
        let known = row.cells.keys().map(String::as_str);
        format!(
            "the table `{table}` has no column `{column}`; {}",
            suggest(column, "columns", known)
        )
    })?;
    Ok((index + 1, row, title, cell))
}

/// The row's place, from 0, and the column's title.
fn row_and_column<'a>(provenance: &Provenance, text: &'a str) -> Result<(usize, &'a str), String> {
    let (table, count) = (&provenance.table, provenance.rows.len());
    // As it is listed, whatever stands in values and titles.
    for (index, row) in provenance.rows.iter().enumerate() {
        let column = text
            .strip_prefix(labels_text(row).as_str())
            .and_then(|rest| rest.strip_prefix(','))
            .or((count == 1).then_some(text));
        if let Some(column) = column
            && row.cells.contains_key(column)
        {
            return Ok((index, column));
        }
    }
    if let Some((number, column)) = text.split_once('.')
        && let Ok(number) = number.parse::<usize>()
    {
        return if (1..=count).contains(&number) {
            Ok((number - 1, column))
        } else {
            Err(format!(
                "the table `{table}` has rows 1 to {count}, and no row {number}"
            ))
        };
    }
    // As many values of labels as there are; what is left is the column.
    let mut rest = text;
    let mut fitting: Vec<usize> = (0..count).collect();
    while let Some((name, after)) = rest.split_once('=') {
        if rest == text && provenance.rows[0].cells.contains_key(rest) {
            break;
        }
        let name = name.trim();
        if !provenance.labels.iter().any(|label| label == name) {
            let known = provenance.labels.iter().map(String::as_str);
            return Err(format!(
                "rows of the table `{table}` are not told apart by `{name}`; {}",
                suggest(name, "what tells them apart", known)
            ));
        }
        let Some((value, next)) = after.split_once(',') else {
            let known: Vec<&str> = provenance.rows[0].cells.keys().map(String::as_str).collect();
            return Err(format!("`{text}` names no column; columns: {}", known.join(", ")));
        };
        let wanted = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        let has = |row: &ProvenanceRow| {
            let own = row.labels.get(name).unwrap_or(&Value::Null);
            same_value(own, &wanted) || own.as_str() == Some(value)
        };
        fitting.retain(|&index| has(&provenance.rows[index]));
        rest = next;
    }
    match fitting.as_slice() {
        [only] => Ok((*only, rest.trim())),
        [] => Err(format!(
            "the table `{table}` has no such row; {}",
            rows_text(provenance, None)
        )),
        several => Err(format!(
            "{} rows of the table `{table}` fit `{text}`; {}",
            several.len(),
            rows_text(provenance, Some(several))
        )),
    }
}

/// What tells a row from the others, as a user would name it.
pub fn labels_text(row: &ProvenanceRow) -> String {
    let pair = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    };
    row.labels.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// The rows that there are, or those of them that are `among`.
fn rows_text(provenance: &Provenance, among: Option<&[usize]>) -> String {
    const MOST: usize = 10;
    let rows: Vec<String> = provenance
        .rows
        .iter()
        .enumerate()
        .filter(|(index, _)| among.is_none_or(|among| among.contains(index)))
        .map(|(index, row)| format!("{} ({})", index + 1, labels_text(row)))
        .collect();
    let mut text = format!(
        "rows: {}",
        rows.iter().take(MOST).cloned().collect::<Vec<_>>().join("; ")
    );
    if rows.len() > MOST {
        let _ = write!(text, " and {} more", rows.len() - MOST);
    }
    text
}
