//! Activation functions.

pub(super) mod functions;

use std::f64::consts::FRAC_1_SQRT_2;

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::attributes::Attributes;
use super::composed::{self, rounded};
use super::error::OpError;
use super::fill::changed;
use super::operation::{ArrayView, ChangeInPlace, CpuKernel, OperandGradient, Operation, StoredPasses, run};
use super::prepared::ResultTail;
use super::round::round_in_place;
use super::stored::{Stored, ValueFormat, Values, changed_in};
use super::vectors::with_wide_vectors;
use crate::spec::Precision;

/// `max(x, 0)` of each value, of any shape. The derivative at 0 is 0, as in PyTorch, and a NaN
/// stays one.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn relu(x: &Tensor) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::Relu, Precision::F32)
}

/// `min(max(x, 0), 6)` of each value, of any shape. The derivative is 0 at 0 and at 6, as in PyTorch, and a
/// NaN stays one.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn relu6(x: &Tensor) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::Relu6, Precision::F32)
}

/// `x` where positive, else `slope` times `x`, of any shape. The derivative at 0 is `slope`, as in
/// PyTorch.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn leaky_relu(x: &Tensor, slope: f64, precision: Precision) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::LeakyRelu(slope as f32), precision)
}

/// `x` times the normal distribution function of `x` (Hendrycks and Gimpel, 2016), of any shape;
/// not its approximation by `tanh`.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn gelu(x: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::Gelu, precision)
}

/// GELU's approximation by the hyperbolic tangent, `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, of
/// any shape: `gelu_new` and `gelu_pytorch_tanh` of Hugging Face's models.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn gelu_tanh(x: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::GeluTanh, precision)
}

/// `x` times its sigmoid (also called swish), of any shape.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn silu(x: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::Silu, precision)
}

/// `x * min(max(x + 3, 0), 6) / 6` (Howard et al., 2019), of any shape. The derivative is 0 at -3
/// and 1 at 3, as in PyTorch.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn hardswish(x: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::Hardswish, precision)
}

/// `min(max(x + 3, 0), 6) / 6`, of any shape. The derivative is 0 at -3 and at 3, as in PyTorch.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn hardsigmoid(x: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::Hardsigmoid, precision)
}

/// The logistic function `1 / (1 + exp(-x))`, of any shape.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn sigmoid(x: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::Sigmoid, precision)
}

/// The hyperbolic tangent, of any shape.
///
/// # Errors
/// Only what the tensor engine reports.
pub fn tanh(x: &Tensor, precision: Precision) -> std::result::Result<Tensor, OpError> {
    activate(x, Function::Tanh, precision)
}

fn activate(x: &Tensor, function: Function, precision: Precision) -> std::result::Result<Tensor, OpError> {
    run(ElementwiseFunction { function, precision }, &[x])
}

/// What is applied to each value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    Relu,
    Relu6,
    /// With the slope under 0.
    LeakyRelu(f32),
    Gelu,
    GeluTanh,
    Silu,
    Hardswish,
    Hardsigmoid,
    Sigmoid,
    Tanh,
}

/// `1 / sqrt(2 pi)`.
const NORMAL_DENSITY: f32 = 0.398_942_3;

impl Function {
    /// Sets each value of some rows to the function of it.
    fn forward(self, y: &mut [&mut [f32]]) {
        match self {
            Self::Relu => map(y, |x| if x <= 0.0 { 0.0 } else { x }),
            Self::Relu6 => map(y, |x| {
                let x = if x <= 0.0 { 0.0 } else { x };
                if x >= 6.0 { 6.0 } else { x }
            }),
            Self::LeakyRelu(slope) => map(y, |x| if x > 0.0 { x } else { slope * x }),
            Self::Gelu => map(y, |x| x * functions::normal(x).0),
            Self::GeluTanh => map(y, |x| {
                let x = if x < -FAR { -FAR } else { x };
                x * functions::sigmoid(tanh_argument(x)).0
            }),
            Self::Silu => map(y, |x| x * functions::sigmoid(x).0),
            Self::Hardswish => map(y, |x| x * ((x + 3.0).clamp(0.0, 6.0) / 6.0)),
            Self::Hardsigmoid => map(y, |x| (x + 3.0).clamp(0.0, 6.0) / 6.0),
            Self::Sigmoid => map(y, |x| functions::sigmoid(x).0),
            Self::Tanh => map(y, |x| functions::tanh(f64::from(x)) as f32),
        }
    }

