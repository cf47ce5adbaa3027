//! A model, or several together, asked about samples from outside a dataset.

use std::path::PathBuf;
use std::sync::Arc;

use candle_core::Device;

use super::components::Components;
use super::error::TrainError;
use super::inference::{Inference, average, ordered, output_order, to_units};
use super::model_file::{Card, TrainedModel};
use super::tasks::{ModelTarget, PredictedColumn, PredictedValue, Task};
use super::tensor_file::input_tensor;
use crate::data::{
    ArrayValues, Collation, DataError, Example, PipelineOptions, SamplePipeline, UnlabelledSample,
};
use crate::models::Network;
use crate::ops::PackedWeights;
use crate::schema::Schema;
use crate::spec;

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

/// One of the models.
pub(super) struct EnsembleMember {
    pub card: Card,
    network: Network,
    weights: Arc<PackedWeights>,
    /// What it is shown.
    pub shown: Schema,
    pipeline: SamplePipeline,
    /// Which of its outputs each of the first model's is.
    order: Vec<usize>,
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
            let member = EnsembleMember::new(model, order).map_err(|problem| TrainError::CannotPredict {
                path: folder.clone(),
                problem,
            })?;
            if options.test_time_flip && !member.card.input.is_image() {
                let problem = "`test_time_flip` mirrors images, and the model is shown a table".to_owned();
                let path = folder.clone();
                return Err(TrainError::CannotPredict { path, problem });
            }
            members.push(member);
        }
        let Some(first) = members.first() else {
            return Err(TrainError::Ensemble("there is none".to_owned()));
        };
        let target = first.card.target.clone();
        let task = components.tasks.named(&target.task);
        let task = task.ok_or_else(|| TrainError::UnknownTask {
            task: target.task.clone(),
        })?;
        let trained = members.iter().map(|member| member.card.batch_size as usize);
        let batch_size = match first.card.input {
            input if input.is_image() => trained.min().unwrap_or(1),
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

    /// The values under [`Predictor::columns`] of a sample with these outputs.
    pub fn values(&self, outputs: &[f32]) -> Vec<PredictedValue<'_>> {
        self.task.predicted(outputs, &self.target.names)
    }

    /// The outputs for each of `samples`, in the targets' own units, or what is wrong with the sample: the others are
    /// answered all the same. The work is shared by the threads of the current pool.
    ///
    /// # Errors
    /// The models cannot be asked at all.
    pub fn predict(&self, samples: &[UnlabelledSample]) -> Result<Vec<Result<Vec<f32>, String>>, TrainError> {
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
    fn answer(&self, samples: &[&[Example]]) -> Result<Vec<Result<Vec<f32>, String>>, TrainError> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        match self.outputs(samples) {
            Ok(outputs) => {
                let rows = outputs.chunks_exact(self.target.outputs());
                let checked = rows.map(|row| {
                    if row.iter().all(|output| output.is_finite()) {
                        return Ok(row.to_vec());
                    }
                    Err(
                        "the model's output for it is not finite: the model or the sample is damaged"
                            .to_owned(),
                    )
                });
                Ok(checked.collect())
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

impl EnsembleMember {
    /// A model whose outputs have the order `order`. An error says why it cannot be asked.
    pub fn new(model: TrainedModel, order: Vec<usize>) -> Result<Self, String> {
        let TrainedModel { card, network, .. } = model;
        if card.text.is_some() {
            return Err(
                "it reads texts, about which `predict` does not ask: put them into a dataset and evaluate the model on that, \
                 with `metrics: [predictions]`"
                    .to_owned(),
            );
        }
        let Some(shown) = card.inputs.as_ref().map(Schema::inputs) else {
            return Err(
                "it was made by an Erlen that did not keep what a model is shown: train it again".to_owned(),
            );
        };
        let options = PipelineOptions {
            augment: card.transforms.iter().map(spec::Augment::from).collect(),
            normalization: card.normalization.clone(),
            target_scale: None,
            collation: Collation::default(),
        };
        let pipeline = SamplePipeline::new(&shown, options).map_err(|error| error.to_string())?;
        if pipeline.shape() != Some(card.input) {
            return Err("its card contradicts itself about what it is shown".to_owned());
        }
        Ok(Self {
            card,
            network,
            weights: Arc::default(),
            shown,
            pipeline,
            order,
        })
    }

    /// What the network is shown of a batch, row by row.
    pub fn rows(&self, examples: &[Example]) -> Result<Vec<f32>, TrainError> {
        let mut batch = self.pipeline.batch(examples)?;
        let array = self
            .pipeline
            .schema()
            .input()
            .and_then(|field| batch.take(&field.name));
        let Some(ArrayValues::F32(rows)) = array.map(|array| array.values) else {
            return Err(DataError::Options("the samples lack numbers to show the network".into()).into());
        };
        Ok(rows)
    }

    /// The outputs for the rows of a batch, as the network gives them.
    pub fn outputs(
        &self,
        rows: Vec<f32>,
        device: &Device,
        test_time_flip: bool,
    ) -> Result<Vec<f32>, TrainError> {
        let shape = self.card.input;
        let inference = Inference {
            network: &self.network,
            precision: self.card.precision,
            shape,
            device,
            weights: &self.weights,
        };
        let mirrored = test_time_flip.then(|| rows.clone());
        let samples = rows.len() / shape.len().max(1);
        let inputs = input_tensor(rows, samples, shape, device)?;
        inference.outputs(&inputs, mirrored)
    }
}
