//! Activation functions of candle's operations.

use std::f64::consts::FRAC_1_SQRT_2;

use candle_core::{Result, Tensor};

use super::{relu, rounded};
use crate::ops::activation::Function;
use crate::spec::Precision;

pub(in crate::ops) fn activation(x: &Tensor, function: Function, precision: Precision) -> Result<Tensor> {
    let y = match function {
        Function::Relu => relu(x)?,
        Function::LeakyRelu(slope) => {
            let positive = x.detach().gt(0.0)?;
            positive.where_cond(x, &(x * f64::from(slope))?)?
        }
        Function::Gelu => (x * ((x * FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?))?,
        Function::Silu => (x * candle_nn::ops::sigmoid(x)?)?,
        Function::Hardswish => between(x, &(x * x.affine(1.0 / 6.0, 0.5)?)?, x)?,
        Function::Hardsigmoid => between(x, &x.affine(1.0 / 6.0, 0.5)?, &x.detach().ones_like()?)?,
        Function::Sigmoid => candle_nn::ops::sigmoid(x)?,
        Function::Tanh => x.tanh()?,
    };
    rounded(&y, precision)
}

/// 0 up to -3, `above` from 3 on, and `middle` between, which is also where a NaN goes.
fn between(x: &Tensor, middle: &Tensor, above: &Tensor) -> Result<Tensor> {
    let constant = x.detach();
    let upper = constant.ge(3.0)?.where_cond(above, middle)?;
    constant.le(-3.0)?.where_cond(&constant.zeros_like()?, &upper)
}
