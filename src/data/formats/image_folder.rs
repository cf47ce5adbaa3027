//! Folders of images: `SPLIT/CLASS/*`, or `CLASS/*` where there are no split folders.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use walkdir::WalkDir;

use super::decode::{Decoded, decode};
use super::{entries, is_hidden, name_of};
use crate::data::error::DataError;
use crate::data::intake::Intake;
use crate::data::labels::Classes;
use crate::data::writer::Sample;
use crate::spec::{ImageFolder, SplitName};

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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;
    use crate::data::testing::Bench;
    use crate::data::{Dataset, SampleShape};
    use crate::spec::{Color, Format, OnError};

    fn format() -> Format {
        Format::ImageFolder(ImageFolder::default())
    }

    fn encoded(width: u32, height: u32, shade: u8, format: ImageFormat) -> Vec<u8> {
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([shade, (x * 9) as u8, (y * 9) as u8]));
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    fn png(shade: u8) -> Vec<u8> {
        encoded(5, 4, shade, ImageFormat::Png)
    }

    fn jpeg(shade: u8) -> Vec<u8> {
        encoded(5, 4, shade, ImageFormat::Jpeg)
    }

    /// Two classes in two splits, in an archive's top folder.
    fn folder() -> Bench {
        let bench = Bench::new();
        bench
            .file("pets/train/dog/b.png", &png(10))
            .file("pets/train/dog/a.PNG", &png(20));
        bench
            .file("pets/train/cat/more/c.jpg", &jpeg(30))
            .file("pets/train/cat/d.JPeg", &png(40));
        bench
            .file("pets/test/cat/e.png", &png(50))
            .file("pets/test/dog/f.png", &png(60));
        bench
    }

    fn first_pixels(dataset: &Dataset, split: SplitName) -> Vec<(String, u32, u8)> {
        let split = dataset.split(split).unwrap();
        let mut pixels = vec![0f32; split.shape().len()];
        (0..split.len())
            .map(|index| {
                split.read_sample(index, &mut pixels);
                (
                    split.origin(index),
                    split.label(index),
                    (pixels[0] * 255.0).round() as u8,
                )
            })
            .collect()
    }

    #[test]
    fn reads_splits_and_classes_in_order() {
        let bench = folder();
        bench
            .file(".hidden/x", b"")
            .file("pets/train/.DS_Store", b"")
            .file("pets/train/cat/notes.txt", b"");
        bench.file("__MACOSX/pets/._x", b"");
        let dataset = bench.dataset(&format());
        assert_eq!(dataset.classes(), ["cat", "dog"]);
        let shape = SampleShape::Image {
            channels: 3,
            height: 4,
            width: 5,
        };
        assert_eq!(dataset.shape(), shape);
        let train = first_pixels(&dataset, SplitName::Train);
        let named: Vec<_> = train
            .iter()
            .map(|(origin, label, _)| (&origin[..], *label))
            .collect();
        let expected = [
            ("train/cat/d.JPeg", 0),
            ("train/cat/more/c.jpg", 0),
            ("train/dog/a.PNG", 1),
            ("train/dog/b.png", 1),
        ];
        assert_eq!(named, expected);
        assert_eq!((train[0].2, train[2].2), (40, 20));
        assert_eq!(
            first_pixels(&dataset, SplitName::Test)[1],
            ("test/dog/f.png".into(), 1, 60)
        );
        let notices = bench.notices.lock().unwrap();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].contains("notes.txt"));
    }

    #[test]
    fn planes_are_red_green_blue_and_rows() {
        let bench = folder();
        let dataset = bench.dataset(&format());
        let test = dataset.split(SplitName::Test).unwrap();
        let mut pixels = vec![0f32; 60];
        test.read_sample(0, &mut pixels);
        let expected = (0..60).map(|at| {
            let (channel, y, x) = (at / 20, at % 20 / 5, at % 5);
            [50, x * 9, y * 9][channel] as f32 / 255.0
        });
        assert!(pixels.iter().copied().eq(expected));
    }

    #[test]
    fn jpeg_colours_are_right() {
        let image = RgbImage::from_pixel(16, 16, Rgb([200, 30, 90]));
        let mut bytes = Vec::new();
        image
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Jpeg)
            .unwrap();
        let bench = Bench::new();
        bench.file("a/1.jpg", &bytes).file("b/1.jpg", &bytes);
        let train = bench.dataset(&format()).split(SplitName::Train).unwrap();
        let mut pixels = vec![0f32; 3 * 256];
        train.read_sample(0, &mut pixels);
        for (plane, expected) in pixels.chunks(256).zip([200.0, 30.0, 90.0]) {
            assert!(
                plane.iter().all(|pixel| (pixel * 255.0 - expected).abs() < 4.0),
                "{plane:?}"
            );
        }
    }

    #[test]
    fn classes_without_splits_and_a_class_called_train() {
        let bench = Bench::new();
        bench.file("bus/1.png", &png(1)).file("train/2.png", &png(2));
        let dataset = bench.dataset(&format());
        assert_eq!(dataset.classes(), ["bus", "train"]);
        assert_eq!(dataset.splits().collect::<Vec<_>>(), [SplitName::Train]);
    }

    #[test]
    fn gray_and_resized() {
        let bench = folder();
        bench.file("pets/train/dog/large.png", &encoded(50, 40, 10, ImageFormat::Png));
        let options = ImageFolder {
            size: Some([2, 3].map(|size: u32| size.try_into().unwrap())),
            color: Color::Gray,
            store: Default::default(),
        };
        let dataset = bench.dataset(&Format::ImageFolder(options));
        let shape = SampleShape::Image {
            channels: 1,
            height: 2,
            width: 3,
        };
        assert_eq!(dataset.shape(), shape);
        let error = bench.prepare(&format()).unwrap_err().to_string();
        assert!(
            error.contains("large.png") && error.contains("40x50") && error.contains("has 4x5"),
            "{error}"
        );
        assert!(error.contains("size: [height, width]"));
    }

    #[test]
    fn corrupt_images_are_named_or_left_out() {
        let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 20].to_vec();
        let mut flipped = png(9);
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x40;
        for bad in [
            cut(jpeg(3)),
            cut(png(3)),
            flipped,
            Vec::new(),
            b"GIF89a not really".to_vec(),
        ] {
            let mut bench = folder();
            bench.file("pets/train/cat/bad.jpg", &bad);
            let error = bench.error(&format());
            assert!(
                error.contains("train/cat/bad.jpg`: the image is corrupt"),
                "{error}"
            );
            bench.on_error = OnError::Skip;
            let prepared = bench.prepare(&format()).unwrap();
            assert_eq!((prepared.skipped, prepared.splits[&SplitName::Train]), (1, 4));
        }
        let mut bench = folder();
        bench.on_error = OnError::Skip;
        bench
            .file("pets/train/cat/d.JPeg", b"")
            .file("pets/train/cat/more/c.jpg", b"");
        let error = bench.error(&format());
        assert!(
            error.contains("class `cat` has no sample in the train split"),
            "{error}"
        );
    }

    #[test]
    fn folders_that_do_not_fit_are_named() {
        let bench = folder();
        bench.file("pets/train/bird/readme.txt", b"");
        assert!(
            bench
                .error(&format())
                .contains("class `bird` of the train split is missing here")
        );
        bench.file("pets/test/bird/x.png", &png(1));
        assert!(
            bench
                .error(&format())
                .contains("bird`: this class folder has no jpg, jpeg or png")
        );
        let bench = folder();
        bench.file("pets/test/emu/x.png", &png(1));
        assert!(
            bench
                .error(&format())
                .contains("class `emu` is missing in the train split")
        );
        let bench = folder();
        bench
            .file("pets/val/cat/x.png", &png(1))
            .file("pets/valid/cat/x.png", &png(1));
        assert!(
            bench
                .error(&format())
                .contains("both `val` and `valid` are the val split")
        );
        let bench = Bench::new();
        bench
            .file("test/cat/1.png", &png(1))
            .file("val/cat/2.png", &png(1));
        assert!(
            bench
                .error(&format())
                .contains("it has split folders, but no `train`")
        );
        assert!(Bench::new().error(&format()).contains("no class folder is here"));
        let bench = Bench::new();
        bench.file("1.png", &png(1));
        assert!(bench.error(&format()).contains("no class folder is here"));
    }

    #[test]
    fn threads_do_not_matter() {
        let bench = folder();
        for image in 0..40 {
            bench.file(&format!("pets/train/cat/{image}.jpg"), &jpeg(image));
        }
        let bytes = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| bench.prepare(&format())).unwrap();
            bench.bytes()
        });
        assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2]);
    }
}
