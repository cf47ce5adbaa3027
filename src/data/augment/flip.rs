//! Mirroring left and right.

use super::{Image, ImageChange};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.RandomHorizontalFlip(p)`.
pub(super) struct HorizontalFlip {
    p: f64,
}

impl HorizontalFlip {
    pub fn new(spec: &spec::RandomFlip) -> Self {
        Self { p: spec.p.get() }
    }
}

impl ImageChange for HorizontalFlip {
    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        if draws.bernoulli(self.p) {
            image
                .pixels
                .chunks_exact_mut(image.width)
                .for_each(<[u8]>::reverse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn rows_are_mirrored_about_half_the_time() {
        let spec = spec::RandomFlip {
            p: spec::Probability::new(0.5).unwrap(),
        };
        let flip = HorizontalFlip::new(&spec);
        let mut flipped = 0;
        for item in 0..1000 {
            let mut image = Image {
                pixels: vec![1, 2, 3, 4, 5, 6],
                channels: 2,
                height: 1,
                width: 3,
                spare: Vec::new(),
            };
            flip.apply(&mut image, &mut Stream::new(0, Purpose::Augment, 0, item));
            if image.pixels == [3, 2, 1, 6, 5, 4] {
                flipped += 1;
            } else {
                assert_eq!(image.pixels, [1, 2, 3, 4, 5, 6]);
            }
        }
        assert!((450..550).contains(&flipped), "{flipped}");
    }
}
