//! Pascal VOC: images, and for each an XML file that tells the objects in it.

mod images;
#[cfg(test)]
mod tests;
mod xml;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use walkdir::WalkDir;

use super::image_files::is_image_name;
use super::scenes::{
    NamedClasses, ObjectPlace, Scene, SceneObject, SceneProblem, SceneProblemKind, SceneProblems,
    SceneReader, SceneTarget,
};
use super::split_places::{SplitWording, found_splits, is_found, path_of, told};
use super::{FormatReader, holding_folder, is_hidden};
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::Classes;
use crate::spec::{DifficultObjects, PixelOrigin, VocOptions, counted};
use images::FolderImages;
use xml::{VocFile, VocObject};

impl FormatReader for VocOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        let annotations = told(&self.annotations);
        let root = holding_folder(input, &format!("folder `{annotations}`"), |folder| {
            is_found(&self.annotations, folder, Path::is_dir)
        })?;
        let mut problems = SceneProblems::new(input);
        let mut read = Vec::new();
        for file in annotation_files(self, &root, &mut problems, intake)? {
            read.push(file);
        }
        let parsed: Vec<Result<VocFile, String>> = read.par_iter().map(|file| parse(&file.path)).collect();
        let found = parsed.iter().flatten().flat_map(|file| &file.objects);
        let found = found
            .map(|object| object.class.as_str())
            .filter(|class| !class.is_empty());
        let classes = NamedClasses::of(self.classes.as_deref(), found);
        if classes.names.is_empty() {
            let problem =
                "no file of annotations tells of an object with a `name`: name the classes by `classes`";
            return Err(DataError::input(&root, problem));
        }
        let mut reader = VocReader {
            options: self,
            root: &root,
            classes: &classes,
            folders: BTreeMap::new(),
            others: 0,
            before_the_first: None,
        };
        let mut scenes = Vec::new();
        for (file, parsed) in read.iter().zip(parsed) {
            intake.tick()?;
            scenes.extend(reader.scene(file, parsed, &mut problems, intake)?);
        }
        if let Some((path, name)) = &reader.before_the_first {
            let problem = format!(
                "the box of its {name} begins at 0, where Pascal VOC's pixels are counted from 1: write `origin: 0`, as for \
                 files with the edges of boxes"
            );
            return Err(DataError::input(path, problem));
        }
        reader.tell(intake);
        scenes.sort_by(|one: &Scene, other| (one.split, &one.image).cmp(&(other.split, &other.image)));
        let target = SceneTarget::Objects {
            classes: classes.names.clone(),
            ids: Vec::new(),
        };
        SceneReader::new(self.image_options(), target, &root).read(&scenes, &mut problems, intake)?;
        problems.finish(intake)?;
        Ok(None)
    }
}

/// A file of annotations.
struct AnnotationFile {
    wording: SplitWording,
    path: PathBuf,
    /// Its path in its folder, without its ending.
    name: PathBuf,
}

/// What is known while files become scenes.
struct VocReader<'a> {
    options: &'a VocOptions,
    root: &'a Path,
    classes: &'a NamedClasses,
    /// The images in the folders that were looked into.
    folders: BTreeMap<PathBuf, FolderImages>,
    /// Objects of classes that are not asked for.
    others: u64,
    /// A box that shows that pixels are not counted from 1.
    before_the_first: Option<(PathBuf, String)>,
}

impl VocReader<'_> {
    /// The scene that a file tells of, if its image is there.
    fn scene(
        &mut self,
        file: &AnnotationFile,
        parsed: Result<VocFile, String>,
        problems: &mut SceneProblems,
        intake: &mut Intake<'_>,
    ) -> Result<Option<Scene>, DataError> {
        let problem = |kind, told| SceneProblem {
            kind,
            path: file.path.clone(),
            told,
        };
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(told) => {
                let kind = SceneProblemKind::UnreadableAnnotations;
                problems.without_sample(problem(kind, told), intake)?;
                return Ok(None);
            }
        };
        let folder = path_of(&self.options.images, self.root, &file.wording).unwrap_or_default();
        if !self.folders.contains_key(&folder) {
            if !folder.is_dir() {
                let told = format!(
                    "there is no folder of images `{}`: name it in `images`",
                    folder.display()
                );
                return Err(DataError::input(self.root, told));
            }
            let images = FolderImages::of(&folder, intake)?;
            self.folders.insert(folder.clone(), images);
        }
        let image = match self.folders.get_mut(&folder) {
            Some(images) => images.find(&file.name, parsed.filename.as_deref()),
            None => return Ok(None),
        };
        let image = match image {
            Ok(image) => image,
            Err((kind, told)) => {
                problems.without_sample(problem(kind, told), intake)?;
                return Ok(None);
            }
        };
        let mut objects = Vec::with_capacity(parsed.objects.len());
        for (index, object) in parsed.objects.into_iter().enumerate() {
            match self.object(index, object, &file.path) {
                Ok(object) => objects.extend(object),
                Err(told) => {
                    let kind = SceneProblemKind::UnreadableObject;
                    problems.with_sample(problem(kind, told), "an object is left out", intake)?;
                }
            }
        }
        Ok(Some(Scene {
            split: file.wording.0,
            image,
            id: None,
            size: parsed.size,
            source: file.path.clone(),
            objects,
        }))
    }

    /// An object, where it is of a class that is asked for. An error says what is wrong with it.
    fn object(
        &mut self,
        index: usize,
        object: VocObject,
        path: &Path,
    ) -> Result<Option<SceneObject>, String> {
        let number = index + 1;
        let VocObject {
            class,
            difficult,
            edges,
        } = object;
        if class.is_empty() {
            return Err(format!(
                "object {number}: it has no `name`: write its class there, or remove it"
            ));
        }
        let name = format!("object {number} (`{class}`)");
        let Some(class) = self.classes.class(&class) else {
            self.others += 1;
            return Ok(None);
        };
        let [left, top, right, bottom] =
            edges.map_err(|problem| format!("{name}: {problem}: mend its box, or remove it"))?;
        if difficult && self.options.difficult == DifficultObjects::Drop {
            return Ok(None);
        }
        let first = match self.options.origin.unwrap_or_default() {
            PixelOrigin::Zero => 0.0,
            PixelOrigin::One => 1.0,
        };
        let is_before = |edge: f64| (0.0..0.5).contains(&edge);
        // A box at 0 of both sides and without a length is no box rather than one that is counted from 0.
        let has_area = right > left && bottom > top;
        if first == 1.0 && has_area && (is_before(left) || is_before(top)) && self.before_the_first.is_none()
        {
            self.before_the_first = Some((path.to_owned(), name.clone()));
        }
        let (left, top) = (left - first, top - first);
        Ok(Some(SceneObject {
            name,
            place: ObjectPlace::Pixels([left, top, right - left, bottom - top]),
            class,
            area: None,
            crowd: false,
            difficult: difficult && self.options.difficult == DifficultObjects::Ignore,
            outline: None,
        }))
    }

    /// Tells what is worth knowing.
    fn tell(&self, intake: &Intake<'_>) {
        if self.options.origin.is_none() {
            intake.warn(
                "boxes are read as Pascal VOC's: pixels are counted from 1, and `xmax` is the last one; write `origin: 1` if \
                 that is right, and `origin: 0` if they are edges that are counted from 0"
                    .to_owned(),
            );
        }
        if self.others > 0 {
            intake.warn(format!(
                "{} of classes that `classes` does not name {} left out",
                counted(self.others, "object"),
                if self.others == 1 { "is" } else { "are" }
            ));
        }
        let untold: usize = self.folders.values().map(FolderImages::untold).sum();
        if untold > 0 && self.options.lists.is_none() {
            intake.warn(format!(
                "{} no file of annotations and {} left out",
                match untold {
                    1 => "1 image has".to_owned(),
                    _ => format!("{} have", counted(untold as u64, "image")),
                },
                if untold == 1 { "is" } else { "are" }
            ));
        }
    }
}

