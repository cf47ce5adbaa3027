//! Models of known answers, for tests.

use std::sync::Arc;

use super::served::{ModelInterface, ModelVersion, Served, ServedModel, ServedRows};
use super::tensor::{Datatype, InputTensor, TensorInfo, TensorValues};
use crate::data::ReadText;

/// Gives for each row of two numbers their sum and their difference.
pub struct EchoModel {
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    takes_one_of: bool,
}

impl EchoModel {
    pub fn new() -> Self {
        Self::of(
            vec![TensorInfo::new("input", Datatype::Fp32, vec![2], "two numbers")],
            false,
        )
    }

    /// The same that is given `inputs`.
    pub fn of(inputs: Vec<TensorInfo>, takes_one_of: bool) -> Self {
        let labels = vec!["sum".to_owned(), "difference".to_owned()];
        Self {
            inputs,
            takes_one_of,
            outputs: vec![TensorInfo {
                labels,
                ..TensorInfo::new("outputs", Datatype::Fp32, vec![2], "two numbers")
            }],
        }
    }
}

impl ModelInterface for EchoModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn takes_one_of(&self) -> bool {
        self.takes_one_of
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn row_bytes(&self) -> usize {
        8
    }
}

impl Served for EchoModel {
    fn rows(&self, inputs: Vec<InputTensor>, _: usize) -> Result<ServedRows, String> {
        match inputs.into_iter().next().map(|input| input.values) {
            Some(TensorValues::Floats(values)) => Ok(ServedRows::Numbers { values, width: 2 }),
            _ => Err("no numbers".to_owned()),
        }
    }

    fn trials(&self) -> ServedRows {
        ServedRows::trials(2)
    }

    fn answer(&self, rows: ServedRows) -> Result<Vec<Vec<f32>>, String> {
        let ServedRows::Numbers { values, .. } = rows else {
            return Err("no numbers".to_owned());
        };
        let pairs = values.chunks_exact(2);
        Ok(pairs
            .map(|pair| vec![pair[0] + pair[1], pair[0] - pair[1]])
            .collect())
    }

    fn tensor(&self, _: usize, outputs: &[Vec<f32>], _: &[Arc<ReadText>]) -> TensorValues {
        TensorValues::Floats(outputs.concat())
    }
}

/// A version of [`EchoModel`].
pub fn echo_version(name: &str) -> Arc<ModelVersion> {
    Arc::new(ModelVersion {
        model: ServedModel::Rows(Box::new(EchoModel::new())),
        version: name.to_owned(),
        fingerprint: name.to_owned(),
    })
}
