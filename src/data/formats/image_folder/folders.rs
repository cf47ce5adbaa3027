//! Which folder holds which class of which split.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::list;
use crate::data::error::DataError;
use crate::data::formats::image_files::is_image;
use crate::data::formats::split_names::{SplitHint, SplitWord};
use crate::data::formats::{is_hidden, name_of};
use crate::data::intake::Intake;
use crate::spec::{ImageFolderOptions, SplitFolders, SplitName};

/// The images of a class in a split.
pub(super) struct ClassFolder {
    pub split: SplitName,
    pub class: String,
    pub path: PathBuf,
}

/// What stands in a root, sorted by name.
struct FolderContents {
    /// Folders that are called as splits are and hold folders, deeper ones in place of those that hold nothing else.
    splits: Vec<(SplitName, PathBuf)>,
    /// The same that hold images and no folders.
    flat: Vec<(SplitName, PathBuf)>,
    /// All other folders with images.
    others: Vec<PathBuf>,
    /// Folders without any image.
    empty: Vec<PathBuf>,
    /// Files.
    files: Vec<PathBuf>,
}

/// The class folders of `root`, by split and in the order of their names: `SPLIT/CLASS`, `CLASS/SPLIT` or `CLASS`, as
/// `options` say or as the folders' names do.
///
/// Splits are known by many names, see [`SplitHint`]. Where it is not clear whether a folder is a split or a class,
/// that is an error which asks: a test set that becomes a class, or is left out, would go unnoticed.
pub(super) fn class_folders(
    options: &ImageFolderOptions,
    root: &Path,
    intake: &mut Intake<'_>,
) -> Result<Vec<ClassFolder>, DataError> {
    match &options.splits {
        Some(SplitFolders::Named(named)) => {
            let mut found = Vec::new();
            for (split, folder) in named.all() {
                let path = root.join(folder);
                if !path.is_dir() {
                    let problem = format!(
                        "`splits` names the {} split's folder `{folder}`, which is not here",
                        split.as_str()
                    );
                    return Err(DataError::input(root, problem));
                }
                found.push((split, path));
            }
            let (folders, files) = list(root)?;
            let is_named = |path: &PathBuf| found.iter().any(|(_, folder)| folder.starts_with(path));
            for path in folders.iter().chain(&files).filter(|path| !is_named(path)) {
                intake.ignore(path, "it is none of the folders that `splits` names");
            }
            of_splits(found, intake)
        }
        Some(SplitFolders::None(_)) => of_classes(root, intake),
        None => find(root, intake),
    }
}

/// As the folders' names tell.
fn find(root: &Path, intake: &mut Intake<'_>) -> Result<Vec<ClassFolder>, DataError> {
    let FolderContents {
        splits,
        flat,
        others,
        empty,
        files,
    } = FolderContents::of(root)?;
    let is_there = |wanted| splits.iter().any(|(split, _)| *split == wanted);
    let trains = is_there(SplitName::Train);
    let measures = is_there(SplitName::Val) || is_there(SplitName::Test);
    if splits.is_empty() {
        if flat.len() > 1 {
            let problem = format!(
                "{} are called as splits are, and hold images without class folders: sort the images into folders \
                 `SPLIT/CLASS`, or write `splits: none` if these are the classes",
                named(flat.iter().map(|(_, path)| path))
            );
            return Err(DataError::input(root, problem));
        }
        return of_classes_or_their_splits(root, intake);
    }
    if !trains && others.is_empty() && flat.iter().all(|(split, _)| *split != SplitName::Train) {
        return Err(DataError::input(root, "it has split folders, but no `train`"));
    }
    if !(trains && (others.is_empty() || measures && share_classes(&splits)?)) {
        let others = flat.iter().map(|(_, path)| path).chain(&others);
        let problem = format!(
            "it is not clear which folders are splits (called so: {}; not: {}): name them, as in `splits: {{train: {}, \
             test: ...}}` in `image_folder`, or write `splits: none` if all folders are classes",
            named(splits.iter().map(|(_, path)| path)),
            named(others),
            name_of(&splits[0].1),
        );
        return Err(DataError::input(root, problem));
    }
    for (split, path) in &flat {
        let why = format!(
            "its images are in no class folder, so they cannot be in the {} split",
            split.as_str()
        );
        intake.ignore(path, &why);
    }
    for path in &others {
        intake.ignore(
            path,
            "it is not called as a split is; if it is one, name it in `splits`",
        );
    }
    for path in &empty {
        intake.ignore(path, "it holds no image");
    }
    files
        .iter()
        .for_each(|path| intake.ignore(path, out_of_place(path)));
    of_splits(splits, intake)
}

