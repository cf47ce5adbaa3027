//! How the `predict` kind runs, and predictions for whoever asks.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::data::{ArchiveUnpacker, listing_digest};
use crate::event::{Metrics, Monitor};
use crate::fingerprint::Digest;
use crate::prediction::{PredictionCounts, PredictionKeeping, PredictionTask, PredictionWriter, Unpredicted};
use crate::spec::{ArtifactTable, METRICS_FILE, Mistake, OnError, Predict, counted};
use crate::train::{self, CsvFile, TrainError, on_threads};

use super::download::unpack_archive;
use super::{Job, Outcome, Registry, StageError, StageRunner, whole_models};

/// The folder of predicted masks.
const MASKS: &str = "masks";

/// How many samples that could not be read are named; `skipped.csv` names all.
const NAMED: u64 = 10;

/// Asks the inputs `model` (or `model.0`, `model.1`, ...) about the files of the input `input`.
///
/// The artifact: `predictions.csv` (or the file of another format), a row a sample, and `metrics.json`; of models that judge
/// pixels `masks/` with a PNG for each image; where
/// samples were left out, `skipped.csv` with their names and what is wrong with them. The metrics: `samples`, those
/// that were predicted for, and `skipped`.
impl StageRunner for Predict {
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let models: Result<Vec<PathBuf>, StageError> = self
            .model
            .roles()
            .iter()
            .map(|role| Ok(job.input(role)?.to_owned()))
            .collect();
        let inputs = [job.input("input")?.to_owned()];
        let masks = job.output.join(MASKS);
        let task = PredictionTask {
            masks: Some(&masks),
            models: &models?,
            inputs: &inputs,
            relative: true,
            test_time_flip: self.test_time_flip,
            device: job.surroundings.device,
            unpacker: &archive_unpacker(&job.scratch, monitor),
        };
        let path = job.output.join(self.format.file_name());
        let metrics = on_threads(job.surroundings.threads, || {
            let file = File::create(&path).map_err(TrainError::writing(&path))?;
            let mut writer = PredictionWriter::new(self.format, BufWriter::new(file));
            let mut skipped: Option<CsvFile> = None;
            let mut count = 0;
            let mut refuse = |sample: &Unpredicted| {
                if self.on_error == OnError::Fail {
                    return Err(TrainError::Unpredicted(sample.to_string()));
                }
                count += 1;
                if count <= NAMED {
                    monitor.warn(format!("left out: {sample}"));
                }
                let file = match &mut skipped {
                    Some(file) => file,
                    None => skipped.insert(CsvFile::create(&job.output, ArtifactTable::SKIPPED, [])?),
                };
                file.row([&sample.name, &sample.problem])
            };
            let predictions = task.carry_out(registry.training(), &mut writer, None, &mut refuse, monitor)?;
            writer.finish().map_err(TrainError::writing(&path))?;
            if let Some(file) = skipped {
                file.finish()?;
                let PredictionCounts { predicted, failed } = predictions;
                monitor.warn(format!(
                    "{failed} of {} {} left out; `{}` names {}",
                    counted(predicted + failed, "sample"),
                    if failed == 1 { "was" } else { "were" },
                    ArtifactTable::SKIPPED.name,
                    if failed == 1 { "it" } else { "them" }
                ));
            }
            let figures = [
                ("samples", predictions.predicted as f64),
                ("skipped", predictions.failed as f64),
            ];
            let metrics: Metrics = figures.map(|(name, value)| (name.to_owned(), value)).into();
            train::write_json(&job.output.join(METRICS_FILE), &metrics)?;
            Ok(metrics)
        })?;
        Ok(Outcome { metrics })
    }

    fn look_into(&self, files: &BTreeMap<String, PathBuf>, _: &Registry) -> Vec<Mistake> {
        whole_models::look_into(self.model.inputs(), files)
    }
}

/// Predicts for files, on `threads` threads; see [`PredictionTask::carry_out`].
///
/// # Errors
/// [`StageError::Interrupted`] soon after `monitor.stopped()` becomes true; otherwise as there.
pub fn predict_files(
    task: &PredictionTask<'_>,
    threads: usize,
    registry: &Registry,
    writer: &mut PredictionWriter<'_>,
    keeping: Option<PredictionKeeping<'_>>,
    refuse: &mut (dyn FnMut(&Unpredicted) + Send),
    monitor: &Monitor,
) -> Result<PredictionCounts, StageError> {
    let mut refuse = |sample: &Unpredicted| {
        refuse(sample);
        Ok(())
    };
    let predict = || task.carry_out(registry.training(), writer, keeping, &mut refuse, monitor);
    registry
        .vocabulary()
        .reading(|| on_threads(threads, predict))
        .map_err(StageError::from)
}

/// What unpacks the archives among the inputs of a prediction, into folders in `scratch` that go with the samples.
pub fn archive_unpacker(scratch: &Path, monitor: &Monitor) -> ArchiveUnpacker {
    let monitor = monitor.clone();
    ArchiveUnpacker::new(scratch, move |archive, folder| {
        unpack_archive(archive, folder, &monitor)
    })
}

/// What tells the files at `paths` from those of another time; see [`listing_digest`].
///
/// # Errors
/// As there.
pub fn inputs_digest(paths: &[PathBuf], without: &[&OsStr]) -> Result<Digest, StageError> {
    listing_digest(paths, without).map_err(|error| TrainError::from(error).into())
}

#[cfg(test)]
mod tests;
