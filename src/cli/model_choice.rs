//! How arguments name trained models.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::{AppError, ModelSource, PipelineRequest, TrialChoice};
use crate::spec::Override;

/// Which of a pipeline's models is meant.
#[derive(Debug, Args)]
pub(super) struct ModelChoiceArguments {
    /// In a sweep, whose model: `best`, or a trial's number
    #[arg(long, value_name = "TRIAL")]
    trial: Option<TrialChoice>,
    /// Replace a parameter's value (or the pipeline's `seed`); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    overrides: Vec<Override>,
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    store: Option<PathBuf>,
}

impl ModelChoiceArguments {
    /// Where the model is that `text` names: FILE:STAGE or FILE, where there is such a file of a pipeline, else a
    /// folder.
    pub fn source(&self, text: &str) -> Result<ModelSource, AppError> {
        let Some((file, stage)) = pipeline_words(text) else {
            if self.trial.is_some() || !self.overrides.is_empty() {
                return Err(AppError::Request(format!(
                    "`--trial` and `--set` choose among the models of a pipeline, and `{text}` is a folder: name the \
                     model as FILE.yaml:STAGE, or leave them out"
                )));
            }
            return Ok(ModelSource::Folder(PathBuf::from(text)));
        };
        if stage == Some("") {
            return Err(AppError::Request(format!(
                "`{text}` names no stage: write its name behind the colon, or leave the colon out"
            )));
        }
        Ok(ModelSource::Stage {
            pipeline: PipelineRequest {
                overrides: self.overrides.clone(),
                store: self.store.clone(),
                ..PipelineRequest::of(file)
            },
            stage: stage.map(str::to_owned),
            trial: self.trial,
        })
    }
}

/// The file and the stage that `text` names, where it is such words.
pub(super) fn pipeline_words(text: &str) -> Option<(&str, Option<&str>)> {
    let is_pipeline = |file: &str| {
        let name = Path::new(file);
        let extension = name.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml")) && (name.is_file() || !name.exists())
    };
    match text.rsplit_once(':') {
        Some((file, stage)) if is_pipeline(file) => Some((file, Some(stage))),
        _ => is_pipeline(text).then_some((text, None)),
    }
}