impl FolderContents {
    fn of(root: &Path) -> Result<Self, DataError> {
        let (folders, files) = list(root)?;
        let mut contents = Self {
            splits: Vec::new(),
            flat: Vec::new(),
            others: Vec::new(),
            empty: Vec::new(),
            files,
        };
        let hints: Vec<Option<SplitHint>> = folders
            .iter()
            .map(|folder| SplitHint::of(&name_of(folder)))
            .collect();
        let others_are_tested = hints
            .iter()
            .flatten()
            .any(|hint| hint.word == SplitWord::Split(SplitName::Test));
        for (folder, hint) in folders.into_iter().zip(&hints) {
            // What else the name says must be what another split's says.
            let hint = hint.as_ref().filter(|hint| {
                let is_partner = |other: &SplitHint| other.rest == hint.rest && other.word != hint.word;
                hint.rest.is_empty() || hints.iter().flatten().any(is_partner)
            });
            if !holds_image(&folder) {
                contents.empty.push(folder);
                continue;
            }
            let Some(hint) = hint else {
                contents.others.push(folder);
                continue;
            };
            let split = match hint.word {
                SplitWord::Split(split) => split,
                SplitWord::Evaluation if others_are_tested => SplitName::Val,
                SplitWord::Evaluation => SplitName::Test,
            };
            let folder = innermost(folder, hint)?;
            match list(&folder)?.0.iter().any(|folder| holds_image(folder)) {
                true => contents.splits.push((split, folder)),
                false => contents.flat.push((split, folder)),
            }
        }
        for (index, (split, folder)) in contents.splits.iter().enumerate() {
            let same = contents.splits[..index].iter().find(|(other, _)| other == split);
            if let Some((_, first)) = same {
                let problem = format!(
                    "both `{}` and `{}` are the {} split: remove or rename one, or list both in `splits`",
                    name_of(first),
                    name_of(folder),
                    split.as_str()
                );
                return Err(DataError::input(root, problem));
            }
        }
        contents.splits.sort_unstable();
        Ok(contents)
    }
}

/// The folder inside that is called alike, if there is nothing but that one: `train` of `train/train`.
fn innermost(folder: PathBuf, hint: &SplitHint) -> Result<PathBuf, DataError> {
    let (folders, files) = list(&folder)?;
    let is_alike = |only: &Path| SplitHint::of(&name_of(only)).is_some_and(|inner| inner.word == hint.word);
    Ok(match &folders[..] {
        [only] if is_alike(only) && !files.iter().any(|file| is_image(file)) => only.clone(),
        _ => folder,
    })
}

