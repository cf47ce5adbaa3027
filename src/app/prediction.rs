//! What a model says of new files.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::AppError;
use super::model::{FoundModel, LocatedModel, ModelDuty, ModelSource};
use crate::event::Monitor;
use crate::prediction::{
    PredictionCounts, PredictionKeeping, PredictionTask, PredictionWriter, Unpredicted, missing_input,
};
use crate::spec::PredictionFormat;
use crate::stages::{DeviceChoice, Registry, StageError, archive_unpacker, predict_files};

/// What the name of a folder of masks ends in, which is that of the rows in front.
const MASKS: &str = "masks";

/// What is to be predicted, and by whom.
#[derive(Clone, Debug)]
pub struct PredictionRequest {
    /// The models; of several the average is given.
    pub models: Vec<ModelSource>,
    /// Files, folders and archives that are gone through at any depth, and patterns such as `new/**/*.png`.
    pub inputs: Vec<PathBuf>,
    /// How predictions are written.
    pub format: PredictionFormat,
    /// Whether the mean of the outputs for an image and its mirror image is given.
    pub test_time_flip: bool,
    /// Where to compute.
    pub device: DeviceChoice,
    /// How many threads to use.
    pub threads: usize,
}

/// Who follows a prediction, and what stops it.
pub struct PredictionFollower<'a> {
    /// Hears of each sample that cannot be predicted for.
    pub refused: &'a mut (dyn FnMut(&Unpredicted) + Send),
    /// Hears how far it is, and what is worth telling.
    pub monitor: Monitor,
}

/// Predicts for all that is asked for and writes it to `out`, sample by sample. Those that cannot be read are told of
/// and counted, and all others are predicted for.
///
/// # Errors
/// A model is not found or cannot be asked, the inputs are none that it can be shown, or `out` cannot be written.
pub fn predict(
    request: &PredictionRequest,
    registry: &Registry,
    out: impl Write + Send,
    follower: PredictionFollower<'_>,
) -> Result<PredictionCounts, AppError> {
    request.found()?.predict(registry, (out, None), None, follower)
}

/// A prediction whose models and inputs are there.
pub(super) struct FoundPrediction<'a> {
    request: &'a PredictionRequest,
    pub models: Vec<FoundModel>,
}

impl PredictionRequest {
    /// Finds the models and what is named.
    pub(super) fn found(&self) -> Result<FoundPrediction<'_>, AppError> {
        self.check_inputs()?;
        let models = self.models.iter().map(|model| model.find(ModelDuty::Predict));
        Ok(FoundPrediction {
            request: self,
            models: models.collect::<Result<_, AppError>>()?,
        })
    }

    fn check_inputs(&self) -> Result<(), AppError> {
        if let Some(path) = missing_input(&self.inputs) {
            let path = path.display();
            return Err(AppError::Request(format!("there is no file or folder `{path}`")));
        }
        Ok(())
    }
}

impl FoundPrediction<'_> {
    /// Predicts, from where `keeping` says on. Rows go to `out`; where they become the file at a path, masks go into a folder
    /// beside it.
    pub fn predict(
        self,
        registry: &Registry,
        (out, path): (impl Write + Send, Option<&Path>),
        keeping: Option<PredictionKeeping<'_>>,
        follower: PredictionFollower<'_>,
    ) -> Result<PredictionCounts, AppError> {
        let request = self.request;
        let located: Result<Vec<_>, AppError> = self.models.into_iter().map(FoundModel::lay_out).collect();
        let located = located?;
        for note in located.iter().filter_map(|model| model.note.clone()) {
            follower.monitor.info(note);
        }
        let models: Vec<PathBuf> = located.iter().map(|model| model.folder.clone()).collect();
        let masks = path.map(|path| path.with_extension(MASKS));
        let unpacker = archive_unpacker(&std::env::temp_dir(), &follower.monitor);
        let task = PredictionTask {
            models: &models,
            inputs: &request.inputs,
            masks: masks.as_deref(),
            relative: false,
            test_time_flip: request.test_time_flip,
            device: request.device,
            unpacker: &unpacker,
        };
        let mut writer = PredictionWriter::new(request.format, out);
        let predictions = predict_files(
            &task,
            request.threads,
            registry,
            &mut writer,
            keeping,
            follower.refused,
            &follower.monitor,
        );
        let predictions = predictions.map_err(|error| match error {
            StageError::Interrupted => AppError::Interrupted,
            other => AppError::Stopped(LocatedModel::told_by(&located, &other)),
        })?;
        writer.finish().map_err(AppError::io("writing the predictions"))?;
        Ok(predictions)
    }
}
