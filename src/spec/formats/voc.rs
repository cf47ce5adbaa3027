//! The options of `voc`.

use std::borrow::Cow;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::image_folder::{Color, StoredAs};
use super::image_options::ImageOptions;
use super::split_paths::{SplitPaths, class_list_mistakes};
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;

/// Images, and for each an XML file as Pascal VOC's that tells the boxes of the objects in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VocOptions {
    /// The folder of the XML files, seen from the input. Where there are no `lists` it may have `{split}`.
    #[serde(default = "default_annotations")]
    pub annotations: SplitPaths,
    /// The folder of the images, likewise: `a.xml` tells of `a.jpg` (or another ending), or else of what its `filename` names.
    #[serde(default = "default_images")]
    pub images: SplitPaths,
    /// Files that list the names of each split's images, a line each: `ImageSets/Main/{split}.txt`, or one for each split.
    /// Without them all XML files are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists: Option<SplitPaths>,
    /// The classes, in their order; objects of others are left out. Without it all that occur, in the order of their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// The number of the first row and column of pixels: 1 as in Pascal VOC, where `xmax` is the last column of the box; or
    /// 0 for files of tools that write the box's edges. Without it they are read as if it were 1, and that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<PixelOrigin>,
    /// What becomes of objects that are marked as difficult.
    #[serde(default)]
    pub difficult: DifficultObjects,
    /// Resize every image, and with it its boxes, to `[height, width]`; without it they keep the sizes that they have.
    #[serde(default)]
    pub size: Option<[NonZeroU32; 2]>,
    /// The channels of the images to keep.
    #[serde(default)]
    pub color: Color,
    /// What the dataset holds of the images: pixels, or the files as they are, to be decoded in every epoch.
    #[serde(default)]
    pub store: StoredAs,
    /// Whether images are turned upright as their EXIF data say, because their annotations are.
    #[serde(default)]
    pub exif_orientation: bool,
}

/// The number of the first row and column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum PixelOrigin {
    /// 0: `xmin` and `xmax` are the edges of the box.
    Zero,
    /// 1: `xmin` and `xmax` are its first and its last column.
    #[default]
    One,
}

/// What becomes of objects that are difficult.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifficultObjects {
    /// They are not trained on, and neither missed nor wrong where they are found, as in Pascal VOC's evaluation.
    #[default]
    Ignore,
    /// They are objects as others.
    Count,
    /// They are left out: what is found there is wrong.
    Drop,
}

impl JsonSchema for PixelOrigin {
    fn schema_name() -> Cow<'static, str> {
        "PixelOrigin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "The number of the first row and column.", "enum": [0, 1]})
    }
}

impl TryFrom<u8> for PixelOrigin {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Zero),
            1 => Ok(Self::One),
            _ => Err(format!(
                "pixels are counted from 0 or from 1, and not from {number}"
            )),
        }
    }
}

impl From<PixelOrigin> for u8 {
    fn from(origin: PixelOrigin) -> Self {
        match origin {
            PixelOrigin::Zero => 0,
            PixelOrigin::One => 1,
        }
    }
}

impl VocOptions {
    /// What becomes of an image.
    pub fn image_options(&self) -> ImageOptions {
        ImageOptions {
            size: self.size,
            color: self.color,
            store: self.store,
            exif_orientation: self.exif_orientation,
        }
    }

    /// What tells splits apart.
    pub fn splits(&self) -> &SplitPaths {
        self.lists.as_ref().unwrap_or(&self.annotations)
    }
}

impl Named for VocOptions {
    const NAME: &'static str = "voc";
}

impl FormatOptions for VocOptions {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::Detection,
            samples: SampleKind::Images,
            outputs: self.classes.as_ref().map(Vec::len),
            brings_val: self.splits().brings_val(),
        }
    }

    fn clips(&self) -> bool {
        true
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.annotations.mistakes("annotations");
        mistakes.extend(self.images.mistakes("images"));
        match &self.lists {
            Some(lists) => {
                mistakes.extend(lists.mistakes("lists"));
                mistakes.extend(lists.mismatch("lists", &self.annotations, "annotations"));
                mistakes.extend(lists.mismatch("lists", &self.images, "images"));
            }
            None => mistakes.extend(self.annotations.mismatch("annotations", &self.images, "images")),
        }
        if let Some(classes) = &self.classes {
            mistakes.extend(class_list_mistakes(classes));
        }
        mistakes.extend(self.image_options().mistakes());
        mistakes
    }
}

fn default_annotations() -> SplitPaths {
    SplitPaths::pattern("Annotations")
}

fn default_images() -> SplitPaths {
    SplitPaths::pattern("JPEGImages")
}
