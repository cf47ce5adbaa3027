//! Layers with weights.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Tensor, Var};

use super::error::ModelError;
use super::network::Pass;
use crate::ops::{self, Epilogue, RunningStatistics, Statistics};

/// A parameter as an operand: part of the graph in training, a constant in evaluation.
fn operand(var: &Var, pass: &Pass) -> Tensor {
    if pass.train {
        var.as_tensor().clone()
    } else {
        var.as_tensor().detach()
    }
}

/// A convolution without bias.
pub(super) struct Conv2d {
    pub weight: Var,
    pub stride: usize,
    pub padding: usize,
}

impl Conv2d {
    /// `[N, H, W, in]` to `[N, H', W', out]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let weight = operand(&self.weight, pass);
        Ok(ops::conv2d(
            x,
            &weight,
            self.stride,
            self.padding,
            pass.precision,
        )?)
    }
}

/// Batch normalisation and its running statistics.
pub(super) struct BatchNorm {
    pub weight: Var,
    pub bias: Var,
    pub statistics: Arc<Mutex<RunningStatistics>>,
}

impl BatchNorm {
    /// `[N, H, W, C]` to the same shape.
    pub fn forward(&self, x: &Tensor, epilogue: Epilogue, pass: &Pass) -> Result<Tensor, ModelError> {
        let (weight, bias) = (operand(&self.weight, pass), operand(&self.bias, pass));
        let mut running = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        let statistics = if pass.train {
            Statistics::Batch(&mut running)
        } else {
            Statistics::Running(&running)
        };
        Ok(ops::batch_norm(
            x,
            &weight,
            &bias,
            statistics,
            epilogue,
            pass.precision,
        )?)
    }
}

/// A fully connected layer.
pub(super) struct Linear {
    pub weight: Var,
    pub bias: Var,
}

impl Linear {
    /// `[N, in]` to `[N, out]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        let (weight, bias) = (operand(&self.weight, pass), operand(&self.bias, pass));
        Ok(ops::linear(x, &weight, &bias, pass.precision)?)
    }
}

/// Dropout, in training only.
pub(super) struct Dropout {
    pub probability: f64,
    /// The layer's number among the network's dropout layers.
    pub layer: u32,
}

impl Dropout {
    /// Any shape to the same shape.
    pub fn forward(&self, x: Tensor, pass: &Pass) -> Result<Tensor, ModelError> {
        if !pass.train {
            return Ok(x);
        }
        let key = ops::DropoutKey {
            seed: pass.seed,
            step: pass.step,
            layer: self.layer,
        };
        Ok(ops::dropout(&x, self.probability, key)?)
    }
}
