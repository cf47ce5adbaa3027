//! Rectangles without content.

use super::{Image, SampleTransform};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.v2.RandomErasing(p, scale, ratio)` behind normalisation with its fill of
/// 0: here, before normalisation, that is the channels' means, to the nearest of 256 values.
pub(super) struct RandomErasing {
    p: f64,
    scale: [f64; 2],
    ratio: [f64; 2],
    means: Vec<u8>,
}

impl RandomErasing {
    pub fn new(spec: &spec::RandomErasingOptions) -> Self {
        Self {
            p: spec.p.get(),
            scale: spec.scale.map(spec::Positive::get),
            ratio: spec.ratio.map(spec::Positive::get),
            means: Vec::new(),
        }
    }

    /// Top, left, height and width of a rectangle that is smaller than the image; nothing where ten
    /// draws did not fit.
    fn draw(&self, height: usize, width: usize, draws: &mut Stream) -> Option<[usize; 4]> {
        let area = (height * width) as f64;
        (0..10).find_map(|_| {
            let target = area * draws.uniform_in(self.scale[0], self.scale[1]);
            let ratio = draws.uniform_in(self.ratio[0].ln(), self.ratio[1].ln()).exp();
            let rows = (target * ratio).sqrt().round_ties_even() as usize;
            let columns = (target / ratio).sqrt().round_ties_even() as usize;
            let below = |bound: usize, draws: &mut Stream| {
                draws.below(u32::try_from(bound).unwrap_or(u32::MAX)) as usize
            };
            (rows < height && columns < width).then(|| {
                let top = below(height - rows + 1, draws);
                [top, below(width - columns + 1, draws), rows, columns]
            })
        })
    }
}

impl SampleTransform for RandomErasing {
    fn set_means(&mut self, means: &[u8]) {
        self.means = means.to_vec();
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        if !draws.bernoulli(self.p) {
            return;
        }
        let Some([top, left, rows, columns]) = self.draw(image.height, image.width, draws) else {
            return;
        };
        let (plane, width) = (image.plane(), image.width);
        let means = self.means.iter().copied().chain(std::iter::repeat(0));
        for (plane, mean) in image.pixels.chunks_exact_mut(plane).zip(means) {
            for row in plane.chunks_exact_mut(width).skip(top).take(rows) {
                row[left..][..columns].fill(mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{image, stream};
    use super::*;

    fn erasing(p: f64) -> RandomErasing {
        RandomErasing {
            p,
            scale: [0.02, 0.33],
            ratio: [0.3, 3.3],
            means: vec![10, 20, 30],
        }
    }

    #[test]
    fn rectangles_keep_to_their_ranges() {
        let mut extremes = [(f64::MAX, f64::MIN); 4];
        for item in 0..4000 {
            let [top, left, rows, columns] = erasing(1.0).draw(200, 100, &mut stream(item)).unwrap();
            assert!(top + rows <= 200 && left + columns <= 100);
            let figures = [
                (rows * columns) as f64 / 20_000.0,
                rows as f64 / columns as f64,
                top as f64 / (200 - rows) as f64,
                left as f64 / (100 - columns) as f64,
            ];
            for (extreme, figure) in extremes.iter_mut().zip(figures) {
                *extreme = (extreme.0.min(figure), extreme.1.max(figure));
            }
        }
        let expected = [(0.02, 0.33), (0.3, 3.3), (0.0, 1.0), (0.0, 1.0)];
        for ((least, most), (low, high)) in extremes.into_iter().zip(expected) {
            assert!((least - low).abs() < 0.02, "{least} {low}");
            assert!((most - high).abs() < 0.1, "{most} {high}");
        }
    }

    #[test]
    fn exactly_one_rectangle_gets_the_means() {
        let mut erased = 0;
        for item in 0..1000 {
            let mut changed = image(3, 12, 10);
            changed.pixels.fill(200);
            erasing(0.25).apply(&mut changed, &mut stream(item));
            if changed.pixels.iter().all(|pixel| *pixel == 200) {
                continue;
            }
            erased += 1;
            let mut draws = stream(item);
            draws.bernoulli(0.25);
            let [top, left, rows, columns] = erasing(0.25).draw(12, 10, &mut draws).unwrap();
            for (at, pixel) in changed.pixels.iter().enumerate() {
                let (channel, y, x) = (at / 120, at / 10 % 12, at % 10);
                let inside = (top..top + rows).contains(&y) && (left..left + columns).contains(&x);
                assert_eq!(*pixel, if inside { [10, 20, 30][channel] } else { 200 });
            }
        }
        assert!((200..300).contains(&erased), "{erased}");
    }

    #[test]
    fn tiny_images_stay() {
        for (height, width) in [(1, 1), (1, 30)] {
            let mut tiny = image(1, height, width);
            erasing(1.0).apply(&mut tiny, &mut stream(3));
            assert_eq!(tiny.pixels, image(1, height, width).pixels);
        }
    }
}
