//! Predictions as a table.

use std::io::{self, Write};

use super::output::{PredictionForm, SAMPLE};
use crate::train::{PredictedColumn, PredictedValue, float_text};

/// Writes a line of titles, and a line a sample. Numbers are in their shortest form that reads back the same.
pub(super) struct CsvPredictions<W: Write>(csv::Writer<W>);

impl<W: Write> CsvPredictions<W> {
    pub fn new(out: W) -> Self {
        Self(csv::Writer::from_writer(out))
    }
}

impl<W: Write + Send> PredictionForm for CsvPredictions<W> {
    fn begin(&mut self, columns: &[PredictedColumn]) -> io::Result<()> {
        let titles = columns.iter().map(PredictedColumn::title);
        let row = [SAMPLE.to_owned()].into_iter().chain(titles);
        Ok(self.0.write_record(row)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn row(&mut self, sample: &str, _: &[PredictedColumn], values: &[PredictedValue<'_>]) -> io::Result<()> {
        let Self(writer) = self;
        writer.write_field(sample)?;
        for value in values {
            match value {
                PredictedValue::Name(name) => writer.write_field(name)?,
                PredictedValue::Number(number) => writer.write_field(float_text(*number))?,
                PredictedValue::Applies(applies) => {
                    writer.write_field(if *applies { "1" } else { "0" })?;
                }
                PredictedValue::Vector(_) | PredictedValue::Entities(_) => {
                    writer.write_field(value.json()?)?;
                }
            }
        }
        writer.write_record(None::<&[u8]>)?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}
