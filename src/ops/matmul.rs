//! Products of matrices of f32.

use gemm::Parallelism;

/// A matrix within a slice, with any strides.
#[derive(Clone, Copy)]
pub(super) struct MatrixView<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> MatrixView<'a> {
    /// A matrix stored row after row.
    pub fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a matrix of {rows} x {columns}");
        Self {
            data,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// A matrix whose rows begin `row_stride` values apart, from the start of `data`.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same values with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// Whether the last element lies within the slice.
    fn is_inside(&self) -> bool {
        self.rows == 0
            || self.columns == 0
            || (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride < self.data.len()
    }
}

/// `target = left * right`, or `target += left * right`, on the calling thread. `target` is stored
/// row after row.
pub(super) fn multiply(target: &mut [f32], left: MatrixView, right: MatrixView, accumulate: bool) {
    let (rows, columns, inner) = (left.rows, right.columns, left.columns);
    assert_eq!(inner, right.rows, "the inner dimensions agree");
    assert_eq!(target.len(), rows * columns, "the target has the product's size");
    assert!(
        left.is_inside() && right.is_inside(),
        "the factors lie within their slices"
    );
    if inner == 0 {
        if !accumulate {
            target.fill(0.0);
        }
        return;
    }
    if target.is_empty() {
        return;
    }
    // SAFETY: the assertions above hold every address that is computed from the dimensions and
    // strides within the three slices; `target` is borrowed mutably, so it overlaps neither factor.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            target.as_mut_ptr(),
            1,
            columns as isize,
            accumulate,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
