//! Writing a dataset file.

mod column;
mod output;
mod partial;
mod spool;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use super::error::DataError;
use super::field_names::IMAGE_ID;
use super::fills::{ColumnFill, FilledColumn, find_fills};
use super::layout::DatasetHeader;
use super::value::{FieldValue, read_f32s};
use crate::schema::{Field, FieldKind, FieldRole, Schema};
use crate::spec::{SplitName, counted};
use column::ColumnWriter;
use output::DatasetFile;

/// Writes a dataset file sample by sample: to a temporary name, renamed once all is on disk.
///
/// Memory does not grow with the samples: the first input goes to disk as it comes, what has to stand
/// behind it to temporary files.
pub struct DatasetWriter {
    output: DatasetFile,
    schema: Schema,
    /// One for each field, but for the class that is told in the end.
    columns: Vec<ColumnWriter>,
    /// The field of the class, where classes are told in the end.
    class: Option<Field>,
    origins: ColumnWriter,
    /// What files know the samples by, where a column tells that.
    identifiers: Option<Identifiers>,
    count: u64,
}

impl DatasetWriter {
    /// Begins a dataset in `folder` whose samples hold the fields of `schema`, and where they come from
    /// beside them.
    ///
    /// A target of classes without names is told in the end, by
    /// [`DatasetWriter::finish_with_classes`]. Images of various sizes that all turn out to have one
    /// size become images of that size.
    ///
    /// # Errors
    /// There is nothing to show a network or nothing to predict, more than one class is to be told in
    /// the end, or the file cannot be made.
    pub fn create(folder: &Path, schema: Schema) -> Result<Self, DataError> {
        let unfit = |problem: &str| Err(DataError::Options(format!("a dataset cannot be made: {problem}")));
        let Some(input) = schema.input() else {
            return unfit("it needs something to show a network");
        };
        // Tokens predict each other.
        if schema.target().is_none() && input.kind != FieldKind::Tokens {
            return unfit("it needs something to predict");
        }
        if schema.with_role(FieldRole::Origin).next().is_some() {
            return unfit("where samples come from is told with each, not as a field");
        }
        let (late, fields): (Vec<&Field>, Vec<&Field>) =
            schema.fields().iter().partition(|field| is_told_late(field));
        if late.len() > 1 {
            return unfit("the names of two kinds of classes are missing");
        }
        let output = DatasetFile::create(folder)?;
        let columns = fields
            .iter()
            .map(|field| ColumnWriter::new(folder, (*field).clone(), field.name == input.name))
            .collect::<Result<Vec<ColumnWriter>, DataError>>()?;
        Ok(Self {
            output,
            columns,
            class: late.first().map(|field| (*field).clone()),
            origins: ColumnWriter::new(folder, Field::origin(), false)?,
            identifiers: Identifiers::of(&schema, late.is_empty()),
            count: 0,
            schema,
        })
    }

