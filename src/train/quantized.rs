//! Quantized models: made of trained ones, written, and read back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use indexmap::IndexMap;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::components::Components;
use super::error::TrainError;
use super::evaluate::JudgedModel;
use super::model_file::{CARD_FILE, Card, TrainedModel, WEIGHTS_FILE, write_json, write_weights};
use super::tasks::Task;
use super::tensor_file::{HostTensor, NamedTensors};
use crate::data::{SampleOrder, Split};
use crate::event::{Metrics, Monitor, Unit};
use crate::models::{Network, NetworkInput, TensorLayout};
use crate::ops::{Affine, ByteWeight};
use crate::quantization::{
    Calibrator, LayerNoise, QuantizationError, QuantizedLayer, QuantizedModel, QuantizedNetwork,
};
use crate::spec::{Precision, RangeRule};

/// What a card says of how the model was quantized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardQuantization {
    /// How far bytes reach.
    pub ranges: RangeRule,
    /// Samples that it was calibrated with.
    pub samples: u64,
    /// Layers that were left as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// The tensors that stand as bytes: a byte `b` is `(b - zero_point) * scale`.
    pub tensors: IndexMap<String, Affine>,
    /// How it compares with the model that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Metrics>,
}

/// How a model is quantized.
#[derive(Clone, Debug)]
pub struct QuantizationOptions {
    /// How many samples of the split to calibrate with, spread evenly over it.
    pub samples: u32,
    /// How far bytes reach.
    pub ranges: RangeRule,
    /// Layers that stay as they are.
    pub keep: Vec<String>,
}

/// Samples by which the noise of layers is measured, at most.
const NOISE_SAMPLES: usize = 64;
/// Tokens of a row that documents are packed into, at most: models of others take thousands, and a row as long as that
/// tells little more for many times the work.
const ROW_TOKENS: u32 = 512;

/// `model` with its layers quantized by the samples of `split`, and what each layer loses by that.
///
/// # Errors
/// A model that is quantized already, layers that are not there, or a sample that cannot be read.
pub fn quantize(
    model: &TrainedModel,
    split: &Split,
    options: &QuantizationOptions,
    components: &Components,
    monitor: &Monitor,
) -> Result<(TrainedModel, Vec<LayerNoise>), TrainError> {
    if model.quantized.is_some() {
        let problem = "the model is quantized already: quantize the model that it was made from";
        return Err(TrainError::Quantization(problem.to_owned()));
    }
    let task = model.task(&components.tasks)?;
    let network = match model.card.lora {
        None => None,
        Some(_) => Some(model.merged(&components.models)?),
    };
    let network = network.as_ref().unwrap_or(&model.network);
    let mut calibration = Calibrator::new(network, &options.keep)?;
    for layer in calibration.too_large() {
        monitor.warn(format!(
            "`{layer}` sums up more than {} products, more than 32 bits hold, and stays in f32",
            ByteWeight::MOST_PRODUCTS
        ));
    }
    let total = SampleOrder::Spread(options.samples).len(split.len()) as u64;
    let passes = match options.ranges {
        RangeRule::MinMax => 1,
        _ => 2,
    };
    let mut seen = 0;
    for pass in 0..passes {
        let batches = Batches { model, split, task };
        batches.each(options.samples, |batch| {
            if monitor.stopped() {
                return Err(TrainError::Interrupted);
            }
            match pass {
                0 => calibration.limit(batch)?,
                _ => calibration.count(batch)?,
            }
            seen += batch.samples() as u64;
            monitor.progress("calibrate", seen, Some(total * passes), Unit::Samples);
            Ok(true)
        })?;
    }
    let made = calibration.model(&options.ranges)?;
    let mut shown = Vec::new();
    let batches = Batches { model, split, task };
    batches.each(options.samples.min(NOISE_SAMPLES as u32), |batch| {
        shown.push(batch.clone());
        Ok(true)
    })?;
    let noise = calibration.noise(&made, &shown)?;
    let card = Card {
        card_version: Card::QUANTIZED,
        quantization: Some(CardQuantization {
            ranges: options.ranges.clone(),
            samples: total,
            keep: options.keep.clone(),
            tensors: made.tensors.clone(),
            gate: None,
        }),
        lora: None,
        // What is not of bytes is computed in f32, however the model was trained.
        precision: Precision::F32,
        ..model.card.clone()
    };
    let quantized = Arc::new(QuantizedNetwork::new(network, made, &options.keep)?);
    let quantized = TrainedModel {
        card,
        network: Arc::clone(&quantized).into_network(network, false)?,
        quantized: Some(quantized),
    };
    Ok((quantized, noise))
}

/// Samples of a split as a model is shown them.
struct Batches<'a> {
    model: &'a TrainedModel,
    split: &'a Split,
    task: &'a dyn Task,
}

impl Batches<'_> {
    /// Gives each batch of `samples` samples, spread evenly over the split, until `each` says no.
    fn each(
        &self,
        samples: u32,
        mut each: impl FnMut(&NetworkInput) -> Result<bool, TrainError>,
    ) -> Result<(), TrainError> {
        let mut judged = JudgedModel::of(self.model, self.split.clone());
        if let Some(text) = &mut judged.text {
            text.length = text.length.map(|length| length.min(ROW_TOKENS));
        }
        let order = SampleOrder::Spread(samples);
        let batches = judged.inputs(self.task, self.model.card.batch_size as usize, order)?;
        for batch in batches {
            if !each(&batch?.inputs)? {
                break;
            }
        }
        Ok(())
    }
}

