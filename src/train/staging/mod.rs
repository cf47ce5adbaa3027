//! Bringing batches to the device.
//!
//! On the CPU a batch becomes a tensor where it lies. For a CUDA device another thread copies it into
//! page-locked memory and on to the device, on a stream of its own, while the step before is
//! computed.

#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Device, Tensor};

use super::error::TrainError;
use super::tensor_file::input_tensor;
use crate::data::{Batch, DataError, SampleShape, Targets};

/// A batch whose inputs are on the device.
pub struct Staged {
    /// `[N, C, H, W]` or `[N, F]`.
    pub inputs: Tensor,
    /// The inputs on the host, where they were kept.
    pub host: Option<Vec<f32>>,
    /// N.
    pub samples: usize,
    /// What the samples are to be judged by.
    pub targets: Targets,
}

/// `batches` on `device`, in order. Their samples have the shape `shape`.
pub fn stage(
    batches: impl Iterator<Item = Result<Batch, DataError>> + Send + 'static,
    shape: SampleShape,
    device: &Device,
    keep_host: bool,
) -> Box<dyn Iterator<Item = Result<Staged, TrainError>>> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        return Box::new(cuda::Ahead::start(batches, shape, device.clone(), keep_host));
    }
    let device = device.clone();
    Box::new(batches.map(move |batch| {
        let batch = batch?;
        let samples = batch.samples.len();
        let host = keep_host.then(|| batch.inputs.clone());
        Ok(Staged {
            inputs: input_tensor(batch.inputs, samples, shape, &device)?,
            host,
            samples,
            targets: batch.targets,
        })
    }))
}
