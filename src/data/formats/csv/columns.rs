//! What each column of a table is.

use std::collections::HashSet;
use std::path::Path;

use csv::ByteRecord;

use super::categories::Categories;
use crate::data::decode::MOST_VALUES;
use crate::data::error::DataError;
use crate::data::field_names::{CLASS, FEATURES, IMAGE, LABELS, TARGETS};
use crate::schema::{Dimensions, Field, Schema};
use crate::spec::{CsvColumn, CsvImage, CsvOptions, TargetKind, nearest};

/// What a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnUse {
    /// A number, or a pixel of an image.
    Feature,
    /// A text; the index counts the categorical columns.
    Categorical(usize),
    /// The class, a label or a target; the index counts them in the order of `label`.
    Label(usize),
    /// Nothing.
    Ignored,
}

/// The columns of a table, known once its first line is read.
pub(super) struct CsvColumns<'a> {
    path: &'a Path,
    /// The columns' names; empty without a header.
    header: Vec<String>,
    roles: Vec<ColumnUse>,
    /// The column of each label, in the order of `label`.
    labels: Vec<usize>,
    /// The column of each category, in the table's order.
    categorical: Vec<usize>,
    /// The image that the features are.
    pub image: Option<CsvImage>,
    /// What the labels are.
    pub task: TargetKind,
}

impl<'a> CsvColumns<'a> {
    /// Finds the columns that `options` name in a table with the first row `first`.
    pub fn new(options: &CsvOptions, path: &'a Path, first: &ByteRecord) -> Result<Self, DataError> {
        let count = first.len();
        if count < 2 {
            let problem = format!(
                "its first line has one field: at least one feature and the label are needed; is the delimiter \
                 {:?} right?",
                options.delimiter
            );
            return Err(DataError::input(path, problem));
        }
        let header = if options.header {
            read_header(path, first)?
        } else {
            Vec::new()
        };
        let mut columns = Self {
            path,
            header,
            roles: vec![ColumnUse::Feature; count],
            labels: Vec::new(),
            categorical: Vec::new(),
            image: options.image,
            task: options.task,
        };
        columns.labels = columns.claim("label", options.label.as_slice(), options)?;
        columns.categorical = columns.claim("categorical", &options.categorical, options)?;
        columns.categorical.sort_unstable();
        for (index, column) in columns.categorical.iter().enumerate() {
            columns.roles[*column] = ColumnUse::Categorical(index);
        }
        columns.claim("ignore", &options.ignore, options)?;
        columns.check(options)?;
        Ok(columns)
    }

    /// Finds the columns that the field `field` names and gives them their role.
    fn claim(
        &mut self,
        field: &str,
        named: &[CsvColumn],
        options: &CsvOptions,
    ) -> Result<Vec<usize>, DataError> {
        let mut found = Vec::new();
        for (place, column) in named.iter().enumerate() {
            let index = self.find(field, column, options)?;
            if self.roles[index] != ColumnUse::Feature {
                let other = match self.roles[index] {
                    ColumnUse::Label(_) => "label",
                    ColumnUse::Categorical(_) => "categorical",
                    ColumnUse::Feature | ColumnUse::Ignored => "ignore",
                };
                let problem = if other == field {
                    format!("`{field}` names {} twice: name it once", self.describe(index))
                } else {
                    format!(
                        "both `{other}` and `{field}` name {}: a column is one of them",
                        self.describe(index)
                    )
                };
                return Err(DataError::input(self.path, problem));
            }
            self.roles[index] = match field {
                "label" => ColumnUse::Label(place),
                "categorical" => ColumnUse::Categorical(place),
                _ => ColumnUse::Ignored,
            };
            found.push(index);
        }
        Ok(found)
    }

    fn find(&self, field: &str, column: &CsvColumn, options: &CsvOptions) -> Result<usize, DataError> {
        let count = self.roles.len();
        let problem = match column {
            CsvColumn::Index(index) => {
                let wanted = i64::from(*index);
                let wanted = if wanted < 0 {
                    i64::try_from(count).unwrap_or(i64::MAX) + wanted
                } else {
                    wanted
                };
                match usize::try_from(wanted).ok().filter(|index| *index < count) {
                    Some(index) => return Ok(index),
                    None => format!("`{field}: {index}` is no column of its {count}"),
                }
            }
            CsvColumn::Name(name) if !options.header => format!(
                "`{field}: {name}` names a column, and the table is read without a header: add `header: true`, \
                 or give the column's index"
            ),
            CsvColumn::Name(name) => match self.header.iter().position(|other| other == name) {
                Some(index) => return Ok(index),
                None => format!(
                    "it has no column `{name}` (`{field}`); its columns are {}{}",
                    self.header.join(", "),
                    nearest(name, self.header.iter().map(String::as_str))
                        .map(|near| format!(": did you mean `{near}`?"))
                        .unwrap_or_default()
                ),
            },
        };
        Err(DataError::input(self.path, problem))
    }

