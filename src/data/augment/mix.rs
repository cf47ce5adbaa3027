//! Mixing a sample with another: mixup and CutMix.

use crate::random::Stream;
use crate::spec;

/// A way to mix a sample with another.
pub(super) struct Mixing {
    method: MixMethod,
    /// Shares are drawn from Beta(alpha, alpha).
    alpha: f64,
}

enum MixMethod {
    /// As `torchvision.transforms.v2.MixUp`, with a share for each sample.
    Mixup,
    /// As `torchvision.transforms.v2.CutMix`, with a rectangle for each sample.
    Cutmix,
}

impl Mixing {
    pub fn mixup(spec: &spec::MixupOptions) -> Self {
        Self {
            method: MixMethod::Mixup,
            alpha: spec.alpha.get(),
        }
    }

    pub fn cutmix(spec: &spec::CutmixOptions) -> Self {
        Self {
            method: MixMethod::Cutmix,
            alpha: spec.alpha.get(),
        }
    }

    /// Mixes `own` with `other`, images of `shape` `[C, H, W]`, and gives the share of `own` that stays.
    pub fn apply(&self, own: &mut [f32], other: &[f32], shape: [usize; 3], draws: &mut Stream) -> f64 {
        let share = symmetric_beta(self.alpha, draws);
        match self.method {
            MixMethod::Mixup => {
                blend(own, other, share);
                share
            }
            MixMethod::Cutmix => {
                let patch = Patch::draw(share, shape, draws);
                patch.paste(own, other, shape);
                patch.share_left(shape)
            }
        }
    }
}

/// Makes `own` `share` of itself and the rest of `other`.
pub(in crate::data) fn blend(own: &mut [f32], other: &[f32], share: f64) {
    let (share, rest) = (share as f32, (1.0 - share) as f32);
    for (value, other) in own.iter_mut().zip(other) {
        *value = other * rest + *value * share;
    }
}

/// The rectangle that CutMix takes from the other sample.
struct Patch {
    top: usize,
    left: usize,
    bottom: usize,
    right: usize,
}

impl Patch {
    /// Of `1 - share` of the area around a random pixel, cut off at the edges.
    fn draw(share: f64, [_, height, width]: [usize; 3], draws: &mut Stream) -> Self {
        let below =
            |side: usize, draws: &mut Stream| draws.below(u32::try_from(side).unwrap_or(u32::MAX)) as usize;
        let (x, y) = (below(width, draws), below(height, draws));
        let half = 0.5 * (1.0 - share).sqrt();
        let (half_width, half_height) = ((half * width as f64) as usize, (half * height as f64) as usize);
        Self {
            top: y.saturating_sub(half_height),
            left: x.saturating_sub(half_width),
            bottom: (y + half_height).min(height),
            right: (x + half_width).min(width),
        }
    }

    fn paste(&self, own: &mut [f32], other: &[f32], [_, height, width]: [usize; 3]) {
        let rows = own.chunks_exact_mut(width).zip(other.chunks_exact(width));
        for (row, (to, from)) in rows.enumerate() {
            if (self.top..self.bottom).contains(&(row % height)) {
                to[self.left..self.right].copy_from_slice(&from[self.left..self.right]);
            }
        }
    }

    /// The share of the area that stays.
    fn share_left(&self, [_, height, width]: [usize; 3]) -> f64 {
        let area = (self.right - self.left) * (self.bottom - self.top);
        1.0 - area as f64 / (width * height) as f64
    }
}

/// A draw from Beta(alpha, alpha): two Gamma(alpha) draws, the share of the first in their sum. By
/// logarithms, so that neither tiny nor huge alphas lose the ratio.
fn symmetric_beta(alpha: f64, draws: &mut Stream) -> f64 {
    let first = log_gamma_draw(alpha, draws);
    let second = log_gamma_draw(alpha, draws);
    1.0 / (1.0 + (second - first).exp())
}

