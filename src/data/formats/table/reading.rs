//! The cells of further tables, read as those were that features were made from.

use serde_json::Value;

use super::dates::{date_part, read_date};
use super::numbers::{NumberSpelling, boolean};
use super::parquet_header::CellForm;
use crate::schema::TableReading;
use crate::spec::{CsvOptions, DatePart, Quote};

/// How a cell becomes the number of one feature.
pub(in crate::data) enum NumberReading {
    Number(NumberSpelling),
    Boolean,
    Date { format: Option<String>, part: DatePart },
}

impl NumberReading {
    /// That of the feature `name`, and the name of the column that its cell is in.
    pub fn of<'a>(name: &'a str, reading: &'a TableReading) -> (Self, &'a str) {
        if let Some((date, part)) = reading.date_of(name)
            && let Ok(part) = serde_json::from_value(Value::from(part))
        {
            let format = date.format.clone();
            return (Self::Date { format, part }, &date.column);
        }
        if reading.boolean.iter().any(|column| column == name) {
            return (Self::Boolean, name);
        }
        let spelling = NumberSpelling {
            decimal: reading.decimal,
            thousands: reading.thousands,
        };
        (Self::Number(spelling), name)
    }

    /// The same for cells of a column that spells its values as `form` says, whatever those of the table were like
    /// that it was made for.
    pub fn of_form(self, form: CellForm) -> Self {
        match (self, form) {
            (Self::Number(_), CellForm::Plain) => Self::Number(NumberSpelling::PLAIN),
            (Self::Date { part, .. }, CellForm::Iso8601) => Self::Date { format: None, part },
            (other, _) => other,
        }
    }

    /// The number that the cell spells; an error says what it should be.
    pub fn read(&self, text: &str) -> Result<f64, String> {
        match self {
            Self::Number(spelling) => spelling.read(text),
            Self::Boolean => boolean(text),
            Self::Date { format, part } => Ok(date_part(read_date(text, format.as_deref())?, *part)),
        }
    }
}

/// Options that divide a table into rows and fields as `reading` says, with another `delimiter`.
pub(in crate::data) fn options_of(reading: &TableReading, delimiter: char, header: bool) -> CsvOptions {
    CsvOptions {
        header,
        delimiter,
        quote: match reading.quote {
            None => Quote::None,
            Some('\'') => Quote::Single,
            Some(_) => Quote::Double,
        },
        escape: reading.escape,
        ..CsvOptions::default()
    }
}
