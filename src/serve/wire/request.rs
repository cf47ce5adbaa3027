//! Requests.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::binary::from_binary;
use super::json::from_json;
use crate::serve::refused::Refused;
use crate::serve::served::ModelInterface;
use crate::serve::tensor::{Datatype, InputTensor, TensorInfo, TensorValues};

/// Characters of a request's own name.
const MOST_ID: usize = 256;

/// What is asked, as the model's inputs and outputs say.
#[derive(Debug, PartialEq)]
pub struct InferenceRequest {
    /// The request's own name, which its answer bears.
    pub id: Option<String>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// What is asked about: for each of [`InferenceRequest::rows`] the values that the model's input asks for.
    pub inputs: Vec<InputTensor>,
    /// How many samples are asked about.
    pub rows: usize,
    /// What is to be answered.
    pub outputs: Vec<WantedOutput>,
    /// Other parameters of the request.
    pub parameters: Map<String, Value>,
}

/// An output that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedOutput {
    /// Which of the model's.
    pub index: usize,
    /// Its form.
    pub form: OutputForm,
    /// How many of the largest values are wanted, each with its place and label, instead of all.
    pub classification: Option<usize>,
}

/// The form of a tensor in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputForm {
    /// As a list.
    Json,
    /// As bytes behind the JSON.
    Binary,
}

#[derive(Deserialize)]
struct RequestText<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<RequestParameters>,
    #[serde(borrow)]
    inputs: Vec<InputText<'a>>,
    #[serde(default)]
    outputs: Option<Vec<OutputText>>,
}

#[derive(Default, Deserialize)]
struct RequestParameters {
    /// Microseconds.
    #[serde(default)]
    timeout: Option<u64>,
    #[serde(default)]
    binary_data_output: Option<bool>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
struct InputText<'a> {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Option<InputParameters>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct InputParameters {
    #[serde(default)]
    binary_data_size: Option<u64>,
}

#[derive(Deserialize)]
struct OutputText {
    name: String,
    #[serde(default)]
    parameters: Option<OutputParameters>,
}

/// The parameters of [`OutputParameters`]. Beside a request they would change nothing, and whoever writes them there would
/// not know.
const OF_OUTPUTS: [&str; 2] = ["binary_data", "classification"];

#[derive(Default, Deserialize)]
struct OutputParameters {
    #[serde(default)]
    binary_data: Option<bool>,
    #[serde(default)]
    classification: Option<u64>,
}

/// Reads a request for `model` about at most `most_rows`, whose first `header` bytes, or all without it, are JSON. What is
/// taken up is bounded by the body and by the rows, whatever shapes and sizes it claims.
///
/// # Errors
/// It is no such request: what is wrong, and where.
pub fn read_request(
    body: &[u8],
    header: Option<usize>,
    model: &dyn ModelInterface,
    most_rows: usize,
) -> Result<InferenceRequest, Refused> {
    let (json, binary) = match header {
        None => (body, &[][..]),
        Some(header) => body.split_at_checked(header).ok_or_else(|| {
            Refused::bad(format!(
                "Inference-Header-Content-Length is {header}, and the body has {} bytes",
                body.len()
            ))
        })?,
    };
    let text: RequestText<'_> =
        serde_json::from_slice(json).map_err(|error| Refused::bad(no_request(json, &error, model)))?;
    let parameters = text.parameters.unwrap_or_default();
    if text.id.as_ref().is_some_and(|id| id.len() > MOST_ID) {
        return Err(Refused::bad(format!("`id` has more than {MOST_ID} bytes")));
    }
    if let Some(name) = OF_OUTPUTS
        .iter()
        .find(|name| parameters.others.contains_key(**name))
    {
        return Err(Refused::bad(format!(
            "`{name}` is a parameter of an output, not of the request: \
             {{\"outputs\": [{{\"name\": ..., \"parameters\": {{\"{name}\": ...}}}}]}}"
        )));
    }
    check_names(&text.inputs, model)?;
    let mut rest = Rest(binary);
    let (mut inputs, mut rows) = (Vec::with_capacity(text.inputs.len()), None);
    for input in &text.inputs {
        if let Some(rows) = input.shape.first().filter(|rows| **rows > most_rows as u64) {
            return Err(Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the request asks about {rows} rows, and at most {most_rows} are taken at once"),
            ));
        }
        let (tensor, own) = read_input(input, model, &mut rest)
            .map_err(|problem| Refused::bad(format!("input `{}`: {problem}", input.name)))?;
        let known = *rows.get_or_insert(own);
        if known != own {
            return Err(Refused::bad(format!(
                "input `{}` has {own} rows, and `{}` has {known}",
                input.name, text.inputs[0].name
            )));
        }
        inputs.push(tensor);
    }
    if !rest.0.is_empty() {
        return Err(Refused::bad(format!(
            "{} bytes of the body belong to no input: their `binary_data_size` add up to {}, and {} bytes follow the JSON",
            rest.0.len(),
            binary.len() - rest.0.len(),
            binary.len()
        )));
    }
    let rows = rows.unwrap_or(0);
    if rows == 0 {
        return Err(Refused::bad("the request asks about no row"));
    }
    let form = match parameters.binary_data_output {
        Some(true) => OutputForm::Binary,
        Some(false) | None => OutputForm::Json,
    };
    Ok(InferenceRequest {
        id: text.id,
        // 0 means that there is none.
        timeout: parameters
            .timeout
            .filter(|micros| *micros > 0)
            .map(Duration::from_micros),
        inputs,
        rows,
        outputs: wanted(text.outputs.as_deref(), form, model)?,
        parameters: parameters.others,
    })
}