/// The logarithm of a draw from Gamma(alpha, 1): Marsaglia and Tsang, "A simple method for generating
/// gamma variables", 2000; below 1 by its section 6, `Gamma(alpha + 1) * U^(1 / alpha)`.
fn log_gamma_draw(alpha: f64, draws: &mut Stream) -> f64 {
    if alpha < 1.0 {
        // In (0, 1], where the logarithm is finite.
        let uniform = 1.0 - draws.uniform();
        return log_gamma_draw(alpha + 1.0, draws) + uniform.ln() / alpha;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal = draws.normal();
        let root = 1.0 + c * normal;
        if root <= 0.0 {
            continue;
        }
        let log_cube = 3.0 * root.ln();
        let uniform = 1.0 - draws.uniform();
        let cube = root * root * root;
        if uniform.ln() < 0.5 * normal * normal + d * (1.0 - cube + log_cube) {
            return d.ln() + log_cube;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fixture, floats, stream};
    use super::*;

    const SHAPE: [usize; 3] = [2, 5, 4];

    /// The batch that the fixture's script makes by the same formula.
    fn batch() -> Vec<f32> {
        (0..3 * 40)
            .map(|at| (at * 37 % 101) as f32 / 50.0 - 1.0)
            .collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    /// Calls `mix` with each of the three rows of `values` and the row before it as it was, the first
    /// with the last: torchvision's pairs.
    fn each_pair(values: &mut [f32], mut mix: impl FnMut(&mut [f32], &[f32])) {
        let width = values.len() / 3;
        let before = values.to_vec();
        for (index, row) in values.chunks_exact_mut(width).enumerate() {
            mix(row, &before[(index + 2) % 3 * width..][..width]);
        }
    }

    /// The classes 3, 0, 1 of 4 as probabilities.
    fn probabilities() -> Vec<f32> {
        let mut probabilities = vec![0.0; 12];
        for (row, class) in [3, 0, 1].into_iter().enumerate() {
            probabilities[4 * row + class] = 1.0;
        }
        probabilities
    }

    #[test]
    fn mixup_is_torchvisions() {
        let fixture = fixture();
        let expected = &fixture["mixup"];
        let share = expected["share"].as_f64().unwrap();
        let mut inputs = batch();
        each_pair(&mut inputs, |own, other| blend(own, other, share));
        close(&inputs, &floats(&expected["inputs"]));
        let mut targets = probabilities();
        each_pair(&mut targets, |own, other| blend(own, other, share));
        close(&targets, &floats(&expected["targets"]));
    }

    #[test]
    fn cutmix_is_torchvisions() {
        let fixture = fixture();
        let cases = fixture["cutmix"].as_array().unwrap();
        assert!(cases.len() > 1);
        for case in cases {
            let [left, top, right, bottom] =
                [0, 1, 2, 3].map(|at| case["box"][at].as_u64().unwrap() as usize);
            let patch = Patch {
                top,
                left,
                bottom,
                right,
            };
            let mut inputs = batch();
            each_pair(&mut inputs, |own, other| patch.paste(own, other, SHAPE));
            close(&inputs, &floats(&case["inputs"]));
            let mut targets = probabilities();
            each_pair(&mut targets, |own, other| {
                blend(own, other, patch.share_left(SHAPE));
            });
            close(&targets, &floats(&case["targets"]));
        }
    }

    #[test]
    fn beta_draws_have_the_right_moments() {
        for alpha in [0.05, 0.2, 1.0, 4.0, 300.0] {
            let draws: Vec<f64> = (0..20_000)
                .map(|item| symmetric_beta(alpha, &mut stream(item)))
                .collect();
            let moment = |power| draws.iter().map(|x| (x - 0.5).powi(power)).sum::<f64>() / 20_000.0;
            assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)));
            // The variance of Beta(a, a), and its fourth central moment.
            let variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            let fourth = 3.0 / (16.0 * (2.0 * alpha + 1.0) * (2.0 * alpha + 3.0));
            assert!(moment(1).abs() < 4.0 * (variance / 20_000.0).sqrt(), "{alpha}");
            assert!((moment(2) / variance - 1.0).abs() < 0.05, "{alpha} {}", moment(2));
            assert!((moment(4) / fourth - 1.0).abs() < 0.1, "{alpha} {}", moment(4));
        }
        for alpha in [f64::MIN_POSITIVE, 1e-9, 1e300, f64::MAX] {
            for item in 0..100 {
                let draw = symmetric_beta(alpha, &mut stream(item));
                assert!((0.0..=1.0).contains(&draw), "{alpha} {draw}");
            }
        }
    }

    #[test]
    fn patches_have_their_areas_and_lie_everywhere() {
        let shape = [1, 64, 48];
        let mut covered = vec![0u32; 64 * 48];
        for item in 0..3000 {
            let patch = Patch::draw(0.75, shape, &mut stream(item));
            // A quarter of the area is half of each side, less where it is cut off.
            assert!(patch.bottom - patch.top <= 32 && patch.right - patch.left <= 24);
            assert!(patch.bottom <= 64 && patch.right <= 48);
            assert!(patch.share_left(shape) >= 0.75);
            for y in patch.top..patch.bottom {
                for x in patch.left..patch.right {
                    covered[y * 48 + x] += 1;
                }
            }
        }
        assert!(covered.iter().all(|count| *count > 100));
        let nothing = Patch::draw(1.0, shape, &mut stream(0));
        assert_eq!(nothing.share_left(shape), 1.0);
    }
}
