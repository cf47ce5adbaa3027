//! Figures of a model, from its outputs and what they should be.
//!
//! A [`Tally`] takes samples one by one, in the order of their index, and adds in f64: so the
//! figures are the same bits whatever the batch size. Which figures there are depends on the task:
//! [`ClassTally`], [`LabelTally`] and [`NumberTally`] keep what theirs need.

mod calibration;
mod classes;
mod labels;
mod numbers;
mod ranking;

pub use self::classes::{ClassFigures, ClassTally, argmax};
pub use self::labels::LabelTally;
pub use self::numbers::NumberTally;
use crate::spec::{Metric, Task};

/// What is counted over the samples of a split.
#[derive(Clone, Debug)]
pub struct Tally {
    samples: u64,
    /// Those that count: not the samples of an ignored class.
    counted: u64,
    loss: f64,
    weight: f64,
    figures: Figures,
}

/// What a task's figures are made of.
#[derive(Clone, Debug)]
enum Figures {
    Classes(Box<ClassTally>),
    Labels(LabelTally),
    Numbers(NumberTally),
}

/// What a sample's outputs should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// Its class.
    Class(usize),
    /// For each output, its label (0 or 1) or number.
    Values(&'a [f32]),
}

/// One sample's outputs, judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    /// Of a classifier.
    Class {
        /// The most likely class, the first of equals.
        predicted: usize,
        /// The probability of each class.
        probabilities: Vec<f64>,
    },
    /// With several labels.
    Labels {
        /// The probability of each label.
        probabilities: Vec<f64>,
    },
    /// In regression.
    Numbers {
        /// The outputs.
        values: Vec<f64>,
    },
}

impl Tally {
    /// Nothing yet, for samples of so many outputs.
    ///
    /// Outputs of all samples are kept, because the area under the ROC curve needs them; see
    /// [`Tally::without_scores`].
    pub fn new(task: Task, outputs: usize) -> Self {
        let figures = match task {
            Task::Classification => Figures::Classes(Box::new(ClassTally::new(outputs))),
            Task::MultiLabel => Figures::Labels(LabelTally::new(outputs)),
            Task::Regression => Figures::Numbers(NumberTally::new(outputs)),
        };
        Self {
            samples: 0,
            counted: 0,
            loss: 0.0,
            weight: 0.0,
            figures,
        }
    }

    /// The same, but in memory that does not grow with the samples, and without
    /// [`Metric::RocAuc`].
    pub fn without_scores(mut self) -> Self {
        match &mut self.figures {
            Figures::Classes(classes) => classes.scores = None,
            Figures::Labels(labels) => labels.scores = None,
            Figures::Numbers(_) => {}
        }
        self
    }

    /// Adds a sample: its outputs (logits, or numbers), what they should be, and its loss with its
    /// weight, as [`ops::loss_per_sample`](crate::ops::loss_per_sample) gives them. A sample of
    /// weight 0, as one of an ignored class, is judged but counts in no figure.
    ///
    /// `None`, and nothing is added, where an output is not finite or the target is of another task.
    pub fn add(&mut self, outputs: &[f32], target: Target<'_>, loss: (f64, f64)) -> Option<Judged> {
        if outputs.iter().any(|output| !output.is_finite()) {
            return None;
        }
        let (value, weight) = loss;
        let counts = weight != 0.0;
        let judged = match (&mut self.figures, target) {
            (Figures::Classes(classes), Target::Class(class)) if class < outputs.len() => {
                classes.add(outputs, class, counts)
            }
            (Figures::Labels(labels), Target::Values(values)) if values.len() == outputs.len() => {
                labels.add(outputs, values, counts)
            }
            (Figures::Numbers(numbers), Target::Values(values)) if values.len() == outputs.len() => {
                numbers.add(outputs, values, counts)
            }
            _ => return None,
        };
        self.samples += 1;
        if counts {
            self.counted += 1;
            self.loss += value;
            self.weight += weight;
        }
        Some(judged)
    }

    /// How many samples were added.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The mean loss; 0 where nothing counts.
    pub fn loss(&self) -> f64 {
        if self.weight > 0.0 {
            self.loss / self.weight
        } else {
            0.0
        }
    }

    /// What stands beside the loss: the accuracy, for numbers the mean absolute error. NaN where
    /// nothing counts.
    pub fn score(&self) -> f64 {
        self.accuracy().or_else(|| self.mae()).unwrap_or(f64::NAN)
    }

