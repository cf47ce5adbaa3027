//! Dropout.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::attributes::Attributes;
use super::composed::dropped;
use super::error::OpError;
use super::fill::changed;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::sequences::Sequences;
use super::vectors::with_wide_vectors;
use crate::random::{Purpose, Stream};

/// Names the masks of a batch: each sample's is drawn by itself, so that it is the same whatever other
/// samples it is computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey<'a> {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
    /// The samples' indices in their split, `[N]`.
    pub samples: &'a [u32],
    /// The layer within the network.
    pub layer: u32,
}

impl DropoutKey<'_> {
    /// The draws of the sample `sample`.
    pub(super) fn stream(&self, sample: u32) -> Stream {
        Stream::of_layer(self.seed, Purpose::Dropout, self.epoch, sample, self.layer)
    }

    /// Fails unless the key is for so many samples.
    pub(super) fn check_count(&self, op: &'static str, count: usize) -> std::result::Result<(), OpError> {
        if count != self.samples.len() {
            let problem = format!("{count} sequences for {} samples", self.samples.len());
            return Err(OpError::shape(op, problem));
        }
        Ok(())
    }

    /// Fails unless the key is for as many samples as `x` has.
    pub(super) fn check(&self, op: &'static str, x: &Tensor) -> std::result::Result<(), OpError> {
        match x.dims().first() {
            Some(samples) if *samples == self.samples.len() => Ok(()),
            _ => {
                let problem = format!(
                    "{:?} are not the values of {} samples",
                    x.dims(),
                    self.samples.len()
                );
                Err(OpError::shape(op, problem))
            }
        }
    }
}

/// Sets each value of `x`, `[N, ...]`, to 0 with probability `probability`, and divides the
/// others by `1 - probability` (Srivastava et al., 2014). To be left out in evaluation.
///
/// # Errors
/// A probability outside of `[0, 1)`, or a key for another number of samples.
pub fn dropout(x: &Tensor, probability: f64, key: DropoutKey<'_>) -> std::result::Result<Tensor, OpError> {
    check_probability("dropout", probability)?;
    if probability == 0.0 {
        return Ok(x.clone());
    }
    key.check("dropout", x)?;
    let each = x.elem_count() / key.samples.len().max(1);
    let parts = (0..key.samples.len()).map(|sample| sample * each..(sample + 1) * each);
    let kept = kept(x.elem_count(), parts, probability, key);
    run(Dropping { probability, kept }, &[x])
}

/// The same for rows of tokens, `[rows, W]`, of which each sequence's are a sample's. Rows that belong to
/// none become 0.
///
/// # Errors
/// A probability outside of `[0, 1)`, a key for another number of samples, or sequences that have other
/// rows.
pub fn dropout_rows(
    x: &Tensor,
    probability: f64,
    key: DropoutKey<'_>,
    sequences: &Sequences,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "dropout";
    check_probability(OP, probability)?;
    if probability == 0.0 {
        return Ok(x.clone());
    }
    let [rows, width] = *x.dims() else {
        return Err(OpError::rank(OP, "[rows, W]", x.shape()));
    };
    let spans = sequences.spans();
    key.check_count(OP, spans.len())?;
    sequences.check(OP, rows, usize::MAX)?;
    let parts = spans
        .iter()
        .map(|span| span.queries.start * width..span.queries.end * width);
    let kept = kept(rows * width, parts, probability, key);
    run(Dropping { probability, kept }, &[x])
}

/// Fails unless something is kept.
pub(super) fn check_probability(op: &'static str, probability: f64) -> std::result::Result<(), OpError> {
    if !(0.0..1.0).contains(&probability) {
        let problem = format!("the probability {probability} is not in [0, 1)");
        return Err(OpError::shape(op, problem));
    }
    Ok(())
}

/// For each of `len` values, as many a sample of `key`, 0 with that probability, else what makes up for
/// it.
pub(super) fn factors(len: usize, probability: f64, key: DropoutKey<'_>) -> Vec<f32> {
    /// Values that are drawn in the time that handing them to another thread takes.
    const GRAIN: usize = 4096;
    let mut factors = vec![0.0; len];
    let each = (len / key.samples.len().max(1)).max(1);
    factors
        .par_chunks_mut(each)
        .zip(key.samples)
        .with_min_len((GRAIN / each).max(1))
        .for_each(|(factors, &sample)| draw_factors(&mut key.stream(sample), probability, factors));
    factors
}