/// Whether the training split and another have a class in common.
fn share_classes(splits: &[(SplitName, PathBuf)]) -> Result<bool, DataError> {
    let mut trained: Vec<String> = Vec::new();
    for (split, folder) in splits {
        let classes = list(folder)?
            .0
            .iter()
            .map(|class| name_of(class))
            .collect::<Vec<_>>();
        match split {
            SplitName::Train => trained = classes,
            _ if classes.iter().any(|class| trained.contains(class)) => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

/// The class folders in each of `splits`.
fn of_splits(
    splits: Vec<(SplitName, PathBuf)>,
    intake: &mut Intake<'_>,
) -> Result<Vec<ClassFolder>, DataError> {
    let mut found = Vec::new();
    for (split, folder) in splits {
        for path in classes_in(&folder, intake)? {
            found.push(ClassFolder {
                split,
                class: class_name(&path)?,
                path,
            });
        }
    }
    Ok(found)
}

/// The class folders in `root`, whatever they hold.
fn of_classes(root: &Path, intake: &mut Intake<'_>) -> Result<Vec<ClassFolder>, DataError> {
    of_splits(vec![(SplitName::Train, root.to_owned())], intake)
}

/// The class folders in `root`, or the folders in each of them that are called as splits are.
fn of_classes_or_their_splits(root: &Path, intake: &mut Intake<'_>) -> Result<Vec<ClassFolder>, DataError> {
    let mut with = Vec::new();
    let mut without = Vec::new();
    for class in of_classes(root, intake)? {
        match splits_of(&class.path)? {
            Some(splits) => with.push((class.class, splits)),
            None => without.push(class),
        }
    }
    let Some((class, _)) = with.first() else {
        tell_alike(&without, intake)?;
        return Ok(without);
    };
    if let Some(other) = without.first() {
        let problem = format!(
            "the class folder `{class}` holds folders that are called as splits are, and `{}` does not: sort the \
             images into folders `SPLIT/CLASS`, or write `splits: none` if all of them are to be trained on",
            other.class
        );
        return Err(DataError::input(root, problem));
    }
    let mut found = Vec::new();
    for (class, splits) in with {
        found.extend(splits.into_iter().map(|(split, path)| ClassFolder {
            split,
            class: class.clone(),
            path,
        }));
    }
    found.sort_by_key(|folder| folder.split);
    Ok(found)
}

/// The splits that a class's folder holds and nothing beside them, the training split among them.
fn splits_of(class: &Path) -> Result<Option<Vec<(SplitName, PathBuf)>>, DataError> {
    if list(class)?.0.is_empty() {
        return Ok(None);
    }
    let FolderContents {
        splits,
        flat,
        others,
        files,
        ..
    } = FolderContents::of(class)?;
    let mut found = [splits, flat].concat();
    found.sort_unstable();
    let is_split = matches!(
        found[..],
        [(SplitName::Train, _), .., (SplitName::Val | SplitName::Test, _)]
    );
    let is_all = others.is_empty() && !files.iter().any(|file| is_image(file));
    Ok((is_split && is_all).then_some(found))
}

/// Warns where all classes hold folders of the same names: they may be splits, and those the classes.
fn tell_alike(classes: &[ClassFolder], intake: &mut Intake<'_>) -> Result<(), DataError> {
    let mut common: Option<Vec<String>> = None;
    for class in classes {
        let (folders, files) = list(&class.path)?;
        let names: Vec<String> = folders.iter().map(|folder| name_of(folder)).collect();
        let is_alike = names.len() > 1 && common.as_ref().is_none_or(|common| *common == names);
        if !is_alike || files.iter().any(|file| is_image(file)) {
            return Ok(());
        }
        common = Some(names);
    }
    if let (Some(names), [first, second, ..]) = (common, classes) {
        intake.warn(format!(
            "the class folders `{}` and `{}` hold folders of the same names (`{}`, `{}`): if these are the classes, \
             name the splits, as in `splits: {{train: {}}}`",
            first.class, second.class, names[0], names[1], first.class
        ));
    }
    Ok(())
}

/// The class folders in `folder`, sorted by name.
fn classes_in(folder: &Path, intake: &mut Intake<'_>) -> Result<Vec<PathBuf>, DataError> {
    let (folders, files) = list(folder)?;
    if folders.is_empty() {
        let problem = "no class folder is here: `CLASS/IMAGE.jpg` or `train/CLASS/IMAGE.jpg` is expected";
        return Err(DataError::input(folder, problem));
    }
    files
        .iter()
        .for_each(|path| intake.ignore(path, out_of_place(path)));
    Ok(folders)
}

fn class_name(folder: &Path) -> Result<String, DataError> {
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| DataError::input(folder, "the class's name is not UTF-8: rename it"))?;
    Ok(name.to_owned())
}

/// Why a file that lies beside folders is left out.
fn out_of_place(file: &Path) -> &'static str {
    match is_image(file) {
        true => "it lies in no class folder",
        false => "it is not an image",
    }
}

/// Whether there is an image in `folder` or below it, going by the files' names.
fn holds_image(folder: &Path) -> bool {
    let walk = WalkDir::new(folder).follow_links(true).into_iter();
    walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()))
        .flatten()
        .any(|entry| !entry.file_type().is_dir() && is_image(entry.path()))
}

/// The names of some folders, the first three of them.
fn named<'a>(folders: impl Iterator<Item = &'a PathBuf>) -> String {
    let mut names: Vec<String> = folders.map(|folder| format!("`{}`", name_of(folder))).collect();
    if names.len() > 3 {
        names.truncate(3);
        names.push("...".into());
    }
    names.join(", ")
}
