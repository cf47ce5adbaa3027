//! Cutting windows out of images.

use super::{Image, SampleTransform, both_sides};
use crate::random::Stream;
use crate::schema::NO_PIXEL_CLASS;
use crate::spec;

/// As `torchvision.transforms.v2.RandomCrop(size, padding)`, by default with the image's own size;
/// with `pad_if_needed=True` where images have various sizes.
pub(super) struct RandomCrop {
    size: Option<[usize; 2]>,
    padding: usize,
}

impl RandomCrop {
    pub fn new(spec: &spec::RandomCropOptions) -> Self {
        Self {
            size: spec.size.map(both_sides),
            padding: spec.padding as usize,
        }
    }
}

impl SampleTransform for RandomCrop {
    fn check(&self, _: usize, size: Option<[usize; 2]>) -> Result<(), String> {
        let (Some([height, width]), Some([rows, columns])) = (size, self.size) else {
            return Ok(());
        };
        let fits = |side: usize, wanted: usize| side + 2 * self.padding >= wanted;
        if fits(height, rows) && fits(width, columns) {
            return Ok(());
        }
        Err(format!(
            "{rows}x{columns} pixels cannot be cropped from {height}x{width} with {} of padding: choose a smaller \
             `size` or more `padding`",
            self.padding
        ))
    }

    fn size_after(&self, size: Option<[usize; 2]>) -> Option<[usize; 2]> {
        self.size.or(size)
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        let [height, width] = self.size.unwrap_or([image.height, image.width]);
        let top = place(image.height, height, self.padding, draws);
        let left = place(image.width, width, self.padding, draws);
        window(image, top, left, height, width);
    }
}

/// Where a window of `wanted` pixels begins on a side of `side` pixels with `padding` at each end.
fn place(side: usize, wanted: usize, padding: usize, draws: &mut Stream) -> isize {
    let missing = wanted.saturating_sub(side + 2 * padding);
    let padding = padding + missing;
    let places = side + 2 * padding - wanted + 1;
    // Sides and paddings have at most 2^16 pixels, or the window is as long as the side.
    let places = u32::try_from(places).unwrap_or(u32::MAX);
    draws.below(places) as isize - padding as isize
}

/// As `torchvision.transforms.v2.CenterCrop(size)`.
pub(super) struct CenterCrop {
    size: [usize; 2],
}

impl CenterCrop {
    pub fn new(spec: &spec::CenterCropOptions) -> Self {
        Self {
            size: both_sides(spec.size),
        }
    }
}

impl SampleTransform for CenterCrop {
    fn size_after(&self, _: Option<[usize; 2]>) -> Option<[usize; 2]> {
        Some(self.size)
    }

    fn apply(&self, image: &mut Image, _: &mut Stream) {
        let [height, width] = self.size;
        let (top, left) = (middle(image.height, height), middle(image.width, width));
        window(image, top, left, height, width);
    }
}

/// Where the middle `wanted` pixels of a side begin, rounded as torchvision does: halves to the even
/// number inside the image, and up in its padding.
fn middle(side: usize, wanted: usize) -> isize {
    if wanted > side {
        return -(((wanted - side) / 2) as isize);
    }
    ((side - wanted) as f64 / 2.0).round_ties_even() as isize
}

/// Makes `image` its window of `height` x `width` pixels from (`top`, `left`) on, black where the
/// window lies outside, and moves what rides along: there masks have no class.
pub(super) fn window(image: &mut Image, top: isize, left: isize, height: usize, width: usize) {
    let window = |image: &mut Image, outside| cut(image, [top, left], [height, width], outside);
    window(image, 0);
    image.move_riders(
        |other| window(other, 0),
        |mask| window(mask, NO_PIXEL_CLASS),
        |[x, y]| [x - left as f64, y - top as f64],
    );
}

