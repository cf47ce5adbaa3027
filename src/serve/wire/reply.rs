//! Answers.

use super::binary::to_binary;
use super::json::value_text;
use super::request::{OutputForm, WantedOutput};
use crate::serve::tensor::{Datatype, TensorInfo, TensorValues};

/// What is answered, and by whom.
pub struct Reply<'a> {
    /// The model's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The request's own name.
    pub id: Option<&'a str>,
    /// How many rows were asked about.
    pub rows: usize,
    /// How many of them are texts that the model was shown the beginning of alone.
    pub texts_cut: usize,
    /// What the model gives.
    pub outputs: &'a [TensorInfo],
    /// The values of all rows under the output of this index.
    pub tensor: &'a dyn Fn(usize) -> TensorValues,
    /// What of them is asked for.
    pub wanted: &'a [WantedOutput],
}

/// The answer as a body, and the length of its JSON where binary tensors follow that.
///
/// # Errors
/// A sentence: a value cannot be written as JSON.
pub fn encoded(reply: &Reply<'_>) -> Result<(Vec<u8>, Option<usize>), String> {
    let (mut json, mut binary) = (Vec::new(), Vec::new());
    json.extend_from_slice(b"{\"model_name\":");
    write_text(&mut json, reply.name);
    json.extend_from_slice(b",\"model_version\":");
    write_text(&mut json, reply.version);
    if let Some(id) = reply.id {
        json.extend_from_slice(b",\"id\":");
        write_text(&mut json, id);
    }
    if reply.texts_cut > 0 {
        let parameters = format!(",\"parameters\":{{\"texts_cut\":{}}}", reply.texts_cut);
        json.extend_from_slice(parameters.as_bytes());
    }
    json.extend_from_slice(b",\"outputs\":[");
    for (place, wanted) in reply.wanted.iter().enumerate() {
        if place > 0 {
            json.push(b',');
        }
        let info = &reply.outputs[wanted.index];
        let values = (reply.tensor)(wanted.index);
        let (values, datatype, row) = match wanted.classification {
            Some(most) => (largest(&values, most, info), Datatype::Bytes, vec![most]),
            None => (values, info.datatype, info.row.clone()),
        };
        json.extend_from_slice(b"{\"name\":");
        write_text(&mut json, &info.name);
        json.extend_from_slice(format!(",\"datatype\":\"{datatype}\",\"shape\":[{}", reply.rows).as_bytes());
        for side in row {
            json.extend_from_slice(format!(",{side}").as_bytes());
        }
        json.push(b']');
        match wanted.form {
            OutputForm::Binary => {
                let before = binary.len();
                to_binary(&values, datatype, &mut binary);
                let size = binary.len() - before;
                json.extend_from_slice(format!(",\"parameters\":{{\"binary_data_size\":{size}}}").as_bytes());
            }
            OutputForm::Json => {
                json.extend_from_slice(b",\"data\":[");
                for value in 0..values.len() {
                    if value > 0 {
                        json.push(b',');
                    }
                    let text = value_text(&values, value);
                    let text = text.map_err(|problem| format!("output `{}`: {problem}", info.name))?;
                    json.extend_from_slice(text.as_bytes());
                }
                json.push(b']');
            }
        }
        json.push(b'}');
    }
    json.extend_from_slice(b"]}");
    let header = reply
        .wanted
        .iter()
        .any(|wanted| wanted.form == OutputForm::Binary);
    let header = header.then_some(json.len());
    json.append(&mut binary);
    Ok((json, header))
}

/// Appends a text as JSON.
fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

/// The `most` largest values of each row, the first of equal ones first: `VALUE:PLACE:LABEL`.
fn largest(values: &TensorValues, most: usize, info: &TensorInfo) -> TensorValues {
    let numbers: Vec<f64> = match values {
        TensorValues::Floats(floats) => floats.iter().copied().map(f64::from).collect(),
        TensorValues::Doubles(doubles) => doubles.clone(),
        _ => Vec::new(),
    };
    let texts = numbers.chunks_exact(info.row_values().max(1)).flat_map(|row| {
        let mut places: Vec<usize> = (0..row.len()).collect();
        places.sort_by(|one, other| row[*other].total_cmp(&row[*one]));
        places.truncate(most);
        let text = |place: usize| match info.labels.get(place) {
            Some(label) => format!("{:.6}:{place}:{label}", row[place]),
            None => format!("{:.6}:{place}", row[place]),
        };
        places
            .into_iter()
            .map(|place| text(place).into_bytes())
            .collect::<Vec<_>>()
    });
    TensorValues::Strings(texts.collect())
}
