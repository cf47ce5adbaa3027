//! Rows of a table added to tokens: what stands for their places.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};

use super::attributes::Attributes;
use super::embedding::sum_by_row;
use super::error::OpError;
use super::fill::changed;
use super::operation::{ArrayView, CpuKernel, OperandGradient, Operation, run};

/// Which row of a table each token is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableRows {
    /// Token `t` of each sample of `[N, T, W]` the row `first + t`.
    Counted {
        /// That of the first token.
        first: usize,
    },
    /// All the same row.
    Same {
        /// It.
        row: usize,
    },
    /// Each token the row that is given for it.
    Given(Arc<[u32]>),
}

/// Adds to each token of `x`, `[N, T, W]` or `[rows, W]`, a row of `table`, `[P, W]`.
///
/// # Errors
/// Shapes that do not fit each other, or a row that the table does not have.
pub fn add_rows(x: &Tensor, table: &Tensor, rows: TableRows) -> std::result::Result<Tensor, OpError> {
    const OP: &str = "addition of rows";
    let wrong = |problem: String| Err(OpError::shape(OP, problem));
    let (Some((&width, tokens)), &[count, columns]) = (x.dims().split_last(), table.dims()) else {
        return wrong(format!("tokens {:?} and a table {:?}", x.dims(), table.dims()));
    };
    if width != columns || width == 0 || tokens.is_empty() {
        return wrong(format!("tokens {:?} and a table {:?}", x.dims(), table.dims()));
    }
    let last = match &rows {
        TableRows::Counted { first } => (first + tokens[tokens.len() - 1]).checked_sub(1),
        TableRows::Same { row } => Some(*row),
        TableRows::Given(given) if given.len() != tokens.iter().product::<usize>() => {
            return wrong(format!("{} rows for tokens {:?}", given.len(), x.dims()));
        }
        TableRows::Given(given) => given.iter().max().map(|last| *last as usize),
    };
    match last {
        Some(last) if last >= count => wrong(format!("row {last} of a table of {count}")),
        _ => run(RowAddition { rows }, &[x, table]),
    }
}

struct RowAddition {
    rows: TableRows,
}

impl RowAddition {
    /// The table's row for each token of `x`.
    fn indices(&self, dims: &[usize]) -> Vec<u32> {
        let leading = &dims[..dims.len() - 1];
        let (all, tokens) = (leading.iter().product::<usize>(), leading[leading.len() - 1]);
        match &self.rows {
            TableRows::Counted { first } => (0..all).map(|row| (first + row % tokens) as u32).collect(),
            TableRows::Same { row } => vec![*row as u32; all],
            TableRows::Given(given) => given.to_vec(),
        }
    }
}

impl Operation for RowAddition {
    fn name(&self) -> &'static str {
        "add_rows"
    }

    /// Of rows that are given nothing: a graph that is exported has samples of one length.
    fn attributes(&self) -> Attributes {
        match &self.rows {
            TableRows::Counted { first } => Attributes::default().with("first", *first),
            TableRows::Same { row } => Attributes::default().with("row", *row),
            TableRows::Given(_) => Attributes::default(),
        }
    }

    fn composed(&self, operands: &[Tensor]) -> Result<Tensor> {
        let (x, table) = (&operands[0], &operands[1]);
        let indices = Tensor::new(self.indices(x.dims()), x.device())?;
        x + table
            .contiguous()?
            .index_select(&indices, 0)?
            .reshape(x.shape())?
    }
}

impl CpuKernel for RowAddition {
    fn forward(&self, operands: &[ArrayView]) -> (Vec<f32>, Shape) {
        const ROWS: usize = 64;
        let (x, table) = (operands[0], operands[1]);
        let width = table.dims[1];
        let indices = self.indices(x.dims);
        let y = changed(x.values, ROWS * width, |block, y| {
            for (y, &index) in y.chunks_exact_mut(width).zip(&indices[block * ROWS..]) {
                let row = &table.values[index as usize * width..][..width];
                y.iter_mut().zip(row).for_each(|(y, row)| *y += row);
            }
        });
        (y, x.dims.into())
    }

    fn backward(
        &self,
        operands: &[ArrayView],
        _output: &[f32],
        gradient: &[f32],
        wanted: &[bool],
    ) -> Vec<Option<OperandGradient>> {
        let (x, table) = (operands[0], operands[1]);
        let of_table = || {
            sum_by_row(
                &self.indices(x.dims),
                None,
                gradient,
                [table.dims[0], table.dims[1]],
            )
        };
        vec![
            wanted[0].then_some(OperandGradient::OfOutput),
            OperandGradient::if_wanted(wanted[1], of_table),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::*;

    #[test]
    fn rows_and_their_gradients_lie_where_they_should() {
        let given: Arc<[u32]> = [4, 0, 4, 1, 2, 4].into();
        for (rows, indices) in [
            (TableRows::Counted { first: 2 }, [2, 3, 4, 2, 3, 4]),
            (TableRows::Same { row: 1 }, [1; 6]),
            (TableRows::Given(given.clone()), [4, 0, 4, 1, 2, 4]),
        ] {
            let (x, table) = (random_var(&[2, 3, 5], 1), random_var(&[5, 5], 2));
            let weights = host(&random(&[2, 3, 5], 3));
            let define = |x: &[f64], table: &[f64]| -> Vec<f64> {
                let rows = x.chunks_exact(5).zip(indices);
                rows.flat_map(|(x, row)| (0..5).map(move |c| x[c] + table[row * 5 + c]))
                    .collect()
            };
            let (x64, table64) = (host64(&x), host64(&table));
            let expected = [
                differences(&x64, |x| weighted(&define(x, &table64), &weights)),
                differences(&table64, |table| weighted(&define(&x64, table), &weights)),
            ];
            let run = || add_rows(&x, &table, rows.clone()).expect("fits");
            for y in [run(), composing(run)] {
                assert_close(&host(&y), &define(&x64, &table64), 1e-7);
                let gradients = gradients_of(&y, &weights, &[&x, &table]);
                for (actual, expected) in gradients.iter().zip(&expected) {
                    assert_close(actual, expected, 1e-6);
                }
            }
        }
    }

    #[test]
    fn misfits_are_told() {
        let told = |rows| {
            let (x, table) = (random(&[2, 3, 5], 1), random(&[4, 5], 2));
            add_rows(&x, &table, rows).expect_err("refused").to_string()
        };
        let row = "addition of rows: row 4 of a table of 4";
        assert_eq!(told(TableRows::Counted { first: 2 }), row);
        assert_eq!(told(TableRows::Same { row: 4 }), row);
        assert!(told(TableRows::Given([1, 2].into())).contains("2 rows for tokens [2, 3, 5]"));
        let error = add_rows(
            &random(&[2, 3], 1),
            &random(&[4, 5], 2),
            TableRows::Same { row: 0 },
        );
        assert!(error.is_err());
    }
}