/// For each of `len` values whether it is kept. The values of sample `i` are `parts[i]`, in order; what is in
/// none is not.
fn kept(
    len: usize,
    parts: impl Iterator<Item = Range<usize>>,
    probability: f64,
    key: DropoutKey<'_>,
) -> Vec<bool> {
    /// Values that are drawn in the time that handing them to another thread takes, a multiple of what
    /// one block of draws gives.
    const GRAIN: usize = 1 << 13;
    let threshold = threshold(probability);
    let mut kept = vec![false; len];
    let mut rest = kept.as_mut_slice();
    let mut tasks = Vec::new();
    let mut start = 0;
    for (part, &sample) in parts.zip(key.samples) {
        let (_, behind) = rest.split_at_mut(part.start - start);
        let (own, behind) = behind.split_at_mut(part.len());
        tasks.extend(
            own.chunks_mut(GRAIN)
                .enumerate()
                .map(|(chunk, own)| (sample, chunk, own)),
        );
        (rest, start) = (behind, part.end);
    }
    tasks.into_par_iter().for_each(|(sample, chunk, kept)| {
        let mut stream = key.stream(sample).skip((chunk * GRAIN / 4) as u64);
        draw(&mut stream, kept, |bits| u64::from(bits) >= threshold);
    });
    kept
}

/// Draws under it drop.
fn threshold(probability: f64) -> u64 {
    (probability * 2f64.powi(32)).ceil() as u64
}

/// Sets each value to what `value` makes of 32 bits of `stream`.
fn draw<T>(stream: &mut Stream, values: &mut [T], value: impl Fn(u32) -> T) {
    const DRAWS: usize = 64;
    with_wide_vectors(
        #[inline(always)]
        || {
            for values in values.chunks_mut(DRAWS) {
                let mut bits = [0u32; DRAWS];
                let bits = &mut bits[..values.len()];
                stream.fill(bits);
                values
                    .iter_mut()
                    .zip(bits)
                    .for_each(|(target, bits)| *target = value(*bits));
            }
        },
    );
}

/// Draws `factors`, as [`factors`] gives them, from `stream`.
pub(super) fn draw_factors(stream: &mut Stream, probability: f64, factors: &mut [f32]) {
    let (threshold, kept) = (threshold(probability), (1.0 / (1.0 - probability)) as f32);
    draw(stream, factors, |bits| {
        if u64::from(bits) < threshold { 0.0 } else { kept }
    });
}

struct Dropping {
    probability: f64,
    /// For each value.
    kept: Vec<bool>,
}

impl Dropping {
    fn factor(&self) -> f32 {
        (1.0 / (1.0 - self.probability)) as f32
    }

    fn apply(&self, values: &[f32]) -> Vec<f32> {
        const BLOCK: usize = 1 << 14;
        let factor = self.factor();
        changed(values, BLOCK, |block, values| {
            let kept = &self.kept[block * BLOCK..];
            // Not a product: what is dropped is 0, were it infinite.
            for (value, &kept) in values.iter_mut().zip(kept) {
                *value = if kept { *value * factor } else { 0.0 };
            }
        })
    }
}

impl Operation for Dropping {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with("ratio", self.probability)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let x = &operands[0];
        let factor = self.factor();
        let factors = self.kept.iter().map(|&kept| if kept { factor } else { 0.0 });
        dropped(
            x,
            &Tensor::from_vec(factors.collect::<Vec<_>>(), x.shape(), x.device())?,
        )
    }
}

