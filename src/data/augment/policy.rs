//! Policies that draw their changes from one set: TrivialAugment and RandAugment.

use super::affine::{Map, rotate};
use super::color::{adjust_contrast, adjust_saturation};
use super::sharpness::adjust_sharpness;
use super::tone::{adjust_brightness, autocontrast, equalize, posterize, solarize};
use super::{Image, SampleTransform, check_colors};
use crate::random::Stream;
use crate::spec;

/// Magnitudes that a change can have.
const BINS: u32 = 31;

/// A policy: some changes of the set, each of one magnitude and, where it has two ways, of a random
/// sign.
pub(super) struct Policy {
    changes: u32,
    /// By default each change draws its own.
    magnitude: Option<u32>,
    limits: Strengths,
}

/// What the largest magnitude stands for.
struct Strengths {
    shear: f64,
    /// Pixels.
    translate: fn(side: usize) -> f64,
    /// Degrees.
    rotate: f64,
    /// Of brightness, colour, contrast and sharpness: the distance from 1.
    enhance: f64,
    /// Bits that posterising takes away.
    posterize: f32,
}

/// The set that both policies share, in torchvision's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PolicyChange {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

const CHANGES: [PolicyChange; 14] = [
    PolicyChange::Identity,
    PolicyChange::ShearX,
    PolicyChange::ShearY,
    PolicyChange::TranslateX,
    PolicyChange::TranslateY,
    PolicyChange::Rotate,
    PolicyChange::Brightness,
    PolicyChange::Color,
    PolicyChange::Contrast,
    PolicyChange::Sharpness,
    PolicyChange::Posterize,
    PolicyChange::Solarize,
    PolicyChange::AutoContrast,
    PolicyChange::Equalize,
];

impl Policy {
    /// As `torchvision.transforms.v2.TrivialAugmentWide()`.
    pub fn trivial() -> Self {
        Self {
            changes: 1,
            magnitude: None,
            limits: Strengths {
                shear: 0.99,
                translate: |_| 32.0,
                rotate: 135.0,
                enhance: 0.99,
                posterize: 6.0,
            },
        }
    }

    /// As `torchvision.transforms.v2.RandAugment(num_ops, magnitude)`.
    pub fn rand(spec: &spec::RandAugmentOptions) -> Self {
        Self {
            changes: spec.num_ops.get(),
            magnitude: Some(spec.magnitude.min(BINS - 1)),
            limits: Strengths {
                shear: 0.3,
                translate: |side| 150.0 / 331.0 * side as f64,
                rotate: 30.0,
                enhance: 0.9,
                posterize: 4.0,
            },
        }
    }

    /// A change and its magnitude, for an image of `size`, `[H, W]`. Every change takes the same
    /// draws, though not every one needs them.
    fn draw(&self, size: [usize; 2], draws: &mut Stream) -> (PolicyChange, f64) {
        let change = CHANGES[draws.below(CHANGES.len() as u32) as usize];
        let bin = match self.magnitude {
            Some(bin) => bin,
            None => draws.below(BINS),
        };
        let negative = draws.bernoulli(0.5);
        let magnitude = f64::from(self.limits.magnitude(change, bin, size));
        let two_ways = change > PolicyChange::Identity && change < PolicyChange::Posterize;
        (
            change,
            if two_ways && negative {
                -magnitude
            } else {
                magnitude
            },
        )
    }
}

impl SampleTransform for Policy {
    fn check(&self, channels: usize, _: Option<[usize; 2]>) -> Result<(), String> {
        check_colors(channels)
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        for _ in 0..self.changes {
            let (change, magnitude) = self.draw([image.height, image.width], draws);
            change.apply(image, magnitude);
        }
    }
}

impl Strengths {
    /// The magnitude of the `bin`th strength, without its sign.
    fn magnitude(&self, change: PolicyChange, bin: u32, [height, width]: [usize; 2]) -> f32 {
        match change {
            PolicyChange::Identity | PolicyChange::AutoContrast | PolicyChange::Equalize => 0.0,
            PolicyChange::ShearX | PolicyChange::ShearY => linspace(0.0, self.shear, bin),
            PolicyChange::TranslateX => linspace(0.0, (self.translate)(width), bin),
            PolicyChange::TranslateY => linspace(0.0, (self.translate)(height), bin),
            PolicyChange::Rotate => linspace(0.0, self.rotate, bin),
            PolicyChange::Brightness
            | PolicyChange::Color
            | PolicyChange::Contrast
            | PolicyChange::Sharpness => linspace(0.0, self.enhance, bin),
            PolicyChange::Posterize => {
                let bins_a_bit = (BINS - 1) as f32 / self.posterize;
                (8.0 - bin as f32 / bins_a_bit).round_ties_even()
            }
            PolicyChange::Solarize => linspace(1.0, 0.0, bin),
        }
    }
}

/// `torch.linspace(start, end, 31)[bin]` in f32, counted from the nearer end.
fn linspace(start: f64, end: f64, bin: u32) -> f32 {
    let (start, end) = (start as f32, end as f32);
    let step = (end - start) / (BINS - 1) as f32;
    if bin < BINS / 2 {
        start + step * bin as f32
    } else {
        end - step * (BINS - 1 - bin) as f32
    }
}

