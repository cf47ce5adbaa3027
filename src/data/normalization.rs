//! Normalisation: from pixels or features to numbers around 0.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::dataset::Split;
use super::error::DataError;
use crate::schema::Field;
use crate::spec;

/// `(x - mean) / std` for each channel of an image (pixels in `[0, 1]`) or each feature column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// The mean of each channel or column.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel or column.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Mean and (population) deviation of what a network is shown over all samples of `split`, where
    /// that is an image or a row of numbers; else there is nothing to normalise. A deviation of 0
    /// becomes 1.
    ///
    /// Pixels are counted, so the result is exact up to its last rounding; features are summed in
    /// f64 in the samples' order. Images of various sizes count by their pixels. Image files are
    /// decoded on the current rayon pool.
    ///
    /// # Errors
    /// An image file cannot be decoded; the first such is named.
    pub fn measure(split: &Split) -> Result<Self, DataError> {
        let input = split.input();
        let moments: Vec<(f64, f64)> = if input.is_image() {
            let counts = count_pixels(split, input.channels())?;
            counts.iter().map(pixel_moments).collect()
        } else if input.is_row() {
            feature_moments(split, input.channels())?
        } else {
            Vec::new()
        };
        Ok(Self {
            mean: moments.iter().map(|(mean, _)| *mean as f32).collect(),
            std: moments
                .iter()
                .map(|(_, std)| *std as f32)
                .map(|std| if std > 0.0 { std } else { 1.0 })
                .collect(),
        })
    }

    /// What a pipeline file gives.
    ///
    /// # Errors
    /// It is for another number of channels.
    pub fn from_spec(normalize: &spec::Normalize, input: &Field) -> Result<Self, DataError> {
        let normalization = Self {
            mean: normalize.mean.iter().map(|mean| *mean as f32).collect(),
            std: normalize.std.iter().map(|std| std.get() as f32).collect(),
        };
        normalization.check(input)?;
        Ok(normalization)
    }

    /// Checks that this fits the values of `input`.
    ///
    /// # Errors
    /// It is for another number of channels, or its numbers cannot be divided by.
    pub fn check(&self, input: &Field) -> Result<(), DataError> {
        let wanted = if input.is_image() || input.is_row() {
            input.channels()
        } else {
            0
        };
        if self.mean.len() != wanted || self.std.len() != wanted {
            let what = if input.is_image() {
                "channels"
            } else {
                "feature columns"
            };
            return Err(DataError::Options(format!(
                "`normalize` has {} means and {} deviations, and the data has {wanted} {what}: give one \
                 of each a channel, or leave `normalize` out to have them measured",
                self.mean.len(),
                self.std.len()
            )));
        }
        let usable = |std: &f32| std.is_finite() && *std > 0.0;
        if !self.mean.iter().all(|mean| mean.is_finite()) || !self.std.iter().all(usable) {
            return Err(DataError::Options(
                "`normalize` needs finite means, and deviations over 0 that f32 can hold".into(),
            ));
        }
        Ok(())
    }

    /// Normalises the `pixels` of an image, `[H, W, C]`, into the order that a network is shown, `[C, H, W]`: the bits that
    /// a [`super::SamplePipeline`] gives.
    pub fn of_interleaved(&self, pixels: &[u8]) -> Vec<f32> {
        let tables = self.pixel_tables();
        let channels = tables.len();
        let planes = tables.iter().enumerate();
        planes
            .flat_map(|(channel, table)| {
                let values = pixels.iter().skip(channel).step_by(channels);
                values.map(|pixel| table[usize::from(*pixel)])
            })
            .collect()
    }

    /// For each channel, what each pixel value becomes.
    pub(super) fn pixel_tables(&self) -> Vec<[f32; 256]> {
        let channels = self.mean.iter().zip(&self.std);
        channels
            .map(|(mean, std)| std::array::from_fn(|pixel| (pixel as f32 / 255.0 - mean) / std))
            .collect()
    }

    /// Normalises a row of features in place.
    pub(super) fn apply_to_features(&self, features: &mut [f32]) {
        for ((feature, mean), std) in features.iter_mut().zip(&self.mean).zip(&self.std) {
            *feature = (*feature - mean) / std;
        }
    }
}

