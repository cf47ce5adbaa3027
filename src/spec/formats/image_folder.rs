//! The options of `image_folder`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FormatFacts, FormatOptions};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;

/// `SPLIT/CLASS/*.jpg|jpeg|png`, or `CLASS/*` where there are no split folders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageFolderOptions {
    /// Resize every image to `[height, width]`; without it images keep the sizes that they have.
    #[serde(default)]
    pub size: Option<[NonZeroU32; 2]>,
    /// The channels to keep.
    #[serde(default)]
    pub color: Color,
    /// What the dataset holds: pixels, or the files as they are, to be decoded in every epoch.
    #[serde(default)]
    pub store: StoredAs,
}

impl Named for ImageFolderOptions {
    const NAME: &'static str = "image_folder";
}

impl FormatOptions for ImageFolderOptions {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::Classification,
            images: true,
            outputs: None,
            brings_val: true,
        }
    }

    fn mistakes(&self) -> Vec<Mistake> {
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

/// What a dataset of images holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoredAs {
    /// Decoded pixels: fast to read, large.
    #[default]
    Pixels,
    /// The files' bytes, for large images and datasets: decoded by the loader, ahead of the training
    /// step.
    Files,
}

/// The channels of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// One channel of luma with the weights of ITU-R BT.709. Pillow's mode `L`, and torchvision with
    /// it, has those of BT.601: greys differ from theirs where an image has colours.
    Gray,
}

impl Color {
    /// The number of channels.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Gray => 1,
        }
    }
}
