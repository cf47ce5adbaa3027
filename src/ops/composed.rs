//! The same operations as compositions of candle's own, for devices without a kernel of ours. Only
//! operations whose gradient was verified are used: no pooling, no ReLU, no maximum of candle's.

use candle_core::{D, DType, Result, Tensor};

use super::batch_norm::{EPSILON, Epilogue, Statistics, remember};
use super::conv::Window;
use crate::spec::Precision;

/// Rounds values, and in the backward pass gradients, to the format.
fn rounded(x: &Tensor, precision: Precision) -> Result<Tensor> {
    match precision {
        Precision::F32 => Ok(x.clone()),
        Precision::Bf16 => x.to_dtype(DType::BF16)?.to_dtype(DType::F32),
        Precision::F16 => x.to_dtype(DType::F16)?.to_dtype(DType::F32),
    }
}

/// Rounds values, but lets the gradient pass as it is: those of weights stay f32.
fn rounded_weight(weight: &Tensor, precision: Precision) -> Result<Tensor> {
    if precision == Precision::F32 {
        return Ok(weight.clone());
    }
    let error = (rounded(&weight.detach(), precision)? - weight.detach())?;
    weight + error
}

pub(super) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    stride: usize,
    padding: usize,
    precision: Precision,
) -> Result<Tensor> {
    let mut x = rounded(x, precision)?.permute((0, 3, 1, 2))?.contiguous()?;
    let weight = rounded_weight(weight, precision)?;
    // candle's backward fails where stride leaves different remainders of height and width, so
    // pixels that no window reaches are cut off beforehand.
    for dimension in [2, 3] {
        x = x.pad_with_zeros(dimension, padding, padding)?;
        let size = weight.dim(dimension)?;
        let reached = (x.dim(dimension)? - size) / stride * stride + size;
        x = x.narrow(dimension, 0, reached)?.contiguous()?;
    }
    let y = x.conv2d(&weight, 0, stride, 1, 1)?;
    rounded(&y.permute((0, 2, 3, 1))?.contiguous()?, precision)
}

pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, precision: Precision) -> Result<Tensor> {
    let x = rounded(x, precision)?.contiguous()?;
    let weight = rounded_weight(weight, precision)?;
    let bias = rounded_weight(bias, precision)?;
    rounded(
        &x.matmul(&weight.t()?.contiguous()?)?.broadcast_add(&bias)?,
        precision,
    )
}

pub(super) fn relu(x: &Tensor) -> Result<Tensor> {
    // The negation keeps a NaN, which no comparison holds for.
    let keep = x.detach().le(0.0)?.eq(0u8)?;
    keep.where_cond(x, &x.zeros_like()?)
}

pub(super) fn batch_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    statistics: Statistics,
    epilogue: Epilogue,
    precision: Precision,
) -> Result<Tensor> {
    let channels = x.dim(D::Minus1)?;
    let rows = x.elem_count() / channels;
    let flat = x.contiguous()?.reshape((rows, channels))?;
    let normalised = match statistics {
        Statistics::Batch(running) => {
            let mean = flat.mean_keepdim(0)?;
            let centred = flat.broadcast_sub(&mean)?;
            let variance = centred.sqr()?.mean_keepdim(0)?;
            let host = |values: &Tensor| {
                values
                    .detach()
                    .flatten_all()?
                    .to_dtype(DType::F64)?
                    .to_vec1::<f64>()
            };
            remember(running, host(&mean)?, host(&variance)?, rows);
            centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?
        }
        Statistics::Running(running) => {
            let mean = Tensor::new(running.mean.as_slice(), x.device())?;
            let variance = Tensor::new(running.variance.as_slice(), x.device())?;
            flat.broadcast_sub(&mean)?
                .broadcast_div(&(variance + EPSILON)?.sqrt()?)?
        }
    };
    let y = normalised
        .broadcast_mul(weight)?
        .broadcast_add(bias)?
        .reshape(x.shape())?;
    let y = match epilogue {
        Epilogue::None => y,
        Epilogue::Relu => relu(&y)?,
        Epilogue::AddRelu(residual) => relu(&(y + residual)?)?,
    };
    rounded(&y, precision)
}

pub(super) fn max_pool2d(x: &Tensor, window: Window, (height, width): (usize, usize)) -> Result<Tensor> {
    let Window {
        size,
        stride,
        padding,
    } = window;
    let lowest = |shape: &[usize]| Tensor::full(f32::NEG_INFINITY, shape, x.device());
    let (batch, rows, columns, channels) = x.dims4()?;
    let edge = lowest(&[batch, padding, columns, channels])?;
    let x = if padding == 0 {
        x.contiguous()?
    } else {
        Tensor::cat(&[&edge, x, &edge], 1)?
    };
    let edge = lowest(&[batch, rows + 2 * padding, padding, channels])?;
    let x = if padding == 0 {
        x
    } else {
        Tensor::cat(&[&edge, &x, &edge], 2)?
    };
    let indices = |tap: usize, positions: usize| {
        let indices: Vec<u32> = (0..positions)
            .map(|position| (position * stride + tap) as u32)
            .collect();
        Tensor::new(indices, x.device())
    };
    let mut taps = Vec::with_capacity(size * size);
    for row in 0..size {
        let rows = x.index_select(&indices(row, height)?, 1)?;
        for column in 0..size {
            taps.push(rows.index_select(&indices(column, width)?, 2)?);
        }
    }
    let taps = Tensor::stack(&taps, 0)?;
    let winners = taps.detach().argmax_keepdim(0)?;
    taps.gather(&winners.contiguous()?, 0)?.squeeze(0)
}

pub(super) fn global_average_pool(x: &Tensor, precision: Precision) -> Result<Tensor> {
    let (batch, height, width, channels) = x.dims4()?;
    rounded(
        &x.contiguous()?
            .reshape((batch, height * width, channels))?
            .mean(1)?,
        precision,
    )
}
