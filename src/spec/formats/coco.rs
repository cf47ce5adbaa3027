//! The options of `coco`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image_folder::{Color, StoredAs};
use super::image_options::ImageOptions;
use super::split_paths::{SplitPaths, class_list_mistakes};
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::schema::NO_PIXEL_CLASS;
use crate::spec::choice::Named;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;

/// Images, and a JSON file as COCO's that tells the objects in them: boxes, and masks as polygons or run lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CocoOptions {
    /// The JSON file of each split, seen from the input: `annotations/instances_{split}.json`, or `{train: a.json, val: b.json}`.
    pub annotations: SplitPaths,
    /// The folder that the images' file names are seen from, likewise; one without `{split}` has the images of all splits.
    pub images: SplitPaths,
    /// What is to be predicted: `detection`, boxes with classes; or `segmentation`, the class of each pixel.
    #[serde(default)]
    pub task: AnnotationTask,
    /// The categories to keep: `all`, in the order of their ids, or a list of names, in its order.
    #[serde(default)]
    pub classes: CocoClasses,
    /// What becomes of objects that are crowds (`iscrowd: 1`).
    #[serde(default)]
    pub crowd: CrowdObjects,
    /// For `segmentation`, the name of the first class: that of the pixels of no object.
    #[serde(default = "default_background")]
    pub background: String,
    /// Resize every image, and with it boxes and masks, to `[height, width]`; without it they keep the sizes that they have.
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

/// What annotated objects are to teach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationTask {
    /// Boxes with classes.
    #[default]
    Detection,
    /// The class of each pixel. A pixel of objects of several classes counts as none.
    Segmentation,
}

/// What becomes of objects that are crowds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CrowdObjects {
    /// They are not trained on, and what is found there is not counted, as in COCO's evaluation.
    #[default]
    Ignore,
    /// They are left out: what is found there is wrong.
    Drop,
}

/// Which categories are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected `all`, or a list of names such as [cat, dog]")]
pub enum CocoClasses {
    /// `all`.
    All(AllClasses),
    /// Those of these names, in this order.
    Named(Vec<String>),
}

/// `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllClasses {
    /// All categories, in the order of their ids.
    All,
}

impl Default for CocoClasses {
    fn default() -> Self {
        Self::All(AllClasses::All)
    }
}

impl CocoClasses {
    /// The names that are asked for.
    pub fn names(&self) -> Option<&[String]> {
        match self {
            Self::All(_) => None,
            Self::Named(names) => Some(names),
        }
    }
}

impl CocoOptions {
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

impl Named for CocoOptions {
    const NAME: &'static str = "coco";
}

impl FormatOptions for CocoOptions {
    fn facts(&self) -> FormatFacts {
        let classes = self.classes.names().map(<[String]>::len);
        let (task, outputs) = match self.task {
            AnnotationTask::Detection => (TargetKind::Detection, classes),
            AnnotationTask::Segmentation => (TargetKind::Segmentation, classes.map(|classes| classes + 1)),
        };
        FormatFacts {
            task,
            samples: SampleKind::Images,
            outputs,
            brings_val: self.annotations.brings_val(),
        }
    }

    fn clips(&self) -> bool {
        self.task == AnnotationTask::Detection
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.annotations.mistakes("annotations");
        mistakes.extend(self.images.mistakes("images"));
        mistakes.extend(self.annotations.mismatch("annotations", &self.images, "images"));
        if let Some(names) = self.classes.names() {
            mistakes.extend(class_list_mistakes(names));
            let most = usize::from(NO_PIXEL_CLASS) - 1;
            if self.task == AnnotationTask::Segmentation && names.len() > most {
                let message = format!("{} classes are more than the {most} that masks hold", names.len());
                mistakes.push(Mistake::new(["classes"], message).help("name fewer"));
            }
            if self.task == AnnotationTask::Segmentation && names.contains(&self.background) {
                let message = format!(
                    "`{}` is the name of a class and of the background",
                    self.background
                );
                mistakes.push(Mistake::new(["background"], message).help("give the background another name"));
            }
        }
        mistakes.extend(self.image_options().mistakes());
        mistakes
    }
}

fn default_background() -> String {
    "background".to_owned()
}
