//! What the empty cells of a table are filled with.
//!
//! A dataset keeps an empty cell as NaN in all features of its column, and the column's fill beside its
//! name. So the rows of one file can be filled with what was found in the training rows of another.

use std::collections::{BTreeMap, HashMap};

use super::error::DataError;
use crate::schema::{CellFill, ColumnContent, FeatureColumn};
use crate::spec::{SplitName, counted_that};

/// Numbers of all columns together that are held at once, to find medians and what is most frequent.
const HELD: usize = 1 << 25;

/// How a column is filled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ColumnFill {
    /// The column's place among those that features are made from.
    pub column: usize,
    /// What its empty cells become.
    pub rule: FillRule,
}

/// What empty cells become, over the column's cells in the training split.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FillRule {
    /// Their mean.
    Mean,
    /// The number in their middle; of two, their mean.
    Median,
    /// What is most frequent; of several, the first in order.
    Mode,
    /// What was given.
    Constant(CellFill),
}

/// Reads the rows of a dataset again: hands the number of each sample and its features to what is given.
pub(super) type ReadRows<'a> = dyn FnMut(&mut dyn FnMut(usize, &[f32])) -> Result<(), DataError> + 'a;

/// What became of the empty cells of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FilledColumn {
    /// The column's name.
    name: String,
    /// What the fill is, in words.
    rule: &'static str,
    fill: CellFill,
    /// How many of its cells held nothing, by the split that they are in.
    cells: BTreeMap<SplitName, u64>,
}

impl FilledColumn {
    /// How many cells are filled.
    pub fn cells(&self) -> u64 {
        self.cells.values().sum()
    }

    pub fn is_filled(&self) -> bool {
        self.cells() > 0
    }

    /// Whether more than half of its cells in the training split are filled, where there are `splits` samples.
    pub fn is_mostly_filled(&self, splits: &BTreeMap<SplitName, u64>) -> bool {
        let [filled, all] = [&self.cells, splits].map(|counts| counts.get(&SplitName::Train).copied());
        filled.unwrap_or(0) * 2 > all.unwrap_or(0)
    }

    /// What was filled with what, in words, where there are `splits` samples.
    pub fn describe(&self, splits: &BTreeMap<SplitName, u64>) -> String {
        let counts = splits.iter().map(|(split, all)| {
            let filled = self.cells.get(split).copied().unwrap_or(0);
            format!("{filled} of {all} in {}", split.as_str())
        });
        let fill = match &self.fill {
            CellFill::Number(number) => format!("{number}"),
            CellFill::Category(text) => format!("`{text}`"),
        };
        format!(
            "column `{}`: {} nothing and {} filled with {fill}, {}: {}",
            self.name,
            counted_that(self.cells(), "cell", ["holds", "hold"]),
            if self.cells() == 1 { "is" } else { "are" },
            self.rule,
            counts.collect::<Vec<String>>().join(", ")
        )
    }
}

/// Finds the fills of `columns` in the samples that are in the training split, and counts the cells that are filled.
pub(super) fn find_fills(
    fills: &[ColumnFill],
    columns: &mut [FeatureColumn],
    splits: &[SplitName],
    read: &mut ReadRows<'_>,
) -> Result<Vec<FilledColumn>, DataError> {
    let mut filled = Vec::new();
    let mut first = 0;
    let mut places = Vec::new();
    for column in columns.iter() {
        places.push(first);
        first += column.width();
    }
    let trained = splits.iter().filter(|split| **split == SplitName::Train).count();
    let at_once = (HELD / trained.max(1)).max(1);
    for fills in fills.chunks(at_once) {
        let mut cells: Vec<CellsOfColumn> = fills
            .iter()
            .map(|fill| CellsOfColumn::new(&fill.rule, places[fill.column], &columns[fill.column]))
            .collect();
        read(&mut |sample, row| {
            cells.iter_mut().for_each(|cells| cells.take(row, splits[sample]));
        })?;
        for (fill, cells) in fills.iter().zip(cells) {
            let column = &mut columns[fill.column];
            let empty = cells.empty.clone();
            let found = cells.finish(column).ok_or_else(|| {
                DataError::Options(format!(
                    "column `{}` holds nothing in all of the training split, so that there is nothing to fill its empty \
                     cells with: name it in `ignore`, or fill it with a constant",
                    column.name
                ))
            })?;
            filled.push(FilledColumn {
                name: column.name.clone(),
                rule: fill.rule.in_words(),
                fill: found.clone(),
                cells: empty,
            });
            if let Some(missing) = &mut column.missing {
                missing.fill = found;
            }
        }
    }
    Ok(filled)
}

