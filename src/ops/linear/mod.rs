//! Fully connected layers.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::composed::{rounded, rounded_weight};
use super::conv::{
    ConvPlan, ConvWeight, FinishedConvolution, KeptWeight, StandIn, WeightForm, kept, plan_of_rows,
};
use super::error::OpError;
use super::int8_blocks::Int8Blocks;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::prepared::ReadyOperation;
use crate::spec::Precision;

/// Whether weights in blocks of bytes are known, which are for texts that a model goes on with.
const HAS_INT8: bool = cfg!(feature = "full");

/// `x * weight^T + bias` for `x` `[..., in]` of two dimensions or more, `weight` `[out, in]`, `bias`
/// `[out]`: `[..., out]`.
///
/// # Errors
/// Shapes that do not fit each other, or a weight without values.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    apply((x, weight, bias), false, precision)
}

/// The same for a `weight` that is held as `[in, out]`, as GPT-2's are: `x * weight + bias`.
///
/// # Errors
/// As [`linear`].
pub fn linear_transposed(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    apply((x, weight, bias), true, precision)
}

fn apply(
    (x, weight, bias): (&Tensor, &Tensor, Option<&Tensor>),
    transposed: bool,
    precision: Precision,
) -> std::result::Result<Tensor, OpError> {
    if weight.dims().contains(&0) {
        let problem = format!("the weight {:?} has no values", weight.dims());
        return Err(OpError::shape("linear", problem));
    }
    let columns = |weight: &[usize]| match *weight {
        [inputs, outputs] if transposed => Some((inputs, outputs)),
        [outputs, inputs] => Some((inputs, outputs)),
        _ => None,
    };
    let fits = columns(weight.dims()).is_some_and(|(inputs, outputs)| {
        let is_row = x.rank() > 1 && x.dims().last() == Some(&inputs);
        is_row && bias.is_none_or(|bias| bias.dims() == [outputs])
    });
    if !fits {
        let (x, weight) = (x.dims(), weight.dims());
        let problem = match bias.map(Tensor::dims) {
            Some(bias) => {
                format!("input {x:?}, weight {weight:?} and bias {bias:?} do not fit each other")
            }
            None => format!("input {x:?} and weight {weight:?} do not fit each other"),
        };
        return Err(OpError::shape("linear", problem));
    }
    let op = LinearMap {
        kept: kept(weight),
        transposed,
        precision,
    };
    match bias {
        None => run(op, &[x, weight]),
        Some(bias) => run(op, &[x, weight, bias]),
    }
}

struct LinearMap {
    kept: Option<Arc<KeptWeight>>,
    /// Whether the weight is `[in, out]`.
    transposed: bool,
    precision: Precision,
}

impl LinearMap {
    /// A fully connected layer is a convolution of images of one pixel. With a weight `[in, out]` it is
    /// the way back of one.
    fn plan(&self, x: ArrayView, weight: ArrayView) -> ConvPlan {
        let rows = x.values.len() / x.dims[x.dims.len() - 1].max(1);
        plan_of_rows(rows, weight, self.kept.as_deref(), self.precision)
    }

    /// Rows times the weight.
    fn product(&self, operands: &[ArrayView]) -> Vec<f32> {
        let (x, weight) = (operands[0], operands[1]);
        let bias = operands.get(2).map(|bias| bias.values);
        let kept = ConvWeight {
            values: weight.values,
            kept: self.kept.as_deref(),
        };
        let plan = self.plan(x, weight);
        match (&self.kept, self.transposed) {
            (Some(kept), _) if HAS_INT8 && kept.form() == WeightForm::Int8 => self.with_int8(kept, operands),
            (_, true) => plan.backward_with_bias(x.values, kept, bias),
            (_, false) => plan.forward_with_bias(x.values, kept, bias),
        }
    }

    /// Rows times a weight of eight bits.
    fn with_int8(&self, kept: &KeptWeight, operands: &[ArrayView]) -> Vec<f32> {
        let (x, weight) = (operands[0], operands[1]);
        let weight = kept.int8(|| {
            let [outputs, inputs] = match self.transposed {
                true => [weight.dims[1], weight.dims[0]],
                false => [weight.dims[0], weight.dims[1]],
            };
            Int8Blocks::pack(weight.values, (outputs, inputs), self.transposed)
        });
        let bias = operands.get(2).map(|bias| bias.values);
        weight.multiply(x.values, bias, self.precision)
    }
}

impl Operation for LinearMap {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn attributes(&self) -> Attributes {
        let attributes = match self.transposed {
            true => Attributes::default().with("transposed", true),
            false => Attributes::default(),
        };
        attributes.with_precision(self.precision)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (x, weight) = (&operands[0], &operands[1]);
        let (outputs, inputs) = match self.transposed {
            true => (weight.dim(1)?, weight.dim(0)?),
            false => weight.dims2()?,
        };
        let rows = x.elem_count() / inputs;
        let shape: Vec<usize> = x.dims()[..x.rank() - 1]
            .iter()
            .copied()
            .chain([outputs])
            .collect();
        let x = rounded(&x.contiguous()?.reshape((rows, inputs))?, self.precision)?;
        let weight = rounded_weight(weight, self.precision)?;
        let weight = if self.transposed { weight } else { weight.t()? };
        let product = x.contiguous()?.matmul(&weight.contiguous()?)?;
        let y = match operands.get(2) {
            None => product,
            Some(bias) => product.broadcast_add(&rounded_weight(bias, self.precision)?)?,
        };
        rounded(&y, self.precision)?.reshape(shape)
    }
}

impl CpuKernel for LinearMap {
    fn packed_operand(&self) -> Option<usize> {
        self.kept.as_ref().map(|_| 1)
    }

    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (x, weight) = (operands[0], operands[1]);
        let y = match self.kept.as_deref().and_then(KeptWeight::stand_in) {
            Some(StandIn::Bytes(layer)) => layer.rows(x.values),
            Some(StandIn::Watched(watch)) => {
                let y = self.product(operands);
                watch(x.values, &y);
                y
            }
            None => self.product(operands),
        };
        let outputs = weight.dims[usize::from(self.transposed)];
        let leading = x.dims[..x.dims.len() - 1].iter().copied();
        let dims: Vec<usize> = leading.chain([outputs]).collect();
        (y, dims.into())
    }

    fn ready(&self, operands: &[Option<ArrayView>]) -> Option<ReadyOperation> {
        let form = self.kept.as_deref().map(KeptWeight::form);
        let has_stand_in = self.kept.as_deref().is_some_and(|kept| kept.stand_in().is_some());
        if self.transposed || has_stand_in || form == Some(WeightForm::Int8) {
            return None;
        }
        FinishedConvolution::of_products(None, self.kept.as_ref(), self.precision, operands)
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (x, weight) = (operands[0], operands[1]);
        let plan = self.plan(x, weight);
        if !self.transposed {
            return plan.gradients(x.values, weight.values, gradient, wanted);
        }
        let of = |operand: usize| match operand {
            0 => plan.forward_with_bias(gradient, ConvWeight::once(weight.values), None),
            1 => plan.weight_gradient(gradient, x.values),
            _ => ConvPlan::pointwise(
                gradient.len() / weight.dims[1],
                weight.dims[0],
                weight.dims[1],
                self.precision,
            )
            .bias_gradient(gradient),
        };
        let wanted = wanted.iter().enumerate();
        wanted
            .map(|(operand, &wanted)| OperandGradient::if_wanted(wanted, || of(operand)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