/// The request that an image file alone is.
///
/// # Errors
/// The model is not shown images.
pub fn read_image_request(file: Vec<u8>, model: &dyn ModelInterface) -> Result<InferenceRequest, Refused> {
    let takes = |info: &&TensorInfo| info.datatype == Datatype::Bytes && info.row.is_empty();
    let info = model.inputs().iter().find(takes).filter(|_| model.takes_one_of());
    let Some(info) = info else {
        return Err(Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the model is not shown images: send its inputs as JSON",
        ));
    };
    Ok(InferenceRequest {
        id: None,
        timeout: None,
        inputs: vec![InputTensor {
            name: info.name.clone(),
            values: TensorValues::Strings(vec![file]),
        }],
        rows: 1,
        outputs: wanted(None, OutputForm::Json, model)?,
        parameters: Map::new(),
    })
}

/// The bytes that no input has taken yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, size: u64) -> Result<&'a [u8], String> {
        let split = usize::try_from(size)
            .ok()
            .and_then(|size| self.0.split_at_checked(size));
        let (own, rest) = split.ok_or_else(|| {
            format!(
                "its `binary_data_size` is {size}, and {} bytes are left behind the JSON",
                self.0.len()
            )
        })?;
        self.0 = rest;
        Ok(own)
    }
}

/// What is wrong with a body that cannot be read as a request.
fn no_request(body: &[u8], error: &serde_json::Error, model: &dyn ModelInterface) -> String {
    let takes_files =
        model.takes_one_of() && model.inputs().iter().any(|info| info.datatype == Datatype::Bytes);
    let place = error.column().saturating_sub(1);
    let word = error.line() == 1
        && body.get(place..).is_some_and(|rest| {
            let rest = rest.strip_prefix(b"-").unwrap_or(rest);
            rest.starts_with(b"NaN") || rest.starts_with(b"Infinity")
        });
    let advice = match body.trim_ascii_start().first() {
        Some(b'{') if word => "; JSON has no NaN and no infinity: where a column holds nothing, write null",
        Some(b'{') => "",
        Some(b'[') => {
            return "the body is no inference request: it is a list, and no JSON object with `inputs`"
                .to_owned();
        }
        _ if takes_files => "; an image file is sent with `Content-Type: image/png` or that of its kind",
        _ => "; it is a JSON object with `inputs`",
    };
    format!("the body is no inference request: {error}{advice}")
}

/// Checks that the inputs are the model's.
fn check_names(inputs: &[InputText<'_>], model: &dyn ModelInterface) -> Result<(), Refused> {
    let known = model.inputs();
    let listed = || {
        let names: Vec<&str> = known.iter().map(|info| info.name.as_str()).collect();
        names.join("`, `")
    };
    for (place, input) in inputs.iter().enumerate() {
        if known.iter().all(|info| info.name != input.name) {
            let shown: String = input.name.chars().take(80).collect();
            return Err(Refused::bad(format!(
                "the model has no input `{shown}`: it takes `{}`",
                listed()
            )));
        }
        // No more than the model has can come before the first that comes twice.
        if inputs[..place].iter().any(|other| other.name == input.name) {
            return Err(Refused::bad(format!("input `{}` comes twice", input.name)));
        }
    }
    if model.takes_one_of() {
        return match inputs.len() {
            1 => Ok(()),
            _ => Err(Refused::bad(format!("the model takes one of `{}`", listed()))),
        };
    }
    let missing: Vec<&str> = known
        .iter()
        .map(|info| info.name.as_str())
        .filter(|name| inputs.iter().all(|input| input.name != *name))
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Refused::bad(format!(
            "the inputs `{}` are missing",
            missing.join("`, `")
        ))),
    }
}

