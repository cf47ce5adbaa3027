//! The verdict of a model, or of several together, on every sample of a split.

use std::sync::Arc;

use candle_core::Device;

use super::error::TrainError;
use super::inference::{Inference, average, ordered, output_order, to_units};
use super::model_file::TrainedModel;
use super::staging::{Staged, stage};
use super::tasks::{ModelTarget, SplitTally, Task};
use crate::data::{Array, Collation, Dataset, Loader, LoaderConfig, Normalization, Split};
use crate::event::Monitor;
use crate::models::Network;
use crate::ops::PackedWeights;
use crate::schema::InputShape;
use crate::spec::{self, EvalTransform, Precision, SplitName};

/// A model that is judged, and how samples reach it.
#[derive(Debug)]
pub struct JudgedModel<'a> {
    /// The network.
    pub network: &'a Network,
    /// The samples, as the model knows them.
    pub split: Split,
    /// The arithmetic.
    pub precision: Precision,
    /// What is done to each channel (or column) first.
    pub normalization: Normalization,
    /// What is done to each image before that.
    pub transforms: Vec<EvalTransform>,
    /// The outputs.
    pub target: ModelTarget,
}

impl<'a> JudgedModel<'a> {
    /// A trained model, for a split as it knows it.
    pub fn of(model: &'a TrainedModel, split: Split) -> Self {
        Self {
            network: &model.network,
            split,
            precision: model.card.precision,
            normalization: model.card.normalization.clone(),
            transforms: model.card.transforms.clone(),
            target: model.card.target.clone(),
        }
    }
}

/// How a split is evaluated.
#[derive(Clone, Debug)]
pub struct Evaluation<'a> {
    /// What is predicted.
    pub task: &'a dyn Task,
    /// The loss that is reported; nothing where the task has one of its own.
    pub loss: Option<spec::Loss>,
    /// The metrics that are asked for: what only others need is not kept.
    pub metrics: Vec<&'a str>,
    /// Samples that are judged together.
    pub batch_size: usize,
    /// Whether the mean of the outputs for an image and its mirror image is judged.
    pub test_time_flip: bool,
    /// Where to compute.
    pub device: Device,
}

/// Judges every sample of a split in order, batch by batch, without a gradient graph. `each` hears
/// every sample's index and its outputs in the targets' own units. Samples of a class that the loss
/// ignores count in no figure.
///
/// Of several models the average is judged ([`Task::average`]), by the first one's split, and in a
/// regression by its scale of the targets.
///
/// Figures are made on the host, in f64 and sample by sample, so that they are the same bits whatever the
/// batch size: what is read is one batch's outputs at a time.
///
/// # Errors
/// There is no model, or they predict different things; a sample cannot be read, an output is not finite,
/// `each` fails, or the monitor asks to stop.
pub fn evaluate(
    models: &[JudgedModel<'_>],
    options: &Evaluation<'_>,
    monitor: &Monitor,
    mut each: impl FnMut(usize, &[f32]) -> Result<(), TrainError>,
) -> Result<SplitTally, TrainError> {
    let Some(first) = models.first() else {
        return Err(TrainError::Ensemble("there is none".to_owned()));
    };
    let (split, width) = (&first.split, first.target.outputs());
    let asked: Result<Vec<AskedModel>, TrainError> = models
        .iter()
        .map(|model| AskedModel::start(model, &first.target, options))
        .collect();
    let mut asked = asked?;
    let criterion = options
        .task
        .criterion(&first.target, options.loss.as_ref(), false)?;
    let mut tally = SplitTally::new(options.task.tally(width, &options.metrics));
    let mut index = 0;
    loop {
        // The last batch is quicker judged than undone.
        if index > 0 && index < split.len() && monitor.stopped() {
            return Err(TrainError::Interrupted);
        }
        let Some((mut outputs, targets)) = answers(&mut asked, &first.target, options)? else {
            break;
        };
        let losses = criterion.sample_losses(&outputs, &targets)?;
        to_units(&mut outputs, &first.target);
        for (outputs, loss) in outputs.chunks_exact(width).zip(losses) {
            if !tally.add(outputs, split, index, loss)? {
                return Err(TrainError::NonFiniteLogits {
                    index,
                    split: split.name().as_str(),
                });
            }
            each(index, outputs)?;
            index += 1;
        }
    }
    if index < split.len() {
        return Err(TrainError::Incomplete {
            what: "the evaluated split",
        });
    }
    if tally.counted() == 0 {
        return Err(TrainError::NothingToJudge {
            split: split.name().as_str(),
        });
    }
    Ok(tally)
}

/// A model that is asked for batch after batch.
struct AskedModel<'a> {
    model: &'a JudgedModel<'a>,
    batches: Box<dyn Iterator<Item = Result<Staged, TrainError>>>,
    shape: InputShape,
    weights: Arc<PackedWeights>,
    /// Which of its outputs each of the first model's is.
    order: Vec<usize>,
}

