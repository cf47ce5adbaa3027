//! How samples are divided into splits.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::formats::CsvColumn;
use super::mistake::Mistake;
use super::values::Share;

/// Shares of the training samples that become other splits: stratified by class, and decided by
/// each sample's content, so that neither order nor file names matter. Or what else decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitOptions {
    /// The validation split's share.
    #[serde(default)]
    pub val: Option<Share>,
    /// The test split's share.
    #[serde(default)]
    pub test: Option<Share>,
    /// Whether each class gives the same share to each split.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub stratify: bool,
    /// A table's column that says which split a row is in: `train`, `val` or `test`, or what else people
    /// call them. It is no feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<CsvColumn>,
    /// A table's column that says what belongs together, such as a patient: all rows with the same value
    /// are in one split. It is no feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<CsvColumn>,
    /// A table's column of numbers or dates: the last rows in its order are the test split, those before
    /// them the validation split. It is read as the table's cells are: its numbers by `decimal` and `thousands`, its dates
    /// as `dates` says. It is no feature, unless `dates` makes some of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<CsvColumn>,
    /// Every so manieth sample in the files' order is in a split, whatever it holds: `{val: 10}` takes the tenth, the
    /// twentieth and so on. Of texts in windows, documents are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<EverySample>,
    /// How many folds the samples are divided into for cross-validation; one of them, `fold`, is the test
    /// split. Sweep over `fold` from 1 on, and let a table
    /// take the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<NonZeroU32>,
    /// Which of the folds is the test split, from 1 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<NonZeroU32>,
}

/// Which samples are in a split by their places alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EverySample {
    /// How manieth samples are in the validation split, unless they are in the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<NonZeroU32>,
    /// How manieth samples are in the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<NonZeroU32>,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self {
            val: None,
            test: None,
            stratify: true,
            column: None,
            group: None,
            order: None,
            every: None,
            folds: None,
            fold: None,
        }
    }
}