/// An input, and how many rows it has.
fn read_input(
    input: &InputText<'_>,
    model: &dyn ModelInterface,
    rest: &mut Rest<'_>,
) -> Result<(InputTensor, usize), String> {
    let info = model.inputs().iter().find(|info| info.name == input.name);
    let info = info.ok_or("the model has no such input")?;
    let datatype = Datatype::named(&input.datatype).filter(|datatype| info.takes(*datatype));
    let datatype = datatype.ok_or_else(|| {
        let shown: String = input.datatype.chars().take(20).collect();
        format!("it is of {}, not of `{shown}`", info.datatype)
    })?;
    let (shape, count) = checked_shape(&input.shape, info)?;
    let size = input
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.binary_data_size);
    let mut values = match (input.data, size) {
        (Some(data), None) => from_json(datatype, data, &shape, count)?,
        (None, Some(size)) => from_binary(datatype, rest.take(size)?, count)?,
        (Some(_), Some(_)) => return Err("it has both `data` and `binary_data_size`".to_owned()),
        (None, None) => return Err("it has neither `data` nor `binary_data_size`".to_owned()),
    };
    // JSON holds texts: of files, theirs in base64.
    if let (TensorValues::Strings(files), true, Some(_)) = (&mut values, model.takes_one_of(), input.data) {
        for file in files {
            let decoded = STANDARD.decode(&*file);
            *file = decoded.map_err(|error| format!("in JSON a file is base64, and it is not: {error}"))?;
        }
    }
    let tensor = InputTensor {
        name: input.name.clone(),
        values,
    };
    Ok((tensor, shape.first().copied().unwrap_or(0)))
}

/// The shape that `info` asks for, and how many values it has.
fn checked_shape(shape: &[u64], info: &TensorInfo) -> Result<(Vec<usize>, usize), String> {
    let wrong = || {
        let shown: Vec<String> = shape.iter().take(8).map(u64::to_string).collect();
        let wanted: Vec<String> = info.shape().iter().map(i64::to_string).collect();
        format!(
            "its shape is [{}], and [{}] is asked for",
            shown.join(", "),
            wanted.join(", ")
        )
    };
    // A value a row may stand in a column of its own.
    let is_column = info.row.is_empty() && matches!(shape, [_, 1]);
    let fits = shape.split_first().is_some_and(|(_, row)| {
        is_column
            || (row.len() == info.row.len()
                && row.iter().zip(&info.row).all(|(own, side)| *own == *side as u64))
    });
    if !fits {
        return Err(wrong());
    }
    let sides: Option<Vec<usize>> = shape.iter().map(|side| usize::try_from(*side).ok()).collect();
    let sides = sides.ok_or_else(wrong)?;
    let count = sides
        .iter()
        .try_fold(1usize, |product, side| product.checked_mul(*side));
    Ok((sides, count.ok_or_else(wrong)?))
}

/// The outputs that are asked for: all where nothing is said.
fn wanted(
    outputs: Option<&[OutputText]>,
    form: OutputForm,
    model: &dyn ModelInterface,
) -> Result<Vec<WantedOutput>, Refused> {
    let known = model.outputs();
    let Some(outputs) = outputs.filter(|outputs| !outputs.is_empty()) else {
        let all = (0..known.len()).map(|index| WantedOutput {
            index,
            form,
            classification: None,
        });
        return Ok(all.collect());
    };
    let mut wanted: Vec<WantedOutput> = Vec::new();
    for output in outputs {
        let bad = |problem: String| {
            let shown: String = output.name.chars().take(80).collect();
            Refused::bad(format!("output `{shown}`: {problem}"))
        };
        let Some(index) = known.iter().position(|info| info.name == output.name) else {
            let names: Vec<&str> = known.iter().map(|info| info.name.as_str()).collect();
            return Err(bad(format!("the model gives `{}`", names.join("`, `"))));
        };
        if wanted.iter().any(|other| other.index == index) {
            return Err(bad("it is asked for twice".to_owned()));
        }
        let (mut own, mut most) = (form, None);
        if let Some(parameters) = &output.parameters {
            own = match parameters.binary_data {
                Some(true) => OutputForm::Binary,
                Some(false) => OutputForm::Json,
                None => form,
            };
            most = parameters.classification.filter(|most| *most > 0);
        }
        let info = &known[index];
        let is_list = matches!(info.datatype, Datatype::Fp32 | Datatype::Fp64) && info.row.len() == 1;
        if most.is_some() && !is_list {
            return Err(bad(
                "`classification` is for outputs with a number for each class".to_owned(),
            ));
        }
        wanted.push(WantedOutput {
            index,
            form: own,
            classification: most
                .map(|most| usize::try_from(most).unwrap_or(usize::MAX).min(info.row_values())),
        });
    }
    Ok(wanted)
}