    /// What every sample must hold.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Appends a sample, and where it comes from. It has a value for each field, in the schema's order,
    /// but none for a class that is told in the end.
    ///
    /// # Errors
    /// The sample does not have the schema's fields, or cannot be written.
    pub fn push(&mut self, values: &[FieldValue<'_>], origin: &str) -> Result<(), DataError> {
        if self.count >= u64::from(u32::MAX) {
            return Err(DataError::Options(format!(
                "a dataset holds at most {} samples",
                u32::MAX
            )));
        }
        if values.len() != self.columns.len() {
            return Err(DataError::Input {
                place: origin.to_owned(),
                problem: format!(
                    "it has {}, and the dataset {}",
                    counted(values.len(), "value"),
                    counted(self.columns.len(), "field")
                ),
            });
        }
        for (column, value) in self.columns.iter().zip(values) {
            column.check(*value).map_err(|problem| DataError::Input {
                place: origin.to_owned(),
                problem,
            })?;
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(*value, &mut self.output)?;
        }
        if let Some(identifiers) = &mut self.identifiers {
            identifiers.push(values);
        }
        self.origins.push(FieldValue::text(origin), &mut self.output)?;
        self.count += 1;
        Ok(())
    }

    /// Finds what the empty cells of the first input are filled with, in the samples that are in the
    /// training split, and counts these cells.
    ///
    /// # Errors
    /// A column holds nothing in all of them, or the file cannot be read again.
    pub(super) fn find_fills(
        &mut self,
        fills: &[ColumnFill],
        splits: &[SplitName],
    ) -> Result<Vec<FilledColumn>, DataError> {
        let output = &mut self.output;
        let mut main = self.columns.iter_mut().filter_map(ColumnWriter::main_rows);
        let Some((columns, length, row)) = main.next() else {
            return Err(DataError::Options("nothing is there to be filled".into()));
        };
        let mut numbers = vec![0f32; row / size_of::<f32>()];
        find_fills(fills, columns, splits, &mut |take| {
            let mut sample = 0;
            output.read_first(length, row, |bytes| {
                read_f32s(bytes, &mut numbers);
                take(sample, &numbers);
                sample += 1;
            })
        })
    }

    /// Writes what stands behind the first input, and gives the file its name. `splits[i]` is the split
    /// that sample `i` is in.
    ///
    /// # Errors
    /// The samples' classes are missing, the splits do not fit the samples, no sample is in the train
    /// split, or the disk refuses.
    pub fn finish(self, splits: &[SplitName]) -> Result<(), DataError> {
        if self.class.is_some() {
            return Err(DataError::Options("the samples' classes are missing".into()));
        }
        self.complete(splits, &[])
    }

    /// [`DatasetWriter::finish`] for a dataset whose classes are told in the end: `labels[i]` is sample
    /// `i`'s index into `classes`.
    ///
    /// # Errors
    /// As there; or no classes are to be told, or the labels do not fit the samples and classes.
    pub fn finish_with_classes(
        mut self,
        classes: Vec<String>,
        labels: &[u32],
        splits: &[SplitName],
    ) -> Result<(), DataError> {
        let fits = labels.len() as u64 == self.count && self.class.is_some();
        if !fits || labels.iter().any(|label| *label as usize >= classes.len()) {
            return Err(DataError::Options(
                "the labels do not fit the samples and classes".into(),
            ));
        }
        if let Some(class) = &mut self.class {
            class.names = classes;
        }
        self.complete(splits, labels)
    }

    /// Writes all columns in the schema's order, splits and header, and gives the file its name.
    fn complete(self, splits: &[SplitName], labels: &[u32]) -> Result<(), DataError> {
        if splits.len() as u64 != self.count {
            return Err(DataError::Options("the splits do not fit the samples".into()));
        }
        if !splits.contains(&SplitName::Train) {
            return Err(DataError::Options("the dataset has no training sample".into()));
        }
        let mut output = self.output;
        let mut written = Vec::new();
        let usual = self.identifiers.filter(|found| found.are_places(splits));
        let usual = usual.map(|found| found.column);
        for (index, column) in self.columns.into_iter().enumerate() {
            if usual != Some(index) {
                written.push(column.finish(&mut output)?);
            }
        }
        if let Some(class) = self.class {
            let indices = labels.iter().map(|label| label.to_le_bytes());
            let at = self.schema.position(&class.name).unwrap_or(written.len());
            let column = ColumnWriter::whole(class, output.section(indices)?);
            written.insert(at.min(written.len()), column);
        }
        let mut sections = BTreeMap::new();
        for name in SplitName::ALL {
            let members = (0u32..).zip(splits).filter(|(_, split)| **split == name);
            let section = output.section(members.map(|(index, _)| index.to_le_bytes()))?;
            if section.length > 0 {
                sections.insert(name, section);
            }
        }
        written.push(self.origins.finish(&mut output)?);
        output.finish(&DatasetHeader {
            count: self.count,
            columns: written,
            splits: sections,
        })
    }

    /// Bytes of memory that its buffers hold.
    #[cfg(test)]
    fn memory(&self) -> usize {
        let columns = self.columns.iter().map(ColumnWriter::memory);
        self.output.memory() + self.origins.memory() + columns.sum::<usize>()
    }
}

/// What files know the samples by: kept just where these are no places in their splits, counted from 1, so that the same samples
/// are the same dataset whatever files they come from.
struct Identifiers {
    /// The index of their column.
    column: usize,
    found: Vec<i64>,
}

impl Identifiers {
    /// Those of a schema of whose fields all are told at once.
    fn of(schema: &Schema, at_once: bool) -> Option<Self> {
        let column = schema.position(IMAGE_ID).filter(|_| at_once)?;
        Some(Self {
            column,
            found: Vec::new(),
        })
    }

    fn push(&mut self, values: &[FieldValue<'_>]) {
        let bytes = values
            .get(self.column)
            .and_then(|value| value.bytes.try_into().ok());
        self.found.push(bytes.map_or(0, i64::from_le_bytes));
    }

    /// Whether each is its sample's place in its split.
    fn are_places(&self, splits: &[SplitName]) -> bool {
        let mut places: BTreeMap<SplitName, i64> = BTreeMap::new();
        self.found.iter().zip(splits).all(|(identifier, split)| {
            let place = places.entry(*split).or_default();
            *place += 1;
            *identifier == *place
        })
    }
}

/// Whether a field's values are told in the end, when all classes have been seen.
fn is_told_late(field: &Field) -> bool {
    field.kind == FieldKind::Class && field.dimensions.rank() == 0 && field.names.is_empty()
}
