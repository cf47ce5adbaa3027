//! Low-rank changes of models of text as PEFT keeps them.

use std::path::Path;

use super::huggingface::write_tokenizer;
use super::list::{ExportedModel, ModelWriter};
use crate::event::Monitor;
use crate::spec::PeftOptions;
use crate::stages::{Job, StageError};
use crate::train::{Components, PeftAdapter, TrainError};

impl ModelWriter for PeftOptions {
    fn write(&self, exported: &ExportedModel<'_>) -> Result<(), TrainError> {
        Err(TrainError::BadFile {
            path: exported.folder.to_owned(),
            problem: "`peft` is a format for low-rank changes of models of text".to_owned(),
        })
    }

    fn write_from_folder(
        &self,
        folder: &Path,
        job: &Job,
        components: &Components,
        monitor: &Monitor,
    ) -> Option<Result<(), StageError>> {
        Some(self.write_changes(folder, job, components, monitor))
    }
}

impl PeftOptions {
    fn write_changes(
        &self,
        path: &Path,
        job: &Job,
        components: &Components,
        monitor: &Monitor,
    ) -> Result<(), StageError> {
        let adapter = PeftAdapter::read(path, components).map_err(|problem| {
            StageError::failed(format!("the model cannot be written as `peft`: {problem}"))
        })?;
        adapter.write(self.base.as_deref(), &job.output)?;
        write_tokenizer(adapter.folder(), &job.output, monitor)?;
        if self.base.is_none() {
            monitor.info(
                "the adapter does not name its base (`format: {peft: {base: ...}}`): whoever loads it has to load that too",
            );
        }
        Ok(())
    }
}
