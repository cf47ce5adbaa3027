//! Predictions as a file.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::parquet_output::ParquetPredictions;
use crate::spec::PredictionFormat;
use crate::train::{PredictedColumn, PredictedValue, float_text};

/// The title of the column that tells where a sample comes from.
const SAMPLE: &str = "sample";

/// Writes predictions one after another.
pub struct PredictionWriter<'a> {
    sink: PredictionSink<'a>,
    columns: Vec<PredictedColumn>,
}

type Out<'a> = Box<dyn Write + Send + 'a>;

/// Where predictions go.
enum PredictionSink<'a> {
    Csv(Box<csv::Writer<Out<'a>>>),
    JsonLines(Out<'a>),
    /// A Parquet file that has not begun, as its columns are not known yet.
    ParquetToBegin(Option<Out<'a>>),
    Parquet(Box<ParquetPredictions<Out<'a>>>),
}

impl<'a> PredictionWriter<'a> {
    /// A writer in `format` to `out`, which it writes in small pieces.
    pub fn new(format: PredictionFormat, out: impl Write + Send + 'a) -> Self {
        let out: Out<'a> = Box::new(out);
        Self {
            sink: match format {
                PredictionFormat::Csv => PredictionSink::Csv(Box::new(csv::Writer::from_writer(out))),
                PredictionFormat::JsonLines => PredictionSink::JsonLines(out),
                PredictionFormat::Parquet => PredictionSink::ParquetToBegin(Some(out)),
            },
            columns: Vec::new(),
        }
    }

    /// Says what every sample will have.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&mut self, columns: &[PredictedColumn]) -> io::Result<()> {
        self.columns = columns.to_vec();
        match &mut self.sink {
            PredictionSink::Csv(writer) => {
                let titles = columns.iter().map(PredictedColumn::title);
                let row = [SAMPLE.to_owned()].into_iter().chain(titles);
                Ok(writer.write_record(row)?)
            }
            PredictionSink::ParquetToBegin(out) => {
                if let Some(out) = out.take() {
                    let file = ParquetPredictions::begin(out, SAMPLE, columns)?;
                    self.sink = PredictionSink::Parquet(Box::new(file));
                }
                Ok(())
            }
            PredictionSink::JsonLines(_) | PredictionSink::Parquet(_) => Ok(()),
        }
    }

    /// Says the same where what came before has been written: the rows go on behind it.
    ///
    /// # Errors
    /// The format has no place behind its end.
    pub fn go_on(&mut self, columns: &[PredictedColumn]) -> io::Result<()> {
        self.columns = columns.to_vec();
        match &self.sink {
            PredictionSink::Csv(_) | PredictionSink::JsonLines(_) => Ok(()),
            PredictionSink::ParquetToBegin(_) | PredictionSink::Parquet(_) => {
                Err(io::Error::other("a Parquet file is written at once"))
            }
        }
    }

    /// Hands on what is written so far.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            PredictionSink::Csv(writer) => writer.flush(),
            PredictionSink::JsonLines(out) => out.flush(),
            PredictionSink::ParquetToBegin(_) | PredictionSink::Parquet(_) => Ok(()),
        }
    }

    /// Writes what is predicted for `sample`, a value for each column. Numbers are in their shortest form that reads
    /// back the same.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn row(&mut self, sample: &str, values: &[PredictedValue<'_>]) -> io::Result<()> {
        match &mut self.sink {
            PredictionSink::Csv(writer) => {
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
            PredictionSink::JsonLines(out) => {
                serde_json::to_writer(&mut *out, &json_of(sample, &self.columns, values)?)?;
                out.write_all(b"\n")
            }
            PredictionSink::ParquetToBegin(_) => Err(io::Error::other(
                "a prediction comes before its columns are known",
            )),
            PredictionSink::Parquet(file) => file.row(sample, values),
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> io::Result<()> {
        match self.sink {
            PredictionSink::Csv(mut writer) => writer.flush(),
            PredictionSink::JsonLines(mut out) => out.flush(),
            PredictionSink::ParquetToBegin(_) => Ok(()),
            PredictionSink::Parquet(file) => file.finish(),
        }
    }
}

/// `{"sample": ..., "predicted": ..., "probabilities": {...}}`: what is about one class, label or number of several
/// stands under its name in an object of its group.
fn json_of(
    sample: &str,
    columns: &[PredictedColumn],
    values: &[PredictedValue<'_>],
) -> serde_json::Result<Map<String, Value>> {
    let mut object = Map::new();
    object.insert(SAMPLE.to_owned(), sample.into());
    for (column, value) in columns.iter().zip(values) {
        let value = match value {
            PredictedValue::Name(name) => Value::from(*name),
            PredictedValue::Number(number) => Value::from(*number),
            PredictedValue::Applies(applies) => Value::from(*applies),
            // Numbers of single precision are those of the text, and not what follows their digits in double.
            PredictedValue::Vector(_) | PredictedValue::Entities(_) => serde_json::from_str(&value.json()?)?,
        };
        match &column.of {
            None => {
                object.insert(column.group.to_owned(), value);
            }
            Some(name) => {
                let group = object.entry(column.group).or_insert_with(|| Map::new().into());
                if let Value::Object(group) = group {
                    group.insert(name.clone(), value);
                }
            }
        }
    }
    Ok(object)
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

    #[test]
    fn labels_and_numbers_stand_under_their_names() {
        let names = ["x".to_owned()];
        let columns: Vec<PredictedColumn> =
            PredictedColumn::each(PREDICTED, PredictedKind::Applies, &names).collect();
        let line = |value| Value::Object(json_of("s", &columns, &[value]).unwrap()).to_string();
        assert_eq!(
            line(PredictedValue::Applies(true)),
            r#"{"sample":"s","predicted":{"x":true}}"#
        );
        assert_eq!(
            line(PredictedValue::Number(-3.0)),
            r#"{"sample":"s","predicted":{"x":-3.0}}"#
        );
    }
}
