//! Tables as comma-separated values (RFC 4180): numbers in full precision and as the metric has
//! them, missing cells empty.
//!
//! A column `TITLE` is followed by what belongs to it: `TITLE std` and `TITLE count` where the table
//! has cells of several values, `TITLE low` and `TITLE high` where it shows intervals, `TITLE rank`,
//! `TITLE delta` and `TITLE p` where it is asked for them. Where each trial has a row, `status` says
//! what became of it.

use super::number;
use super::results::TrialStatus;
use super::table::{Cell, Column, TableData};
use crate::spec::Show;

/// `table` with a line of titles first.
pub fn render(table: &TableData) -> Vec<u8> {
    let columns: Vec<(&Column, bool)> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| (column, table.has_several(index)))
        .collect();
    let mut titles = table.labels.clone();
    titles.extend(table.each_trial.then(|| "status".to_owned()));
    for (column, several) in &columns {
        let fields = fields(column, *several, None);
        titles.extend(fields.into_iter().map(|(suffix, _)| match suffix {
            "" => column.title.clone(),
            suffix => format!("{} {suffix}", column.title),
        }));
    }
    let mut records = vec![titles];
    for row in &table.rows {
        let mut record: Vec<String> = row.labels.iter().map(number::parameter).collect();
        record.extend(table.each_trial.then(|| status(&row.status).to_owned()));
        for ((column, several), cell) in columns.iter().zip(&row.cells) {
            let fields = fields(column, *several, Some(cell));
            record.extend(
                fields
                    .into_iter()
                    .map(|(_, value)| value.map_or_else(String::new, number::full)),
            );
        }
        records.push(record);
    }
    // A row of a single empty cell, or records of different lengths, are what a strict writer
    // would stumble over; writing to memory itself cannot fail.
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for record in records {
        writer
            .write_record(record)
            .expect("writing to memory does not fail");
    }
    writer.into_inner().expect("writing to memory does not fail")
}

/// The fields of a cell: what follows the column's title, and the value.
fn fields(column: &Column, several: bool, cell: Option<&Cell>) -> Vec<(&'static str, Option<f64>)> {
    let spec = &column.spec;
    let summary = cell.and_then(|cell| cell.summary);
    let interval = summary.and_then(|summary| Some((summary.mean, summary.half_interval()?)));
    let mut fields = vec![("", cell.and_then(|cell| cell.figure(column)))];
    if several && !matches!(spec.show, Show::Std | Show::Count) {
        fields.push(("std", summary.and_then(|summary| summary.std)));
        fields.push(("count", summary.map(|summary| summary.count as f64)));
    }
    if spec.show == Show::Interval {
        fields.push(("low", interval.map(|(mean, half)| mean - half)));
        fields.push(("high", interval.map(|(mean, half)| mean + half)));
    }
    if spec.rank {
        fields.push(("rank", cell.and_then(|cell| cell.rank).map(|rank| rank as f64)));
    }
    if spec.delta {
        fields.push(("delta", cell.and_then(|cell| cell.delta)));
    }
    if spec.significance {
        let comparison = cell.and_then(|cell| cell.comparison);
        fields.push(("p", comparison.map(|comparison| comparison.p)));
    }
    fields
}

/// What became of a trial, as a word.
pub fn status(status: &TrialStatus) -> &'static str {
    match status {
        TrialStatus::Done => "done",
        TrialStatus::Pruned { .. } => "pruned",
        TrialStatus::Failed { .. } => "failed",
        TrialStatus::Missing => "missing",
    }
}
