//! Samples that are encoded side by side and taken in in order.

use rayon::prelude::*;

use crate::data::error::DataError;
use crate::data::intake::Intake;

/// Bytes of text that may wait to be encoded.
const WAITING: usize = 16 << 20;

/// Texts that may wait.
const MOST: usize = 1 << 16;

/// Texts that wait, each with what is to be done with it; `None` where it was bad from the beginning.
pub(in crate::data::formats) struct Bundles<W, E, T> {
    waiting: Vec<Result<W, DataError>>,
    bytes: usize,
    encode: E,
    take: T,
}

impl<W, S, E, T> Bundles<W, E, T>
where
    W: Send + Sync,
    S: Send,
    E: Fn(&W) -> Result<S, DataError> + Sync,
    T: FnMut(W, S, &mut Intake<'_>) -> Result<(), DataError>,
{
    /// Nothing yet: `encode` works on any thread, `take` is called in order.
    pub fn new(encode: E, take: T) -> Self {
        Self {
            waiting: Vec::new(),
            bytes: 0,
            encode,
            take,
        }
    }

    /// Adds a sample of `bytes` bytes, or why it is none.
    pub fn push(
        &mut self,
        sample: Result<W, DataError>,
        bytes: usize,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        self.waiting.push(sample);
        self.bytes += bytes;
        match self.bytes >= WAITING || self.waiting.len() >= MOST {
            true => self.flush(intake),
            false => intake.tick(),
        }
    }

    /// Takes in all that waits.
    pub fn flush(&mut self, intake: &mut Intake<'_>) -> Result<(), DataError> {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let encoded: Vec<Option<Result<S, DataError>>> = waiting
            .par_iter()
            .map(|sample| sample.as_ref().ok().map(&self.encode))
            .collect();
        for (sample, encoded) in waiting.into_iter().zip(encoded) {
            match (sample, encoded) {
                (Ok(sample), Some(Ok(encoded))) => (self.take)(sample, encoded, intake)?,
                (Ok(_), Some(Err(error))) | (Err(error), _) => intake.reject(error)?,
                (Ok(_), None) => {}
            }
        }
        Ok(())
    }
}
