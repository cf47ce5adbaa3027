//! The file formats that models can be written in, by the type of their options.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::path::Path;

use crate::event::{Metrics, Monitor};
use crate::spec::{ExportFormat, ExportFormatOptions, ListedOptions, built_in_export_formats};
use crate::stages::{Job, StageError};
use crate::train::{Components, OutputMeaning, TrainError, TrainedModel};

/// A model to be written for other programs.
pub struct ExportedModel<'a> {
    /// The model, loaded: its weights are whole and those of its architecture.
    pub model: &'a TrainedModel,
    /// What its outputs are.
    pub meaning: OutputMeaning,
    /// The folder that it was loaded from.
    pub folder: &'a Path,
    /// The figures that belong on its card, by stage.
    pub metrics: BTreeMap<String, Metrics>,
    /// The job; files go into its output folder.
    pub job: &'a Job,
    /// What models are made of.
    pub components: &'a Components,
    /// Who is told what there is to say.
    pub monitor: &'a Monitor,
}

/// Options of a file format that models can be written in.
pub trait ModelWriter: ExportFormatOptions + ListedOptions {
    /// Writes the model's files.
    ///
    /// # Errors
    /// The format cannot hold the model, or a file cannot be written.
    fn write(&self, exported: &ExportedModel<'_>) -> Result<(), TrainError>;

    /// Writes the model's files from its folder, where the format takes it from there: then the model need not be one
    /// that was made here. Nothing where it does not, as by default.
    fn write_from_folder(
        &self,
        folder: &Path,
        job: &Job,
        components: &Components,
        monitor: &Monitor,
    ) -> Option<Result<(), StageError>> {
        let _ = (folder, job, components, monitor);
        None
    }
}

/// The file formats that models can be written in: those of this crate, and what a program adds.
#[derive(Clone)]
pub struct ModelWriters(BTreeMap<&'static str, WriteModel>);

/// What is done by options that are known by their trait alone; nothing where they are of another type.
#[derive(Clone, Copy)]
struct WriteModel {
    loaded: fn(&ExportFormat, &ExportedModel<'_>) -> Option<Result<(), TrainError>>,
    from_folder: FromFolder,
}

type FromFolder = fn(&ExportFormat, &Path, &Job, &Components, &Monitor) -> Option<Result<(), StageError>>;

impl ModelWriters {
    /// The file formats of this crate.
    pub fn built_in() -> Self {
        macro_rules! listed {
            ($($entry:path,)*) => { Self(BTreeMap::new())$(.with::<$entry>())* };
        }
        built_in_export_formats!(listed)
    }

    /// With one more file format; one of the same name gives way.
    #[must_use]
    pub fn with<O: ModelWriter>(mut self) -> Self {
        let write = WriteModel {
            loaded: |format, exported| Some(format.options::<O>()?.write(exported)),
            from_folder: |format, folder, job, components, monitor| {
                let options = format.options::<O>()?;
                options.write_from_folder(folder, job, components, monitor)
            },
        };
        self.0.insert(O::NAME, write);
        self
    }

    /// Writes the model in `folder` as `format` says, where that takes it from there.
    ///
    /// # Errors
    /// Those of [`ModelWriter::write_from_folder`].
    pub fn write_from_folder(
        &self,
        format: &ExportFormat,
        folder: &Path,
        job: &Job,
        components: &Components,
        monitor: &Monitor,
    ) -> Option<Result<(), StageError>> {
        let write = self.0.get(format.name())?;
        (write.from_folder)(format, folder, job, components, monitor)
    }

    /// Writes the model as `format` says.
    ///
    /// # Errors
    /// Those of [`ModelWriter::write`], and a format that this program does not know.
    pub fn write(&self, format: &ExportFormat, exported: &ExportedModel<'_>) -> Result<(), StageError> {
        let write = self.0.get(format.name());
        match write.and_then(|write| (write.loaded)(format, exported)) {
            Some(written) => Ok(written?),
            None => Err(StageError::failed(format!(
                "this program cannot write models as `{}`; add it to the program's export formats",
                format.name()
            ))),
        }
    }
}

impl Debug for ModelWriters {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
