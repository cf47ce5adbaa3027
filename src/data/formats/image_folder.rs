//! Folders of images: `SPLIT/CLASS/*`, `CLASS/SPLIT/*`, or `CLASS/*` where there are no split folders.

mod folders;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::image_files::{ImageFile, ImageReader, is_image};
use super::split_names::SplitHint;
use super::{FormatReader, entries, is_hidden, name_of};
use crate::data::error::DataError;
use crate::data::field_names::CLASS;
use crate::data::intake::{Intake, SplitPlace};
use crate::data::labels::{Classes, is_alike};
use crate::data::record_targets::RecordTarget;
use crate::schema::Field;
use crate::spec::{ImageFolderOptions, SplitName};
use folders::{ClassFolder, class_folders};

impl FormatReader for ImageFolderOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        read(self, input, intake).map(Some)
    }
}

/// Reads a folder of images. Classes are sorted by name; an archive's single top folder is looked through; images may
/// lie deeper than directly in their class's folder.
fn read(options: &ImageFolderOptions, input: &Path, intake: &mut Intake<'_>) -> Result<Classes, DataError> {
    let root = find_root(input)?;
    let reader = ImageReader::new(options.images(), &root, Field::class(CLASS, Vec::new()))?;
    let folders = class_folders(options, &root, intake)?;
    let names = class_names(&folders, &root)?;

    let mut files = Vec::new();
    for folder in &folders {
        let Ok(label) = names.binary_search(&folder.class) else {
            continue;
        };
        let found = image_files(&folder.path, intake)?;
        if found.is_empty() {
            let problem = "this class folder has no image: add some, or remove it";
            return Err(DataError::input(&folder.path, problem));
        }
        files.extend(found.into_iter().map(|path| ImageFile {
            split: folder.split,
            place: SplitPlace::default(),
            target: RecordTarget::Class(label as u32),
            path,
        }));
    }
    reader.read(&files, intake)?;
    Ok(Classes::known(names))
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
        let is_split =
            |folder: &Path| SplitHint::of(&name_of(folder)).is_some_and(|hint| hint.rest.is_empty());
        match &folders[..] {
            [only]
                if !is_split(only)
                    && !files.iter().any(|file| is_image(file))
                    && !list(only)?.0.is_empty() =>
            {
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

/// The names of the classes, sorted: those of the train split. Other splits may lack some of them, which the intake
/// warns of, but have no more.
fn class_names(folders: &[ClassFolder], root: &Path) -> Result<Vec<String>, DataError> {
    let of = |folder: &&ClassFolder| folder.split == SplitName::Train;
    let trained = folders.iter().filter(of);
    let mut names: Vec<String> = trained.map(|folder| folder.class.clone()).collect();
    names.sort_unstable();
    names.dedup();
    match folders
        .iter()
        .find(|folder| names.binary_search(&folder.class).is_err())
    {
        None => Ok(names),
        Some(extra) => {
            let alike = names.iter().find(|name| is_alike(name, &extra.class));
            let what = match alike {
                Some(name) => format!("rename it, if it is `{name}`"),
                None => "add samples of it there, or remove it".to_owned(),
            };
            let problem = format!("class `{}` is missing in the train split: {what}", extra.class);
            Err(DataError::input(extra.path.parent().unwrap_or(root), problem))
        }
    }
}

/// The images in `folder` and below, sorted by path.
pub(super) fn image_files(folder: &Path, intake: &mut Intake<'_>) -> Result<Vec<PathBuf>, DataError> {
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
        if is_image(entry.path()) {
            files.push(entry.into_path());
        } else {
            intake.ignore(entry.path(), "it is not an image");
        }
    }
    Ok(files)
}
