//! Models of text as folders that Hugging Face's programs load.

use std::fs;
use std::path::Path;

use super::list::{ExportedModel, ModelWriter};
use crate::event::Monitor;
use crate::schema::TokenRoles;
use crate::spec::{HuggingFaceOptions, TextHead};
use crate::stages::{Job, StageError};
use crate::tokenizer::{TOKENIZER_FILE, TokenizerError, TokenizerFolder};
use crate::train::{
    ADAPTER_FOLDER, Components, FolderWish, FolderWriting, NO_PAD, PeftAdapter, PretrainedFolder, TrainError,
    write_folder,
};

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
        let failed =
            |problem| StageError::failed(format!("the model cannot be written as `huggingface`: {problem}"));
        let wish = FolderWish {
            without_changes: !self.merge,
            ..FolderWish::default()
        };
        let folder = PretrainedFolder::open(path, wish, components).map_err(failed)?;
        if !self.merge {
            let adapter = PeftAdapter::read(path, components).map_err(failed)?;
            // In a folder of its own: beside the base, version 4 of transformers would look for another base by name.
            let output = job.output.join(ADAPTER_FOLDER);
            fs::create_dir(&output).map_err(TrainError::writing(&output))?;
            adapter.write(None, &output)?;
        }
        for note in folder.notes() {
            monitor.info(note.clone());
        }
        let tokens = write_tokenizer(&folder, &job.output, monitor)?;
        let has_tokenizer = folder.tokenizer_folder().is_some();
        if folder.head() == TextHead::Similarity && has_tokenizer && tokens.pad.is_none() {
            monitor.warn(format!(
                "{NO_PAD}: train the tokenizer with `special: {{pad: \"<pad>\"}}`, or give it one where the folder is loaded, such \
                 as `model.tokenizer.pad_token = model.tokenizer.eos_token`"
            ));
        }
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

/// Writes the tokenizer of the model in `folder` as both versions of transformers load it, and tells its special tokens;
/// a model that has none is told of.
pub(super) fn write_tokenizer(
    folder: &PretrainedFolder,
    output: &Path,
    monitor: &Monitor,
) -> Result<TokenRoles, StageError> {
    let Some(source) = folder.tokenizer_folder() else {
        monitor.warn(format!(
            "the model has no `{TOKENIZER_FILE}` beside it, so the folder has none: a program that loads it needs the \
             tokenizer too"
        ));
        return Ok(TokenRoles::default());
    };
    let failed = |error: TokenizerError| StageError::failed(error.to_string());
    let own = TokenizerFolder::read(&source).map_err(failed)?;
    let tokenizer = own.parsed().map_err(failed)?;
    let special = own.special_tokens(&tokenizer);
    // Programs that load it cut texts to what the model takes.
    let context = folder.sizes().context;
    let of_training = folder.told_length().filter(|_| folder.config().is_empty());
    let length = of_training
        .or_else(|| own.max_length())
        .or_else(|| u32::try_from(context).ok());
    let written = own
        .adopted(&tokenizer, false, &special, length, None)
        .map_err(failed)?;
    let written = match folder.family().knows_segments() {
        true => written,
        false => written.without_segments(),
    };
    written.write(output).map_err(failed)?;
    Ok(special.roles())
}

#[cfg(test)]
mod tests;
