//! What records say is to be predicted.

use std::path::Path;

use csv::ByteRecord;

use super::error::DataError;
use super::field_names::{CLASS, LABELS, TARGETS};
use super::formats::{NumberSpelling, PrecisionWatch};
use super::intake::Intake;
use super::labels::{Classes, LabelIndex, alike_names};
use super::records::RecordLine;
use super::value::write_f32s;
use crate::schema::Field;
use crate::spec::{TargetKind, counted};

/// More labels times lines than this are taken for a mistake.
const MOST_MARKS: usize = 1 << 30;

/// Takes what is to be predicted, line by line, and numbers it.
pub(super) enum RecordTargets<'a> {
    /// One class each, by its number for now.
    Classes {
        column: &'a str,
        index: LabelIndex,
        taken: Vec<u32>,
    },
    /// Zeros and ones, a row each.
    Marks { columns: &'a [String], taken: Vec<u8> },
    /// The names of the labels that apply.
    Names {
        column: &'a str,
        separator: &'a str,
        taken: Vec<Vec<String>>,
    },
    /// Numbers, a row each.
    Numbers {
        columns: &'a [String],
        taken: Vec<f32>,
        precision: PrecisionWatch,
    },
}

/// What is to be predicted for a sample.
#[derive(Clone)]
pub(super) enum RecordTarget {
    /// A class, whose number is final or not.
    Class(u32),
    /// The bytes of the target's field.
    Value(Vec<u8>),
}

/// What is to be predicted for each of the records that were taken.
pub(super) enum NumberedTargets {
    Classes(Vec<u32>),
    /// The bytes of the field's values, so many each.
    Values {
        bytes: Vec<u8>,
        each: usize,
    },
}

impl<'a> RecordTargets<'a> {
    /// Targets in `columns`; labels by name in one of them have `separator` between them.
    pub fn new(task: TargetKind, columns: &'a [String], separator: &'a str) -> Self {
        match (task, columns) {
            (TargetKind::Regression | TargetKind::Similarity, columns) => Self::Numbers {
                columns,
                taken: Vec::new(),
                precision: PrecisionWatch::new(columns.len()),
            },
            (TargetKind::MultiLabel, [column]) => Self::Names {
                column,
                separator,
                taken: Vec::new(),
            },
            (TargetKind::MultiLabel, columns) => Self::Marks {
                columns,
                taken: Vec::new(),
            },
            // One column, which the options' check sees to.
            (
                TargetKind::Classification
                | TargetKind::NextToken
                | TargetKind::TokenClasses
                | TargetKind::Segmentation
                | TargetKind::Detection,
                columns,
            ) => Self::Classes {
                column: columns.first().map_or("", String::as_str),
                index: LabelIndex::default(),
                taken: Vec::new(),
            },
        }
    }

    /// Takes a line's and gives the number that it is known by; nothing is taken where it is wrong, which the error
    /// says.
    pub fn take(&mut self, line: &RecordLine) -> Result<usize, String> {
        match self {
            Self::Classes { column, index, taken } => {
                let label = line.text(column)?;
                taken.push(index.index(&label));
                Ok(taken.len() - 1)
            }
            Self::Marks { columns, taken } => {
                let row: Result<Vec<u8>, String> = columns.iter().map(|column| mark(line, column)).collect();
                taken.extend(row?);
                Ok(taken.len() / columns.len() - 1)
            }
            Self::Names {
                column,
                separator,
                taken,
            } => {
                taken.push(line.texts(column, separator)?);
                Ok(taken.len() - 1)
            }
            Self::Numbers {
                columns,
                taken,
                precision,
            } => {
                let row = columns.iter().map(|column| number(line, column));
                let (texts, numbers): (Vec<String>, Vec<f64>) =
                    row.collect::<Result<Vec<_>, String>>()?.into_iter().unzip();
                let placed: Vec<(usize, f64)> = numbers.iter().copied().enumerate().collect();
                precision.watch(&placed, &ByteRecord::from(texts));
                taken.extend(numbers.iter().map(|number| *number as f32));
                Ok(taken.len() / columns.len() - 1)
            }
        }
    }