impl PolicyChange {
    /// torchvision's `_apply_image_or_video_transform`.
    fn apply(self, image: &mut Image, magnitude: f64) {
        let corner = [image.width as f64 * -0.5, image.height as f64 * -0.5];
        let shear = |shear| Map {
            shear,
            center: corner,
            ..Map::default()
        };
        let translate = |translate| Map {
            translate,
            ..Map::default()
        };
        match self {
            Self::Identity => {}
            Self::ShearX => shear([magnitude.atan().to_degrees(), 0.0]).apply(image),
            Self::ShearY => shear([0.0, magnitude.atan().to_degrees()]).apply(image),
            Self::TranslateX => translate([magnitude.trunc(), 0.0]).apply(image),
            Self::TranslateY => translate([0.0, magnitude.trunc()]).apply(image),
            Self::Rotate => rotate(image, magnitude),
            Self::Brightness => adjust_brightness(image, 1.0 + magnitude),
            Self::Color => adjust_saturation(image, 1.0 + magnitude),
            Self::Contrast => adjust_contrast(image, 1.0 + magnitude),
            Self::Sharpness => adjust_sharpness(image, 1.0 + magnitude),
            Self::Posterize => posterize(image, magnitude as u32),
            Self::Solarize => solarize(image, 255.0 * magnitude),
            Self::AutoContrast => autocontrast(image),
            Self::Equalize => equalize(image),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::testing::{Case, fixture, stream};
    use super::*;

    fn named(name: &str) -> PolicyChange {
        let found = CHANGES.into_iter().find(|change| format!("{change:?}") == name);
        found.unwrap()
    }

    fn rand(num_ops: u32, magnitude: u32) -> Policy {
        let spec = serde_json::json!({"num_ops": num_ops, "magnitude": magnitude});
        Policy::rand(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn changes_are_torchvisions() {
        for case in Case::all("policy") {
            let change = named(case.arguments["change"].as_str().unwrap());
            case.check(0, |image| change.apply(image, case.number("magnitude")));
        }
    }

    #[test]
    fn magnitudes_are_torchvisions() {
        let fixture = fixture();
        let policies = [("trivial", Policy::trivial()), ("rand", rand(2, 9))];
        for (name, policy) in policies {
            let table = fixture["magnitudes"][name].as_object().unwrap();
            assert_eq!(table.len(), 11);
            for (change, expected) in table {
                for (bin, expected) in expected.as_array().unwrap().iter().enumerate() {
                    let expected = expected.as_f64().unwrap();
                    let found = f64::from(policy.limits.magnitude(named(change), bin as u32, [24, 20]));
                    // PyTorch's last bit depends on the width of the processor's vectors: one pixel
                    // may be missing where a shift is a whole number.
                    assert!((found - expected).abs() <= 3e-7 * expected, "{change} {bin}");
                    assert_eq!(found.trunc(), (expected * (1.0 + 1e-7)).trunc(), "{change} {bin}");
                }
            }
        }
    }

    #[test]
    fn every_change_sign_and_magnitude_is_drawn_evenly() {
        let policy = Policy::trivial();
        let mut counts = BTreeMap::new();
        let mut magnitudes: BTreeMap<PolicyChange, BTreeSet<u64>> = BTreeMap::new();
        let mut negative = 0;
        for item in 0..14_000 {
            let (change, magnitude) = policy.draw([32, 32], &mut stream(item));
            *counts.entry(change).or_insert(0) += 1;
            negative += u32::from(magnitude < 0.0);
            magnitudes.entry(change).or_default().insert(magnitude.to_bits());
        }
        assert_eq!(counts.len(), 14);
        assert!(
            counts.values().all(|count| (870..1130).contains(count)),
            "{counts:?}"
        );
        // 9 of 14 changes have a sign, and 30 of 31 of their magnitudes are not 0.
        assert!((4150..4560).contains(&negative), "{negative}");
        assert_eq!(magnitudes[&PolicyChange::Rotate].len(), 62);
        assert_eq!(magnitudes[&PolicyChange::Solarize].len(), 31);
        assert_eq!(magnitudes[&PolicyChange::Posterize].len(), 7);
        assert_eq!(magnitudes[&PolicyChange::Equalize].len(), 1);
    }

    #[test]
    fn rand_augment_makes_its_number_of_changes_of_its_magnitude() {
        for item in 0..300 {
            let (change, magnitude) = rand(1, 30).draw([331, 331], &mut stream(item));
            let expected = match change {
                PolicyChange::ShearX | PolicyChange::ShearY => f64::from(0.3f32),
                PolicyChange::TranslateX | PolicyChange::TranslateY => 150.0,
                PolicyChange::Rotate => 30.0,
                PolicyChange::Posterize => 4.0,
                PolicyChange::Brightness
                | PolicyChange::Color
                | PolicyChange::Contrast
                | PolicyChange::Sharpness => f64::from(0.9f32),
                _ => 0.0,
            };
            assert_eq!(magnitude.abs(), expected, "{change:?}");
        }
        let mut one_by_one = super::super::testing::image(3, 11, 9);
        let mut together = super::super::testing::image(3, 11, 9);
        let mut draws = stream(5);
        for _ in 0..3 {
            rand(1, 9).apply(&mut one_by_one, &mut draws);
        }
        rand(3, 9).apply(&mut together, &mut stream(5));
        assert_eq!(one_by_one.pixels, together.pixels);
    }
}
