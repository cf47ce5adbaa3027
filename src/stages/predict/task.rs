//! Predictions for files, whoever asks for them.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use super::output::PredictionWriter;
use crate::data::{ArchiveUnpacker, UnlabelledInputs};
use crate::event::{Monitor, Unit};
use crate::spec::counted_that;
use crate::stages::download::unpack_archive;
use crate::train::{Components, DeviceChoice, Predictor, PredictorOptions, TrainError};

/// What is to be predicted, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct PredictionTask<'a> {
    /// The folders of the models; of several the average is given.
    pub models: &'a [PathBuf],
    /// Files, folders and archives that are gone through at any depth, and patterns.
    pub inputs: &'a [PathBuf],
    /// Whether samples are named from each of the inputs on, and not by the whole path.
    pub relative: bool,
    /// Whether the mean of the outputs for an image and its mirror image is given.
    pub test_time_flip: bool,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Where archives are unpacked for the time being.
    pub scratch: &'a Path,
}

/// How many samples were predicted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PredictionCounts {
    /// Those that have a row.
    pub predicted: u64,
    /// Those that could not be read.
    pub failed: u64,
}

/// A sample that cannot be predicted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpredicted {
    /// Where it comes from.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Display for Unpredicted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.name, self.problem)
    }
}

impl PredictionTask<'_> {
    /// Predicts for all samples, in their order, batch by batch, on the threads of the current pool. `refuse` hears of
    /// each one that cannot be read; the others are predicted for all the same, unless it fails.
    ///
    /// # Errors
    /// A model cannot be asked, there is no sample, the predictions cannot be written, `refuse` fails, or the monitor
    /// asks to stop.
    pub fn carry_out(
        &self,
        components: &Components,
        writer: &mut PredictionWriter<'_>,
        refuse: &mut dyn FnMut(&Unpredicted) -> Result<(), TrainError>,
        monitor: &Monitor,
    ) -> Result<PredictionCounts, TrainError> {
        let options = PredictorOptions {
            device: self.device.open()?,
            test_time_flip: self.test_time_flip,
        };
        let predictor = Predictor::load(self.models, options, components)?;
        let unpacking = monitor.clone();
        let inputs = UnlabelledInputs {
            paths: self.inputs,
            relative: self.relative,
            shown: predictor.shown(),
            unpacker: ArchiveUnpacker::new(self.scratch, move |archive, folder| {
                unpack_archive(archive, folder, &unpacking)
            }),
        };
        let mut source = inputs.open()?;
        writer.begin(&predictor.columns()).map_err(TrainError::Output)?;
        let mut predictions = PredictionCounts::default();
        let mut cut = 0;
        loop {
            let samples = source.next(predictor.batch_size())?;
            // Behind the reading: an archive whose unpacking was stopped is no damaged one.
            if monitor.stopped() {
                return Err(TrainError::Interrupted);
            }
            if samples.is_empty() {
                break;
            }
            let answers = predictor.predict(&samples)?;
            for (sample, answer) in samples.into_iter().zip(answers) {
                match answer {
                    Ok(answer) => {
                        cut += u64::from(answer.text.as_ref().is_some_and(|text| text.is_cut));
                        let values = predictor.values(&answer);
                        writer.row(&sample.name, &values).map_err(TrainError::Output)?;
                        predictions.predicted += 1;
                    }
                    Err(problem) => {
                        predictions.failed += 1;
                        refuse(&Unpredicted {
                            name: sample.name,
                            problem,
                        })?;
                    }
                }
            }
            monitor.progress("predict", predictions.predicted, None, Unit::Samples);
        }
        source.finish(monitor);
        if cut > 0 {
            monitor.warn(format!(
                "{} longer than the {} tokens that the model is shown, and of {} it is shown the beginning",
                counted_that(cut, "text", ["is", "are"]),
                predictor.most_tokens().unwrap_or_default(),
                if cut == 1 { "it" } else { "them" }
            ));
        }
        if predictions == PredictionCounts::default() {
            return Err(TrainError::NothingToPredictFor);
        }
        Ok(predictions)
    }
}
