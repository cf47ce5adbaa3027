//! The losses as compositions of candle's operations.

use candle_core::{Result, Tensor};

use super::SCALE;

/// The loss of embeddings, `[2 pairs, W]`, times `factor` and the pairs.
pub(super) fn loss(embeddings: &Tensor, numbers: Option<&[f32]>, factor: f64) -> Result<Tensor> {
    let (rows, width) = embeddings.dims2()?;
    let pairs = rows / 2;
    let lengths = embeddings.sqr()?.sum_keepdim(1)?.sqrt()?;
    let unit = embeddings.broadcast_div(&lengths)?.reshape((pairs, 2 * width))?;
    let (first, second) = (
        unit.narrow(1, 0, width)?.contiguous()?,
        unit.narrow(1, width, width)?.contiguous()?,
    );
    let cosines = ((&first * &second)?.sum(1)? * SCALE)?;
    let sum = match numbers {
        None => {
            let scores = (first.matmul(&second.t()?.contiguous()?)? * SCALE)?;
            let largest = scores.detach().max_keepdim(1)?;
            let log_sums = scores.broadcast_sub(&largest)?.exp()?.sum(1)?.log()?;
            ((log_sums + largest.squeeze(1)?)? - cosines)?.sum_all()?
        }
        Some(numbers) => {
            let is_misplaced = numbers
                .iter()
                .flat_map(|less| numbers.iter().map(move |more| f32::from(u8::from(less < more))));
            let device = embeddings.device();
            let mask = Tensor::from_vec(is_misplaced.collect::<Vec<_>>(), (pairs, pairs), device)?;
            let differences = cosines.unsqueeze(1)?.broadcast_sub(&cosines.unsqueeze(0)?)?;
            // A cosine is at most 1, so that no exponential is infinite.
            let sum = ((differences.exp()? * mask)?.sum_all()? + 1.0)?;
            (sum.log()? * pairs as f64)?
        }
    };
    sum * factor
}