    /// Whether the table has no line of names.
    pub fn are_unnamed(&self) -> bool {
        self.header.is_empty()
    }

    /// Checks that the columns fit the task and the image.
    fn check(&self, options: &CsvOptions) -> Result<(), DataError> {
        let problem = match (self.task, self.labels.len()) {
            (_, 0) => "`label` names no column: name at least one",
            (TargetKind::Classification, 2..) => {
                "`label` names several columns, and a classification has one: for columns of 0 and 1 add `task: \
                 multi_label`, for numbers `task: regression`"
            }
            _ if !self.roles.contains(&ColumnUse::Feature) && self.categorical.is_empty() => {
                "no column is left to be a feature: take some out of `label` or `ignore`"
            }
            _ if options.image.is_some() && !self.categorical.is_empty() => {
                "the features are an image's pixels, which cannot be `categorical`: remove one of the two fields"
            }
            _ => return Ok(()),
        };
        Err(DataError::input(self.path, problem))
    }

    /// The number of columns of the table.
    pub fn count(&self) -> usize {
        self.roles.len()
    }

    /// What each column is.
    pub fn roles(&self) -> &[ColumnUse] {
        &self.roles
    }

    /// The number of labels or targets.
    pub fn labels(&self) -> usize {
        self.labels.len()
    }

    /// The number of categorical columns.
    pub fn categorical(&self) -> usize {
        self.categorical.len()
    }

    /// The categorical columns, counted, and where they are in the table.
    pub fn categorical_indices(&self) -> impl Iterator<Item = (usize, usize)> {
        self.categorical.iter().copied().enumerate()
    }

    /// What every sample holds.
    pub fn schema(&self, categories: &Categories) -> Result<Schema, DataError> {
        let names = self.labels.iter().map(|index| self.name(*index)).collect();
        let target = match self.task {
            TargetKind::Classification => Field::class(CLASS, Vec::new()),
            TargetKind::MultiLabel => Field::labels(LABELS, names),
            TargetKind::Regression => Field::numbers(TARGETS, names),
        };
        Schema::new(vec![self.features(categories)?, target]).map_err(DataError::Options)
    }

    /// What a network is shown of a row: its features, of which a categorical column is one for each of
    /// its texts, `name=text`; or an image.
    fn features(&self, categories: &Categories) -> Result<Field, DataError> {
        let mut names = Vec::new();
        for (index, role) in self.roles.iter().enumerate() {
            match role {
                ColumnUse::Feature => names.push(self.name(index)),
                ColumnUse::Categorical(column) => {
                    let name = self.name(index);
                    names.extend(
                        categories
                            .names(*column)
                            .iter()
                            .map(|text| format!("{name}={text}")),
                    );
                }
                ColumnUse::Label(_) | ColumnUse::Ignored => {}
            }
        }
        let Some(image) = self.image else {
            if names.is_empty() {
                return Err(DataError::input(self.path, "it has no row that can be read"));
            }
            return Ok(Field::features(FEATURES, names));
        };
        let [channels, height, width] =
            [image.channels, image.height, image.width].map(|size| size.get() as usize);
        let shape = Dimensions::image(channels, Some([height, width]));
        match shape.len() {
            Some(len) if len <= MOST_VALUES && len == names.len() => Ok(Field::image(IMAGE, shape)),
            _ => Err(DataError::input(
                self.path,
                format!(
                    "it has {} columns beside the label, and `image` says {shape}",
                    names.len()
                ),
            )),
        }
    }

    /// The name of the column `index`.
    fn name(&self, index: usize) -> String {
        match self.header.get(index) {
            Some(name) => name.clone(),
            None => format!("column_{index}"),
        }
    }

    /// The column `index` in messages.
    pub fn describe(&self, index: usize) -> String {
        match self.header.get(index) {
            Some(name) => format!("column `{name}`"),
            None => format!("column {index} (from 0)"),
        }
    }
}

fn read_header(path: &Path, first: &ByteRecord) -> Result<Vec<String>, DataError> {
    let mut header = Vec::new();
    let mut known = HashSet::new();
    for (index, name) in first.iter().enumerate() {
        let name = std::str::from_utf8(name).map_err(|_| {
            DataError::input(path, format!("the name of column {index} (from 0) is not UTF-8"))
        })?;
        let name = name.trim().to_owned();
        if !known.insert(name.clone()) {
            return Err(DataError::input(
                path,
                format!("two columns are named `{name}`: rename one"),
            ));
        }
        header.push(name);
    }
    Ok(header)
}
