//! Small symmetric matrices.

/// The eigenvalues and the orthonormal eigenvectors (`vectors[row][k]` belongs to `values[k]`) of a
/// symmetric matrix, by Jacobi's rotations.
pub(super) fn eigen(matrix: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 60;
    let size = matrix.len();
    let mut a = matrix.to_vec();
    let mut vectors: Vec<Vec<f64>> = (0..size)
        .map(|row| {
            (0..size)
                .map(|column| f64::from(u8::from(row == column)))
                .collect()
        })
        .collect();
    for _ in 0..SWEEPS {
        let off: f64 = (0..size)
            .flat_map(|row| (0..row).map(move |column| (row, column)))
            .map(|(row, column)| a[row][column].powi(2))
            .sum();
        let diagonal: f64 = (0..size).map(|row| a[row][row].powi(2)).sum();
        if off <= 1e-30 * diagonal {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    ((0..size).map(|row| a[row][row]).collect(), vectors)
}

/// One rotation, which makes `a[p][q]` 0.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for row in a.iter_mut() {
        (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
    }
    // `p` comes before `q`.
    let (before, after) = a.split_at_mut(q);
    for (first, second) in before[p].iter_mut().zip(&mut after[0]) {
        (*first, *second) = (cosine * *first - sine * *second, sine * *first + cosine * *second);
    }
    for row in vectors {
        (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    #[test]
    fn the_parts_make_the_matrix_again() {
        let mut stream = Stream::new(3, Purpose::Search, 0, 0);
        for size in 1..9 {
            let draws: Vec<f64> = (0..size * size).map(|_| stream.normal()).collect();
            let value = |row: usize, column: usize| draws[row.min(column) * size + row.max(column)];
            let matrix: Vec<Vec<f64>> = (0..size)
                .map(|row| (0..size).map(|column| value(row, column)).collect())
                .collect();
            let (values, vectors) = eigen(&matrix);
            for row in 0..size {
                for column in 0..size {
                    let again: f64 = (0..size)
                        .map(|k| vectors[row][k] * values[k] * vectors[column][k])
                        .sum();
                    let product: f64 = (0..size).map(|k| vectors[k][row] * vectors[k][column]).sum();
                    assert!((again - value(row, column)).abs() < 1e-12, "size {size}");
                    let one = f64::from(u8::from(row == column));
                    assert!((product - one).abs() < 1e-12, "size {size}");
                }
            }
        }
    }
}
