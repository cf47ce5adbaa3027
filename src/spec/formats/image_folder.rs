//! The options of `image_folder`.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image_options::ImageOptions;
use super::{FormatFacts, FormatOptions, SampleKind};
use crate::spec::choice::Named;
use crate::spec::evaluate::SplitName;
use crate::spec::mistake::Mistake;
use crate::spec::preprocess::TargetKind;
use crate::spec::validate::is_inside;

/// Images (JPEG, PNG, BMP, GIF, WebP, TIFF) in folders `SPLIT/CLASS`, `CLASS/SPLIT`, or `CLASS` where there are no splits. Splits are known by many
/// names (`train`, `Training`, `val`, `dev`, `test`, `Testing`, `holdout`, ...), or by `splits`.
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
    /// Which folders are splits, where their names do not tell: `{train: Fit, test: [2023, 2024]}`, with
    /// paths from the input on; or `none`, where all folders are classes, whatever they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splits: Option<SplitFolders>,
    /// Whether images are turned upright as their EXIF data say. Pillow and torchvision do not do so by themselves;
    /// TIFF files, which Pillow turns, are turned in any case.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exif_orientation: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl ImageFolderOptions {
    /// What becomes of an image.
    pub fn images(&self) -> ImageOptions {
        ImageOptions {
            size: self.size,
            color: self.color,
            store: self.store,
            exif_orientation: self.exif_orientation,
        }
    }
}

/// Which folders are splits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected `none`, or folders by split, such as {train: Fit, test: Judge}"
)]
pub enum SplitFolders {
    /// None.
    None(NoSplits),
    /// These.
    Named(NamedSplits),
}

/// `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoSplits {
    /// No folder is a split.
    None,
}

/// The folders of each split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedSplits {
    /// The training split's.
    pub train: FolderNames,
    /// The validation split's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<FolderNames>,
    /// The test split's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<FolderNames>,
}

impl NamedSplits {
    /// Each folder with its split.
    pub fn all(&self) -> impl Iterator<Item = (SplitName, &str)> {
        let splits = [
            (SplitName::Train, Some(&self.train)),
            (SplitName::Val, self.val.as_ref()),
            (SplitName::Test, self.test.as_ref()),
        ];
        splits.into_iter().flat_map(|(split, folders)| {
            let folders = folders.map_or(&[][..], FolderNames::as_slice);
            folders.iter().map(move |folder| (split, folder.as_str()))
        })
    }
}

/// One folder or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a folder, or a list of folders")]
pub enum FolderNames {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl FolderNames {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(folder) => std::slice::from_ref(folder),
            Self::Several(folders) => folders,
        }
    }
}

impl Named for ImageFolderOptions {
    const NAME: &'static str = "image_folder";
}

impl FormatOptions for ImageFolderOptions {
    fn facts(&self) -> FormatFacts {
        FormatFacts {
            task: TargetKind::Classification,
            samples: SampleKind::Images,
            outputs: None,
            brings_val: true,
        }
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.images().mistakes();
        if let Some(SplitFolders::Named(named)) = &self.splits {
            mistakes.extend(
                named
                    .all()
                    .filter(|(_, folder)| !is_inside(folder))
                    .map(|(split, folder)| {
                        Mistake::new(
                            ["splits", split.as_str()],
                            format!("`{folder}` is no folder of the input"),
                        )
                        .help("give its path from the input on, such as `images/fit`")
                    }),
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
    /// One channel of luma with the weights of ITU-R BT.601: to the bit Pillow's `convert("L")`, and so
    /// torchvision's greys.
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
