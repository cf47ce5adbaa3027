//! From labels as texts to class indices.

use std::collections::HashMap;

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

    /// The classes in order: by number when all labels are integers, else as texts.
    pub fn classes(self) -> Classes {
        let mut labels: Vec<(String, u32)> = self.indices.into_iter().collect();
        let numbers: Option<HashMap<u32, i64>> = labels
            .iter()
            .map(|(label, index)| Some((*index, label.parse().ok()?)))
            .collect();
        match numbers {
            Some(numbers) => {
                labels.sort_unstable_by(|left, right| {
                    (numbers[&left.1], &left.0).cmp(&(numbers[&right.1], &right.0))
                });
            }
            None => labels.sort_unstable(),
        }
        let mut renumbered = vec![0; labels.len()];
        for (new, (_, old)) in (0u32..).zip(&labels) {
            renumbered[*old as usize] = new;
        }
        Classes {
            names: labels.into_iter().map(|(label, _)| label).collect(),
            renumbered: Some(renumbered),
        }
    }
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
    fn integers_sort_as_numbers_and_others_as_texts() {
        let classes = sorted(&["10", "9", "-1", "9"]);
        assert_eq!(classes.names, ["-1", "9", "10"]);
        assert_eq!(classes.renumbered.unwrap(), [2, 1, 0]);
        assert_eq!(sorted(&["10", "9", "cat"]).names, ["10", "9", "cat"]);
    }
}
