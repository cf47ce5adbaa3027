//! The dataset file's layout.
//!
//! ```text
//! 0    magic, 8 bytes            "ERLENDAT"
//! 8    version, u32              4, 5, 6 or 7
//! 12   zero, u32
//! 16   header's offset, u64
//! 24   header's length, u64
//! 32   file's length, u64
//! 40   zero, 24 bytes
//! 64   sections, each from a multiple of 64 on, zeros between them
//!      header: JSON, up to the file's end
//! ```
//!
//! The header names the fields of a sample and says of each where its values lie, column by column.
//! The sections come before the header because samples are written as they are read, when nobody
//! knows yet how many there will be. All numbers are little-endian. Samples lie in the order of
//! their source; a split is a rising list of their indices.
//!
//! Values of one length lie side by side. Values of various lengths lie one behind another without
//! gaps; a section of ends says where: sample `i` is `data[ends[i - 1]..ends[i]]`, in bytes, and the
//! first begins at 0. Where more than one side is ragged, as of images, a section of sizes holds them.
//!
//! A dataset may be larger than memory: it is written as it is read (the writer keeps a few buffers
//! of fixed size, and what stands behind the first input waits in temporary files), and it is mapped,
//! not loaded, so that the system keeps of it what is in use and memory has room for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::schema::{Field, FieldKind, FieldRole};
use crate::spec::SplitName;

/// The file's name within its folder.
pub const FILE_NAME: &str = "dataset.bin";

/// The first bytes of every dataset file.
pub(super) const MAGIC: [u8; 8] = *b"ERLENDAT";

/// The layout's newest version. All from 2 on are read; what is written is the oldest that holds the fields.
///
/// - 1: samples of one shape with class labels.
/// - 2: images of various sizes, encoded images, several labels, numbers to be predicted.
/// - 3: named fields of any kind, column by column.
/// - 4: a row of features tells the columns of the table that it is made from.
/// - 5: tokens with their vocabulary, masks and counts; what is to be predicted may be the tokens themselves.
/// - 6: masks tell the names of their classes.
/// - 7: objects in images.
pub(super) const VERSION: u32 = 7;

/// The version that is written where there are no objects.
pub(super) const VERSION_6: u32 = 6;

/// The version that is written where no mask has names.
pub(super) const VERSION_5: u32 = 5;

/// The version that is written where a sample has no tokens.
pub(super) const VERSION_4: u32 = 4;

/// Sections start at multiples of this, for vector instructions and direct copies to devices.
pub(super) const ALIGNMENT: u64 = 64;

/// The length of what stands before the first section.
pub(super) const PROLOGUE: usize = 64;

/// A range of the file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSection {
    pub offset: u64,
    pub length: u64,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatasetHeader {
    /// The number of samples in all splits together.
    pub count: u64,
    pub columns: Vec<ColumnSections>,
    pub splits: BTreeMap<SplitName, FileSection>,
}

impl DatasetHeader {
    /// The oldest version of the layout that holds such fields.
    pub fn version(&self) -> u32 {
        let is_new = |column: &ColumnSections| {
            let field = &column.field;
            let is_new_kind = matches!(field.kind, FieldKind::TokenMask | FieldKind::Counts);
            is_new_kind || field.vocabulary.is_some() || field.role == FieldRole::Detail
        };
        let has_target = self
            .columns
            .iter()
            .any(|column| column.field.role == FieldRole::Target);
        let has_named_mask = self.columns.iter().any(|column| {
            let field = &column.field;
            field.kind == FieldKind::Mask && !field.names.is_empty()
        });
        let has_objects = self
            .columns
            .iter()
            .any(|column| column.field.kind == FieldKind::Objects);
        match self.columns.iter().any(is_new) || !has_target {
            _ if has_objects => VERSION,
            _ if has_named_mask => VERSION_6,
            true => VERSION_5,
            false => VERSION_4,
        }
    }
}

/// A field, and where its values lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnSections {
    pub field: Field,
    /// The values of all samples.
    pub data: FileSection,
    /// Where each sample's value ends: u64, `[count]`. Nothing where all have the same length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<FileSection>,
    /// Each sample's ragged sides: u32, `[count, ragged sides]`. Only where more than one is ragged, of
    /// what is not encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<FileSection>,
}
