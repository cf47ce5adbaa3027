//! Figures of a classifier, from its logits.

/// Counts and sums over the samples of a split, added one by one in the order of their index, so
/// that the figures are the same bits whatever the batch size.
#[derive(Clone, Debug)]
pub struct Tally {
    classes: usize,
    samples: u64,
    loss: f64,
    /// How many samples' true class has so many classes ahead of it.
    ranks: Vec<u64>,
    /// Row by row: true class, then predicted class.
    confusion: Vec<u64>,
}

/// How well one class is recognised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassFigures {
    /// Samples of the class.
    pub support: u64,
    /// Samples that were taken for the class.
    pub predicted: u64,
    /// The share of `predicted` that are of the class; 0 where nothing was predicted.
    pub precision: f64,
    /// The share of `support` that was found; 0 where the split has no sample of the class.
    pub recall: f64,
    /// The harmonic mean of precision and recall; 0 where both are 0.
    pub f1: f64,
}

/// One sample's logits, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The most likely class, the first of equals.
    pub predicted: usize,
    /// The probability of each class.
    pub probabilities: Vec<f64>,
}

impl Tally {
    /// Nothing yet, for so many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            samples: 0,
            loss: 0.0,
            ranks: vec![0; classes],
            confusion: vec![0; classes * classes],
        }
    }

    /// Adds a sample: its logits, one for each class, and its true class. `None`, and nothing is
    /// added, where a logit is not finite.
    pub fn add(&mut self, logits: &[f32], label: usize) -> Option<Judged> {
        if logits.iter().any(|logit| !logit.is_finite()) {
            return None;
        }
        let predicted = argmax(logits);
        let largest = f64::from(logits[predicted]);
        let mut probabilities: Vec<f64> = logits
            .iter()
            .map(|&logit| (f64::from(logit) - largest).exp())
            .collect();
        let sum: f64 = probabilities.iter().sum();
        for probability in &mut probabilities {
            *probability /= sum;
        }
        self.samples += 1;
        self.loss += sum.ln() + largest - f64::from(logits[label]);
        self.ranks[rank(logits, label)] += 1;
        self.confusion[label * self.classes + predicted] += 1;
        Some(Judged {
            predicted,
            probabilities,
        })
    }

    /// How many samples were added.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The mean cross-entropy in nats.
    pub fn loss(&self) -> f64 {
        self.loss / self.samples as f64
    }

    /// The share of samples whose class is the most likely one.
    pub fn accuracy(&self) -> f64 {
        self.top(1)
    }

    /// The share of samples whose class is among the `k` most likely.
    pub fn top(&self, k: usize) -> f64 {
        let right: u64 = self.ranks.iter().take(k).sum();
        right as f64 / self.samples as f64
    }

    /// How many samples of class `label` were taken for class `predicted`.
    pub fn confused(&self, label: usize, predicted: usize) -> u64 {
        self.confusion[label * self.classes + predicted]
    }

    /// The figures of each class.
    pub fn class_figures(&self) -> Vec<ClassFigures> {
        let share = |part: u64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        let figures = (0..self.classes).map(|class| {
            let right = self.confused(class, class);
            let support = (0..self.classes).map(|other| self.confused(class, other)).sum();
            let predicted = (0..self.classes).map(|other| self.confused(other, class)).sum();
            ClassFigures {
                support,
                predicted,
                precision: share(right, predicted),
                recall: share(right, support),
                f1: share(2 * right, support + predicted),
            }
        });
        figures.collect()
    }

    /// Precision, recall and F1, each averaged over the classes that occur in the split or were
    /// predicted (as scikit-learn's `average="macro"`).
    pub fn macro_means(&self) -> [f64; 3] {
        let mut figures = self.class_figures();
        figures.retain(|class| class.support + class.predicted > 0);
        let mean =
            |figure: fn(&ClassFigures) -> f64| figures.iter().map(figure).sum::<f64>() / figures.len() as f64;
        [
            mean(|class| class.precision),
            mean(|class| class.recall),
            mean(|class| class.f1),
        ]
    }
}

/// The index of the largest value, the first of equals.
pub fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = index;
        }
    }
    best
}

/// How many classes are ahead of `label`: those with a larger logit, and equal ones before it.
fn rank(logits: &[f32], label: usize) -> usize {
    let own = logits[label];
    let ahead = |(index, &logit): (usize, &f32)| logit > own || (logit == own && index < label);
    logits.iter().enumerate().filter(|&entry| ahead(entry)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-12, "{actual} is not {expected}");
    }

    /// Four classes, of which `d` neither occurs nor is predicted. Logits are logarithms of
    /// probabilities, so every figure can be computed by hand.
    #[test]
    fn figures_by_hand() {
        let mut tally = Tally::new(4);
        let samples: [([f32; 4], usize); 5] = [
            ([0.7, 0.1, 0.1, 0.1], 0),   // right
            ([0.3, 0.4, 0.2, 0.1], 0),   // second
            ([0.2, 0.6, 0.1, 0.1], 1),   // right
            ([0.5, 0.3, 0.15, 0.05], 2), // third
            ([0.4, 0.2, 0.3, 0.1], 2),   // second
        ];
        let mut loss = 0.0;
        for (probabilities, label) in samples {
            let logits = probabilities.map(|p| p.ln() + 3.0);
            let judged = tally.add(&logits, label).unwrap();
            for (actual, expected) in judged.probabilities.iter().zip(probabilities) {
                assert!((actual - f64::from(expected)).abs() < 1e-6);
            }
            loss -= f64::from(probabilities[label]).ln() / 5.0;
        }
        assert_eq!(tally.samples(), 5);
        assert!((tally.loss() - loss).abs() < 1e-6);
        assert_close(tally.accuracy(), 0.4);
        assert_close(tally.top(2), 0.8);
        assert_close(tally.top(3), 1.0);
        assert_close(tally.top(5), 1.0);
        assert_eq!(tally.confused(0, 1), 1);
        assert_eq!(tally.confused(2, 0), 2);

        let classes = tally.class_figures();
        assert_eq!((classes[0].support, classes[0].predicted), (2, 3));
        assert_close(classes[0].precision, 1.0 / 3.0);
        assert_close(classes[0].recall, 0.5);
        assert_close(classes[0].f1, 0.4);
        assert_close(classes[1].f1, 2.0 / 3.0);
        assert_close(classes[2].precision, 0.0);
        assert_close(classes[3].f1, 0.0);
        let [precision, recall, f1] = tally.macro_means();
        assert_close(precision, (1.0 / 3.0 + 0.5) / 3.0);
        assert_close(recall, 0.5);
        assert_close(f1, (0.4 + 2.0 / 3.0) / 3.0);
    }

    #[test]
    fn ties_go_to_the_first_and_large_logits_do_not_overflow() {
        let mut tally = Tally::new(3);
        let judged = tally.add(&[1000.0, 1000.0, -1000.0], 1).unwrap();
        assert_eq!(judged.predicted, 0);
        assert_close(tally.loss(), 2f64.ln());
        assert_close(tally.accuracy(), 0.0);
        assert_close(tally.top(2), 1.0);
    }

    #[test]
    fn what_is_not_finite_is_not_counted() {
        let mut tally = Tally::new(2);
        assert_eq!(tally.add(&[f32::NAN, 0.0], 0), None);
        assert_eq!(tally.add(&[f32::INFINITY, 0.0], 0), None);
        assert_eq!(tally.samples(), 0);
    }
}
