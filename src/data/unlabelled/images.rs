//! Image files on their way to a model.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::files::{FileWalk, FoundFile};
use super::{UnlabelledInputs, UnlabelledSample, UnlabelledSource};
use crate::data::decode::claimed_size;
use crate::data::error::DataError;
use crate::data::example::Example;
use crate::data::formats::is_image;
use crate::event::Monitor;
use crate::schema::Field;
use crate::spec::counted;

/// Bytes of files that are read at once, but for a single one.
const READ_BYTES: u64 = 64 << 20;

/// Bytes of decoded images that are handed out at once, but for a single one.
const DECODED_BYTES: u64 = 256 << 20;

/// A file of more bytes is no image.
const MOST_BYTES: u64 = 1 << 30;

/// Image files, one a sample. A file's content tells what it is, not its name.
pub(super) struct UnlabelledImages {
    files: FileWalk,
    /// For each model, the field that an image is.
    fields: Vec<Field>,
    /// What was read and not handed out yet, each with the bytes that it is decoded to.
    waiting: VecDeque<(UnlabelledSample, u64)>,
    /// A file that was found and not read yet.
    next: Option<Result<FoundFile, (String, String)>>,
    /// Images that have another size than a model's.
    scaled: u64,
}

impl UnlabelledImages {
    pub fn open(inputs: &UnlabelledInputs<'_>, fields: &[&Field]) -> Result<Self, DataError> {
        Ok(Self {
            files: FileWalk::new(inputs, is_image)?,
            fields: fields.iter().map(|field| (*field).clone()).collect(),
            waiting: VecDeque::new(),
            next: None,
            scaled: 0,
        })
    }

    /// Reads at most `most` files.
    fn read(&mut self, most: usize) {
        let (mut files, mut bytes) = (Vec::new(), 0);
        while files.len() < most {
            let Some(found) = self.next.take().or_else(|| self.files.next()) else {
                break;
            };
            if let Ok(file) = &found {
                // A file that cannot be looked at is told of when it is read.
                let length = fs::metadata(&file.path).map_or(0, |found| found.len());
                bytes += length.min(MOST_BYTES);
                if bytes > READ_BYTES && !files.is_empty() {
                    self.next = Some(found);
                    break;
                }
            }
            files.push(found);
        }
        let read: Vec<(String, Result<Vec<u8>, String>)> = files
            .into_par_iter()
            .map(|found| match found {
                Ok(file) => {
                    let read = read_image(&file.path);
                    (file.name, read)
                }
                Err((name, problem)) => (name, Err(problem)),
            })
            .collect();
        for (name, read) in read {
            let size = read.as_ref().ok().and_then(|bytes| claimed_size(bytes));
            if let Some(size) = size {
                let differs = |field: &Field| {
                    !field.is_encoded() && field.dimensions.size().is_some_and(|own| own != size)
                };
                self.scaled += u64::from(self.fields.iter().any(differs));
            }
            let [height, width] = size.unwrap_or_default();
            let decoded = (height as u64).saturating_mul(width as u64).saturating_mul(3);
            let examples = read.map(|bytes| {
                let bytes: Arc<[u8]> = bytes.into();
                let fields = self.fields.iter();
                fields
                    .map(|field| Example::default().with_scaled_image_file(&field.name, Arc::clone(&bytes)))
                    .collect()
            });
            self.waiting
                .push_back((UnlabelledSample { name, examples }, decoded));
        }
    }
}

impl UnlabelledSource for UnlabelledImages {
    fn next(&mut self, most: usize) -> Result<Vec<UnlabelledSample>, DataError> {
        if self.waiting.is_empty() {
            self.read(most.max(1));
        }
        let (mut samples, mut bytes) = (Vec::new(), 0u64);
        while let Some((_, decoded)) = self.waiting.front() {
            bytes = bytes.saturating_add(*decoded);
            if samples.len() == most.max(1) || (bytes > DECODED_BYTES && !samples.is_empty()) {
                break;
            }
            samples.extend(self.waiting.pop_front().map(|(sample, _)| sample));
        }
        Ok(samples)
    }

    fn finish(&mut self, monitor: &Monitor) {
        self.files.tell_left_out("images", monitor);
        if self.scaled > 0 {
            let size = self.fields.iter().find_map(|field| field.dimensions.size());
            let [height, width] = size.unwrap_or_default();
            monitor.info(format!(
                "{} of {} had another size and {} scaled to {height}x{width} (height x width)",
                self.scaled,
                counted(self.files.found(), "image"),
                if self.scaled == 1 { "was" } else { "were" }
            ));
        }
    }
}

/// The bytes of a file that may be an image; what is wrong with it is a sentence.
fn read_image(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
    let found = fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err("it is not a file".to_owned());
    }
    if found.len() > MOST_BYTES {
        return Err(format!(
            "it has {} bytes, which no image has that can be read",
            found.len()
        ));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(bytes)
}
