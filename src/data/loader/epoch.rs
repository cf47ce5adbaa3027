//! The batches of one epoch, made on another thread.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use super::recipe::Recipe;
use crate::data::batch::Batch;
use crate::data::error::DataError;

/// The batches of one epoch, in order. After an error there are no more. Dropping it ends the thread
/// that makes them.
pub struct EpochBatches {
    receiver: Option<Receiver<Result<Batch, DataError>>>,
    producer: Option<JoinHandle<()>>,
    failure: Option<DataError>,
    remaining: usize,
}

impl EpochBatches {
    /// Starts to make `batches`: at most `prefetch` of them wait, while one more is being made.
    pub(super) fn start(recipe: &Arc<Recipe>, epoch: u32, batches: Range<usize>, prefetch: usize) -> Self {
        let (sender, receiver) = sync_channel(prefetch);
        let recipe = Arc::clone(recipe);
        let remaining = batches.len();
        let producer = thread::Builder::new().name("loader".into()).spawn(move || {
            let order = recipe.order(epoch);
            for index in batches {
                let batch = recipe.batch(epoch, index, &order);
                let is_last = batch.is_err();
                // Sending fails once nobody wants batches any more.
                if sender.send(batch).is_err() || is_last {
                    return;
                }
            }
        });
        let (producer, failure) = match producer {
            Ok(producer) => (Some(producer), None),
            Err(error) => {
                let problem = format!("cannot start the loader's thread: {error}; allow more threads");
                (None, Some(DataError::Options(problem)))
            }
        };
        Self {
            receiver: Some(receiver),
            producer,
            failure,
            remaining,
        }
    }
}

impl Iterator for EpochBatches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        if let Some(failure) = self.failure.take() {
            self.remaining = 0;
            return Some(Err(failure));
        }
        let Some(batch) = self.receiver.as_ref().and_then(|receiver| receiver.recv().ok()) else {
            self.remaining = 0;
            // Without an error the producer ends early only by a panic, which is this thread's as well.
            if let Some(Err(panic)) = self.producer.take().map(JoinHandle::join) {
                std::panic::resume_unwind(panic);
            }
            return None;
        };
        self.remaining = if batch.is_ok() { self.remaining - 1 } else { 0 };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for EpochBatches {}

impl Drop for EpochBatches {
    fn drop(&mut self) {
        // Without a receiver the producer's next `send` fails.
        self.receiver = None;
        if let Some(producer) = self.producer.take() {
            let _ = producer.join();
        }
    }
}
