//! Images and masks of their classes, pixel by pixel.
//!
//! Everything is looked at before anything is refused: what is wrong with any file is told together, so that a user mends
//! annotations once.

mod mask_file;
mod pairs;
mod pixel_table;
mod problem_kind;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use rayon::prelude::*;

use super::FormatReader;
use super::image_intake::{MOST_WAITING, group};
use crate::data::decode::{decode, is_turned, told_size};
use crate::data::digest::{ContentDigest, digest_bytes};
use crate::data::error::DataError;
use crate::data::field_names::{IMAGE, MASK};
use crate::data::intake::{Intake, IntakeSample, SplitPlace};
use crate::data::labels::Classes;
use crate::data::value::FieldValue;
use crate::schema::{Dimensions, Field, ImagePreparation, Schema};
use crate::spec::{ImageOptions, MasksOptions, SplitName, StoredAs, counted};
use mask_file::DecodedMask;
use pairs::{MaskPair, pairs_of};
use pixel_table::PixelTable;
use problem_kind::{MaskProblem, MaskProblemKind, MaskProblems};

impl FormatReader for MasksOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        let mut problems = MaskProblems::new(input);
        let (root, pairs) = pairs_of(self, input, &mut problems, intake)?;
        let mut reader = PairReader {
            options: self.image_options(),
            classes: &self.classes,
            table: PixelTable::new(self),
            root: &root,
            has_begun: false,
            doubts: BTreeMap::new(),
            turned: 0,
        };
        reader.read(&pairs, &mut problems, intake)?;
        let mut doubts = reader.doubts.iter();
        let binary = doubts.find_map(|(split, doubt)| doubt.is_binary().then_some(split));
        if let (Some(255), None, Some(split)) = (self.ignored_value(), &self.values, binary) {
            let of_split = match reader.doubts.values().all(|doubt| doubt.is_binary()) {
                true => "its masks".to_owned(),
                false => format!("the masks of its {} split", split.as_str()),
            };
            let [first, second] =
                [0, 1].map(|place: usize| self.classes.get(place).map_or("", String::as_str));
            return Err(DataError::input(
                input,
                format!(
                    "{of_split} hold nothing but 0 and 255, and pixels of 255 are left out: if they are those of \
                     `{second}`, write `values: {{{first}: 0, {second}: 255}}` and `ignore: none`"
                ),
            ));
        }
        if reader.turned > 0 && !self.exif_orientation {
            intake.warn(format!(
                "{} turned or mirrored by EXIF data, and taken as stored: where masks are those of upright images, write \
                 `exif_orientation: true`",
                match reader.turned {
                    1 => "1 image is".to_owned(),
                    count => format!("{} are", counted(count, "image")),
                }
            ));
        }
        problems.finish(intake)?;
        Ok(None)
    }
}

/// Whether all masks of a split have no other values than 0 and 255: then 255 is an object rather than what does not count.
#[derive(Clone, Copy, Debug, Default)]
struct BinaryDoubt {
    has_255: bool,
    has_others: bool,
}

impl BinaryDoubt {
    fn look_at(&mut self, mask: &DecodedMask) {
        self.has_255 |= mask.has_255;
        self.has_others |= mask.has_others;
    }

    fn is_binary(self) -> bool {
        self.has_255 && !self.has_others
    }
}

/// Reads images with their masks.
struct PairReader<'a> {
    options: ImageOptions,
    classes: &'a [String],
    table: PixelTable,
    /// Images are called by their paths from here on.
    root: &'a Path,
    has_begun: bool,
    doubts: BTreeMap<SplitName, BinaryDoubt>,
    /// Images that EXIF data turn or mirror.
    turned: u64,
}

/// The bytes of both files.
struct EncodedPair<'a> {
    pair: &'a MaskPair,
    image: Vec<u8>,
    mask: Vec<u8>,
}

/// An image with its mask.
struct DecodedPair {
    /// `[C, H, W]`; empty where the dataset holds the file.
    pixels: Vec<u8>,
    size: [usize; 2],
    digest: ContentDigest,
    mask: DecodedMask,
}

