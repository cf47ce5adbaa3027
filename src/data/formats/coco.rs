//! COCO: images, and a JSON file that tells the objects in them.

mod categories;
mod file;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use super::scenes::{
    ObjectPlace, Scene, SceneObject, SceneProblem, SceneProblemKind, SceneProblems, SceneReader, SceneTarget,
};
use super::split_places::{SplitWording, found_splits, is_found, path_of, told};
use super::{FormatReader, holding_folder};
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::Classes;
use crate::spec::{AnnotationTask, CocoOptions, CrowdObjects, counted};
use categories::CocoCategories;
use file::{CocoAnnotation, CocoFile, CocoImage};

impl FormatReader for CocoOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        let what = format!("file `{}`", told(&self.annotations));
        let root = holding_folder(input, &what, |folder| {
            is_found(&self.annotations, folder, Path::is_file)
        })?;
        let mut files = Vec::new();
        for wording in found_splits(&self.annotations, "annotations", &root, Path::is_file, intake)? {
            let path = path_of(&self.annotations, &root, &wording).unwrap_or_default();
            if !path.is_file() {
                let problem = format!("there is no file `{}`: name it in `annotations`", path.display());
                return Err(DataError::input(&root, problem));
            }
            let file = CocoFile::read(&path)?;
            files.push((wording, path, file));
        }
        let named = files
            .iter()
            .map(|(_, path, file)| (path.as_path(), file.categories.as_slice()));
        let categories = CocoCategories::of(named, &self.classes)?;
        let mut problems = SceneProblems::new(input);
        let mut scenes = Vec::new();
        let mut others = 0;
        for (wording, path, file) in files {
            let images = path_of(&self.images, &root, &wording).unwrap_or_default();
            if !images.is_dir() {
                let problem = format!("there is no folder `{}`: name it in `images`", images.display());
                return Err(DataError::input(&root, problem));
            }
            let mut split = CocoSplit {
                options: self,
                wording: &wording,
                path: &path,
                images: &images,
                categories: &categories,
                others: 0,
            };
            scenes.extend(split.scenes(file, &mut problems, intake)?);
            others += split.others;
        }
        if others > 0 {
            intake.warn(format!(
                "{} of categories that `classes` does not name {} left out",
                counted(others, "object"),
                if others == 1 { "is" } else { "are" }
            ));
        }
        let target = match self.task {
            AnnotationTask::Detection => SceneTarget::Objects {
                classes: categories.names,
                ids: categories.ids,
            },
            AnnotationTask::Segmentation => {
                let classes = categories.with_background(&self.background, &root)?;
                SceneTarget::Pixels { classes }
            }
        };
        SceneReader::new(self.image_options(), target, &root).read(&scenes, &mut problems, intake)?;
        problems.finish(intake)?;
        Ok(None)
    }
}

/// The file of a split.
struct CocoSplit<'a> {
    options: &'a CocoOptions,
    wording: &'a SplitWording,
    path: &'a Path,
    images: &'a Path,
    categories: &'a CocoCategories,
    /// Objects of categories that are not asked for.
    others: u64,
}

