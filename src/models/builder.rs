//! Creation of parameters: their names, shapes and initial values.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor, Var};

use super::error::ModelError;
use super::layers::{BatchNorm, Conv2d, LayerNorm, Linear, Weight};
use super::low_rank::{ChangeSlot, LinearPlace};
use super::network::Parameter;
use crate::ops::{BatchNormOptions, ConvOptions, RunningStatistics};
use crate::random::{Purpose, Stream};

/// Hands out layers and keeps what they are made of, in definition order.
pub struct Builder<'a> {
    /// What values are drawn by; nothing where they are to be filled, and 0 until then.
    seed: Option<u64>,
    device: &'a Device,
    /// The names and shapes of the parameters, where nothing but these is wanted: then they have no values.
    pub(super) outline: Option<Vec<(String, Vec<usize>)>>,
    pub(super) parameters: Vec<Parameter>,
    /// For each parameter, the flag that its layer reads.
    pub(super) frozen: Vec<Arc<AtomicBool>>,
    /// Running statistics by the name of their layer.
    pub(super) statistics: Vec<(String, Arc<Mutex<RunningStatistics>>)>,
    /// Where low-rank changes may be made.
    pub(super) linears: Vec<LinearPlace>,
    /// The number of the first parameter, by which it is drawn.
    pub(super) first: u32,
    room: FillingRoom,
}

/// How many numbers parameters may have.
#[derive(Clone, Copy)]
struct FillingRoom {
    /// Those that there are to fill them, as far as that is known.
    held: usize,
    /// Those that may still be made.
    left: usize,
}

impl FillingRoom {
    const ENDLESS: Self = Self {
        held: usize::MAX,
        left: usize::MAX,
    };

    /// Numbers beyond those that are there: where a few more are wanted, who fills them tells which.
    const SPARE: usize = 1 << 24;
}

/// The shape of a convolution with a square kernel.
#[derive(Clone, Copy)]
pub struct Conv {
    /// Channels that go in.
    pub inputs: usize,
    /// Channels that come out.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub size: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// Groups of channels; they divide both numbers of channels.
    pub groups: usize,
    /// Whether something is added to each channel.
    pub bias: bool,
}

impl Conv {
    /// One group, no bias, and for an odd `size` an output as large as the input.
    pub fn new(inputs: usize, outputs: usize, size: usize) -> Self {
        Self {
            inputs,
            outputs,
            size,
            stride: 1,
            padding: size / 2,
            groups: 1,
            bias: false,
        }
    }
}

/// How a convolution's weight and bias are drawn.
#[derive(Clone, Copy)]
pub enum ConvInit {
    /// As `torch.nn.Conv2d` does by default: both uniform within one over the root of the fan-in.
    Default,
    /// `kaiming_normal_(mode="fan_out")` and a bias of 0, as torchvision's convolutional networks do.
    KaimingFanOut,
    /// These.
    Given {
        /// The weight's.
        weight: Init,
        /// The bias's.
        bias: Init,
    },
}

/// How a parameter is drawn.
#[derive(Clone, Copy)]
pub enum Init {
    /// The same everywhere.
    Constant(f32),
    /// Uniform in `[-bound, bound)`.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// The same, with draws outside of `[-2, 2]` drawn again: `torch.nn.init.trunc_normal_`.
    TruncatedNormal(f64),
    /// Normal with mean 0 and `deviation`, but for a row of 0.
    NormalButRow {
        /// The standard deviation.
        deviation: f64,
        /// The row of a matrix that is 0.
        row: usize,
    },
}

