//! Files of which nobody knows what is to be predicted: samples from outside a dataset, one after another.
//!
//! What is read from a file is brought on the way that the samples of a dataset take ([`SamplePipeline`]), so a
//! model is shown the very same. Memory does not grow with the number of samples but for the names of the files in
//! one folder.
//!
//! [`SamplePipeline`]: super::SamplePipeline

mod archives;
mod files;
mod images;
mod listing;
mod named_cells;
mod row;
mod table;
#[cfg(test)]
mod tests;
mod text_reader;
mod texts;
mod untitled;

use std::path::PathBuf;

use super::error::DataError;
use super::example::Example;
use crate::event::Monitor;
use crate::schema::{FieldKind, Schema};
pub use archives::ArchiveUnpacker;
use images::UnlabelledImages;
pub use listing::listing_digest;
pub use named_cells::{AskedColumn, ColumnCells, asked_columns, features_of};
use table::{DELIMITERS, UnlabelledRows};
pub use text_reader::{ReadText, ReadWord, TextForm, TextReader};
use texts::UnlabelledTexts;

/// What samples are read from, and for whom.
#[derive(Clone, Debug)]
pub struct UnlabelledInputs<'a> {
    /// Files, folders and archives that are gone through at any depth, and patterns such as `new/**/*.png`.
    pub paths: &'a [PathBuf],
    /// Whether samples are named from each of the paths on, and not by the whole path.
    pub relative: bool,
    /// What each of the models that are asked is shown: the inputs alone.
    pub shown: Vec<Schema>,
    /// How archives are unpacked.
    pub unpacker: ArchiveUnpacker,
}

/// A sample that is predicted for.
#[derive(Debug)]
pub struct UnlabelledSample {
    /// Where it comes from: `new/a.png`, `new.csv:12`.
    pub name: String,
    /// What each model is shown of it, or what is wrong with it.
    pub examples: Result<Vec<Example>, String>,
}

/// Samples in their order.
pub trait UnlabelledSource {
    /// The next samples, at most `most`; none at the end.
    ///
    /// # Errors
    /// Nothing more can be read. That a single sample cannot be read is told with it.
    fn next(&mut self, most: usize) -> Result<Vec<UnlabelledSample>, DataError>;

    /// Tells what is worth telling at the end.
    fn finish(&mut self, monitor: &Monitor);
}

impl UnlabelledInputs<'_> {
    /// Opens what the models' samples are read from.
    ///
    /// # Errors
    /// The models are not shown the same kind of thing, a path leads nowhere, or what it leads to is not what the
    /// models are shown.
    pub fn open(&self) -> Result<Box<dyn UnlabelledSource>, DataError> {
        let unknown = || {
            DataError::Options(
                "files can be predicted for by models of images, of rows of numbers or of texts alone".into(),
            )
        };
        let texts = self.shown.iter().map(|schema| {
            let tokens = schema.input().filter(|field| field.kind == FieldKind::Tokens)?;
            Some(tokens.texts.as_deref().cloned().unwrap_or_default())
        });
        // Nothing of them is linked in a program that only asks models of images and rows.
        if cfg!(feature = "full")
            && let Some(fields) = texts.collect::<Option<Vec<_>>>()
        {
            return Ok(Box::new(UnlabelledTexts::open(self, fields)?));
        }
        let fields: Result<Vec<_>, DataError> = self
            .shown
            .iter()
            .map(|schema| match schema.fields() {
                [only] => Ok(only),
                _ => Err(unknown()),
            })
            .collect();
        let fields = fields?;
        if fields.iter().all(|field| field.is_image()) {
            return Ok(Box::new(UnlabelledImages::open(self, &fields)?));
        }
        if fields.iter().all(|field| field.is_row()) {
            return Ok(Box::new(UnlabelledRows::open(self, &fields)?));
        }
        Err(unknown())
    }
}
