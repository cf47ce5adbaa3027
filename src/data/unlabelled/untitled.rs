//! Tables without titles, whose columns are known by their places alone.

use crate::data::formats::NumberReading;
use crate::schema::{Field, UntitledColumns};
use crate::spec::counted;

/// What the names of columns begin with in a table without titles; their place follows.
const UNTITLED: &str = "column_";

/// The name of the column `place` of a table without titles.
pub(super) fn place_name(place: usize) -> String {
    format!("{UNTITLED}{place}")
}

/// Whether a model's columns are known by their places alone. Those of models that do not say it all bear the names of
/// places.
pub(super) fn is_untitled(field: &Field) -> bool {
    let reading = field.reading.as_deref().cloned().unwrap_or_default();
    reading.untitled.is_some()
        || field.columns.iter().all(|column| {
            let (_, name) = NumberReading::of(&column.name, &reading);
            let place = name.strip_prefix(UNTITLED).map(str::parse::<usize>);
            matches!(place, Some(Ok(_)))
        })
}

/// Something worth telling of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TableNote {
    pub is_warning: bool,
    /// A sentence.
    pub text: String,
}

/// What the columns of a table without titles are called for a model.
pub(super) struct UntitledNames {
    /// By their places.
    pub names: Vec<String>,
    /// What is worth telling.
    pub note: Option<TableNote>,
}

impl UntitledNames {
    /// The names of so many columns: as in the table that a model with the features `field` was trained on, or as there
    /// without what is predicted.
    ///
    /// # Errors
    /// A sentence: they are neither.
    pub fn of(field: &Field, columns: usize) -> Result<Self, String> {
        let reading = field.reading.as_deref();
        let Some(known) = reading.and_then(|reading| reading.untitled.as_ref()) else {
            return Ok(Self {
                names: (0..columns).map(place_name).collect(),
                note: Some(TableNote {
                    is_warning: true,
                    text: "the model does not tell how many columns its table had, so that rows are taken to have all of them, \
                     what is predicted included: preprocess the data and train the model again, and it is checked"
                        .to_owned(),
                }),
            });
        };
        let UntitledColumns { count, labels } = known;
        let others = (0..*count).filter(|place| !labels.contains(place));
        let others: Vec<usize> = others.collect();
        let predicted = listed(labels);
        if columns == *count {
            return Ok(Self {
                names: (0..columns).map(place_name).collect(),
                note: None,
            });
        }
        if columns == others.len() {
            return Ok(Self {
                names: others.into_iter().map(place_name).collect(),
                note: Some(TableNote {
                    is_warning: false,
                    text: format!(
                        "rows of {} are taken for those of the {count} in the training's table without what is predicted \
                     ({predicted} there), and columns are called by their places there",
                        counted(columns, "field")
                    ),
                }),
            });
        }
        Err(format!(
            "it has {}, and the table that the model was trained on had {count}, or {} without what is predicted \
             ({predicted}): columns without titles are known by their places alone, so give all of them, in the same \
             order",
            counted(columns, "column"),
            others.len()
        ))
    }
}

/// Places in words.
fn listed(places: &[usize]) -> String {
    let told: Vec<String> = places.iter().map(usize::to_string).collect();
    let noun = if places.len() == 1 { "column" } else { "columns" };
    format!("{noun} {} from 0", told.join(", "))
}
