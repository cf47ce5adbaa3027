//! The layout's version 2, which is only read: its header as one of today's.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::field_names::{CLASS, FEATURES, IMAGE, LABELS, TARGETS};
use super::layout::{ColumnSections, DatasetHeader, FileSection};
use crate::schema::{Dimensions, Field};
use crate::spec::{Color, SplitName};

/// The version.
pub(super) const VERSION_2: u32 = 2;

/// Where everything is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header2 {
    count: u64,
    samples: Samples2,
    targets: Targets2,
    splits: BTreeMap<SplitName, FileSection>,
    origins: Origins2,
}

/// The shape of an image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Shape2 {
    Image {
        channels: usize,
        height: usize,
        width: usize,
    },
    Images {
        channels: usize,
    },
}

/// How samples are kept.
#[derive(Debug, Deserialize)]
#[serde(tag = "layout", rename_all = "snake_case", deny_unknown_fields)]
enum Samples2 {
    /// Pixels, u8, `[count, C, H, W]`.
    Pixels { shape: Shape2, data: FileSection },
    /// Features, f32, `[count, F]`, and the columns' names.
    Features { columns: Vec<String>, data: FileSection },
    /// Images of various sizes: heights and widths, u32, `[count, 2]`; ends, u64, `[count]`; pixels,
    /// u8, `[C, H, W]` each.
    Images {
        channels: usize,
        sizes: FileSection,
        ends: FileSection,
        data: FileSection,
    },
    /// Image files as they were found: ends, u64, `[count]`, and the files' bytes. They are to be
    /// decoded to `color`, and then have `shape`.
    Files {
        color: Color,
        shape: Shape2,
        ends: FileSection,
        data: FileSection,
    },
}

/// What is to be predicted.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Targets2 {
    /// One of `classes`: indices, u32, `[count]`.
    Classes { classes: Vec<String>, data: FileSection },
    /// Whether each of the labels `names` applies: 0 or 1, u8, `[count, K]`.
    Labels { names: Vec<String>, data: FileSection },
    /// The numbers `names`: f32, finite, `[count, K]`.
    Values { names: Vec<String>, data: FileSection },
}

/// Where each sample comes from, as a short text: `text[ends[i - 1]..ends[i]]`, with ends as u64.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origins2 {
    ends: FileSection,
    text: FileSection,
}

impl From<Header2> for DatasetHeader {
    fn from(old: Header2) -> Self {
        let origins = ColumnSections {
            field: Field::origin(),
            data: old.origins.text,
            ends: Some(old.origins.ends),
            sizes: None,
        };
        Self {
            count: old.count,
            columns: vec![old.samples.into(), old.targets.into(), origins],
            splits: old.splits,
        }
    }
}

impl From<Samples2> for ColumnSections {
    fn from(samples: Samples2) -> Self {
        match samples {
            Samples2::Pixels { shape, data } => Self {
                field: Field::image(IMAGE, shape.into()),
                data,
                ends: None,
                sizes: None,
            },
            Samples2::Features { columns, data } => Self {
                field: Field::features(FEATURES, columns),
                data,
                ends: None,
                sizes: None,
            },
            Samples2::Images {
                channels,
                sizes,
                ends,
                data,
            } => Self {
                field: Field::image(IMAGE, Dimensions::image(channels, None)),
                data,
                ends: Some(ends),
                sizes: Some(sizes),
            },
            Samples2::Files {
                color,
                shape,
                ends,
                data,
            } => {
                let dimensions = Dimensions::from(shape);
                let size = dimensions.size();
                // Where shape and colour contradict each other, no image fits, which its decoding tells.
                let channels = Dimensions::image(color.channels(), size);
                Self {
                    field: Field::image_files(IMAGE, channels),
                    data,
                    ends: Some(ends),
                    sizes: None,
                }
            }
        }
    }
}

impl From<Targets2> for ColumnSections {
    fn from(targets: Targets2) -> Self {
        let (field, data) = match targets {
            Targets2::Classes { classes, data } => (Field::class(CLASS, classes), data),
            Targets2::Labels { names, data } => (Field::labels(LABELS, names), data),
            Targets2::Values { names, data } => (Field::numbers(TARGETS, names), data),
        };
        Self {
            field,
            data,
            ends: None,
            sizes: None,
        }
    }
}

impl From<Shape2> for Dimensions {
    fn from(shape: Shape2) -> Self {
        match shape {
            Shape2::Image {
                channels,
                height,
                width,
            } => Self::image(channels, Some([height, width])),
            Shape2::Images { channels } => Self::image(channels, None),
        }
    }
}
