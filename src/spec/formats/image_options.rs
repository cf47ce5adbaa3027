//! What becomes of an image file, in all formats that read some.

use std::num::NonZeroU32;

use super::image_folder::{Color, StoredAs};
use crate::spec::mistake::Mistake;

/// What becomes of an image file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// The height and width that it is resized to; nothing where it keeps its own.
    pub size: Option<[NonZeroU32; 2]>,
    /// The channels to keep.
    pub color: Color,
    /// What the dataset holds.
    pub store: StoredAs,
    /// Whether it is turned upright as its EXIF data say.
    pub exif_orientation: bool,
}

impl ImageOptions {
    /// What contradicts each other in them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if let (StoredAs::Files, Some([height, width])) = (self.store, self.size) {
            mistakes.push(
                Mistake::new(["size"], "`size` resizes pixels, and the dataset is to hold the files as they are")
                .help(format!(
                    "remove it, and add `resize: {{size: [{height}, {width}]}}` to the training's `augment` and \
                     `eval_transforms`"
                )),
            );
        }
        mistakes
    }
}
