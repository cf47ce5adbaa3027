//! Creation of parameters: their names, shapes and initial values.

use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor, Var};

use super::error::ModelError;
use super::layers::{BatchNorm, Conv2d, Linear};
use super::network::Parameter;
use crate::ops::RunningStatistics;
use crate::random::{Purpose, Stream};

/// Hands out layers and keeps what they are made of, in definition order.
pub(super) struct Builder<'a> {
    seed: u64,
    device: &'a Device,
    pub parameters: Vec<Parameter>,
    /// Running statistics by the name of their layer.
    pub statistics: Vec<(String, Arc<Mutex<RunningStatistics>>)>,
}

/// How a convolution's weights are drawn.
#[derive(Clone, Copy)]
pub(super) enum ConvInit {
    /// As `torch.nn.Conv2d` does by default: uniform within one over the root of the fan-in.
    Default,
    /// `kaiming_normal_(mode="fan_out", nonlinearity="relu")`, as torchvision's ResNet does.
    KaimingFanOut,
}

enum Init {
    Constant(f32),
    /// Uniform in `[-bound, bound)`.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
}

impl<'a> Builder<'a> {
    pub fn new(seed: u64, device: &'a Device) -> Self {
        Self {
            seed,
            device,
            parameters: Vec::new(),
            statistics: Vec::new(),
        }
    }

    /// A convolution without bias, of a `size` x `size` kernel that keeps the image's size at
    /// stride 1.
    pub fn conv2d(
        &mut self,
        name: &str,
        (inputs, outputs): (usize, usize),
        size: usize,
        stride: usize,
        init: ConvInit,
    ) -> Result<Conv2d, ModelError> {
        let taps = (size * size) as f64;
        let init = match init {
            ConvInit::Default => Init::Uniform(1.0 / (inputs as f64 * taps).sqrt()),
            ConvInit::KaimingFanOut => Init::Normal((2.0 / (outputs as f64 * taps)).sqrt()),
        };
        let weight = self.parameter(format!("{name}.weight"), &[outputs, inputs, size, size], init)?;
        Ok(Conv2d {
            weight,
            stride,
            padding: size / 2,
        })
    }

    /// Batch normalisation with weight 1 and bias 0.
    pub fn batch_norm(&mut self, name: &str, channels: usize) -> Result<BatchNorm, ModelError> {
        let weight = self.parameter(format!("{name}.weight"), &[channels], Init::Constant(1.0))?;
        let bias = self.parameter(format!("{name}.bias"), &[channels], Init::Constant(0.0))?;
        let statistics = Arc::new(Mutex::new(RunningStatistics::new(channels)));
        self.statistics.push((name.to_string(), statistics.clone()));
        Ok(BatchNorm {
            weight,
            bias,
            statistics,
        })
    }

    /// A linear layer, initialised as `torch.nn.Linear`: both weight and bias uniform within one
    /// over the root of the fan-in (which is `kaiming_uniform_` with `a = sqrt(5)`).
    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, ModelError> {
        let bound = 1.0 / (inputs as f64).sqrt();
        let weight = self.parameter(format!("{name}.weight"), &[outputs, inputs], Init::Uniform(bound))?;
        let bias = self.parameter(format!("{name}.bias"), &[outputs], Init::Uniform(bound))?;
        Ok(Linear { weight, bias })
    }

    fn parameter(&mut self, name: String, shape: &[usize], init: Init) -> Result<Var, ModelError> {
        let index = u32::try_from(self.parameters.len()).unwrap_or(u32::MAX);
        let mut stream = Stream::new(self.seed, Purpose::Init, 0, index);
        let len = shape.iter().product();
        let values: Vec<f32> = match init {
            Init::Constant(value) => vec![value; len],
            Init::Uniform(bound) => (0..len)
                .map(|_| stream.uniform_in(-bound, bound) as f32)
                .collect(),
            Init::Normal(deviation) => (0..len).map(|_| (deviation * stream.normal()) as f32).collect(),
        };
        let var = Var::from_tensor(&Tensor::from_vec(values, shape, self.device)?)?;
        // Norms and biases are vectors; all that weight decay is meant for has more dimensions.
        self.parameters.push(Parameter {
            name,
            var: var.clone(),
            decays: shape.len() > 1,
        });
        Ok(var)
    }
}
