//! Changes that map each value to another, whatever stands beside it.

use super::Image;

/// For each value of a pixel, what it becomes.
pub(super) type ToneTable = [u8; 256];

/// A table of `value` in f32, clamped to `[0, 255]` and cut off: how torchvision returns to u8.
pub(super) fn table(value: impl Fn(f32) -> f32) -> ToneTable {
    std::array::from_fn(|pixel| value(pixel as f32).clamp(0.0, 255.0) as u8)
}

/// Maps all channels.
pub(super) fn apply(image: &mut Image, table: &ToneTable) {
    map(&mut image.pixels, table);
}

fn map(pixels: &mut [u8], table: &ToneTable) {
    for pixel in pixels {
        *pixel = table[usize::from(*pixel)];
    }
}

/// As `adjust_brightness`.
pub(super) fn adjust_brightness(image: &mut Image, factor: f64) {
    let factor = factor as f32;
    apply(image, &table(|value| value * factor));
}

/// As `posterize`: keeps the upper `bits`.
pub(super) fn posterize(image: &mut Image, bits: u32) {
    let mask = !(0xFFu32 >> bits.min(8)) as u8;
    apply(image, &std::array::from_fn(|pixel| pixel as u8 & mask));
}

/// As `solarize`: turns values from `threshold` on around.
pub(super) fn solarize(image: &mut Image, threshold: f64) {
    let threshold = threshold as f32;
    let turned = |pixel| {
        if pixel as f32 >= threshold {
            255 - pixel as u8
        } else {
            pixel as u8
        }
    };
    apply(image, &std::array::from_fn(turned));
}

/// As `autocontrast`: stretches each channel to black and white.
pub(super) fn autocontrast(image: &mut Image) {
    let plane = image.plane();
    for plane in image.pixels.chunks_exact_mut(plane) {
        let (low, high) = plane.iter().fold((255, 0), |(low, high), pixel| {
            (*pixel.min(&low), *pixel.max(&high))
        });
        if low < high {
            let low = f32::from(low);
            let inverse_scale = (f32::from(high) - low) * (1.0 / 255.0f64) as f32;
            map(plane, &table(|value| (value - low) / inverse_scale));
        }
    }
}

/// As `equalize`: spreads each channel's values evenly.
pub(super) fn equalize(image: &mut Image) {
    let plane = image.plane();
    for plane in image.pixels.chunks_exact_mut(plane) {
        let mut counts = [0usize; 256];
        for pixel in &*plane {
            counts[usize::from(*pixel)] += 1;
        }
        let largest = counts.iter().rev().find(|count| **count > 0).copied();
        let step = (plane.len() - largest.unwrap_or(0)) / 255;
        if step > 0 {
            let mut below = 0;
            let table = counts.map(|count| {
                let value = (below + step / 2) / step;
                below += count;
                value.min(255) as u8
            });
            map(plane, &table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;

    #[test]
    fn tones_are_torchvisions() {
        for case in Case::all("brightness") {
            case.check(0, |image| adjust_brightness(image, case.number("factor")));
        }
        for case in Case::all("posterize") {
            case.check(0, |image| posterize(image, case.number("bits") as u32));
        }
        for case in Case::all("solarize") {
            case.check(0, |image| solarize(image, case.number("threshold")));
        }
        for case in Case::all("autocontrast") {
            case.check(0, autocontrast);
        }
        for case in Case::all("equalize") {
            case.check(0, equalize);
        }
    }
}
