//! The three products of a convolution of one group, each by the faster of the ways to compute it.

use super::packed_weights::ConvWeight;
use super::plan::ConvPlan;
use super::{correlate, weight_gradient as outer, winograd};
use crate::ops::microkernel::Finish;
use crate::ops::stored::{Stored, ValueFormat, Values};

/// The output `[N, OH, OW, O]` of input `[N, H, W, I]`, weight `[O, I, K, K]`, finished
/// as asked for, in a format.
pub(super) fn forward(
    plan: &ConvPlan,
    x: Stored,
    weight: ConvWeight,
    finish: Finish,
    format: ValueFormat,
) -> Values {
    if winograd::suits(plan) {
        winograd::forward(&plan.of_f32(), x, weight, finish, format)
    } else {
        correlate::forward(&plan.of_pixels(), x, weight, finish, format)
    }
}

/// The gradient of the input, `[N, H, W, I]`, from that of the output, in a format.
pub(super) fn input_gradient(
    plan: &ConvPlan,
    weight: ConvWeight,
    output_gradient: Stored,
    format: ValueFormat,
) -> Values {
    if winograd::suits_gradient(plan) {
        winograd::input_gradient(&plan.of_f32(), weight.values, output_gradient, format)
    } else {
        correlate::input_gradient(plan, weight, output_gradient, Finish::default(), format)
    }
}

/// The gradient of the weight, `[O, I, K, K]`, from that of the output.
pub(super) fn weight_gradient(plan: &ConvPlan, x: Stored, output_gradient: Stored) -> Vec<f32> {
    if winograd::suits(plan) {
        winograd::weight_gradient(&plan.of_f32(), x, output_gradient)
    } else {
        outer::weight_gradient(plan, x, output_gradient)
    }
}
