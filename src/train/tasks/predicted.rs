//! What a model says of a sample, whatever is true of it.

use serde::Serialize;

/// A value that a model gives for each sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictedColumn {
    /// What kind of value it is: [`PREDICTED`], [`PROBABILITY`], [`PROBABILITIES`], [`EMBEDDING`] or [`ENTITIES`].
    pub group: &'static str,
    /// The class, label or number that it is about; nothing where the group has one value.
    pub of: Option<String>,
    /// What its values are.
    pub kind: PredictedKind,
}

/// What the values of a column are, as [`PredictedValue`] has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictedKind {
    /// Classes.
    Name,
    /// Numbers, or probabilities.
    Number,
    /// Whether a label applies.
    Applies,
    /// A row of numbers.
    Vector,
    /// What is found in a text.
    Entities,
}

/// What is predicted: the class, whether a label applies, a number in its own unit.
pub const PREDICTED: &str = "predicted";
/// How likely the predicted class is.
pub const PROBABILITY: &str = "probability";
/// How likely each class or label is.
pub const PROBABILITIES: &str = "probabilities";
/// Where a text is among others: a row of numbers of length 1.
pub const EMBEDDING: &str = "embedding";
/// The file with the class of each pixel.
pub const MASK: &str = "mask";
/// How many pixels are of a class.
pub const PIXELS: &str = "pixels";
/// What is found in a text.
pub const ENTITIES: &str = "entities";

impl PredictedColumn {
    /// The only value of its group.
    pub fn single(group: &'static str, kind: PredictedKind) -> Self {
        Self {
            group,
            of: None,
            kind,
        }
    }

    /// A value of each of `names`.
    pub fn each<'a>(
        group: &'static str,
        kind: PredictedKind,
        names: &'a [String],
    ) -> impl Iterator<Item = Self> + 'a {
        names.iter().map(move |name| Self {
            group,
            of: Some(name.clone()),
            kind,
        })
    }

    /// The title in a table: `predicted`, `predicted price`, `p(cat)`.
    pub fn title(&self) -> String {
        match &self.of {
            None => self.group.to_owned(),
            Some(name) if self.group == PROBABILITIES => format!("p({name})"),
            Some(name) => format!("{} {name}", self.group),
        }
    }
}

/// What a model gives for a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum PredictedValue<'a> {
    /// A class.
    Name(&'a str),
    /// A number, or a probability.
    Number(f64),
    /// Whether a label applies.
    Applies(bool),
    /// A row of numbers.
    Vector(Vec<f32>),
    /// What is found in a text, in its order.
    Entities(Vec<PredictedEntity>),
}

/// Something that is found in a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PredictedEntity {
    /// Its first character, counted from the text's beginning (Unicode's code points).
    pub start: usize,
    /// The character behind its last one.
    pub end: usize,
    /// What it is.
    pub label: String,
    /// What stands there.
    pub text: String,
    /// The mean of how likely the classes of its words are.
    pub probability: f64,
}

impl PredictedValue<'_> {
    /// The value as JSON: numbers in their shortest form that reads back the same.
    ///
    /// # Errors
    /// It cannot be written, as of a number that is not finite.
    pub fn json(&self) -> serde_json::Result<String> {
        match self {
            Self::Name(name) => serde_json::to_string(name),
            Self::Number(number) => serde_json::to_string(number),
            Self::Applies(applies) => serde_json::to_string(applies),
            Self::Vector(numbers) => serde_json::to_string(numbers),
            Self::Entities(entities) => serde_json::to_string(entities),
        }
    }
}

/// The mean of several models' outputs for one sample, summed in f64 in the models' order.
pub(super) fn mean_outputs(models: &[&[f32]]) -> Vec<f32> {
    let outputs = models.first().map_or(0, |outputs| outputs.len());
    let mean = |place: usize| {
        let sum: f64 = models.iter().map(|outputs| f64::from(outputs[place])).sum();
        (sum / models.len() as f64) as f32
    };
    (0..outputs).map(mean).collect()
}

/// The logarithm of the mean of `exp(logs)`, without leaving the range of f64.
pub(super) fn log_mean_exp(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    let (sum, count) = logs.fold((0.0, 0.0), |(sum, count), log| {
        (sum + (log - largest).exp(), count + 1.0)
    });
    largest + f64::ln(sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_titles() {
        let names = ["a b".to_owned()];
        let titles = |group| {
            PredictedColumn::each(group, PredictedKind::Number, &names)
                .next()
                .map(|column| column.title())
        };
        assert_eq!(
            PredictedColumn::single(PREDICTED, PredictedKind::Name).title(),
            "predicted"
        );
        assert_eq!(titles(PREDICTED).unwrap(), "predicted a b");
        assert_eq!(titles(PROBABILITIES).unwrap(), "p(a b)");
    }

    #[test]
    fn means_stay_in_range() {
        assert_eq!(mean_outputs(&[&[1.0, -2.0], &[2.0, 4.0]]), [1.5, 1.0]);
        assert_eq!(mean_outputs(&[&[f32::MAX], &[f32::MAX]]), [f32::MAX]);
        let near = |logs: &[f64], expected: f64| {
            let found = log_mean_exp(logs.iter().copied());
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        };
        near(&[0.5f64.ln(), 0.25f64.ln()], 0.375f64.ln());
        near(&[-2000.0, -2000.0], -2000.0);
        near(&[0.0, -5000.0], 0.5f64.ln());
    }
}
