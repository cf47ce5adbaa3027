//! Folders of images: `SPLIT/CLASS/*`, or `CLASS/*` where there are no split folders.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader};
use rayon::prelude::*;
use walkdir::WalkDir;

use super::{MOST_VALUES, entries, is_hidden, name_of};
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::Classes;
use crate::data::shape::SampleShape;
use crate::data::writer::Sample;
use crate::spec::{Color, ImageFolder, SplitName};

/// Decoded images that may wait to be written, in bytes.
const WAITING: usize = 64 << 20;

/// Reads a folder of jpg, jpeg and png images. Classes are sorted by name; an archive's single top
/// folder is looked through; images may lie deeper than directly in their class's folder. As in
/// torchvision, EXIF orientation is not applied and an alpha channel is dropped.
pub(super) fn read(
    options: &ImageFolder,
    input: &Path,
    intake: &mut Intake<'_>,
) -> Result<Classes, DataError> {
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
        for (label, folder) in (0u32..).zip(classes) {
            let found = image_files(folder, intake)?;
            if found.is_empty() {
                let problem = "this class folder has no jpg, jpeg or png image: add some, or remove it";
                return Err(DataError::input(folder, problem));
            }
            files.extend(found.into_iter().map(|path| File {
                split: *split,
                label,
                path,
            }));
        }
    }
    intake.expect(files.len() as u64);
    read_files(options, &root, &files, intake)?;
    Ok(Classes::known(names))
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

/// The classes' names, which must be the same in every split.
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
        if let Some(missing) = names.iter().find(|name| !here.contains(name)) {
            let problem = format!("class `{missing}` of the train split is missing here");
            return Err(DataError::input(folder, problem));
        }
        if let Some(extra) = here.iter().find(|name| !names.contains(name)) {
            let problem = format!("class `{extra}` is missing in the train split");
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

/// Decodes all files on the current rayon pool and takes them in in order.
fn read_files(
    options: &ImageFolder,
    root: &Path,
    files: &[File],
    intake: &mut Intake<'_>,
) -> Result<(), DataError> {
    let mut first: Option<(&Path, Decoded)> = None;
    let mut rest = files;
    while !rest.is_empty() {
        // Until a first image tells how large images are, few are decoded at once.
        let count = first
            .as_ref()
            .map_or(4, |(_, image)| (WAITING / image.pixels.len()).clamp(4, 1024));
        let (now, later) = rest.split_at(count.min(rest.len()));
        rest = later;
        let decoded: Vec<Result<Decoded, DataError>> =
            now.par_iter().map(|file| decode(options, &file.path)).collect();
        for (file, decoded) in now.iter().zip(decoded) {
            let image = match decoded {
                Ok(image) => image,
                Err(error @ DataError::Input { .. }) => {
                    intake.reject(error)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match &first {
                Some((path, first)) if (first.height, first.width) != (image.height, image.width) => {
                    let problem = format!(
                        "it has {}x{} pixels (height x width), and `{}` has {}x{}: give `size: [height, width]` to \
                         resize every image",
                        image.height,
                        image.width,
                        path.display(),
                        first.height,
                        first.width
                    );
                    return Err(DataError::input(&file.path, problem));
                }
                _ => {}
            }
            if first.is_none() {
                intake.begin(image.shape(options.color), &[], &file.path)?;
            }
            let origin = file
                .path
                .strip_prefix(root)
                .unwrap_or(&file.path)
                .to_string_lossy();
            intake.push(file.split, file.label, Sample::Pixels(&image.pixels), &origin)?;
            first.get_or_insert((&file.path, image));
        }
    }
    Ok(())
}

/// A decoded image, `[C, H, W]`.
struct Decoded {
    pixels: Vec<u8>,
    height: usize,
    width: usize,
}

impl Decoded {
    fn shape(&self, color: Color) -> SampleShape {
        SampleShape::Image {
            channels: match color {
                Color::Rgb => 3,
                Color::Gray => 1,
            },
            height: self.height,
            width: self.width,
        }
    }
}

/// Decodes a file. What it holds is told from its content, not from its name.
///
/// [`DataError::Input`] means that the image is bad; anything else that the file cannot be read.
fn decode(options: &ImageFolder, path: &Path) -> Result<Decoded, DataError> {
    let bytes = fs::read(path).map_err(DataError::io("read", path))?;
    let bad = |problem: String| DataError::input(path, format!("the image is corrupt: {problem}"));
    if is_truncated_jpeg(&bytes) {
        return Err(bad("it ends early".into()));
    }
    let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format();
    let image = reader.map_err(|error| bad(error.to_string()))?.decode();
    let mut image = image.map_err(|error| bad(error.to_string()))?;
    if let Some([height, width]) = options.size {
        let (height, width) = (height.get(), width.get());
        if (height as usize).saturating_mul(width as usize) > MOST_VALUES {
            return Err(DataError::Options(format!(
                "`size: [{height}, {width}]` is too large"
            )));
        }
        // The filter that Pillow calls bilinear: averaged where the image shrinks.
        if (image.height(), image.width()) != (height, width) {
            image = image.resize_exact(width, height, FilterType::Triangle);
        }
    }
    let (height, width) = (image.height() as usize, image.width() as usize);
    Ok(Decoded {
        pixels: planes(image, options.color),
        height,
        width,
    })
}

/// The image's pixels as `[C, H, W]`.
fn planes(image: DynamicImage, color: Color) -> Vec<u8> {
    match color {
        Color::Gray => image.into_luma8().into_raw(),
        Color::Rgb => {
            let pixels = image.into_rgb8().into_raw();
            let (pixels, _) = pixels.as_chunks::<3>();
            (0..3)
                .flat_map(|channel| pixels.iter().map(move |pixel| pixel[channel]))
                .collect()
        }
    }
}

/// Whether this is a JPEG file without an end-of-image marker behind its (first) scan. The decoder
/// fills what is missing with grey and says nothing.
fn is_truncated_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return false;
    }
    // Segments up to the scan: a marker, and a length that counts itself. Thumbnails inside them
    // have end markers of their own, so they are jumped over.
    let mut position = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(position..position + 4) {
        if marker == 0xff {
            position += 1;
            continue;
        }
        if marker == START_OF_SCAN {
            break;
        }
        position += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    let scan = bytes.get(position..).unwrap_or_default();
    !scan.windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}
