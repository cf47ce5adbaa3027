//! The options of `yolo`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image_folder::{Color, StoredAs};
use super::image_options::ImageOptions;
use super::split_paths::{SplitPaths, class_list_mistakes};
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;
use crate::spec::validate::is_inside;

/// Images, and for each a text file as YOLO's with a line for each object in it: its class, and the middle, width and height
/// of its box as shares of the image's sides. An image without a file has no object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct YoloOptions {
    /// The folder of the images, seen from the input: one with `{split}`, or one for each split.
    #[serde(default = "default_images")]
    pub images: SplitPaths,
    /// The folder of the text files, likewise: `a/b.jpg` has the file `a/b.txt`.
    #[serde(default = "default_labels")]
    pub labels: SplitPaths,
    /// The names of the classes 0, 1, 2, ...; without it those in `names` of the file `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// The YAML file with the classes' `names`, seen from the input. By default `data.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Resize every image, and with it its boxes, to `[height, width]`; without it they keep the sizes that they have.
    #[serde(default)]
    pub size: Option<[NonZeroU32; 2]>,
    /// The channels of the images to keep.
    #[serde(default)]
    pub color: Color,
    /// What the dataset holds of the images: pixels, or the files as they are, to be decoded in every epoch.
    #[serde(default)]
    pub store: StoredAs,
    /// Whether images are turned upright as their EXIF data say, because their labels are.
    #[serde(default)]
    pub exif_orientation: bool,
}

impl YoloOptions {
    /// The file with the classes' names, where none is named.
    pub const DATA: &'static str = "data.yaml";

    /// What becomes of an image.
    pub fn image_options(&self) -> ImageOptions {
        ImageOptions {
            size: self.size,
            color: self.color,
            store: self.store,
            exif_orientation: self.exif_orientation,
        }
    }
}

impl Named for YoloOptions {
    const NAME: &'static str = "yolo";
}

impl FormatOptions for YoloOptions {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::Detection,
            samples: SampleKind::Images,
            outputs: self.classes.as_ref().map(Vec::len),
            brings_val: self.images.brings_val(),
        }
    }

    fn clips(&self) -> bool {
        true
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.images.mistakes("images");
        mistakes.extend(self.labels.mistakes("labels"));
        mistakes.extend(self.images.mismatch("images", &self.labels, "labels"));
        if let Some(classes) = &self.classes {
            mistakes.extend(class_list_mistakes(classes));
            if self.data.is_some() {
                let message = "`classes` and `data` both name the classes";
                mistakes.push(Mistake::new(["data"], message).help("leave one of them out"));
            }
        }
        if let Some(data) = self.data.as_ref().filter(|data| !is_inside(data)) {
            let message = format!("`{data}` is no file of the input");
            mistakes.push(Mistake::new(["data"], message).help("give its path from the input on"));
        }
        mistakes.extend(self.image_options().mistakes());
        mistakes
    }
}

fn default_images() -> SplitPaths {
    SplitPaths::pattern("{split}/images")
}

fn default_labels() -> SplitPaths {
    SplitPaths::pattern("{split}/labels")
}