    /// Multiplies `gradient` by the derivative at `x`, where the function's value is `y`.
    fn backward(self, x: &[f32], y: &[f32], gradient: &mut [f32]) {
        match self {
            Self::Relu => scale(x, gradient, |x, gradient| if x <= 0.0 { 0.0 } else { gradient }),
            Self::Relu6 => scale(x, gradient, |x, gradient| {
                let below = if x >= 6.0 { 0.0 } else { gradient };
                if x <= 0.0 { 0.0 } else { below }
            }),
            Self::LeakyRelu(slope) => scale(x, gradient, |x, gradient| {
                gradient * if x > 0.0 { 1.0 } else { slope }
            }),
            Self::Gelu => scale(x, gradient, |x, gradient| {
                // Where the density is 0 the argument may be infinite.
                let x = x.clamp(-FAR, FAR);
                let (probability, density) = functions::normal(x);
                gradient * (probability + x * density * NORMAL_DENSITY)
            }),
            Self::GeluTanh => scale(x, gradient, |x, gradient| {
                let x = if x < -FAR { -FAR } else { x };
                let x = if x > FAR { FAR } else { x };
                let (sigmoid, rest) = functions::sigmoid(tanh_argument(x));
                let slope = TWICE_ROOT + 3.0 * TWICE_ROOT * TANH_CUBIC * x * x;
                gradient * (sigmoid + x * sigmoid * rest * slope)
            }),
            Self::Silu => scale(x, gradient, |x, gradient| {
                let (sigmoid, rest) = functions::sigmoid(x);
                gradient * sigmoid * (1.0 + x * rest)
            }),
            Self::Hardswish => scale(x, gradient, |x, gradient| {
                let between = gradient * (x / 3.0 + 0.5);
                let above = if x < 3.0 { between } else { gradient };
                if x <= -3.0 { 0.0 } else { above }
            }),
            Self::Hardsigmoid => scale(x, gradient, |x, gradient| {
                if x > -3.0 && x < 3.0 { gradient / 6.0 } else { 0.0 }
            }),
            Self::Sigmoid => scale(y, gradient, |y, gradient| gradient * (1.0 - y) * y),
            Self::Tanh => scale(y, gradient, |y, gradient| gradient * (1.0 - y * y)),
        }
    }
}

/// `2 sqrt(2 / pi)`: `(1 + tanh(u)) / 2` is the sigmoid of `2 u`.
const TWICE_ROOT: f32 = 1.595_769;
/// The coefficient of the cube in GELU by tanh.
const TANH_CUBIC: f32 = 0.044_715;

/// Beyond it GELU is 0 or its argument, and powers of that may be infinite.
const FAR: f32 = 20.0;

/// Twice what GELU by tanh takes the hyperbolic tangent of.
#[inline(always)]
fn tanh_argument(x: f32) -> f32 {
    TWICE_ROOT * x * (1.0 + TANH_CUBIC * x * x)
}

#[inline(always)]
fn map(rows: &mut [&mut [f32]], function: impl Fn(f32) -> f32) {
    with_wide_vectors(
        #[inline(always)]
        || {
            for row in rows {
                for value in &mut **row {
                    *value = function(*value);
                }
            }
        },
    );
}

#[inline(always)]
fn scale(at: &[f32], gradient: &mut [f32], function: impl Fn(f32, f32) -> f32) {
    with_wide_vectors(
        #[inline(always)]
        || {
            for (gradient, &at) in gradient.iter_mut().zip(at) {
                *gradient = function(at, *gradient);
            }
        },
    );
}

/// A function of each value, and the format that its results are rounded to.
#[derive(Clone, Copy, Debug)]
pub(super) struct ElementwiseFunction {
    function: Function,
    precision: Precision,
}

impl ElementwiseFunction {
    /// Sets each value to the function of it.
    pub fn apply(&self, values: &mut [f32]) {
        self.apply_to_rows(&mut [values]);
    }

    /// The same for many short rows.
    pub fn apply_to_rows(&self, rows: &mut [&mut [f32]]) {
        self.function.forward(rows);
        for row in rows {
            round_in_place(row, self.precision);
        }
    }
}

const BLOCK: usize = 1 << 14;

