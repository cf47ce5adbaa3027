//! Trained models of images and of rows of tables, to be served.

use std::path::Path;
use std::sync::Arc;

use super::served::{ModelInterface, Served, ServedRows};
use super::tensor::{Datatype, InputTensor, TensorInfo, TensorValues};
use super::told::{ToldGroup, told_outputs};
use crate::data::{AskedColumn, ColumnCells, Example, ReadText, asked_columns, claimed_size, features_of};
use crate::schema::{Field, InputShape};
use crate::train::{Components, DeviceChoice, RowPredictor, TrainError};

/// Images that claim more pixels are not decoded.
const MOST_PIXELS: usize = 32 << 20;

/// What the network is shown, as numbers.
const INPUT: &str = "input";
/// Images of the network's size.
const PIXELS: &str = "pixels";
/// Image files.
const IMAGE: &str = "image";

/// The types of numbers that a table's columns may have.
const NUMBERS: [Datatype; 10] = [
    Datatype::Fp32,
    Datatype::Int64,
    Datatype::Int32,
    Datatype::Int16,
    Datatype::Int8,
    Datatype::Uint64,
    Datatype::Uint32,
    Datatype::Uint16,
    Datatype::Uint8,
    Datatype::Bool,
];

/// A model that `train` or `export` made.
///
/// Of images it takes one of `input` (FP32 `[N, C, H, W]`, normalised, as an exported ONNX model), `pixels` (UINT8
/// `[N, H, W, C]`, of the network's size) and `image` (BYTES `[N]`, image files of any size); of tables each column by
/// its name. It gives what an exported ONNX model gives, and what `predict` tells.
pub struct PredictingModel {
    predictor: RowPredictor,
    field: Field,
    columns: Vec<AskedColumn>,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    told: Vec<ToldGroup>,
}

impl PredictingModel {
    /// Loads the model in `folder`.
    ///
    /// # Errors
    /// As [`RowPredictor::load`], and where a table's columns are not known by name.
    pub fn load(folder: &Path, device: DeviceChoice, components: &Components) -> Result<Self, TrainError> {
        let predictor = RowPredictor::load(folder, device.open()?, components)?;
        let cannot = |problem: &str| TrainError::CannotPredict {
            path: folder.to_owned(),
            problem: problem.to_owned(),
        };
        if predictor.judges_pixels() {
            return Err(cannot(
                "it says something of each pixel, and masks are not served yet: `erlen predict` with `--output` writes them as \
                 files",
            ));
        }
        let [field] = predictor.shown().fields() else {
            return Err(cannot(
                "it is shown something else than an image or a row of numbers",
            ));
        };
        let field = field.clone();
        let columns = asked_columns(&field);
        let inputs = match predictor.shape() {
            InputShape::Image {
                channels,
                height,
                width,
            } if field.is_image() => image_inputs([channels, height, width]),
            InputShape::Features { .. } if field.is_row() && !columns.is_empty() => {
                columns.iter().map(column_input).collect()
            }
            _ => {
                return Err(cannot(
                    "it does not tell the columns that it was trained on, so that they cannot be asked for by name: preprocess \
                     the data and train the model again",
                ));
            }
        };
        let (outputs, told) = outputs_of(&predictor);
        Ok(Self {
            predictor,
            field,
            columns,
            inputs,
            outputs,
            told,
        })
    }

    /// The row of an image file.
    fn image_row(&self, file: Vec<u8>) -> Result<Vec<f32>, String> {
        if let Some([height, width]) = claimed_size(&file)
            && height.saturating_mul(width) > MOST_PIXELS
        {
            return Err(format!(
                "the image is too large: it has {height}x{width} pixels (height x width), and at most {MOST_PIXELS} are \
                 decoded here; make it smaller"
            ));
        }
        let example = Example::default().with_scaled_image_file(&self.field.name, file);
        self.predictor.row(example)
    }

    /// Numbers of a row.
    fn row_len(&self) -> usize {
        self.predictor.shape().len()
    }

    /// The rows of images, in whatever form they are.
    fn image_rows(&self, inputs: Vec<InputTensor>) -> Result<Vec<f32>, String> {
        let mut numbers = Vec::new();
        for InputTensor { name, values } in inputs {
            let of_row = |row: usize, problem: String| format!("input `{name}`, row {}: {problem}", row + 1);
            match values {
                TensorValues::Floats(values) => numbers = values,
                TensorValues::Octets(pixels) => {
                    let images = pixels.chunks_exact(self.row_len().max(1));
                    numbers = images.flat_map(|image| self.predictor.pixel_row(image)).collect();
                }
                TensorValues::Strings(files) => {
                    for (row, file) in files.into_iter().enumerate() {
                        let own = self.image_row(file).map_err(|problem| of_row(row, problem))?;
                        numbers.extend(own);
                    }
                }
                _ => return Err(format!("input `{name}` has values of a type that no image has")),
            }
            let wrong = numbers.iter().position(|number| !number.is_finite());
            if let Some(place) = wrong {
                let problem = "it has a number that is not finite".to_owned();
                return Err(of_row(place / self.row_len().max(1), problem));
            }
        }
        Ok(numbers)
    }