impl CocoSplit<'_> {
    /// The scenes of the file, in the order of their images' names.
    fn scenes(
        &mut self,
        file: CocoFile,
        problems: &mut SceneProblems,
        intake: &mut Intake<'_>,
    ) -> Result<Vec<Scene>, DataError> {
        let mut scenes: Vec<Scene> = Vec::new();
        // Of each image's number its place among the scenes, if it has one.
        let mut places: HashMap<i64, Option<usize>> = HashMap::new();
        let mut names: HashMap<PathBuf, i64> = HashMap::new();
        for image in &file.images {
            if places.contains_key(&image.id) {
                let told = format!(
                    "image {} (`{}`): another image has this id: give it one of its own",
                    image.id, image.file_name
                );
                problems.without_sample(self.problem(SceneProblemKind::RepeatedImage, told), intake)?;
                continue;
            }
            let scene = match self.scene(image, &mut names) {
                Ok(scene) => Some(scene),
                Err(problem) => {
                    problems.without_sample(problem, intake)?;
                    None
                }
            };
            places.insert(image.id, scene.is_some().then_some(scenes.len()));
            scenes.extend(scene);
        }
        let mut seen = HashSet::new();
        for (index, annotation) in file.annotations.iter().enumerate() {
            intake.tick()?;
            let name = match annotation.id {
                Some(id) => format!("annotation {id}"),
                None => format!("annotation without an id, the {}. in the file", index + 1),
            };
            if let Some(id) = annotation.id
                && !seen.insert(id)
            {
                let told = format!(
                    "{name}: another annotation has this id: remove the copy, or give it an id of its own"
                );
                self.tell(SceneProblemKind::RepeatedObject, told, problems, intake)?;
                continue;
            }
            let Some(place) = places.get(&annotation.image_id) else {
                let told = format!(
                    "{name}: no image has its `image_id` {}: add the image to `images`, or remove the annotation",
                    annotation.image_id
                );
                self.tell(SceneProblemKind::UnknownImage, told, problems, intake)?;
                continue;
            };
            let Some(class) = self.categories.class(annotation.category_id) else {
                let told = format!(
                    "{name}: no category has its `category_id` {}: add it to `categories`, or mend the annotation",
                    annotation.category_id
                );
                self.tell(SceneProblemKind::UnknownClass, told, problems, intake)?;
                continue;
            };
            let Some(class) = class else {
                self.others += 1;
                continue;
            };
            if annotation.iscrowd == Some(1) && self.options.crowd == CrowdObjects::Drop {
                continue;
            }
            match self.object(annotation, name, class) {
                Ok(object) => {
                    if let Some(scene) = place.and_then(|place| scenes.get_mut(place)) {
                        scene.objects.push(object);
                    }
                }
                Err((kind, told)) => self.tell(kind, told, problems, intake)?,
            }
        }
        scenes.sort_by(|one, other| one.image.cmp(&other.image));
        Ok(scenes)
    }

    /// An image without its objects.
    fn scene(&self, image: &CocoImage, names: &mut HashMap<PathBuf, i64>) -> Result<Scene, SceneProblem> {
        let CocoImage { id, file_name, .. } = image;
        let of_file = |kind, told: String| Err(self.problem(kind, told));
        let name = file_name.replace('\\', "/");
        let relative = Path::new(&name);
        let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if name.is_empty() || !relative.components().all(is_inside) {
            let told = format!(
                "image {id}: `{file_name}` is no path below `{}`: write `file_name` as it is seen from there",
                self.images.display()
            );
            return of_file(SceneProblemKind::MissingImage, told);
        }
        let path = self.images.join(relative.components().collect::<PathBuf>());
        if !path.is_file() {
            let told = format!(
                "image {id}: there is no file `{}`: add it, or remove the image from `images`",
                path.display()
            );
            return of_file(SceneProblemKind::MissingImage, told);
        }
        if let Some(other) = names.insert(path.clone(), *id) {
            let told = format!(
                "image {id}: image {other} is `{file_name}` too: keep one of the two, with all objects"
            );
            return of_file(SceneProblemKind::RepeatedImage, told);
        }
        Ok(Scene {
            split: self.wording.0,
            image: path,
            id: Some(*id),
            size: image
                .height
                .zip(image.width)
                .map(|(height, width)| [height, width]),
            source: self.path.to_owned(),
            objects: Vec::new(),
        })
    }

    /// An object of a class.
    fn object(
        &self,
        annotation: &CocoAnnotation,
        name: String,
        class: u32,
    ) -> Result<SceneObject, (SceneProblemKind, String)> {
        let is_detection = self.options.task == AnnotationTask::Detection;
        let place = match annotation.bbox.as_deref() {
            Some(&[left, top, width, height]) => {
                [left, top, width, height].map(|number| number.unwrap_or(f64::NAN))
            }
            _ if !is_detection => [0.0; 4],
            found => {
                let what = match found {
                    None => "it has no `bbox`".to_owned(),
                    Some(numbers) => format!("its `bbox` has {} and not 4", counted(numbers.len(), "number")),
                };
                let told = format!("{name}: {what}: write [left, top, width, height], or remove it");
                return Err((SceneProblemKind::UnreadableObject, told));
            }
        };
        let outline = match is_detection {
            true => None,
            false => annotation.outline().map_err(|problem| {
                let told = format!("{name}: {problem}");
                (SceneProblemKind::BadMask, told)
            })?,
        };
        Ok(SceneObject {
            name,
            place: ObjectPlace::Pixels(place),
            class,
            area: annotation.area,
            crowd: annotation.iscrowd == Some(1),
            difficult: false,
            outline,
        })
    }

    fn problem(&self, kind: SceneProblemKind, told: String) -> SceneProblem {
        let path = self.path.to_owned();
        SceneProblem { kind, path, told }
    }

    /// An object that is left out where problems are passed over.
    fn tell(
        &self,
        kind: SceneProblemKind,
        told: String,
        problems: &mut SceneProblems,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        problems.with_sample(self.problem(kind, told), "an object is left out", intake)
    }
}
