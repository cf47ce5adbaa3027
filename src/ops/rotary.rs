//! Rotary position embedding (Su et al., 2021), with the two halves of a head rotated against each
//! other, as Hugging Face's models do it.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::error::OpError;
use super::fill::changed;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};
use super::vectors::with_wide_vectors;

/// Cosines and sines of the angles of positions up to some last one.
#[derive(Clone, Debug)]
pub struct RotaryTable {
    base: f64,
    /// Columns of a head.
    width: usize,
    positions: usize,
    /// `[positions, width / 2]`.
    cosines: Arc<[f32]>,
    sines: Arc<[f32]>,
}

impl RotaryTable {
    /// For heads of `width` columns, an even number, and positions below `positions`. Angles are f32, as
    /// PyTorch's are: position times `base^(-2i / width)`.
    pub fn new(width: usize, base: f64, positions: usize) -> Self {
        let frequency = |index: usize| 1.0 / (base as f32).powf((2 * index) as f32 / width as f32);
        let frequencies: Vec<f32> = (0..width / 2).map(frequency).collect();
        let angle = |position: usize, frequency: &f32| f64::from(position as f32 * frequency);
        let angles = (0..positions).flat_map(|position| frequencies.iter().map(move |f| angle(position, f)));
        let (cosines, sines): (Vec<f32>, Vec<f32>) = angles
            .map(|angle| (angle.cos() as f32, angle.sin() as f32))
            .unzip();
        Self {
            base,
            width,
            positions,
            cosines: cosines.into(),
            sines: sines.into(),
        }
    }

    /// The cosines of each position's angles, `[positions, width / 2]`.
    pub fn cosines(&self) -> &[f32] {
        &self.cosines
    }

    /// The sines of the same.
    pub fn sines(&self) -> &[f32] {
        &self.sines
    }

    /// How many positions it has.
    pub fn positions(&self) -> usize {
        self.positions
    }
}

/// Rotates each head of `x`, `[N, T, heads * D]` or `[rows, heads * D]`, by its token's position: the
/// columns `i` and `i + D / 2` of a head as a pair. `positions` are those of all rows; without them, tokens
/// of `[N, T, ...]` stand at `0..T`.
///
/// In every precision angles and result are f32.
///
/// # Errors
/// Shapes that do not fit each other, or a position that the table does not have.
pub fn rotate(
    x: &Tensor,
    table: &RotaryTable,
    positions: Option<&[u32]>,
) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "rotary embedding";
    let wrong = |problem: String| Err(OpError::shape(OP, problem));
    let dims = x.dims();
    let Some((&columns, leading)) = dims.split_last().filter(|(_, leading)| !leading.is_empty()) else {
        return Err(OpError::rank(OP, "[..., heads * D]", x.shape()));
    };
    if table.width == 0 || table.width % 2 == 1 || !columns.is_multiple_of(table.width) {
        return wrong(format!(
            "{columns} columns are no heads of {} in two halves",
            table.width
        ));
    }
    let rows: usize = leading.iter().product();
    let last = match positions {
        Some(positions) if positions.len() != rows => {
            return wrong(format!("{} positions for {rows} tokens", positions.len()));
        }
        Some(positions) => positions.iter().max().map_or(0, |last| *last as usize + 1),
        None => leading[leading.len() - 1],
    };
    if last > table.positions {
        return wrong(format!(
            "position {} of {} in the table",
            last - 1,
            table.positions
        ));
    }
    let op = Rotation {
        table: table.clone(),
        positions: positions.map(Into::into),
    };
    run(op, &[x])
}

struct Rotation {
    table: RotaryTable,
    positions: Option<Arc<[u32]>>,
}

impl Rotation {
    /// Rows of `x`, of the dimensions `dims`, turned forward or, by `sign` -1, back.
    fn apply(&self, x: &[f32], dims: &[usize], sign: f32) -> Vec<f32> {
        const VALUES: usize = 1 << 13;
        let columns = dims[dims.len() - 1];
        let tokens = dims[dims.len() - 2];
        let half = self.table.width / 2;
        let rows = (VALUES / columns.max(1)).max(1);
        changed(x, rows * columns, |block, y| {
            with_wide_vectors(
                #[inline(always)]
                || {
                    for (index, row) in y.chunks_exact_mut(columns).enumerate() {
                        let row_index = block * rows + index;
                        let position = match &self.positions {
                            Some(positions) => positions[row_index] as usize,
                            None => row_index % tokens,
                        };
                        let cosines = &self.table.cosines[position * half..][..half];
                        let sines = &self.table.sines[position * half..][..half];
                        for head in row.chunks_exact_mut(2 * half) {
                            let (first, second) = head.split_at_mut(half);
                            for (((a, b), &cosine), &sine) in
                                first.iter_mut().zip(second).zip(cosines).zip(sines)
                            {
                                let sine = sign * sine;
                                (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
                            }
                        }
                    }
                },
            );
        })
    }
}

impl Operation for Rotation {
    fn name(&self) -> &'static str {
        "rotary_embedding"
    }

