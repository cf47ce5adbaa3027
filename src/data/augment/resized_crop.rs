//! Random parts of images, scaled to one size.

use super::resize::{ImageWindow, resample};
use super::{Image, SampleTransform, both_sides};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.v2.RandomResizedCrop(size, scale, ratio)`.
pub(super) struct RandomResizedCrop {
    size: [usize; 2],
    scale: [f64; 2],
    ratio: [f64; 2],
}

impl RandomResizedCrop {
    pub fn new(spec: &spec::RandomResizedCropOptions) -> Self {
        Self {
            size: both_sides(spec.size),
            scale: spec.scale.map(spec::Positive::get),
            ratio: spec.ratio.map(spec::Positive::get),
        }
    }

    /// A window of random area and proportions; after ten that do not fit, the middle in the
    /// nearest proportions that are allowed.
    fn draw(&self, height: usize, width: usize, draws: &mut Stream) -> ImageWindow {
        let area = (height * width) as f64;
        let [narrowest, widest] = self.ratio;
        for _ in 0..10 {
            let target = area * draws.uniform_in(self.scale[0], self.scale[1]);
            let ratio = draws.uniform_in(narrowest.ln(), widest.ln()).exp();
            let columns = (target * ratio).sqrt().round_ties_even() as usize;
            let rows = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&columns) && (1..=height).contains(&rows) {
                return ImageWindow {
                    top: below(height - rows + 1, draws),
                    left: below(width - columns + 1, draws),
                    height: rows,
                    width: columns,
                };
            }
        }
        let ratio = width as f64 / height as f64;
        let (mut rows, mut columns) = (height, width);
        if ratio < narrowest {
            rows = ((width as f64 / narrowest).round_ties_even() as usize).clamp(1, height);
        } else if ratio > widest {
            columns = ((height as f64 * widest).round_ties_even() as usize).clamp(1, width);
        }
        ImageWindow {
            top: (height - rows) / 2,
            left: (width - columns) / 2,
            height: rows,
            width: columns,
        }
    }
}

fn below(places: usize, draws: &mut Stream) -> usize {
    draws.below(u32::try_from(places).unwrap_or(u32::MAX)) as usize
}

impl SampleTransform for RandomResizedCrop {
    fn size_after(&self, _: Option<[usize; 2]>) -> Option<[usize; 2]> {
        Some(self.size)
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        let window = self.draw(image.height, image.width, draws);
        resample(image, window, self.size);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Case, image, stream};
    use super::*;

    #[test]
    fn resized_crops_are_torchvisions() {
        for case in Case::all("resized_crop") {
            let [top, left] = case.sizes("place");
            let [height, width] = case.sizes("window");
            let window = ImageWindow {
                top,
                left,
                height,
                width,
            };
            case.check(0, |image| resample(image, window, case.sizes("size")));
        }
    }

    #[test]
    fn areas_and_proportions_keep_to_their_ranges() {
        let crop = RandomResizedCrop {
            size: [8, 8],
            scale: [0.08, 1.0],
            ratio: [0.75, 4.0 / 3.0],
        };
        let (mut areas, mut ratios) = (Vec::new(), Vec::new());
        let mut extremes = [(1.0f64, 0.0f64); 2];
        for item in 0..2000 {
            let window = crop.draw(500, 500, &mut stream(item));
            let places = [(window.top, window.height), (window.left, window.width)];
            for (extreme, (first, side)) in extremes.iter_mut().zip(places) {
                assert!(first + side <= 500);
                let place = first as f64 / (500 - side).max(1) as f64;
                *extreme = (extreme.0.min(place), extreme.1.max(place));
            }
            areas.push((window.height * window.width) as f64 / 250_000.0);
            ratios.push(window.width as f64 / window.height as f64);
        }
        assert!(extremes.iter().all(|(least, most)| *least < 0.01 && *most > 0.99));
        let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        // The largest areas fit in few proportions, and are rare.
        assert!((0.075..0.1).contains(&least(&areas)), "{}", least(&areas));
        assert!((0.9..=1.0).contains(&most(&areas)), "{}", most(&areas));
        assert!((0.745..0.76).contains(&least(&ratios)), "{}", least(&ratios));
        assert!((1.32..1.34).contains(&most(&ratios)), "{}", most(&ratios));
        let wide = ratios.iter().filter(|ratio| **ratio > 1.0).count();
        assert!((920..1080).contains(&wide), "{wide}");
    }

    #[test]
    fn what_never_fits_falls_back_to_the_middle() {
        let crop = |ratio| RandomResizedCrop {
            size: [2, 2],
            scale: [1.0, 1.0],
            ratio,
        };
        let window = |top, left, height, width| ImageWindow {
            top,
            left,
            height,
            width,
        };
        assert_eq!(crop([1.0, 1.0]).draw(4, 9, &mut stream(0)), window(0, 2, 4, 4));
        assert_eq!(crop([1.0, 1.0]).draw(9, 4, &mut stream(0)), window(2, 0, 4, 4));
        assert_eq!(crop([50.0, 60.0]).draw(9, 1, &mut stream(0)), window(4, 0, 1, 1));
    }

    proptest! {
        #[test]
        fn no_crop_looks_outside(
            (height, width) in prop_oneof![(1usize..5, 1usize..5), (Just(1), 1usize..80), (1usize..80, Just(1))],
            low in 0.01f64..1.0,
            ratio in 0.1f64..3.0,
            item in 0u32..1000,
        ) {
            let crop = RandomResizedCrop { size: [3, 5], scale: [low, 1.0], ratio: [ratio, ratio * 2.0] };
            let window = crop.draw(height, width, &mut stream(item));
            prop_assert!(window.height >= 1 && window.top + window.height <= height);
            prop_assert!(window.width >= 1 && window.left + window.width <= width);
            let mut cropped = image(3, height, width);
            cropped.pixels.fill(200);
            crop.apply(&mut cropped, &mut stream(item));
            prop_assert_eq!(cropped.pixels, vec![200; 45]);
        }
    }
}
