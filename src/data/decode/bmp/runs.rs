//! Run-length coding of BMP files.

use crate::data::decode::DecodeProblem;

/// The indices of all pixels, row by row as the file has them. What runs leave out has the first colour.
pub(super) fn expand(data: &[u8], bits: u8, [height, width]: [usize; 2]) -> Result<Vec<u8>, DecodeProblem> {
    let mut indices = vec![0; height * width];
    let (mut x, mut y) = (0, 0);
    let mut rest = data.iter().copied();
    let mut next = || {
        rest.next()
            .ok_or_else(|| DecodeProblem::Corrupt("it ends early".to_owned()))
    };
    while y < height {
        let (count, value) = (next()?, next()?);
        match (count, value) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => break,
            (0, 2) => {
                x += usize::from(next()?);
                y += usize::from(next()?);
            }
            (0, count) => {
                let length = (usize::from(count) * usize::from(bits)).div_ceil(8);
                let mut written = Vec::with_capacity(length);
                for _ in 0..length.next_multiple_of(2) {
                    written.push(next()?);
                }
                for place in 0..usize::from(count) {
                    let index = match (bits, place % 2) {
                        (4, 0) => written[place / 2] >> 4,
                        (4, _) => written[place / 2] & 15,
                        _ => written[place],
                    };
                    put(&mut indices, [y, x + place], [height, width], index);
                }
                x += usize::from(count);
            }
            (count, value) => {
                for place in 0..usize::from(count) {
                    let index = match (bits, place % 2) {
                        (4, 0) => value >> 4,
                        (4, _) => value & 15,
                        _ => value,
                    };
                    put(&mut indices, [y, x + place], [height, width], index);
                }
                x += usize::from(count);
            }
        }
    }
    Ok(indices)
}

/// Sets a pixel, if there is one.
fn put(indices: &mut [u8], [y, x]: [usize; 2], [height, width]: [usize; 2], index: u8) {
    if y < height && x < width {
        indices[y * width + x] = index;
    }
}
