//! The loss as a composition of candle's operations, for devices without a kernel of ours, some rows at a time
//! as on the CPU: value and gradient are both formed outside the graph and joined to it.

use candle_core::{D, Result, Tensor};

use crate::ops::composed::rounded;
use crate::spec::Precision;

/// Rows whose logits are made together.
const ROWS: usize = 1024;

/// The loss times `scale`, and how many targets have the largest logit, of hidden states, weight and, where there is one, bias.
pub(super) fn loss(
    operands: &[Tensor],
    targets: &[Option<u32>],
    scale: f64,
    precision: Precision,
) -> Result<(Tensor, Tensor)> {
    let device = operands[0].device();
    let constants: Vec<Tensor> = operands.iter().map(Tensor::detach).collect();
    let weight = rounded(&constants[1], precision)?.contiguous()?;
    let vocabulary = weight.dim(0)?;
    let mut value = Tensor::zeros((), candle_core::DType::F32, device)?;
    let mut likeliest = Tensor::zeros((), candle_core::DType::F64, device)?;
    let mut for_hidden = Vec::new();
    let mut for_weight = weight.zeros_like()?;
    let mut for_bias = Tensor::zeros(vocabulary, candle_core::DType::F32, device)?;
    for first in (0..targets.len()).step_by(ROWS) {
        let targets = &targets[first..(first + ROWS).min(targets.len())];
        let hidden = rounded(&constants[0].narrow(0, first, targets.len())?, precision)?.contiguous()?;
        let mut logits = hidden.matmul(&weight.t()?.contiguous()?)?;
        if let Some(bias) = constants.get(2) {
            logits = logits.broadcast_add(&rounded(bias, precision)?)?;
        }
        let logits = rounded(&logits, precision)?;
        let below = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
        let logarithms = below.broadcast_sub(&below.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
        let counts: Vec<f32> = targets
            .iter()
            .map(|target| f32::from(u8::from(target.is_some())))
            .collect();
        let counts = Tensor::from_vec(counts, (targets.len(), 1), device)?;
        let classes: Vec<u32> = targets.iter().map(|target| target.unwrap_or(0)).collect();
        let classes = Tensor::from_vec(classes, (targets.len(), 1), device)?;
        let own = (logarithms.gather(&classes, 1)? * &counts)?;
        value = (value - own.sum_all()?)?;
        let found = logits.argmax_keepdim(D::Minus1)?.eq(&classes)?;
        let found = (found.to_dtype(candle_core::DType::F32)? * &counts)?;
        likeliest = (likeliest + found.to_dtype(candle_core::DType::F64)?.sum_all()?)?;
        let range = Tensor::arange(0u32, vocabulary as u32, device)?.unsqueeze(0)?;
        let is_target = range.broadcast_eq(&classes)?.to_dtype(candle_core::DType::F32)?;
        let gradient = ((logarithms.exp()? - is_target)?.broadcast_mul(&counts)? * scale)?;
        let gradient = rounded(&gradient, precision)?.contiguous()?;
        for_hidden.push(rounded(&gradient.matmul(&weight)?, precision)?);
        for_weight = (for_weight + gradient.t()?.contiguous()?.matmul(&hidden)?)?;
        for_bias = (for_bias + gradient.sum(0)?)?;
    }
    let for_hidden = match for_hidden.is_empty() {
        true => constants[0].zeros_like()?,
        false => Tensor::cat(&for_hidden, 0)?,
    };
    let mut joined = (value * scale)?;
    for (operand, gradient) in operands.iter().zip([for_hidden, for_weight, for_bias]) {
        let along = (operand * gradient.detach())?.sum_all()?;
        joined = (joined + (&along - along.detach())?)?;
    }
    Ok((joined, likeliest))
}
