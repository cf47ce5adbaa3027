//! Predictions for files, whoever asks for them.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mask_files::MaskFiles;
use super::output::PredictionWriter;
use crate::data::{ArchiveUnpacker, UnlabelledInputs, UnlabelledSample, UnlabelledSource};
use crate::event::{Monitor, Unit};
use crate::metric::grouped;
use crate::train::{
    Components, DeviceChoice, MASK, PredictedColumn, PredictedKind, PredictedValue, Predictor,
    PredictorOptions, TrainError,
};

/// What is to be predicted, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct PredictionTask<'a> {
    /// The folders of the models; of several the average is given.
    pub models: &'a [PathBuf],
    /// Files, folders and archives that are gone through at any depth, and patterns.
    pub inputs: &'a [PathBuf],
    /// Whether samples are named from each of the inputs on, and not by the whole path.
    pub relative: bool,
    /// The folder that masks are written into, where models say something of each pixel.
    pub masks: Option<&'a Path>,
    /// Whether the mean of the outputs for an image and its mirror image is given.
    pub test_time_flip: bool,
    /// Where to compute.
    pub device: DeviceChoice,
    /// How archives are unpacked.
    pub unpacker: &'a ArchiveUnpacker,
}

/// How many samples were predicted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionCounts {
    /// Those that have a row.
    pub predicted: u64,
    /// Those that could not be read.
    pub failed: u64,
}

impl PredictionCounts {
    /// All of them.
    pub fn samples(&self) -> u64 {
        self.predicted + self.failed
    }

    /// What is told at the end: `1,234 samples predicted, 2 could not be read`.
    pub fn told(&self) -> String {
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {} could not be read", grouped(failed)),
        };
        format!("{} predicted{failed}", counted_samples(self.predicted))
    }
}

/// `1 sample`, `1,234 samples`.
pub fn counted_samples(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} sample{plural}", grouped(count))
}

/// How far a prediction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionProgress {
    /// The samples that are done, the first ones in their order.
    pub counts: PredictionCounts,
    /// Those of them that were too long and cut.
    pub cut: u64,
}

/// Where a prediction goes on, and who keeps how far it is.
pub struct PredictionKeeping<'a> {
    /// How far it is: the rows of these samples stand in front of what is written now.
    pub begun: PredictionProgress,
    /// Hears how far it is when all rows so far have been handed on.
    pub keep: &'a mut (dyn FnMut(PredictionProgress) -> io::Result<()> + Send),
}

/// A sample that cannot be predicted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// each one that cannot be read; the others are predicted for all the same, unless it fails. With `keeping` it goes on
    /// behind the samples that are done: what it writes is what stands behind their rows when it is done at once.
    ///
    /// # Errors
    /// A model cannot be asked, there is no sample, the predictions cannot be written, `refuse` fails, or the monitor
    /// asks to stop.
    pub fn carry_out(
        &self,
        components: &Components,
        writer: &mut PredictionWriter<'_>,
        mut keeping: Option<PredictionKeeping<'_>>,
        refuse: &mut dyn FnMut(&Unpredicted) -> Result<(), TrainError>,
        monitor: &Monitor,
    ) -> Result<PredictionCounts, TrainError> {
        let options = PredictorOptions {
            device: self.device.open()?,
            test_time_flip: self.test_time_flip,
        };
        let predictor = Predictor::load(self.models, options, components)?;
        let inputs = UnlabelledInputs {
            paths: self.inputs,
            relative: self.relative,
            shown: predictor.shown(),
            unpacker: self.unpacker.clone(),
        };
        let mut source = inputs.open()?;
        let mut progress = keeping.as_ref().map(|keeping| keeping.begun).unwrap_or_default();
        let mut masks = self.mask_files(&predictor)?;
        let mut columns = predictor.columns();
        if masks.is_some() {
            columns.insert(0, PredictedColumn::single(MASK, PredictedKind::Name));
        }
        let begun = match progress.counts.samples() {
            0 => writer.begin(&columns),
            _ => writer.go_on(&columns),
        };
        begun.map_err(TrainError::Output)?;
        let mut next = behind(
            progress.counts.samples(),
            &mut *source,
            predictor.batch_size(),
            monitor,
        )?;
        loop {
            let samples = match std::mem::take(&mut next) {
                samples if samples.is_empty() => source.next(predictor.batch_size())?,
                samples => samples,
            };
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
                        progress.cut += u64::from(answer.text.as_ref().is_some_and(|text| text.is_cut));
                        let mask = masks.as_mut().zip(predictor.mask(&answer));
                        let row = match mask {
                            None => writer.row(&sample.name, &predictor.values(&answer)),
                            Some((files, mask)) => {
                                let file = files.write(&sample.name, &mask)?;
                                let mut values = vec![PredictedValue::Name(&file)];
                                values.extend(predictor.values_of_mask(&mask));
                                writer.row(&sample.name, &values)
                            }
                        };
                        row.map_err(TrainError::Output)?;
                        progress.counts.predicted += 1;
                    }
                    Err(problem) => {
                        progress.counts.failed += 1;
                        refuse(&Unpredicted {
                            name: sample.name,
                            problem,
                        })?;
                    }
                }
            }
            if let Some(keeping) = &mut keeping {
                writer
                    .flush()
                    .and_then(|()| (keeping.keep)(progress))
                    .map_err(TrainError::Output)?;
            }
            monitor.progress("predict", progress.counts.predicted, None, Unit::Samples);
        }
        let PredictionProgress {
            counts: predictions,
            cut,
        } = progress;
        source.finish(monitor);
        if cut > 0 {
            monitor.warn(format!(
                "{} {} longer than the {} tokens that the model is shown, and of {} it is shown the beginning",
                grouped(cut),
                if cut == 1 { "text is" } else { "texts are" },
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

impl<'a> PredictionTask<'a> {
    /// Where masks go, where models say something of each pixel.
    fn mask_files(&self, predictor: &Predictor<'_>) -> Result<Option<MaskFiles<'a>>, TrainError> {
        if !predictor.judges_pixels() {
            return Ok(None);
        }
        match self.masks {
            Some(folder) if cfg!(feature = "full") => Ok(Some(MaskFiles::new(folder))),
            _ => Err(TrainError::CannotPredict {
                path: self.models.first().cloned().unwrap_or_default(),
                problem: "it says something of each pixel, and masks are files: `erlen predict` with `--output rows.csv` writes \
                          them into a folder beside the rows"
                    .to_owned(),
            }),
        }
    }
}

/// Goes behind the first `done` samples of `source`; gives those that were read beyond them.
fn behind(
    done: u64,
    source: &mut dyn UnlabelledSource,
    batch_size: usize,
    monitor: &Monitor,
) -> Result<Vec<UnlabelledSample>, TrainError> {
    let mut left = done;
    while left > 0 {
        let most = usize::try_from(left).map_or(batch_size, |left| left.min(batch_size));
        let mut samples = source.next(most)?;
        if monitor.stopped() {
            return Err(TrainError::Interrupted);
        }
        if samples.is_empty() {
            let problem = format!("there are fewer samples than the {done} that were predicted for before");
            return Err(TrainError::Output(io::Error::other(problem)));
        }
        let passed = usize::try_from(left).map_or(samples.len(), |left| left.min(samples.len()));
        left -= passed as u64;
        if passed < samples.len() {
            return Ok(samples.split_off(passed));
        }
    }
    Ok(Vec::new())
}
