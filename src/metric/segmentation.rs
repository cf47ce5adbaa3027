//! How good masks of classes are: figures of a confusion matrix over all pixels of all images.

use thiserror::Error;

/// How often each class of the truth is taken for each class. Pixels of all images are counted together, so figures are
/// those of the data set, not means over images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    ignored: Option<u8>,
    /// `[truth, prediction]`.
    counts: Vec<u64>,
}

/// Which classes a mean is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassMean {
    /// Those that the truth or a prediction has.
    TruthOrPrediction,
    /// Those that the truth has.
    Truth,
}

/// Why masks cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SegmentationError {
    /// Masks of different sizes.
    #[error("the truth has {truth} pixels, the prediction {predicted}")]
    Pixels {
        /// Pixels of the truth.
        truth: usize,
        /// Pixels of the prediction.
        predicted: usize,
    },
    /// A class that nobody told of.
    #[error("pixel {pixel} of the {what} has class {class}, but there are only {classes} classes, from 0 on")]
    Class {
        /// `truth` or `prediction`.
        what: &'static str,
        /// Its place, row by row.
        pixel: usize,
        /// What stands there.
        class: u8,
        /// How many there are.
        classes: usize,
    },
}

impl ConfusionMatrix {
    /// Of no pixels. Those whose truth is `ignored` will not be counted.
    pub fn new(classes: usize, ignored: Option<u8>) -> Self {
        Self {
            classes,
            ignored,
            counts: vec![0; classes * classes],
        }
    }

