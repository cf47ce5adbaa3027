//! What people call the folders of splits.

use crate::spec::SplitName;

/// Words for the samples to fit.
const TRAIN: [&str; 4] = ["train", "training", "trn", "trainval"];

/// Words for the samples to choose by.
const VAL: [&str; 8] = [
    "val",
    "valid",
    "validation",
    "validate",
    "dev",
    "devel",
    "development",
    "vali",
];

/// Words for the samples to judge by.
const TEST: [&str; 5] = ["test", "testing", "tst", "holdout", "heldout"];

/// Words for samples to judge by, or to choose by where others are there to judge by.
const EVALUATION: [&str; 3] = ["eval", "evaluation", "evaluate"];

/// What may stand beside the word and says nothing.
const FILLERS: [&str; 19] = [
    "set", "sets", "data", "dataset", "split", "splits", "image", "images", "img", "imgs", "picture",
    "pictures", "photo", "photos", "sample", "samples", "file", "files", "folder",
];

/// A folder that is called as a split is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SplitHint {
    /// Which split, as far as the word says it.
    pub word: SplitWord,
    /// What else its name says: `seg` of `seg_train`. Splits of one dataset have it in common.
    pub rest: Vec<String>,
}

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SplitWord {
    /// A split.
    Split(SplitName),
    /// The test split; the validation split where there is another to test on.
    Evaluation,
}

impl SplitHint {
    /// What `name` says, if it says anything of a split: neither case nor numbers matter, nor what parts words.
    pub fn of(name: &str) -> Option<Self> {
        let mut found = None;
        let mut rest = Vec::new();
        for word in words(name) {
            match meaning(&word) {
                Some(_) if found.is_some() => return None,
                Some(meaning) => found = Some(meaning),
                None if is_filler(&word) => {}
                None => rest.push(word),
            }
        }
        Some(Self { word: found?, rest })
    }
}

/// What a word means; `trainset` and the like are one word.
fn meaning(word: &str) -> Option<SplitWord> {
    let joined = FILLERS.iter().filter_map(|filler| word.strip_suffix(filler));
    std::iter::once(word).chain(joined).find_map(|word| {
        if TRAIN.contains(&word) {
            Some(SplitWord::Split(SplitName::Train))
        } else if VAL.contains(&word) {
            Some(SplitWord::Split(SplitName::Val))
        } else if TEST.contains(&word) {
            Some(SplitWord::Split(SplitName::Test))
        } else if EVALUATION.contains(&word) {
            Some(SplitWord::Evaluation)
        } else {
            None
        }
    })
}

fn is_filler(word: &str) -> bool {
    FILLERS.contains(&word) || word.chars().all(|letter| letter.is_ascii_digit())
}

/// The words of a name in lower case: letters in a row, a capital after a small letter beginning a new one, or digits
/// in a row.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before: Option<char> = None;
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            before = None;
            continue;
        }
        let goes_on = before.is_some_and(|before| {
            let turns = before.is_lowercase() && letter.is_uppercase();
            before.is_ascii_digit() == letter.is_ascii_digit() && !turns
        });
        match words.last_mut() {
            Some(word) if goes_on => word.extend(letter.to_lowercase()),
            _ => words.push(letter.to_lowercase().collect()),
        }
        before = Some(letter);
    }
    // `hold-out` is one word.
    if let Some(at) = words
        .windows(2)
        .position(|pair| TEST.contains(&pair.concat().as_str()))
    {
        let second = words.remove(at + 1);
        words[at].push_str(&second);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(name: &str) -> Option<(SplitWord, String)> {
        SplitHint::of(name).map(|hint| (hint.word, hint.rest.join(" ")))
    }

    #[test]
    fn splits_are_known_by_what_people_call_them() {
        use SplitName::{Test, Train, Val};
        for (split, names) in [
            (
                Train,
                &[
                    "train",
                    "Training",
                    "TRAIN",
                    "train_set",
                    "TrainImages",
                    "trainset",
                    "train2017",
                    "training-data",
                ][..],
            ),
            (
                Val,
                &[
                    "val",
                    "valid",
                    "Validation",
                    "dev",
                    "Dev Set",
                    "val2017",
                    "validationset",
                    "development",
                ],
            ),
            (
                Test,
                &[
                    "test",
                    "Testing",
                    "TestSet",
                    "test_images",
                    "holdout",
                    "hold-out",
                    "held_out",
                    "Test 2",
                ],
            ),
        ] {
            for name in names {
                assert_eq!(
                    hint(name),
                    Some((SplitWord::Split(split), String::new())),
                    "{name}"
                );
            }
        }
        for name in ["eval", "Evaluation", "eval_set"] {
            assert_eq!(hint(name), Some((SplitWord::Evaluation, String::new())), "{name}");
        }
        assert_eq!(hint("seg_train"), Some((SplitWord::Split(Train), "seg".into())));
        assert_eq!(hint("test tube"), Some((SplitWord::Split(Test), "tube".into())));
        for name in [
            "trains",
            "bus",
            "pretraining",
            "testament",
            "2017",
            "",
            "été",
            "hold",
            "train-test",
            "images",
            "valley",
        ] {
            assert_eq!(hint(name), None, "{name}");
        }
    }
}
