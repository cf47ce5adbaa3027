//! Tables as JSON: every value behind every cell, in full precision.

use serde_json::{Map, Value, json};

use super::bootstrap::RESAMPLES;
use super::csv::status;
use super::table::{Cell, Column, Row, TableData};

/// `table` as one JSON object.
pub fn render(table: &TableData) -> String {
    let columns: Vec<Value> = table
        .columns
        .iter()
        .map(|column| {
            json!({
                "title": column.title,
                "metric": column.spec.metric,
                "show": column.spec.show,
                "format": column.spec.format,
                "unit": column.spec.unit,
                "better": column.direction,
            })
        })
        .collect();
    let rows: Vec<Value> = table.rows.iter().map(|row| row_json(table, row)).collect();
    let value = json!({
        "table": table.name,
        "labels": table.labels,
        "columns": columns,
        "rows": rows,
        "notes": table.notes,
    });
    format!("{value:#}\n")
}

fn row_json(table: &TableData, row: &Row) -> Value {
    let labels: Map<String, Value> = table
        .labels
        .iter()
        .cloned()
        .zip(row.labels.iter().cloned())
        .collect();
    let cells: Map<String, Value> = table
        .columns
        .iter()
        .zip(&row.cells)
        .map(|(column, cell)| (column.title.clone(), cell_json(column, cell)))
        .collect();
    json!({"labels": labels, "status": status(&row.status), "cells": cells})
}

fn cell_json(column: &Column, cell: &Cell) -> Value {
    let mut fields = Map::new();
    fields.insert("figure".to_owned(), cell.figure(column).into());
    if let Some(summary) = cell.summary {
        let half = summary.half_interval();
        fields.extend(
            [
                ("count", Value::from(summary.count)),
                ("mean", summary.mean.into()),
                ("std", summary.std.into()),
                ("min", summary.min.into()),
                ("median", summary.median.into()),
                ("max", summary.max.into()),
                ("low", half.map(|half| summary.mean - half).into()),
                ("high", half.map(|half| summary.mean + half).into()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
    }
    fields.insert("expected".to_owned(), cell.expected.into());
    if column.direction.is_some() {
        fields.insert("best".to_owned(), cell.best.into());
        fields.insert("rank".to_owned(), cell.rank.into());
    }
    if let Some(delta) = cell.delta {
        fields.insert("delta".to_owned(), delta.into());
    }
    if let Some(comparison) = cell.comparison {
        fields.insert(
            "significance".to_owned(),
            json!({"p": comparison.p, "paired": comparison.paired, "resamples": RESAMPLES}),
        );
    }
    if cell.undefined > 0 {
        fields.insert("undefined".to_owned(), cell.undefined.into());
    }
    let values: Vec<Value> = cell
        .samples
        .iter()
        .map(|sample| json!({"trial": sample.trial, "seed": sample.seed, "value": sample.value}))
        .collect();
    fields.insert("values".to_owned(), values.into());
    Value::Object(fields)
}
