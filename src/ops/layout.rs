//! How the numbers of a tensor lie in memory.

use candle_core::Tensor;
use rayon::prelude::*;

use super::error::OpError;
use super::tensor;

/// Input images `[N, C, H, W]` as `[N, H, W, C]`. The result is a constant to autograd: nothing
/// that is trained lies before it.
///
/// # Errors
/// A tensor of another rank.
pub fn to_channels_last(images: &Tensor) -> Result<Tensor, OpError> {
    let [batch, channels, height, width] = *images.dims() else {
        return Err(OpError::rank("layout conversion", "[N, C, H, W]", images.shape()));
    };
    let images = images.detach();
    if !images.device().is_cpu() {
        return Ok(images.permute((0, 2, 3, 1))?.contiguous()?);
    }
    let values = tensor::with_values(&images, |images| {
        let mut target = vec![0.0; images.len()];
        let image_len = (channels * height * width).max(1);
        target
            .par_chunks_mut(image_len)
            .zip(images.par_chunks(image_len))
            .for_each(|(target, image)| {
                for (channel, plane) in image.chunks_exact(height * width).enumerate() {
                    for (target, &value) in target[channel..].iter_mut().step_by(channels).zip(plane) {
                        *target = value;
                    }
                }
            });
        Ok(target)
    })?;
    Ok(tensor::from_values(values, (batch, height, width, channels))?)
}

/// All dimensions but the first as one: `[N, ...]` becomes `[N, F]`.
///
/// # Errors
/// A tensor without dimensions.
pub fn flatten(x: &Tensor) -> Result<Tensor, OpError> {
    if x.rank() == 0 {
        return Err(OpError::rank("flatten", "[N, ...]", x.shape()));
    }
    Ok(x.flatten_from(1.min(x.rank() - 1))?)
}

/// Activations as rows in PyTorch's order, channel by channel: `[N, H, W, C]` becomes `[N, C * H * W]`.
/// Rows `[N, F]` stay as they are.
///
/// # Errors
/// A tensor of another rank.
pub fn flatten_channels_last(x: &Tensor) -> Result<Tensor, OpError> {
    match *x.dims() {
        [_, _] => Ok(x.clone()),
        [_, _, _, _] => Ok(x.permute((0, 3, 1, 2))?.contiguous()?.flatten_from(1)?),
        _ => Err(OpError::rank("flatten", "[N, H, W, C] or [N, F]", x.shape())),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::ops::testing::{gradient_of, host, random};

    #[test]
    fn channels_last_is_the_permutation() {
        let images = random(&[3, 4, 5, 2], 1);
        let converted = to_channels_last(&images).expect("runs");
        let permuted = images
            .permute((0, 2, 3, 1))
            .expect("valid")
            .contiguous()
            .expect("valid");
        assert_eq!(converted.dims(), [3, 5, 2, 4]);
        assert_eq!(host(&converted), host(&permuted));
    }

    #[test]
    fn rows_of_channels_last_images_are_those_of_channels_first_ones() {
        let images = random(&[3, 4, 5, 2], 1);
        let x = Var::from_tensor(&to_channels_last(&images).expect("runs")).expect("valid");
        let rows = flatten_channels_last(&x).expect("runs");
        assert_eq!(rows.dims(), [3, 40]);
        assert_eq!(host(&rows), host(&images));
        // The gradient of a value is the weight of that value.
        let weights = random(&[3, 4, 5, 2], 2);
        let expected = host(&to_channels_last(&weights).expect("runs"));
        assert_eq!(gradient_of(&rows, &host(&weights), &x), expected);
        assert_eq!(flatten_channels_last(&rows).expect("runs").dims(), [3, 40]);
        assert!(flatten_channels_last(&random(&[3, 4, 5], 1)).is_err());
    }

    #[test]
    fn flatten_keeps_the_batch() {
        assert_eq!(flatten(&random(&[3, 4, 5, 2], 1)).expect("runs").dims(), [3, 40]);
        assert_eq!(flatten(&random(&[3, 7], 1)).expect("runs").dims(), [3, 7]);
    }
}
