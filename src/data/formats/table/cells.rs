//! What the cells of each column may be.

use super::numbers::NumberSpelling;
use crate::data::labels::holds_nothing;
use crate::schema::ColumnContent;
use crate::spec::{CellConstant, CsvOptions, MissingPolicy};

/// What the cells of a column may be.
#[derive(Clone, Debug)]
pub(super) struct CellRules {
    /// How numbers are written.
    pub spelling: NumberSpelling,
    /// What becomes of a cell that holds nothing.
    pub missing: MissingPolicy,
    /// Whether that was said of this column by its name.
    is_named: bool,
    /// The spellings of nothing, where they are given.
    nothings: Option<Vec<String>>,
}

impl CellRules {
    /// The rules of the column that options call `key`.
    pub fn new(options: &CsvOptions, key: &str) -> Self {
        Self {
            spelling: NumberSpelling {
                decimal: options.decimal,
                thousands: options.thousands,
            },
            missing: options.missing.of(key),
            is_named: options.missing.columns().any(|name| name == key),
            nothings: options.missing_values.clone(),
        }
    }

    /// Whether a cell holds nothing.
    pub fn is_missing(&self, text: &str, is_text: bool) -> bool {
        holds_nothing(text, is_text, self.nothings.as_deref())
    }

    /// Whether nobody said what becomes of a cell that holds nothing.
    pub fn refuses_missing(&self) -> bool {
        self.missing == MissingPolicy::Error
    }

    /// Whether such cells are filled.
    pub fn fills(&self) -> bool {
        !matches!(self.missing, MissingPolicy::Error | MissingPolicy::Drop)
    }

    /// Whether a feature tells of such cells.
    pub fn has_indicator(&self) -> bool {
        self.missing == MissingPolicy::Indicator
    }

    /// What is wrong with the policy for a column that holds `content`, in words.
    pub fn mistake(&self, content: &ColumnContent) -> Option<String> {
        match (&self.missing, content) {
            (MissingPolicy::Mean | MissingPolicy::Median, ColumnContent::Category { .. })
                if self.is_named =>
            {
                Some(
                    "texts have neither mean nor median: use `mode`, `indicator` or `{constant: TEXT}`"
                        .into(),
                )
            }
            (MissingPolicy::Constant(CellConstant::Text(text)), ColumnContent::Number) => {
                Some(format!("its numbers cannot be filled with the text `{text}`"))
            }
            (MissingPolicy::Constant(CellConstant::Number(number)), ColumnContent::Number)
                if !(*number as f32).is_finite() =>
            {
                Some(format!("{number} is no number to fill in"))
            }
            _ => None,
        }
    }
}
