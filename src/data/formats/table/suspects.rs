//! Columns that tell a model more than they should, or nothing.

use std::collections::{HashMap, HashSet};

use super::columns::{ColumnUse, Columns};
use super::row::CsvRow;
use crate::data::intake::Intake;

/// Fewer rows than this show nothing.
const FEWEST_ROWS: u64 = 20;

/// Numbers of all columns together that are remembered to see whether each is there once.
const REMEMBERED: usize = 1 << 20;

/// A column that tells the label has at most so many different values.
const FEW_VALUES: usize = 64;

/// Only the first so many targets are compared with the columns.
const COMPARED_TARGETS: usize = 16;

/// How many columns are named; the rest is counted.
const NAMED: usize = 10;

/// Names of columns that tell rows apart.
const NAMES_OF_IDS: &[&str] = &[
    "id",
    "idx",
    "index",
    "key",
    "nr",
    "no",
    "number",
    "row",
    "rowid",
    "row_id",
    "row_number",
    "uid",
    "uuid",
    "guid",
];

/// Watches the columns of a table for those that count the rows, tell them apart or give the label away,
/// and for those that never change.
///
/// A model reads from such a column where in the table a row stands, or what its label is: figures that
/// no new row will bring.
pub(super) struct Suspects {
    columns: Vec<WatchedColumn>,
    rows: u64,
}

/// One column.
struct WatchedColumn {
    order: Option<RowOrder>,
    label: LabelTie,
    targets: Vec<StraightLine>,
}

impl Suspects {
    /// Watches a table of `columns`. An image's pixels are no columns to be watched.
    pub fn new(columns: &Columns<'_>) -> Self {
        let most = (REMEMBERED / columns.count().max(1)).max(256);
        let watched = |role: &ColumnUse| WatchedColumn {
            order: matches!(role, ColumnUse::Feature | ColumnUse::Boolean).then(|| RowOrder::new(most)),
            label: LabelTie::default(),
            targets: vec![StraightLine::None; columns.labels().len().min(COMPARED_TARGETS)],
        };
        let is_image = columns.image.is_some();
        Self {
            columns: columns
                .roles()
                .iter()
                .filter(|_| !is_image)
                .map(watched)
                .collect(),
            rows: 0,
        }
    }

    /// Takes a row, and its class where it has one.
    pub fn watch(&mut self, row: &CsvRow, class: Option<u32>) {
        if self.columns.is_empty() {
            return;
        }
        self.rows += 1;
        for (index, number) in &row.numbers {
            let watched = &mut self.columns[*index];
            let Some(order) = &mut watched.order else {
                continue;
            };
            order.watch(*number);
            match class {
                Some(class) => watched.label.watch(number.to_bits(), class),
                None => {
                    for (line, target) in watched.targets.iter_mut().zip(&row.targets) {
                        line.watch(*number, f64::from(*target));
                    }
                }
            }
        }
        if let Some(class) = class {
            for (index, category) in &row.categories {
                self.columns[*index].label.watch(*category as u64, class);
            }
        }
    }

    /// Warns of the columns that are suspect.
    pub fn tell(&self, columns: &Columns<'_>, intake: &Intake<'_>) {
        if self.rows < FEWEST_ROWS {
            return;
        }
        let mut constant = Vec::new();
        let mut count = 0;
        for (index, watched) in self.columns.iter().enumerate() {
            if watched.order.as_ref().is_some_and(RowOrder::is_constant) {
                constant.push(columns.header.describe(index));
                continue;
            }
            let Some(problem) = self.problem(watched, &columns.header.name(index), columns) else {
                continue;
            };
            count += 1;
            if count <= NAMED {
                intake.warn(format!(
                    "{} {problem}: if no new row will have that, name it in `ignore`",
                    columns.header.describe(index)
                ));
            }
        }
        if count > NAMED {
            intake.warn(format!(
                "{count} columns tell the label or the row, the first {NAMED} of them named above"
            ));
        }
        if !constant.is_empty() {
            let more = match constant.len().checked_sub(NAMED) {
                None | Some(0) => String::new(),
                Some(more) => format!(" and {more} more"),
            };
            constant.truncate(NAMED);
            intake.warn(format!(
                "the same value in all rows: {}{more}; they tell a model nothing, name them in `ignore`",
                constant.join(", ")
            ));
        }
    }

