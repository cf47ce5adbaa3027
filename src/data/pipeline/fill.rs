//! Filling in what a network is shown.

use rayon::prelude::*;

use super::{Draws, SamplePipeline, SampleSource};
use crate::data::augment::{Image, Rider};
use crate::data::error::DataError;
use crate::data::pixels::decode_value;
use crate::data::value::OwnedValue;
use crate::random::Purpose;

/// Filling in what a network is shown.
pub(super) struct Fill<'a, S> {
    pub pipeline: &'a SamplePipeline,
    pub source: &'a S,
    pub draws: Draws,
}

impl<S: SampleSource> Fill<'_, S> {
    pub fn one_by_one(
        &self,
        samples: &[u32],
        inputs: &mut [f32],
        riding: &mut [Vec<OwnedValue>],
    ) -> Result<(), DataError> {
        let mut image = Image::empty();
        let len = inputs.len() / samples.len().max(1);
        let places = inputs.chunks_exact_mut(len.max(1)).zip(riding);
        for (sample, (out, riding)) in samples.iter().zip(places) {
            self.fill(*sample, &mut image, out, riding)?;
        }
        Ok(())
    }

    /// On the current pool. Of several errors, the first sample's.
    pub fn in_parallel(
        &self,
        samples: &[u32],
        inputs: &mut [f32],
        riding: &mut [Vec<OwnedValue>],
    ) -> Result<(), DataError> {
        let len = inputs.len() / samples.len().max(1);
        let failure = inputs
            .par_chunks_exact_mut(len.max(1))
            .zip(riding)
            .zip(samples)
            .with_min_len(self.pipeline.group())
            .map_init(Image::empty, |image, ((out, riding), sample)| {
                self.fill(*sample, image, out, riding).err()
            })
            .find_map_first(|failure| failure);
        failure.map_or(Ok(()), Err)
    }

    /// Writes one sample, changed and normalised, into `out`, and what rides along into `riding`.
    fn fill(
        &self,
        sample: u32,
        image: &mut Image,
        out: &mut [f32],
        riding: &mut Vec<OwnedValue>,
    ) -> Result<(), DataError> {
        let (pipeline, source) = (self.pipeline, self.source);
        let (index, augmentation) = (pipeline.input, &pipeline.augmentation);
        let field = &pipeline.stored.fields()[index];
        let value = source.value(index, sample);
        if !field.is_image() {
            value.copy_f32(field.element, out)?;
            field.fill_missing(out);
            pipeline.normalization.apply_to_features(out);
            return Ok(());
        }
        if !field.is_encoded() && augmentation.is_empty() && pipeline.riders.is_empty() {
            pipeline.normalize(value.bytes, out);
            return Ok(());
        }
        let bad = |problem: String| source.bad(sample, &problem);
        let [height, width] = decode_value(value, field, &mut image.pixels).map_err(bad)?;
        (image.channels, image.height, image.width) = (field.channels(), height, width);
        image.riders.clear();
        for rider in &pipeline.riders {
            let (value, field) = (source.value(*rider, sample), &pipeline.stored.fields()[*rider]);
            let rider = Rider::read(value, field, [height, width]).map_err(bad)?;
            image.riders.push(rider);
        }
        let checked = augmentation.check_image(image.channels, [height, width]);
        checked.map_err(|problem| DataError::Input {
            place: source.name(sample),
            problem,
        })?;
        augmentation.apply(image, &mut self.draws.stream(Purpose::Augment, sample));
        if image.pixels.len() != out.len() {
            let problem = format!(
                "it has {}x{} pixels (height x width) after all changes and should have the shape {}",
                image.height,
                image.width,
                augmentation.input_after()
            );
            return Err(source.bad(sample, &problem));
        }
        pipeline.normalize(&image.pixels, out);
        riding.extend(image.riders.drain(..).map(Rider::into_value));
        Ok(())
    }
}
