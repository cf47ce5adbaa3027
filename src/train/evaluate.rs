//! The verdict of a model, or of several together, on every sample of a split.

use std::sync::Arc;

use candle_core::Device;

use super::error::TrainError;
use super::feed::{Feed, SampleFeed, StagedBatches, TextFeed, TextReading};
use super::inference::{Inference, KeptPasses, average, check_pixels, ordered, output_order, to_units};
use super::model_file::TrainedModel;
use super::tasks::{Criterion, JudgedOutputs, ModelTarget, SplitTally, Task};
use crate::data::{
    Array, Collation, Dataset, LoaderConfig, Normalization, RowRule, SampleOrder, Split, TextGoal,
    TextLoaderConfig,
};
use crate::event::Monitor;
use crate::models::{Network, NetworkInput};
use crate::schema::InputShape;
use crate::spec::{
    self, EvalTransform, EvaluationMetric, MetricDetail, PerplexityOptions, Precision, SplitName,
};

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
    /// How texts reach it, where samples are texts.
    pub text: Option<TextReading>,
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
            text: model.card.text,
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
    pub metrics: Vec<EvaluationMetric>,
    /// Samples that are judged together.
    pub batch_size: usize,
    /// Which samples are judged; of language models, which rows.
    pub order: SampleOrder,
    /// Whether the mean of the outputs for an image and its mirror image is judged.
    pub test_time_flip: bool,
    /// Where to compute.
    pub device: Device,
}

/// Judges the samples of a split in order, batch by batch, without a gradient graph. `each` hears
/// every judged sample's index, how many there are, and its outputs in the targets' own units. Samples of a class that the
/// loss ignores count in no figure. Of language models the samples are rows of texts, as the model reads them or
/// [`PerplexityOptions`](spec::PerplexityOptions) say.
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
    mut each: impl FnMut(usize, u64, &[f32]) -> Result<(), TrainError>,
) -> Result<SplitTally, TrainError> {
    let Some(first) = models.first() else {
        return Err(TrainError::Ensemble("there is none".to_owned()));
    };
    let alone = match options.task.text_goal() {
        TextGoal::NextToken | TextGoal::MaskedTokens => Some("language models"),
        TextGoal::Pairs => Some("models of similarity"),
        TextGoal::Tokens | TextGoal::Samples => None,
    };
    if let Some(what) = alone.filter(|_| models.len() > 1) {
        return Err(TrainError::Ensemble(format!("{what} are judged one by one")));
    }
    check_pixels(models.iter().map(|model| model.network))?;
    let split = &first.split;
    let criterion = options
        .task
        .criterion(&first.target, options.loss.as_ref(), false)?;
    let asked: Result<Vec<AskedModel>, TrainError> = models
        .iter()
        .map(|model| AskedModel::start(model, &first.target, options))
        .collect();
    let mut asked = asked?;
    let order = asked
        .first()
        .map_or_else(Arc::default, |asked| Arc::clone(&asked.order_of_pass));
    let total = order.len() as u64;
    let outputs = first.target.outputs();
    let mut tally = SplitTally::new(options.task.tally(outputs, &options.metrics));
    let mut index = 0;
    loop {
        // The last batch is quicker judged than undone.
        if index > 0 && (index as u64) < total && monitor.stopped() {
            return Err(TrainError::Interrupted);
        }
        let Some(mut batch) = answers(&mut asked, &first.target, options, &*criterion)? else {
            break;
        };
        let losses = match batch.outputs.losses.take() {
            Some(losses) => losses,
            None => criterion.sample_losses(&batch.outputs.values, &batch.targets)?,
        };
        let mut values = batch.outputs.values;
        to_units(&mut values, &first.target);
        let width = values.len() / losses.len().max(1);
        let mut start = 0;
        for (place, end) in batch.ends.into_iter().enumerate() {
            let outputs = &values[start * width..end * width];
            let (mut loss, mut weight) = (0.0, 0.0);
            for (own, counts) in &losses[start..end] {
                loss += own;
                weight += counts;
            }
            start = end;
            let sample = order.get(index).map_or(index, |sample| *sample as usize);
            let served = (&batch.targets, place);
            if !tally.add(outputs, served, split, sample, (loss, weight))? {
                return Err(TrainError::NonFiniteLogits {
                    index: sample,
                    split: split.name().as_str(),
                });
            }
            each(sample, total, outputs)?;
            index += 1;
        }
    }
    if (index as u64) < total {
        return Err(TrainError::Incomplete {
            what: "the evaluated split",
        });
    }
    if tally.counted() == 0 {
        return Err(TrainError::NothingToJudge {
            split: split.name().as_str(),
        });
    }
    // Only the figures of next tokens compare with something of the whole split.
    let is_part = matches!(options.order, SampleOrder::Spread(_));
    if is_part && options.task.text_goal() == TextGoal::NextToken {
        let whole = first.feed(&Evaluation {
            order: SampleOrder::Given,
            ..options.clone()
        })?;
        if whole.samples() > total {
            tally.add_rest(whole.weight(&*criterion, 0, 0..whole.batches())?);
        }
    }
    Ok(tally)
}

/// A batch that was asked about.
struct AnsweredBatch {
    /// The outputs of all models together, scaled as the first one's targets are.
    outputs: JudgedOutputs,
    targets: Array,
    /// Where the rows of outputs of each sample end.
    ends: Vec<usize>,
}

