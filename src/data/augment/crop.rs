//! Padding with black, then cropping back at a random place.

use super::{Image, ImageChange};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.RandomCrop(size, padding)` with the image's own size.
pub(super) struct Crop {
    padding: u32,
}

impl Crop {
    pub fn new(spec: &spec::RandomCrop) -> Self {
        Self {
            padding: spec.padding,
        }
    }
}

impl ImageChange for Crop {
    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        let places = self.padding.saturating_mul(2).saturating_add(1);
        let top = draws.below(places) as usize;
        let left = draws.below(places) as usize;
        crop(image, self.padding as usize, top, left);
    }
}

/// Takes the window at (`top`, `left`) of `image` with `padding` black pixels on each side.
fn crop(image: &mut Image, padding: usize, top: usize, left: usize) {
    let (height, width) = (image.height, image.width);
    image.spare.clear();
    image.spare.resize(image.pixels.len(), 0);
    // Column x of the result is column x + left - padding of the image.
    let from = padding.saturating_sub(left).min(width);
    let to = (width + padding).saturating_sub(left).min(width);
    if from < to {
        let planes = image.pixels.chunks_exact(height * width);
        for (plane, out) in planes.zip(image.spare.chunks_exact_mut(height * width)) {
            for y in 0..height {
                let Some(source) = (y + top).checked_sub(padding).filter(|y| *y < height) else {
                    continue;
                };
                let columns = &plane[source * width + from + left - padding..][..to - from];
                out[y * width + from..][..to - from].copy_from_slice(columns);
            }
        }
    }
    std::mem::swap(&mut image.pixels, &mut image.spare);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    /// Pixel by pixel, straight from the definition.
    fn reference(image: &Image, padding: usize, top: usize, left: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for channel in 0..image.channels {
            for y in 0..image.height {
                for x in 0..image.width {
                    let row = (y + top).wrapping_sub(padding);
                    let column = (x + left).wrapping_sub(padding);
                    let inside = row < image.height && column < image.width;
                    let at = (channel * image.height + row.min(image.height)) * image.width
                        + column.min(image.width);
                    out.push(if inside { image.pixels[at] } else { 0 });
                }
            }
        }
        out
    }

    fn image(channels: usize, height: usize, width: usize) -> Image {
        Image {
            pixels: (1..=(channels * height * width) as u8).collect(),
            channels,
            height,
            width,
            spare: vec![7; 3],
        }
    }

    #[test]
    fn every_window_is_right() {
        for padding in 0..6 {
            for top in 0..=2 * padding {
                for left in 0..=2 * padding {
                    let mut cropped = image(2, 3, 4);
                    let expected = reference(&cropped, padding, top, left);
                    crop(&mut cropped, padding, top, left);
                    assert_eq!(cropped.pixels, expected, "{padding} {top} {left}");
                }
            }
        }
    }

    #[test]
    fn every_place_is_drawn() {
        let spec = spec::RandomCrop {
            size: None,
            padding: 1,
        };
        let crop = Crop::new(&spec);
        let mut seen = std::collections::BTreeSet::new();
        for item in 0..200 {
            let mut cropped = image(1, 3, 3);
            crop.apply(&mut cropped, &mut Stream::new(0, Purpose::Augment, 0, item));
            seen.insert(cropped.pixels);
        }
        assert_eq!(seen.len(), 9);
    }
}
