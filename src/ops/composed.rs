//! The same operations as compositions of candle's own, for devices without a kernel of ours. Only
//! operations whose gradient was verified are used: no pooling, no ReLU, no maximum of candle's.

mod activation;
mod transformer;

use candle_core::{D, DType, Result, Tensor};

use super::batch_norm::{BatchNormOptions, Epilogue, Statistics, remember};
use super::conv::{ConvOptions, Window};
use crate::spec::Precision;
pub(super) use activation::activation;
pub(super) use transformer::{attention, avg_pool2d, layer_norm};

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
    bias: Option<&Tensor>,
    options: ConvOptions,
    precision: Precision,
) -> Result<Tensor> {
    let ConvOptions {
        stride,
        padding,
        groups,
    } = options;
    let mut x = rounded(x, precision)?;
    let weight = rounded_weight(weight, precision)?;
    let (outputs, _, size, _) = weight.dims4()?;
    // candle's backward fails where stride leaves different remainders of height and width, so
    // pixels that no window reaches are cut off beforehand.
    for dimension in [1, 2] {
        x = x.pad_with_zeros(dimension, padding, padding)?;
        let reached = (x.dim(dimension)? - size) / stride * stride + size;
        x = x.narrow(dimension, 0, reached)?.contiguous()?;
    }
    let y = if groups > 1 && groups == x.dim(3)? && groups == outputs {
        depthwise_conv2d(&x, &weight, stride)?
    } else {
        let x = x.permute((0, 3, 1, 2))?.contiguous()?;
        x.conv2d(&weight, 0, stride, 1, groups)?.permute((0, 2, 3, 1))?
    };
    let y = match bias {
        None => y.contiguous()?,
        Some(bias) => y.contiguous()?.broadcast_add(&rounded_weight(bias, precision)?)?,
    };
    rounded(&y, precision)
}

/// A sum over taps: candle convolves groups one after another, and here each channel is one.
fn depthwise_conv2d(x: &Tensor, weight: &Tensor, stride: usize) -> Result<Tensor> {
    let (_, height, width, channels) = x.dims4()?;
    let size = weight.dim(2)?;
    let weight = weight.reshape((channels, size * size))?.t()?.contiguous()?;
    let indices = |tap: usize, extent: usize| {
        let starts = (0..extent - size + 1).step_by(stride);
        Tensor::new(
            starts.map(|start| (start + tap) as u32).collect::<Vec<_>>(),
            x.device(),
        )
    };
    let mut sum: Option<Tensor> = None;
    for row in 0..size {
        let rows = x.index_select(&indices(row, height)?, 1)?;
        for column in 0..size {
            let pixels = rows.index_select(&indices(column, width)?, 2)?;
            let product = pixels.broadcast_mul(&weight.get(row * size + column)?)?;
            sum = Some(match sum {
                None => product,
                Some(sum) => (sum + product)?,
            });
        }
    }
    match sum {
        Some(sum) => Ok(sum),
        None => candle_core::bail!("a kernel has at least one tap"),
    }
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
    options: BatchNormOptions,
    epilogue: Epilogue,
    precision: Precision,
) -> Result<Tensor> {
    let epsilon = options.epsilon;
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
            remember(running, host(&mean)?, host(&variance)?, rows, options);
            centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?
        }
        Statistics::Running(running) => {
            let mean = Tensor::new(running.mean.as_slice(), x.device())?;
            let variance = Tensor::new(running.variance.as_slice(), x.device())?;
            flat.broadcast_sub(&mean)?
                .broadcast_div(&(variance + epsilon)?.sqrt()?)?
        }
    };
    let y = normalised
        .broadcast_mul(weight)?
        .broadcast_add(bias)?
        .reshape(x.shape())?;
    let y = match epilogue {
        Epilogue::None => y,
        Epilogue::Relu => relu(&y)?,
        Epilogue::Add(residual) => (y + residual)?,
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

pub(super) fn scale_channels(x: &Tensor, scale: &Tensor, precision: Precision) -> Result<Tensor> {
    let (batch, _, _, channels) = x.dims4()?;
    let scale = scale.contiguous()?.reshape((batch, 1, 1, channels))?;
    rounded(&x.broadcast_mul(&scale)?, precision)
}

pub(super) fn stochastic_depth(
    x: &Tensor,
    residual: &Tensor,
    factors: Vec<f32>,
    precision: Precision,
) -> Result<Tensor> {
    let mut shape = vec![1; x.rank()];
    shape[0] = factors.len();
    let factors = Tensor::from_vec(factors, shape, x.device())?;
    rounded(&(dropped(x, &factors)? + residual)?, precision)
}

/// `x` times dropout's `factors`, whose shape is that of `x`, with 1 where one is for several values.
pub(super) fn dropped(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    // Not a product: what is dropped is 0, were it infinite.
    let is_dropped = factors.eq(0.0)?.broadcast_as(x.shape())?;
    is_dropped.where_cond(&x.zeros_like()?, &x.broadcast_mul(factors)?)
}
