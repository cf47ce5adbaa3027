//! Layer norm, attention and average pooling of candle's operations.

use candle_core::{D, Result, Tensor};

use super::{dropped, rounded};
use crate::ops::attention::Attention;
use crate::ops::average_pool::AveragePool;
use crate::ops::conv::Window;

pub(in crate::ops) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred
        .broadcast_div(&(variance + epsilon)?.sqrt()?)?
        .broadcast_mul(weight)?
        .broadcast_add(bias)
}

pub(in crate::ops) fn attention(qkv: &Tensor, op: &Attention) -> Result<Tensor> {
    let sizes = op.heads;
    let (batch, tokens, heads) = (sizes.batch, sizes.tokens, sizes.heads);
    let parts = rounded(qkv, op.precision)?
        .reshape((batch, tokens, 3, heads, sizes.width))?
        .permute((2, 0, 3, 1, 4))?;
    let part = |index: usize| parts.narrow(0, index, 1)?.squeeze(0)?.contiguous();
    let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
    let scale = 1.0 / (sizes.width as f64).sqrt();
    let products = queries.matmul(&keys.transpose(2, 3)?.contiguous()?)?;
    let mut weights = candle_nn::ops::softmax(&(products * scale)?, D::Minus1)?;
    if let Some(dropout) = op.dropout {
        let mut factors = vec![0.0; sizes.count() * tokens * tokens];
        for (query, factors) in factors.chunks_exact_mut(tokens).enumerate() {
            dropout.factors(query, factors);
        }
        let factors = Tensor::from_vec(factors, weights.shape(), weights.device())?;
        weights = dropped(&weights, &factors)?;
    }
    let y = rounded(&weights, op.precision)?.contiguous()?.matmul(&values)?;
    let y = y.transpose(1, 2)?.contiguous()?;
    rounded(&y.reshape((batch, tokens, sizes.columns()))?, op.precision)
}

pub(in crate::ops) fn avg_pool2d(x: &Tensor, op: &AveragePool) -> Result<Tensor> {
    let Window {
        size,
        stride,
        padding,
    } = op.window;
    let (height, width) = (op.output.height, op.output.width);
    let x = x
        .contiguous()?
        .pad_with_zeros(1, padding, padding)?
        .pad_with_zeros(2, padding, padding)?;
    let indices = |tap: usize, positions: usize| {
        let indices: Vec<u32> = (0..positions)
            .map(|position| (position * stride + tap) as u32)
            .collect();
        Tensor::new(indices, x.device())
    };
    let mut sum: Option<Tensor> = None;
    for row in 0..size {
        let rows = x.index_select(&indices(row, height)?, 1)?;
        for column in 0..size {
            let tap = rows.index_select(&indices(column, width)?, 2)?;
            sum = Some(match sum {
                Some(sum) => (sum + tap)?,
                None => tap,
            });
        }
    }
    let factors: Vec<f32> = (0..height * width)
        .map(|pixel| (1.0 / op.divisor(pixel / width, pixel % width) as f64) as f32)
        .collect();
    let factors = Tensor::from_vec(factors, (height, width, 1), x.device())?;
    match sum {
        Some(sum) => rounded(&sum.broadcast_mul(&factors)?, op.precision),
        None => Err(candle_core::Error::Msg(
            "a window has at least one tap".to_string(),
        )),
    }
}
