//! Models of known answers, for tests.

use std::sync::Arc;

use super::served::{ModelVersion, Served};
use super::tensor::{Datatype, InputTensor, TensorInfo, TensorValues};

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

impl Served for EchoModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn takes_one_of(&self) -> bool {
        self.takes_one_of
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn row_len(&self) -> usize {
        2
    }

    fn output_len(&self) -> usize {
        2
    }

    fn rows(&self, inputs: Vec<InputTensor>, _: usize) -> Result<Vec<f32>, String> {
        match inputs.into_iter().next().map(|input| input.values) {
            Some(TensorValues::Floats(numbers)) => Ok(numbers),
            _ => Err("no numbers".to_owned()),
        }
    }

    fn answer(&self, rows: Vec<f32>) -> Result<Vec<f32>, String> {
        let pairs = rows.chunks_exact(2);
        Ok(pairs
            .flat_map(|pair| [pair[0] + pair[1], pair[0] - pair[1]])
            .collect())
    }

    fn tensor(&self, _: usize, outputs: &[f32]) -> TensorValues {
        TensorValues::Floats(outputs.to_vec())
    }
}

/// A version of [`EchoModel`].
pub fn echo_version(name: &str) -> Arc<ModelVersion> {
    Arc::new(ModelVersion {
        model: Box::new(EchoModel::new()),
        version: name.to_owned(),
        fingerprint: name.to_owned(),
    })
}
