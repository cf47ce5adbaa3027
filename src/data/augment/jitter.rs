//! Random colours.

use super::color::{adjust_contrast, adjust_hue, adjust_saturation};
use super::tone::adjust_brightness;
use super::{Image, SampleTransform, check_colors};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.v2.ColorJitter(brightness, contrast, saturation, hue)`.
pub(super) struct ColorJitter {
    /// How far each of [`ADJUSTMENTS`] may go.
    strengths: [f64; 4],
}

type Adjustment = fn(&mut Image, f64);

/// The adjustments, and the factors that leave an image as it is.
const ADJUSTMENTS: [(Adjustment, f64); 4] = [
    (adjust_brightness, 1.0),
    (adjust_contrast, 1.0),
    (adjust_saturation, 1.0),
    (adjust_hue, 0.0),
];

impl ColorJitter {
    pub fn new(spec: &spec::ColorJitterOptions) -> Self {
        Self {
            strengths: [spec.brightness, spec.contrast, spec.saturation, spec.hue]
                .map(spec::NonNegative::get),
        }
    }

    /// Which adjustments are made, in which order and with which factors.
    fn draw(&self, draws: &mut Stream) -> [Option<(usize, f64)>; 4] {
        let mut order = [0, 1, 2, 3];
        draws.shuffle(&mut order);
        let mut factors = [None; 4];
        for (index, (factor, strength)) in factors.iter_mut().zip(self.strengths).enumerate() {
            if strength > 0.0 {
                let neutral = ADJUSTMENTS[index].1;
                // Only the hue's shift may be negative.
                let least = if neutral == 1.0 {
                    (1.0 - strength).max(0.0)
                } else {
                    -strength
                };
                *factor = Some((index, draws.uniform_in(least, neutral + strength)));
            }
        }
        order.map(|index| factors[index])
    }
}

impl SampleTransform for ColorJitter {
    fn check(&self, channels: usize, _: Option<[usize; 2]>) -> Result<(), String> {
        check_colors(channels)?;
        let [_, _, saturation, hue] = self.strengths;
        if channels == 1 && (saturation > 0.0 || hue > 0.0) {
            return Err(
                "the data is grey and has neither saturation nor hue: keep only `brightness` and `contrast`"
                    .into(),
            );
        }
        Ok(())
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        for (index, factor) in self.draw(draws).into_iter().flatten() {
            ADJUSTMENTS[index].0(image, factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::testing::{image, stream};
    use super::*;

    #[test]
    fn every_order_and_the_whole_ranges_are_drawn() {
        let jitter = ColorJitter {
            strengths: [0.4, 1.5, 0.2, 0.1],
        };
        let ranges = [(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)];
        let mut orders = BTreeMap::new();
        let mut seen = [(f64::MAX, f64::MIN); 4];
        for item in 0..4800 {
            let adjustments = jitter.draw(&mut stream(item)).map(Option::unwrap);
            *orders.entry(adjustments.map(|(index, _)| index)).or_insert(0) += 1;
            for (index, factor) in adjustments {
                seen[index] = (seen[index].0.min(factor), seen[index].1.max(factor));
            }
        }
        assert_eq!(orders.len(), 24);
        assert!(
            orders.values().all(|count| (130..270).contains(count)),
            "{orders:?}"
        );
        for ((least, most), (low, high)) in seen.into_iter().zip(ranges) {
            let near = (high - low) * 0.01;
            assert!(least >= low && least < low + near && most < high && most > high - near);
        }
    }

    #[test]
    fn what_has_no_strength_is_left_out() {
        let jitter = ColorJitter {
            strengths: [0.0, 0.5, 0.0, 0.0],
        };
        let made: Vec<usize> = jitter
            .draw(&mut stream(0))
            .into_iter()
            .flatten()
            .map(|(index, _)| index)
            .collect();
        assert_eq!(made, [1]);
        let none = ColorJitter { strengths: [0.0; 4] };
        let mut same = image(3, 4, 4);
        none.apply(&mut same, &mut stream(0));
        assert_eq!(same.pixels, image(3, 4, 4).pixels);
    }

    #[test]
    fn gray_images_have_no_colors_to_change() {
        let of = |strengths| ColorJitter { strengths };
        assert!(of([0.5, 0.5, 0.0, 0.0]).check(1, None).is_ok());
        assert!(
            of([0.0, 0.0, 0.1, 0.0])
                .check(1, None)
                .unwrap_err()
                .contains("grey")
        );
        assert!(of([0.0, 0.0, 0.0, 0.1]).check(1, None).is_err());
        assert!(of([0.5; 4]).check(3, None).is_ok());
        assert!(of([0.5; 4]).check(4, None).is_err());
    }
}
