//! Paths in the input, of all splits by one pattern or of each by its own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::evaluate::SplitName;
use crate::spec::mistake::Mistake;
use crate::spec::validate::is_inside;

/// A path in the input: one in which `{split}` stands for `train`, `val` and `test`, or what else these are called; one without
/// it, of training samples alone; or one for each split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a path such as `{split}/images`, or one for each split"
)]
pub enum SplitPaths {
    /// Of all splits.
    Pattern(String),
    /// Of each split.
    BySplit(BTreeMap<SplitName, String>),
}

impl SplitPaths {
    /// What stands for a split in a pattern.
    pub const SPLIT: &'static str = "{split}";

    /// A pattern.
    pub(super) fn pattern(pattern: &str) -> Self {
        Self::Pattern(pattern.to_owned())
    }

    /// Whether it tells splits apart.
    pub fn has_splits(&self) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.contains(Self::SPLIT),
            Self::BySplit(_) => true,
        }
    }

    /// Whether there may be a validation split.
    pub(super) fn brings_val(&self) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.contains(Self::SPLIT),
            Self::BySplit(paths) => paths.contains_key(&SplitName::Val),
        }
    }

    /// What is wrong with the paths of the option `field`: they lead out of the input, or there is none to train on.
    pub(super) fn mistakes(&self, field: &str) -> Vec<Mistake> {
        let outside = |at: Vec<String>, path: &str| {
            Mistake::new(at, format!("`{path}` is no path in the input"))
                .help("give the path from the input on, such as `train/images`")
        };
        let mut mistakes = Vec::new();
        match self {
            Self::Pattern(pattern) => {
                let parts = pattern.matches(Self::SPLIT).count();
                if !is_inside(pattern) {
                    mistakes.push(outside(vec![field.to_owned()], pattern));
                } else if parts > 1 {
                    let message = format!("`{pattern}` has `{{split}}` {parts} times");
                    mistakes.push(
                        Mistake::new([field], message).help("write it once, or give a path for each split"),
                    );
                }
            }
            Self::BySplit(paths) => {
                if !paths.contains_key(&SplitName::Train) {
                    let message = format!("`{field}` names no files to train on");
                    mistakes.push(Mistake::new([field], message).help("name those of the `train` split too"));
                }
                for (split, path) in paths.iter().filter(|(_, path)| !is_inside(path)) {
                    mistakes.push(outside(vec![field.to_owned(), split.as_str().to_owned()], path));
                }
            }
        }
        mistakes
    }

    /// What is wrong with `other`, of the option `field`, beside these of the option `own`: it has splits that these have not.
    pub(super) fn mismatch(&self, own: &str, other: &Self, field: &str) -> Option<Mistake> {
        match (self, other) {
            (Self::BySplit(paths), Self::BySplit(others)) => {
                let lacks = |one: &BTreeMap<SplitName, String>, two: &BTreeMap<SplitName, String>| {
                    one.keys().find(|split| !two.contains_key(*split)).copied()
                };
                let (split, with, without) = match (lacks(paths, others), lacks(others, paths)) {
                    (Some(split), _) => (split, own, field),
                    (None, Some(split)) => (split, field, own),
                    (None, None) => return None,
                };
                let split = split.as_str();
                let message = format!("`{with}` names the {split} split, and `{without}` does not");
                Some(Mistake::new([without], message).help("name the same splits in both"))
            }
            // One folder may hold the files of all splits.
            (_, Self::Pattern(pattern)) if !pattern.contains(Self::SPLIT) => None,
            (Self::Pattern(pattern), Self::Pattern(_)) if !pattern.contains(Self::SPLIT) => {
                let message = format!("`{field}` has `{{split}}`, and `{own}` has not");
                Some(Mistake::new([own], message).help("write it in both"))
            }
            (Self::Pattern(_), Self::Pattern(_)) => None,
            _ => {
                let message = format!(
                    "one of `{own}` and `{field}` is given for each split, and the other by a pattern"
                );
                Some(Mistake::new([field], message).help("write both in the same way"))
            }
        }
    }
}

/// What is wrong with a list of classes: a class twice, or none.
pub(super) fn class_list_mistakes(classes: &[String]) -> Vec<Mistake> {
    if classes.is_empty() {
        let message = "there are no classes";
        return vec![Mistake::new(["classes"], message).help("name some, such as [cat, dog]")];
    }
    let mut twice = (0..classes.len()).filter(|place| classes[..*place].contains(&classes[*place]));
    let mistake = |place: usize| {
        let message = format!("the class `{}` is named twice", classes[place]);
        Mistake::new(["classes".to_owned(), place.to_string()], message)
            .help("give each class a name of its own")
    };
    twice.next().map(mistake).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::spec::Format;

    #[test]
    fn contradictions_are_told() {
        for (given, told) in [
            (
                json!({"coco": {"annotations": "../{split}.json", "images": "images"}}),
                vec!["`../{split}.json` is no path in the input"],
            ),
            (
                json!({"coco": {"annotations": "{split}/{split}.json", "images": "images"}}),
                vec!["`{split}/{split}.json` has `{split}` 2 times"],
            ),
            (
                json!({"coco": {"annotations": {"val": "a.json"}, "images": "images"}}),
                vec!["`annotations` names no files to train on"],
            ),
            (
                json!({"coco": {"annotations": {"train": "a", "val": "b"}, "images": {"train": "a"}}}),
                vec!["`annotations` names the val split, and `images` does not"],
            ),
            (
                json!({"coco": {"annotations": "a.json", "images": "{split}"}}),
                vec!["`images` has `{split}`, and `annotations` has not"],
            ),
            (
                json!({"coco": {"annotations": "a", "images": "b", "task": "segmentation", "classes": ["background"]}}),
                vec!["`background` is the name of a class and of the background"],
            ),
            (
                json!({"voc": {"lists": {"train": "a.txt"}, "images": "{split}"}}),
                vec!["one of `lists` and `images` is given for each split, and the other by a pattern"],
            ),
            (
                json!({"voc": {"classes": ["a", "b", "a"]}}),
                vec!["the class `a` is named twice"],
            ),
            (json!({"yolo": {"classes": []}}), vec!["there are no classes"]),
            (
                json!({"yolo": {"classes": ["a"], "data": "../data.yaml"}}),
                vec![
                    "`classes` and `data` both name the classes",
                    "`../data.yaml` is no file of the input",
                ],
            ),
            (json!({"voc": {}}), vec![]),
            (
                json!({"voc": {"lists": "ImageSets/Main/{split}.txt", "origin": 0}}),
                vec![],
            ),
            (json!({"yolo": {}}), vec![]),
        ] {
            let format: Format = serde_json::from_value(given.clone()).unwrap();
            let mistakes = format.mistakes();
            let found: Vec<&str> = mistakes.iter().map(|mistake| mistake.message.as_str()).collect();
            assert_eq!(found, told, "{given}");
        }
        let wrong = json!({"voc": {"origin": 2}});
        assert!(
            serde_json::from_value::<Format>(wrong)
                .unwrap_err()
                .to_string()
                .contains("from 0 or from 1")
        );
    }
}
