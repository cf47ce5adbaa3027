//! Predictions as lines of JSON.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::output::{PredictionForm, SAMPLE};
use crate::train::{PredictedColumn, PredictedValue};

/// Writes an object a line, and nothing else.
pub(super) struct JsonPredictions<W>(pub W);

impl<W: Write + Send> PredictionForm for JsonPredictions<W> {
    fn begin(&mut self, _: &[PredictedColumn]) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn row(
        &mut self,
        sample: &str,
        columns: &[PredictedColumn],
        values: &[PredictedValue<'_>],
    ) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, &json_of(sample, columns, values)?)?;
        self.0.write_all(b"\n")
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
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
    use crate::train::{PREDICTED, PredictedKind};

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
