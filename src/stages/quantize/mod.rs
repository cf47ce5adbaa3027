//! How the `quantize` kind runs.

use std::path::Path;

use candle_core::Device;

use super::{Job, Outcome, Registry, StageError, StageRunner, own_tokenizer};
use crate::data::{Dataset, SampleOrder, Split, TOKENIZER_FOLDER, TextGoal};
use crate::event::{MetricValue, Metrics, Monitor, Unit};
use crate::quantization::LayerNoise;
use crate::spec::{ArtifactTable, METRICS_FILE, QuantizationGate, Quantize, counted};
use crate::train::{
    self, Card, Components, CsvFile, Evaluation, JudgedModel, QuantizationOptions, TrainError, TrainedModel,
    WEIGHTS_FILE, filled_split, float_text, on_threads, quantize, write_quantized,
};

/// Layers that a failed gate names.
const WORST: usize = 5;
/// Standard errors on either side of a mean that hold it in 95 of 100 cases.
const CONFIDENCE: f64 = 1.959_963_984_540_054;

/// Quantizes the input `model` by samples of the input `calibrate`, and compares it with the model on the input `gate`.
///
/// The artifact: `model.safetensors` and `model.json` as `train` writes them, with the weights of quantized layers as
/// whole numbers beside their steps; `layers.csv`, what each layer loses; `metrics.json`.
impl StageRunner for Quantize {
    fn run(&self, job: &Job, registry: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        let metrics = on_threads(job.surroundings.threads, || {
            run(self, job, registry.training(), monitor)
        })?;
        Ok(Outcome { metrics })
    }
}

fn run(
    options: &Quantize,
    job: &Job,
    components: &Components,
    monitor: &Monitor,
) -> Result<Metrics, TrainError> {
    let folder = |role: &str| {
        job.input(role)
            .map_err(|error| TrainError::Quantization(error.to_string()))
    };
    let model = TrainedModel::load(folder("model")?, &Device::Cpu, components)?;
    if model.network.judges_pixels() {
        return Err(TrainError::Quantization(
            "models that judge pixels are not quantized yet: export it in f32, or in 16 bits (`onnx: {dtype: f16}`)".to_owned(),
        ));
    }
    let met = |role: &str, split| -> Result<Split, TrainError> {
        let meet = || {
            let dataset = Dataset::open(folder(role)?)?;
            let dataset = model.meet(&dataset, &components.tasks, &job.scratch, monitor)?;
            filled_split(&dataset, split)
        };
        meet().map_err(|error| match error {
            TrainError::Interrupted => error,
            error => TrainError::Quantization(format!("`{role}.data`: {error}")),
        })
    };
    if options.gate.is_some() {
        check_comparable(&model, components)?;
    }
    let samples = met("calibrate", options.calibrate.split)?;
    let how = QuantizationOptions {
        samples: options.calibrate.samples.get(),
        ranges: options.ranges.clone(),
        keep: options.keep.clone(),
    };
    let (mut quantized, noise) = quantize(&model, &samples, &how, components, monitor)?;
    write_layers(&job.output, &noise)?;
    if let Some(problem) = noisy_layers(&noise) {
        monitor.warn(problem);
    }
    let mut metrics = Metrics::new();
    if let Some(gate) = &options.gate {
        let split = met("gate", gate.split)?;
        let comparison = ModelComparison::of([&model, &quantized], &split, components, monitor)?;
        metrics = comparison.figures();
        if let Some(problem) = gate.failure(comparison.agreement.mean(), comparison.drop.mean()) {
            return Err(TrainError::Quantization(failure(
                gate,
                &problem,
                &comparison,
                &noise,
            )));
        }
        if let Some(quantization) = &mut quantized.card.quantization {
            quantization.gate = Some(metrics.clone());
        }
    }
    let bytes = write_quantized(&job.output, &quantized)?;
    // That of a folder of others is the one that its samples were read by.
    let places = [folder("model")?, folder("calibrate")?];
    let has_own = places[0].join(TOKENIZER_FOLDER).is_dir();
    own_tokenizer::take_over(places[usize::from(!has_own)], &job.output)?;
    let weights = model.weights()?;
    let of_tensors = weights.values().map(|tensor| tensor.bytes().len() as u64);
    // The whole file, as that of the quantized model.
    let file = std::fs::metadata(folder("model")?.join(WEIGHTS_FILE));
    let before = file.map_or_else(|_| of_tensors.sum(), |file| file.len());
    let count = |value: u64| MetricValue::from(value as f64);
    metrics.insert("quantized_layers".to_owned(), count(noise.len() as u64));
    metrics.insert("weight_bytes".to_owned(), count(bytes));
    metrics.insert("weight_bytes_f32".to_owned(), count(before));
    train::write_json(&job.output.join(METRICS_FILE), &metrics)?;
    Ok(metrics)
}