impl PairReader<'_> {
    /// Reads and decodes all files on the current rayon pool and takes them in in order. Memory is bounded as for other
    /// images: files are cut into groups by their lengths, and these by the sizes of their images.
    fn read(
        &mut self,
        pairs: &[MaskPair],
        problems: &mut MaskProblems,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        intake.expect(pairs.len() as u64);
        let mut rest = pairs;
        while !rest.is_empty() {
            let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
            let lengths = rest.iter().take(MOST_WAITING);
            let count = group(lengths.map(|pair| length(&pair.image) + length(&pair.mask)));
            let (now, later) = rest.split_at(count);
            rest = later;
            let read = |path: &Path| fs::read(path).map_err(DataError::io("read", path));
            let encoded: Result<Vec<EncodedPair<'_>>, DataError> = now
                .par_iter()
                .map(|pair| {
                    let (image, mask) = (read(&pair.image)?, read(&pair.mask)?);
                    Ok(EncodedPair { pair, image, mask })
                })
                .collect();
            let encoded = encoded?;
            let mut waiting = encoded.as_slice();
            while !waiting.is_empty() {
                let lengths = waiting.iter().map(|pair| self.decoded_length(&pair.image));
                let (now, later) = waiting.split_at(group(lengths));
                waiting = later;
                self.take(now, problems, intake)?;
            }
        }
        Ok(())
    }

    /// The bytes that an image and its mask have to wait with.
    fn decoded_length(&self, image: &[u8]) -> u64 {
        let [height, width] = told_size(image, self.options.exif_orientation).unwrap_or([0, 0]);
        (height as u64).saturating_mul(width as u64) * (self.options.color.channels() as u64 + 1)
    }

    fn take(
        &mut self,
        pairs: &[EncodedPair<'_>],
        problems: &mut MaskProblems,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        let decoded: Vec<Result<DecodedPair, MaskProblem>> =
            pairs.par_iter().map(|pair| self.decoded(pair)).collect();
        for (encoded, decoded) in pairs.iter().zip(decoded) {
            let pair = match decoded {
                Ok(pair) => pair,
                Err(problem) => {
                    problems.without_sample(problem, intake)?;
                    continue;
                }
            };
            self.doubts
                .entry(encoded.pair.split)
                .or_default()
                .look_at(&pair.mask);
            self.turned += u64::from(is_turned(&encoded.image));
            if let Some(told) = pair.mask.unknown_values() {
                let problem = encoded.pair.mask_problem(MaskProblemKind::UnknownValues, told);
                problems.with_sample(problem, "pixels of unknown values are left out", intake)?;
            }
            if !self.has_begun {
                self.begin(pair.size, &encoded.pair.image, intake)?;
                self.has_begun = true;
            }
            let channels = self.options.color.channels();
            let image = match self.options.store {
                StoredAs::Files => FieldValue::image_file(&encoded.image, channels, Some(pair.size)),
                StoredAs::Pixels => FieldValue::pixels(&pair.pixels, [channels, pair.size[0], pair.size[1]]),
            };
            let mask = FieldValue::pixels(&pair.mask.classes, [1, pair.size[0], pair.size[1]]);
            let origin = encoded
                .pair
                .image
                .strip_prefix(self.root)
                .unwrap_or(&encoded.pair.image);
            let sample = IntakeSample {
                split: encoded.pair.split,
                class: None,
                values: &[image, mask],
                origin: &origin.to_string_lossy(),
            };
            intake.push_placed(sample, pair.digest, SplitPlace::default())?;
        }
        Ok(())
    }

    /// Tells what the samples will be.
    fn begin(&self, size: [usize; 2], file: &Path, intake: &mut Intake<'_>) -> Result<(), DataError> {
        let channels = self.options.color.channels();
        let size = self.options.size.map(|_| size);
        let image = match self.options.store {
            StoredAs::Files => Field::image_files(IMAGE, Dimensions::image(channels, None)),
            StoredAs::Pixels => Field::image(IMAGE, Dimensions::image(channels, size)),
        };
        let mask = Field::pixel_classes(MASK, self.classes.to_vec(), Dimensions::image(1, size));
        let fields = vec![image.with_preparation(self.preparation()), mask];
        intake.begin(Schema::new(fields).map_err(DataError::Options)?, file)
    }

    fn preparation(&self) -> ImagePreparation {
        ImagePreparation {
            size: self.options.size.map(|size| size.map(NonZeroU32::get)),
            exif_orientation: self.options.exif_orientation,
        }
    }

    fn decoded(&self, encoded: &EncodedPair<'_>) -> Result<DecodedPair, MaskProblem> {
        let EncodedPair { pair, image, mask } = encoded;
        let mut pixels = Vec::new();
        let size = decode(image, self.options.color, &self.preparation(), &mut pixels)
            .map_err(|problem| pair.image_problem(MaskProblemKind::UnreadableImage, problem))?;
        let digest = digest_bytes(&pixels);
        if self.options.store == StoredAs::Files {
            pixels = Vec::new();
        }
        let mask =
            DecodedMask::of(mask, &self.table).map_err(|(kind, problem)| pair.mask_problem(kind, problem))?;
        // Before it was resized.
        let own = told_size(image, self.options.exif_orientation).unwrap_or(size);
        if mask.size != own {
            return Err(self.other_size(pair, image, own, mask.size));
        }
        Ok(DecodedPair {
            mask: mask.resized(size),
            pixels,
            size,
            digest,
        })
    }

    /// A mask of another size than its image.
    fn other_size(&self, pair: &MaskPair, image: &[u8], own: [usize; 2], of_mask: [usize; 2]) -> MaskProblem {
        let told = |[height, width]: [usize; 2]| format!("{height}x{width}");
        let is_upright = self.options.exif_orientation;
        // Turned by a quarter it would fit.
        if told_size(image, !is_upright) == Some(of_mask) {
            let problem = format!(
                "it has {} pixels (height x width) as its image has {}, whose EXIF data turn it by a quarter: write \
                 `exif_orientation: {}`",
                told(of_mask),
                if is_upright {
                    "as it is stored"
                } else {
                    "when it is upright"
                },
                !is_upright
            );
            return pair.mask_problem(MaskProblemKind::Turned, problem);
        }
        let problem = format!(
            "it has {} pixels (height x width), and its image `{}` {}: make them one size",
            told(of_mask),
            pair.image.display(),
            told(own)
        );
        pair.mask_problem(MaskProblemKind::OtherSize, problem)
    }
}
