//! What each column of a table is.

use std::path::Path;

use csv::ByteRecord;

use super::cells::CellRules;
use super::header::Header;
use super::numbers::NumberSpelling;
use super::source::TableSource;
use crate::data::error::DataError;
use crate::data::formats::places::OrderReading;
use crate::schema::{DateReading, TableReading, UnknownCategory, UntitledColumns};
use crate::spec::{CsvColumn, CsvImage, DateOptions, SplitOptions, TargetKind};

/// What a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnUse {
    /// A number, or a pixel of an image.
    Feature,
    /// A yes or no.
    Boolean,
    /// A date; the index counts the columns of dates.
    Date(usize),
    /// A text; the index counts the categorical columns.
    Categorical(usize),
    /// An image as a file has it.
    Image,
    /// The class, a label or a target; the index counts them in the order of `label`.
    Label(usize),
    /// Nothing.
    Ignored,
}

/// The columns of a table, known once its first line is read.
pub(super) struct Columns<'a> {
    path: &'a Path,
    pub header: Header<'a>,
    roles: Vec<ColumnUse>,
    /// What the cells of each column may be.
    cells: Vec<CellRules>,
    /// The column of each label, in the order of `label`.
    labels: Vec<usize>,
    /// The column of each category, in the table's order.
    categorical: Vec<usize>,
    /// How the dates of each column of dates are read.
    dates: Vec<&'a DateOptions>,
    /// How the dates of the order's column are written, where no features are made of them.
    order_dates: Option<&'a DateOptions>,
    /// How the rows are read, for whoever reads others later.
    pub reading: TableReading,
    /// What becomes of a category in other data that these tables do not have.
    pub unknown: UnknownCategory,
    /// The image that the features are.
    pub image: Option<CsvImage>,
    /// What the labels are.
    pub task: TargetKind,
    /// The columns that say which split a row is in.
    pub place: PlaceColumns,
}

/// The columns that say which split a row is in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PlaceColumns {
    /// The split itself.
    pub split: Option<usize>,
    /// What a row belongs to.
    pub group: Option<usize>,
    /// Where in an order it stands.
    pub order: Option<usize>,
}

impl<'a> Columns<'a> {
    /// Finds the columns that `source` and `split` name in a table with the first row `first`. Where samples are
    /// images, columns that nothing names are left out.
    pub fn new(
        source: TableSource<'a>,
        split: &SplitOptions,
        path: &'a Path,
        first: &ByteRecord,
    ) -> Result<Self, DataError> {
        let options = source.options;
        let count = first.len();
        if count < 2 {
            let text = first.get(0).unwrap_or_default().trim_ascii_start();
            let problem = if source.is_parquet {
                "it has fewer than two columns: at least one to predict from and the label are needed"
                    .to_owned()
            } else if text.starts_with(b"#") {
                "line 1 begins with `#`, and a table begins with its header or its first row: take lines of comments \
                 out"
                    .to_owned()
            } else if text.starts_with(b"<") {
                "it begins as a web page does (`<`), and no table: look at the file, and get it again"
                    .to_owned()
            } else {
                format!(
                    "its first line has one field: at least one feature and the label are needed; is the delimiter \
                     {:?} right?",
                    options.delimiter
                )
            };
            return Err(DataError::input(path, problem));
        }
        let header = Header::read(path, first, options.header)?;
        let cells = (0..count).map(|index| CellRules::new(options, &header.key(index)));
        let mut columns = Self {
            path,
            roles: vec![ColumnUse::Feature; count],
            cells: cells.collect(),
            labels: Vec::new(),
            categorical: Vec::new(),
            dates: Vec::new(),
            order_dates: None,
            reading: TableReading {
                delimiter: options.delimiter,
                quote: options.quote.byte().map(char::from),
                escape: options.escape,
                decimal: options.decimal,
                thousands: options.thousands,
                missing_values: options.missing_values.clone(),
                ..TableReading::default()
            },
            unknown: options.unknown_categories,
            image: options.image,
            task: options.task,
            place: PlaceColumns::default(),
            header,
        };
        columns.labels = columns.claim("label", options.label.as_slice())?;
        if columns.header.is_absent() {
            let mut labels = columns.labels.clone();
            labels.sort_unstable();
            columns.reading.untitled = Some(UntitledColumns { count, labels });
        }
        columns.categorical = columns.claim("categorical", &options.categorical)?;
        columns.categorical.sort_unstable();
        for (index, column) in columns.categorical.iter().enumerate() {
            columns.roles[*column] = ColumnUse::Categorical(index);
        }
        let boolean = columns.claim("boolean", &options.boolean)?;
        columns.reading.boolean = boolean.iter().map(|index| columns.header.name(*index)).collect();
        let mut undivided = Vec::new();
        for (key, date) in &options.dates {
            let index = columns.header.find_key("dates", key)?;
            if date.parts.is_empty() {
                undivided.push((index, date));
                continue;
            }
            columns.take(index, "dates", ColumnUse::Date(columns.dates.len()))?;
            columns.dates.push(date);
            columns.reading.dates.push(DateReading {
                column: columns.header.name(index),
                parts: date.parts.iter().map(|part| part.as_str().to_owned()).collect(),
                format: date.format.clone(),
            });
        }
        columns.claim("ignore", &options.ignore)?;
        if let Some((image, _)) = source.image {
            columns.claim("image", std::slice::from_ref(image))?;
        }
        columns.claim_places(split)?;
        for (index, date) in undivided {
            columns.take_order_dates(index, date)?;
        }
        if source.image.is_some() {
            let rest = columns
                .roles
                .iter_mut()
                .filter(|role| **role == ColumnUse::Feature);
            rest.for_each(|role| *role = ColumnUse::Ignored);
        }
        for key in options.missing.columns() {
            columns.header.find_key("missing", key)?;
        }
        columns.check()?;
        Ok(columns)
    }

