//! How fast models answer on the machine at hand.

use std::time::{Duration, Instant};

use super::error::TrainError;
use super::evaluate::{Evaluation, JudgedModel};
use super::inference::{Inference, KeptPasses};
use crate::data::SampleOrder;
use crate::event::Monitor;
use crate::models::NetworkInput;

/// How long each way to ask is timed, for each model.
const TIMED: Duration = Duration::from_millis(500);
/// Rounds that are timed, at least.
const ROUNDS: usize = 5;

/// How fast models answer together, without the reading of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredSpeed {
    /// Samples in a second, asked about batch by batch.
    pub samples_per_second: f64,
    /// Milliseconds until the answer about a sample alone.
    pub latency_ms: f64,
}

/// Times the models with the threads of the current pool: with batches of as many samples as `options` say, and of one.
/// Of all rounds the median counts.
///
/// # Errors
/// A sample cannot be read, or the monitor asks to stop.
pub fn measure_speed(
    models: &[JudgedModel<'_>],
    options: &Evaluation<'_>,
    monitor: &Monitor,
) -> Result<MeasuredSpeed, TrainError> {
    let (mut of_batch, mut alone) = (0.0, 0.0);
    for model in models {
        let (seconds, samples) = median(model, options, options.batch_size, monitor)?;
        of_batch += seconds / samples as f64;
        alone += median(model, options, 1, monitor)?.0;
    }
    Ok(MeasuredSpeed {
        samples_per_second: 1.0 / of_batch.max(f64::MIN_POSITIVE),
        latency_ms: alone * 1e3,
    })
}

/// The median of the seconds that an answer takes, and how many samples it is about.
fn median(
    model: &JudgedModel<'_>,
    options: &Evaluation<'_>,
    batch_size: usize,
    monitor: &Monitor,
) -> Result<(f64, usize), TrainError> {
    let feed = model.feed(&Evaluation {
        batch_size,
        order: SampleOrder::Spread(u32::try_from(batch_size).unwrap_or(u32::MAX)),
        ..options.clone()
    })?;
    let mut batches = feed.serve(0, 0, &options.device, options.test_time_flip);
    let Some(batch) = batches.next().transpose()? else {
        return Ok((0.0, 1));
    };
    let kept = KeptPasses::default();
    let inference = Inference {
        network: model.network,
        precision: model.precision,
        shape: feed.input(),
        device: &options.device,
        kept: &kept,
    };
    let ask = || -> Result<f64, TrainError> {
        let mirrored = batch.host.clone();
        let start = Instant::now();
        match &batch.inputs {
            NetworkInput::Values(values) => drop(inference.outputs(values, mirrored)?),
            tokens => drop(inference.answer(tokens)?.outputs(model.precision)?),
        }
        // What was asked of a graphics processor is there when it has been waited for.
        options.device.synchronize()?;
        Ok(start.elapsed().as_secs_f64())
    };
    // Weights are brought into order, and memory is found, the first time.
    ask()?;
    let (begin, mut rounds) = (Instant::now(), Vec::new());
    while rounds.len() < ROUNDS || begin.elapsed() < TIMED {
        if monitor.stopped() {
            return Err(TrainError::Interrupted);
        }
        rounds.push(ask()?);
    }
    rounds.sort_by(f64::total_cmp);
    Ok((rounds[rounds.len() / 2], batch.samples))
}