    /// What is suspect about a column, in words.
    fn problem(&self, watched: &WatchedColumn, name: &str, columns: &Columns<'_>) -> Option<String> {
        if let Some(problem) = watched.label.problem(self.rows) {
            return Some(problem);
        }
        let copied = watched
            .targets
            .iter()
            .position(|line| matches!(line, StraightLine::Through { .. }));
        if let Some(target) = copied {
            return Some(format!(
                "gives {} away: the one follows from the other by a straight line in every row",
                columns.describe_label(target)
            ));
        }
        watched.order.as_ref()?.problem(name, self.rows)
    }
}

/// How a column's numbers follow each other.
struct RowOrder {
    first: f64,
    last: f64,
    low: f64,
    high: f64,
    rows: u64,
    /// The difference of each number to the one before it, as long as it is always the same.
    step: Option<f64>,
    /// Numbers that are over, equal to and under the one before them.
    rises: u64,
    equals: u64,
    falls: u64,
    /// Whole numbers that were there once, as long as none was there twice.
    seen: Option<HashSet<u64>>,
    most: usize,
}

impl RowOrder {
    fn new(most: usize) -> Self {
        Self {
            first: f64::NAN,
            last: f64::NAN,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            rows: 0,
            step: None,
            rises: 0,
            equals: 0,
            falls: 0,
            seen: Some(HashSet::new()),
            most,
        }
    }

    fn watch(&mut self, number: f64) {
        if self.rows == 0 {
            self.first = number;
        } else {
            let step = number - self.last;
            if self.rows == 1 {
                self.step = Some(step);
            } else if self.step != Some(step) {
                self.step = None;
            }
            match step.total_cmp(&0.0) {
                std::cmp::Ordering::Greater => self.rises += 1,
                std::cmp::Ordering::Equal => self.equals += 1,
                std::cmp::Ordering::Less => self.falls += 1,
            }
        }
        self.rows += 1;
        self.last = number;
        self.low = self.low.min(number);
        self.high = self.high.max(number);
        if let Some(seen) = &mut self.seen {
            let is_once = number.fract() == 0.0
                && if seen.len() < self.most {
                    seen.insert(number.to_bits())
                } else {
                    !seen.contains(&number.to_bits())
                };
            if !is_once {
                self.seen = None;
            }
        }
    }

    fn is_constant(&self) -> bool {
        self.rows > 1 && self.low == self.high
    }

    fn problem(&self, name: &str, rows: u64) -> Option<String> {
        if self.rows < FEWEST_ROWS || self.rows < rows {
            return None;
        }
        if let Some(step) = self.step.filter(|step| *step != 0.0) {
            return Some(format!(
                "counts the rows, from {} on by {step}, so that it tells where in the table a row stands",
                self.first
            ));
        }
        let steps = self.rows - 1;
        if self.rises == steps || self.falls == steps {
            let verb = if self.rises == steps { "rises" } else { "falls" };
            return Some(format!(
                "{verb} with every row, so that it tells where in the table a row stands"
            ));
        }
        if (self.falls == 0 || self.rises == 0) && self.equals * 2 < steps {
            let verb = if self.falls == 0 { "falls" } else { "rises" };
            return Some(format!(
                "never {verb} from row to row, so that it tells where in the table a row stands"
            ));
        }
        let is_dense = (self.high - self.low + 1.0) <= 1.5 * self.rows as f64;
        let name = name.to_lowercase();
        let is_named =
            NAMES_OF_IDS.contains(&name.as_str()) || name.ends_with("_id") || name.ends_with(" id");
        if self.seen.is_some() && (is_dense || is_named) {
            return Some("has another whole number in every row, so that it tells rows apart".into());
        }
        None
    }
}

/// Whether a column's values tell the class.
#[derive(Default)]
struct LabelTie {
    /// The class that goes with each value.
    classes: HashMap<u64, u32>,
    is_broken: bool,
}

impl LabelTie {
    fn watch(&mut self, value: u64, class: u32) {
        if self.is_broken {
            return;
        }
        let is_one_more = self.classes.len() >= FEW_VALUES && !self.classes.contains_key(&value);
        self.is_broken = is_one_more || *self.classes.entry(value).or_insert(class) != class;
        if self.is_broken {
            self.classes = HashMap::new();
        }
    }

    fn problem(&self, rows: u64) -> Option<String> {
        let classes: HashSet<u32> = self.classes.values().copied().collect();
        let is_repeated = self.classes.len() as u64 * 5 <= rows;
        (!self.is_broken && classes.len() >= 2 && is_repeated).then(|| {
            if classes.len() == self.classes.len() {
                "is the label in other words: each class has a value of its own".to_owned()
            } else {
                "gives the label away: each of its values stands with one class alone".to_owned()
            }
        })
    }
}

