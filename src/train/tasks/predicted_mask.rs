//! What a model says of each pixel of an image.

use rayon::prelude::*;

use super::classification::argmax;

/// The class of each pixel of an image, as a model gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictedMask {
    /// Height and width.
    pub size: [usize; 2],
    /// Row by row.
    pub classes: Vec<u8>,
}

/// The two places that a value between them is made of, and how much the second counts.
#[derive(Clone, Copy)]
struct PlacePair {
    first: usize,
    second: usize,
    share: f32,
}

impl PlacePair {
    /// For place `target` of `targets` on a side of `sources`: as `interpolate` of PyTorch with `align_corners=False`.
    fn new(target: usize, sources: usize, targets: usize) -> Self {
        let scale = sources as f32 / targets as f32;
        let place = (scale * (target as f32 + 0.5) - 0.5).max(0.0);
        let first = (place as usize).min(sources - 1);
        Self {
            first,
            second: (first + 1).min(sources - 1),
            share: place - first as f32,
        }
    }

    fn between(self, first: f32, second: f32) -> f32 {
        first + self.share * (second - first)
    }
}

impl PredictedMask {
    /// The most likely class of each pixel of an image of `size`, where a network gave `outputs`: a row of `classes` values
    /// for each of the `given` pixels, height and width. Where these are others, values between them are bilinear.
    pub fn of(outputs: &[f32], classes: usize, given: [usize; 2], size: [usize; 2]) -> Self {
        let [height, width] = size;
        let row_len = given[1] * classes;
        let columns: Vec<PlacePair> = (0..width).map(|x| PlacePair::new(x, given[1], width)).collect();
        let rows = (0..height).into_par_iter().flat_map_iter(|y| {
            let pair = PlacePair::new(y, given[0], height);
            let [first, second] = [pair.first, pair.second].map(|row| &outputs[row * row_len..][..row_len]);
            let row: Vec<f32> = first
                .iter()
                .zip(second)
                .map(|(first, second)| pair.between(*first, *second))
                .collect();
            let mut pixel = vec![0.0; classes];
            let found: Vec<u8> = columns
                .iter()
                .map(|pair| {
                    for (class, value) in pixel.iter_mut().enumerate() {
                        let of = |place: usize| row[place * classes + class];
                        *value = pair.between(of(pair.first), of(pair.second));
                    }
                    // There are fewer classes than a byte has values.
                    argmax(&pixel) as u8
                })
                .collect();
            found
        });
        Self {
            size,
            classes: rows.collect(),
        }
    }

    /// How many pixels each of `classes` has.
    pub fn counts(&self, classes: usize) -> Vec<u64> {
        let mut counts = vec![0; classes];
        for class in &self.classes {
            if let Some(count) = counts.get_mut(usize::from(*class)) {
                *count += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_of_the_same_size_are_those_of_the_outputs() {
        let outputs = [0.0, 1.0, 1.0, 0.0, 0.5, 0.5, -1.0, 3.0];
        let mask = PredictedMask::of(&outputs, 2, [2, 2], [2, 2]);
        assert_eq!(mask.classes, [1, 0, 0, 1]);
        assert_eq!(mask.counts(3), [2, 2, 0]);
    }

    /// As `interpolate` gives for [[0, 1], [2, 3]] to 3x5 pixels: 0, 0.1, 0.5, 0.9, 1 and so on; which of them are over 1.45.
    #[test]
    fn values_between_pixels_are_bilinear() {
        let outputs: Vec<f32> = (0..4).flat_map(|value| [1.45, value as f32]).collect();
        let mask = PredictedMask::of(&outputs, 2, [2, 2], [3, 5]);
        assert_eq!(mask.classes, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
        let smaller = PredictedMask::of(&outputs, 2, [2, 2], [1, 1]);
        assert_eq!(smaller.classes, [1]);
    }
}
