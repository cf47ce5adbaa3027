//! Models of text as folders that Hugging Face's programs load.

use std::path::Path;

use super::list::{ExportedModel, ModelWriter};
use crate::event::Monitor;
use crate::schema::TokenRoles;
use crate::spec::HuggingFaceOptions;
use crate::stages::{Job, StageError};
use crate::tokenizer::{TOKENIZER_FILE, TokenizerFolder};
use crate::train::{Components, FolderWish, FolderWriting, PretrainedFolder, TrainError, write_folder};

impl ModelWriter for HuggingFaceOptions {
    fn write(&self, exported: &ExportedModel<'_>) -> Result<(), TrainError> {
        Err(TrainError::BadFile {
            path: exported.folder.to_owned(),
            problem: "`huggingface` is a format for models of text".to_owned(),
        })
    }

    fn write_from_folder(
        &self,
        folder: &Path,
        job: &Job,
        components: &Components,
        monitor: &Monitor,
    ) -> Option<Result<(), StageError>> {
        Some(self.write_folder(folder, job, components, monitor))
    }
}

impl HuggingFaceOptions {
    fn write_folder(
        &self,
        path: &Path,
        job: &Job,
        components: &Components,
        monitor: &Monitor,
    ) -> Result<(), StageError> {
        let folder = PretrainedFolder::open(path, FolderWish::default(), components).map_err(|problem| {
            StageError::failed(format!("the model cannot be written as `huggingface`: {problem}"))
        })?;
        for note in folder.notes() {
            monitor.info(note.clone());
        }
        let tokens = match folder.tokenizer_folder() {
            Some(tokenizer) => write_tokenizer(&tokenizer, folder.sizes().context, &job.output)?,
            None => {
                monitor.warn(format!(
                    "the model has no `{TOKENIZER_FILE}` beside it, so the folder has none: a program that loads it needs \
                     the tokenizer too"
                ));
                TokenRoles::default()
            }
        };
        let writing = FolderWriting {
            source: path,
            output: &job.output,
            precision: self.dtype,
            tokens,
        };
        for note in write_folder(&folder, &writing, &components.models)? {
            monitor.info(note);
        }
        Ok(())
    }
}

/// Writes the tokenizer of the folder `source` as both versions of transformers load it, and tells its special tokens.
fn write_tokenizer(source: &Path, context: usize, output: &Path) -> Result<TokenRoles, StageError> {
    let failed = |error: crate::tokenizer::TokenizerError| StageError::failed(error.to_string());
    let folder = TokenizerFolder::read(source).map_err(failed)?;
    let tokenizer = folder.parsed().map_err(failed)?;
    let special = folder.special_tokens(&tokenizer);
    // Programs that load it cut texts to what the model takes.
    let length = folder.max_length().or_else(|| u32::try_from(context).ok());
    let written = folder
        .adopted(&tokenizer, false, &special, length, None)
        .map_err(failed)?;
    written.write(output).map_err(failed)?;
    Ok(special.roles())
}

#[cfg(test)]
mod tests;
