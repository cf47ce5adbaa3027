//! A training's curve in a few characters: `▁▃▅▆▇`.

use std::collections::HashMap;

use crate::event::Metrics;
use crate::metric::{Direction, MetricTable};

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How many first values a scale looks at.
const MOST: usize = 1000;

/// One figure of a training's epochs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    metric: String,
    /// Whether the figure is better when smaller.
    is_minimized: bool,
    points: Vec<(u32, f64)>,
}

impl Curve {
    /// Takes note of an epoch (from 1) of `stage` and its figures: of `preferred`, where the epoch has
    /// it, else of the most telling one.
    pub fn push(
        &mut self,
        stage: &str,
        epoch: u32,
        metrics: &Metrics,
        preferred: Option<&str>,
        known: &MetricTable,
    ) {
        let measured = |name: &&str| {
            let described = known.describe(stage, name);
            described.is_some_and(|described| described.split.is_some())
        };
        let telling = known.most_telling(stage, metrics.names().filter(measured));
        let mut names = preferred.into_iter().chain(telling);
        let Some((name, value)) = names.find_map(|name| Some((name, metrics.get(name)?))) else {
            return;
        };
        if *name != self.metric {
            *self = Self {
                metric: name.to_owned(),
                is_minimized: known.better(stage, name) == Some(Direction::Minimize),
                points: Vec::new(),
            };
        }
        // A training that is tried again goes through its epochs again.
        let kept = self.points.partition_point(|(earlier, _)| *earlier < epoch);
        self.points.truncate(kept);
        self.points.push((epoch, value.number().unwrap_or(f64::NAN)));
    }

    /// The figure and its latest value.
    pub fn last(&self) -> Option<(&str, f64)> {
        self.points
            .last()
            .map(|(_, value)| (self.metric.as_str(), *value))
    }

    /// The curve with a place for each of `epochs`, or for several where `columns` are fewer.
    /// Epochs without a value are blank, one without a number is `×`.
    pub fn draw(&self, epochs: u32, columns: usize, scales: &Scales) -> String {
        let epochs = epochs
            .max(self.points.last().map_or(1, |(epoch, _)| *epoch))
            .max(1) as usize;
        let columns = columns.min(epochs).max(1);
        let (low, high) = scales.range(&self.metric);
        let mut sums = vec![(0, 0, 0.0); columns];
        for (epoch, value) in &self.points {
            let (all, finite, sum) = &mut sums[(*epoch as usize).saturating_sub(1) * columns / epochs];
            *all += 1;
            if value.is_finite() {
                *finite += 1;
                *sum += value;
            }
        }
        let draw = |(all, finite, sum): (u32, u32, f64)| match (all, finite) {
            (0, _) => ' ',
            (_, 0) => '×',
            (_, finite) => {
                let share = (sum / f64::from(finite) - low) / (high - low);
                let share = if share.is_finite() { share } else { 0.5 };
                LEVELS[(share * 7.0).round().clamp(0.0, 7.0) as usize]
            }
        };
        sums.into_iter().map(draw).collect()
    }
}

/// What all trials' curves are drawn by, so that one can be told from another by its height.
#[derive(Debug, Default)]
pub struct Scales(HashMap<String, CurveScale>);

#[derive(Debug)]
struct CurveScale {
    low: f64,
    high: f64,
    is_minimized: bool,
    firsts: Vec<f64>,
}

impl Scales {
    /// Takes note of a curve's latest value.
    pub fn take(&mut self, curve: &Curve) {
        let Some((metric, value)) = curve.last().filter(|(_, value)| value.is_finite()) else {
            return;
        };
        let scale = self.0.entry(metric.to_owned()).or_insert_with(|| CurveScale {
            low: value,
            high: value,
            is_minimized: curve.is_minimized,
            firsts: Vec::new(),
        });
        scale.low = scale.low.min(value);
        scale.high = scale.high.max(value);
        if curve.points.len() == 1 && scale.firsts.len() < MOST {
            let place = scale.firsts.partition_point(|first| *first < value);
            scale.firsts.insert(place, value);
        }
    }