/// The straight line by which a target follows from a number.
#[derive(Clone, Copy, Debug)]
enum StraightLine {
    /// No row yet.
    None,
    /// Of two rows with different numbers none is there yet.
    Point([f64; 2]),
    /// All rows so far lie on it.
    Through { point: [f64; 2], slope: f64 },
    /// There is none.
    Broken,
}

impl StraightLine {
    fn watch(&mut self, x: f64, y: f64) {
        *self = match *self {
            Self::None => Self::Point([x, y]),
            Self::Point(point) if point[0] == x && point[1] == y => *self,
            Self::Point([first, other]) if first != x && other != y => Self::Through {
                point: [first, other],
                slope: (y - other) / (x - first),
            },
            Self::Through { point, slope } => {
                let told = point[1] + slope * (x - point[0]);
                // As much as f32 can be told apart by.
                let scale = y.abs().max(point[1].abs()).max((slope * point[0]).abs());
                if (told - y).abs() <= scale * 1e-6 {
                    *self
                } else {
                    Self::Broken
                }
            }
            Self::Point(_) | Self::Broken => Self::Broken,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(numbers: impl IntoIterator<Item = f64>, name: &str) -> Option<String> {
        let mut order = RowOrder::new(1000);
        let mut rows = 0;
        for number in numbers {
            order.watch(number);
            rows += 1;
        }
        order.problem(name, rows)
    }

    /// The numbers from 0 to `count` in no order.
    fn shuffled(count: u32) -> Vec<f64> {
        let mut numbers: Vec<f64> = (0..count).map(f64::from).collect();
        crate::random::Stream::new(1, crate::random::Purpose::Shuffle, 0, 0).shuffle(&mut numbers);
        numbers
    }

    #[test]
    fn columns_that_tell_rows_apart_are_found() {
        let told = |numbers: Vec<f64>, name| order(numbers, name).unwrap_or_default();
        assert!(told((0..30).map(f64::from).collect(), "x").starts_with("counts the rows, from 0 on by 1"));
        assert!(
            told((0..30).map(|n| f64::from(n * n) * 0.1).collect(), "x").starts_with("rises with every row")
        );
        assert!(
            told((0..30).map(|n| f64::from(n - n % 3 / 2) * 1.5).collect(), "x").starts_with("never falls")
        );
        assert!(told(shuffled(40), "x").contains("another whole number in every row"));
        let far: Vec<f64> = shuffled(40).iter().map(|number| number * 977.0).collect();
        assert_eq!(told(far.clone(), "price"), "");
        assert!(told(far, "customer_id").contains("another whole number"));
        // Nothing shows in a few rows, and measurements are no numbers of rows.
        assert_eq!(told((0..10).map(f64::from).collect(), "x"), "");
        assert_eq!(
            told(shuffled(40).iter().map(|number| number / 7.0).collect(), "id"),
            ""
        );
        let twice: Vec<f64> = shuffled(40).into_iter().chain([3.0]).collect();
        assert_eq!(told(twice, "id"), "");
    }

    #[test]
    fn columns_that_give_the_class_away_are_found() {
        let tie = |pairs: Vec<(u64, u32)>| {
            let mut tie = LabelTie::default();
            pairs.iter().for_each(|(value, class)| tie.watch(*value, *class));
            tie.problem(pairs.len() as u64).unwrap_or_default()
        };
        assert!(tie((0..60).map(|row| (row % 3 + 7, row as u32 % 3)).collect()).starts_with("is the label"));
        assert!(
            tie((0..60).map(|row| (row % 6, row as u32 % 3)).collect()).starts_with("gives the label away")
        );
        assert_eq!(tie((0..60).map(|row| (row % 5, row as u32 % 3)).collect()), "");
        // Many values, each once, say nothing; nor does a constant.
        assert_eq!(tie((0..60).map(|row| (row, row as u32 % 3)).collect()), "");
        assert_eq!(tie((0..60).map(|_| (1, 0)).collect()), "");
    }

    #[test]
    fn targets_in_other_units_are_found() {
        let line = |pairs: Vec<(f64, f64)>| {
            let mut line = StraightLine::None;
            pairs
                .iter()
                .for_each(|(x, y)| line.watch(*x, f64::from(*y as f32)));
            matches!(line, StraightLine::Through { .. })
        };
        let celsius = (0..50).map(|n| f64::from(n * 37 % 50) * 0.3);
        assert!(line(celsius.clone().map(|c| (c, c * 1.8 + 32.0)).collect()));
        assert!(!line(celsius.clone().map(|c| (c, c * c)).collect()));
        assert!(!line(celsius.map(|c| (c, 5.0)).collect()));
    }
}