/// Writes a quantized model into `folder`; gives the bytes of its weights.
///
/// # Errors
/// A file cannot be written.
pub fn write_quantized(folder: &Path, model: &TrainedModel) -> Result<u64, TrainError> {
    let Some(quantized) = &model.quantized else {
        return Err(TrainError::Quantization("the model is not quantized".to_owned()));
    };
    let mut tensors = NamedTensors::new();
    for (name, tensor) in quantized.own_weights() {
        tensors.insert(name.clone(), HostTensor::from_tensor(tensor)?);
    }
    for layer in quantized.model().layers.values() {
        let name = |part: &str| format!("{}{part}", layer.prefix);
        let bytes = layer.weight.values.iter().map(|&value| value as u8).collect();
        let weight = HostTensor::new(Dtype::I8, layer.weight.dims.clone(), bytes);
        let numbers = |values: &[f32]| HostTensor::from_f32(vec![values.len()], values);
        tensors.insert(name("weight"), weight);
        tensors.insert(name(SCALE), numbers(&layer.weight.scales));
        tensors.insert(name("bias"), numbers(&layer.bias));
    }
    write_weights(folder, &tensors)?;
    write_json(&folder.join(CARD_FILE), &model.card)?;
    let path = folder.join(WEIGHTS_FILE);
    let written = std::fs::metadata(&path).map_err(|source| TrainError::Read { path, source })?;
    Ok(written.len())
}

/// What the name of a quantized weight's steps ends in.
const SCALE: &str = "weight_scale";

/// The quantized network of `card`, whose weights are `tensors`, in the architecture of `blank`, which gets those that
/// are not quantized.
///
/// # Errors
/// A sentence: the tensors are not those of the network.
pub(super) fn read_quantized(
    card: &Card,
    quantization: &CardQuantization,
    blank: &Network,
    tensors: NamedTensors,
) -> Result<Arc<QuantizedNetwork>, String> {
    let mut layers = IndexMap::new();
    let prefixes = tensors.keys().filter_map(|name| name.strip_suffix(SCALE));
    let prefixes: Vec<String> = prefixes.map(str::to_owned).collect();
    let mut own = tensors;
    for prefix in &prefixes {
        let mut take = |part: &str| {
            let name = format!("{prefix}{part}");
            own.remove(&name)
                .ok_or_else(|| format!("the tensor `{name}` is missing"))
        };
        let (weight, scales, bias) = (take("weight")?, take(SCALE)?, take("bias")?);
        if weight.dtype() != Dtype::I8 || weight.shape().len() < 2 {
            return Err(format!("`{prefix}weight` is not a weight of bytes"));
        }
        let numbers = |part: &str, tensor: &HostTensor| {
            tensor
                .to_f32()
                .map_err(|problem| format!("`{prefix}{part}`: {problem}"))
        };
        let layer = QuantizedLayer {
            prefix: prefix.clone(),
            weight: ByteWeight {
                values: weight.bytes().iter().map(|&byte| byte as i8).collect(),
                dims: weight.shape().to_vec(),
                scales: numbers(SCALE, &scales)?,
            },
            bias: numbers("bias", &bias)?,
        };
        layers.insert(prefix.trim_end_matches(['.', '_']).to_owned(), layer);
    }
    if let Some((name, _)) = own.iter().find(|(_, tensor)| tensor.dtype() == Dtype::I8) {
        let prefix = name.trim_end_matches("weight");
        return Err(format!(
            "`{name}` holds whole numbers, and their steps, `{prefix}{SCALE}`, are missing"
        ));
    }
    let known = blank.layout().tensors;
    let mut given = BTreeMap::new();
    for (name, tensor) in &own {
        let layout = TensorLayout {
            shape: tensor.shape().to_vec(),
            is_integer: tensor.dtype() == Dtype::I64,
        };
        match known.get(name) {
            Some(known) if *known == layout => given.insert(name.clone(), layout),
            Some(known) => {
                return Err(format!(
                    "the tensor `{name}` is {:?} of {:?}, and the architecture has {:?}",
                    layout.shape,
                    tensor.dtype(),
                    known.shape
                ));
            }
            None => {
                return Err(format!(
                    "the architecture `{}` has no `{name}`",
                    card.architecture.name()
                ));
            }
        };
    }
    // The others are not touched: zeros that nobody writes take no memory.
    let read = |name: &str| {
        own[name]
            .to_tensor(&Device::Cpu)
            .map_err(TrainError::Quantization)
    };
    blank.load_some(&given, read).map_err(|error| error.to_string())?;
    let model = QuantizedModel {
        layers,
        tensors: quantization.tensors.clone(),
    };
    let quantized =
        QuantizedNetwork::new(blank, model, &quantization.keep).map_err(|error| error.to_string())?;
    if let Some((name, _)) = quantized
        .own_weights()
        .find(|(name, _)| !own.contains_key(name.as_str()))
    {
        return Err(format!("the tensor `{name}` is missing"));
    }
    Ok(Arc::new(quantized))
}

impl From<QuantizationError> for TrainError {
    fn from(error: QuantizationError) -> Self {
        match error {
            QuantizationError::Model(error) => error.into(),
            QuantizationError::Tensor(error) => error.into(),
            other => Self::Quantization(other.to_string()),
        }
    }
}