    /// A figure that is one number; `None` where the task does not have it, nothing counts, or it
    /// is no number but a file.
    pub fn figure(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Accuracy => self.accuracy(),
            Metric::Loss => (self.samples > 0).then(|| self.loss()),
            Metric::Top3 => self.top(3),
            Metric::Top5 => self.top(5),
            Metric::RocAuc => self.roc_auc(),
            Metric::CalibrationError => self.calibration_error(),
            Metric::ExactMatch => self.exact_match(),
            Metric::Mae => self.mae(),
            Metric::Rmse => self.rmse(),
            Metric::R2 => self.r2(),
            Metric::Confusion | Metric::PerClass | Metric::Predictions => None,
        }
    }

    /// The share of samples whose class is the most likely one, or of labels that are right: those
    /// of probability 0.5 or more are predicted.
    pub fn accuracy(&self) -> Option<f64> {
        match &self.figures {
            Figures::Classes(classes) => self.of_counted(|| classes.top(1, self.counted)),
            Figures::Labels(labels) => self.of_counted(|| labels.accuracy(self.counted)),
            Figures::Numbers(_) => None,
        }
    }

    /// The share of samples whose class is among the `k` most likely.
    pub fn top(&self, k: usize) -> Option<f64> {
        match &self.figures {
            Figures::Classes(classes) => self.of_counted(|| classes.top(k, self.counted)),
            _ => None,
        }
    }

    /// The share of samples with all labels right.
    pub fn exact_match(&self) -> Option<f64> {
        match &self.figures {
            Figures::Labels(labels) => self.of_counted(|| labels.exact_match(self.counted)),
            _ => None,
        }
    }

    /// The area under the ROC curve: of the second of two classes; of more classes the mean over
    /// each against the rest; the mean over labels. Classes without both kinds of samples are left
    /// out. As scikit-learn's `roc_auc_score`, with `multi_class="ovr"`.
    pub fn roc_auc(&self) -> Option<f64> {
        match &self.figures {
            Figures::Classes(classes) => classes.roc_auc(),
            Figures::Labels(labels) => labels.roc_auc(),
            Figures::Numbers(_) => None,
        }
    }

    /// The expected calibration error of the most likely class's probability (Guo et al., 2017),
    /// over 15 bins of equal width.
    pub fn calibration_error(&self) -> Option<f64> {
        match &self.figures {
            Figures::Classes(classes) => self.of_counted(|| classes.calibration.error(self.counted)),
            _ => None,
        }
    }

    /// The mean absolute error over samples and outputs.
    pub fn mae(&self) -> Option<f64> {
        self.numbers().map(|numbers| numbers.mae(self.counted))
    }

    /// The root of the mean squared error, averaged over the outputs.
    pub fn rmse(&self) -> Option<f64> {
        self.numbers().map(|numbers| numbers.rmse(self.counted))
    }

    /// The coefficient of determination, averaged over the outputs; of two samples or more. As
    /// scikit-learn, an output whose target never changes has 1 where it is met, else 0.
    pub fn r2(&self) -> Option<f64> {
        self.numbers().filter(|_| self.counted > 1).map(NumberTally::r2)
    }

    /// How many samples of class `class` were taken for class `predicted`; 0 unless there are classes.
    pub fn confused(&self, class: usize, predicted: usize) -> u64 {
        match &self.figures {
            Figures::Classes(classes) => classes.confused(class, predicted),
            _ => 0,
        }
    }

    /// The figures of each class or label; nothing for numbers.
    pub fn class_figures(&self) -> Vec<ClassFigures> {
        match &self.figures {
            Figures::Classes(classes) => classes.figures(),
            Figures::Labels(labels) => labels.figures(),
            Figures::Numbers(_) => Vec::new(),
        }
    }

    /// Precision, recall and F1, each averaged over the classes that occur in the split or were
    /// predicted, or over all labels (as scikit-learn's `average="macro"`).
    pub fn macro_means(&self) -> Option<[f64; 3]> {
        let mut figures = self.class_figures();
        if let Figures::Classes(_) = &self.figures {
            figures.retain(|class| class.support + class.predicted > 0);
        }
        if self.counted == 0 || figures.is_empty() {
            return None;
        }
        let mean =
            |figure: fn(&ClassFigures) -> f64| figures.iter().map(figure).sum::<f64>() / figures.len() as f64;
        Some([
            mean(|class| class.precision),
            mean(|class| class.recall),
            mean(|class| class.f1),
        ])
    }

    fn numbers(&self) -> Option<&NumberTally> {
        match &self.figures {
            Figures::Numbers(numbers) if self.counted > 0 => Some(numbers),
            _ => None,
        }
    }

    fn of_counted(&self, figure: impl FnOnce() -> f64) -> Option<f64> {
        (self.counted > 0).then(figure)
    }
}

#[cfg(test)]
mod tests;
