//! Attention as a composition of candle's operations, for devices without a kernel of ours. Here the weights of
//! a sequence are a matrix.

use candle_core::{D, Result, Tensor};

use super::Attention;
use crate::ops::composed::{dropped, rounded};
use crate::ops::sequences::SequenceSpan;

/// The result for these operands.
pub(super) fn attention(attention: &Attention, operands: &[Tensor]) -> Result<Tensor> {
    let sizes = &attention.sizes;
    let parts = (0..3)
        .map(|part| {
            let (operand, stride, column) = sizes.place(part);
            let operand = &operands[operand];
            let rows = operand
                .contiguous()?
                .reshape((operand.elem_count() / stride, stride))?;
            rounded(
                &rows.narrow(1, column, sizes.part_columns(part))?,
                attention.precision,
            )
        })
        .collect::<Result<Vec<Tensor>>>()?;
    let spans = sizes.sequences.spans();
    // A graph has batches of any size; those of the operands count where samples are sequences.
    let uniform = match *operands[0].dims() {
        [samples, tokens, _] => Some([samples, tokens, tokens]),
        _ => sizes.sequences.uniform(sizes.query_rows, sizes.key_rows),
    };
    let y = match uniform {
        Some([count, _, _]) => {
            let span = spans.first().cloned().unwrap_or(SequenceSpan {
                queries: 0..0,
                keys: 0..0,
            });
            sequences(attention, &parts, (0, count), &span)?
        }
        None => {
            let mut rows = Vec::new();
            let mut end = 0;
            let zeros =
                |count: usize| Tensor::zeros((count, sizes.columns()), parts[0].dtype(), parts[0].device());
            for (index, span) in spans.iter().enumerate() {
                if span.queries.is_empty() {
                    continue;
                }
                rows.push(zeros(span.queries.start - end)?);
                let own = [
                    parts[0].narrow(0, span.queries.start, span.queries.len())?,
                    parts[1].narrow(0, span.keys.start, span.keys.len())?,
                    parts[2].narrow(0, span.keys.start, span.keys.len())?,
                ];
                rows.push(sequences(attention, &own, (index, 1), span)?);
                end = span.queries.end;
            }
            rows.push(zeros(sizes.query_rows - end)?);
            rows.retain(|rows| rows.elem_count() > 0);
            Tensor::cat(&rows, 0)?
        }
    };
    let mut dims = operands[0].dims().to_vec();
    if let Some(columns) = dims.last_mut() {
        *columns = sizes.columns();
    }
    rounded(&y, attention.precision)?.reshape(dims)
}

/// `count` sequences alike, from the one numbered `first` on, of which `span` is one; parts hold their rows alone.
fn sequences(
    attention: &Attention,
    parts: &[Tensor],
    (first, count): (usize, usize),
    span: &SequenceSpan,
) -> Result<Tensor> {
    let sizes = &attention.sizes;
    let (asked, seen) = (span.queries.len(), span.keys.len());
    let group = sizes.group();
    // [count * heads, tokens, D]
    let queries = parts[0]
        .reshape((count, asked, sizes.heads, sizes.width))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((count * sizes.heads, asked, sizes.width))?;
    let shared = |part: &Tensor| {
        part.reshape((count, seen, sizes.key_value_heads, 1, sizes.width))?
            .permute((0, 2, 3, 1, 4))?
            .broadcast_as((count, sizes.key_value_heads, group, seen, sizes.width))?
            .contiguous()?
            .reshape((count * sizes.heads, seen, sizes.width))
    };
    let (keys, values) = (shared(&parts[1])?, shared(&parts[2])?);
    let scale = 1.0 / (sizes.width as f64).sqrt();
    let mut products = (queries.matmul(&keys.transpose(1, 2)?.contiguous()?)? * scale)?;
    if sizes.causal || sizes.window.is_some() {
        let mut hidden = vec![1u8; asked * seen];
        for (query, hidden) in hidden.chunks_exact_mut(seen).enumerate() {
            hidden[sizes.seen(span, query)].fill(0);
        }
        let hidden = Tensor::from_vec(hidden, (1, asked, seen), products.device())?;
        let nothing = Tensor::full(f32::MIN / 2.0, products.shape(), products.device())?;
        products = hidden
            .broadcast_as(products.shape())?
            .where_cond(&nothing, &products)?;
    }
    let mut weights = candle_nn::ops::softmax(&products, D::Minus1)?;
    if let Some(dropout) = &attention.dropout {
        let mut factors = vec![0.0; weights.elem_count()];
        for (row, factors) in factors.chunks_exact_mut(seen).enumerate() {
            let (head, query) = (row / asked, row % asked);
            let (sequence, head) = (first + head / sizes.heads, head % sizes.heads);
            dropout.factors((sequence, span), head, query, 0..seen, factors);
        }
        let factors = Tensor::from_vec(factors, weights.shape(), weights.device())?;
        weights = dropped(&weights, &factors)?;
    }
    let y = rounded(&weights, attention.precision)?
        .contiguous()?
        .matmul(&values)?;
    y.reshape((count, sizes.heads, asked, sizes.width))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((count * asked, sizes.columns()))
}