/// Fails where two of the model's kind cannot be compared sample by sample.
fn check_comparable(model: &TrainedModel, components: &Components) -> Result<(), TrainError> {
    match model.task(&components.tasks)?.text_goal() {
        TextGoal::Samples | TextGoal::Tokens => Ok(()),
        TextGoal::NextToken | TextGoal::MaskedTokens | TextGoal::Pairs => Err(not_comparable(&model.card)),
    }
}

fn not_comparable(card: &Card) -> TrainError {
    TrainError::Quantization(format!(
        "models of the task `{}` are not compared; leave `gate` out, and have `evaluate` judge both",
        card.target.task
    ))
}

/// A table with a line a layer, in the order of the network.
fn write_layers(folder: &Path, noise: &[LayerNoise]) -> Result<(), TrainError> {
    let mut file = CsvFile::create(folder, ArtifactTable::LAYERS, [])?;
    for layer in noise {
        let decibels = layer.decibels.map_or_else(String::new, float_text);
        file.row([layer.layer.clone(), layer.weights.to_string(), decibels])?;
    }
    file.finish()
}

/// What is told where the gate fails.
fn failure(
    gate: &QuantizationGate,
    problem: &str,
    comparison: &ModelComparison,
    noise: &[LayerNoise],
) -> String {
    let (told, worst) = (told_layers(noise), by_noise(noise));
    let advice = worst.first().map_or_else(String::new, |(layer, _)| {
        format!("; `keep: [\"{layer}\"]` leaves the first of them in f32")
    });
    format!(
        "the quantized model does not pass the gate on {} of `{}`: {problem}. The layers that lose most by their own rounding \
         (signal to noise) are {}{advice}; more `samples` or other `ranges` may do too",
        counted(comparison.agreement.count, "sample"),
        gate.split.as_str(),
        told,
    )
}

/// The layers that lose something by their own rounding, and the ratio of signal to noise of each in decibels, those that
/// lose most first.
fn by_noise(noise: &[LayerNoise]) -> Vec<(&str, f64)> {
    let lossy = noise
        .iter()
        .filter_map(|layer| Some((layer.layer.as_str(), layer.decibels?)));
    let mut worst: Vec<_> = lossy.collect();
    worst.sort_by(|one, other| one.1.total_cmp(&other.1));
    worst
}

/// The first of them, as they are told.
fn told_layers(noise: &[LayerNoise]) -> String {
    let worst = by_noise(noise).into_iter().take(WORST);
    let told: Vec<String> = worst
        .map(|(layer, decibels)| format!("`{layer}` ({decibels:.1} dB)"))
        .collect();
    told.join(", ")
}

/// What is told where layers drown in the noise of their own rounding, if any do.
fn noisy_layers(noise: &[LayerNoise]) -> Option<String> {
    /// Decibels under which the noise is a sixth of the signal and more.
    const LOUD: f64 = 15.0;
    let loud = |layer: &&LayerNoise| layer.decibels.is_some_and(|decibels| decibels < LOUD);
    let loud: Vec<LayerNoise> = noise.iter().filter(loud).cloned().collect();
    let count = match loud.len() {
        0 => return None,
        1 => "1 layer has".to_owned(),
        count => format!("{count} layers have"),
    };
    Some(format!(
        "{count} less than {LOUD:.0} dB of signal over the noise of their own rounding, which may ruin the answers: {}{}; \
         `keep: [{}]` leaves {} in f32 (layers.csv tells of all; `evaluate` judges the model)",
        told_layers(&loud),
        if loud.len() > WORST { " and others" } else { "" },
        by_noise(&loud)
            .iter()
            .take(WORST)
            .map(|(layer, _)| format!("\"{layer}\""))
            .collect::<Vec<_>>()
            .join(", "),
        if loud.len() == 1 { "it" } else { "them" },
    ))
}

