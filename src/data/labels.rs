//! From labels as texts to class indices.

mod alike;

use std::collections::{HashMap, HashSet};

use super::decimal::Decimal;

/// The classes of a dataset, once every label has been seen.
#[derive(Debug)]
pub struct Classes {
    /// The names, in the order of the final indices.
    pub names: Vec<String>,
    /// What each index that was handed out while reading became; nothing where all stayed the same.
    pub renumbered: Option<Vec<u32>>,
}

impl Classes {
    /// Classes that were known before the first sample.
    pub fn known(names: Vec<String>) -> Self {
        Self {
            names,
            renumbered: None,
        }
    }

    /// A sentence for each class that is probably meant to be one with another.
    pub(super) fn alike(&self) -> Vec<String> {
        alike_names(&self.names, "classes", "")
    }

    /// The classes that are what people write for a value that is missing.
    pub(super) fn nothings(&self) -> Vec<&str> {
        let names = self.names.iter().map(String::as_str);
        names.filter(|name| is_nothing(name)).collect()
    }
}

/// A sentence for each two of `names` that are probably meant to be one: `what` they are, and `of` what.
pub(super) fn alike_names(names: &[String], what: &str, of: &str) -> Vec<String> {
    alike::alike(names, what, of)
}

/// What texts have in common that are equal but for case, blanks, how letters are encoded, or that are one number.
pub(super) fn alike_key(text: &str) -> String {
    alike::key(text)
}

/// Whether two names are equal but for case, blanks, or how letters or a number are written.
pub(super) fn is_alike(left: &str, right: &str) -> bool {
    alike::key(left) == alike::key(right)
}

/// Numbers labels in the order in which they turn up.
#[derive(Default)]
pub struct LabelIndex {
    indices: HashMap<String, u32>,
}

impl LabelIndex {
    /// The index of `label`, for now.
    pub fn index(&mut self, label: &str) -> u32 {
        if let Some(index) = self.indices.get(label) {
            return *index;
        }
        // A dataset holds fewer than 2^32 samples, so there are no more labels than that.
        let index = self.indices.len() as u32;
        self.indices.insert(label.to_owned(), index);
        index
    }

    /// The index of `label` if it has turned up before.
    pub fn known(&self, label: &str) -> Option<u32> {
        self.indices.get(label).copied()
    }

    /// The classes in the order of `names`; those that are not among them follow in their own order.
    pub fn classes_in(self, names: &[String]) -> Classes {
        let (mut known, mut others) = (Vec::new(), Vec::new());
        for name in names {
            known.extend(self.indices.get(name).map(|index| (name.clone(), *index)));
        }
        let is_known: HashSet<&String> = names.iter().collect();
        let rest = self.indices.iter().filter(|(name, _)| !is_known.contains(name));
        others.extend(rest.map(|(name, index)| (name.clone(), *index)));
        others.sort_unstable();
        let mut renumbered = vec![0; self.indices.len()];
        let mut names = Vec::new();
        for (new, (name, old)) in (0u32..).zip(known.into_iter().chain(others)) {
            renumbered[old as usize] = new;
            names.push(name);
        }
        Classes {
            names,
            renumbered: Some(renumbered),
        }
    }

    /// The classes in order: by number when all labels are numbers, else as texts.
    ///
    /// Numbers that are written in several ways, as `1` and `1.0`, are one class under its shortest name;
    /// but codes that begin with zeros, as `01`, stay what they are.
    pub fn classes(self) -> Classes {
        let mut labels: Vec<(String, u32)> = self.indices.into_iter().collect();
        labels.sort_unstable();
        let numbers: Option<Vec<Decimal>> = labels.iter().map(|(label, _)| Decimal::parse(label)).collect();
        let mut renumbered = vec![0; labels.len()];
        let mut names: Vec<String> = Vec::new();
        let Some(numbers) = numbers else {
            for (new, (label, old)) in (0u32..).zip(labels) {
                renumbered[old as usize] = new;
                names.push(label);
            }
            return Classes {
                names,
                renumbered: Some(renumbered),
            };
        };
        let are_codes = numbers.iter().any(Decimal::begins_with_zeros);
        let mut labels: Vec<(Decimal, (String, u32))> = numbers.into_iter().zip(labels).collect();
        labels.sort_by(|(left, (left_name, _)), (right, (right_name, _))| {
            let by_length = left_name.len().cmp(&right_name.len());
            left.cmp(right)
                .then(by_length)
                .then_with(|| left_name.cmp(right_name))
        });
        let mut last: Option<Decimal> = None;
        for (number, (label, old)) in labels {
            if are_codes || last.as_ref() != Some(&number) {
                names.push(label);
            }
            last = Some(number);
            renumbered[old as usize] = names.len() as u32 - 1;
        }
        Classes {
            names,
            renumbered: Some(renumbered),
        }
    }
}