impl CpuKernel for Dropping {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        (self.apply(operands[0].values), operands[0].dims.into())
    }

    fn backward(
        &self,
        _operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        vec![OperandGradient::if_wanted(wanted[0], || self.apply(gradient))]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::ops::testing::{
        composing, first_samples, gradient_of, host, random, same_for_any_number_of_threads,
    };

    /// The masks of the first `samples` samples.
    fn key(samples: usize) -> DropoutKey<'static> {
        DropoutKey {
            seed: 3,
            epoch: 4,
            samples: first_samples(samples),
            layer: 5,
        }
    }

    #[test]
    fn drops_the_share_asked_for_and_keeps_the_mean() {
        let x = Tensor::ones((100, 200), candle_core::DType::F32, &candle_core::Device::Cpu).expect("valid");
        let y = host(&dropout(&x, 0.3, key(100)).expect("runs"));
        let dropped = y.iter().filter(|&&value| value == 0.0).count();
        assert!(dropped.abs_diff(6000) < 300, "{dropped}");
        assert!(y.iter().all(|&value| value == 0.0 || value == 1.0 / 0.7));
    }

    #[test]
    fn gradient_passes_where_values_did() {
        let x = Var::from_tensor(&random(&[7, 9], 1)).expect("valid");
        let weights = host(&random(&[7, 9], 2));
        let y = dropout(&x, 0.5, key(7)).expect("runs");
        let gradient = gradient_of(&y, &weights, &x);
        for ((y, gradient), weight) in host(&y).iter().zip(gradient).zip(weights) {
            assert_eq!(gradient, if *y == 0.0 { 0.0 } else { 2.0 * weight });
        }
    }

    #[test]
    fn composition_agrees_and_infinities_are_dropped() {
        let x = (random(&[30, 4], 1) * f64::INFINITY).expect("valid");
        let x = Var::from_tensor(&x).expect("valid");
        let weights = host(&random(&[30, 4], 2));
        let y = dropout(&x, 0.5, key(30)).expect("runs");
        let composed = composing(|| dropout(&x, 0.5, key(30))).expect("runs");
        assert_eq!(host(&y), host(&composed));
        assert_eq!(
            gradient_of(&y, &weights, &x),
            gradient_of(&composed, &weights, &x)
        );
        let dropped = host(&y).iter().filter(|value| **value == 0.0).count();
        assert!((40..80).contains(&dropped), "{dropped}");
        assert!(host(&y).iter().all(|value| *value == 0.0 || value.is_infinite()));
    }

    #[test]
    fn the_key_decides_the_mask() {
        let x = random(&[50, 20], 1);
        let mask = |key| host(&dropout(&x, 0.5, key).expect("runs"));
        let base = key(50);
        same_for_any_number_of_threads(|| mask(base));
        assert_ne!(mask(base), mask(DropoutKey { seed: 4, ..base }));
        assert_ne!(mask(base), mask(DropoutKey { epoch: 5, ..base }));
        assert_ne!(mask(base), mask(DropoutKey { layer: 6, ..base }));
        assert_eq!(host(&dropout(&x, 0.0, base).expect("runs")), host(&x));
        assert!(dropout(&x, 1.0, base).is_err());
        assert!(dropout(&x, f64::NAN, base).is_err());
        assert!(dropout(&x, 0.5, key(49)).is_err());
    }

    #[test]
    fn rows_of_a_sequence_are_dropped_as_those_of_a_sample() {
        let (x, key) = (random(&[11, 3], 1), key(3));
        let sequences = Sequences::padded(&[4, 0, 2], 4).expect("fits");
        let y = host(&dropout_rows(&x, 0.5, key, &sequences).expect("runs"));
        let alone = |sample: usize, first: usize, rows: usize| {
            let x = x
                .narrow(0, first, rows)
                .and_then(|x| x.unsqueeze(0))
                .expect("inside");
            let samples = &key.samples[sample..=sample];
            host(&dropout(&x, 0.5, DropoutKey { samples, ..key }).expect("runs"))
        };
        assert_eq!(y[..12], alone(0, 0, 4));
        assert_eq!(y[24..30], alone(2, 8, 2));
        // Those between belong to nobody.
        assert_eq!(y[12..24], [0.0; 12]);
        assert_eq!(y[30..], [0.0; 3]);
        assert!(dropout_rows(&x, 0.5, DropoutKey { samples: &[1], ..key }, &sequences).is_err());
        assert!(dropout_rows(&random(&[9, 3], 1), 0.5, key, &sequences).is_err());
    }

    #[test]
    fn long_samples_are_drawn_in_parts_of_one_stream() {
        let key = key(1);
        let x = Tensor::ones((1, 20_001), candle_core::DType::F32, &candle_core::Device::Cpu).expect("valid");
        let mut factors = vec![0.0; 20_001];
        let mut stream = key.stream(0);
        for factor in &mut factors {
            *factor = if f64::from(stream.next_u32()) < 0.3 * 2f64.powi(32) {
                0.0
            } else {
                1.0 / 0.7
            };
        }
        assert_eq!(host(&dropout(&x, 0.3, key).expect("runs")), factors);
    }

    #[test]
    fn a_sample_has_one_mask_whatever_it_is_computed_with() {
        let factors = |samples: &[u32]| factors(samples.len() * 30, 0.5, DropoutKey { samples, ..key(0) });
        let together = factors(&[7, 3, 9]);
        assert_eq!(together, [factors(&[7]), factors(&[3]), factors(&[9])].concat());
        assert_ne!(together[..30], together[30..60]);
    }
}