impl SplitOptions {
    /// The columns of a table that decide, each with the field that names it.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &CsvColumn)> {
        let columns = [
            ("column", &self.column),
            ("group", &self.group),
            ("order", &self.order),
        ];
        columns
            .into_iter()
            .filter_map(|(field, column)| Some((field, column.as_ref()?)))
    }

    /// Whether there may be a validation split, where the files bring none.
    pub fn makes_val(&self) -> bool {
        let takes_val = self.every.is_some_and(|every| every.val.is_some());
        self.val.is_some() || self.column.is_some() || takes_val
    }

    /// What contradicts each other, with paths from here on; `has_columns` says whether the format is a
    /// table.
    pub(super) fn mistakes(&self, has_columns: bool) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let shares = [self.val, self.test];
        let sum: f64 = shares.iter().flatten().map(|share| share.get()).sum();
        if sum >= 1.0 {
            let mistake = Mistake::new([""; 0], format!("the shares add up to {sum}"));
            mistakes.push(mistake.help("leave something to train on: make them smaller"));
        }
        for (field, _) in self.columns().filter(|_| !has_columns) {
            mistakes.push(
                Mistake::new(
                    [field],
                    format!("`{field}` names a column, and the format is no table"),
                )
                .help("remove it"),
            );
        }
        if self.order.is_some() && self.group.is_some() {
            mistakes.push(
                Mistake::new(
                    ["order"],
                    "samples are divided in order, or by groups, and not both",
                )
                .help("remove `order` or `group`"),
            );
        }
        if let (Some(_), Some(_)) = (self.folds, &self.order) {
            mistakes.push(
                Mistake::new(
                    ["folds"],
                    "folds would test on samples that come before those trained on",
                )
                .help("remove `folds` or `order`"),
            );
        }
        if let (Some(_), Some(_)) = (self.folds, self.test) {
            mistakes.push(
                Mistake::new(
                    ["test"],
                    "the test split is one of the `folds`, which have their size from their number",
                )
                .help("remove `test` or `folds`"),
            );
        }
        if let Some(every) = self.every {
            for (name, number, share) in [("val", every.val, self.val), ("test", every.test, self.test)] {
                if number.is_some_and(|number| number.get() < 2) {
                    let mistake = Mistake::new(["every", name], "every sample is none to train on");
                    mistakes.push(mistake.help("make it 2 or more"));
                }
                if number.is_some() && share.is_some() {
                    let problem = format!("the {name} split is every so manieth sample, and a share of them");
                    mistakes.push(Mistake::new([name], problem).help("remove one of the two"));
                }
            }
            let others = [
                ("group", self.group.is_some()),
                ("order", self.order.is_some()),
                ("folds", self.folds.is_some()),
            ];
            for (field, _) in others.iter().filter(|(_, is_given)| *is_given) {
                let problem =
                    format!("samples are divided by their places (`every`) and by `{field}` at once");
                mistakes.push(Mistake::new([*field], problem).help("remove one of the two"));
            }
        }
        match (self.folds, self.fold) {
            (Some(folds), _) if folds.get() < 2 => {
                let mistake = Mistake::new(
                    ["folds"],
                    "one fold is all samples, which leaves none to train on",
                );
                mistakes.push(mistake.help("make it 2 or more; 5 and 10 are usual"));
            }
            (Some(folds), None) => {
                let mistake = Mistake::new(["folds"], "it is not said which of the folds is the test split");
                let all: Vec<String> = (1..=folds.get().min(5)).map(|fold| fold.to_string()).collect();
                mistakes.push(mistake.help(format!(
                    "add `fold: ${{fold}}`, a parameter `fold: 1`, and `fold: {{choice: [{}{}]}}` to the `params` of a sweep",
                    all.join(", "),
                    if folds.get() > 5 { ", ..." } else { "" }
                )));
            }
            (None, Some(_)) => {
                let mistake = Mistake::new(["fold"], "`fold` says which of the `folds` is the test split");
                mistakes.push(mistake.help("add `folds: 5`, or remove `fold`"));
            }
            (Some(folds), Some(fold)) if fold > folds => {
                let mistake = Mistake::new(["fold"], format!("there are {folds} folds, counted from 1"));
                mistakes.push(mistake.help("make it smaller, or `folds` larger"));
            }
            _ => {}
        }
        mistakes
    }
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_told() {
        let told = |json: &str, has_columns: bool| -> Vec<String> {
            let options: SplitOptions = serde_json::from_str(json).unwrap();
            let mistakes = options.mistakes(has_columns).into_iter();
            mistakes
                .map(|mistake| format!("{}: {}", mistake.path.join("."), mistake.message))
                .collect()
        };
        for (json, expected) in [
            (r#"{"val": 0.6, "test": 0.5}"#, ": the shares add up to 1.1"),
            (
                r#"{"order": "a", "group": "b"}"#,
                "order: samples are divided in order, or by groups",
            ),
            (r#"{"folds": 5}"#, "folds: it is not said which"),
            (r#"{"folds": 1, "fold": 1}"#, "folds: one fold is all samples"),
            (r#"{"fold": 1}"#, "fold: `fold` says which"),
            (r#"{"folds": 5, "fold": 6}"#, "fold: there are 5 folds"),
            (
                r#"{"folds": 5, "fold": 1, "test": 0.1}"#,
                "test: the test split is one of the `folds`",
            ),
            (
                r#"{"folds": 5, "fold": 1, "order": 0}"#,
                "folds: folds would test on samples",
            ),
        ] {
            let told = told(json, true);
            assert!(
                told.len() == 1 && told[0].starts_with(expected),
                "{json}: {told:?}"
            );
        }
        assert!(told(r#"{"folds": 5, "fold": 5, "val": 0.1, "group": "who"}"#, true).is_empty());
        assert_eq!(
            told(r#"{"group": "who"}"#, false),
            ["group: `group` names a column, and the format is no table"]
        );
    }

    #[test]
    fn what_is_not_written_is_not_in_the_key() {
        let json = serde_json::to_string(&SplitOptions::default()).unwrap();
        assert_eq!(json, r#"{"val":null,"test":null}"#);
    }
}
