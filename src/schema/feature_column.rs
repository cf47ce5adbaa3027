//! How the columns of a table become features.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// A column of a table, and the features that it becomes: side by side, in the order of
/// [`FeatureColumn::features`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureColumn {
    /// Its name in the table.
    pub name: String,
    /// What its cells hold.
    pub content: ColumnContent,
    /// What stands for a cell that holds nothing, where that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingCell>,
}

/// What the cells of a column hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ColumnContent {
    /// A number, which is the feature.
    Number,
    /// One of some texts: a feature for each, 1 for the cell's own and 0 for the others.
    Category {
        /// The texts, in the features' order: the column's dictionary.
        names: Vec<String>,
        /// What becomes of a text that is none of them.
        #[serde(default, skip_serializing_if = "UnknownCategory::is_refused")]
        unknown: UnknownCategory,
    },
}

/// What becomes of a category that a dictionary does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCategory {
    /// It is refused.
    #[default]
    Error,
    /// It is none of the known ones: all features of the column are 0, as with scikit-learn's
    /// `handle_unknown="ignore"`. How many samples have one is told.
    None,
}

/// What stands for a cell that holds nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MissingCell {
    /// The value that is taken instead.
    pub fill: CellFill,
    /// Whether a feature of its own, the column's last, tells with 1 that there was nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub indicator: bool,
}

/// A value for a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CellFill {
    /// Of a column of numbers.
    Number(f64),
    /// Of a column of categories, one of its dictionary.
    Category(String),
}

impl Display for CellFill {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Category(text) => write!(f, "`{text}`"),
        }
    }
}

impl UnknownCategory {
    /// Whether it is refused.
    pub fn is_refused(&self) -> bool {
        *self == Self::Error
    }
}

impl FeatureColumn {
    /// A column of numbers.
    pub fn number(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            content: ColumnContent::Number,
            missing: None,
        }
    }

    /// A column with the dictionary `names`.
    pub fn category(name: &str, names: Vec<String>) -> Self {
        let unknown = UnknownCategory::default();
        Self {
            name: name.to_owned(),
            content: ColumnContent::Category { names, unknown },
            missing: None,
        }
    }

    /// The names of its features: its own of a number, `name=text` of categories, and `name is
    /// missing` where a feature tells that.
    pub fn features(&self) -> Vec<String> {
        let mut features = match &self.content {
            ColumnContent::Number => vec![self.name.clone()],
            ColumnContent::Category { names, .. } => {
                names.iter().map(|text| self.category_feature(text)).collect()
            }
        };
        if self.missing.as_ref().is_some_and(|missing| missing.indicator) {
            features.push(format!("{} is missing", self.name));
        }
        features
    }

    /// The number of its features.
    pub fn width(&self) -> usize {
        let own = match &self.content {
            ColumnContent::Number => 1,
            ColumnContent::Category { names, .. } => names.len(),
        };
        own + usize::from(self.missing.as_ref().is_some_and(|missing| missing.indicator))
    }

    /// Fills in `cell`, the column's features of a row, where it holds nothing: where any of them is NaN.
    pub fn fill(&self, cell: &mut [f32]) {
        let Some(missing) = &self.missing else {
            return;
        };
        if !cell.iter().any(|feature| feature.is_nan()) {
            return;
        }
        cell.fill(0.0);
        match (&self.content, &missing.fill) {
            (ColumnContent::Number, CellFill::Number(number)) => {
                if let Some(feature) = cell.first_mut() {
                    *feature = *number as f32;
                }
            }
            (ColumnContent::Category { names, .. }, CellFill::Category(text)) => {
                let index = names.iter().position(|name| name == text);
                if let Some(feature) = index.and_then(|index| cell.get_mut(index)) {
                    *feature = 1.0;
                }
            }
            _ => {}
        }
        if let (true, Some(last)) = (missing.indicator, cell.last_mut()) {
            *last = 1.0;
        }
    }

    /// The name of the feature for the category `text`.
    pub fn category_feature(&self, text: &str) -> String {
        format!("{}={text}", self.name)
    }

    /// The dictionary, where the column has one.
    pub fn categories(&self) -> Option<&[String]> {
        match &self.content {
            ColumnContent::Category { names, .. } => Some(names),
            ColumnContent::Number => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_hold_nothing_are_filled() {
        const N: f32 = f32::NAN;
        let filled = |column: FeatureColumn, fill: CellFill, indicator, cell: &[f32]| {
            let missing = Some(MissingCell { fill, indicator });
            let column = FeatureColumn { missing, ..column };
            assert_eq!(column.width(), column.features().len());
            let mut cell = cell.to_vec();
            column.fill(&mut cell);
            cell
        };
        let number = || FeatureColumn::number("x");
        assert_eq!(filled(number(), CellFill::Number(2.5), false, &[N]), [2.5]);
        assert_eq!(filled(number(), CellFill::Number(2.5), true, &[N, N]), [2.5, 1.0]);
        assert_eq!(
            filled(number(), CellFill::Number(2.5), true, &[7.0, 0.0]),
            [7.0, 0.0]
        );
        // A model's own feature for it, where the data has none.
        assert_eq!(
            filled(number(), CellFill::Number(2.5), true, &[N, 0.0]),
            [2.5, 1.0]
        );
        let kind = || FeatureColumn::category("k", vec!["a".into(), "b".into()]);
        assert_eq!(
            filled(kind(), CellFill::Category("b".into()), false, &[N, N]),
            [0.0, 1.0]
        );
        assert_eq!(
            filled(kind(), CellFill::Category("b".into()), false, &[1.0, 0.0]),
            [1.0, 0.0]
        );
    }

    #[test]
    fn columns_name_their_features_and_survive_json() {
        let plain = FeatureColumn::number("age");
        assert_eq!(plain.features(), ["age"]);
        let json = serde_json::to_string(&plain).unwrap();
        assert_eq!(json, r#"{"name":"age","content":"number"}"#);
        assert_eq!(serde_json::from_str::<FeatureColumn>(&json).unwrap(), plain);

        let full = FeatureColumn {
            name: "color".into(),
            content: ColumnContent::Category {
                names: vec!["red".into(), "blue".into()],
                unknown: UnknownCategory::None,
            },
            missing: Some(MissingCell {
                fill: CellFill::Category("red".into()),
                indicator: true,
            }),
        };
        assert_eq!(full.features(), ["color=red", "color=blue", "color is missing"]);
        let json = serde_json::to_string(&full).unwrap();
        assert_eq!(
            json,
            r#"{"name":"color","content":{"category":{"names":["red","blue"],"unknown":"none"}},"missing":{"fill":"red","indicator":true}}"#
        );
        assert_eq!(serde_json::from_str::<FeatureColumn>(&json).unwrap(), full);
        let filled = MissingCell {
            fill: CellFill::Number(0.1 + 0.2),
            indicator: false,
        };
        let json = serde_json::to_string(&filled).unwrap();
        assert_eq!(serde_json::from_str::<MissingCell>(&json).unwrap(), filled);
    }
}