/// The classes of several inputs.
#[derive(Default)]
pub(super) struct MergedClasses {
    index: LabelIndex,
    /// Those of the first input, in their order.
    first: Option<Vec<String>>,
    /// Whether another input has others.
    differ: bool,
}

impl MergedClasses {
    /// Takes the classes of one more input, and gives the number that each index which was handed out
    /// while that was read has now.
    pub fn add(&mut self, classes: &Classes) -> Vec<u32> {
        match &self.first {
            None => self.first = Some(classes.names.clone()),
            Some(first) => self.differ |= *first != classes.names,
        }
        let numbers: Vec<u32> = classes.names.iter().map(|name| self.index.index(name)).collect();
        match &classes.renumbered {
            None => numbers,
            Some(renumbered) => renumbered.iter().map(|class| numbers[*class as usize]).collect(),
        }
    }

    /// All classes: as the inputs have them where they all have the same, else in order.
    pub fn finish(self) -> Classes {
        match self.first {
            Some(names) if !self.differ => Classes::known(names),
            _ => self.index.classes(),
        }
    }
}

/// Whether a cell holds nothing: it is empty or one of `spellings`. Where these are not given also what people usually
/// write for it, where a number or a date is wanted; among texts that may be a text like others.
pub(super) fn holds_nothing(text: &str, is_text: bool, spellings: Option<&[String]>) -> bool {
    text.is_empty()
        || match spellings {
            Some(spellings) => spellings.iter().any(|spelling| spelling == text),
            None => !is_text && is_nothing(text),
        }
}

/// Whether a text is one of those that people and programs write for a value that is missing.
pub(super) fn is_nothing(text: &str) -> bool {
    const SPELLINGS: &[&str] = &[
        "", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "nil", "nat", "missing", "?", "-",
        "--", ".", "#null!", "#value!", "#ref!", "#div/0!", "#num!", "#name?",
    ];
    let lower = text.to_ascii_lowercase();
    SPELLINGS.contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(labels: &[&str]) -> Classes {
        let mut index = LabelIndex::default();
        for label in labels {
            index.index(label);
        }
        index.classes()
    }

    #[test]
    fn numbers_sort_as_numbers_and_others_as_texts() {
        let classes = sorted(&["10", "9", "-1", "9"]);
        assert_eq!(classes.names, ["-1", "9", "10"]);
        assert_eq!(classes.renumbered.unwrap(), [2, 1, 0]);
        assert_eq!(sorted(&["10", "9", "cat"]).names, ["10", "9", "cat"]);
        assert_eq!(sorted(&["1.0", "10.0", "2.0"]).names, ["1.0", "2.0", "10.0"]);
        assert_eq!(sorted(&["+1", "-1", "0"]).names, ["-1", "0", "+1"]);
        assert_eq!(sorted(&["1e3", "20", ".5"]).names, [".5", "20", "1e3"]);
    }

    #[test]
    fn numbers_written_in_two_ways_are_one_class() {
        let classes = sorted(&["1.0", "10", "2", "1", "10.00", "-0", "0"]);
        assert_eq!(classes.names, ["0", "1", "2", "10"]);
        assert_eq!(classes.renumbered.as_deref().unwrap(), [1, 3, 2, 1, 3, 0, 0]);
        assert!(classes.alike().is_empty());
        // Larger than any number of a machine, and not the same.
        let long = sorted(&["90071992547409930001", "90071992547409930000"]);
        assert_eq!(long.names, ["90071992547409930000", "90071992547409930001"]);
    }

    #[test]
    fn classes_keep_an_order_that_is_given() {
        let mut index = LabelIndex::default();
        for label in ["b", "z", "a", "b", "y"] {
            index.index(label);
        }
        let given = ["z", "c", "b", "a"].map(str::to_owned);
        let classes = index.classes_in(&given);
        assert_eq!(classes.names, ["z", "b", "a", "y"]);
        assert_eq!(classes.renumbered.unwrap(), [1, 0, 2, 3]);
    }

    #[test]
    fn classes_of_several_inputs_are_merged() {
        let mut merged = MergedClasses::default();
        assert_eq!(merged.add(&sorted(&["b", "a"])), [1, 0]);
        assert_eq!(merged.add(&Classes::known(vec!["a".into(), "b".into()])), [0, 1]);
        assert_eq!(merged.finish().names, ["a", "b"]);
        let mut merged = MergedClasses::default();
        assert_eq!(merged.add(&sorted(&["c", "b"])), [1, 0]);
        assert_eq!(merged.add(&sorted(&["a", "c"])), [2, 1]);
        let classes = merged.finish();
        assert_eq!(classes.names, ["a", "b", "c"]);
        assert_eq!(classes.renumbered.unwrap(), [1, 2, 0]);
    }

    #[test]
    fn what_people_write_for_nothing_is_found() {
        assert_eq!(sorted(&["NaN", "n/a", "cat"]).nothings(), ["NaN", "n/a"]);
        assert!(sorted(&["nano", "Nile", "0"]).nothings().is_empty());
    }
}