/// The files of annotations of all splits: those that lists name, or all that there are.
fn annotation_files(
    options: &VocOptions,
    root: &Path,
    problems: &mut SceneProblems,
    intake: &mut Intake<'_>,
) -> Result<Vec<AnnotationFile>, DataError> {
    let is_list = options.lists.is_some();
    let field = if is_list { "lists" } else { "annotations" };
    let is_there = |path: &Path| if is_list { path.is_file() } else { path.is_dir() };
    let mut files = Vec::new();
    let mut listed: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for wording in found_splits(options.splits(), field, root, is_there, intake)? {
        let folder = path_of(&options.annotations, root, &wording).unwrap_or_default();
        if !folder.is_dir() {
            let told = format!(
                "there is no folder `{}`: name it in `annotations`",
                folder.display()
            );
            return Err(DataError::input(root, told));
        }
        let Some(lists) = &options.lists else {
            let found = xml_files(&folder)?;
            if found.is_empty() {
                return Err(DataError::input(&folder, "there is no XML file in this folder"));
            }
            files.extend(found.into_iter().map(|path| AnnotationFile {
                wording: wording.clone(),
                name: path.strip_prefix(&folder).unwrap_or(&path).with_extension(""),
                path,
            }));
            continue;
        };
        let list = path_of(lists, root, &wording).unwrap_or_default();
        let text = fs::read_to_string(&list).map_err(DataError::io("read", &list))?;
        for (index, line) in text.lines().enumerate() {
            let name = listed_name(line);
            if name.is_empty() {
                continue;
            }
            let name = PathBuf::from(name);
            let mut path = folder.join(&name).into_os_string();
            path.push(".xml");
            let path = PathBuf::from(path);
            let problem = |kind, told: String| SceneProblem {
                kind,
                path: list.clone(),
                told: format!("line {}: {told}", index + 1),
            };
            if !path.is_file() {
                let told = format!(
                    "there is no file `{}`: add it, or remove the line",
                    path.display()
                );
                problems.without_sample(problem(SceneProblemKind::MissingAnnotations, told), intake)?;
            } else if let Some(other) = listed.insert(name.clone(), list.clone()) {
                let told = format!("`{}` names `{}` too: keep one", other.display(), name.display());
                problems.without_sample(problem(SceneProblemKind::RepeatedImage, told), intake)?;
            } else {
                let wording = wording.clone();
                files.push(AnnotationFile { wording, path, name });
            }
        }
    }
    Ok(files)
}

/// The name in a line of a list: before the flag that lists of a class have, and without an ending.
fn listed_name(line: &str) -> String {
    let line = line.trim();
    let name = match line.rsplit_once(char::is_whitespace) {
        Some((name, "1" | "0" | "-1")) => name.trim_end(),
        _ => line,
    };
    let path = Path::new(name);
    let is_xml = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("xml"));
    match is_xml || is_image_name(path) {
        true => path.with_extension("").to_string_lossy().into_owned(),
        false => name.to_owned(),
    }
}

/// The XML files in a folder and below, sorted.
fn xml_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let walk = WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter();
    let mut files = Vec::new();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            DataError::io("list", &path)(error.into())
        })?;
        let ending = entry.path().extension();
        if entry.file_type().is_file() && ending.is_some_and(|ending| ending.eq_ignore_ascii_case("xml")) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

fn parse(path: &Path) -> Result<VocFile, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
    VocFile::parse(&text)
}