    /// The rows of a table whose columns are `inputs`.
    fn table_rows(&self, inputs: Vec<InputTensor>) -> Result<Vec<f32>, String> {
        let cells = |input: InputTensor| {
            let cells = cells_of(input.values);
            cells
                .map_err(|problem| format!("input `{}`: {problem}", input.name))
                .map(|cells| (input.name, cells))
        };
        let columns: Result<Vec<(String, ColumnCells)>, String> = inputs.into_iter().map(cells).collect();
        let mut rows = Vec::new();
        for (row, features) in features_of(&self.field, &columns?)?.into_iter().enumerate() {
            let example = Example::default().with_numbers(&self.field.name, features);
            let numbers = self.predictor.row(example);
            rows.extend(numbers.map_err(|problem| format!("row {}: {problem}", row + 1))?);
        }
        Ok(rows)
    }
}

impl ModelInterface for PredictingModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn takes_one_of(&self) -> bool {
        self.field.is_image()
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn row_bytes(&self) -> usize {
        self.row_len().saturating_mul(size_of::<f32>())
    }
}

impl Served for PredictingModel {
    fn rows(&self, inputs: Vec<InputTensor>, rows: usize) -> Result<ServedRows, String> {
        let values = match self.columns.is_empty() {
            false => self.table_rows(inputs)?,
            true => self.image_rows(inputs)?,
        };
        let width = self.row_len();
        match values.len() == rows * width && values.iter().all(|number| number.is_finite()) {
            true => Ok(ServedRows::Numbers { values, width }),
            false => Err("the inputs are not what the model is shown".to_owned()),
        }
    }

    fn trials(&self) -> ServedRows {
        ServedRows::trials(self.row_len())
    }

    fn answer(&self, rows: ServedRows) -> Result<Vec<Vec<f32>>, String> {
        let ServedRows::Numbers { values, .. } = rows else {
            return Err("the model is shown numbers".to_owned());
        };
        let outputs = self.predictor.outputs(values);
        let outputs = outputs.map_err(|error| error.to_string())?;
        let each = outputs.chunks(self.predictor.names().len().max(1));
        Ok(each.map(<[f32]>::to_vec).collect())
    }

    fn is_sound(&self, outputs: &[f32]) -> bool {
        self.predictor.is_finite(outputs)
    }

    fn tensor(&self, index: usize, outputs: &[Vec<f32>], _: &[Arc<ReadText>]) -> TensorValues {
        match index.checked_sub(1).and_then(|told| self.told.get(told)) {
            Some(group) => group.tensor(outputs.iter().map(|row| self.predictor.values(row))),
            None => TensorValues::Floats(outputs.concat()),
        }
    }
}

/// What a model of images takes.
fn image_inputs([channels, height, width]: [usize; 3]) -> Vec<TensorInfo> {
    vec![
        TensorInfo::new(
            INPUT,
            Datatype::Fp32,
            vec![channels, height, width],
            "what the network is shown: channels, rows, columns, normalised as the model's card says",
        ),
        TensorInfo::new(
            PIXELS,
            Datatype::Uint8,
            vec![height, width, channels],
            "images of the network's size: rows, columns, channels from 0 to 255",
        ),
        TensorInfo::new(
            IMAGE,
            Datatype::Bytes,
            Vec::new(),
            "image files of any size (JPEG, PNG, GIF, WebP, TIFF, BMP), in JSON as base64",
        ),
    ]
}

/// What a model of tables takes for one of their columns.
fn column_input(column: &AskedColumn) -> TensorInfo {
    let (datatype, other, description) = match column.is_text {
        true => (
            Datatype::Bytes,
            Datatype::Fp64,
            "a column's cells; an empty one holds nothing",
        ),
        false => (
            Datatype::Fp64,
            Datatype::Bytes,
            "a column's numbers, or their texts; NaN, null or an empty text hold nothing",
        ),
    };
    TensorInfo {
        also: NUMBERS.into_iter().chain([other]).collect(),
        ..TensorInfo::new(&column.name, datatype, Vec::new(), description)
    }
}

/// What a model gives: the network's outputs, and what `predict` tells, each group as one.
fn outputs_of(predictor: &RowPredictor) -> (Vec<TensorInfo>, Vec<ToldGroup>) {
    let (names, meaning) = (predictor.names(), predictor.meaning());
    let mut outputs = vec![TensorInfo {
        labels: names.to_vec(),
        ..TensorInfo::new(
            meaning.tensor,
            Datatype::Fp32,
            vec![names.len()],
            "the network's outputs, as an exported ONNX model gives them",
        )
    }];
    let (infos, told): (Vec<TensorInfo>, Vec<ToldGroup>) = told_outputs(&predictor.columns(), names.len())
        .into_iter()
        .unzip();
    outputs.extend(infos);
    (outputs, told)
}

/// The cells of a column.
fn cells_of(values: TensorValues) -> Result<ColumnCells, String> {
    Ok(match values {
        TensorValues::Strings(texts) => {
            let texts: Result<Vec<String>, _> = texts.into_iter().map(String::from_utf8).collect();
            ColumnCells::Texts(texts.map_err(|_| "a text is not UTF-8".to_owned())?)
        }
        TensorValues::Doubles(numbers) => ColumnCells::Numbers(numbers),
        TensorValues::Floats(numbers) => ColumnCells::Numbers(numbers.into_iter().map(f64::from).collect()),
        TensorValues::Octets(numbers) => ColumnCells::Numbers(numbers.into_iter().map(f64::from).collect()),
        TensorValues::Integers(numbers) => {
            ColumnCells::Texts(numbers.into_iter().map(|number| number.to_string()).collect())
        }
        TensorValues::Flags(flags) => {
            ColumnCells::Texts(flags.into_iter().map(|flag| u8::from(flag).to_string()).collect())
        }
    })
}