/// The window's pixels, `outside` where it lies outside.
fn cut(image: &mut Image, [top, left]: [isize; 2], [height, width]: [usize; 2], outside: u8) {
    image.spare.clear();
    image.spare.resize(image.channels * height * width, outside);
    // The window's columns that lie inside, and what they show.
    let from = left.min(0).unsigned_abs().min(width);
    let source = left.max(0).unsigned_abs();
    let inside = image.width.saturating_sub(source).min(width - from);
    if inside > 0 {
        let planes = image.pixels.chunks_exact(image.height * image.width);
        for (plane, out) in planes.zip(image.spare.chunks_exact_mut(height * width)) {
            for (y, out) in out.chunks_exact_mut(width).enumerate() {
                let row = top + y as isize;
                if row < 0 || row >= image.height as isize {
                    continue;
                }
                let row = &plane[row as usize * image.width..][..image.width];
                out[from..][..inside].copy_from_slice(&row[source..][..inside]);
            }
        }
    }
    image.swap();
    (image.height, image.width) = (height, width);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::testing::{Case, image, stream};
    use super::*;

    /// Pixel by pixel, straight from the definition.
    fn reference(image: &Image, top: isize, left: isize, height: usize, width: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for channel in 0..image.channels {
            for y in 0..height as isize {
                for x in 0..width as isize {
                    let (row, column) = (y + top, x + left);
                    let inside = (0..image.height as isize).contains(&row)
                        && (0..image.width as isize).contains(&column);
                    let at = (channel * image.height) as isize + row;
                    let at = at * image.width as isize + column;
                    out.push(if inside { image.pixels[at as usize] } else { 0 });
                }
            }
        }
        out
    }

    #[test]
    fn every_window_is_right() {
        for (height, width) in [(3, 4), (1, 1), (5, 2), (9, 9)] {
            for top in -8..8 {
                for left in -8..8 {
                    let mut cropped = image(2, 3, 4);
                    let expected = reference(&cropped, top, left, height, width);
                    window(&mut cropped, top, left, height, width);
                    assert_eq!(cropped.pixels, expected, "{height} {width} {top} {left}");
                    assert_eq!([cropped.height, cropped.width], [height, width]);
                }
            }
        }
    }

    #[test]
    fn center_crops_are_torchvisions() {
        for case in Case::all("center_crop") {
            let [height, width] = case.sizes("size");
            let crop = CenterCrop {
                size: [height, width],
            };
            case.check(0, |image| crop.apply(image, &mut stream(0)));
        }
    }

    #[test]
    fn every_place_is_drawn() {
        for (size, padding, places) in [(None, 1, 9), (Some([2, 2]), 0, 4), (Some([2, 3]), 1, 12)] {
            let crop = RandomCrop { size, padding };
            let mut seen = BTreeSet::new();
            for item in 0..400 {
                let mut cropped = image(1, 3, 3);
                crop.apply(&mut cropped, &mut stream(item));
                seen.insert(cropped.pixels);
            }
            assert_eq!(seen.len(), places);
        }
    }

    #[test]
    fn small_images_of_various_sizes_are_padded() {
        let crop = RandomCrop {
            size: Some([4, 2]),
            padding: 0,
        };
        let mut seen = BTreeSet::new();
        for item in 0..100 {
            let mut cropped = image(1, 3, 2);
            let pixels = cropped.pixels.clone();
            crop.apply(&mut cropped, &mut stream(item));
            let blank = [0; 2];
            let lower = [&blank[..], &pixels].concat();
            let upper = [&pixels, &blank[..]].concat();
            assert!(cropped.pixels == lower || cropped.pixels == upper);
            seen.insert(cropped.pixels);
        }
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn crops_larger_than_the_image_are_refused() {
        let crop = RandomCrop {
            size: Some([5, 4]),
            padding: 1,
        };
        assert!(crop.check(1, Some([3, 2])).is_ok());
        assert!(crop.check(1, Some([2, 2])).unwrap_err().contains("5x4"));
        assert!(crop.check(1, Some([3, 1])).is_err());
        assert!(crop.check(1, None).is_ok());
        assert_eq!(crop.size_after(None), Some([5, 4]));
    }

    proptest! {
        #[test]
        fn crops_show_nothing_but_the_image_and_black(
            (height, width) in (1usize..6, 1usize..6),
            size in proptest::option::of([1usize..9, 1usize..9]),
            padding in 0usize..4,
            item in 0u32..1000,
        ) {
            let crop = RandomCrop { size, padding };
            let mut cropped = image(3, height, width);
            let values: BTreeSet<u8> = cropped.pixels.iter().copied().chain([0]).collect();
            crop.apply(&mut cropped, &mut stream(item));
            let expected = size.unwrap_or([height, width]);
            prop_assert_eq!([cropped.height, cropped.width], expected);
            prop_assert_eq!(cropped.pixels.len(), 3 * expected[0] * expected[1]);
            prop_assert!(cropped.pixels.iter().all(|pixel| values.contains(pixel)));
            let center = CenterCrop { size: expected };
            let mut cropped = image(3, height, width);
            center.apply(&mut cropped, &mut stream(item));
            prop_assert_eq!(cropped.pixels.len(), 3 * expected[0] * expected[1]);
        }
    }
}
