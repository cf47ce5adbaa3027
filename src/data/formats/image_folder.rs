//! Folders of images: `SPLIT/CLASS/*`, or `CLASS/*` where there are no split folders.

mod decoded;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{FormatReader, entries, is_hidden, name_of};
use crate::data::decode::MOST_VALUES;
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::Classes;
use crate::spec::{ImageFolderOptions, SplitName, StoredAs};

impl FormatReader for ImageFolderOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        read(self, input, intake).map(Some)
    }
}

/// Reads a folder of jpg, jpeg and png images. Classes are sorted by name; an archive's single top
/// folder is looked through; images may lie deeper than directly in their class's folder. As in
/// torchvision, EXIF orientation is not applied and an alpha channel is dropped.
///
/// Every image is decoded, also where the dataset will hold the files: a bad one is found here and
/// not in the middle of a training.
fn read(options: &ImageFolderOptions, input: &Path, intake: &mut Intake<'_>) -> Result<Classes, DataError> {
    check(options)?;
    let root = find_root(input)?;
    let mut splits = Vec::new();
    match split_folders(&root, intake)? {
        Some(folders) => {
            for (split, folder) in folders {
                splits.push((split, class_folders(&folder, intake)?, folder));
            }
        }
        None => splits.push((SplitName::Train, class_folders(&root, intake)?, root.clone())),
    }
    let names = class_names(&splits)?;

    let mut files = Vec::new();
    for (split, classes, _) in &splits {
        for folder in classes {
            let Ok(label) = names.binary_search(&name_of(folder)) else {
                continue;
            };
            let found = image_files(folder, intake)?;
            if found.is_empty() {
                let problem = "this class folder has no jpg, jpeg or png image: add some, or remove it";
                return Err(DataError::input(folder, problem));
            }
            files.extend(found.into_iter().map(|path| File {
                split: *split,
                label: label as u32,
                path,
            }));
        }
    }
    intake.expect(files.len() as u64);
    decoded::read_files(options, &root, &files, intake)?;
    Ok(Classes::known(names))
}

/// Checks the options that no file is needed for.
fn check(options: &ImageFolderOptions) -> Result<(), DataError> {
    let Some([height, width]) = options.size.map(|size| size.map(|side| side.get() as usize)) else {
        return Ok(());
    };
    if options.store == StoredAs::Files {
        return Err(DataError::Options(format!(
            "`size: [{height}, {width}]` resizes the pixels of a dataset, and with `store: files` it holds the \
             files as they are: remove `size`, and add `resize: {{size: [{height}, {width}]}}` to the training's \
             `augment` and `eval_transforms`"
        )));
    }
    let values = height
        .saturating_mul(width)
        .saturating_mul(options.color.channels());
    if values > MOST_VALUES {
        return Err(DataError::Options(format!(
            "`size: [{height}, {width}]` is too large: give a smaller one"
        )));
    }
    Ok(())
}

/// An image that is to be read.
struct File {
    split: SplitName,
    label: u32,
    path: PathBuf,
}

/// Goes down while there is nothing but one folder that holds folders.
fn find_root(input: &Path) -> Result<PathBuf, DataError> {
    if !input.is_dir() {
        let problem = "a folder of images is expected here; was the archive unpacked (`unpack: true`)?";
        return Err(DataError::input(input, problem));
    }
    let mut root = input.to_owned();
    loop {
        let (folders, files) = list(&root)?;
        match &folders[..] {
            [only] if split_name(only).is_none() && files.is_empty() && !list(only)?.0.is_empty() => {
                root.clone_from(only);
            }
            _ => return Ok(root),
        }
    }
}

/// The folders and the files in `folder`.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), DataError> {
    Ok(entries(folder)?.into_iter().partition(|path| path.is_dir()))
}

/// The split that a folder's name means.
fn split_name(folder: &Path) -> Option<SplitName> {
    match name_of(folder).to_ascii_lowercase().as_str() {
        "train" => Some(SplitName::Train),
        "val" | "valid" | "validation" => Some(SplitName::Val),
        "test" => Some(SplitName::Test),
        _ => None,
    }
}

/// The split folders in `root`, if it has a `train` folder that holds folders.
fn split_folders(
    root: &Path,
    intake: &mut Intake<'_>,
) -> Result<Option<Vec<(SplitName, PathBuf)>>, DataError> {
    let (folders, files) = list(root)?;
    let mut splits: Vec<(SplitName, PathBuf)> = Vec::new();
    let mut others = files;
    for folder in folders {
        let Some(split) = split_name(&folder) else {
            others.push(folder);
            continue;
        };
        if let Some((_, first)) = splits.iter().find(|(other, _)| *other == split) {
            let problem = format!(
                "both `{}` and `{}` are the {} split: remove or rename one",
                name_of(first),
                name_of(&folder),
                split.as_str()
            );
            return Err(DataError::input(root, problem));
        }
        splits.push((split, folder));
    }
    splits.sort_unstable();
    match splits.first() {
        Some((SplitName::Train, folder)) if !list(folder)?.0.is_empty() => {
            others.iter().for_each(|path| intake.ignore(path));
            Ok(Some(splits))
        }
        Some((SplitName::Val | SplitName::Test, folder))
            if others.is_empty() && !list(folder)?.0.is_empty() =>
        {
            Err(DataError::input(root, "it has split folders, but no `train`"))
        }
        _ => Ok(None),
    }
}

/// The class folders in `folder`, sorted by name.
fn class_folders(folder: &Path, intake: &mut Intake<'_>) -> Result<Vec<PathBuf>, DataError> {
    let (folders, files) = list(folder)?;
    if folders.is_empty() {
        let problem = "no class folder is here: `CLASS/IMAGE.jpg` or `train/CLASS/IMAGE.jpg` is expected";
        return Err(DataError::input(folder, problem));
    }
    files.iter().for_each(|path| intake.ignore(path));
    Ok(folders)
}

/// The names of the classes: those of the train split. Other splits may lack some of them, which the
/// intake warns of, but have no more. They are sorted, as folders are.
fn class_names(splits: &[(SplitName, Vec<PathBuf>, PathBuf)]) -> Result<Vec<String>, DataError> {
    let mut names: Vec<String> = Vec::new();
    for (split, classes, folder) in splits {
        let mut here = Vec::new();
        for class in classes {
            let name = class.file_name().and_then(|name| name.to_str());
            let name =
                name.ok_or_else(|| DataError::input(class, "the class's name is not UTF-8: rename it"))?;
            here.push(name.to_owned());
        }
        if *split == SplitName::Train {
            names = here;
            continue;
        }
        if let Some(extra) = here.iter().find(|name| names.binary_search(name).is_err()) {
            let problem = format!(
                "class `{extra}` is missing in the train split: add samples of it there, or remove it"
            );
            return Err(DataError::input(folder, problem));
        }
    }
    Ok(names)
}

/// The images in `folder` and below, sorted by path.
fn image_files(folder: &Path, intake: &mut Intake<'_>) -> Result<Vec<PathBuf>, DataError> {
    let walk = WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter();
    let mut files = Vec::new();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        intake.tick()?;
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            DataError::io("list", &path)(error.into())
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        let extension = entry.path().extension().map(|text| text.to_ascii_lowercase());
        match extension.as_deref().and_then(|text| text.to_str()) {
            Some("jpg" | "jpeg" | "png") => files.push(entry.into_path()),
            _ => intake.ignore(entry.path()),
        }
    }
    Ok(files)
}
