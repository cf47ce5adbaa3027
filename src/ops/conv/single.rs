//! The three products of a convolution of one group, each by the faster of the ways to compute it.

use super::geometry::Geometry;
use super::packed_weights::Weight;
use super::{correlate, weight_gradient as outer, winograd};
use crate::ops::microkernel::{Finish, Kernels};
use crate::spec::Precision;

/// The output `[N, OH, OW, O]` of input `[N, H, W, I]`, weight `[O, I, K, K]`, finished
/// as asked for.
pub(super) fn forward(
    kernels: &'static Kernels,
    geometry: &Geometry,
    x: &[f32],
    weight: Weight,
    finish: Finish,
    precision: Precision,
) -> Vec<f32> {
    if winograd::suits(kernels, geometry, precision) {
        winograd::forward(kernels.of_f32(), geometry, x, weight, finish, precision)
    } else {
        correlate::forward(kernels, geometry, x, weight, finish, precision)
    }
}

/// The gradient of the input, `[N, H, W, I]`, from that of the output.
pub(super) fn input_gradient(
    kernels: &'static Kernels,
    geometry: &Geometry,
    weight: &[f32],
    output_gradient: &[f32],
    precision: Precision,
) -> Vec<f32> {
    if winograd::suits_gradient(kernels, geometry, precision) {
        winograd::input_gradient(kernels.of_f32(), geometry, weight, output_gradient, precision)
    } else {
        correlate::input_gradient(kernels, geometry, weight, output_gradient, precision)
    }
}

/// The gradient of the weight, `[O, I, K, K]`, from that of the output.
pub(super) fn weight_gradient(
    kernels: &'static Kernels,
    geometry: &Geometry,
    x: &[f32],
    output_gradient: &[f32],
    precision: Precision,
) -> Vec<f32> {
    if winograd::suits(kernels, geometry, precision) {
        winograd::weight_gradient(kernels.of_f32(), geometry, x, output_gradient, precision)
    } else {
        outer::weight_gradient(kernels, geometry, x, output_gradient, precision)
    }
}
