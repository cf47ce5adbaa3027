//! What records say of their splits.

use super::super::split_names::{SplitHint, SplitWord};
use super::{OrderReading, PlaceTexts, PlaceWatch, group_named, mixed_order, order_of};
use crate::data::error::DataError;
use crate::data::formats::table::NumberSpelling;
use crate::data::intake::{Intake, SplitPlace};
use crate::data::records::RecordLine;
use crate::spec::{CsvColumn, SplitName, SplitOptions};

/// The fields of records that say how they are divided into splits.
pub(in crate::data::formats) struct RecordPlaces {
    split: Option<String>,
    group: Option<String>,
    order: Option<String>,
    watch: PlaceWatch,
    /// What is wrong with the order of all records.
    mixed: Option<String>,
}

impl RecordPlaces {
    /// The fields that `options` name.
    pub fn new(options: &SplitOptions) -> Result<Self, DataError> {
        let name = |field: &str, column: &Option<CsvColumn>| match column {
            None => Ok(None),
            Some(CsvColumn::Name(name)) => Ok(Some(name.clone())),
            Some(CsvColumn::Index(index)) => Err(DataError::Options(format!(
                "`split.{field}` is {index}, and the fields of records have names: write the name"
            ))),
        };
        Ok(Self {
            split: name("column", &options.column)?,
            group: name("group", &options.group)?,
            order: name("order", &options.order)?,
            watch: PlaceWatch::default(),
            mixed: None,
        })
    }

    /// The fields' names.
    pub fn columns(&self) -> impl Iterator<Item = &String> {
        [&self.split, &self.group, &self.order].into_iter().flatten()
    }

    /// The field that says the split itself.
    pub fn split(&self) -> Option<&str> {
        self.split.as_deref()
    }

    /// What the record at `place` says of its split, where it says something, and of what else decides it. An error says
    /// what is wrong with it.
    pub fn of(
        &mut self,
        record: &RecordLine,
        place: impl FnOnce() -> String,
    ) -> Result<(Option<SplitWord>, SplitPlace), String> {
        let text = |field: &Option<String>| match field {
            Some(field) => record.text(field).map(Some),
            None => Ok(None),
        };
        let split = match &self.split {
            Some(column) => Some(split_word(column, &record.text(column)?)?),
            None => None,
        };
        let (group, order) = (text(&self.group)?, text(&self.order)?);
        let digest = match &group {
            Some(group) => Some(group_named(group)?),
            None => None,
        };
        let usual = OrderReading::Usual(NumberSpelling::PLAIN);
        let wrong =
            |problem: String| format!("its place in the order: {problem}; write it so in all records");
        let placed = match &order {
            Some(order) => Some(order_of(order, usual).map_err(wrong)?),
            None => None,
        };
        let texts = PlaceTexts {
            group: group.as_deref(),
            order: order.as_deref(),
        };
        if let Err(problem) = self.watch.watch(texts, placed, place) {
            self.mixed.get_or_insert(problem);
        }
        let found = SplitPlace {
            group: digest,
            order: placed.map(|placed| placed.value),
            unit: None,
        };
        Ok((split, found))
    }

    /// The split and the place of a record that comes from `origin`, in a stream of which nobody knows yet whether there
    /// is another split to test on. Training samples where nothing says otherwise.
    pub fn streamed(
        &mut self,
        record: Option<&RecordLine>,
        origin: &str,
    ) -> Result<(SplitName, SplitPlace), String> {
        let Some(record) = record else {
            return Ok((SplitName::Train, SplitPlace::default()));
        };
        let (word, place) = self.of(record, || format!("`{origin}`"))?;
        match word {
            None => Ok((SplitName::Train, place)),
            Some(SplitWord::Split(split)) => Ok((split, place)),
            Some(SplitWord::Evaluation) => {
                Err("its split is that of an evaluation: write train, val or test".to_owned())
            }
        }
    }

    /// Tells of groups that are written in several ways.
    ///
    /// # Errors
    /// The order is written in several ways.
    pub fn finish(self, intake: &mut Intake<'_>) -> Result<(), DataError> {
        self.watch.tell(intake);
        match self.mixed {
            Some(problem) => Err(mixed_order(problem)),
            None => Ok(()),
        }
    }
}

/// The split that a text in a record's `column` names.
pub(in crate::data::formats) fn split_word(column: &str, text: &str) -> Result<SplitWord, String> {
    match SplitHint::of(text) {
        Some(hint) if hint.rest.is_empty() => Ok(hint.word),
        _ => Err(format!(
            "its split (`{column}`) is `{text}`: train, val or test is expected, or what else these are called"
        )),
    }
}
