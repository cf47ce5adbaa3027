//! Which files and folders are those of which split.

use std::path::{Path, PathBuf};

use super::split_names::{SplitHint, SplitWord};
use super::{entries, name_of};
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::spec::{SplitName, SplitPaths};

/// A split, and what stands for `{split}` in its paths.
pub(super) type SplitWording = (SplitName, String);

/// The splits that `paths`, the option `field`, finds in `root`, the training split first. `is_there` says whether a path is what is
/// looked for.
pub(super) fn found_splits(
    paths: &SplitPaths,
    field: &str,
    root: &Path,
    is_there: impl Fn(&Path) -> bool,
    intake: &Intake<'_>,
) -> Result<Vec<SplitWording>, DataError> {
    match paths {
        SplitPaths::Pattern(pattern) if pattern.contains(SplitPaths::SPLIT) => {
            let words = split_words(root, pattern, is_there)?;
            words_of_splits(words, root, field, pattern, intake)
        }
        SplitPaths::Pattern(_) => Ok(vec![(SplitName::Train, String::new())]),
        SplitPaths::BySplit(paths) => Ok(paths.keys().map(|split| (*split, String::new())).collect()),
    }
}

/// Whether `paths` finds anything in `root`.
pub(super) fn is_found(
    paths: &SplitPaths,
    root: &Path,
    is_there: impl Fn(&Path) -> bool,
) -> Result<bool, DataError> {
    match paths {
        SplitPaths::Pattern(pattern) => Ok(!split_words(root, pattern, is_there)?.is_empty()),
        SplitPaths::BySplit(paths) => Ok(paths.values().any(|path| is_there(&root.join(path)))),
    }
}

/// The path of a split; nothing where there is none for it.
pub(super) fn path_of(paths: &SplitPaths, root: &Path, (split, word): &SplitWording) -> Option<PathBuf> {
    match paths {
        SplitPaths::Pattern(pattern) => Some(root.join(pattern.replace(SplitPaths::SPLIT, word))),
        SplitPaths::BySplit(paths) => Some(root.join(paths.get(split)?)),
    }
}

/// How `paths` is told in messages.
pub(super) fn told(paths: &SplitPaths) -> String {
    match paths {
        SplitPaths::Pattern(pattern) => pattern.clone(),
        SplitPaths::BySplit(paths) => paths.values().next().cloned().unwrap_or_default(),
    }
}

/// Which of `words`, found by `pattern` of the option `field`, are splits, the training split first.
pub(super) fn words_of_splits(
    found: Vec<String>,
    root: &Path,
    field: &str,
    pattern: &str,
    intake: &Intake<'_>,
) -> Result<Vec<SplitWording>, DataError> {
    let place = |word: &str| root.join(pattern.replace(SplitPaths::SPLIT, word));
    let mut words = Vec::new();
    for word in found {
        match SplitHint::of(&word) {
            Some(hint) if hint.rest.is_empty() => words.push((hint.word, word)),
            Some(_) => intake.warn(format!(
                "`{}` is left out: it is called neither train, val nor test",
                place(&word).display()
            )),
            // What is called otherwise is no split.
            None => {}
        }
    }
    let is_tested = words
        .iter()
        .any(|(word, _)| *word == SplitWord::Split(SplitName::Test));
    let mut splits: Vec<SplitWording> = Vec::new();
    for (meaning, word) in words {
        let split = match meaning {
            SplitWord::Split(split) => split,
            SplitWord::Evaluation if is_tested => SplitName::Val,
            SplitWord::Evaluation => SplitName::Test,
        };
        if let Some((_, other)) = splits.iter().find(|(other, _)| *other == split) {
            let problem = format!(
                "both `{}` and `{}` are the {} split: remove or rename one",
                place(other).display(),
                place(&word).display(),
                split.as_str()
            );
            return Err(DataError::input(root, problem));
        }
        splits.push((split, word));
    }
    if splits.iter().all(|(split, _)| *split != SplitName::Train) {
        let what = if pattern.contains('.') { "files" } else { "folders" };
        let problem = format!("`{field}: {pattern}` finds no training split: call one of the {what} `train`");
        return Err(DataError::input(root, problem));
    }
    splits.sort_by_key(|(split, _)| *split);
    Ok(splits)
}

/// What stands for `{split}` in the paths of `root` that are as `pattern` says; something where the pattern has no
/// `{split}` and the path is there.
pub(super) fn split_words(
    root: &Path,
    pattern: &str,
    is_there: impl Fn(&Path) -> bool,
) -> Result<Vec<String>, DataError> {
    let Some((before, behind)) = pattern.split_once(SplitPaths::SPLIT) else {
        let found = is_there(&root.join(pattern)).then(String::new);
        return Ok(found.into_iter().collect());
    };
    let (parent, start) = before.rsplit_once('/').unwrap_or(("", before));
    let end = behind.split('/').next().unwrap_or("");
    let parent = root.join(parent);
    if !parent.is_dir() {
        return Ok(Vec::new());
    }
    let mut words = Vec::new();
    for path in entries(&parent)? {
        let name = name_of(&path);
        let word = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        if let Some(word) = word.filter(|word| SplitHint::of(word).is_some())
            && is_there(&root.join(pattern.replace(SplitPaths::SPLIT, word)))
        {
            words.push(word.to_owned());
        }
    }
    Ok(words)
}
