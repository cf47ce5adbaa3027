//! What a network is shown of a table's row, and what is to be predicted.

use super::categories::Categories;
use super::columns::{ColumnUse, Columns};
use crate::data::alignment::feature_positions;
use crate::data::decode::MOST_VALUES;
use crate::data::error::DataError;
use crate::data::field_names::{CLASS, FEATURES, IMAGE, LABELS, TARGETS};
use crate::data::fills::{ColumnFill, FillRule};
use crate::schema::{
    CellFill, ColumnContent, Dimensions, FeatureColumn, Field, MissingCell, Schema, TableReading,
};
use crate::spec::{CellConstant, MissingPolicy, TargetKind, counted};

/// What every row becomes.
pub(super) struct RowSchema {
    pub schema: Schema,
    /// The columns whose empty cells are filled.
    pub fills: Vec<ColumnFill>,
}

impl Columns<'_> {
    /// What every sample holds.
    pub fn schema(&self, categories: &Categories) -> Result<RowSchema, DataError> {
        let (features, fills) = self.features(categories)?;
        let schema = Schema::new(vec![features, self.target()?]).map_err(DataError::Options)?;
        Ok(RowSchema { schema, fills })
    }

    /// What is to be predicted.
    pub fn target(&self) -> Result<Field, DataError> {
        let names = self
            .labels()
            .iter()
            .map(|index| self.header.name(*index))
            .collect();
        Ok(match self.task {
            TargetKind::Classification => Field::class(CLASS, Vec::new()),
            TargetKind::MultiLabel => Field::labels(LABELS, names),
            TargetKind::Regression => Field::numbers(TARGETS, names),
            TargetKind::NextToken
            | TargetKind::TokenClasses
            | TargetKind::Similarity
            | TargetKind::Segmentation
            | TargetKind::Detection => {
                return Err(DataError::Options(
                    "a table's rows hold no tokens, masks or objects".to_owned(),
                ));
            }
        })
    }

    /// What a network is shown of a row: its features, of which a categorical column is one for each of
    /// its texts, and a date one for each of its parts; or an image.
    fn features(&self, categories: &Categories) -> Result<(Field, Vec<ColumnFill>), DataError> {
        let mut found = Vec::new();
        let mut fills = Vec::new();
        for (index, role) in self.roles().iter().enumerate() {
            let name = self.header.name(index);
            let columns = match role {
                ColumnUse::Feature | ColumnUse::Boolean => vec![FeatureColumn::number(&name)],
                ColumnUse::Date(date) => {
                    let parts = self.date(*date).parts.iter();
                    parts
                        .map(|part| FeatureColumn::number(&TableReading::date_feature(&name, part.as_str())))
                        .collect()
                }
                ColumnUse::Categorical(column) => {
                    let names = categories.names(*column).to_vec();
                    let content = ColumnContent::Category {
                        names,
                        unknown: self.unknown,
                    };
                    vec![FeatureColumn {
                        content,
                        ..FeatureColumn::number(&name)
                    }]
                }
                ColumnUse::Label(_) | ColumnUse::Image | ColumnUse::Ignored => Vec::new(),
            };
            let count = columns.len();
            for (place, mut column) in columns.into_iter().enumerate() {
                if let Some(problem) = self.cells(index).mistake(&column.content) {
                    let problem = format!("`missing` of {}: {problem}", self.header.describe(index));
                    return Err(DataError::input(self.path(), problem));
                }
                if let Some(rule) = self.rule(index) {
                    // Of a date the last part tells, for all of them.
                    let indicator = self.cells(index).has_indicator() && place + 1 == count;
                    column.missing = Some(MissingCell {
                        // Until it is found in the training split.
                        fill: CellFill::Number(0.0),
                        indicator,
                    });
                    fills.push(ColumnFill {
                        column: found.len(),
                        rule,
                    });
                }
                found.push(column);
            }
        }
        let features = Field::of_columns(FEATURES, found).with_reading(self.reading.clone());
        // A date's or a category's may have the name of another column.
        feature_positions(&features.names).map_err(|problem| DataError::input(self.path(), problem))?;
        let Some(image) = self.image else {
            if features.names.is_empty() {
                return Err(DataError::input(self.path(), "it has no row that can be read"));
            }
            return Ok((features, fills));
        };
        let [channels, height, width] =
            [image.channels, image.height, image.width].map(|size| size.get() as usize);
        let shape = Dimensions::image(channels, Some([height, width]));
        match shape.len() {
            Some(len) if len <= MOST_VALUES && len == features.names.len() => {
                Ok((Field::image(IMAGE, shape), Vec::new()))
            }
            _ => Err(DataError::input(
                self.path(),
                format!(
                    "it has {} beside the label, and `image` says {shape}",
                    counted(features.names.len(), "column")
                ),
            )),
        }
    }

    /// What the empty cells of a column are filled with.
    fn rule(&self, index: usize) -> Option<FillRule> {
        let is_text = matches!(self.roles()[index], ColumnUse::Categorical(_));
        match &self.cells(index).missing {
            MissingPolicy::Error | MissingPolicy::Drop => None,
            // What was said of all columns has its like for texts.
            MissingPolicy::Mean | MissingPolicy::Median if is_text => Some(FillRule::Mode),
            MissingPolicy::Median => Some(FillRule::Median),
            MissingPolicy::Mode => Some(FillRule::Mode),
            MissingPolicy::Indicator if is_text => Some(FillRule::Mode),
            MissingPolicy::Mean | MissingPolicy::Indicator => Some(FillRule::Mean),
            MissingPolicy::Constant(CellConstant::Text(text)) => {
                Some(FillRule::Constant(CellFill::Category(text.clone())))
            }
            MissingPolicy::Constant(CellConstant::Number(number)) if is_text => {
                Some(FillRule::Constant(CellFill::Category(number.to_string())))
            }
            MissingPolicy::Constant(CellConstant::Number(number)) => {
                Some(FillRule::Constant(CellFill::Number(*number)))
            }
        }
    }

    /// The text that empty cells of a categorical column are filled with, where one is given.
    pub fn constant_category(&self, index: usize) -> Option<String> {
        match self.rule(index)? {
            FillRule::Constant(CellFill::Category(text)) => Some(text),
            _ => None,
        }
    }
}