/// A model that is asked for batch after batch.
struct AskedModel<'a> {
    model: &'a JudgedModel<'a>,
    batches: StagedBatches,
    /// The samples that are judged, in order.
    order_of_pass: Arc<Vec<u32>>,
    shape: InputShape,
    kept: KeptPasses,
    /// Which of its outputs each of the first model's is.
    order: Vec<usize>,
}

impl<'a> AskedModel<'a> {
    fn start(
        model: &'a JudgedModel<'a>,
        first: &ModelTarget,
        options: &Evaluation<'_>,
    ) -> Result<Self, TrainError> {
        let feed = model.feed(options)?;
        Ok(Self {
            model,
            batches: feed.serve(0, 0, &options.device, options.test_time_flip),
            order_of_pass: feed.order(0),
            shape: feed.input(),
            kept: KeptPasses::default(),
            order: output_order(&model.target, first)?,
        })
    }

    /// What the network gives for the next batch, and its targets.
    fn next(
        &mut self,
        device: &Device,
        criterion: &dyn Criterion,
    ) -> Result<Option<AnsweredBatch>, TrainError> {
        let Some(batch) = self.batches.next().transpose()? else {
            return Ok(None);
        };
        let precision = self.model.precision;
        let inference = Inference {
            network: self.model.network,
            precision,
            shape: self.shape,
            device,
            kept: &self.kept,
        };
        let outputs = match &batch.inputs {
            NetworkInput::Values(values) => JudgedOutputs {
                values: inference.outputs(values, batch.host)?,
                losses: None,
            },
            tokens @ NetworkInput::Tokens(_) => {
                criterion.judged(&inference.answer(tokens)?, &batch.targets, precision)?
            }
        };
        let ends = batch.ends.unwrap_or_else(|| (1..=batch.samples).collect());
        Ok(Some(AnsweredBatch {
            outputs,
            targets: batch.targets,
            ends,
        }))
    }
}

impl JudgedModel<'_> {
    /// What the network is shown of the samples in `order`, in batches, on the host.
    pub(super) fn inputs(
        &self,
        task: &dyn Task,
        batch_size: usize,
        order: SampleOrder,
    ) -> Result<StagedBatches, TrainError> {
        let feed = self.feed(&Evaluation {
            task,
            loss: None,
            metrics: Vec::new(),
            batch_size,
            order,
            test_time_flip: false,
            device: Device::Cpu,
        })?;
        Ok(feed.serve(0, 0, &Device::Cpu, false))
    }

    /// The samples in order.
    pub(super) fn feed(&self, options: &Evaluation<'_>) -> Result<Feed, TrainError> {
        if let Some(text) = &self.text {
            let windows = options.metrics.iter().find_map(|metric| match metric.options() {
                MetricDetail::Perplexity(windows) => Some(windows),
                _ => None,
            });
            let goal = options.task.text_goal();
            let rows = match windows.filter(|_| goal == TextGoal::NextToken) {
                Some(PerplexityOptions { window, stride }) => RowRule::Strided {
                    window: window.get().into(),
                    stride: stride.unwrap_or(window).get().into(),
                    documents: text.documents,
                },
                None => text.rows(),
            };
            let config = TextLoaderConfig {
                rows,
                goal,
                batch_size: options.batch_size,
                batch_tokens: match windows {
                    Some(_) => None,
                    None => text.batch_tokens.map(u64::from),
                },
                order: options.order,
                seed: 0,
                target_scale: self.target.scale.clone(),
            };
            return Ok(Feed::Texts(TextFeed::new(&self.split, config, false)?));
        }
        let config = LoaderConfig {
            batch_size: options.batch_size,
            augment: self.transforms.iter().map(spec::Augment::from).collect(),
            normalization: self.normalization.clone(),
            target_scale: self.target.scale.clone(),
            collation: Collation::default(),
            order: options.order,
            seed: 0,
            prefetch: 2,
        };
        Ok(Feed::Samples(SampleFeed::new(self.split.clone(), config, false)?))
    }
}

/// The outputs for the next batch of all models together, scaled as the first one's targets are, and these
/// targets.
fn answers(
    asked: &mut [AskedModel<'_>],
    first: &ModelTarget,
    options: &Evaluation<'_>,
    criterion: &dyn Criterion,
) -> Result<Option<AnsweredBatch>, TrainError> {
    if let [only] = asked {
        return only.next(&options.device, criterion);
    }
    let (mut outputs, mut batch) = (Vec::with_capacity(asked.len()), None);
    for asked in asked {
        let Some(mut own) = asked.next(&options.device, criterion)? else {
            return Ok(None);
        };
        let mut values = std::mem::take(&mut own.outputs.values);
        to_units(&mut values, &asked.model.target);
        outputs.push(ordered(&values, &asked.order));
        batch.get_or_insert(own);
    }
    let mut together = average(options.task, &outputs, first.outputs());
    if let Some(scale) = &first.scale {
        together
            .chunks_exact_mut(first.outputs())
            .for_each(|row| scale.apply(row));
    }
    Ok(batch.map(|batch| AnsweredBatch {
        outputs: JudgedOutputs {
            values: together,
            losses: None,
        },
        ..batch
    }))
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
