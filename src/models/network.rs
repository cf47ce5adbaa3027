//! What all architectures have in common.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display, Formatter};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::builder::Builder;
use super::conv_net::ConvNet;
use super::error::ModelError;
use super::mlp::Mlp;
use super::resnet::ResNet18;
use crate::ops::RunningStatistics;
use crate::spec::{Model, Precision};

/// The shape of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputShape {
    /// An image; a batch is `[N, channels, height, width]`.
    Image {
        /// Channels, such as 3 for RGB.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
    /// A row of numbers; a batch is `[N, columns]`.
    Features {
        /// Numbers in the row.
        columns: usize,
    },
}

impl InputShape {
    /// Numbers in one sample.
    pub fn len(&self) -> usize {
        match *self {
            Self::Image {
                channels,
                height,
                width,
            } => channels * height * width,
            Self::Features { columns } => columns,
        }
    }

    /// Whether a sample holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Display for InputShape {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image {
                channels,
                height,
                width,
            } => {
                write!(f, "images of shape [N, {channels}, {height}, {width}]")
            }
            Self::Features { columns } => write!(f, "rows of shape [N, {columns}]"),
        }
    }
}

/// How a forward pass is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// In training, parameters take part in autograd, batch norm uses the batch's statistics and
    /// remembers them, and dropout drops. Otherwise no graph is kept.
    pub train: bool,
    /// The arithmetic of convolutions and matrix products.
    pub precision: Precision,
    /// The run's seed, for dropout.
    pub seed: u64,
    /// The number of the micro-batch in the run, so that each has dropout masks of its own.
    pub step: u32,
}

impl Pass {
    /// A pass that only evaluates.
    pub fn evaluate(precision: Precision) -> Self {
        Self {
            train: false,
            precision,
            seed: 0,
            step: 0,
        }
    }
}

/// A tensor that is trained.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name in PyTorch.
    pub name: String,
    /// Its value.
    pub var: Var,
    /// Whether weight decay is customary for it: not for norms and biases.
    pub decays: bool,
}

/// Layers in their order.
pub(super) trait Architecture: Send + Sync {
    /// Logits `[N, outputs]` of a batch in the documented layout.
    fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError>;
}

/// A network with its weights.
pub struct Network {
    architecture: Box<dyn Architecture>,
    input: InputShape,
    outputs: usize,
    parameters: Vec<Parameter>,
    statistics: Vec<(String, Arc<Mutex<RunningStatistics>>)>,
}

/// Whether `model` can be built for such samples and that many outputs. Allocates nothing.
///
/// # Errors
/// What [`build`] would refuse.
pub fn check(model: &Model, input: InputShape, outputs: usize) -> Result<(), ModelError> {
    if outputs == 0 {
        return Err(ModelError::Empty {
            what: "the number of outputs (the dataset's classes)",
        });
    }
    let dimensions = match input {
        InputShape::Image {
            channels,
            height,
            width,
        } => vec![channels, height, width],
        InputShape::Features { columns } => vec![columns],
    };
    if dimensions.contains(&0) {
        return Err(ModelError::Empty {
            what: "a dimension of the samples",
        });
    }
    match model {
        Model::Mlp(spec) => Mlp::check(spec, input, outputs),
        Model::ConvNet(spec) => ConvNet::check(spec, input, outputs),
        Model::ResNet18(_) => ResNet18::check(input, outputs),
        other => panic!("{other:?}"),
    }
}

/// Fails where a weight of `inputs` x `outputs` values is beyond reason.
pub(super) fn check_weight(inputs: usize, outputs: usize) -> Result<(), ModelError> {
    const LIMIT: usize = 1 << 32;
    match inputs.checked_mul(outputs) {
        Some(values) if values <= LIMIT => Ok(()),
        _ => Err(ModelError::TooLarge { inputs, outputs }),
    }
}

/// Builds `model` with initial weights that `seed` decides, as PyTorch would draw them.
///
/// # Errors
/// An architecture that does not fit the samples, or memory that the device does not have.
pub fn build(
    model: &Model,
    input: InputShape,
    outputs: usize,
    seed: u64,
    device: &Device,
) -> Result<Network, ModelError> {
    check(model, input, outputs)?;
    let mut builder = Builder::new(seed, device);
    let architecture: Box<dyn Architecture> = match model {
        Model::Mlp(spec) => Box::new(Mlp::build(spec, input, outputs, &mut builder)?),
        Model::ConvNet(spec) => Box::new(ConvNet::build(spec, input, outputs, &mut builder)?),
        Model::ResNet18(spec) => Box::new(ResNet18::build(spec, input, outputs, &mut builder)?),
        other => panic!("{other:?}"),
    };
    let Builder {
        parameters,
        statistics,
        ..
    } = builder;
    Ok(Network {
        architecture,
        input,
        outputs,
        parameters,
        statistics,
    })
}

