//! The images in a folder, by their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::data::error::DataError;
use crate::data::formats::image_folder::image_files;
use crate::data::formats::scenes::SceneProblemKind;
use crate::data::intake::Intake;

/// The images in a folder and below.
pub(super) struct FolderImages {
    folder: PathBuf,
    /// By their paths in the folder without what they end in.
    by_stem: BTreeMap<PathBuf, Vec<PathBuf>>,
    taken: BTreeSet<PathBuf>,
}

impl FolderImages {
    pub fn of(folder: &Path, intake: &mut Intake<'_>) -> Result<Self, DataError> {
        let mut by_stem: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for path in image_files(folder, intake)? {
            let stem = path.strip_prefix(folder).unwrap_or(&path).with_extension("");
            by_stem.entry(stem).or_default().push(path);
        }
        Ok(Self {
            folder: folder.to_owned(),
            by_stem,
            taken: BTreeSet::new(),
        })
    }

    /// The image of a file of annotations that is called `name` without its ending, or else the one that it calls `filename`: that
    /// is often stale. An error says what is wrong.
    pub fn find(
        &mut self,
        name: &Path,
        filename: Option<&str>,
    ) -> Result<PathBuf, (SceneProblemKind, String)> {
        let told = filename.map(|told| told.replace('\\', "/"));
        let told = told.as_deref().map(Path::new);
        let called = told.and_then(|told| told.file_name()).map(PathBuf::from);
        let is_called = |path: &&PathBuf| called.as_deref().is_some_and(|called| path.ends_with(called));
        let found = match self.by_stem.get(name).map(Vec::as_slice) {
            Some([only]) => only,
            Some(several) => several.iter().find(is_called).ok_or_else(|| {
                let paths: Vec<String> = several
                    .iter()
                    .map(|path| format!("`{}`", path.display()))
                    .collect();
                let told = format!("each of {} may be its image: keep one", paths.join(" and "));
                (SceneProblemKind::RepeatedImage, told)
            })?,
            None => {
                let of_filename = called
                    .as_deref()
                    .and_then(|called| self.by_stem.get(&called.with_extension("")));
                of_filename
                    .and_then(|paths| paths.iter().find(is_called))
                    .ok_or_else(|| {
                        let wanted = self.folder.join(name);
                        let or = match &called {
                            Some(called) => format!(" or `{}`", self.folder.join(called).display()),
                            None => String::new(),
                        };
                        let told = format!(
                            "there is no image `{}.*`{or} for it: add it, or remove the file",
                            wanted.display()
                        );
                        (SceneProblemKind::MissingImage, told)
                    })?
            }
        };
        if !self.taken.insert(found.clone()) {
            let told = format!(
                "the image `{}` has another file of annotations: keep one",
                found.display()
            );
            return Err((SceneProblemKind::RepeatedImage, told));
        }
        Ok(found.clone())
    }

    /// How many images no file tells of.
    pub fn untold(&self) -> usize {
        self.by_stem.values().map(Vec::len).sum::<usize>() - self.taken.len()
    }
}
