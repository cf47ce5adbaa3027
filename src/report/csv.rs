//! Tables as comma-separated values (RFC 4180), numbers in full precision, missing cells empty.

use super::number;
use super::table::TableData;

/// `table` with a line of titles first.
pub fn render(table: &TableData) -> Vec<u8> {
    let titles = table.parameters.iter().cloned();
    let titles = titles.chain(table.columns.iter().map(|column| column.title.clone()));
    let mut records = vec![titles.collect::<Vec<_>>()];
    for row in &table.rows {
        let parameters = row.parameters.iter().map(number::parameter);
        let cells = row.cells.iter().zip(&table.columns).map(|(cell, column)| {
            cell.figure(column.aggregate)
                .map_or_else(String::new, number::full)
        });
        records.push(parameters.chain(cells).collect());
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
