//! Rows of a table, looked up by their number.

use candle_core::{DType, Result, Shape, Tensor};
use rayon::prelude::*;

use super::attributes::Attributes;
use super::error::OpError;
use super::fill::in_zeroed_blocks;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};

/// The rows of `weight`, `[V, W]`, that `ids`, u32 of any shape `[...]`, name: `[..., W]`.
///
/// A row gets the sum of the gradients of all its uses, in the order of `ids` whatever the number of
/// threads; the row `padding` gets none, as with `torch.nn.Embedding(padding_idx=...)`.
///
/// # Errors
/// Shapes or types that are others, or, where they are on the host, an id that is no row.
pub fn embedding(
    ids: &Tensor,
    weight: &Tensor,
    padding: Option<u32>,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "embedding";
    let [rows, width] = *weight.dims() else {
        return Err(OpError::rank(OP, "[V, W]", weight.shape()));
    };
    if ids.dtype() != DType::U32 || width == 0 {
        let problem = format!(
            "ids of {} and a weight of {:?}, which are to be u32 and rows of values",
            ids.dtype().as_str(),
            weight.dims()
        );
        return Err(OpError::shape(OP, problem));
    }
    if ids.device().is_cpu() {
        let ids = ids.flatten_all()?.to_vec1::<u32>()?;
        if let Some(index) = ids.iter().position(|id| *id as usize >= rows) {
            let problem = format!(
                "id {} at place {index} is not under {rows}, the number of rows",
                ids[index]
            );
            return Err(OpError::shape(OP, problem));
        }
    }
    run(Embedding { padding }, &[ids, weight])
}

struct Embedding {
    padding: Option<u32>,
}

impl Operation for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn attributes(&self) -> Attributes {
        let attributes = Attributes::default();
        match self.padding {
            Some(padding) => attributes.with("padding_idx", padding as usize),
            None => attributes,
        }
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (ids, weight) = (&operands[0], &operands[1]);
        let (rows, width) = weight.dims2()?;
        let mut dims = ids.dims().to_vec();
        dims.push(width);
        let trained = match self.padding {
            Some(padding) if (padding as usize) < rows => {
                let kept = (0..rows).map(|row| u8::from(row != padding as usize));
                let kept = Tensor::from_vec(kept.collect::<Vec<_>>(), (rows, 1), weight.device())?;
                let kept = kept.broadcast_as(weight.shape())?;
                &kept.where_cond(weight, &weight.detach())?
            }
            _ => weight,
        };
        trained
            .contiguous()?
            .index_select(&ids.flatten_all()?, 0)?
            .reshape(dims)
    }
}

/// Rows of the table whose gradients are summed together.
const ROWS: usize = 64;

impl CpuKernel for Embedding {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        const BLOCK: usize = 64;
        let (ids, weight) = (operands[0], operands[1]);
        let width = weight.dims[1];
        let y = in_zeroed_blocks(ids.indices.len() * width, BLOCK * width, |block, y| {
            for (y, &id) in y.chunks_exact_mut(width).zip(&ids.indices[block * BLOCK..]) {
                y.copy_from_slice(&weight.values[id as usize * width..][..width]);
            }
        });
        let mut dims = ids.dims.to_vec();
        dims.push(width);
        (y, dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (ids, weight) = (operands[0].indices, operands[1]);
        let of_weight = || sum_by_row(ids, self.padding, gradient, [weight.dims[0], weight.dims[1]]);
        vec![None, OperandGradient::if_wanted(wanted[1], of_weight)]
    }
}

/// The sums of the rows of `gradient`, `[ids, width]`, by the row of the table that each is of, `[rows, width]`:
/// in the order of `ids`. The row `padding` stays 0.
pub(super) fn sum_by_row(
    ids: &[u32],
    padding: Option<u32>,
    gradient: &[f32],
    [rows, width]: [usize; 2],
) -> Vec<f32> {
    // The uses of each row stand together, in their order.
    let mut uses: Vec<(u32, u32)> = ids.iter().copied().zip(0..).collect();
    uses.retain(|(id, _)| Some(*id) != padding);
    uses.par_sort_unstable();
    in_zeroed_blocks(rows * width, ROWS * width, |block, sums| {
        let first = (block * ROWS) as u32;
        let start = uses.partition_point(|(id, _)| *id < first);
        for &(id, place) in &uses[start..] {
            let row = (id - first) as usize;
            if row >= ROWS {
                break;
            }
            let gradient = &gradient[place as usize * width..][..width];
            let sums = &mut sums[row * width..][..width];
            sums.iter_mut()
                .zip(gradient)
                .for_each(|(sum, value)| *sum += value);
        }
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;
    use crate::ops::testing::*;

    fn ids(values: &[u32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).expect("as many as the shape holds")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn agrees_with_the_definition_and_its_differences(
            values in proptest::collection::vec(0u32..9, 1..40), width in 1usize..6, padding in 0u32..12,
        ) {
            let weight = random_var(&[9, width], 1);
            let padding = (padding < 9).then_some(padding);
            let output_gradient = host(&random(&[values.len(), width], 2));
            let define = |weight: &[f64]| -> Vec<f64> {
                values.iter().flat_map(|&id| weight[id as usize * width..][..width].to_vec()).collect()
            };
            let weight64 = host64(&weight);
            let mut expected = differences(&weight64, |weight| weighted(&define(weight), &output_gradient));
            if let Some(padding) = padding {
                expected[padding as usize * width..][..width].fill(0.0);
            }
            let ids = ids(&values, &[values.len()]);
            let own = embedding(&ids, &weight, padding).expect("fits");
            let composed = composing(|| embedding(&ids, &weight, padding)).expect("runs");
            for y in [own, composed] {
                prop_assert_eq!(y.dims(), &[values.len(), width]);
                assert_close(&host(&y), &define(&weight64), 0.0);
                assert_close(&gradient_of(&y, &output_gradient, &weight), &expected, 1e-6);
            }
        }
    }

    #[test]
    fn threads_do_not_matter_and_ids_have_any_shape() {
        let weight = random_var(&[300, 7], 1);
        let values: Vec<u32> = (0..2_000u32).map(|index| index * index % 300).collect();
        let ids = ids(&values, &[20, 100]);
        let output_gradient = host(&random(&[20, 100, 7], 2));
        let (y, _) = same_for_any_number_of_threads(|| {
            let y = embedding(&ids, &weight, None).expect("fits");
            (y.dims().to_vec(), gradient_of(&y, &output_gradient, &weight))
        });
        assert_eq!(y, [20, 100, 7]);
    }

    #[test]
    fn misfits_are_told() {
        let weight = random(&[4, 2], 1);
        let told = |ids: &Tensor| embedding(ids, &weight, None).expect_err("refused").to_string();
        assert_eq!(
            told(&ids(&[1, 4], &[2])),
            "embedding: id 4 at place 1 is not under 4, the number of rows"
        );
        assert!(told(&random(&[2], 1)).contains("ids of f32"));
        assert!(embedding(&ids(&[0], &[1]), &random(&[4], 1), None).is_err());
    }
}
