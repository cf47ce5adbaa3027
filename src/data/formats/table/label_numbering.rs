//! The classes of a table's label, by the names that the files have for them.

use std::collections::HashSet;

use super::class_names::ClassNames;
use super::source::TableFile;
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::{Classes, LabelIndex};

/// How many names are told in a warning.
const NAMED: usize = 10;

/// Numbers the classes of a table's rows.
#[derive(Default)]
pub(super) struct LabelNumbering {
    index: LabelIndex,
    /// The classes that the files name, in the order of their numbers; empty where they name none.
    names: Vec<String>,
}

impl LabelNumbering {
    /// The classes of `tables`, which are numbered as the first of them numbers them.
    ///
    /// # Errors
    /// Some of the files name the classes of their whole numbers, and others do not.
    pub fn of(tables: &[TableFile<'_>], intake: &Intake<'_>) -> Result<Self, DataError> {
        let mut labels = Self::default();
        let mut known = HashSet::new();
        for table in tables {
            if let Some(problem) = table.problem() {
                intake.warn(format!("`{}`: {problem}; it is not used", table.path.display()));
            }
            let names = table.classes().into_iter().flat_map(ClassNames::names);
            labels
                .names
                .extend(names.filter(|name| known.insert(*name)).cloned());
        }
        let named = tables.iter().find(|table| table.classes().is_some());
        let other = tables.iter().find(|table| table.has_nameless_classes());
        if let (Some(named), Some(other)) = (named, other) {
            let problem = format!(
                "its labels are whole numbers whose classes it does not name, and `{}` names those of its own (`{}` \
                 in the metadata): write both files from one dataset",
                named.path.display(),
                ClassNames::KEY
            );
            return Err(DataError::input(other.path, problem));
        }
        Ok(labels)
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
                "{} of the {} classes that the files name have no sample and are left out, so that the others have other \
                 numbers: {}{more}",
                absent.len(),
                self.names.len(),
                absent[..absent.len().min(NAMED)].join(", ")
            ));
        }
        self.index.classes_in(&self.names)
    }
}