impl<'a> AskedModel<'a> {
    fn start(
        model: &'a JudgedModel<'a>,
        first: &ModelTarget,
        options: &Evaluation<'_>,
    ) -> Result<Self, TrainError> {
        let config = LoaderConfig {
            batch_size: options.batch_size,
            augment: model.transforms.iter().map(spec::Augment::from).collect(),
            normalization: model.normalization.clone(),
            target_scale: model.target.scale.clone(),
            collation: Collation::default(),
            shuffle: false,
            seed: 0,
            prefetch: 2,
        };
        let loader = Loader::new(model.split.clone(), config)?;
        let shape = loader.shape()?;
        Ok(Self {
            model,
            batches: stage(
                loader.epoch(0, 0),
                loader.schema(),
                &options.device,
                options.test_time_flip,
            ),
            shape,
            weights: Arc::default(),
            order: output_order(&model.target, first)?,
        })
    }

    /// The outputs for the next batch as the network gives them, and its targets.
    fn next(&mut self, device: &Device) -> Result<Option<(Vec<f32>, Array)>, TrainError> {
        let Some(batch) = self.batches.next().transpose()? else {
            return Ok(None);
        };
        let inference = Inference {
            network: self.model.network,
            precision: self.model.precision,
            shape: self.shape,
            device,
            weights: &self.weights,
        };
        let outputs = inference.outputs(&batch.inputs, batch.host)?;
        Ok(Some((outputs, batch.targets)))
    }
}

/// The outputs for the next batch of all models together, scaled as the first one's targets are, and these
/// targets.
fn answers(
    asked: &mut [AskedModel<'_>],
    first: &ModelTarget,
    options: &Evaluation<'_>,
) -> Result<Option<(Vec<f32>, Array)>, TrainError> {
    if let [only] = asked {
        return only.next(&options.device);
    }
    let (mut outputs, mut targets) = (Vec::with_capacity(asked.len()), None);
    for asked in asked {
        let Some((mut own, wanted)) = asked.next(&options.device)? else {
            return Ok(None);
        };
        to_units(&mut own, &asked.model.target);
        outputs.push(ordered(&own, &asked.order));
        targets.get_or_insert(wanted);
    }
    let mut together = average(options.task, &outputs, first.outputs());
    if let Some(scale) = &first.scale {
        together
            .chunks_exact_mut(first.outputs())
            .for_each(|row| scale.apply(row));
    }
    Ok(targets.map(|targets| (together, targets)))
}

/// A split that has samples.
///
/// # Errors
/// It is missing or empty; the message lists those that are not.
pub fn filled_split(dataset: &Dataset, name: SplitName) -> Result<Split, TrainError> {
    let filled = |name| dataset.split(name).filter(|split| !split.is_empty());
    filled(name).ok_or_else(|| {
        let known = SplitName::ALL.into_iter().filter_map(|name| {
            let count = filled(name)?.len();
            Some(format!("{} ({count})", name.as_str()))
        });
        let known: Vec<String> = known.collect();
        TrainError::EmptySplit {
            split: name.as_str(),
            available: if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            },
        }
    })
}
