//! Random colours, each change with a probability of its own.

use super::color::{adjust_contrast, adjust_hue, adjust_saturation};
use super::tone::adjust_brightness;
use super::{Image, SampleTransform, check_colors};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.v2.RandomPhotometricDistort`.
pub(super) struct RandomPhotometricDistort {
    /// Of brightness, contrast, saturation and hue.
    ranges: [[f64; 2]; 4],
    p: f64,
}

/// A change by a factor or a shift.
type ColorChange = fn(&mut Image, f64);

/// What is done to an image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Distortion {
    /// Of brightness, contrast, saturation and hue, where they are changed.
    factors: [Option<f64>; 4],
    /// Whether contrast is changed before saturation and hue.
    contrast_first: bool,
    /// Which channel comes to each place.
    channels: Option<[usize; 3]>,
}

impl RandomPhotometricDistort {
    pub fn new(spec: &spec::RandomPhotometricDistortOptions) -> Self {
        let factors = [spec.brightness, spec.contrast, spec.saturation];
        let [brightness, contrast, saturation] = factors.map(|range| range.map(spec::NonNegative::get));
        Self {
            ranges: [brightness, contrast, saturation, spec.hue],
            p: spec.p.get(),
        }
    }

    fn draw(&self, draws: &mut Stream) -> Distortion {
        let factors = self.ranges.map(|[least, most]| {
            let (changes, factor) = (draws.bernoulli(self.p), draws.uniform_in(least, most));
            changes.then_some(factor)
        });
        let contrast_first = draws.bernoulli(0.5);
        let permutes = draws.bernoulli(self.p);
        let mut channels = [0, 1, 2];
        draws.shuffle(&mut channels);
        Distortion {
            factors,
            contrast_first,
            channels: permutes.then_some(channels),
        }
    }
}

impl Distortion {
    fn apply(self, image: &mut Image) {
        let [brightness, contrast, saturation, hue] = self.factors;
        let changes: [(Option<f64>, ColorChange); 5] = [
            (brightness, adjust_brightness),
            (contrast.filter(|_| self.contrast_first), adjust_contrast),
            (saturation, adjust_saturation),
            (hue, adjust_hue),
            (contrast.filter(|_| !self.contrast_first), adjust_contrast),
        ];
        for (factor, change) in changes {
            if let Some(factor) = factor {
                change(image, factor);
            }
        }
        if let (Some(channels), 3) = (self.channels, image.channels) {
            let plane = image.plane();
            image.spare.clear();
            for channel in channels {
                image
                    .spare
                    .extend_from_slice(&image.pixels[channel * plane..][..plane]);
            }
            image.swap();
        }
    }
}

impl SampleTransform for RandomPhotometricDistort {
    fn check(&self, channels: usize, _: Option<[usize; 2]>) -> Result<(), String> {
        check_colors(channels)
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        self.draw(draws).apply(image);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Case, image, stream};
    use super::*;

    #[test]
    fn distortions_are_torchvisions() {
        for case in Case::all("photometric_distort") {
            let factor = |name: &str| case.arguments[name].as_f64();
            let channels = case.arguments["channels"]
                .as_array()
                .map(|channels| [0, 1, 2].map(|place: usize| channels[place].as_u64().unwrap() as usize));
            let distortion = Distortion {
                factors: ["brightness", "contrast", "saturation", "hue"].map(factor),
                contrast_first: case.arguments["contrast_first"] == true,
                channels,
            };
            case.check(1, |image| distortion.apply(image));
        }
    }

    #[test]
    fn each_change_is_made_for_half_of_the_images_and_keeps_to_its_range() {
        let distort = RandomPhotometricDistort::new(&serde_json::from_value(json!({})).unwrap());
        let ranges = [[0.875, 1.125], [0.5, 1.5], [0.5, 1.5], [-0.05, 0.05]];
        let (mut made, mut permuted, mut first) = ([0; 4], 0, 0);
        for item in 0..2000 {
            let found = distort.draw(&mut stream(item));
            for ((factor, [least, most]), made) in found.factors.iter().zip(ranges).zip(&mut made) {
                *made += usize::from(factor.is_some());
                assert!(factor.is_none_or(|factor| (least..=most).contains(&factor)));
            }
            permuted += usize::from(found.channels.is_some());
            first += usize::from(found.contrast_first);
        }
        assert!(
            made.into_iter()
                .chain([permuted, first])
                .all(|count| (900..1100).contains(&count))
        );
        let mut gray = image(1, 4, 4);
        assert!(distort.check(1, None).is_ok() && distort.check(4, None).is_err());
        distort.apply(&mut gray, &mut stream(1));
        assert_eq!(gray.pixels.len(), 16);
    }
}
