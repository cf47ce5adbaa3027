//! Predictions as a file.

use std::io::{self, Write};

use super::csv_output::CsvPredictions;
use super::json_output::JsonPredictions;
#[cfg(feature = "full")]
use super::parquet_output::ParquetForm;
#[cfg(feature = "full")]
use crate::spec::PredictionFormat;
use crate::train::{PredictedColumn, PredictedValue};

/// The title of the column that tells where a sample comes from.
pub(super) const SAMPLE: &str = "sample";

/// Writes predictions one after another.
pub struct PredictionWriter<'a> {
    form: Box<dyn PredictionForm + 'a>,
    columns: Vec<PredictedColumn>,
}

/// How predictions are written.
pub(super) trait PredictionForm: Send {
    /// Writes what stands in front of all rows.
    fn begin(&mut self, columns: &[PredictedColumn]) -> io::Result<()>;

    /// Takes rows behind those that stand there already.
    fn go_on(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Hands on what is written so far.
    fn flush(&mut self) -> io::Result<()>;

    /// Writes a row: a value for each of the columns.
    fn row(
        &mut self,
        sample: &str,
        columns: &[PredictedColumn],
        values: &[PredictedValue<'_>],
    ) -> io::Result<()>;

    /// Writes what is left.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl<'a> PredictionWriter<'a> {
    /// A writer in `format` to `out`, which it writes in small pieces.
    #[cfg(feature = "full")]
    pub fn new(format: PredictionFormat, out: impl Write + Send + 'a) -> Self {
        match format {
            PredictionFormat::Csv => Self::csv(out),
            PredictionFormat::JsonLines => Self::json_lines(out),
            PredictionFormat::Parquet => Self::of(ParquetForm::new(out)),
        }
    }

    /// A writer of a table with a line of titles.
    pub fn csv(out: impl Write + Send + 'a) -> Self {
        Self::of(CsvPredictions::new(out))
    }

    /// A writer of a JSON object a line.
    pub fn json_lines(out: impl Write + Send + 'a) -> Self {
        Self::of(JsonPredictions(out))
    }

    fn of(form: impl PredictionForm + 'a) -> Self {
        Self {
            form: Box::new(form),
            columns: Vec::new(),
        }
    }

    /// Says what every sample will have.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&mut self, columns: &[PredictedColumn]) -> io::Result<()> {
        self.columns = columns.to_vec();
        self.form.begin(columns)
    }

    /// Says the same where what came before has been written: the rows go on behind it.
    ///
    /// # Errors
    /// The format has no place behind its end.
    pub fn go_on(&mut self, columns: &[PredictedColumn]) -> io::Result<()> {
        self.columns = columns.to_vec();
        self.form.go_on()
    }

    /// Hands on what is written so far.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.form.flush()
    }

    /// Writes what is predicted for `sample`, a value for each column.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn row(&mut self, sample: &str, values: &[PredictedValue<'_>]) -> io::Result<()> {
        self.form.row(sample, &self.columns, values)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> io::Result<()> {
        self.form.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{PREDICTED, PROBABILITIES, PROBABILITY, PredictedKind};

    fn written(format: PredictionFormat) -> String {
        let names = ["a,b".to_owned(), "c".to_owned()];
        let mut columns = vec![
            PredictedColumn::single(PREDICTED, PredictedKind::Name),
            PredictedColumn::single(PROBABILITY, PredictedKind::Number),
        ];
        columns.extend(PredictedColumn::each(
            PROBABILITIES,
            PredictedKind::Number,
            &names,
        ));
        let mut bytes = Vec::new();
        let mut writer = PredictionWriter::new(format, &mut bytes);
        writer.begin(&columns).unwrap();
        let number = PredictedValue::Number;
        for (sample, name, p) in [("x \"1\".png", "a,b", 1.0), ("y", "c", 0.25)] {
            let values = [PredictedValue::Name(name), number(p), number(p), number(1.0 - p)];
            writer.row(sample, &values).unwrap();
        }
        writer.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn tables_have_floats_and_quotes() {
        assert_eq!(
            written(PredictionFormat::Csv),
            "sample,predicted,probability,\"p(a,b)\",p(c)\n\
             \"x \"\"1\"\".png\",\"a,b\",1.0,1.0,0.0\n\
             y,c,0.25,0.25,0.75\n"
        );
    }

    #[test]
    fn lines_are_objects() {
        assert_eq!(
            written(PredictionFormat::JsonLines),
            "{\"sample\":\"x \\\"1\\\".png\",\"predicted\":\"a,b\",\"probability\":1.0,\
             \"probabilities\":{\"a,b\":1.0,\"c\":0.0}}\n\
             {\"sample\":\"y\",\"predicted\":\"c\",\"probability\":0.25,\"probabilities\":{\"a,b\":0.25,\"c\":0.75}}\n"
        );
    }
}