    /// Finds the columns that the field `field` names and gives them their role.
    fn claim(&mut self, field: &str, named: &[CsvColumn]) -> Result<Vec<usize>, DataError> {
        let mut found = Vec::new();
        for (place, column) in named.iter().enumerate() {
            let index = self.header.find(field, column)?;
            let role = match field {
                "label" => ColumnUse::Label(place),
                "categorical" => ColumnUse::Categorical(place),
                "boolean" => ColumnUse::Boolean,
                "image" => ColumnUse::Image,
                _ => ColumnUse::Ignored,
            };
            self.take(index, field, role)?;
            found.push(index);
        }
        Ok(found)
    }

    /// Gives a column the role that the field `field` asks for.
    fn take(&mut self, index: usize, field: &str, role: ColumnUse) -> Result<(), DataError> {
        let other = match self.roles[index] {
            ColumnUse::Feature => {
                self.roles[index] = role;
                return Ok(());
            }
            ColumnUse::Label(_) => "label",
            ColumnUse::Categorical(_) => "categorical",
            ColumnUse::Boolean => "boolean",
            ColumnUse::Date(_) => "dates",
            ColumnUse::Image => "image",
            ColumnUse::Ignored => "ignore",
        };
        let name = self.header.describe(index);
        let problem = if other == field {
            format!("`{field}` names {name} twice: name it once")
        } else {
            format!("both `{other}` and `{field}` name {name}: a column is one of them")
        };
        Err(DataError::input(self.path, problem))
    }

    /// Finds the columns that say which split a row is in. Where nothing else is to be read from them,
    /// they say nothing of the sample.
    fn claim_places(&mut self, split: &SplitOptions) -> Result<(), DataError> {
        for (field, column) in split.columns() {
            let index = self.header.find(&format!("split.{field}"), column)?;
            if self.roles[index] == ColumnUse::Feature {
                self.roles[index] = ColumnUse::Ignored;
            }
            match field {
                "column" => self.place.split = Some(index),
                "group" => self.place.group = Some(index),
                _ => self.place.order = Some(index),
            }
        }
        Ok(())
    }

    /// Takes how the dates of a column are written of which no features are made: those of an order.
    fn take_order_dates(&mut self, index: usize, date: &'a DateOptions) -> Result<(), DataError> {
        if self.place.order == Some(index) && self.roles[index] == ColumnUse::Ignored {
            self.order_dates = Some(date);
            return Ok(());
        }
        let problem = format!(
            "`dates` makes no number of {}, which is not the column of `split.order` either: name some `parts`, such as \
             [year, month, weekday] or [days], or name it in `ignore`",
            self.header.describe(index)
        );
        Err(DataError::input(self.path, problem))
    }

