//! Changes that look at a pixel's colour.

use super::tone::{apply, table};
use super::{Image, SampleTransform, check_colors};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.v2.RandomGrayscale(p)`; grey images stay as they are.
pub(super) struct RandomGrayscale {
    p: f64,
}

impl RandomGrayscale {
    pub fn new(spec: &spec::RandomGrayscaleOptions) -> Self {
        Self { p: spec.p.get() }
    }
}

impl SampleTransform for RandomGrayscale {
    fn check(&self, channels: usize, _: Option<[usize; 2]>) -> Result<(), String> {
        check_colors(channels)
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        if draws.bernoulli(self.p) {
            grayscale(image);
        }
    }
}

/// As `rgb_to_grayscale(num_output_channels=3)`.
fn grayscale(image: &mut Image) {
    let Some([red, green, blue]) = image.red_green_blue() else {
        return;
    };
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let gray = luma(*red, *green, *blue);
        (*red, *green, *blue) = (gray, gray, gray);
    }
}

/// torchvision's grey, cut off: its weights add up to 0.9999, and so it makes grey a little darker.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let sum = f32::from(red) * 0.2989;
    multiply_add(f32::from(blue), 0.114, multiply_add(f32::from(green), 0.587, sum)) as u8
}

/// `factor * value + addend`, rounded once, as PyTorch's `add_(value, alpha=factor)` does. In f64 the
/// product is exact.
pub(super) fn multiply_add(value: f32, factor: f32, addend: f32) -> f32 {
    (f64::from(value) * f64::from(factor) + f64::from(addend)) as f32
}

/// `ratio` of `value` and the rest of `other`, back in u8; torchvision's `_blend`.
fn blend(value: f32, other: f32, ratio: f32, rest: f32) -> f32 {
    multiply_add(other, rest, value * ratio)
}

/// As `adjust_contrast`: between the mean of the grey image and the image, and beyond.
pub(super) fn adjust_contrast(image: &mut Image, factor: f64) {
    let count = image.plane();
    let sum: u64 = match image.red_green_blue() {
        Some([red, green, blue]) => red
            .iter()
            .zip(green)
            .zip(blue)
            .map(|((red, green), blue)| u64::from(luma(*red, *green, *blue)))
            .sum(),
        None => image.pixels.iter().map(|pixel| u64::from(*pixel)).sum(),
    };
    let mean = (sum as f64 / count as f64) as f32;
    let (ratio, rest) = (factor as f32, (1.0 - factor) as f32);
    apply(image, &table(|value| blend(value, mean, ratio, rest)));
}

/// As `adjust_saturation`: between the grey image and the image, and beyond. Grey images stay.
pub(super) fn adjust_saturation(image: &mut Image, factor: f64) {
    let (ratio, rest) = (factor as f32, (1.0 - factor) as f32);
    let Some([red, green, blue]) = image.red_green_blue() else {
        return;
    };
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let gray = f32::from(luma(*red, *green, *blue));
        for value in [red, green, blue] {
            *value = blend(f32::from(*value), gray, ratio, rest).clamp(0.0, 255.0) as u8;
        }
    }
}

/// As `adjust_hue`: turns the hue by `turns` from -0.5 to 0.5. Grey images stay.
pub(super) fn adjust_hue(image: &mut Image, turns: f64) {
    let turns = turns as f32;
    let Some([red, green, blue]) = image.red_green_blue() else {
        return;
    };
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let scaled = [*red, *green, *blue].map(|value| f32::from(value) * (1.0 / 255.0f64) as f32);
        let [hue, saturation, value] = hue_saturation_value(scaled);
        let turned = hue + turns;
        let turned = if turned < 0.0 {
            turned + 1.0
        } else if turned >= 1.0 {
            turned - 1.0
        } else {
            turned
        };
        let changed = from_hue_saturation_value([turned, saturation, value]);
        // Nearly 256, so that each byte gets an equal share of [0, 1].
        let changed = changed.map(|value| (value * (256.0f64 - 1e-3) as f32) as u8);
        [*red, *green, *blue] = changed;
    }
}

/// torchvision's `_rgb_to_hsv` in its order of f32 operations; all in `[0, 1]`.
fn hue_saturation_value([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let most = red.max(green).max(blue);
    let least = red.min(green).min(blue);
    if most == least {
        return [0.0, 0.0, most];
    }
    let range = most - least;
    let [from_red, from_green, from_blue] = [red, green, blue].map(|value| (most - value) / range);
    let sixths = if most == red {
        from_blue - from_green
    } else if most == green {
        from_red + 2.0 - from_blue
    } else {
        from_green + 4.0 - from_red
    };
    // Between 5/6 and 11/6.
    let hue = sixths * (1.0 / 6.0f64) as f32 + 1.0;
    [if hue >= 1.0 { hue - 1.0 } else { hue }, range / most, most]
}

/// torchvision's `_hsv_to_rgb`.
fn from_hue_saturation_value([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixths = hue * 6.0;
    let sector = sixths as u32;
    let share = sixths - sector as f32;
    let part = saturation * share;
    let white = 1.0 - saturation;
    let q = ((1.0 - part) * value).clamp(0.0, 1.0);
    let t = ((part + white) * value).clamp(0.0, 1.0);
    let p = (white * value).clamp(0.0, 1.0);
    match sector % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, image, stream};
    use super::*;

    #[test]
    fn colors_are_torchvisions() {
        for case in Case::all("grayscale") {
            case.check(0, grayscale);
        }
        for case in Case::all("contrast") {
            case.check(0, |image| adjust_contrast(image, case.number("factor")));
        }
        for case in Case::all("saturation") {
            case.check(0, |image| adjust_saturation(image, case.number("factor")));
        }
        for case in Case::all("hue") {
            case.check(0, |image| adjust_hue(image, case.number("factor")));
        }
    }

    #[test]
    fn grayscale_keeps_its_probability() {
        let change = RandomGrayscale { p: 0.1 };
        let mut gray = 0;
        for item in 0..3000 {
            let mut changed = image(3, 2, 2);
            change.apply(&mut changed, &mut stream(item));
            gray += u32::from(changed.pixels[..4] == changed.pixels[4..8]);
        }
        assert!((240..360).contains(&gray), "{gray}");
        let mut one = image(1, 2, 2);
        RandomGrayscale { p: 1.0 }.apply(&mut one, &mut stream(0));
        assert_eq!(one.pixels, image(1, 2, 2).pixels);
        assert!(change.check(1, None).is_ok() && change.check(2, None).is_err());
    }
}