impl Network {
    /// The logits `[N, outputs]` of a batch `[N, C, H, W]` or `[N, F]` of f32.
    ///
    /// # Errors
    /// A batch of another shape than the network was built for.
    pub fn forward(&self, input: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let fits = match (self.input, input.dims()) {
            (
                InputShape::Image {
                    channels,
                    height,
                    width,
                },
                &[_, c, h, w],
            ) => (channels, height, width) == (c, h, w),
            (InputShape::Features { columns }, &[_, given]) => columns == given,
            _ => false,
        };
        if !fits {
            return Err(ModelError::BatchShape {
                expected: self.input,
                given: input.dims().to_vec(),
            });
        }
        self.architecture.forward(&input.detach(), pass)
    }

    /// The shape of a sample.
    pub fn input(&self) -> InputShape {
        self.input
    }

    /// How many logits a sample gets.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// What is trained, in definition order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// A copy of all parameters and buffers (batch norm's `running_mean`, `running_var` and
    /// `num_batches_tracked`, the last as an i64 scalar) by their names in PyTorch.
    ///
    /// # Errors
    /// Only what the tensor engine reports.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, ModelError> {
        let mut state = BTreeMap::new();
        for Parameter { name, var, .. } in &self.parameters {
            state.insert(name.clone(), var.as_tensor().detach().copy()?);
        }
        for (layer, statistics) in &self.statistics {
            let statistics = statistics.lock().unwrap_or_else(PoisonError::into_inner);
            let device = self.device();
            state.insert(
                format!("{layer}.running_mean"),
                Tensor::new(statistics.mean.as_slice(), &device)?,
            );
            state.insert(
                format!("{layer}.running_var"),
                Tensor::new(statistics.variance.as_slice(), &device)?,
            );
            state.insert(
                format!("{layer}.num_batches_tracked"),
                Tensor::new(statistics.batches, &device)?,
            );
        }
        Ok(state)
    }

    /// Takes over all parameters and buffers. Floats of other widths are converted.
    ///
    /// # Errors
    /// A name that is missing, unexpected, or of another shape; then nothing is taken over.
    pub fn load_state(&self, state: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
        let current = self.state()?;
        let mut problems = Vec::new();
        let mut report = |problem: &str, names: Vec<String>| {
            if !names.is_empty() {
                problems.push(format!("{problem} {}", abridged(&names)));
            }
        };
        let missing = current.keys().filter(|name| !state.contains_key(*name));
        report("missing", missing.cloned().collect());
        let unexpected = state.keys().filter(|name| !current.contains_key(*name));
        report("unexpected", unexpected.cloned().collect());
        let misfits = current.iter().filter_map(|(name, own)| {
            let given = state.get(name)?;
            let fits = own.dims() == given.dims() && own.dtype().is_int() == given.dtype().is_int();
            (!fits).then(|| {
                let (own, given) = (own.shape().dims(), (given.shape().dims(), given.dtype().as_str()));
                format!("{name} ({own:?} wanted, {:?} of {} given)", given.0, given.1)
            })
        });
        report("of another shape or type", misfits.collect());
        if !problems.is_empty() {
            return Err(ModelError::State { problems });
        }

        // All is known to fit; the conversions that could still fail come before the first change.
        let floats = |name: &str| -> Result<Vec<f32>, ModelError> {
            Ok(state[name].to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
        };
        let mut statistics = Vec::new();
        for (layer, _) in &self.statistics {
            statistics.push(RunningStatistics {
                mean: floats(&format!("{layer}.running_mean"))?,
                variance: floats(&format!("{layer}.running_var"))?,
                batches: state[&format!("{layer}.num_batches_tracked")]
                    .to_dtype(DType::I64)?
                    .to_scalar()?,
            });
        }
        let mut values = Vec::new();
        for Parameter { name, var, .. } in &self.parameters {
            values.push(
                state[name]
                    .to_dtype(DType::F32)?
                    .to_device(var.device())?
                    .contiguous()?,
            );
        }
        for (parameter, value) in self.parameters.iter().zip(values) {
            parameter.var.set(&value)?;
        }
        for ((_, own), given) in self.statistics.iter().zip(statistics) {
            *own.lock().unwrap_or_else(PoisonError::into_inner) = given;
        }
        Ok(())
    }

    fn device(&self) -> Device {
        self.parameters
            .first()
            .map_or(Device::Cpu, |parameter| parameter.var.device().clone())
    }
}

impl Debug for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect();
        f.debug_struct("Network")
            .field("input", &self.input)
            .field("outputs", &self.outputs)
            .field("parameters", &names)
            .finish_non_exhaustive()
    }
}

/// The first few of a list of names, and how many more there are.
fn abridged(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
