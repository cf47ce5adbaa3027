//! A model, or several together, asked about samples from outside a dataset.

use std::path::PathBuf;

use candle_core::Device;
use rayon::prelude::*;

use super::components::Components;
use super::ensemble_member::EnsembleMember;
use super::error::TrainError;
use super::inference::{average, check_pixels, ordered, output_order, to_units};
use super::model_file::TrainedModel;
use super::tasks::{ModelTarget, PredictedColumn, PredictedMask, PredictedValue, Task};
use crate::data::{DataError, Example, ReadText, TextGoal, TextReader, UnlabelledSample};
use crate::schema::Schema;
use crate::spec::EvalTransform;

/// The values of a batch's inputs that rows of a table are put together to: few enough to stay in the caches,
/// many enough that a batch costs little beside its samples.
const ROW_VALUES: usize = 1 << 16;

/// Rows that are asked about together, at most.
const MOST_ROWS: usize = 1024;

/// A model, or several whose probabilities or numbers are averaged, that is loaded once and asked about any number of
/// samples.
///
/// On the CPU a sample gets the bits that an evaluation gives it, whatever it is asked about together with.
pub struct Predictor<'a> {
    task: &'a dyn Task,
    target: ModelTarget,
    members: Vec<EnsembleMember>,
    device: Device,
    test_time_flip: bool,
    batch_size: usize,
}

/// How a [`Predictor`] asks.
#[derive(Clone, Debug)]
pub struct PredictorOptions {
    /// Where to compute.
    pub device: Device,
    /// Whether the mean of the outputs for an image and its mirror image is given.
    pub test_time_flip: bool,
}

/// An answer that can be told.
fn finite(outputs: Vec<f32>, text: Option<ReadText>) -> Result<SampleAnswer, String> {
    match outputs.iter().all(|output| output.is_finite()) {
        true => Ok(SampleAnswer {
            outputs,
            text,
            size: None,
        }),
        false => {
            Err("the model's output for it is not finite: the model or the sample is damaged".to_owned())
        }
    }
}

/// What the models say of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleAnswer {
    /// The outputs, in the targets' own units; of words a row for each token, of pixels one for each pixel that the network is
    /// shown.
    pub outputs: Vec<f32>,
    /// The tokens, where it is a text.
    pub text: Option<ReadText>,
    /// Height and width of the image, before it was scaled, where there are outputs for each pixel.
    pub size: Option<[usize; 2]>,
}

impl<'a> Predictor<'a> {
    /// Loads the models in `folders`.
    ///
    /// # Errors
    /// There is none; one cannot be read, or does not say what it is shown; they predict different things; or the
    /// options do not fit them.
    pub fn load(
        folders: &[PathBuf],
        options: PredictorOptions,
        components: &'a Components,
    ) -> Result<Self, TrainError> {
        let mut members: Vec<EnsembleMember> = Vec::with_capacity(folders.len());
        for folder in folders {
            let model = TrainedModel::load(folder, &options.device, components)?;
            let wanted = members
                .first()
                .map_or(&model.card.target, |first| &first.card.target);
            let order = output_order(&model.card.target, wanted)?;
            let task = model.task(&components.tasks)?;
            let cannot = |problem: String| TrainError::CannotPredict {
                path: folder.clone(),
                problem,
            };
            let member = EnsembleMember::new(model, order, task, folder).map_err(cannot)?;
            if options.test_time_flip && !member.card.input.is_image() {
                let shown = if member.reader().is_some() {
                    "texts"
                } else {
                    "a table"
                };
                let problem = format!("`test_time_flip` mirrors images, and the model is shown {shown}");
                return Err(cannot(problem));
            }
            members.push(member);
        }
        let Some(first) = members.first() else {
            return Err(TrainError::Ensemble("there is none".to_owned()));
        };
        check_pixels(members.iter().map(EnsembleMember::network))?;
        if first.network().judges_pixels() {
            let crops = |transform: &EvalTransform| matches!(transform, EvalTransform::CenterCrop(_));
            if members
                .iter()
                .any(|member| member.card.transforms.iter().any(crops))
            {
                let problem = "its `eval_transforms` cut the middle out of images, and of the pixels around it says nothing: \
                               train it with `resize` alone, or on crops of images that are judged whole";
                return Err(TrainError::CannotPredict {
                    path: folders[0].clone(),
                    problem: problem.to_owned(),
                });
            }
        }
        let target = first.card.target.clone();
        let task = components.tasks.named(&target.task);
        let task = task.ok_or_else(|| TrainError::UnknownTask {
            task: target.task.clone(),
        })?;
        let alone = match task.text_goal() {
            TextGoal::Tokens => Some("models of the words of texts"),
            TextGoal::Pairs => Some("models of similarity"),
            TextGoal::NextToken | TextGoal::MaskedTokens | TextGoal::Samples => None,
        };
        if let Some(what) = alone.filter(|_| members.len() > 1) {
            return Err(TrainError::Ensemble(format!("{what} are asked one by one")));
        }
        let readers = members.iter().filter(|member| member.reader().is_some()).count();
        if readers > 0 && readers < members.len() {
            let problem = "some are shown texts, and others are not".to_owned();
            return Err(TrainError::Ensemble(problem));
        }
        let trained = members.iter().map(|member| member.card.batch_size as usize);
        let batch_size = match first.card.input {
            input if input.is_image() || readers > 0 => trained.min().unwrap_or(1).min(MOST_ROWS),
            input => (ROW_VALUES / input.len().max(1)).clamp(1, MOST_ROWS),
        };
        Ok(Self {
            task,
            target,
            members,
            device: options.device,
            test_time_flip: options.test_time_flip,
            batch_size: batch_size.max(1),
        })
    }

