//! The texts of categorical columns.

use std::collections::HashMap;

use super::columns::Columns;
use crate::data::labels::alike_names;

/// More different texts in a column than this are taken for a mistake.
const MOST_CATEGORIES: usize = 4096;

/// The texts of each categorical column.
#[derive(Default)]
pub(super) struct Categories {
    columns: Vec<Category>,
}

/// The texts of one column.
#[derive(Default)]
struct Category {
    /// In order, once they are sorted.
    names: Vec<String>,
    indices: HashMap<String, usize>,
}

impl Categories {
    /// Categories of `columns` columns, without any text yet.
    pub fn new(columns: usize) -> Self {
        Self {
            columns: (0..columns).map(|_| Category::default()).collect(),
        }
    }

    /// Takes a text of the categorical column `column`. An error says that there are too many.
    pub fn add(&mut self, column: usize, text: &str) -> Result<(), String> {
        let indices = &mut self.columns[column].indices;
        if indices.contains_key(text) {
            return Ok(());
        }
        if indices.len() == MOST_CATEGORIES {
            return Err(format!(
                "this categorical column has more than {MOST_CATEGORIES} different texts: if they are numbers, \
                 take it out of `categorical`; if they tell samples apart, name it in `ignore`"
            ));
        }
        indices.insert(text.to_owned(), indices.len());
        Ok(())
    }

    /// Puts each column's texts in order: by number where all are numbers, else as texts.
    pub fn sorted(mut self) -> Self {
        for column in &mut self.columns {
            let mut names: Vec<String> = column.indices.keys().cloned().collect();
            let number = |name: &String| name.parse::<f64>().ok().filter(|number| number.is_finite());
            if names.iter().all(|name| number(name).is_some()) {
                let key = |name: &String| number(name).unwrap_or_default();
                names.sort_unstable_by(|left, right| {
                    key(left).total_cmp(&key(right)).then_with(|| left.cmp(right))
                });
            } else {
                names.sort_unstable();
            }
            column.indices = names.iter().cloned().zip(0..).collect();
            column.names = names;
        }
        self
    }

    /// The texts of the categorical column `column`, in order.
    pub fn names(&self, column: usize) -> &[String] {
        &self.columns[column].names
    }

    /// A sentence for each two texts of a column that are probably meant to be one.
    pub fn alike(&self, columns: &Columns<'_>) -> Vec<String> {
        let categorical = columns.categorical_indices();
        let told = categorical.flat_map(|(column, index)| {
            let of = format!(" of {}", columns.header.describe(index));
            alike_names(self.names(column), "categories", &of)
        });
        told.collect()
    }

    /// Which of the column's texts `text` is.
    pub fn index(&self, column: usize, text: &str) -> Option<usize> {
        self.columns[column].indices.get(text).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(texts: &[&str]) -> Vec<String> {
        let mut categories = Categories::new(1);
        for text in texts {
            categories.add(0, text).unwrap();
        }
        let categories = categories.sorted();
        for (index, name) in categories.names(0).iter().enumerate() {
            assert_eq!(categories.index(0, name), Some(index));
        }
        assert_eq!(categories.index(0, "other"), None);
        categories.names(0).to_vec()
    }

    #[test]
    fn numbers_sort_as_numbers_and_others_as_texts() {
        assert_eq!(sorted(&["10", "9.5", "-1", "10"]), ["-1", "9.5", "10"]);
        assert_eq!(sorted(&["10", "9", "nan"]), ["10", "9", "nan"]);
        assert_eq!(sorted(&["red", "blue", "Red"]), ["Red", "blue", "red"]);
    }

    #[test]
    fn there_is_a_limit() {
        let mut categories = Categories::new(1);
        for text in 0..MOST_CATEGORIES {
            categories.add(0, &text.to_string()).unwrap();
        }
        categories.add(0, "7").unwrap();
        let error = categories.add(0, "one more").unwrap_err();
        assert!(error.contains("more than 4096 different texts"), "{error}");
    }
}