    /// The values of the lowest and the highest bar. A loss or an error that diverges must not
    /// flatten all others: the highest is at most twice what trainings begin with.
    fn range(&self, metric: &str) -> (f64, f64) {
        let Some(scale) = self.0.get(metric) else {
            return (0.0, 0.0);
        };
        let usual = scale.firsts.get(scale.firsts.len() / 2);
        match usual.filter(|usual| scale.is_minimized && **usual > 0.0) {
            Some(usual) => (scale.low, scale.high.min(2.0 * usual)),
            None => (scale.low, scale.high),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(scales: &mut Scales, metric: &str, values: &[f64]) -> Curve {
        let mut curve = Curve::default();
        for (epoch, value) in (1..).zip(values) {
            let metrics = [(metric.to_owned(), *value)].into();
            curve.push("m", epoch, &metrics, None, &MetricTable::built_in());
            scales.take(&curve);
        }
        curve
    }

    #[test]
    fn bars_grow_with_the_values() {
        let mut scales = Scales::default();
        let values: Vec<f64> = (0..8).map(f64::from).collect();
        let curve = curve(&mut scales, "val_accuracy", &values);
        assert_eq!(curve.draw(8, 8, &scales), "▁▂▃▄▅▆▇█");
        assert_eq!(curve.draw(10, 20, &scales), "▁▂▃▄▅▆▇█  ");
        assert_eq!(curve.draw(8, 4, &scales), "▂▄▆█", "each bar is the mean of two");
        assert_eq!(curve.draw(16, 4, &scales), "▃▇  ");
    }

    #[test]
    fn curves_share_a_scale() {
        let mut scales = Scales::default();
        let good = curve(&mut scales, "val_accuracy", &[0.1, 0.6, 0.9]);
        let poor = curve(&mut scales, "val_accuracy", &[0.1, 0.11, 0.12]);
        assert_eq!(good.draw(3, 8, &scales), "▁▅█");
        assert_eq!(poor.draw(3, 8, &scales), "▁▁▁");
    }

    #[test]
    fn a_diverging_loss_leaves_the_others_their_shape() {
        let mut scales = Scales::default();
        let usual = curve(&mut scales, "val_mae", &[2.0, 1.0, 0.0]);
        let wild = curve(&mut scales, "val_mae", &[2.0, 1e9, f64::NAN]);
        assert_eq!(usual.draw(3, 8, &scales), "▅▃▁");
        assert_eq!(wild.draw(3, 8, &scales), "▅█×");
    }

    #[test]
    fn the_most_telling_figure_is_drawn() {
        let metrics: Metrics = [
            ("train_loss".to_owned(), 1.0),
            ("val_loss".to_owned(), 2.0),
            ("val_accuracy".to_owned(), 0.5),
        ]
        .into();
        let mut curve = Curve::default();
        curve.push("m", 1, &metrics, None, &MetricTable::built_in());
        assert_eq!(curve.last(), Some(("val_accuracy", 0.5)));
        curve.push("m", 1, &metrics, Some("val_loss"), &MetricTable::built_in());
        assert_eq!(curve.last(), Some(("val_loss", 2.0)));
        curve.push("m", 1, &metrics, Some("size"), &MetricTable::built_in());
        assert_eq!(curve.last(), Some(("val_accuracy", 0.5)));
    }

    #[test]
    fn a_training_that_is_tried_again_is_drawn_once_and_one_value_is_in_the_middle() {
        let mut scales = Scales::default();
        let mut curve = curve(&mut scales, "val_accuracy", &[0.5]);
        assert_eq!(curve.draw(3, 3, &scales), "▅  ");
        let metrics = [("val_accuracy".to_owned(), 0.5)].into();
        curve.push("m", 1, &metrics, None, &MetricTable::built_in());
        assert_eq!(curve.draw(3, 3, &scales), "▅  ");
        assert_eq!(Curve::default().draw(3, 3, &scales), "   ");
    }
}
