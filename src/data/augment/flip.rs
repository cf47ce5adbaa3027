//! Mirror images.

use super::{Image, SampleTransform};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.v2.RandomHorizontalFlip(p)`: left and right.
pub(super) struct HorizontalFlip {
    p: f64,
}

impl HorizontalFlip {
    pub fn new(spec: &spec::RandomFlipOptions) -> Self {
        Self { p: spec.p.get() }
    }
}

impl SampleTransform for HorizontalFlip {
    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        if draws.bernoulli(self.p) {
            let width = image.width as f64;
            mirror(image);
            image.move_riders(mirror, mirror, |[x, y]| [width - x, y]);
        }
    }
}

/// Left and right change places.
fn mirror(image: &mut Image) {
    let rows = image.pixels.chunks_exact_mut(image.width);
    rows.for_each(<[u8]>::reverse);
}

/// As `torchvision.transforms.v2.RandomVerticalFlip(p)`: top and bottom.
pub(super) struct VerticalFlip {
    p: f64,
}

impl VerticalFlip {
    pub fn new(spec: &spec::RandomFlipOptions) -> Self {
        Self { p: spec.p.get() }
    }
}

impl SampleTransform for VerticalFlip {
    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        if draws.bernoulli(self.p) {
            let height = image.height as f64;
            turn_over(image);
            image.move_riders(turn_over, turn_over, |[x, y]| [x, height - y]);
        }
    }
}

/// Top and bottom change places.
fn turn_over(image: &mut Image) {
    let (plane, width) = (image.plane(), image.width);
    for plane in image.pixels.chunks_exact_mut(plane) {
        let (upper, lower) = plane.split_at_mut(image.height / 2 * width);
        let below = lower.chunks_exact_mut(width).rev();
        for (above, below) in upper.chunks_exact_mut(width).zip(below) {
            above.swap_with_slice(below);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, image, stream};
    use super::*;

    #[test]
    fn flips_are_torchvisions() {
        for case in Case::all("horizontal_flip") {
            case.check(0, |image| HorizontalFlip { p: 1.0 }.apply(image, &mut stream(0)));
        }
        for case in Case::all("vertical_flip") {
            case.check(0, |image| VerticalFlip { p: 1.0 }.apply(image, &mut stream(0)));
        }
    }

    #[test]
    fn the_probability_is_kept() {
        let changes: [&dyn SampleTransform; 2] = [&HorizontalFlip { p: 0.3 }, &VerticalFlip { p: 0.3 }];
        for change in changes {
            let mut flipped = 0;
            for item in 0..2000 {
                let mut changed = image(2, 3, 3);
                change.apply(&mut changed, &mut stream(item));
                flipped += u32::from(changed.pixels != image(2, 3, 3).pixels);
            }
            assert!((520..680).contains(&flipped), "{flipped}");
        }
    }
}
