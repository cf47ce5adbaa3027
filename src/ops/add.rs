//! The sum of two tensors.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::error::OpError;
use super::fill::in_blocks;
use super::tape;
use super::tensor;

/// `x + y`, of one shape.
///
/// # Errors
/// Shapes that differ.
pub fn add(x: &Tensor, y: &Tensor) -> std::result::Result<Tensor, OpError> {
    if x.dims() != y.dims() {
        let problem = format!("cannot add {:?} to {:?}", y.dims(), x.dims());
        return Err(OpError::shape("addition", problem));
    }
    if !x.device().is_cpu() {
        return Ok((x + y)?);
    }
    Ok(tape::apply2(&x.contiguous()?, &y.contiguous()?, Add)?)
}

struct Add;

const BLOCK: usize = 1 << 14;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, y) = (tensor::values(x, x_layout)?, tensor::values(y, y_layout)?);
        // SAFETY: both have as many values as there are sums.
        let sums = unsafe {
            in_blocks(x.len(), BLOCK, |index, sums| {
                let start = index * BLOCK;
                for (sum, (x, y)) in sums.iter_mut().zip(x[start..].iter().zip(&y[start..])) {
                    sum.write(x + y);
                }
            })
        };
        Ok(tensor::output(sums, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        _y: &Tensor,
        _sum: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(gradient.clone()), Some(gradient.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    #[test]
    fn both_get_the_whole_gradient() {
        let (x, y) = (random_var(&[3, 5], 1), random_var(&[3, 5], 2));
        let sum = add(&x, &y).expect("fits");
        assert_eq!(host(&sum), host(&(x.as_tensor() + y.as_tensor()).expect("fits")));
        let weights = host(&random(&[15], 3));
        assert_eq!(
            gradients_of(&sum, &weights, &[&x, &y]),
            [weights.clone(), weights]
        );
        let error = add(&x, &random(&[5, 3], 1)).expect_err("refused").to_string();
        assert_eq!(error, "addition: cannot add [5, 3] to [3, 5]");
    }
}
