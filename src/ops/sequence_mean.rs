//! The mean of the tokens of each sequence.

use candle_core::{Result, Shape, Tensor};

use super::error::OpError;
use super::fill::in_zeroed_blocks;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::sequences::Sequences;

/// The mean over the tokens of each sample of `[N, T, W]`, or of each of the `sequences` within `[rows, W]`:
/// `[sequences, W]`. That of no token is 0.
///
/// # Errors
/// Another shape, or sequences that have other rows.
pub fn sequence_mean(x: &Tensor, sequences: Option<&Sequences>) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "mean of sequences";
    match (x.dims(), sequences) {
        (&[_, _, _], None) => {}
        (&[rows, _], Some(sequences)) => sequences.check(OP, rows, usize::MAX)?,
        _ => {
            return Err(OpError::rank(
                OP,
                "[N, T, W], or [rows, W] with sequences",
                x.shape(),
            ));
        }
    }
    let op = SequenceMean {
        sequences: sequences.cloned(),
    };
    run(op, &[x])
}

struct SequenceMean {
    sequences: Option<Sequences>,
}

impl SequenceMean {
    fn of(&self, dims: &[usize]) -> Sequences {
        match &self.sequences {
            Some(sequences) => sequences.clone(),
            None => Sequences::equal(dims[0], dims[1]),
        }
    }
}

impl Operation for SequenceMean {
    fn name(&self) -> &'static str {
        "sequence_mean"
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let x = &operands[0];
        if self.sequences.is_none() {
            return x.mean(1);
        }
        let (_, width) = x.dims2()?;
        let spans = self.of(x.dims());
        let means = spans.spans().iter().map(|span| match span.queries.len() {
            0 => Tensor::zeros((1, width), x.dtype(), x.device()),
            tokens => x.narrow(0, span.queries.start, tokens)?.mean_keepdim(0),
        });
        Tensor::cat(&means.collect::<Result<Vec<_>>>()?, 0)
    }
}

impl CpuKernel for SequenceMean {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let x = operands[0];
        let width = x.dims[x.dims.len() - 1];
        let sequences = self.of(x.dims);
        let spans = sequences.spans();
        let y = in_zeroed_blocks(spans.len() * width, width, |index, y| {
            let rows = spans[index].queries.clone();
            let mut sums = vec![0.0f64; width];
            for row in x.values[rows.start * width..rows.end * width].chunks_exact(width) {
                sums.iter_mut()
                    .zip(row)
                    .for_each(|(sum, &value)| *sum += f64::from(value));
            }
            let count = rows.len().max(1) as f64;
            y.iter_mut()
                .zip(sums)
                .for_each(|(y, sum)| *y = (sum / count) as f32);
        });
        (y, (spans.len(), width).into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let x = operands[0];
        let width = x.dims[x.dims.len() - 1];
        let of_x = || {
            let mut target = vec![0.0; x.values.len()];
            for (span, gradient) in self.of(x.dims).spans().iter().zip(gradient.chunks_exact(width)) {
                let share = 1.0 / span.queries.len().max(1) as f32;
                let rows = span.queries.start * width..span.queries.end * width;
                for row in target[rows].chunks_exact_mut(width) {
                    row.iter_mut()
                        .zip(gradient)
                        .for_each(|(row, value)| *row = value * share);
                }
            }
            target
        };
        vec![OperandGradient::if_wanted(wanted[0], of_x)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    #[test]
    fn means_and_their_gradients_are_those_of_the_definition() {
        let sequences = Sequences::padded(&[3, 0, 2], 3).expect("fits");
        let x = random_var(&[9, 4], 1);
        let weights = host(&random(&[3, 4], 2));
        let define = |x: &[f64]| -> Vec<f64> {
            let means = sequences.spans().iter().flat_map(|span| {
                (0..4).map(move |c| {
                    let sum: f64 = span.queries.clone().map(|row| x[row * 4 + c]).sum();
                    sum / span.queries.len().max(1) as f64
                })
            });
            means.collect()
        };
        let expected = differences(&host64(&x), |x| weighted(&define(x), &weights));
        let run = || sequence_mean(&x, Some(&sequences)).expect("fits");
        for y in [run(), composing(run)] {
            assert_close(&host(&y), &define(&host64(&x)), 1e-6);
            assert_close(&gradient_of(&y, &weights, &x), &expected, 1e-6);
        }
        let samples = x.reshape((3, 3, 4)).expect("valid");
        let flat = Sequences::equal(3, 3);
        let of_rows = sequence_mean(&x, Some(&flat)).expect("fits");
        assert_eq!(
            host(&sequence_mean(&samples, None).expect("fits")),
            host(&of_rows)
        );
        assert!(sequence_mean(&x, None).is_err());
        assert!(sequence_mean(&x, Some(&Sequences::equal(2, 5))).is_err());
    }
}