impl FillRule {
    /// What such a fill is, in words.
    fn in_words(&self) -> &'static str {
        match self {
            Self::Mean => "the mean of the training split",
            Self::Median => "the median of the training split",
            Self::Mode => "the most frequent of the training split",
            Self::Constant(_) => "the constant of `missing`",
        }
    }
}

/// What is gathered of a column's cells.
struct CellsOfColumn {
    /// The place of its first feature.
    place: usize,
    gathered: Gathered,
    /// Cells that hold nothing, by the split that they are in.
    empty: BTreeMap<SplitName, u64>,
}

enum Gathered {
    Sum { sum: f64, count: f64 },
    Numbers(Vec<f32>),
    Frequencies(HashMap<u32, u64>),
    Categories(Vec<u64>),
    Known(CellFill),
}

impl CellsOfColumn {
    fn new(rule: &FillRule, place: usize, column: &FeatureColumn) -> Self {
        let gathered = match (rule, &column.content) {
            (FillRule::Constant(fill), _) => Gathered::Known(fill.clone()),
            (_, ColumnContent::Category { names, .. }) => Gathered::Categories(vec![0; names.len()]),
            (FillRule::Mean, _) => Gathered::Sum { sum: 0.0, count: 0.0 },
            (FillRule::Median, _) => Gathered::Numbers(Vec::new()),
            (FillRule::Mode, _) => Gathered::Frequencies(HashMap::new()),
        };
        Self {
            place,
            gathered,
            empty: BTreeMap::new(),
        }
    }

    /// Takes the column's cell of a row that is in `split`.
    fn take(&mut self, row: &[f32], split: SplitName) {
        let Some(number) = row.get(self.place).copied() else {
            return;
        };
        if number.is_nan() {
            *self.empty.entry(split).or_default() += 1;
            return;
        }
        if split != SplitName::Train {
            return;
        }
        match &mut self.gathered {
            Gathered::Sum { sum, count } => {
                *sum += f64::from(number);
                *count += 1.0;
            }
            Gathered::Numbers(numbers) => numbers.push(number),
            Gathered::Frequencies(frequencies) => *frequencies.entry(number.to_bits()).or_default() += 1,
            Gathered::Categories(counts) => {
                for (count, value) in counts.iter_mut().zip(&row[self.place..]) {
                    *count += u64::from(*value == 1.0);
                }
            }
            Gathered::Known(_) => {}
        }
    }

    /// The fill; nothing where no cell held anything.
    fn finish(self, column: &FeatureColumn) -> Option<CellFill> {
        match self.gathered {
            Gathered::Sum { sum, count } => (count > 0.0).then(|| CellFill::Number(sum / count)),
            Gathered::Numbers(numbers) => median(numbers).map(CellFill::Number),
            Gathered::Frequencies(frequencies) => {
                let cells = frequencies
                    .into_iter()
                    .map(|(bits, count)| (f32::from_bits(bits), count));
                let most = cells.max_by(|(left, left_count), (right, right_count)| {
                    left_count.cmp(right_count).then_with(|| right.total_cmp(left))
                });
                most.map(|(number, _)| CellFill::Number(f64::from(number)))
            }
            Gathered::Categories(counts) => {
                let most = *counts.iter().max()?;
                let index = counts.iter().position(|count| *count == most && most > 0)?;
                column.categories()?.get(index).cloned().map(CellFill::Category)
            }
            Gathered::Known(fill) => Some(fill),
        }
    }
}