impl Operation for ElementwiseFunction {
    fn name(&self) -> &'static str {
        match self.function {
            Function::Relu => "relu",
            Function::Relu6 => "relu6",
            Function::LeakyRelu(_) => "leaky_relu",
            Function::Gelu | Function::GeluTanh => "gelu",
            Function::Silu => "silu",
            Function::Hardswish => "hardswish",
            Function::Hardsigmoid => "hardsigmoid",
            Function::Sigmoid => "sigmoid",
            Function::Tanh => "tanh",
        }
    }

    fn attributes(&self) -> Attributes {
        let attributes = match self.function {
            Function::LeakyRelu(slope) => Attributes::default().with("alpha", f64::from(slope)),
            // The function itself, not its approximation by the hyperbolic tangent.
            Function::Gelu => Attributes::default().with("approximate", "none"),
            Function::GeluTanh => Attributes::default().with("approximate", "tanh"),
            _ => Attributes::default(),
        };
        attributes.with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let x = &operands[0];
        let y = match self.function {
            Function::Relu => composed::relu(x)?,
            Function::Relu6 => {
                let six = (x.detach().ones_like()? * 6.0)?;
                x.detach().ge(6.0)?.where_cond(&six, &composed::relu(x)?)?
            }
            Function::LeakyRelu(slope) => {
                let positive = x.detach().gt(0.0)?;
                positive.where_cond(x, &(x * f64::from(slope))?)?
            }
            Function::Gelu => (x * ((x * FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?))?,
            Function::GeluTanh => {
                let constant = x.detach();
                let is_near = constant.abs()?.le(f64::from(FAR))?;
                let near = is_near.where_cond(x, &constant.clamp(-FAR, FAR)?)?;
                let cubic = near.sqr()?.affine(f64::from(TANH_CUBIC), 1.0)?;
                let argument = ((&near * cubic)? * f64::from(TWICE_ROOT))?;
                let outer = constant.ge(f64::from(-FAR))?.where_cond(x, &near)?;
                (outer * composed::sigmoid(&argument)?)?
            }
            Function::Silu => (x * composed::sigmoid(x)?)?,
            Function::Hardswish => between(x, &(x * x.affine(1.0 / 6.0, 0.5)?)?, x)?,
            Function::Hardsigmoid => between(x, &x.affine(1.0 / 6.0, 0.5)?, &x.detach().ones_like()?)?,
            Function::Sigmoid => composed::sigmoid(x)?,
            Function::Tanh => x.tanh()?,
        };
        rounded(&y, self.precision)
    }
}

/// 0 up to -3, `above` from 3 on, and `middle` between, which is also where a NaN goes.
fn between(x: &Tensor, middle: &Tensor, above: &Tensor) -> Result<Tensor> {
    let constant = x.detach();
    let upper = constant.ge(3.0)?.where_cond(above, middle)?;
    constant.le(-3.0)?.where_cond(&constant.zeros_like()?, &upper)
}

impl ChangeInPlace for ElementwiseFunction {
    fn change(&self, values: &mut [f32], _operands: &[ArrayView]) {
        values.par_chunks_mut(BLOCK).for_each(|values| self.apply(values));
    }
}

impl CpuKernel for ElementwiseFunction {
    fn as_change(&self) -> Option<&dyn ChangeInPlace> {
        Some(self)
    }

    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let x = operands[0];
        let y = changed(x.values, BLOCK, |_, y| self.apply(y));
        (y, x.dims.into())
    }

    fn tail(&self) -> Option<ResultTail> {
        Some(ResultTail::Function(*self))
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        self.backward_stored(operands, output.into(), gradient.into(), wanted)
    }

    fn stored_passes(&self) -> Option<&dyn StoredPasses> {
        Some(self)
    }
}

impl ElementwiseFunction {
    /// Of results for an operand of a format: one of its values is the result, or the result is rounded.
    fn result_format(&self, of_operand: ValueFormat) -> ValueFormat {
        match self.function {
            Function::Relu | Function::Relu6 => of_operand,
            _ => ValueFormat::smallest(self.precision),
        }
    }
}

impl StoredPasses for ElementwiseFunction {
    fn forward_stored(&self, operands: &[ArrayView]) -> (Values, Shape) {
        let x = operands[0].stored();
        let y = changed_in(self.result_format(x.format()), x, BLOCK, |_, y| self.apply(y));
        (y, operands[0].dims.into())
    }

    fn backward_stored(
        &self,
        operands: &[ArrayView],
        output: Stored,
        gradient: Stored,
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let x = operands[0].stored();
        let of_x = || {
            changed_in(x.format(), gradient, BLOCK, |index, target| {
                let (x, output) = (
                    x.part(index * BLOCK, target.len()),
                    output.part(index * BLOCK, target.len()),
                );
                round_in_place(target, self.precision);
                x.with_wide(|x| {
                    output.with_wide(|output| self.function.backward(x, output, target));
                });
                round_in_place(target, self.precision);
            })
        };
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }
}

#[cfg(test)]
mod tests;