    /// What each of the models is shown.
    pub fn shown(&self) -> Vec<Schema> {
        self.members.iter().map(|member| member.shown.clone()).collect()
    }

    /// How many samples are best asked about together.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// What is told of each sample.
    pub fn columns(&self) -> Vec<PredictedColumn> {
        self.task.predicted_columns(&self.target.names)
    }

    /// The values under [`Predictor::columns`] of a sample of which the models say this.
    pub fn values(&self, answer: &SampleAnswer) -> Vec<PredictedValue<'_>> {
        let names = &self.target.names;
        if let Some(mask) = self.mask(answer) {
            return self.values_of_mask(&mask);
        }
        match &answer.text {
            Some(text) => self.task.predicted_of_text(&answer.outputs, names, text),
            None => self.task.predicted(&answer.outputs, names),
        }
    }

    /// Whether the models say something of each pixel of an image: [`Predictor::mask`].
    pub fn judges_pixels(&self) -> bool {
        self.members.iter().any(|member| member.network().judges_pixels())
    }

    /// The class of each pixel of the image of which the models say this, in the image's own size; nothing where they say
    /// something else.
    pub fn mask(&self, answer: &SampleAnswer) -> Option<PredictedMask> {
        let given = self.members.first()?.network().judged_pixels()?;
        let size = answer.size.unwrap_or(given);
        Some(PredictedMask::of(
            &answer.outputs,
            self.target.outputs(),
            given,
            size,
        ))
    }

    /// The values under [`Predictor::columns`] of a sample with this mask.
    pub fn values_of_mask(&self, mask: &PredictedMask) -> Vec<PredictedValue<'_>> {
        let counts = mask.counts(self.target.outputs()).into_iter();
        counts.map(|count| PredictedValue::Number(count as f64)).collect()
    }

    /// Height and width of the image that a sample is, where each of its pixels is judged.
    fn size_of(&self, sample: &[Example]) -> Option<[usize; 2]> {
        let member = self
            .members
            .first()
            .filter(|member| member.network().judges_pixels())?;
        sample.first()?.image_size(member.shown.input()?)
    }

    /// The most tokens of a text that the models are shown, where they are shown texts.
    pub fn most_tokens(&self) -> Option<usize> {
        let readers = self.members.iter().filter_map(EnsembleMember::reader);
        readers.map(TextReader::most).min()
    }

    /// What the models say of each of `samples`, or what is wrong with the sample: the others are
    /// answered all the same. The work is shared by the threads of the current pool.
    ///
    /// # Errors
    /// The models cannot be asked at all.
    pub fn predict(
        &self,
        samples: &[UnlabelledSample],
    ) -> Result<Vec<Result<SampleAnswer, String>>, TrainError> {
        let readable: Vec<&[Example]> = samples
            .iter()
            .filter_map(|sample| sample.examples.as_deref().ok())
            .collect();
        let mut answers = self.answer(&readable)?.into_iter();
        let all = samples.iter().map(|sample| match &sample.examples {
            Ok(_) => answers
                .next()
                .unwrap_or_else(|| Err("it was not answered".to_owned())),
            Err(problem) => Err(problem.clone()),
        });
        Ok(all.collect())
    }

    /// The answers for samples that could be read.
    fn answer(&self, samples: &[&[Example]]) -> Result<Vec<Result<SampleAnswer, String>>, TrainError> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        if self.members.iter().any(|member| member.reader().is_some()) {
            return self.answer_texts(samples);
        }
        match self.outputs(samples) {
            Ok(outputs) => {
                let rows = outputs.chunks_exact((outputs.len() / samples.len()).max(1));
                let answered = rows.zip(samples).map(|(row, sample)| {
                    let size = self.size_of(sample);
                    finite(row.to_vec(), None).map(|answer| SampleAnswer { size, ..answer })
                });
                Ok(answered.collect())
            }
            Err(TrainError::Data(DataError::Input { problem, .. })) if samples.len() == 1 => {
                Ok(vec![Err(problem)])
            }
            Err(TrainError::Data(error @ DataError::Dataset { .. })) if samples.len() == 1 => {
                Ok(vec![Err(error.to_string())])
            }
            // Some of them is at fault: each is asked about by itself.
            Err(TrainError::Data(DataError::Input { .. } | DataError::Dataset { .. })) => {
                let mut answers = Vec::with_capacity(samples.len());
                for sample in samples {
                    answers.extend(self.answer(std::slice::from_ref(sample))?);
                }
                Ok(answers)
            }
            Err(error) => Err(error),
        }
    }

    /// The answers for texts.
    fn answer_texts(&self, samples: &[&[Example]]) -> Result<Vec<Result<SampleAnswer, String>>, TrainError> {
        // Of each sample what each model is shown.
        let read: Vec<Result<Vec<ReadText>, String>> = samples
            .par_iter()
            .map(|examples| {
                let members = self.members.iter().zip(*examples);
                let read = members.map(|(member, example)| {
                    let texts = example.texts().zip(member.reader());
                    let ((text, pair), reader) = texts.ok_or_else(|| "it is no text".to_owned())?;
                    reader.read(text, pair)
                });
                read.collect()
            })
            .collect();
        let readable: Vec<&[ReadText]> = read.iter().filter_map(|read| read.as_deref().ok()).collect();
        let mut of_members = Vec::with_capacity(self.members.len());
        for (index, member) in self.members.iter().enumerate() {
            let texts: Vec<&ReadText> = readable.iter().filter_map(|texts| texts.get(index)).collect();
            let mut outputs = match texts.is_empty() {
                true => Vec::new(),
                false => member.text_outputs(&texts, &self.device)?,
            };
            outputs
                .iter_mut()
                .for_each(|own| to_units(own, &member.card.target));
            of_members.push(outputs);
        }
        let mut place = 0;
        let answers = read.into_iter().map(|read| {
            let texts = read?;
            let own: Vec<Vec<f32>> = of_members
                .iter()
                .filter_map(|outputs| outputs.get(place).cloned())
                .collect();
            place += 1;
            let outputs = match own.as_slice() {
                [only] => only.clone(),
                several => {
                    let pairs = several.iter().zip(&self.members);
                    let own: Vec<Vec<f32>> = pairs
                        .map(|(outputs, member)| ordered(outputs, &member.order))
                        .collect();
                    average(self.task, &own, self.target.outputs())
                }
            };
            finite(outputs, texts.into_iter().next())
        });
        Ok(answers.collect())
    }

    /// The outputs for a batch, `[N, outputs]`, in the targets' own units.
    fn outputs(&self, samples: &[&[Example]]) -> Result<Vec<f32>, TrainError> {
        let mut outputs = Vec::with_capacity(self.members.len());
        for (index, member) in self.members.iter().enumerate() {
            let examples: Vec<Example> = samples
                .iter()
                .filter_map(|examples| examples.get(index).cloned())
                .collect();
            let rows = member.rows(&examples)?;
            let mut own = member.outputs(rows, &self.device, self.test_time_flip)?;
            to_units(&mut own, &member.card.target);
            outputs.push(own);
        }
        if let [only] = &mut outputs[..] {
            return Ok(std::mem::take(only));
        }
        let ordered: Vec<Vec<f32>> = outputs
            .iter()
            .zip(&self.members)
            .map(|(outputs, member)| ordered(outputs, &member.order))
            .collect();
        Ok(average(self.task, &ordered, self.target.outputs()))
    }
}
