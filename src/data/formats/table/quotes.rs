//! Quotes that are not closed where they should be, and the lines that they swallow.

use csv::ByteRecord;

use super::csv_rows::line_breaks;

/// What is wrong with a row whose last field has `end`, which stands behind the file's own bytes: the
/// quote that opens it is never closed. Nothing where the field has not.
pub(super) fn unclosed(record: &ByteRecord, line: u64, end: &[u8], header: bool) -> Option<String> {
    let index = record.len().checked_sub(1)?;
    let field = record.get(index)?;
    // Behind it comes the end of its line.
    if !field.strip_suffix(b"\n")?.ends_with(end) {
        return None;
    }
    let opened = line + breaks_before(record, index);
    // The last two line breaks were put behind the file, one where the file may have its own.
    let own = &field[..field.len() - end.len() - 2];
    let lines = breaks(own.strip_suffix(b"\n").unwrap_or(own));
    let place = if header && opened == 1 {
        " in the header"
    } else {
        ""
    };
    Some(format!(
        "a quote that opens in line {opened}{place}, field {index} (from 0), is never closed, so that the {lines} \
         lines up to the end of the file are part of that field: close it, write a quote within a quoted text \
         twice, or add `quote: none` where quotes mean nothing"
    ))
}

/// A quoted field that goes over several lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LongField {
    /// Its index in the row.
    pub index: usize,
    /// The line in which its quote opens.
    pub from: u64,
    /// The line in which its quote closes.
    pub to: u64,
    /// Whether the lines in it look like rows of the table.
    pub holds_rows: bool,
}

impl LongField {
    /// The first field of a row that goes over several lines, those that hold rows first.
    pub fn of(record: &ByteRecord, line: u64, delimiter: u8, columns: usize) -> Option<Self> {
        if line_breaks(record) == 0 {
            return None;
        }
        let mut found: Option<Self> = None;
        let mut from = line;
        for (index, field) in record.iter().enumerate() {
            let to = from + breaks(field);
            if to > from {
                let field = Self {
                    index,
                    from,
                    to,
                    holds_rows: holds_rows(field, delimiter, columns),
                };
                if found.is_none_or(|found| field.holds_rows && !found.holds_rows) {
                    found = Some(field);
                }
            }
            from = to;
        }
        found
    }

    /// The lines that it goes over.
    pub fn lines(&self) -> u64 {
        self.to - self.from + 1
    }

    /// What is wrong with it, in words.
    pub fn describe(&self) -> String {
        format!(
            "a quoted field goes from line {} to line {}{}: is a quote left open in line {}?",
            self.from,
            self.to,
            if self.holds_rows {
                ", and holds what looks like rows"
            } else {
                ""
            },
            self.from
        )
    }
}

/// Whether the whole lines within a field have as many fields as the table's rows.
fn holds_rows(field: &[u8], delimiter: u8, columns: usize) -> bool {
    let lines: Vec<&[u8]> = field.split(|byte| *byte == b'\n').collect();
    let whole = lines.get(1..lines.len() - 1).unwrap_or_default();
    let is_row = |line: &&&[u8]| line.iter().filter(|byte| **byte == delimiter).count() + 1 == columns;
    let rows = whole.iter().filter(is_row).count();
    // A text may have a line with as many commas by chance.
    rows >= 2 && rows * 4 >= whole.len() * 3
}

/// How many line breaks the fields before `index` have.
fn breaks_before(record: &ByteRecord, index: usize) -> u64 {
    record.iter().take(index).map(breaks).sum()
}

fn breaks(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_over_lines_are_told_from_swallowed_rows() {
        let long = |fields: &[&str]| {
            let record = ByteRecord::from(fields.to_vec());
            LongField::of(&record, 10, b',', 3)
        };
        assert_eq!(long(&["1", "2", "a"]), None);
        let text = long(&["1", "dear\nall, of, you\nsee\nyou", "a"]).unwrap();
        assert_eq!(
            (text.index, text.from, text.to, text.holds_rows),
            (1, 10, 13, false)
        );
        let rows = long(&["a\nb", "x,a\n1,2,b\n3,4,a\n5", "a"]).unwrap();
        assert_eq!(
            (rows.index, rows.from, rows.to, rows.holds_rows),
            (1, 11, 14, true)
        );
        assert_eq!(rows.lines(), 4);
        assert!(rows.describe().contains("is a quote left open in line 11?"));
    }
}