    /// The target's field, what is to be predicted for each line, and the classes where these are what is predicted.
    /// Tells of labels that are probably meant to be one, and of numbers that f32 does not hold.
    pub fn finish(
        self,
        list: &Path,
        intake: &Intake<'_>,
    ) -> Result<(Field, NumberedTargets, Option<Classes>), DataError> {
        Ok(match self {
            Self::Classes { index, taken, .. } => {
                let field = Field::class(CLASS, Vec::new());
                (field, NumberedTargets::Classes(taken), Some(index.classes()))
            }
            Self::Marks { columns, taken } => {
                let targets = NumberedTargets::Values {
                    bytes: taken,
                    each: columns.len(),
                };
                (Field::labels(LABELS, columns.to_vec()), targets, None)
            }
            Self::Names { column, taken, .. } => {
                // Numbers are one label however they are written, as classes are.
                let mut index = LabelIndex::default();
                let numbered: Vec<Vec<u32>> = taken
                    .iter()
                    .map(|labels| labels.iter().map(|label| index.index(label)).collect())
                    .collect();
                let Classes { names, renumbered } = index.classes();
                let renumbered = renumbered.unwrap_or_default();
                intake.tell_alike(&alike_names(&names, "labels", ""), "label");
                if names.is_empty() {
                    let problem = format!("no line has a label in its column `{column}`");
                    return Err(DataError::input(list, problem));
                }
                if taken.len().saturating_mul(names.len()) > MOST_MARKS {
                    let problem = format!(
                        "its column `{column}` has {} in {}, which is too much: is it the right column, and `separator` \
                         right?",
                        counted(names.len(), "different label"),
                        counted(taken.len(), "line")
                    );
                    return Err(DataError::input(list, problem));
                }
                let mut bytes = vec![0; taken.len() * names.len()];
                for (row, labels) in bytes.chunks_exact_mut(names.len()).zip(&numbered) {
                    for label in labels {
                        row[renumbered[*label as usize] as usize] = 1;
                    }
                }
                let each = names.len();
                (
                    Field::labels(LABELS, names),
                    NumberedTargets::Values { bytes, each },
                    None,
                )
            }
            Self::Numbers {
                columns,
                taken,
                precision,
            } => {
                precision.tell(|column| format!("`{}`", columns[column]), |_| false, intake);
                let mut bytes = Vec::new();
                write_f32s(&taken, &mut bytes);
                let each = 4 * columns.len();
                (
                    Field::numbers(TARGETS, columns.to_vec()),
                    NumberedTargets::Values { bytes, each },
                    None,
                )
            }
        })
    }
}

impl NumberedTargets {
    /// What is to be predicted for the line that is known by `number`.
    pub fn of(&self, number: usize) -> RecordTarget {
        match self {
            Self::Classes(classes) => RecordTarget::Class(classes[number]),
            Self::Values { bytes, each } => {
                RecordTarget::Value(bytes[number * each..(number + 1) * each].to_vec())
            }
        }
    }
}

/// Whether a label applies.
fn mark(line: &RecordLine, column: &str) -> Result<u8, String> {
    let text = line.text(column)?;
    match text.to_lowercase().as_str() {
        "0" | "0.0" | "false" => Ok(0),
        "1" | "1.0" | "true" => Ok(1),
        _ => Err(format!(
            "its `{column}` is `{text}`, and 0 or 1 is expected: whether the label applies"
        )),
    }
}

/// A number as it is written, and in f64, which f32 can hold to its precision.
fn number(line: &RecordLine, column: &str) -> Result<(String, f64), String> {
    let text = line.number_text(column)?;
    let is_word = ["true", "false"].contains(&text.to_lowercase().as_str());
    match NumberSpelling::PLAIN.read(&text) {
        Ok(number) if !is_word => Ok((text, number)),
        _ => Err(format!(
            "its `{column}` is `{text}`, and a finite number is expected"
        )),
    }
}
