//! How the values of a field become those of another that bears the same names.
//!
//! A model knows its inputs and outputs by name. Data that holds the same under the same names fits it,
//! whatever the order; what else does not fit is told by its names. Nothing here touches a value: see
//! [`Dataset::rearranged`](super::Dataset::rearranged).

use std::collections::HashMap;

use crate::schema::{ColumnContent, FeatureColumn, Field, MissingCell, UnknownCategory};
use crate::spec::shortened;

/// How one field's values become those of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Alignment {
    /// The field that they become.
    pub field: Field,
    /// For each value of a sample, which value of the given field it is; 0 where it is none of them.
    pub sources: Vec<Option<usize>>,
    /// The categories that the other field does not have.
    pub unknown: Vec<UnknownFeature>,
    /// What is worth telling although everything fits, a sentence each.
    pub notes: Vec<String>,
}

/// A feature of the given field for a category that the other field does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFeature {
    /// Its index in the given field.
    pub index: usize,
    /// The column.
    pub column: String,
    /// The category.
    pub category: String,
    /// Whether a sample that has it is refused.
    pub refused: bool,
}

impl Alignment {
    /// Whether every value of `given` stays where it is, and empty cells are filled as there.
    pub fn keeps(&self, given: &Field) -> bool {
        let stays = |(index, source): (usize, &Option<usize>)| *source == Some(index);
        let fills = |field: &Field| -> Vec<Option<MissingCell>> {
            let columns = field.columns.iter();
            columns.map(|column| column.missing.clone()).collect()
        };
        self.unknown.is_empty()
            && self.sources.len() == given.names.len()
            && self.sources.iter().enumerate().all(stays)
            && (given.columns.is_empty()
                || self.field.columns.is_empty()
                || fills(given) == fills(&self.field))
    }

    /// How the features `given` become the features `wanted`: column by column where both tell their
    /// columns, else by the features' names.
    ///
    /// # Errors
    /// A sentence that names the columns that do not fit.
    pub fn of_features(given: &Field, wanted: &Field) -> Result<Self, String> {
        let mut alignment = Self {
            field: Field {
                name: given.name.clone(),
                reading: given.reading.clone(),
                ..wanted.clone()
            },
            sources: Vec::new(),
            unknown: Vec::new(),
            notes: Vec::new(),
        };
        if given.columns.is_empty() || wanted.columns.is_empty() {
            let problem = |missing: &[String], extra: &[String]| unfit("feature", missing, extra);
            alignment.sources = by_name(&given.names, &wanted.names).map_err(|(missing, extra)| {
                let hint = "; preprocess the data again, so that it tells its categories";
                problem(&missing, &extra) + if given.columns.is_empty() { hint } else { "" }
            })?;
            return Ok(alignment);
        }
        let positions = feature_positions(&given.names)?;
        let columns: HashMap<&str, &FeatureColumn> = given
            .columns
            .iter()
            .map(|column| (column.name.as_str(), column))
            .collect();
        let (mut missing, mut problems) = (Vec::new(), Vec::new());
        for column in &wanted.columns {
            match columns.get(column.name.as_str()) {
                None => missing.push(column.name.clone()),
                Some(own) => {
                    if let Err(problem) = alignment.column(own, column, &positions) {
                        problems.push(problem);
                    }
                }
            }
        }
        let known = |name: &str| wanted.columns.iter().any(|column| column.name == name);
        let names = given.columns.iter().map(|column| column.name.clone());
        let extra: Vec<String> = names.filter(|name| !known(name)).collect();
        if !missing.is_empty() || !extra.is_empty() {
            problems.insert(0, unfit("column", &missing, &extra));
        }
        match problems.as_slice() {
            [] => Ok(alignment),
            problems => Err(problems.join("; ")),
        }
    }

