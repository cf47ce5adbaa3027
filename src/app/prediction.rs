//! What a model says of new files.

use std::io::Write;
use std::path::PathBuf;

use super::error::AppError;
use super::model::{LocatedModel, ModelDuty, ModelSource};
use crate::event::Monitor;
use crate::spec::PredictionFormat;
use crate::stages::{
    DeviceChoice, PredictionCounts, PredictionTask, PredictionWriter, Registry, StageError, Unpredicted,
    predict_files,
};

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
    for path in &request.inputs {
        let is_pattern = path.to_string_lossy().contains(['*', '?', '[']);
        if !is_pattern && path.symlink_metadata().is_err() {
            return Err(AppError::Request(format!(
                "there is no file or folder `{}`",
                path.display()
            )));
        }
    }
    let located = request
        .models
        .iter()
        .map(|model| model.locate(ModelDuty::Predict));
    let located: Result<Vec<_>, AppError> = located.collect();
    let located = located?;
    for note in located.iter().filter_map(|model| model.note.clone()) {
        follower.monitor.info(note);
    }
    let models: Vec<PathBuf> = located.iter().map(|model| model.folder.clone()).collect();
    let scratch = std::env::temp_dir();
    let task = PredictionTask {
        models: &models,
        inputs: &request.inputs,
        relative: false,
        test_time_flip: request.test_time_flip,
        device: request.device,
        scratch: &scratch,
    };
    let mut writer = PredictionWriter::new(request.format, out);
    let predictions = predict_files(
        &task,
        request.threads,
        registry,
        &mut writer,
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
