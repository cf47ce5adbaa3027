//! The CSV files of artifacts, read.

use std::collections::BTreeMap;

/// A CSV file with a line of titles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// The titles.
    pub titles: Vec<String>,
    /// The other lines, each as long as the titles.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    /// Reads `text`; nothing where it is no table.
    pub fn read(text: &str) -> Option<Self> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let titles = reader.headers().ok()?.iter().map(str::to_owned).collect();
        let rows: Result<Vec<Vec<String>>, csv::Error> = reader
            .records()
            .map(|record| Ok(record?.iter().map(str::to_owned).collect()))
            .collect();
        Some(Self {
            titles,
            rows: rows.ok()?,
        })
    }

    /// The columns by title; cells that are no numbers are NaN.
    pub fn into_columns(self) -> BTreeMap<String, Vec<f64>> {
        let columns = self.titles.into_iter().enumerate().map(|(index, title)| {
            let cells = self.rows.iter().map(|row| number(&row[index])).collect();
            (title, cells)
        });
        columns.collect()
    }
}

/// A cell's number; NaN where it is none.
pub fn number(cell: &str) -> f64 {
    cell.trim().parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tables_and_nothing_else() {
        let sheet = Sheet::read("epoch,\"a,b\"\n1,0.5\n2,\n").unwrap();
        let columns = sheet.into_columns();
        assert_eq!(columns["epoch"], [1.0, 2.0]);
        assert!(columns["a,b"][0] == 0.5 && columns["a,b"][1].is_nan());
        assert_eq!(Sheet::read("a,b\n1\n"), None);
        assert!(Sheet::read("").unwrap().rows.is_empty());
    }
}
