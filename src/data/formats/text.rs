//! Texts as tokens: documents for language models, or samples with something to be predicted for them.

pub(super) mod bundles;
mod documents;
mod labelled;
#[cfg(test)]
pub(super) mod tests;
pub(super) mod vocabulary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::FormatReader;
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::Classes;
use crate::spec::{Mistake, TextOptions};

impl FormatReader for TextOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        match self.is_labelled() {
            true => labelled::read(self, input, intake),
            false => {
                documents::read(self, input, intake)?;
                Ok(None)
            }
        }
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>) -> Vec<Mistake> {
        vocabulary::look_into(files, self.max_length)
    }
}
