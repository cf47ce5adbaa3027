//! Encoded images on their way into the dataset: decoded side by side, taken in in order.

use std::num::NonZeroU32;
use std::path::Path;

use rayon::prelude::*;

use crate::data::decode::{MOST_VALUES, claimed_size, decode};
use crate::data::digest::{ContentDigest, digest_bytes};
use crate::data::error::DataError;
use crate::data::field_names::IMAGE;
use crate::data::intake::{Intake, IntakeSample, SplitPlace};
use crate::data::record_targets::RecordTarget;
use crate::data::value::FieldValue;
use crate::schema::{Dimensions, Field, ImagePreparation, Schema};
use crate::spec::{ImageOptions, SplitName, StoredAs};

/// Bytes of encoded images, and of decoded ones, that may wait to be written.
pub(super) const WAITING: u64 = 64 << 20;

/// Images that wait at once, at most.
pub(super) const MOST_WAITING: usize = 1024;

/// An image as a file holds it, JPEG, PNG or another form, with all that is known of it.
pub(super) struct EncodedImage<'a> {
    pub bytes: Vec<u8>,
    pub split: SplitName,
    /// What decides its split beside its content.
    pub split_place: SplitPlace,
    pub target: RecordTarget,
    /// The file that it comes from.
    pub file: &'a Path,
    /// Where it comes from, as the dataset tells it.
    pub origin: String,
    /// Where it comes from, in messages.
    pub place: String,
}

/// Takes encoded images in.
pub(super) struct ImageIntake {
    options: ImageOptions,
    target: Field,
    has_begun: bool,
}

/// A decoded image.
struct Decoded {
    /// `[C, H, W]`; empty where the dataset holds the file.
    pixels: Vec<u8>,
    size: [usize; 2],
    digest: ContentDigest,
}

impl ImageIntake {
    /// An intake of images for which the field `target` is to be predicted.
    ///
    /// # Errors
    /// Options that no file is needed for to see that they cannot be followed.
    pub fn new(options: ImageOptions, target: Field) -> Result<Self, DataError> {
        if let Some([height, width]) = options.size.map(|size| size.map(|side| side.get() as usize)) {
            if options.store == StoredAs::Files {
                return Err(DataError::Options(format!(
                    "`size: [{height}, {width}]` resizes the pixels of a dataset, and with `store: files` it holds \
                     the files as they are: remove `size`, and add `resize: {{size: [{height}, {width}]}}` to the \
                     training's `augment` and `eval_transforms`"
                )));
            }
            let values = height
                .saturating_mul(width)
                .saturating_mul(options.color.channels());
            if values > MOST_VALUES {
                return Err(DataError::Options(format!(
                    "`size: [{height}, {width}]` is too large: give a smaller one"
                )));
            }
        }
        Ok(Self {
            options,
            target,
            has_begun: false,
        })
    }

