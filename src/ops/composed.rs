//! What the compositions of candle's operations share.

use candle_core::{DType, Result, Tensor, bail};

use crate::spec::Precision;

/// `1 / (1 + exp(-x))`, by the hyperbolic tangent: where the exponential is infinite, the gradient of its
/// reciprocal would be no number.
pub(super) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x * 0.5)?.tanh()?.affine(0.5, 0.5)
}

/// Rounds values, and in the backward pass gradients, to the format.
pub(super) fn rounded(x: &Tensor, precision: Precision) -> Result<Tensor> {
    match precision {
        Precision::F32 => Ok(x.clone()),
        Precision::Bf16 => x.to_dtype(DType::BF16)?.to_dtype(DType::F32),
        Precision::F16 => x.to_dtype(DType::F16)?.to_dtype(DType::F32),
    }
}

/// Rounds values, but lets the gradient pass as it is: those of weights stay f32.
pub(super) fn rounded_weight(weight: &Tensor, precision: Precision) -> Result<Tensor> {
    if precision == Precision::F32 {
        return Ok(weight.clone());
    }
    let error = (rounded(&weight.detach(), precision)? - weight.detach())?;
    weight + error
}

/// `max(x, 0)`, whose derivative at 0 is 0.
pub(super) fn relu(x: &Tensor) -> Result<Tensor> {
    // The negation keeps a NaN, which no comparison holds for.
    let keep = x.detach().le(0.0)?.eq(0u8)?;
    keep.where_cond(x, &x.zeros_like()?)
}

/// The pixels under each tap of a window, row by row of it, for images `[N, H, W, C]` whose padding is
/// already there: each `[N, OH, OW, C]`, of `height` x `width` positions. The window moves by `stride` pixels, and its taps
/// are `dilation` pixels apart.
pub(super) fn taps(
    x: &Tensor,
    size: usize,
    (stride, dilation): (usize, usize),
    (height, width): (usize, usize),
) -> Result<Vec<Tensor>> {
    let indices = |tap: usize, positions: usize| -> Result<Tensor> {
        let places = (0..positions).map(|position| (position * stride + tap * dilation) as u32);
        Tensor::new(places.collect::<Vec<_>>(), x.device())
    };
    let mut taps = Vec::with_capacity(size * size);
    for row in 0..size {
        let rows = x.index_select(&indices(row, height)?, 1)?;
        for column in 0..size {
            taps.push(rows.index_select(&indices(column, width)?, 2)?);
        }
    }
    Ok(taps)
}

/// The sum of tensors of one shape, in their order.
pub(super) fn sum_of(tensors: Vec<Tensor>) -> Result<Tensor> {
    let sum = tensors.into_iter().map(Ok).reduce(|sum, tensor| sum? + tensor?);
    sum.unwrap_or_else(|| bail!("a window has at least one tap"))
}

/// `x` times dropout's `factors`, whose shape is that of `x`, with 1 where one is for several values.
pub(super) fn dropped(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    // Not a product: what is dropped is 0, were it infinite.
    let is_dropped = factors.eq(0.0)?.broadcast_as(x.shape())?;
    is_dropped.where_cond(&x.zeros_like()?, &x.broadcast_mul(factors)?)
}
