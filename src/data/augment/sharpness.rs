//! Sharpening and softening.

use super::Image;
use super::color::multiply_add;

/// As `adjust_sharpness`: between a soft image (factor 0) and the image (factor 1), and beyond. The
/// outermost pixels stay, and so does what is not larger than 2 pixels.
pub(super) fn adjust_sharpness(image: &mut Image, factor: f64) {
    let (height, width) = (image.height, image.width);
    if height <= 2 || width <= 2 {
        return;
    }
    let rest = (1.0 - factor) as f32;
    image.spare.clear();
    image.spare.extend_from_slice(&image.pixels);
    let planes = image.pixels.chunks_exact(height * width);
    for (plane, out) in planes.zip(image.spare.chunks_exact_mut(height * width)) {
        for y in 1..height - 1 {
            let rows = &plane[(y - 1) * width..][..3 * width];
            let (above, rows) = rows.split_at(width);
            let (row, below) = rows.split_at(width);
            let out = &mut out[y * width + 1..][..width - 2];
            let windows = above.windows(3).zip(row.windows(3)).zip(below.windows(3));
            for (out, ((above, row), below)) in out.iter_mut().zip(windows) {
                let all = [above, row, below].into_iter().flatten();
                let sum = all.map(|pixel| u32::from(*pixel)).sum::<u32>() + 4 * u32::from(row[1]);
                // Weights of 1/13 and, in the middle, 5/13; no sum lies half-way between two values.
                let soft = ((2 * sum + 13) / 26) as f32;
                let value = f32::from(row[1]);
                *out = multiply_add(soft - value, rest, value).clamp(0.0, 255.0) as u8;
            }
        }
    }
    image.swap();
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, image};
    use super::*;

    #[test]
    fn sharpness_is_torchvisions() {
        for case in Case::all("sharpness") {
            case.check(0, |image| adjust_sharpness(image, case.number("factor")));
        }
        let mut thin = image(3, 2, 9);
        adjust_sharpness(&mut thin, 0.0);
        assert_eq!(thin.pixels, image(3, 2, 9).pixels);
    }
}
