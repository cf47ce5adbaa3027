//! Whether a classifier is as often right as it says.

/// Bins of equal width.
const BINS: usize = 15;

/// Confidences and how often they were right, by confidence.
#[derive(Clone, Debug, Default)]
pub(super) struct Calibration {
    confidence: [f64; BINS],
    right: [u64; BINS],
}

impl Calibration {
    /// Adds a prediction that was made with a probability of `confidence`.
    pub fn add(&mut self, confidence: f64, right: bool) {
        let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
        self.confidence[bin] += confidence;
        self.right[bin] += u64::from(right);
    }

    /// The expected calibration error of `counted` predictions: the distance of mean confidence and
    /// accuracy in each bin, weighted by its size.
    pub fn error(&self, counted: u64) -> f64 {
        let bins = self.confidence.iter().zip(&self.right);
        bins.map(|(confidence, &right)| (confidence - right as f64).abs())
            .sum::<f64>()
            / counted as f64
    }
}