    /// Of explicit positions nothing: a graph that is exported has samples of one length.
    fn attributes(&self) -> Attributes {
        Attributes::default()
            .with("rotary_embedding_dim", self.table.width)
            .with("base", self.table.base)
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let x = &operands[0];
        let dims = x.dims();
        let (columns, tokens) = (dims[dims.len() - 1], dims[dims.len() - 2]);
        let (width, half) = (self.table.width, self.table.width / 2);
        let rows = x.elem_count() / columns;
        let positions: Vec<usize> = match &self.positions {
            Some(positions) => positions.iter().map(|&position| position as usize).collect(),
            None => (0..rows).map(|row| row % tokens).collect(),
        };
        let of = |table: &[f32]| {
            let values = positions
                .iter()
                .flat_map(|position| &table[position * half..][..half]);
            Tensor::from_vec(values.copied().collect::<Vec<_>>(), (rows, 1, half), x.device())
        };
        let (cosines, sines) = (of(&self.table.cosines)?, of(&self.table.sines)?);
        let heads = x.contiguous()?.reshape((rows, columns / width, width))?;
        let (first, second) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
        let turned = [
            (first.broadcast_mul(&cosines)? - second.broadcast_mul(&sines)?)?,
            (second.broadcast_mul(&cosines)? + first.broadcast_mul(&sines)?)?,
        ];
        Tensor::cat(&turned, 2)?.reshape(x.shape())
    }
}

impl CpuKernel for Rotation {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        let x = operands[0];
        (self.apply(x.values, x.dims, 1.0), x.dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let back = || self.apply(gradient, operands[0].dims, -1.0);
        vec![OperandGradient::if_wanted(wanted[0], back)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::testing::*;

    /// By complex numbers: column `i` and `i + D / 2` as real and imaginary part.
    fn naive(x: &[f64], columns: usize, width: usize, base: f64, positions: &[u32]) -> Vec<f64> {
        let half = width / 2;
        let mut y = x.to_vec();
        for (row, position) in y.chunks_exact_mut(columns).zip(positions) {
            for head in row.chunks_exact_mut(width) {
                for index in 0..half {
                    let angle = f64::from(*position) * base.powf(-2.0 * index as f64 / width as f64);
                    let (real, imaginary) = (head[index], head[index + half]);
                    head[index] = real * angle.cos() - imaginary * angle.sin();
                    head[index + half] = real * angle.sin() + imaginary * angle.cos();
                }
            }
        }
        y
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn agrees_with_complex_numbers_and_differences(
            positions in proptest::collection::vec(0u32..50, 1..12), heads in 1usize..4, half in 1usize..5,
        ) {
            let (rows, width) = (positions.len(), 2 * half);
            let x = random_var(&[rows, heads * width], 1);
            let weights = host(&random(&[rows, heads * width], 2));
            let table = RotaryTable::new(width, 100.0, 50);
            let define = |x: &[f64]| naive(x, heads * width, width, 100.0, &positions);
            let expected = define(&host64(&x));
            let expected_gradient = differences(&host64(&x), |x| weighted(&define(x), &weights));
            let own = rotate(&x, &table, Some(&positions)).expect("fits");
            let composed = composing(|| rotate(&x, &table, Some(&positions))).expect("runs");
            for y in [own, composed] {
                // Angles are f32.
                assert_close(&host(&y), &expected, 1e-5);
                assert_close(&gradient_of(&y, &weights, &x), &expected_gradient, 1e-5);
            }
        }
    }

    #[test]
    fn tokens_of_samples_stand_in_order_and_threads_do_not_matter() {
        let x = random_var(&[5, 200, 12], 1);
        let table = RotaryTable::new(6, 10_000.0, 200);
        let positions: Vec<u32> = (0..1000).map(|row| row % 200).collect();
        let flat = x.reshape((1000, 12)).expect("valid");
        let explicit = host(&rotate(&flat, &table, Some(&positions)).expect("fits"));
        let y = same_for_any_number_of_threads(|| host(&rotate(&x, &table, None).expect("fits")));
        assert_eq!(y, explicit);
        // The product of two tokens depends on their distance alone.
        let product = |a: u32, b: u32| -> f64 {
            let both = random(&[2, 6], 3);
            let y = host64(&rotate(&both, &table, Some(&[a, b])).expect("fits"));
            (0..6).map(|column| y[column] * y[6 + column]).sum()
        };
        assert!((product(3, 10) - product(120, 127)).abs() < 1e-5);
    }

    #[test]
    fn misfits_are_told() {
        let table = RotaryTable::new(4, 10_000.0, 3);
        let told = |shape: &[usize], positions: Option<&[u32]>| {
            rotate(&random(shape, 1), &table, positions)
                .expect_err("refused")
                .to_string()
        };
        assert!(told(&[2, 6], None).contains("6 columns are no heads of 4"));
        assert!(told(&[2, 4, 4], None).contains("position 3 of 3"));
        assert!(told(&[2, 4], Some(&[0])).contains("1 positions for 2 tokens"));
        assert!(told(&[2, 4], Some(&[0, 7])).contains("position 7 of 3"));
    }
}