/// A mean on its way, and its spread.
#[derive(Clone, Copy, Debug, Default)]
struct RunningMean {
    count: u64,
    sum: f64,
    /// The mean that the spread is counted from.
    center: f64,
    /// The sum of squared distances from the mean (Welford, 1962).
    spread: f64,
}

impl RunningMean {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        let distance = value - self.center;
        self.center += distance / self.count as f64;
        self.spread += distance * (value - self.center);
    }

    /// Of whole numbers, the one that a division gives: a gate may ask for just that.
    fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    /// The standard error of the mean.
    fn error(&self) -> f64 {
        let count = self.count as f64;
        (self.spread / (count - 1.0).max(1.0) / count.max(1.0)).sqrt()
    }
}

/// Hears the outputs for each sample.
type EachOutputs<'a> = dyn FnMut(usize, &[f32]) -> Result<(), TrainError> + 'a;

/// Two models on the same samples.
#[derive(Debug, Default)]
struct ModelComparison {
    agreement: RunningMean,
    scores: [RunningMean; 2],
    /// Of the first model's score less the second one's, sample by sample.
    drop: RunningMean,
}

impl ModelComparison {
    /// Of a model and the quantized one.
    fn of(
        models: [&TrainedModel; 2],
        split: &Split,
        components: &Components,
        monitor: &Monitor,
    ) -> Result<Self, TrainError> {
        let [first, _] = models;
        let task = first.task(&components.tasks)?;
        let evaluation = Evaluation {
            task,
            loss: first.card.reported_loss.clone(),
            metrics: Vec::new(),
            batch_size: first.card.batch_size as usize,
            order: SampleOrder::Given,
            test_time_flip: false,
            device: Device::Cpu,
        };
        let loss = first.card.reported_loss.as_ref();
        let criterion = task.criterion(&first.card.target, loss, false)?;
        let mut outputs: Vec<Vec<f32>> = Vec::new();
        let judge = |model: &TrainedModel, each: &mut EachOutputs<'_>| {
            let judged = [JudgedModel::of(model, split.clone())];
            let each = |index: usize, total: u64, outputs: &[f32]| {
                let done = index as u64 + 1;
                if done.is_multiple_of(256) || done == total {
                    monitor.progress("compare", done, Some(total), Unit::Samples);
                }
                each(index, outputs)
            };
            train::evaluate(&judged, &evaluation, monitor, each).map(drop)
        };
        judge(first, &mut |_, values| {
            outputs.push(values.to_vec());
            Ok(())
        })?;
        let mut comparison = Self::default();
        judge(models[1], &mut |index, values| {
            // Samples of a class that the loss ignores count in no figure.
            if u32::try_from(index).is_ok_and(|sample| criterion.weight_of(split, &[sample]) <= 0.0) {
                return Ok(());
            }
            let target = &first.card.target;
            let compared = task.compare([&outputs[index], values], split, index, target)?;
            let compared = compared.ok_or_else(|| not_comparable(&first.card))?;
            comparison.agreement.add(compared.agreement);
            let [before, after] = compared.scores;
            comparison.scores[0].add(before);
            comparison.scores[1].add(after);
            comparison.drop.add(before - after);
            Ok(())
        })?;
        Ok(comparison)
    }

    fn figures(&self) -> Metrics {
        let (drop, error) = (self.drop.mean(), CONFIDENCE * self.drop.error());
        [
            ("agreement", self.agreement.mean()),
            ("score", self.scores[1].mean()),
            ("score_f32", self.scores[0].mean()),
            ("score_drop", drop),
            ("score_drop_low", drop - error),
            ("score_drop_high", drop + error),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), MetricValue::from(value)))
        .collect()
    }
}

#[cfg(test)]
mod tests;
