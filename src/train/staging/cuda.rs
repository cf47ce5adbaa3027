//! Copies to a CUDA device that overlap the step.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use candle_core::cuda::cudarc::driver::{CudaStream, DriverError, PinnedHostSlice};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Storage, Tensor};

use super::{Staged, Unpacked, unpack};
use crate::data::{Batch, DataError};
use crate::models::NetworkInput;
use crate::schema::Schema;
use crate::train::error::TrainError;

/// Batches that are copied ahead of the step.
const AHEAD: usize = 1;

/// Batches on the device, made ahead on another thread. Dropping it ends the thread.
pub(super) struct Ahead {
    receiver: Option<Receiver<Result<Staged, TrainError>>>,
    producer: Option<JoinHandle<()>>,
    failure: Option<TrainError>,
}

impl Ahead {
    pub fn start(
        batches: impl Iterator<Item = Result<Batch, DataError>> + Send + 'static,
        schema: Schema,
        device: CudaDevice,
        keep_host: bool,
    ) -> Self {
        let (sender, receiver) = sync_channel(AHEAD);
        let work = move || produce(batches, &schema, device, keep_host, &sender);
        match thread::Builder::new().name("staging".into()).spawn(work) {
            Ok(producer) => Self {
                receiver: Some(receiver),
                producer: Some(producer),
                failure: None,
            },
            Err(error) => Self {
                receiver: None,
                producer: None,
                failure: Some(TrainError::Device(format!(
                    "cannot start the thread that copies batches: {error}; allow more threads"
                ))),
            },
        }
    }
}

impl Iterator for Ahead {
    type Item = Result<Staged, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        let staged = self.receiver.as_ref()?.recv().ok();
        if staged.is_none()
            && let Some(Err(panic)) = self.producer.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
        staged
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(producer) = self.producer.take() {
            let _ = producer.join();
        }
    }
}

fn produce(
    batches: impl Iterator<Item = Result<Batch, DataError>>,
    schema: &Schema,
    device: CudaDevice,
    keep_host: bool,
    sender: &SyncSender<Result<Staged, TrainError>>,
) {
    let mut stager = match Stager::new(device) {
        Ok(stager) => stager,
        Err(error) => {
            let _ = sender.send(Err(failed(&error)));
            return;
        }
    };
    for batch in batches {
        let staged = batch
            .map_err(TrainError::from)
            .and_then(|batch| stager.stage(batch, schema, keep_host));
        let stop = staged.is_err();
        if sender.send(staged).is_err() || stop {
            return;
        }
    }
}

fn failed(error: &DriverError) -> TrainError {
    TrainError::Device(format!("a batch cannot be copied to the device: {error}"))
}

/// Copies batches on a stream of its own, through two page-locked buffers in turn.
struct Stager {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    buffers: [Option<PinnedHostSlice<f32>>; 2],
    turn: usize,
}

impl Stager {
    fn new(device: CudaDevice) -> Result<Self, DriverError> {
        let stream = device.cuda_stream().context().new_stream()?;
        Ok(Self {
            device,
            stream,
            buffers: [None, None],
            turn: 0,
        })
    }

    fn stage(&mut self, batch: Batch, schema: &Schema, keep_host: bool) -> Result<Staged, TrainError> {
        let Unpacked {
            inputs: values,
            dimensions,
            samples,
            targets,
        } = unpack(batch, schema)?;
        let inputs = self.copy(&values, dimensions).map_err(|error| failed(&error))?;
        Ok(Staged {
            inputs: NetworkInput::Values(inputs),
            host: keep_host.then_some(values),
            samples: samples.len(),
            keys: samples,
            targets,
            ends: None,
        })
    }

    fn copy(&mut self, values: &[f32], dimensions: Vec<usize>) -> Result<Tensor, DriverError> {
        self.turn = 1 - self.turn;
        let buffer = &mut self.buffers[self.turn];
        let pinned = match buffer {
            Some(pinned) if pinned.len() == values.len() => pinned,
            _ => {
                // SAFETY: the memory is not read before it is written as a whole, right below.
                let fresh = unsafe { self.stream.context().alloc_pinned::<f32>(values.len()) }?;
                buffer.insert(fresh)
            }
        };
        // Waits until the copy before the last, which used this buffer, is done.
        pinned.as_mut_slice()?.copy_from_slice(values);
        // The slice remembers the stream that writes it; the device's own stream waits for that.
        let slice = self.stream.clone_htod(pinned)?;
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, self.device.clone()));
        Ok(Tensor::from_storage(
            storage,
            dimensions,
            BackpropOp::none(),
            false,
        ))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::data::{Array, ArrayValues};
    use crate::schema::Field;

    /// Needs a device; says so where there is none.
    #[test]
    fn batches_arrive_in_order_and_whole() {
        let Ok(device) = Device::new_cuda(0) else {
            eprintln!("skipped: there is no CUDA device");
            return;
        };
        let values =
            |index: usize| -> Vec<f32> { (0..12).map(|place| (100 * index + place) as f32).collect() };
        let batch = move |index: usize| Batch {
            index,
            samples: (0..3).collect(),
            fields: [
                (
                    "x".to_owned(),
                    Array::stacked(ArrayValues::F32(values(index)), vec![3, 4]),
                ),
                (
                    "y".to_owned(),
                    Array::stacked(ArrayValues::U32(vec![0, 1, 2]), vec![3]),
                ),
            ]
            .into_iter()
            .collect(),
        };
        let names = |count: usize| (0..count).map(|name| name.to_string()).collect();
        let schema = Schema::new(vec![Field::features("x", names(4)), Field::class("y", names(3))]).unwrap();
        let batches = (0..7).map(move |index| Ok(batch(index)));
        for (index, staged) in super::super::stage(batches, &schema, &device, true).enumerate() {
            let staged = staged.unwrap();
            let NetworkInput::Values(inputs) = &staged.inputs else {
                panic!("the inputs are values");
            };
            let found: Vec<f32> = inputs.flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(found, values(index));
            assert_eq!(staged.host, Some(found));
        }
    }
}
