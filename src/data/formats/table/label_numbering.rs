//! The classes of a table's label, by the names that the files have for them.

use std::collections::HashSet;

use super::class_names::ClassNames;
use super::source::TableFile;
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::{Classes, LabelIndex};
use crate::spec::counted;

/// How many names are told in a warning.
const NAMED: usize = 10;

/// Sees to it that all of `tables` have names for the whole numbers of a column, or none has; tells of names that are
/// not used.
///
/// # Errors
/// Some of the files name what a column's numbers stand for, and others do not.
pub(super) fn check_names(tables: &[TableFile<'_>], intake: &Intake<'_>) -> Result<(), DataError> {
    for table in tables {
        if let Some(problem) = table.problem() {
            intake.warn(format!("`{}`: {problem}; it is not used", table.path.display()));
        }
    }
    let Some(first) = tables.first() else {
        return Ok(());
    };
    let mut unread = Vec::new();
    for column in 0..first.columns.count() {
        let described = first.columns.header.describe(column);
        let named = tables.iter().find(|table| table.names_of(column).is_some());
        let other = tables.iter().find(|table| table.has_nameless_numbers(column));
        if let (Some(named), Some(other)) = (named, other) {
            let problem = format!(
                "{described} holds whole numbers that it does not name, and `{}` names those of its own (`{}` in the \
                 metadata): write both files from one dataset",
                named.path.display(),
                ClassNames::KEY
            );
            return Err(DataError::input(other.path, problem));
        }
        if tables.iter().any(|table| table.has_unread_names(column)) {
            unread.push(described);
        }
    }
    if !unread.is_empty() {
        let more = if unread.len() > NAMED { ", ..." } else { "" };
        unread.truncate(NAMED);
        intake.warn(format!(
            "the file has names for what these numbers stand for, and they are taken for measurements: {}{more}; add \
             them to `categorical`",
            unread.join(", ")
        ));
    }
    Ok(())
}

/// Numbers the classes of a table's rows.
#[derive(Default)]
pub(super) struct LabelNumbering {
    index: LabelIndex,
    /// The classes that the files name, in the order of their numbers; empty where they name none.
    names: Vec<String>,
}

impl LabelNumbering {
    /// The classes of `tables`, which are numbered as the first of them numbers them.
    pub fn of(tables: &[TableFile<'_>]) -> Self {
        let mut labels = Self::default();
        let mut known = HashSet::new();
        for table in tables {
            let names = table.classes().into_iter().flat_map(ClassNames::names);
            labels
                .names
                .extend(names.filter(|name| known.insert(*name)).cloned());
        }
        labels
    }

    /// The index of `label`, for now.
    pub fn index(&mut self, label: &str) -> u32 {
        self.index.index(label)
    }

    /// The classes that occur, in the files' order where they have one. Others that the files name are told.
    pub fn classes(self, intake: &Intake<'_>) -> Classes {
        if self.names.is_empty() {
            return self.index.classes();
        }
        let absent = self.names.iter().filter(|name| self.index.known(name).is_none());
        let absent: Vec<String> = absent.map(|name| format!("`{name}`")).collect();
        if !absent.is_empty() {
            let more = if absent.len() > NAMED { ", ..." } else { "" };
            intake.warn(format!(
                "{} of the {} that the files name {} no sample and {} left out, so that the others have other numbers: \
                 {}{more}",
                absent.len(),
                counted(self.names.len(), "class"),
                if absent.len() == 1 { "has" } else { "have" },
                if absent.len() == 1 { "is" } else { "are" },
                absent[..absent.len().min(NAMED)].join(", ")
            ));
        }
        self.index.classes_in(&self.names)
    }
}