    /// Decodes `images` on the current rayon pool and takes them in in order.
    ///
    /// Every image is decoded, also where the dataset will hold the files: a bad one is found here and not in the
    /// middle of a training. They are cut into groups by their decoded sizes, so that memory is bounded whatever
    /// these are: by a group, or by one image where that is larger. The digest of an image is that of its pixels, so
    /// the splits are the same whatever the dataset holds.
    pub fn take(&mut self, images: &[EncodedImage<'_>], intake: &mut Intake<'_>) -> Result<(), DataError> {
        let lengths: Vec<u64> = images
            .par_iter()
            .map(|image| self.decoded_length(&image.bytes))
            .collect();
        let mut start = 0;
        while start < images.len() {
            let end = start + group(lengths[start..].iter().copied());
            self.take_group(&images[start..end], intake)?;
            start = end;
        }
        Ok(())
    }

    /// The bytes that an image has to wait with.
    fn decoded_length(&self, bytes: &[u8]) -> u64 {
        let size = match (self.options.store, self.options.size) {
            (StoredAs::Files, _) => return 0,
            (StoredAs::Pixels, Some(size)) => Some(size.map(|side| side.get() as usize)),
            (StoredAs::Pixels, None) => claimed_size(bytes),
        };
        // What has no size is no image, which its decoding tells.
        let [height, width] = size.unwrap_or([0, 0]);
        (height as u64).saturating_mul(width as u64) * self.options.color.channels() as u64
    }

    fn take_group(&mut self, images: &[EncodedImage<'_>], intake: &mut Intake<'_>) -> Result<(), DataError> {
        let decoded: Vec<Result<Decoded, String>> = images
            .par_iter()
            .map(|image| self.decoded(&image.bytes))
            .collect();
        for (encoded, decoded) in images.iter().zip(decoded) {
            let image = match decoded {
                Ok(image) => image,
                Err(problem) => {
                    intake.reject(DataError::Input {
                        place: encoded.place.clone(),
                        problem,
                    })?;
                    continue;
                }
            };
            if !self.has_begun {
                self.begin(image.size, encoded.file, intake)?;
                self.has_begun = true;
            }
            let channels = self.options.color.channels();
            let value = match self.options.store {
                StoredAs::Files => FieldValue::image_file(&encoded.bytes, channels, Some(image.size)),
                StoredAs::Pixels => {
                    FieldValue::pixels(&image.pixels, [channels, image.size[0], image.size[1]])
                }
            };
            let (class, target): (_, &[u8]) = match &encoded.target {
                RecordTarget::Class(class) => (Some(*class), &[]),
                RecordTarget::Value(bytes) => (None, bytes),
            };
            let target = FieldValue {
                bytes: target,
                dimensions: self.target.dimensions,
            };
            let values = [value, target];
            let sample = IntakeSample {
                split: encoded.split,
                class,
                values: if class.is_some() { &values[..1] } else { &values },
                origin: &encoded.origin,
            };
            intake.push_placed(sample, image.digest, encoded.split_place)?;
        }
        Ok(())
    }

    /// Tells what the samples will be: images of one size where they are resized, else images whose sizes
    /// are only known once all have been read.
    fn begin(&self, size: [usize; 2], file: &Path, intake: &mut Intake<'_>) -> Result<(), DataError> {
        let channels = self.options.color.channels();
        let size = self.options.size.map(|_| size);
        let image = match self.options.store {
            StoredAs::Files => Field::image_files(IMAGE, Dimensions::image(channels, None)),
            StoredAs::Pixels => Field::image(IMAGE, Dimensions::image(channels, size)),
        };
        let fields = vec![image.with_preparation(self.preparation()), self.target.clone()];
        intake.begin(Schema::new(fields).map_err(DataError::Options)?, file)
    }

    fn preparation(&self) -> ImagePreparation {
        ImagePreparation {
            size: self.options.size.map(|size| size.map(NonZeroU32::get)),
            exif_orientation: self.options.exif_orientation,
        }
    }

    fn decoded(&self, bytes: &[u8]) -> Result<Decoded, String> {
        let mut pixels = Vec::new();
        let size = decode(bytes, self.options.color, &self.preparation(), &mut pixels)?;
        let digest = digest_bytes(&pixels);
        if self.options.store == StoredAs::Files {
            pixels = Vec::new();
        }
        Ok(Decoded { pixels, size, digest })
    }
}

/// How many of the first things, with `lengths` bytes, are handled at once: at least one, if there is
/// one, and no more than may wait.
pub(super) fn group(lengths: impl Iterator<Item = u64>) -> usize {
    let mut sum = 0u64;
    let fits = lengths.take_while(|length| {
        let first = sum == 0;
        sum = sum.saturating_add((*length).max(1));
        first || sum <= WAITING
    });
    fits.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_bounded_by_bytes_and_never_empty() {
        let count = |lengths: &[u64]| group(lengths.iter().copied());
        assert_eq!(count(&[WAITING - 2, 1, 1, 1]), 3);
        assert_eq!(count(&[WAITING, 1]), 1);
        assert_eq!(count(&[2 * WAITING, 1]), 1);
        assert_eq!(count(&[1, 2 * WAITING]), 1);
        assert_eq!(count(&[u64::MAX, u64::MAX]), 1);
        assert_eq!(count(&[0; 5]), 5);
        assert_eq!(count(&[]), 0);
    }
}