    /// Counts the pixels of an image.
    ///
    /// # Errors
    /// Masks of different sizes, or a class beyond those there are. Nothing is counted then.
    pub fn add(&mut self, truth: &[u8], predicted: &[u8]) -> Result<(), SegmentationError> {
        if truth.len() != predicted.len() {
            return Err(SegmentationError::Pixels {
                truth: truth.len(),
                predicted: predicted.len(),
            });
        }
        // Every pair of bytes has a place, so that nothing is asked of each pixel.
        let mut pairs = vec![0u64; 1 << 16];
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            pairs[usize::from(truth) << 8 | usize::from(predicted)] += 1;
        }
        let mut counts = self.counts.clone();
        for (pair, &count) in pairs.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (of_truth, of_prediction) = ((pair >> 8) as u8, pair as u8);
            if self.ignored == Some(of_truth) {
                continue;
            }
            let place = |class: u8| Some(usize::from(class)).filter(|&class| class < self.classes);
            let (what, class) = match (place(of_truth), place(of_prediction)) {
                (Some(row), Some(column)) => {
                    counts[row * self.classes + column] += count;
                    continue;
                }
                (None, _) => ("truth", of_truth),
                (_, None) => ("prediction", of_prediction),
            };
            let mut pixels = truth.iter().zip(predicted);
            let is_this = |(truth, predicted): (&u8, &u8)| (*truth, *predicted) == (of_truth, of_prediction);
            return Err(SegmentationError::Class {
                what,
                pixel: pixels.position(is_this).unwrap_or(0),
                class,
                classes: self.classes,
            });
        }
        self.counts = counts;
        Ok(())
    }

    /// Counts what `other` has counted.
    ///
    /// # Panics
    /// A matrix of another number of classes, or one that has left out another class.
    pub fn merge(&mut self, other: &Self) {
        let kind = |matrix: &Self| (matrix.classes, matrix.ignored);
        assert_eq!(kind(self), kind(other), "matrices of the same classes");
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
    }

    /// How often each class of the truth is taken for each class, `[truth, prediction]`.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The intersection of truth and prediction over their union (the Jaccard index) for each class; nothing for a class that
    /// neither has.
    pub fn iou(&self) -> Vec<Option<f64>> {
        self.by_class(|right, truth, predicted| share(right, truth + predicted - right))
    }

    /// Twice the intersection of truth and prediction over the sum of both (the Dice coefficient, F1) for each class; nothing
    /// for a class that neither has.
    pub fn dice(&self) -> Vec<Option<f64>> {
        self.by_class(|right, truth, predicted| share(2 * right, truth + predicted))
    }

    /// The mean of [`ConfusionMatrix::iou`]; nothing where no pixel is counted. Over the classes of truth or prediction it is that of
    /// torchmetrics' `MulticlassJaccardIndex`.
    pub fn mean_iou(&self, classes: ClassMean) -> Option<f64> {
        self.mean(&self.iou(), classes)
    }

    /// The mean of [`ConfusionMatrix::dice`]; nothing where no pixel is counted.
    pub fn mean_dice(&self, classes: ClassMean) -> Option<f64> {
        self.mean(&self.dice(), classes)
    }

    /// The share of pixels whose class is right; nothing where no pixel is counted.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let right = (0..self.classes).map(|class| self.right(class)).sum();
        share(right, self.counts.iter().sum())
    }

    fn right(&self, class: usize) -> u64 {
        self.counts[class * self.classes + class]
    }

    /// Pixels of the truth.
    fn truth(&self, class: usize) -> u64 {
        self.counts[class * self.classes..][..self.classes].iter().sum()
    }

    fn by_class(&self, figure: impl Fn(u64, u64, u64) -> Option<f64>) -> Vec<Option<f64>> {
        let of = |class: usize| {
            let predicted = self.counts[class..].iter().step_by(self.classes).sum();
            figure(self.right(class), self.truth(class), predicted)
        };
        (0..self.classes).map(of).collect()
    }

    fn mean(&self, figures: &[Option<f64>], classes: ClassMean) -> Option<f64> {
        let counts = |class: usize| match classes {
            ClassMean::TruthOrPrediction => true,
            ClassMean::Truth => self.truth(class) > 0,
        };
        let figures = figures.iter().enumerate();
        let values: Vec<f64> = figures
            .filter(|(class, _)| counts(*class))
            .filter_map(|(_, figure)| *figure)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// Nothing of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(rows: &str) -> Vec<u8> {
        rows.bytes()
            .filter(|byte| *byte != b'|')
            .map(|byte| if byte == b'x' { 255 } else { byte - b'0' })
            .collect()
    }

    fn images() -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(4, Some(255));
        for (truth, predicted) in [
            ("0011|001x|022x", "0010|0111|0222"),
            ("0000|0110|0000", "0000|0100|0003"),
        ] {
            matrix.add(&mask(truth), &mask(predicted)).expect("fits");
        }
        matrix
    }

    /// The means over classes of truth or prediction are torchmetrics 1.9's (`MulticlassJaccardIndex`, `ignore_index=255`).
    #[test]
    fn figures_of_two_images() {
        let matrix = images();
        let counts = [[13, 1, 0, 1], [2, 3, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]];
        assert_eq!(matrix.counts(), counts.concat());
        let some = |values: [f64; 4]| values.map(Some).to_vec();
        assert_eq!(matrix.iou(), some([0.764_705_882_352_941_1, 0.5, 1.0, 0.0]));
        let dice = [0.866_666_666_666_666_7, 2.0 / 3.0, 1.0, 0.0];
        assert_eq!(matrix.dice(), some(dice));
        assert_eq!(matrix.pixel_accuracy(), Some(0.818_181_818_181_818_2));
        let mean = |classes| matrix.mean_iou(classes);
        assert_eq!(mean(ClassMean::TruthOrPrediction), Some(0.566_176_470_588_235_3));
        assert_eq!(mean(ClassMean::Truth), Some(0.754_901_960_784_313_7));
    }

    #[test]
    fn what_nobody_has_is_left_out() {
        let mut matrix = ConfusionMatrix::new(3, Some(255));
        assert_eq!(matrix.pixel_accuracy(), None);
        assert_eq!(matrix.mean_iou(ClassMean::TruthOrPrediction), None);
        matrix.add(&[255, 255], &[0, 9]).expect("nothing of it counts");
        assert_eq!(matrix.mean_dice(ClassMean::Truth), None);
        matrix.add(&[0, 2, 255], &[0, 2, 1]).expect("fits");
        assert_eq!(matrix.iou(), [Some(1.0), None, Some(1.0)]);
        assert_eq!(matrix.mean_dice(ClassMean::TruthOrPrediction), Some(1.0));
    }

    #[test]
    fn misfits_are_told_and_not_counted() {
        let mut matrix = ConfusionMatrix::new(3, None);
        let mut told = |truth: &[u8], predicted: &[u8]| {
            let error = matrix.add(truth, predicted).expect_err("refused");
            assert!(matrix.counts().iter().all(|&count| count == 0));
            error.to_string()
        };
        assert_eq!(told(&[0, 1], &[0]), "the truth has 2 pixels, the prediction 1");
        assert_eq!(
            told(&[0, 1, 255], &[0, 1, 1]),
            "pixel 2 of the truth has class 255, but there are only 3 classes, from 0 on"
        );
        assert_eq!(
            told(&[0, 1, 2], &[0, 3, 1]),
            "pixel 1 of the prediction has class 3, but there are only 3 classes, from 0 on"
        );
        // What is predicted where nothing counts is not what is wrong.
        let mut ignoring = ConfusionMatrix::new(3, Some(255));
        let error = ignoring.add(&[255, 0, 1], &[3, 0, 3]).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "pixel 2 of the prediction has class 3, but there are only 3 classes, from 0 on"
        );
    }

    proptest! {
        /// The definitions, over sets of pixels.
        #[test]
        fn agrees_with_the_definitions(pixels in prop::collection::vec((0u8..5, 0u8..4), 0..60), cut in 0usize..60) {
            let (truth, predicted): (Vec<u8>, Vec<u8>) = pixels.iter().copied().unzip();
            let cut = cut.min(truth.len());
            let mut matrix = ConfusionMatrix::new(4, Some(4));
            let mut rest = matrix.clone();
            matrix.add(&truth[..cut], &predicted[..cut]).expect("fits");
            rest.add(&truth[cut..], &predicted[cut..]).expect("fits");
            matrix.merge(&rest);
            let counted: Vec<_> = pixels.iter().filter(|(truth, _)| *truth < 4).collect();
            let count = |is: &dyn Fn(u8, u8) -> bool| counted.iter().filter(|(truth, predicted)| is(*truth, *predicted)).count() as f64;
            for class in 0..4u8 {
                let both = count(&|truth, predicted| truth == class && predicted == class);
                let either = count(&|truth, predicted| truth == class || predicted == class);
                let sum = count(&|truth, _| truth == class) + count(&|_, predicted| predicted == class);
                let expected = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
                prop_assert_eq!(matrix.iou()[usize::from(class)], expected(both, either));
                prop_assert_eq!(matrix.dice()[usize::from(class)], expected(2.0 * both, sum));
            }
            let right = count(&|truth, predicted| truth == predicted);
            prop_assert_eq!(matrix.pixel_accuracy(), (!counted.is_empty()).then(|| right / counted.len() as f64));
        }
    }
}
