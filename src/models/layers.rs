//! Layers with weights.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor, Var};

use super::error::ModelError;
use super::low_rank::{ChangeSlot, LinearOperands};
use super::network::Pass;
use crate::ops::{self, BatchNormOptions, ConvOptions, Epilogue, RunningStatistics, Statistics};

/// A parameter as its layer holds it.
#[derive(Clone)]
pub struct Weight {
    /// Its name in PyTorch.
    pub name: Arc<str>,
    /// The value.
    pub var: Var,
    /// Whether it is a constant in training too. Shared with the network, which sets it.
    pub frozen: Arc<AtomicBool>,
}

impl Weight {
    /// The parameter as an operand: part of the graph in training unless it is frozen, a constant in
    /// evaluation.
    pub fn operand(&self, pass: &Pass) -> Tensor {
        let operand = if pass.trains() && !self.frozen.load(Ordering::Relaxed) {
            self.var.as_tensor().clone()
        } else {
            self.var.as_tensor().detach()
        };
        ops::name_weight(&self.name, &operand);
        operand
    }
}

/// A convolution.
pub struct Conv2d {
    /// `[outputs, inputs / groups, size, size]`.
    pub weight: Weight,
    /// `[outputs]`.
    pub bias: Option<Weight>,
    /// Stride, padding and groups.
    pub options: ConvOptions,
}

impl Conv2d {
    /// `[N, H, W, in]` to `[N, H', W', out]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let bias = self.bias.as_ref().map(|bias| bias.operand(pass));
        Ok(ops::conv2d(
            x,
            &self.weight.operand(pass),
            bias.as_ref(),
            self.options,
            pass.precision,
        )?)
    }
}

/// Batch normalisation and its running statistics.
pub struct BatchNorm {
    /// `[channels]`.
    pub weight: Weight,
    /// `[channels]`.
    pub bias: Weight,
    /// The layer's name, and what it remembers of its batches.
    pub name: Arc<str>,
    /// The running mean and variance.
    pub statistics: Arc<Mutex<RunningStatistics>>,
    /// How the statistics follow the batches.
    pub options: BatchNormOptions,
}

impl BatchNorm {
    /// The running mean and variance as operands.
    fn running(&self, device: &Device) -> Result<(Tensor, Tensor), ModelError> {
        let statistics = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        let (mean, variance) = statistics.tensors(device)?;
        ops::name_weight(&format!("{}.running_mean", self.name), &mean);
        ops::name_weight(&format!("{}.running_var", self.name), &variance);
        Ok((mean, variance))
    }

    /// `[N, H, W, C]` to the same shape.
    pub fn forward(&self, x: &Tensor, epilogue: Epilogue, pass: &Pass) -> Result<Tensor, ModelError> {
        let (weight, bias) = (self.weight.operand(pass), self.bias.operand(pass));
        let norm = |statistics| {
            let (options, precision) = (self.options, pass.precision);
            ops::batch_norm(x, &weight, &bias, statistics, options, epilogue, precision)
        };
        if pass.trains() {
            let mut running = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(norm(Statistics::Batch(&mut running))?);
        }
        let (mean, variance) = self.running(x.device())?;
        Ok(norm(Statistics::Running {
            mean: &mean,
            variance: &variance,
        })?)
    }
}

/// A convolution and the batch norm behind it: `[N, H, W, in]` to `[N, H', W', out]`.
pub(super) fn conv_norm(
    (conv, norm): (&Conv2d, &BatchNorm),
    x: &Tensor,
    epilogue: Epilogue,
    pass: &Pass,
) -> Result<Tensor, ModelError> {
    if pass.trains() {
        return norm.forward(&conv.forward(x, pass)?, epilogue, pass);
    }
    let bias = conv.bias.as_ref().map(|bias| bias.operand(pass));
    let (mean, variance) = norm.running(x.device())?;
    Ok(ops::conv2d_norm(
        x,
        ops::ConvolutionOperands {
            weight: &conv.weight.operand(pass),
            bias: bias.as_ref(),
            options: conv.options,
        },
        ops::NormOperands {
            weight: &norm.weight.operand(pass),
            bias: &norm.bias.operand(pass),
            mean: &mean,
            variance: &variance,
            options: norm.options,
        },
        epilogue,
        pass.precision,
    )?)
}

/// Layer normalisation over the last dimension.
pub struct LayerNorm {
    /// `[columns]`.
    pub weight: Weight,
    /// `[columns]`.
    pub bias: Weight,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// `[..., C]` to the same shape.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let (weight, bias) = (self.weight.operand(pass), self.bias.operand(pass));
        Ok(ops::layer_norm(x, &weight, &bias, self.epsilon)?)
    }
}

/// A fully connected layer.
pub struct Linear {
    /// `[outputs, inputs]`.
    pub weight: Weight,
    /// `[outputs]`.
    pub bias: Option<Weight>,
    /// What changes it, where something does.
    pub(super) change: ChangeSlot,
}

impl Linear {
    /// `[..., in]` to `[..., out]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let bias = self.bias.as_ref().map(|bias| bias.operand(pass));
        let layer = LinearOperands {
            weight: &self.weight.operand(pass),
            bias: bias.as_ref(),
            transposed: false,
        };
        layer.forward(x, &self.change, pass)
    }
}

/// Dropout, in training only.
pub struct Dropout {
    /// Of dropping a value.
    pub probability: f64,
    /// The layer's number among the network's dropout layers.
    pub layer: u32,
}

impl Dropout {
    /// Any shape to the same shape.
    pub fn forward(&self, x: Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        match self.of(pass) {
            Some((probability, key)) => Ok(ops::dropout(&x, probability, key)?),
            None => Ok(x),
        }
    }

    /// The probability and the mask's name in a pass that drops.
    pub fn of<'a>(&self, pass: &Pass<'a>) -> Option<(f64, ops::DropoutKey<'a>)> {
        let key = ops::DropoutKey {
            seed: pass.seed,
            epoch: pass.epoch,
            samples: pass.samples,
            layer: self.layer,
        };
        pass.trains().then_some((self.probability, key))
    }
}
