//! Gaussian blur.

use super::{Image, SampleTransform};
use crate::random::Stream;
use crate::spec;

/// As `torchvision.transforms.v2.GaussianBlur(kernel_size, sigma)`.
pub(super) struct GaussianBlur {
    kernel_size: usize,
    sigma: [f64; 2],
}

impl GaussianBlur {
    pub fn new(spec: &spec::GaussianBlurOptions) -> Self {
        Self {
            kernel_size: spec.kernel_size.get() as usize,
            sigma: spec.sigma.map(spec::Positive::get),
        }
    }
}

impl SampleTransform for GaussianBlur {
    fn check(&self, _: usize, size: Option<[usize; 2]>) -> Result<(), String> {
        let radius = self.kernel_size / 2;
        match size {
            // What lies beyond the edge is a mirror image, which has one pixel less than the image.
            Some([height, width]) if height.min(width) <= radius => Err(format!(
                "a kernel of {} pixels needs images of at least {}, and these have {height}x{width}: choose a \
                 smaller `kernel_size`",
                self.kernel_size,
                radius + 1
            )),
            _ => Ok(()),
        }
    }

    fn apply(&self, image: &mut Image, draws: &mut Stream) {
        let sigma = draws.uniform_in(self.sigma[0], self.sigma[1]);
        gaussian_blur(image, self.kernel_size, sigma);
    }
}

/// torchvision's `_get_gaussian_kernel1d`: the outermost weights lie at `(size - 1) / (2 sqrt(2))`.
fn kernel(size: usize, sigma: f64) -> Vec<f32> {
    let middle = (size - 1) as f64 / 2.0;
    let exponent = |index: usize| -((index as f64 - middle) / (sigma * std::f64::consts::SQRT_2)).powi(2);
    let weights: Vec<f64> = (0..size).map(|index| exponent(index).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / total) as f32).collect()
}

/// Blurs along the columns and then along the rows, in f32, and rounds once; beyond its edges the
/// image is mirrored, again and again where the kernel is larger than the image.
fn gaussian_blur(image: &mut Image, kernel_size: usize, sigma: f64) {
    let weights = kernel(kernel_size, sigma);
    let radius = kernel_size / 2;
    let (height, width) = (image.height, image.width);
    image.spare.clear();
    image.spare.resize(image.pixels.len(), 0);
    // A row that is blurred along the columns, with its mirror images at both ends.
    let mut padded = vec![0f32; width + 2 * radius];
    let mut sums = vec![0f32; width];
    let planes = image.pixels.chunks_exact(height * width);
    for (plane, out) in planes.zip(image.spare.chunks_exact_mut(height * width)) {
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            let row = &mut padded[radius..][..width];
            row.fill(0.0);
            for (offset, weight) in weights.iter().enumerate() {
                let source = mirrored((y + offset) as isize - radius as isize, height);
                for (sum, pixel) in row.iter_mut().zip(&plane[source * width..][..width]) {
                    *sum += weight * f32::from(*pixel);
                }
            }
            for beyond in 1..=radius {
                padded[radius - beyond] = padded[radius + mirrored(-(beyond as isize), width)];
                let right = mirrored((width - 1 + beyond) as isize, width);
                padded[radius + width - 1 + beyond] = padded[radius + right];
            }
            sums.fill(0.0);
            for (offset, weight) in weights.iter().enumerate() {
                for (sum, value) in sums.iter_mut().zip(&padded[offset..]) {
                    *sum += weight * value;
                }
            }
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = sum.round_ties_even().clamp(0.0, 255.0) as u8;
            }
        }
    }
    image.swap();
}

/// The place that is seen at `index` of a side of `side` pixels between two mirrors.
fn mirrored(index: isize, side: usize) -> usize {
    if side == 1 {
        return 0;
    }
    let period = 2 * (side as isize - 1);
    let index = index.rem_euclid(period);
    index.min(period - index).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, image, stream};
    use super::*;

    #[test]
    fn blurs_are_torchvisions() {
        for case in Case::all("gaussian_blur") {
            let size = case.number("kernel_size") as usize;
            // PyTorch sums the square kernel in one go, in f32: another last bit.
            case.check(1, |image| gaussian_blur(image, size, case.number("sigma")));
        }
    }

    #[test]
    fn mirrors_repeat() {
        let seen: Vec<usize> = (-5..8).map(|index| mirrored(index, 3)).collect();
        assert_eq!(seen, [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(mirrored(-7, 1), 0);
    }

    #[test]
    fn kernels_larger_than_the_image_are_refused_where_the_size_is_known() {
        let blur = GaussianBlur {
            kernel_size: 7,
            sigma: [0.1, 2.0],
        };
        assert!(blur.check(3, Some([4, 9])).is_ok());
        assert!(blur.check(3, Some([9, 3])).unwrap_err().contains("at least 4"));
        assert!(blur.check(3, None).is_ok());
        let mut small = image(1, 1, 2);
        small.pixels.copy_from_slice(&[9, 9]);
        blur.apply(&mut small, &mut stream(0));
        assert_eq!(small.pixels, [9, 9]);
    }

    #[test]
    fn the_width_is_drawn() {
        let blur = GaussianBlur {
            kernel_size: 5,
            sigma: [0.1, 2.0],
        };
        let mut middles: Vec<u8> = Vec::new();
        for item in 0..500 {
            let mut dot = image(1, 5, 5);
            dot.pixels.fill(0);
            dot.pixels[12] = 255;
            blur.apply(&mut dot, &mut stream(item));
            middles.push(dot.pixels[12]);
        }
        middles.sort_unstable();
        // From no blur to the widest: 255 times the square of the kernel's middle.
        let widest = (kernel(5, 2.0)[2].powi(2) * 255.0).round() as u8;
        assert_eq!(middles.last(), Some(&255));
        assert!(
            (widest..widest + 2).contains(&middles[0]),
            "{} {widest}",
            middles[0]
        );
        assert!(
            middles[250] < 100 && middles[250] > widest + 5,
            "{}",
            middles[250]
        );
    }
}
