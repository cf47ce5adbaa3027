//! Sequences of tokens.

use candle_core::{Result, Shape, Tensor};

use super::error::OpError;
use super::fill::in_zeroed_blocks;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};

/// Puts `class_token`, `[1, 1, W]`, before the tokens of each sample of `x`, `[N, T, W]`, and adds
/// `positions`, `[1, T + 1, W]`, to each sample: `[N, T + 1, W]`.
///
/// # Errors
/// Shapes that do not fit each other.
pub fn embed_tokens(
    x: &Tensor,
    class_token: &Tensor,
    positions: &Tensor,
) -> std::result::Result<Tensor, OpError> {
    let fits = match *x.dims() {
        [_, tokens, width] => {
            class_token.dims() == [1, 1, width] && positions.dims() == [1, tokens + 1, width]
        }
        _ => false,
    };
    if !fits {
        let (x, class_token, positions) = (x.dims(), class_token.dims(), positions.dims());
        let problem = format!(
            "tokens {x:?}, class token {class_token:?} and positions {positions:?} do not fit each other"
        );
        return Err(OpError::shape("token embedding", problem));
    }
    run(TokenEmbedding, &[x, class_token, positions])
}

struct TokenEmbedding;

impl Operation for TokenEmbedding {
    fn name(&self) -> &'static str {
        "embed_tokens"
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (x, class_token, positions) = (&operands[0], &operands[1], &operands[2]);
        let (batch, _, width) = x.dims3()?;
        let class_token = class_token.broadcast_as((batch, 1, width))?.contiguous()?;
        Tensor::cat(&[&class_token, &x.contiguous()?], 1)?.broadcast_add(positions)
    }
}

impl CpuKernel for TokenEmbedding {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let (x, class_token, positions) = (operands[0], operands[1].values, operands[2].values);
        let (batch, width) = (x.dims[0], class_token.len());
        let own = positions.len() - width;
        let y = in_zeroed_blocks(batch * positions.len(), positions.len(), |sample, y| {
            let tokens = class_token.iter().chain(&x.values[sample * own..][..own]);
            for (y, (token, position)) in y.iter_mut().zip(tokens.zip(positions)) {
                *y = token + position;
            }
        });
        (y, (batch, positions.len() / width, width).into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (width, of_sample) = (operands[1].values.len(), operands[2].values.len());
        let samples = || gradient.chunks_exact(of_sample);
        // In the order of the samples.
        let sum = |len: usize| {
            let mut sums = vec![0.0; len];
            for sample in samples() {
                sums.iter_mut().zip(sample).for_each(|(sum, value)| *sum += value);
            }
            sums
        };
        let of_tokens = || {
            samples()
                .flat_map(|sample| &sample[width..])
                .copied()
                .collect::<Vec<f32>>()
        };
        vec![
            OperandGradient::if_wanted(wanted[0], of_tokens),
            OperandGradient::if_wanted(wanted[1], || sum(width)),
            OperandGradient::if_wanted(wanted[2], || sum(of_sample)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::select;
    use crate::ops::testing::*;

    #[test]
    fn tokens_and_their_gradients_lie_where_they_should() {
        let (batch, tokens, width) = (3, 4, 5);
        let operands = [
            random_var(&[batch, tokens, width], 1),
            random_var(&[1, 1, width], 2),
            random_var(&[1, tokens + 1, width], 3),
        ];
        let define = |x: &[f64], class_token: &[f64], positions: &[f64]| -> Vec<f64> {
            let samples = x.chunks_exact(tokens * width);
            samples
                .flat_map(|sample| {
                    let sequence = class_token.iter().chain(sample);
                    sequence.zip(positions).map(|(x, position)| x + position)
                })
                .collect()
        };
        let [x, class_token, positions] = operands.each_ref().map(|operand| host64(operand));
        let y = embed_tokens(&operands[0], &operands[1], &operands[2]).expect("fits");
        assert_eq!(y.dims(), [batch, tokens + 1, width]);
        assert_close(&host(&y), &define(&x, &class_token, &positions), 1e-7);

        let first = select(&y, 1, 0).expect("fits");
        let rows: Vec<f64> = host64(&y)
            .chunks_exact((tokens + 1) * width)
            .flat_map(|sample| sample[..width].to_vec())
            .collect();
        assert_close(&host(&first), &rows, 0.0);

        // A loss of all tokens, and more of the first.
        let weights = host(&random(y.dims(), 4));
        let sum = (&y
            + first
                .unsqueeze(1)
                .and_then(|first| first.broadcast_as(y.shape()))
                .expect("valid"))
        .expect("equal shapes");
        let loss = |x: &[f64], class_token: &[f64], positions: &[f64]| -> f64 {
            let y = define(x, class_token, positions);
            let repeated: Vec<f64> = (0..y.len())
                .map(|index| {
                    y[index] + y[index / ((tokens + 1) * width) * ((tokens + 1) * width) + index % width]
                })
                .collect();
            weighted(&repeated, &weights)
        };
        let expected = [
            differences(&x, |x| loss(x, &class_token, &positions)),
            differences(&class_token, |class_token| loss(&x, class_token, &positions)),
            differences(&positions, |positions| loss(&x, &class_token, positions)),
        ];
        let [x, class_token, positions] = &operands;
        let gradients = gradients_of(&sum, &weights, &[x, class_token, positions]);
        for (actual, expected) in gradients.iter().zip(&expected) {
            assert_close(actual, expected, 1e-6);
        }
    }

    #[test]
    fn misfits_are_told() {
        let error = embed_tokens(
            &random(&[2, 3, 4], 1),
            &random(&[1, 1, 4], 1),
            &random(&[1, 3, 4], 1),
        );
        assert_eq!(
            error.expect_err("one position is missing").to_string(),
            "token embedding: tokens [2, 3, 4], class token [1, 1, 4] and positions [1, 3, 4] do not fit \
             each other"
        );
    }
}