    /// How rows of labels or numbers become those of `wanted`, in the order of its names.
    ///
    /// # Errors
    /// A sentence that names those that only one of them has.
    pub fn of_targets(given: &Field, wanted: &[String]) -> Result<Self, String> {
        let sources =
            by_name(&given.names, wanted).map_err(|(missing, extra)| unfit("target", &missing, &extra))?;
        Ok(Self {
            field: Field {
                names: wanted.to_vec(),
                ..given.clone()
            },
            sources,
            unknown: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// The features of the given column `own` as those of the wanted `column`.
    fn column(
        &mut self,
        own: &FeatureColumn,
        column: &FeatureColumn,
        positions: &HashMap<&str, usize>,
    ) -> Result<(), String> {
        let position = |feature: &str| positions.get(feature).copied();
        match (&own.content, &column.content) {
            (ColumnContent::Category { names: held, .. }, ColumnContent::Category { names, unknown }) => {
                self.sources
                    .extend(names.iter().map(|text| position(&column.category_feature(text))));
                let foreign = held.iter().filter(|text| !names.contains(text));
                let foreign = foreign.filter_map(|text| {
                    Some(UnknownFeature {
                        index: position(&own.category_feature(text))?,
                        column: own.name.clone(),
                        category: text.clone(),
                        refused: *unknown == UnknownCategory::Error,
                    })
                });
                self.unknown.extend(foreign);
            }
            (own_content, content) if own_content == content => {
                let plain = |column: &FeatureColumn| FeatureColumn {
                    missing: None,
                    ..column.clone()
                };
                let features = plain(column).features();
                self.sources
                    .extend(features.iter().map(|feature| position(feature)));
            }
            (own_content, content) => {
                return Err(format!(
                    "column `{}` holds {}, and the model was trained on {}",
                    own.name,
                    held_in_words(own_content),
                    held_in_words(content)
                ));
            }
        }
        self.missing(own, column, &position);
        Ok(())
    }

    /// What tells of, and what stands for, empty cells of a column: what the model does with them, or where it
    /// was trained without any, what the data says.
    fn missing(
        &mut self,
        own: &FeatureColumn,
        column: &FeatureColumn,
        position: &dyn Fn(&str) -> Option<usize>,
    ) {
        let indicates = |column: &FeatureColumn| {
            let missing = column.missing.as_ref();
            missing.is_some_and(|missing| missing.indicator)
        };
        if indicates(column) {
            // Where the data has no such feature, it is 0 until an empty cell is filled.
            let indicator = column.features().pop();
            let source = indicator
                .filter(|_| indicates(own))
                .and_then(|name| position(&name));
            self.sources.push(source);
        }
        if let (Some(missing), None) = (&own.missing, &column.missing) {
            self.notes.push(format!(
                "the model was trained without empty cells in column `{}`: where there are any, they are filled with {}, as \
                 the data says",
                own.name, missing.fill
            ));
            let filled = self
                .field
                .columns
                .iter_mut()
                .filter(|column| column.name == own.name);
            filled.for_each(|column| {
                column.missing = Some(MissingCell {
                    fill: missing.fill.clone(),
                    indicator: false,
                });
            });
        }
    }
}

/// For each of `given` classes its index among `wanted`, matched by name.
///
/// # Errors
/// Those that are not among them.
pub fn match_classes(given: &[String], wanted: &[String]) -> Result<Vec<u32>, Vec<String>> {
    let positions: HashMap<&str, u32> = wanted.iter().map(String::as_str).zip(0..).collect();
    let foreign = given
        .iter()
        .filter(|class| !positions.contains_key(class.as_str()));
    let foreign: Vec<String> = foreign.cloned().collect();
    if !foreign.is_empty() {
        return Err(foreign);
    }
    Ok(given.iter().map(|class| positions[class.as_str()]).collect())
}

/// Where each of `names` stands.
pub(super) fn feature_positions(names: &[String]) -> Result<HashMap<&str, usize>, String> {
    let mut positions = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        if positions.insert(name.as_str(), index).is_some() {
            return Err(format!("two features are called `{name}`: rename a column"));
        }
    }
    Ok(positions)
}

/// The names that only the model has, and those that only the data has.
type UnmatchedNames = (Vec<String>, Vec<String>);

/// Where each of `wanted` stands in `given`, which hold the same names; else those that only `wanted` has,
/// and those that only `given` has.
fn by_name(given: &[String], wanted: &[String]) -> Result<Vec<Option<usize>>, UnmatchedNames> {
    if given == wanted {
        return Ok((0..wanted.len()).map(Some).collect());
    }
    let positions: HashMap<&str, usize> = given.iter().map(String::as_str).zip(0..).collect();
    let known: HashMap<&str, usize> = wanted.iter().map(String::as_str).zip(0..).collect();
    let lacking = |names: &[String], there: &HashMap<&str, usize>| -> Vec<String> {
        let names = names.iter().filter(|name| !there.contains_key(name.as_str()));
        names.cloned().collect()
    };
    let (missing, extra) = (lacking(wanted, &positions), lacking(given, &known));
    // Names that stand twice cannot be told apart.
    let once = positions.len() == given.len() && given.len() == wanted.len();
    if !missing.is_empty() || !extra.is_empty() || !once {
        return Err((missing, extra));
    }
    Ok(wanted
        .iter()
        .map(|name| positions.get(name.as_str()).copied())
        .collect())
}

/// That `missing` are not in the data, and `extra` are only there.
fn unfit(what: &str, missing: &[String], extra: &[String]) -> String {
    let list = |names: &[String]| {
        let plural = if names.len() == 1 { "" } else { "s" };
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        format!("{what}{plural} {}", shortened(&quoted))
    };
    match (missing, extra) {
        ([], []) => format!("two {what}s have one name"),
        (missing, []) => format!("the data lacks the {}", list(missing)),
        ([], extra) => format!("the model does not know the {}", list(extra)),
        (missing, extra) => format!(
            "the data lacks the {} and has the {} instead, which the model does not know",
            list(missing),
            list(extra)
        ),
    }
}

/// What a column holds, in words.
fn held_in_words(content: &ColumnContent) -> &'static str {
    match content {
        ColumnContent::Number => "numbers",
        ColumnContent::Category { .. } => "categories",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{CellFill, MissingCell};

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn field(columns: Vec<FeatureColumn>) -> Field {
        Field::of_columns("features", columns)
    }

    fn filled(name: &str, fill: f64, indicator: bool) -> FeatureColumn {
        let fill = CellFill::Number(fill);
        FeatureColumn {
            missing: Some(MissingCell { fill, indicator }),
            ..FeatureColumn::number(name)
        }
    }

    #[test]
    fn columns_and_categories_are_matched_by_name() {
        let number = FeatureColumn::number;
        let model = field(vec![
            number("sqm"),
            FeatureColumn::category("district", texts(&["a", "b", "c"])),
            number("rooms"),
        ]);
        assert!(Alignment::of_features(&model, &model).unwrap().keeps(&model));
        let data = field(vec![
            FeatureColumn::category("district", texts(&["c", "a"])),
            number("rooms"),
            number("sqm"),
        ]);
        let found = Alignment::of_features(&data, &model).unwrap();
        assert_eq!(found.sources, [Some(3), Some(1), None, Some(0), Some(2)]);
        assert_eq!(found.field, model);
        assert!(found.unknown.is_empty() && !found.keeps(&data));
        // What does not tell its columns is matched by the features' names.
        let old = Field::features("features", texts(&["b", "a"]));
        let model = field(vec![number("a"), number("b")]);
        let found = Alignment::of_features(&old, &model).unwrap();
        assert_eq!(found.sources, [Some(1), Some(0)]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let number = FeatureColumn::number;
        let model = field(vec![number("a"), number("b")]);
        for (columns, problem) in [
            (
                vec![number("a"), number("c")],
                "the data lacks the column `b` and has the column `c` instead, which the model does not know",
            ),
            (
                vec![number("d"), number("a"), number("b"), number("c")],
                "the model does not know the columns `d`, `c`",
            ),
            (vec![number("b")], "the data lacks the column `a`"),
            (
                vec![number("b"), FeatureColumn::category("a", texts(&["1"]))],
                "column `a` holds categories, and the model was trained on numbers",
            ),
        ] {
            assert_eq!(
                Alignment::of_features(&field(columns), &model),
                Err(problem.to_owned())
            );
        }
        let old = Field::features("features", texts(&["a", "c"]));
        assert_eq!(
            Alignment::of_features(&old, &model),
            Err("the data lacks the feature `b` and has the feature `c` instead, which the model does not know; \
                 preprocess the data again, so that it tells its categories"
                .to_owned())
        );
    }

    #[test]
    fn categories_that_the_model_does_not_know_are_found() {
        let model = |unknown| {
            let names = texts(&["x", "z"]);
            field(vec![FeatureColumn {
                content: ColumnContent::Category { names, unknown },
                ..FeatureColumn::number("cat")
            }])
        };
        let data = field(vec![FeatureColumn::category("cat", texts(&["w", "z"]))]);
        for (unknown, refused) in [(UnknownCategory::Error, true), (UnknownCategory::None, false)] {
            let found = Alignment::of_features(&data, &model(unknown)).unwrap();
            assert_eq!(found.sources, [None, Some(1)]);
            let expected = UnknownFeature {
                index: 0,
                column: "cat".into(),
                category: "w".into(),
                refused,
            };
            assert_eq!(found.unknown, [expected]);
        }
    }

    #[test]
    fn empty_cells_are_filled_as_the_model_does() {
        let align = |own: &FeatureColumn, model: &FeatureColumn| {
            let own = field(vec![own.clone()]);
            let found = Alignment::of_features(&own, &field(vec![model.clone()])).unwrap();
            let keeps = found.keeps(&own);
            (found, keeps)
        };
        let plain = FeatureColumn::number("a");
        let (found, keeps) = align(&filled("a", 1.0, true), &filled("a", 1.0, true));
        assert!(keeps && found.notes.is_empty());
        for own in [&plain, &filled("a", 2.5, false)] {
            let model = filled("a", 1.0, true);
            let (found, keeps) = align(own, &model);
            assert_eq!(
                (found.sources, found.notes.len(), keeps),
                (vec![Some(0), None], 0, false)
            );
            assert_eq!(found.field.columns, [model]);
        }
        let (found, keeps) = align(&filled("a", 2.5, true), &filled("a", 1.0, false));
        assert_eq!((&found.sources, keeps), (&vec![Some(0)], false));
        // The model knows of none: what the data says is better than nothing, and told.
        let (found, keeps) = align(&filled("a", 2.5, true), &plain);
        assert_eq!((&found.sources, keeps), (&vec![Some(0)], false));
        assert_eq!(found.field.columns, [filled("a", 2.5, false)]);
        assert_eq!(
            found.notes,
            [
                "the model was trained without empty cells in column `a`: where there are any, they are filled with 2.5, as \
                 the data says"
            ]
        );
    }

    #[test]
    fn targets_and_classes_are_matched_by_name() {
        let given = Field::numbers("targets", texts(&["y", "x"]));
        let found = Alignment::of_targets(&given, &texts(&["x", "y"])).unwrap();
        assert_eq!(found.sources, [Some(1), Some(0)]);
        assert_eq!(found.field.names, ["x", "y"]);
        assert_eq!(
            Alignment::of_targets(&given, &texts(&["x", "z"])),
            Err(
                "the data lacks the target `z` and has the target `y` instead, which the model does not know"
                    .to_owned()
            )
        );
        let known = texts(&["p", "q", "r"]);
        assert_eq!(match_classes(&texts(&["r", "p"]), &known), Ok(vec![2, 0]));
        assert_eq!(match_classes(&texts(&["r", "s"]), &known), Err(texts(&["s"])));
    }
}
