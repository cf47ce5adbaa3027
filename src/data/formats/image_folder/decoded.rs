//! Image files on their way into the dataset: read, decoded side by side, taken in in order.

use std::fs;
use std::path::Path;

use rayon::prelude::*;

use super::File;
use crate::data::decode::{claimed_size, decode};
use crate::data::digest::{ContentDigest, digest_bytes};
use crate::data::error::DataError;
use crate::data::field_names::IMAGE;
use crate::data::formats::with_classes;
use crate::data::intake::{Intake, IntakeSample};
use crate::data::value::FieldValue;
use crate::schema::{Dimensions, Field};
use crate::spec::{ImageFolderOptions, StoredAs};

/// Bytes of image files, and of decoded images, that may wait to be written.
const WAITING: u64 = 64 << 20;

/// Files that are read at once, at most.
const FILES: usize = 1024;

/// A decoded image.
struct Decoded {
    /// `[C, H, W]`; empty where the dataset holds the file.
    pixels: Vec<u8>,
    size: [usize; 2],
    digest: ContentDigest,
}

/// Decodes all files on the current rayon pool and takes them in in order.
///
/// Files are cut into groups by their sizes, and these into groups by the sizes of their images, so
/// that memory is bounded whatever the images' sizes: by two groups, or by one image where that is
/// larger. The digest of an image is that of its pixels, so the splits are the same whatever the
/// dataset holds.
pub(super) fn read_files(
    options: &ImageFolderOptions,
    root: &Path,
    files: &[File],
    intake: &mut Intake<'_>,
) -> Result<(), DataError> {
    let mut has_begun = false;
    let mut rest = files;
    while !rest.is_empty() {
        // A file that cannot be looked at is told of when it is read.
        let length = |file: &File| fs::metadata(&file.path).map_or(0, |found| found.len());
        let count = group(rest.iter().take(FILES).map(length));
        let (now, later) = rest.split_at(count);
        rest = later;
        let read: Result<Vec<Vec<u8>>, DataError> = now
            .par_iter()
            .map(|file| fs::read(&file.path).map_err(DataError::io("read", &file.path)))
            .collect();
        let read = read?;
        let lengths: Vec<u64> = read
            .par_iter()
            .map(|bytes| decoded_length(options, bytes))
            .collect();
        let mut start = 0;
        while start < now.len() {
            let end = start + group(lengths[start..].iter().copied());
            take_in(
                options,
                root,
                &now[start..end],
                &read[start..end],
                &mut has_begun,
                intake,
            )?;
            start = end;
        }
    }
    Ok(())
}

/// How many of the first things, with `lengths` bytes, are handled at once: at least one, if there is
/// one, and no more than may wait.
fn group(lengths: impl Iterator<Item = u64>) -> usize {
    let mut sum = 0u64;
    let fits = lengths.take_while(|length| {
        let first = sum == 0;
        sum = sum.saturating_add((*length).max(1));
        first || sum <= WAITING
    });
    fits.count()
}

/// The bytes that a file's image has to wait with.
fn decoded_length(options: &ImageFolderOptions, bytes: &[u8]) -> u64 {
    let size = match (options.store, options.size) {
        (StoredAs::Files, _) => return 0,
        (StoredAs::Pixels, Some(size)) => Some(size.map(|side| side.get() as usize)),
        (StoredAs::Pixels, None) => claimed_size(bytes),
    };
    // A file without a size is no image, which its decoding tells.
    let [height, width] = size.unwrap_or([0, 0]);
    (height as u64).saturating_mul(width as u64) * options.color.channels() as u64
}

/// Decodes `files`, which hold `read`, and takes them in.
fn take_in(
    options: &ImageFolderOptions,
    root: &Path,
    files: &[File],
    read: &[Vec<u8>],
    has_begun: &mut bool,
    intake: &mut Intake<'_>,
) -> Result<(), DataError> {
    let decoded: Vec<Result<Decoded, String>> =
        read.par_iter().map(|bytes| decode_one(options, bytes)).collect();
    for ((file, bytes), decoded) in files.iter().zip(read).zip(decoded) {
        let image = match decoded {
            Ok(image) => image,
            Err(problem) => {
                intake.reject(DataError::input(&file.path, problem))?;
                continue;
            }
        };
        if !*has_begun {
            begin(options, image.size, &file.path, intake)?;
            *has_begun = true;
        }
        let channels = options.color.channels();
        let value = match options.store {
            StoredAs::Files => FieldValue::image_file(bytes, channels, Some(image.size)),
            StoredAs::Pixels => FieldValue::pixels(&image.pixels, [channels, image.size[0], image.size[1]]),
        };
        let origin = file.path.strip_prefix(root).unwrap_or(&file.path);
        let sample = IntakeSample {
            split: file.split,
            class: Some(file.label),
            values: &[value],
            origin: &origin.to_string_lossy(),
        };
        intake.push_digested(sample, image.digest)?;
    }
    Ok(())
}

/// Tells what the samples will be: images of one size where they are resized, else images whose sizes
/// are only known once all have been read.
fn begin(
    options: &ImageFolderOptions,
    size: [usize; 2],
    path: &Path,
    intake: &mut Intake<'_>,
) -> Result<(), DataError> {
    let channels = options.color.channels();
    let size = options.size.map(|_| size);
    let image = match options.store {
        StoredAs::Files => Field::image_files(IMAGE, Dimensions::image(channels, None)),
        StoredAs::Pixels => Field::image(IMAGE, Dimensions::image(channels, size)),
    };
    intake.begin(with_classes(image)?, path)
}

fn decode_one(options: &ImageFolderOptions, bytes: &[u8]) -> Result<Decoded, String> {
    let mut pixels = Vec::new();
    let size = options.size.map(|size| size.map(std::num::NonZeroU32::get));
    let size = decode(bytes, options.color, size, &mut pixels)?;
    let digest = digest_bytes(&pixels);
    if options.store == StoredAs::Files {
        pixels = Vec::new();
    }
    Ok(Decoded { pixels, size, digest })
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
