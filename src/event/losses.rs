//! Samples that a stage left out, as its figures tell of them.

use super::Metrics;

/// What a stage left out of all samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// How many samples are left out.
    pub skipped: f64,
    /// How many there were.
    pub all: f64,
}

impl Losses {
    /// Losses of so many of `all` samples, where they are large: over 5 %.
    pub fn large(skipped: f64, all: f64) -> Option<Self> {
        (skipped * 20.0 > all).then_some(Self { skipped, all })
    }

    /// Large losses that the figures of a stage tell of: those of one that makes a dataset, or predicts for samples.
    pub fn of(metrics: &Metrics) -> Option<Self> {
        let skipped = metrics.number("skipped")?;
        let kept = ["train", "val", "test", "samples"]
            .iter()
            .filter_map(|split| metrics.number(split));
        Self::large(skipped, skipped + kept.sum::<f64>())
    }

    /// Their share, from 0 to 100.
    pub fn percent(&self) -> f64 {
        self.skipped * 100.0 / self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_a_twentieth_is_large() {
        let metrics = |skipped: f64| {
            Metrics::from(
                [("skipped", skipped), ("train", 80.0), ("test", 15.0)]
                    .map(|(name, value)| (name.to_owned(), value)),
            )
        };
        assert_eq!(Losses::of(&metrics(5.0)), None);
        let losses = Losses::of(&metrics(6.0)).unwrap();
        assert_eq!((losses.skipped, losses.all), (6.0, 101.0));
        assert_eq!(Losses::of(&Metrics::new()), None);
        let predicted = [("samples", 8.0), ("skipped", 1.0)].map(|(name, value)| (name.to_owned(), value));
        let losses = Losses::of(&Metrics::from(predicted)).unwrap();
        assert_eq!((losses.skipped, losses.all), (1.0, 9.0));
    }
}
