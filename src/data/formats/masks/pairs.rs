//! Which image has which mask.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::problem_kind::{MaskProblem, MaskProblemKind, MaskProblems};
use crate::data::error::DataError;
use crate::data::formats::holding_folder;
use crate::data::formats::image_folder::image_files;
use crate::data::formats::split_places::{split_words, words_of_splits};
use crate::data::intake::Intake;
use crate::spec::{MasksOptions, SplitName};

/// An image and its mask.
pub(super) struct MaskPair {
    pub split: SplitName,
    pub image: PathBuf,
    pub mask: PathBuf,
}

impl MaskPair {
    pub fn image_problem(&self, kind: MaskProblemKind, told: String) -> MaskProblem {
        let path = self.image.clone();
        MaskProblem { kind, path, told }
    }

    pub fn mask_problem(&self, kind: MaskProblemKind, told: String) -> MaskProblem {
        let path = self.mask.clone();
        MaskProblem { kind, path, told }
    }
}

/// The folders of a split.
struct SplitFolder {
    split: SplitName,
    images: PathBuf,
    masks: PathBuf,
}

/// All images with their masks, split by split and in the order of their names, and the folder that they are named from.
pub(super) fn pairs_of(
    options: &MasksOptions,
    input: &Path,
    problems: &mut MaskProblems,
    intake: &mut Intake<'_>,
) -> Result<(PathBuf, Vec<MaskPair>), DataError> {
    let what = format!("folder `{}`", options.images);
    let root = holding_folder(input, &what, |folder| {
        Ok(!split_words(folder, &options.images, Path::is_dir)?.is_empty())
    })?;
    let mut pairs = Vec::new();
    for folder in split_folders(options, &root, intake)? {
        if !folder.masks.is_dir() {
            let problem = format!(
                "there is no folder of masks `{}` for the images in `{}`: name it in `masks`",
                folder.masks.display(),
                folder.images.display()
            );
            return Err(DataError::input(&root, problem));
        }
        match_files(&folder, &mut pairs, problems, intake)?;
    }
    Ok((root, pairs))
}

/// Pairs the images of a split with its masks: names are the same but for what they end in.
fn match_files(
    folder: &SplitFolder,
    pairs: &mut Vec<MaskPair>,
    problems: &mut MaskProblems,
    intake: &mut Intake<'_>,
) -> Result<(), DataError> {
    let images = image_files(&folder.images, intake)?;
    if images.is_empty() {
        let problem = "there is no image in this folder: add some, or remove it";
        return Err(DataError::input(&folder.images, problem));
    }
    let stem = |path: &Path, folder: &Path| path.strip_prefix(folder).unwrap_or(path).with_extension("");
    let mut masks: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for mask in image_files(&folder.masks, intake)? {
        masks.entry(stem(&mask, &folder.masks)).or_default().push(mask);
    }
    let mut taken: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for image in images {
        let name = stem(&image, &folder.images);
        if let Some(first) = taken.get(&name) {
            let told = format!(
                "it has the mask of `{}` too: keep one of the two images",
                first.display()
            );
            let kind = MaskProblemKind::SeveralImages;
            problems.without_sample(
                MaskProblem {
                    kind,
                    path: image,
                    told,
                },
                intake,
            )?;
            continue;
        }
        let mut found = masks.remove(&name).unwrap_or_default();
        match (found.pop(), found.pop()) {
            (Some(mask), None) => pairs.push(MaskPair {
                split: folder.split,
                image: image.clone(),
                mask,
            }),
            (Some(mask), Some(other)) => {
                let (one, two) = (other.display(), mask.display());
                let told = format!("both `{one}` and `{two}` are masks for it: keep one");
                let path = image.clone();
                let kind = MaskProblemKind::SeveralMasks;
                problems.without_sample(MaskProblem { kind, path, told }, intake)?;
            }
            (None, _) => {
                let mut wanted = folder.masks.join(&name).into_os_string();
                wanted.push(".png");
                let wanted = PathBuf::from(wanted);
                let told = format!(
                    "there is no mask `{}` for it: add it, or remove the image",
                    wanted.display()
                );
                let path = image.clone();
                let kind = MaskProblemKind::MissingMask;
                problems.without_sample(MaskProblem { kind, path, told }, intake)?;
            }
        }
        taken.insert(name, image);
    }
    let left = masks.into_iter();
    for (name, mask) in left.flat_map(|(name, masks)| masks.into_iter().map(move |mask| (name.clone(), mask)))
    {
        let told = format!(
            "there is no image `{}.*` for it: add it, or remove the mask",
            folder.images.join(name).display()
        );
        let kind = MaskProblemKind::MissingImage;
        problems.without_sample(
            MaskProblem {
                kind,
                path: mask,
                told,
            },
            intake,
        )?;
    }
    Ok(())
}

/// The folders of each split, the training split's first.
fn split_folders(
    options: &MasksOptions,
    root: &Path,
    intake: &Intake<'_>,
) -> Result<Vec<SplitFolder>, DataError> {
    let place = |pattern: &str, word: &str| root.join(pattern.replace(MasksOptions::SPLIT, word));
    let folder = |split: SplitName, word: &str| SplitFolder {
        split,
        images: place(&options.images, word),
        masks: place(&options.masks, word),
    };
    if !options.images.contains(MasksOptions::SPLIT) {
        return Ok(vec![folder(SplitName::Train, "")]);
    }
    let words = split_words(root, &options.images, Path::is_dir)?;
    let found = words_of_splits(words, root, "images", &options.images, intake)?;
    Ok(found.iter().map(|(split, word)| folder(*split, word)).collect())
}
