//! One column of a dataset that is being written.

use std::io;
use std::path::Path;

use super::output::DatasetFile;
use super::spool::Spool;
use crate::data::error::DataError;
use crate::data::layout::{ColumnSections, FileSection};
use crate::data::object::Object;
use crate::data::value::FieldValue;
use crate::schema::{
    Dimensions, ElementType, FeatureColumn, Field, FieldKind, FieldRole, NO_CLASS, NO_PIXEL_CLASS,
};

/// Takes one field's values.
pub(super) struct ColumnWriter {
    field: Field,
    /// What waits; nothing where values go to the file at once.
    spool: Option<Spool>,
    /// Bytes so far.
    length: u64,
    /// Where each value ends.
    ends: Option<Spool>,
    /// Each value's ragged sides.
    sizes: Option<Spool>,
    /// The sides of the first value, as long as all others have the same.
    common: Common,
}

/// Whether all values have the same sides.
#[derive(Clone, Copy, PartialEq)]
enum Common {
    NoneYet,
    All(Dimensions),
    Differ,
}

impl ColumnWriter {
    /// A column whose values go to the file at once where it is the `main` one, of which there is one
    /// in a file.
    pub fn new(folder: &Path, field: Field, main: bool) -> Result<Self, DataError> {
        let spool = |wanted: bool| wanted.then(|| Spool::new(folder)).transpose();
        let is_fixed = field.dimensions.is_fixed() && !field.is_encoded();
        let has_sizes = field.dimensions.ragged_sides() > 1 && !field.is_encoded();
        Ok(Self {
            spool: spool(!main)?,
            length: 0,
            ends: spool(!is_fixed)?,
            sizes: spool(has_sizes)?,
            common: Common::NoneYet,
            field,
        })
    }

    /// Checks that `value` is one of this column's. An error says why it is not.
    pub fn check(&self, value: FieldValue<'_>) -> Result<(), String> {
        let field = &self.field;
        if !value.fits(field) {
            let (what, len) = match (field.kind, field.is_encoded()) {
                (_, true) => ("encoded bytes", value.bytes.len()),
                (FieldKind::Image | FieldKind::Mask, false) => ("pixels", value.bytes.len()),
                _ => ("values", value.bytes.len() / field.element.bytes()),
            };
            return Err(format!("its {len} {what} do not fit a dataset of {field}"));
        }
        let is_sound = match (field.kind, field.role) {
            (FieldKind::Labels | FieldKind::TokenMask, _) => value.bytes.iter().all(|label| *label <= 1),
            (FieldKind::Class, _) => {
                let (classes, _) = value.bytes.as_chunks::<4>();
                let names = field.names.len();
                let is_ragged = !field.dimensions.is_fixed();
                classes
                    .iter()
                    .map(|class| u32::from_le_bytes(*class))
                    .all(|class| (class as usize) < names || (is_ragged && class == NO_CLASS))
            }
            (FieldKind::Mask, _) if !field.names.is_empty() => value
                .bytes
                .iter()
                .all(|class| usize::from(*class) < field.names.len() || *class == NO_PIXEL_CLASS),
            (FieldKind::Objects, _) => {
                Object::rows(value.bytes).all(|row| Object::is_row(row, field.names.len()))
            }
            (_, FieldRole::Target | FieldRole::Weight) if field.element == ElementType::F32 => {
                let (numbers, _) = value.bytes.as_chunks::<4>();
                numbers
                    .iter()
                    .all(|number| f32::from_le_bytes(*number).is_finite())
            }
            _ => true,
        };
        if is_sound {
            return Ok(());
        }
        Err(format!(
            "its `{}` is none: a class must be one of the names, a label or mask 0 or 1, a number finite",
            field.name
        ))
    }

    /// Appends a value that has been checked.
    pub fn push(&mut self, value: FieldValue<'_>, output: &mut DatasetFile) -> Result<(), DataError> {
        match &mut self.spool {
            None => output.write(value.bytes)?,
            Some(spool) => spool.push(value.bytes).map_err(output.failed())?,
        }
        self.length += value.bytes.len() as u64;
        let noted = self.note(value.dimensions);
        noted.map_err(output.failed())
    }

    /// Takes note of what a value of these sides is known by beside its bytes.
    fn note(&mut self, dimensions: Dimensions) -> io::Result<()> {
        self.common = match self.common {
            Common::NoneYet => Common::All(dimensions),
            Common::All(first) if first == dimensions => self.common,
            _ => Common::Differ,
        };
        if let Some(ends) = &mut self.ends {
            ends.push(&self.length.to_le_bytes())?;
        }
        if let Some(sizes) = &mut self.sizes {
            let own = dimensions.sides().zip(self.field.dimensions.sides());
            for (side, all) in own {
                if let (Some(side), None) = (side, all) {
                    // Sides fit 32 bits.
                    sizes.push(&(side as u32).to_le_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// The columns of a table that its rows are made from, where this is the main column of its file:
    /// the bytes of all rows, and of each of them. To be completed.
    pub fn main_rows(&mut self) -> Option<(&mut Vec<FeatureColumn>, u64, usize)> {
        let row = self
            .field
            .dimensions
            .len()?
            .checked_mul(self.field.element.bytes())?;
        self.spool
            .is_none()
            .then_some((&mut self.field.columns, self.length, row))
    }

    /// Writes what waited.
    pub fn finish(mut self, output: &mut DatasetFile) -> Result<ColumnSections, DataError> {
        if let (Common::All(dimensions), FieldKind::Image | FieldKind::Mask) = (self.common, self.field.kind)
            && dimensions.is_fixed()
        {
            self.field.dimensions = dimensions;
            self.sizes = None;
            if !self.field.is_encoded() {
                self.ends = None;
            }
        }
        let mut spooled = |spool: Option<Spool>| spool.map(|spool| output.spooled(spool)).transpose();
        let waited = spooled(self.spool)?;
        let sizes = spooled(self.sizes)?;
        let ends = spooled(self.ends)?;
        Ok(ColumnSections {
            field: self.field,
            data: waited.unwrap_or_else(|| output.first(self.length)),
            ends,
            sizes,
        })
    }

    /// A column that was written as a whole.
    pub fn whole(field: Field, data: FileSection) -> ColumnSections {
        ColumnSections {
            field,
            data,
            ends: None,
            sizes: None,
        }
    }

    /// Bytes of memory that its buffers hold.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let spools = [&self.spool, &self.ends, &self.sizes];
        spools.into_iter().flatten().map(Spool::memory).sum()
    }
}
