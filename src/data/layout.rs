//! The dataset file's layout.
//!
//! ```text
//! 0    magic, 8 bytes            "ERLENDAT"
//! 8    version, u32              2
//! 12   zero, u32
//! 16   header's offset, u64
//! 24   header's length, u64
//! 32   file's length, u64
//! 40   zero, 24 bytes
//! 64   sections, each from a multiple of 64 on, zeros between them
//!      header: JSON, up to the file's end
//! ```
//!
//! The sections come before the header because samples are written as they are read, when nobody
//! knows yet how many there will be. All numbers are little-endian. Samples lie in the order of
//! their source; a split is a rising list of their indices.
//!
//! Samples of various lengths lie one behind another without gaps; a section of ends says where:
//! sample `i` is `data[ends[i - 1]..ends[i]]`, and the first begins at 0.
//!
//! A dataset may be larger than memory: it is written as it is read (the writer keeps a few buffers
//! of fixed size, and what stands behind the samples waits in temporary files), and it is mapped,
//! not loaded, so that the system keeps of it what is in use and memory has room for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::shape::SampleShape;
use crate::spec::{Color, SplitName};

/// The file's name within its folder.
pub const FILE_NAME: &str = "dataset.bin";

/// The first bytes of every dataset file.
pub(super) const MAGIC: [u8; 8] = *b"ERLENDAT";

/// The layout's version.
///
/// - 1: samples of one shape with class labels.
/// - 2: images of various sizes, encoded images, several labels, numbers to be predicted. Other
///   files are as in version 1.
pub(super) const VERSION: u32 = 2;

/// Sections start at multiples of this, for vector instructions and direct copies to devices.
pub(super) const ALIGNMENT: u64 = 64;

/// The length of what stands before the first section.
pub(super) const PROLOGUE: usize = 64;

/// A range of the file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pub offset: u64,
    pub length: u64,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The number of samples in all splits together.
    pub count: u64,
    pub samples: Samples,
    pub targets: Targets,
    pub splits: BTreeMap<SplitName, Section>,
    pub origins: Origins,
}

/// How samples are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layout", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Samples {
    /// Pixels, u8, `[count, C, H, W]`.
    Pixels { shape: SampleShape, data: Section },
    /// Features, f32, `[count, F]`, and the columns' names.
    Features { columns: Vec<String>, data: Section },
    /// Images of various sizes: heights and widths, u32, `[count, 2]`; ends, u64, `[count]`; pixels,
    /// u8, `[C, H, W]` each.
    Images {
        channels: usize,
        sizes: Section,
        ends: Section,
        data: Section,
    },
    /// Image files as they were found: ends, u64, `[count]`, and the files' bytes. They are to be
    /// decoded to `color`, and then have `shape`.
    Files {
        color: Color,
        shape: SampleShape,
        ends: Section,
        data: Section,
    },
}

/// What is to be predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Targets {
    /// One of `classes`: indices, u32, `[count]`.
    Classes { classes: Vec<String>, data: Section },
    /// Whether each of the labels `names` applies: 0 or 1, u8, `[count, K]`.
    Labels { names: Vec<String>, data: Section },
    /// The numbers `names`: f32, finite, `[count, K]`.
    Values { names: Vec<String>, data: Section },
}

/// Where each sample comes from, as a short text: `text[ends[i - 1]..ends[i]]`, with ends as u64.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origins {
    pub ends: Section,
    pub text: Section,
}
