//! Bringing batches to the device.
//!
//! On the CPU a batch becomes a tensor where it lies. For a CUDA device another thread copies it into
//! page-locked memory and on to the device, on a stream of its own, while the step before is
//! computed.

#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Device, Tensor};

use super::error::TrainError;
use crate::data::{Array, ArrayValues, Batch, DataError};
use crate::models::NetworkInput;
use crate::schema::Schema;

/// A batch whose inputs are on the device.
pub struct Staged {
    /// What the network is shown.
    pub inputs: NetworkInput,
    /// The inputs on the host, where they were kept.
    pub host: Option<Vec<f32>>,
    /// How many samples there are; of texts, rows.
    pub samples: usize,
    /// What dropout is drawn by: the samples' indices in the split, `[N]`, or a number for each sequence of tokens.
    pub keys: Vec<u32>,
    /// What the samples are to be judged by.
    pub targets: Array,
    /// Where the outputs of each sample end, where it has more than one: one for each of its tokens.
    pub ends: Option<Vec<usize>>,
}

/// `batches` on `device`, in order. They hold what `schema` says.
pub fn stage(
    batches: impl Iterator<Item = Result<Batch, DataError>> + Send + 'static,
    schema: &Schema,
    device: &Device,
    keep_host: bool,
) -> Box<dyn Iterator<Item = Result<Staged, TrainError>>> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        return Box::new(cuda::Ahead::start(
            batches,
            schema.clone(),
            device.clone(),
            keep_host,
        ));
    }
    let (device, schema) = (device.clone(), schema.clone());
    Box::new(batches.map(move |batch| {
        let Unpacked {
            inputs,
            dimensions,
            samples,
            targets,
        } = unpack(batch?, &schema)?;
        let host = keep_host.then(|| inputs.clone());
        Ok(Staged {
            inputs: NetworkInput::Values(Tensor::from_vec(inputs, dimensions, &device)?),
            host,
            samples: samples.len(),
            keys: samples,
            targets,
            ends: None,
        })
    }))
}

/// What a network is shown of a batch, and what it is judged by.
struct Unpacked {
    inputs: Vec<f32>,
    dimensions: Vec<usize>,
    samples: Vec<u32>,
    targets: Array,
}

fn unpack(mut batch: Batch, schema: &Schema) -> Result<Unpacked, TrainError> {
    let input = schema.input().and_then(|field| batch.take(&field.name));
    let targets = schema.target().and_then(|field| batch.take(&field.name));
    match (input, targets) {
        (
            Some(Array {
                values: ArrayValues::F32(inputs),
                dimensions,
                ..
            }),
            Some(targets),
        ) => Ok(Unpacked {
            inputs,
            dimensions,
            samples: batch.samples,
            targets,
        }),
        _ => Err(DataError::Options("the batch lacks numbers to show the network, or targets".into()).into()),
    }
}