    /// Checks that the columns fit the task and the image.
    fn check(&self) -> Result<(), DataError> {
        let is_feature = |role: &ColumnUse| !matches!(role, ColumnUse::Label(_) | ColumnUse::Ignored);
        let are_numbers = |role: &ColumnUse| !is_feature(role) || *role == ColumnUse::Feature;
        let problem = match (self.task, self.labels.len()) {
            (_, 0) => "`label` names no column: name at least one",
            (TargetKind::Classification, 2..) => {
                "`label` names several columns, and a classification has one: for columns of 0 and 1 add `task: \
                 multi_label`, for numbers `task: regression`"
            }
            _ if !self.roles.iter().any(is_feature) => {
                "no column is left to be a feature: take some out of `label` or `ignore`"
            }
            _ if self.image.is_some() && !self.roles.iter().all(are_numbers) => {
                "the features are an image's pixels, which cannot be `categorical`, `boolean` or `dates`: remove one \
                 of the two fields"
            }
            _ if self.image.is_some() && self.cells.iter().any(CellRules::fills) => {
                "the features are an image's pixels, which cannot be filled in: remove `missing`"
            }
            _ => return Ok(()),
        };
        Err(DataError::input(self.path, problem))
    }

    /// The file that the columns were found in.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// The number of columns of the table.
    pub fn count(&self) -> usize {
        self.roles.len()
    }

    /// What each column is.
    pub fn roles(&self) -> &[ColumnUse] {
        &self.roles
    }

    /// What the cells of a column may be.
    pub fn cells(&self, index: usize) -> &CellRules {
        &self.cells[index]
    }

    /// Whether a cell of the column holds nothing.
    pub fn is_missing(&self, index: usize, text: &str) -> bool {
        let is_text = match self.roles[index] {
            ColumnUse::Categorical(_) | ColumnUse::Image | ColumnUse::Ignored => true,
            ColumnUse::Label(_) => self.task == TargetKind::Classification,
            ColumnUse::Feature | ColumnUse::Boolean | ColumnUse::Date(_) => false,
        };
        self.cells[index].is_missing(text, is_text)
    }

    /// Whether a column holds classes or categories, which may have names.
    pub fn has_names(&self, index: usize) -> bool {
        match self.roles.get(index) {
            Some(ColumnUse::Label(_)) => self.task == TargetKind::Classification,
            Some(ColumnUse::Categorical(_)) => true,
            _ => false,
        }
    }

    /// How the dates of a column are read.
    pub fn date(&self, date: usize) -> &'a DateOptions {
        self.dates[date]
    }

    /// How the column of the order is read: as `dates` says where it is among them, else numbers as all of the table's.
    pub fn order_reading(&self) -> OrderReading<'a> {
        let role = self.place.order.and_then(|index| self.roles.get(index));
        let dates = match role {
            Some(ColumnUse::Date(date)) => Some(self.date(*date)),
            _ => self.order_dates,
        };
        match (dates, self.place.order) {
            (Some(dates), _) => OrderReading::Dates(dates.format.as_deref()),
            (None, Some(index)) => OrderReading::Usual(self.cells(index).spelling),
            (None, None) => OrderReading::Usual(NumberSpelling::PLAIN),
        }
    }

    /// Whether a column is read at all.
    pub fn is_used(&self, index: usize) -> bool {
        self.roles
            .get(index)
            .is_some_and(|role| *role != ColumnUse::Ignored)
    }

    /// Whether texts are read from a column, be it only which split a row is in.
    pub fn is_read(&self, index: usize) -> bool {
        let PlaceColumns { split, group, order } = self.place;
        let is_text = self.is_used(index) && self.roles[index] != ColumnUse::Image;
        is_text || [split, group, order].contains(&Some(index))
    }

    /// The column of images, where samples are images.
    pub fn images(&self) -> Option<usize> {
        self.roles.iter().position(|role| *role == ColumnUse::Image)
    }

    /// The labels or targets, in the order of `label`.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The label or target `place`, in the order of `label`, in messages.
    pub fn describe_label(&self, place: usize) -> String {
        match self.labels.get(place) {
            Some(index) => self.header.describe(*index),
            None => "the label".into(),
        }
    }

    /// The number of categorical columns.
    pub fn categorical(&self) -> usize {
        self.categorical.len()
    }

    /// The categorical columns, counted, and where they are in the table.
    pub fn categorical_indices(&self) -> impl Iterator<Item = (usize, usize)> {
        self.categorical.iter().copied().enumerate()
    }
}
