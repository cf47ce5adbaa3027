//! YOLO: images, and for each a text file with a line for each object in it.

mod class_list;
mod label_line;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::image_folder::image_files;
use super::scenes::{
    Scene, SceneObject, SceneProblem, SceneProblemKind, SceneProblems, SceneReader, SceneTarget,
};
use super::split_places::{found_splits, is_found, path_of, told};
use super::{FormatReader, holding_folder, is_hidden};
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::Classes;
use crate::spec::{SplitName, YoloOptions};
use class_list::class_list;

impl FormatReader for YoloOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        let what = format!("folder `{}`", told(&self.images));
        let root = holding_folder(input, &what, |folder| {
            is_found(&self.images, folder, Path::is_dir)
        })?;
        let classes = class_list(self, &root)?;
        let mut problems = SceneProblems::new(input);
        let mut scenes = Vec::new();
        for wording in found_splits(&self.images, "images", &root, Path::is_dir, intake)? {
            let folder = SplitFolder {
                split: wording.0,
                images: path_of(&self.images, &root, &wording).unwrap_or_default(),
                labels: path_of(&self.labels, &root, &wording).unwrap_or_default(),
                classes: classes.len(),
            };
            for (field, path) in [("images", &folder.images), ("labels", &folder.labels)] {
                if !path.is_dir() {
                    let problem = format!("there is no folder `{}`: name it in `{field}`", path.display());
                    return Err(DataError::input(&root, problem));
                }
            }
            folder.read(&mut scenes, &mut problems, intake)?;
        }
        let ids = Vec::new();
        let target = SceneTarget::Objects { classes, ids };
        SceneReader::new(self.image_options(), target, &root).read(&scenes, &mut problems, intake)?;
        problems.finish(intake)?;
        Ok(None)
    }
}

/// The folders of a split.
struct SplitFolder {
    split: SplitName,
    images: PathBuf,
    labels: PathBuf,
    classes: usize,
}

impl SplitFolder {
    /// Appends the scenes of the split, in the order of their images' names.
    fn read(
        &self,
        scenes: &mut Vec<Scene>,
        problems: &mut SceneProblems,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        let images = image_files(&self.images, intake)?;
        if images.is_empty() {
            let problem = "there is no image in this folder: add some, or remove it";
            return Err(DataError::input(&self.images, problem));
        }
        let mut labels = label_files(&self.labels)?;
        let stem = |path: &Path| path.strip_prefix(&self.images).unwrap_or(path).with_extension("");
        let mut taken: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        let mut read = Vec::new();
        for image in images {
            let name = stem(&image);
            if let Some(first) = taken.get(&name) {
                let told = format!(
                    "it has the labels of `{}` too: keep one of the two images",
                    first.display()
                );
                let (kind, path) = (SceneProblemKind::RepeatedImage, image);
                problems.without_sample(SceneProblem { kind, path, told }, intake)?;
                continue;
            }
            read.push((image.clone(), labels.remove(&name)));
            taken.insert(name, image);
        }
        if read.iter().all(|(_, label)| label.is_none()) {
            let problem = format!(
                "none of the {} images in `{}` has a text file here: put `a.txt` here for `a.jpg`, or name the folder in `labels`",
                read.len(),
                self.images.display()
            );
            return Err(DataError::input(&self.labels, problem));
        }
        for (name, path) in labels {
            let told = format!(
                "there is no image `{}.*` for it: add it, or remove the file",
                self.images.join(name).display()
            );
            let kind = SceneProblemKind::MissingImage;
            problems.without_sample(SceneProblem { kind, path, told }, intake)?;
        }
        for (image, label) in read {
            intake.tick()?;
            let objects = match &label {
                Some(path) => self.objects(path, problems, intake)?,
                None => Some(Vec::new()),
            };
            scenes.extend(objects.map(|objects| Scene {
                split: self.split,
                source: label.unwrap_or_else(|| image.clone()),
                image,
                id: None,
                size: None,
                objects,
            }));
        }
        Ok(())
    }

    /// The objects of a file; nothing where it cannot be read.
    fn objects(
        &self,
        path: &Path,
        problems: &mut SceneProblems,
        intake: &mut Intake<'_>,
    ) -> Result<Option<Vec<SceneObject>>, DataError> {
        let problem = |kind, told| SceneProblem {
            kind,
            path: path.to_owned(),
            told,
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let kind = SceneProblemKind::UnreadableAnnotations;
                let told = format!("it cannot be read: {error}");
                problems.without_sample(problem(kind, told), intake)?;
                return Ok(None);
            }
        };
        let mut objects = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let name = format!("line {}", index + 1);
            match label_line::parse(line, self.classes) {
                Ok(None) => {}
                Ok(Some(label)) => objects.push(SceneObject {
                    name,
                    place: label.place,
                    class: label.class,
                    area: None,
                    crowd: false,
                    difficult: false,
                    outline: None,
                }),
                Err((kind, told)) => {
                    let told = format!("{name}: {told}");
                    problems.with_sample(problem(kind, told), "an object is left out", intake)?;
                }
            }
        }
        Ok(Some(objects))
    }
}

/// The text files in a folder and below, by their paths in it without their endings. Lists of classes are none.
fn label_files(folder: &Path) -> Result<BTreeMap<PathBuf, PathBuf>, DataError> {
    const NO_LABELS: [&str; 2] = ["classes.txt", "obj.names"];
    let walk = WalkDir::new(folder).follow_links(true).into_iter();
    let mut files = BTreeMap::new();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            DataError::io("list", &path)(error.into())
        })?;
        let is_text = entry
            .path()
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("txt"));
        let is_list = NO_LABELS.iter().any(|name| entry.file_name() == *name);
        if entry.file_type().is_file() && is_text && !is_list {
            let path = entry.into_path();
            let name = path.strip_prefix(folder).unwrap_or(&path).with_extension("");
            files.insert(name, path);
        }
    }
    Ok(files)
}
