//! Scaling.

use super::{Image, SampleTransform};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.v2.Resize(size)` (bilinear, `antialias=True`).
pub(super) struct Resize {
    size: spec::Size,
}

impl Resize {
    pub fn new(spec: &spec::ResizeOptions) -> Self {
        Self { size: spec.size }
    }

    fn size_of(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        match self.size {
            spec::Size::HeightWidth(sides) => sides.map(|side| side.get() as usize),
            spec::Size::Side(side) => {
                let side = side.get() as usize;
                if width <= height {
                    [side * height / width, side]
                } else {
                    [side, side * width / height]
                }
            }
        }
    }
}

impl SampleTransform for Resize {
    fn size_after(&self, size: Option<[usize; 2]>) -> Option<[usize; 2]> {
        match self.size {
            spec::Size::HeightWidth(_) => Some(self.size_of([1, 1])),
            spec::Size::Side(_) => size.map(|size| self.size_of(size)),
        }
    }

    fn apply(&self, image: &mut Image, _: &mut Stream) {
        let whole = ImageWindow {
            top: 0,
            left: 0,
            height: image.height,
            width: image.width,
        };
        resample(image, whole, self.size_of([image.height, image.width]));
    }
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ImageWindow {
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

/// Makes `image` its `window`, scaled to `size`, `[H, W]`, and moves what rides along.
pub(super) fn resample(image: &mut Image, window: ImageWindow, size: [usize; 2]) {
    scale(image, window, size);
    let [down, across] = [(size[0], window.height), (size[1], window.width)]
        .map(|(after, before)| after as f64 / before as f64);
    image.move_riders(
        |other| scale(other, window, size),
        |mask| scale_to_nearest(mask, window, size),
        |[x, y]| [(x - window.left as f64) * across, (y - window.top as f64) * down],
    );
}

/// A mask's `window`, scaled to `size`: each pixel is one of those that were there, [`nearest`] to its centre.
fn scale_to_nearest(mask: &mut Image, window: ImageWindow, [height, width]: [usize; 2]) {
    mask.spare.clear();
    for plane in mask.pixels.chunks_exact(mask.height * mask.width) {
        for y in 0..height {
            let row = window.top + nearest(y, window.height, height);
            let row = &plane[row * mask.width..][..mask.width];
            let columns = (0..width).map(|x| row[window.left + nearest(x, window.width, width)]);
            mask.spare.extend(columns);
        }
    }
    mask.swap();
    (mask.height, mask.width) = (height, width);
}

/// Of `before` pixels the one in which the centre of pixel `at` lies, where there are `after` in their place. Images are
/// scaled about the centres of pixels too, so that a mask stays where its image is: as with Pillow's `NEAREST` and
/// PyTorch's `nearest-exact`, unlike its `nearest`, which takes the upper left one.
pub(in crate::data) fn nearest(at: usize, before: usize, after: usize) -> usize {
    (2 * at + 1) * before / (2 * after)
}

/// The pixels of `window`, scaled to `size`.
///
/// First along the rows, then along the columns, with u8 between: the method of Pillow and of
/// PyTorch's `interpolate` on u8, whose results this gives.
fn scale(image: &mut Image, window: ImageWindow, [height, width]: [usize; 2]) {
    if width != window.width || (window.height, window.width) != (image.height, image.width) {
        let taps = Taps::new(window.width, width);
        let source_width = image.width;
        image.spare.clear();
        image.spare.resize(image.channels * window.height * width, 0);
        let planes = image.pixels.chunks_exact(image.height * source_width);
        for (plane, out) in planes.zip(image.spare.chunks_exact_mut(window.height * width)) {
            let rows = plane.chunks_exact(source_width).skip(window.top);
            for (row, out) in rows.zip(out.chunks_exact_mut(width)) {
                taps.along_row(&row[window.left..][..window.width], out);
            }
        }
        image.swap();
        (image.height, image.width) = (window.height, width);
    }
    if height != image.height {
        let taps = Taps::new(image.height, height);
        image.spare.clear();
        image.spare.resize(image.channels * height * width, 0);
        let mut sums = vec![0i32; width];
        let planes = image.pixels.chunks_exact(image.height * width);
        for (plane, out) in planes.zip(image.spare.chunks_exact_mut(height * width)) {
            taps.along_columns(plane, width, &mut sums, out);
        }
        image.swap();
        image.height = height;
    }
}

/// For each result the first source and the weights, as integers of `bits` fractional bits.
struct Taps {
    firsts: Vec<usize>,
    counts: Vec<usize>,
    /// `most` for each result.
    weights: Vec<i32>,
    most: usize,
    bits: u32,
}

impl Taps {
    /// The triangle filter over the scaled support, of sides of `from` and `to` pixels; constants
    /// as in PyTorch's `compute_index_ranges_int16_weights`.
    fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let inverse = 1.0 / support;
        let most = (support.ceil() as usize) * 2 + 1;
        let mut floats = vec![0f64; to * most];
        let (mut firsts, mut counts) = (Vec::with_capacity(to), Vec::with_capacity(to));
        let mut largest = 0f64;
        for (index, weights) in floats.chunks_exact_mut(most).enumerate() {
            let center = scale * (index as f64 + 0.5);
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let count = end.saturating_sub(first).clamp(1, most);
            for (offset, weight) in weights[..count].iter_mut().enumerate() {
                let distance = ((first + offset) as f64 - center + 0.5) * inverse;
                *weight = (1.0 - distance.abs()).max(0.0);
            }
            let total: f64 = weights.iter().sum();
            for weight in weights {
                *weight /= total;
                largest = largest.max(*weight);
            }
            firsts.push(first);
            counts.push(count);
        }
        // As many bits as a signed 16-bit weight can have.
        let too_large = |bits: &u32| (0.5 + largest * f64::from(1u32 << (bits + 1))) as i32 >= 1 << 15;
        let bits = (0..22).find(too_large).unwrap_or(22);
        let one = f64::from(1u32 << bits);
        Self {
            firsts,
            counts,
            weights: floats.iter().map(|weight| (weight * one + 0.5) as i32).collect(),
            most,
            bits,
        }
    }

    fn each(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let sources = self.firsts.iter().zip(&self.counts);
        sources
            .zip(self.weights.chunks_exact(self.most))
            .map(|((first, count), weights)| (*first, &weights[..*count]))
    }

    fn along_row(&self, row: &[u8], out: &mut [u8]) {
        for (out, (first, weights)) in out.iter_mut().zip(self.each()) {
            let sum: i32 = row[first..]
                .iter()
                .zip(weights)
                .map(|(pixel, weight)| i32::from(*pixel) * weight)
                .sum();
            *out = self.rounded(sum);
        }
    }

    /// `plane` is `[from, width]`, `out` `[to, width]`; `sums` is room for a row.
    fn along_columns(&self, plane: &[u8], width: usize, sums: &mut [i32], out: &mut [u8]) {
        for (out, (first, weights)) in out.chunks_exact_mut(width).zip(self.each()) {
            sums.fill(0);
            for (row, weight) in plane.chunks_exact(width).skip(first).zip(weights) {
                for (sum, pixel) in sums.iter_mut().zip(row) {
                    *sum += i32::from(*pixel) * weight;
                }
            }
            for (out, sum) in out.iter_mut().zip(sums.iter()) {
                *out = self.rounded(*sum);
            }
        }
    }

    fn rounded(&self, sum: i32) -> u8 {
        let half = (1 << self.bits) >> 1;
        ((sum + half) >> self.bits).clamp(0, 255) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, image, stream};
    use super::*;

    #[test]
    fn resizing_is_torchvisions() {
        for case in Case::all("resize") {
            let size = serde_json::from_value(case.arguments["size"].clone()).unwrap();
            let resize = Resize { size };
            case.check(0, |image| {
                let size = resize.size_after(Some([image.height, image.width]));
                resize.apply(image, &mut stream(0));
                assert_eq!(size, Some([image.height, image.width]));
            });
        }
    }

    #[test]
    fn a_side_leaves_various_sizes() {
        let side = serde_json::from_value(serde_json::json!(8)).unwrap();
        let resize = Resize { size: side };
        assert_eq!(resize.size_after(None), None);
        assert_eq!(resize.size_after(Some([10, 21])), Some([8, 16]));
        let both = serde_json::from_value(serde_json::json!([8, 3])).unwrap();
        assert_eq!(Resize { size: both }.size_after(None), Some([8, 3]));
    }

    #[test]
    fn one_value_stays_that_value() {
        for (height, width) in [(1, 1), (1, 9), (7, 1), (40, 13)] {
            for size in [[1, 1], [1, 20], [5, 5], [33, 64]] {
                let mut scaled = image(1, height, width);
                scaled.pixels.fill(255);
                let whole = ImageWindow {
                    top: 0,
                    left: 0,
                    height,
                    width,
                };
                resample(&mut scaled, whole, size);
                assert_eq!(scaled.pixels, vec![255; size[0] * size[1]]);
            }
        }
    }
}
