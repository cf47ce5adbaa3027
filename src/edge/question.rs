//! A question to models, from their folders to rows.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::{InferArguments, InferFormat};
use super::error::InferError;
use super::{DONE, FAILED};
use crate::data::ArchiveUnpacker;
use crate::event::{Activity, Level, Monitor};
use crate::prediction::{
    PredictionCounts, PredictionTask, PredictionWriter, UnnamedFile, Unpredicted, missing_input, model_folder,
};
use crate::train::{Components, DeviceChoice, TrainError, on_threads};

/// Hears lines about the work.
type Tell = Arc<dyn Fn(&str) + Send + Sync>;

impl InferArguments {
    /// Asks the models, and writes what they say; gives the exit code.
    ///
    /// # Errors
    /// A model is not there or cannot be asked, no input can be read, or the answers cannot be written.
    pub fn ask(&self, out: impl Write + Send, tell: &Tell) -> Result<u8, InferError> {
        let models: Vec<PathBuf> = self
            .models
            .iter()
            .map(|path| folder_of_model(path))
            .collect::<Result<_, _>>()?;
        if let Some(path) = missing_input(&self.inputs) {
            let path = path.display();
            return Err(InferError::Arguments(format!(
                "there is no file or folder `{path}`"
            )));
        }
        let counts = match &self.output {
            Some(path) => self.write_file(path, &models, tell)?,
            None => match self.write_rows(BufWriter::new(out), &models, tell) {
                // Whoever reads has seen enough.
                Err(TrainError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(DONE);
                }
                counts => counts?,
            },
        };
        tell_counts(&counts, self.output.as_deref(), tell);
        Ok(if counts.failed == 0 { DONE } else { FAILED })
    }

    /// Writes a file, whole or not at all.
    fn write_file(
        &self,
        path: &Path,
        models: &[PathBuf],
        tell: &Tell,
    ) -> Result<PredictionCounts, InferError> {
        let writing = |source: io::Error| InferError::Writing {
            path: path.to_owned(),
            source,
        };
        if path.symlink_metadata().is_ok() {
            return Err(InferError::is_there(path.to_owned()));
        }
        let mut file = UnnamedFile::for_path(path).map_err(writing)?;
        let counts = self.write_rows(BufWriter::new(file.as_file_mut()), models, tell)?;
        match file.persist_noclobber(path) {
            Ok(()) => Ok(counts),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(InferError::is_there(path.to_owned()))
            }
            Err(error) => Err(writing(error)),
        }
    }

    /// Writes rows to `out`.
    fn write_rows(
        &self,
        out: impl Write + Send,
        models: &[PathBuf],
        tell: &Tell,
    ) -> Result<PredictionCounts, TrainError> {
        let unpacker = ArchiveUnpacker::new(&std::env::temp_dir(), |_, _| {
            Err("this program unpacks no archives: unpack it, and name the folder".to_owned())
        });
        let task = PredictionTask {
            masks: None,
            models,
            inputs: &self.inputs,
            relative: false,
            test_time_flip: self.test_time_flip,
            device: DeviceChoice::Cpu,
            unpacker: &unpacker,
        };
        let mut writer = match self.format {
            InferFormat::Csv => PredictionWriter::csv(out),
            InferFormat::JsonLines => PredictionWriter::json_lines(out),
        };
        let hears = Arc::clone(tell);
        let monitor = Monitor::new(move |activity| hear(&activity, &*hears), Arc::default());
        let mut refuse = |sample: &Unpredicted| {
            tell(&format!("not predicted: {sample}"));
            Ok(())
        };
        let components = Components::built_in();
        let threads = self
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let counts = on_threads(threads, || {
            task.carry_out(&components, &mut writer, None, &mut refuse, &monitor)
        })?;
        writer.finish().map_err(TrainError::Output)?;
        Ok(counts)
    }
}

/// The folder of the model at `path`.
fn folder_of_model(path: &Path) -> Result<PathBuf, InferError> {
    let is_pipeline = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    let told = path.display();
    if is_pipeline && !path.is_dir() {
        return Err(InferError::Arguments(format!(
            "`{told}` is a pipeline, and this program knows models by their folders: `erlen get FILE STAGE` copies one out"
        )));
    }
    model_folder(path).ok_or_else(|| {
        InferError::Arguments(format!(
            "there is no model at `{told}`: name a folder with model.json and model.safetensors, as `erlen get` leaves it"
        ))
    })
}

fn hear(activity: &Activity, tell: &(dyn Fn(&str) + Send + Sync)) {
    match activity {
        Activity::Notice {
            level: Level::Warning,
            message,
        } => tell(&format!("warning: {message}")),
        Activity::Notice { message, .. } => tell(message),
        _ => {}
    }
}

/// Says how many samples have an answer.
fn tell_counts(counts: &PredictionCounts, output: Option<&Path>, tell: &Tell) {
    let whither = output.map_or_else(String::new, |path| format!(" -> {}", path.display()));
    tell(&format!("{}{whither}", counts.told()));
}
