//! Figures of a regression, output by output.

use super::Judged;

/// What a regression's figures are made of.
#[derive(Clone, Debug)]
pub struct NumberTally {
    outputs: Vec<Sums>,
}

/// One output's sums.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    samples: f64,
    absolute: f64,
    squared: f64,
    /// The running mean of the targets and the sum of their squared distances from it (Welford,
    /// 1962): targets far from 0 lose no digits.
    mean: f64,
    spread: f64,
}

impl NumberTally {
    pub(super) fn new(outputs: usize) -> Self {
        Self {
            outputs: vec![Sums::default(); outputs],
        }
    }

    /// Judges finite outputs; counts them where they count.
    pub(super) fn add(&mut self, outputs: &[f32], targets: &[f32], counts: bool) -> Judged {
        let values: Vec<f64> = outputs.iter().map(|&output| f64::from(output)).collect();
        if counts {
            for ((sums, &value), &target) in self.outputs.iter_mut().zip(&values).zip(targets) {
                let target = f64::from(target);
                let error = value - target;
                sums.samples += 1.0;
                sums.absolute += error.abs();
                sums.squared += error * error;
                let distance = target - sums.mean;
                sums.mean += distance / sums.samples;
                sums.spread += distance * (target - sums.mean);
            }
        }
        Judged::Numbers { values }
    }

    pub(super) fn mae(&self, counted: u64) -> f64 {
        self.mean(|sums| sums.absolute / counted as f64)
    }

    pub(super) fn rmse(&self, counted: u64) -> f64 {
        self.mean(|sums| (sums.squared / counted as f64).sqrt())
    }

    pub(super) fn r2(&self) -> f64 {
        self.mean(|sums| {
            if sums.squared == 0.0 {
                1.0
            } else if sums.spread == 0.0 {
                0.0
            } else {
                1.0 - sums.squared / sums.spread
            }
        })
    }

    fn mean(&self, figure: impl Fn(&Sums) -> f64) -> f64 {
        self.outputs.iter().map(figure).sum::<f64>() / self.outputs.len() as f64
    }
}