/// What was counted of some samples: for each channel, how often each pixel value occurs.
struct PixelCounts {
    channels: Vec<[u64; 256]>,
    /// The first sample that cannot be read, and why.
    failure: Option<(usize, DataError)>,
}

impl PixelCounts {
    fn none(channels: usize) -> Self {
        Self {
            channels: vec![[0; 256]; channels],
            failure: None,
        }
    }

    fn add(&mut self, pixels: &[u8]) {
        let plane = pixels.len() / self.channels.len();
        for (counts, plane) in self.channels.iter_mut().zip(pixels.chunks_exact(plane)) {
            for pixel in plane {
                counts[usize::from(*pixel)] += 1;
            }
        }
    }

    fn with(mut self, other: Self) -> Self {
        let counts = self.channels.iter_mut().flatten();
        counts
            .zip(other.channels.iter().flatten())
            .for_each(|(left, right)| *left += right);
        self.failure = match (self.failure, other.failure) {
            (Some(left), Some(right)) => Some(if left.0 < right.0 { left } else { right }),
            (left, right) => left.or(right),
        };
        self
    }
}

/// For each channel, how often each pixel value occurs. Integers: the order of threads is no matter.
/// Of several errors, the first sample's.
fn count_pixels(split: &Split, channels: usize) -> Result<Vec<[u64; 256]>, DataError> {
    // Many samples share their counts, but image files are handed out one by one.
    let is_decoded = !split.input().is_encoded();
    // Samples behind one that failed need not be read.
    let first_failed = AtomicUsize::new(usize::MAX);
    let counts = (0..split.len())
        .into_par_iter()
        .with_min_len(if is_decoded { 256 } else { 1 })
        .fold(
            || (PixelCounts::none(channels), Vec::new()),
            |(mut counts, mut buffer), index| {
                if is_decoded {
                    counts.add(split.input_value(index).bytes);
                } else if index < first_failed.load(Ordering::Relaxed) {
                    match split.read_image(index, &mut buffer) {
                        Ok(_) => counts.add(&buffer),
                        Err(error) => {
                            first_failed.fetch_min(index, Ordering::Relaxed);
                            counts.failure.get_or_insert((index, error));
                        }
                    }
                }
                (counts, buffer)
            },
        )
        .map(|(counts, _)| counts)
        .reduce(|| PixelCounts::none(channels), PixelCounts::with);
    match counts.failure {
        None => Ok(counts.channels),
        Some((_, error)) => Err(error),
    }
}

fn pixel_moments(counts: &[u64; 256]) -> (f64, f64) {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let values = || {
        counts
            .iter()
            .enumerate()
            .map(|(value, count)| (value as f64 / 255.0, *count as f64))
    };
    let mean = values().map(|(value, count)| value * count).sum::<f64>() / total;
    let variance = values()
        .map(|(value, count)| (value - mean).powi(2) * count)
        .sum::<f64>()
        / total;
    (mean, variance.sqrt())
}

fn feature_moments(split: &Split, columns: usize) -> Result<Vec<(f64, f64)>, DataError> {
    let total = split.len().max(1) as f64;
    let mut row = Vec::new();
    let mut mean = vec![0f64; columns];
    for index in 0..split.len() {
        split.read_sample(index, &mut row)?;
        for (mean, value) in mean.iter_mut().zip(&row) {
            *mean += f64::from(*value);
        }
    }
    mean.iter_mut().for_each(|mean| *mean /= total);
    let mut variance = vec![0f64; columns];
    for index in 0..split.len() {
        split.read_sample(index, &mut row)?;
        for ((variance, mean), value) in variance.iter_mut().zip(&mean).zip(&row) {
            *variance += (f64::from(*value) - mean).powi(2);
        }
    }
    let moments = mean.into_iter().zip(variance);
    Ok(moments.map(|(mean, sum)| (mean, (sum / total).sqrt())).collect())
}