impl Init {
    /// Uniform within one over the root of the fan-in, PyTorch's default for convolutions and linear
    /// layers (`kaiming_uniform_` with `a = sqrt(5)`).
    pub fn within_fan_in(fan_in: usize) -> Self {
        Self::Uniform(1.0 / (fan_in as f64).sqrt())
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(seed: Option<u64>, device: &'a Device) -> Self {
        Self {
            seed,
            device,
            outline: None,
            parameters: Vec::new(),
            frozen: Vec::new(),
            statistics: Vec::new(),
            linears: Vec::new(),
            first: 0,
            room: FillingRoom::ENDLESS,
        }
    }

    /// One whose parameters are all 0, to be filled with `held` numbers. One that wants far more makes none of them.
    pub(super) fn to_fill(held: usize, device: &'a Device) -> Self {
        Self {
            room: FillingRoom {
                held,
                left: held.saturating_add(FillingRoom::SPARE),
            },
            ..Self::new(None, device)
        }
    }

    /// One that takes note of names and shapes, and makes no values.
    pub(super) fn of_outline(device: &'a Device) -> Self {
        Self {
            outline: Some(Vec::new()),
            ..Self::new(None, device)
        }
    }

    /// A convolution: `NAME.weight` and, where it has one, `NAME.bias`.
    pub fn conv(&mut self, name: &str, conv: Conv, init: ConvInit) -> Result<Conv2d, ModelError> {
        let taps = conv.size.saturating_mul(conv.size);
        let channels = conv.inputs / conv.groups;
        let (weight, bias) = match init {
            ConvInit::Default => {
                let init = Init::within_fan_in(channels.saturating_mul(taps));
                (init, init)
            }
            ConvInit::KaimingFanOut => {
                let fan_out = conv.outputs.saturating_mul(taps) as f64;
                (Init::Normal((2.0 / fan_out).sqrt()), Init::Constant(0.0))
            }
            ConvInit::Given { weight, bias } => (weight, bias),
        };
        let shape = [conv.outputs, channels, conv.size, conv.size];
        let weight = self.parameter(format!("{name}.weight"), &shape, weight)?;
        let bias = match conv.bias {
            true => Some(self.parameter(format!("{name}.bias"), &[conv.outputs], bias)?),
            false => None,
        };
        Ok(Conv2d {
            weight,
            bias,
            options: ConvOptions {
                stride: conv.stride,
                padding: conv.padding,
                dilation: 1,
                groups: conv.groups,
            },
        })
    }

    /// Batch normalisation with weight 1 and bias 0, and PyTorch's constants.
    pub fn batch_norm(&mut self, name: &str, channels: usize) -> Result<BatchNorm, ModelError> {
        self.batch_norm_with(name, channels, BatchNormOptions::default())
    }

    /// Batch normalisation with weight 1 and bias 0.
    pub fn batch_norm_with(
        &mut self,
        name: &str,
        channels: usize,
        options: BatchNormOptions,
    ) -> Result<BatchNorm, ModelError> {
        let weight = self.parameter(format!("{name}.weight"), &[channels], Init::Constant(1.0))?;
        let bias = self.parameter(format!("{name}.bias"), &[channels], Init::Constant(0.0))?;
        let statistics = Arc::new(Mutex::new(RunningStatistics::new(channels)));
        self.statistics.push((name.to_string(), statistics.clone()));
        Ok(BatchNorm {
            weight,
            bias,
            name: name.into(),
            statistics,
            options,
        })
    }

    /// Layer normalisation over `columns` values, with weight 1 and bias 0.
    pub fn layer_norm(&mut self, name: &str, columns: usize, epsilon: f64) -> Result<LayerNorm, ModelError> {
        Ok(LayerNorm {
            weight: self.parameter(format!("{name}.weight"), &[columns], Init::Constant(1.0))?,
            bias: self.parameter(format!("{name}.bias"), &[columns], Init::Constant(0.0))?,
            epsilon,
        })
    }

    /// A linear layer, initialised as `torch.nn.Linear`: both weight and bias uniform within one
    /// over the root of the fan-in.
    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, ModelError> {
        let init = Init::within_fan_in(inputs);
        self.linear_with(name, (inputs, outputs), init, Some(init))
    }

    /// A linear layer; without an init for it, there is no bias.
    pub fn linear_with(
        &mut self,
        name: &str,
        (inputs, outputs): (usize, usize),
        weight: Init,
        bias: Option<Init>,
    ) -> Result<Linear, ModelError> {
        let weight = self.parameter(format!("{name}.weight"), &[outputs, inputs], weight)?;
        let bias = bias.map(|bias| self.parameter(format!("{name}.bias"), &[outputs], bias));
        let bias = bias.transpose()?;
        Ok(self.linear_of(name, [inputs, outputs], weight, bias))
    }

    /// The linear layer of a weight `[outputs, inputs]` and a bias with names of their own.
    pub(super) fn linear_of(
        &mut self,
        name: &str,
        shape: [usize; 2],
        weight: Weight,
        bias: Option<Weight>,
    ) -> Linear {
        let change = self.changeable(name, shape, &weight, false);
        Linear { weight, bias, change }
    }

    /// Takes note of a linear layer, from `shape[0]` inputs to `shape[1]` outputs: where its low-rank change stands,
    /// should it get one.
    pub(super) fn changeable(
        &mut self,
        name: &str,
        shape: [usize; 2],
        weight: &Weight,
        transposed: bool,
    ) -> ChangeSlot {
        let slot = ChangeSlot::default();
        self.linears.push(LinearPlace {
            name: name.to_owned(),
            weight: weight.name.clone(),
            shape,
            transposed,
            slot: slot.clone(),
        });
        slot
    }

    /// A parameter by its full name.
    pub fn parameter(&mut self, name: String, shape: &[usize], init: Init) -> Result<Weight, ModelError> {
        let index = u32::try_from(self.parameters.len()).unwrap_or(u32::MAX);
        let index = self.first.saturating_add(index);
        let filled: &[usize] = match &mut self.outline {
            Some(outline) => {
                outline.push((name.clone(), shape.to_vec()));
                &[0]
            }
            None => shape,
        };
        let len = filled
            .iter()
            .try_fold(1usize, |product, side| product.checked_mul(*side));
        let room = len.and_then(|len| Some((len, self.room.left.checked_sub(len)?)));
        let Some((len, left)) = room else {
            return Err(ModelError::Unfilled {
                name,
                shape: shape.to_vec(),
                held: self.room.held,
            });
        };
        self.room.left = left;
        let init = match self.seed {
            Some(_) => init,
            None => Init::Constant(0.0),
        };
        let mut stream = Stream::new(self.seed.unwrap_or(0), Purpose::Init, 0, index);
        let values: Vec<f32> = match init {
            Init::Constant(value) => vec![value; len],
            Init::Uniform(bound) => (0..len)
                .map(|_| stream.uniform_in(-bound, bound) as f32)
                .collect(),
            Init::Normal(deviation) => (0..len).map(|_| (deviation * stream.normal()) as f32).collect(),
            Init::NormalButRow { deviation, row } => {
                let mut values: Vec<f32> = (0..len).map(|_| (deviation * stream.normal()) as f32).collect();
                let width: usize = shape[1..].iter().product();
                if let Some(zeros) = values.get_mut(row * width..(row + 1) * width) {
                    zeros.fill(0.0);
                }
                values
            }
            Init::TruncatedNormal(deviation) => (0..len)
                .map(|_| {
                    loop {
                        let value = deviation * stream.normal();
                        if value.abs() <= 2.0 {
                            return value as f32;
                        }
                    }
                })
                .collect(),
        };
        let var = Var::from_tensor(&Tensor::from_vec(values, filled, self.device)?)?;
        let frozen = Arc::new(AtomicBool::new(false));
        let weight = Weight {
            name: name.as_str().into(),
            var: var.clone(),
            frozen: frozen.clone(),
        };
        // Norms and biases are vectors; all that weight decay is meant for has more dimensions.
        self.parameters.push(Parameter {
            name,
            var,
            decays: shape.len() > 1,
            frozen: false,
        });
        self.frozen.push(frozen);
        Ok(weight)
    }
}