/// The number in the middle of `numbers`; of two, their mean.
fn median(mut numbers: Vec<f32>) -> Option<f64> {
    let middle = numbers.len() / 2;
    if numbers.is_empty() {
        return None;
    }
    let is_even = numbers.len().is_multiple_of(2);
    let (below, upper, _) = numbers.select_nth_unstable_by(middle, f32::total_cmp);
    let upper = f64::from(*upper);
    let lower = below.iter().copied().max_by(f32::total_cmp).filter(|_| is_even);
    Some(lower.map_or(upper, |lower| f64::midpoint(f64::from(lower), upper)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::MissingCell;

    fn open(column: FeatureColumn) -> FeatureColumn {
        FeatureColumn {
            missing: Some(MissingCell {
                fill: CellFill::Number(0.0),
                indicator: false,
            }),
            ..column
        }
    }

    #[test]
    fn fills_are_found_in_the_training_split() {
        const N: f32 = f32::NAN;
        let rows: [[f32; 6]; 6] = [
            [1.0, 5.0, 2.0, 0.0, 1.0, N],
            [N, N, 2.0, 1.0, 0.0, N],
            [4.0, 1.0, 3.0, N, N, N],
            [10.0, 9.0, 3.0, 1.0, 0.0, N],
            [1.0, 4.0, N, 1.0, 0.0, N],
            // Not trained on.
            [1e6, 1e6, 7.0, 0.0, 1.0, 1.0],
        ];
        let mut splits = [SplitName::Train; 6];
        splits[5] = SplitName::Test;
        let number = |name: &str| open(FeatureColumn::number(name));
        let kinds = open(FeatureColumn::category("kind", vec!["a".into(), "b".into()]));
        let mut columns = [
            number("mean"),
            number("median"),
            number("mode"),
            kinds,
            number("empty"),
        ];
        let fill = |column, rule| ColumnFill { column, rule };
        let mut read = |take: &mut dyn FnMut(usize, &[f32])| {
            rows.iter()
                .enumerate()
                .for_each(|(sample, row)| take(sample, row));
            Ok(())
        };
        let fills = [
            fill(0, FillRule::Mean),
            fill(1, FillRule::Median),
            fill(2, FillRule::Mode),
            fill(3, FillRule::Mode),
            fill(4, FillRule::Constant(CellFill::Number(-1.0))),
        ];
        let filled = find_fills(&fills, &mut columns, &splits, &mut read).unwrap();
        let counts = BTreeMap::from([(SplitName::Train, 5), (SplitName::Test, 1)]);
        let told: Vec<String> = filled.iter().map(|column| column.describe(&counts)).collect();
        let expected = [
            "column `mean`: 1 cell holds nothing and is filled with 4, the mean of the training split: 1 of 5 in train, 0 \
             of 1 in test",
            "column `median`: 1 cell holds nothing and is filled with 4.5, the median of the training split: 1 of 5 in \
             train, 0 of 1 in test",
            "column `mode`: 1 cell holds nothing and is filled with 2, the most frequent of the training split: 1 of 5 in \
             train, 0 of 1 in test",
            "column `kind`: 1 cell holds nothing and is filled with `a`, the most frequent of the training split: 1 of 5 in \
             train, 0 of 1 in test",
            "column `empty`: 5 cells hold nothing and are filled with -1, the constant of `missing`: 5 of 5 in train, 0 of \
             1 in test",
        ];
        assert_eq!(told, expected);
        let mostly = filled.iter().map(|column| column.is_mostly_filled(&counts));
        assert_eq!(mostly.collect::<Vec<bool>>(), [false, false, false, false, true]);
        let found: Vec<CellFill> = columns
            .iter()
            .map(|column| column.missing.clone().unwrap().fill)
            .collect();
        // As NumPy has them: mean 4, median 4.5; of 2 and 3, which are there twice, the first.
        let expected = [
            CellFill::Number(4.0),
            CellFill::Number(4.5),
            CellFill::Number(2.0),
            CellFill::Category("a".into()),
            CellFill::Number(-1.0),
        ];
        assert_eq!(found, expected);
        let error = find_fills(&[fill(4, FillRule::Mean)], &mut columns, &splits, &mut read).unwrap_err();
        assert!(
            error.to_string().contains("column `empty` holds nothing"),
            "{error}"
        );
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    }
}
