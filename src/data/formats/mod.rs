//! The input formats, one file each.
//!
//! A format finds its files in the input, checks them, and hands every sample to the intake in the
//! files' natural order, which never depends on how a folder happens to be listed.

mod chat;
mod cifar;
mod coco;
mod conll;
mod idx;
mod image_files;
mod image_folder;
mod image_intake;
mod image_manifest;
mod masks;
mod places;
mod problems;
mod scenes;
mod split_names;
mod split_places;
mod table;
mod text;
mod voc;
mod yolo;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::{self, Debug, Formatter};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::field_names::{CLASS, IMAGE};
use super::intake::Intake;
use super::labels::{Classes, MergedClasses};
use super::packing::Packing;
use crate::schema::{Dimensions, Field, Schema};
use crate::spec::{Format, FormatOptions, ListedOptions, Mistake, SplitName, built_in_formats};
use split_names::{SplitHint, SplitWord};

pub(in crate::data) use image_files::is_image;
pub(in crate::data) use table::{
    CellForm, ClassNames, CsvRows, Header, NumberReading, NumberSpelling, ParquetRows, ParquetTable,
    PrecisionWatch, as_f32, options_of, shortened,
};

/// Options of a format that can be read.
pub trait FormatReader: FormatOptions + ListedOptions {
    /// Hands every sample of `input` to `intake` and gives the classes, if classes are what is to be
    /// predicted.
    ///
    /// # Errors
    /// The input is not in the format, has a bad sample that is not to be skipped, or cannot be read.
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError>;

    /// What is wrong with the files of the project that it takes in beside the samples, `files` by their roles, as far
    /// as a look at each tells. Paths are those of the options' fields.
    fn look_into(&self, files: &BTreeMap<String, PathBuf>) -> Vec<Mistake> {
        let _ = files;
        Vec::new()
    }

    /// [`FormatReader::read`] for several inputs that make one dataset. Formats whose samples depend on each other, as
    /// by the categories of a table, read them together.
    ///
    /// # Errors
    /// As of [`FormatReader::read`]; or the samples of one input do not fit those of another.
    fn read_all(
        &self,
        inputs: &[SplitInput<'_>],
        intake: &mut Intake<'_>,
    ) -> Result<Option<Classes>, DataError> {
        if let [input] = inputs {
            intake.begin_input(input.split);
            return self.read(input.path, intake);
        }
        let mut merged = MergedClasses::default();
        let mut has_classes = false;
        for input in inputs {
            intake.begin_input(input.split);
            let first = intake.labelled();
            if let Some(classes) = self.read(input.path, intake)? {
                intake.merge_classes(first, &classes, &mut merged);
                has_classes = true;
            }
        }
        Ok(has_classes.then(|| merged.finish()))
    }
}

/// Files that a dataset is made from.
#[derive(Clone, Copy, Debug)]
pub struct SplitInput<'a> {
    /// The split that all of them are of; nothing where the format tells, or the splits are to be decided.
    pub split: Option<SplitName>,
    /// A file or folder.
    pub path: &'a Path,
}

impl<'a> SplitInput<'a> {
    /// An input whose splits the format tells, or which is to be divided.
    pub fn whole(path: &'a Path) -> Self {
        Self { split: None, path }
    }
}

/// The formats that can be read: those of this crate, and what a program adds.
#[derive(Clone)]
pub struct Formats(BTreeMap<&'static str, KnownFormat>);

/// What is done with the files of a format.
#[derive(Clone, Copy)]
struct KnownFormat {
    read: ReadFormat,
    look_into: fn(&Format, &BTreeMap<String, PathBuf>) -> Vec<Mistake>,
}

/// Reads by options that are known by their trait alone; nothing where they are of another type.
type ReadFormat =
    fn(&Format, &[SplitInput<'_>], &mut Intake<'_>) -> Option<Result<Option<Classes>, DataError>>;

impl Formats {
    /// The formats of this crate.
    pub fn built_in() -> Self {
        macro_rules! listed {
            ($($entry:path,)*) => { Self(BTreeMap::new())$(.with::<$entry>())* };
        }
        built_in_formats!(listed)
    }

    /// With one more format; one of the same name gives way.
    #[must_use]
    pub fn with<O: FormatReader>(mut self) -> Self {
        let read: ReadFormat = |format, inputs, intake| Some(format.options::<O>()?.read_all(inputs, intake));
        let known = KnownFormat {
            read,
            look_into: |format, files| match format.options::<O>() {
                Some(options) => options.look_into(files),
                None => Vec::new(),
            },
        };
        self.0.insert(O::NAME, known);
        self
    }

    /// Reads `inputs` by `format`; see [`FormatReader::read_all`].
    pub(super) fn read(
        &self,
        format: &Format,
        inputs: &[SplitInput<'_>],
        intake: &mut Intake<'_>,
    ) -> Result<Option<Classes>, DataError> {
        let read = self.0.get(format.name());
        read.and_then(|known| (known.read)(format, inputs, intake))
            .unwrap_or_else(|| Err(DataError::UnknownFormat { name: format.name() }))
    }

    /// What is wrong with the files of the project that `format` takes in; see [`FormatReader::look_into`].
    pub fn look_into(&self, format: &Format, files: &BTreeMap<String, PathBuf>) -> Vec<Mistake> {
        let known = self.0.get(format.name());
        known.map_or_else(Vec::new, |known| (known.look_into)(format, files))
    }
}

impl Debug for Formats {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Images of one shape, `[C, H, W]`, with classes that are known in the end.
fn images_with_classes([channels, height, width]: [usize; 3]) -> Result<Schema, DataError> {
    let image = Field::image(IMAGE, Dimensions::image(channels, Some([height, width])));
    with_classes(image)
}

/// What a network is shown, and classes that are known in the end.
fn with_classes(input: Field) -> Result<Schema, DataError> {
    Schema::new(vec![input, Field::class(CLASS, Vec::new())]).map_err(DataError::Options)
}

/// What stands in `folder`, sorted by name, without hidden entries.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let listing = fs::read_dir(folder).map_err(DataError::io("list", folder))?;
    let mut paths = Vec::new();
    for entry in listing {
        let path = entry.map_err(DataError::io("list", folder))?.path();
        if path.file_name().is_some_and(|name| !is_hidden(name)) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Hidden by custom, or left behind by a packing program.
pub(in crate::data) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX"
}

/// The last part of a path, as text.
fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// The input if it is a file, or the only file in it.
fn single_file(input: &Path) -> Result<PathBuf, DataError> {
    if !input.is_dir() {
        return Ok(input.to_owned());
    }
    let mut files = Vec::new();
    let mut folders = Vec::new();
    for path in entries(input)? {
        if path.is_dir() {
            folders.push(path);
        } else {
            files.push(path);
        }
    }
    match (&files[..], &folders[..]) {
        ([file], _) => Ok(file.clone()),
        ([], [folder]) => single_file(folder),
        ([], _) => Err(DataError::input(
            input,
            "one file is expected here, and there is none",
        )),
        _ => Err(DataError::input(input, several_files(&files))),
    }
}

/// The error that there are several files where one is expected.
fn several_files(files: &[PathBuf]) -> String {
    const NAMED: usize = 4;
    let names: Vec<String> = files.iter().map(|path| name_of(path)).collect();
    let more = if names.len() > NAMED { ", ..." } else { "" };
    let shown = names[..names.len().min(NAMED)].join("`, `");
    let advice = match by_split(&names) {
        Some(splits) => {
            let splits: Vec<String> = splits
                .iter()
                .map(|(split, name)| format!("{}: .../{name}", split.as_str()))
                .collect();
            format!(
                "name those of the splits, `input: {{{}}}`, or the file in `input`",
                splits.join(", ")
            )
        }
        None => "name the file in `input`".to_owned(),
    };
    format!(
        "one file is expected here, and there are {} (`{shown}`{more}): {advice}",
        names.len()
    )
}

/// The file of each split, where each of `names` is called as another one is, and one is to train on.
fn by_split(names: &[String]) -> Option<BTreeMap<SplitName, &String>> {
    let mut found = BTreeMap::new();
    for name in names {
        let hint = SplitHint::of(name.split('.').next()?)?;
        let split = match hint.word {
            SplitWord::Split(split) => split,
            SplitWord::Evaluation => SplitName::Test,
        };
        if found.insert(split, name).is_some() {
            return None;
        }
    }
    (found.len() > 1 && found.contains_key(&SplitName::Train)).then_some(found)
}

/// The folder that `holds` says is right: the input, or a folder in it.
fn holding_folder(
    input: &Path,
    what: &str,
    holds: impl Fn(&Path) -> Result<bool, DataError>,
) -> Result<PathBuf, DataError> {
    if !input.is_dir() {
        let problem =
            format!("a folder with {what} is expected here; was the archive unpacked (`unpack: true`)?");
        return Err(DataError::input(input, problem));
    }
    if holds(input)? {
        return Ok(input.to_owned());
    }
    let mut found = Vec::new();
    for path in entries(input)? {
        if path.is_dir() && holds(&path)? {
            found.push(path);
        }
    }
    match &found[..] {
        [folder] => Ok(folder.clone()),
        [] => Err(DataError::input(
            input,
            format!("there is no {what} here or one folder down"),
        )),
        [first, second, ..] => Err(DataError::input(
            input,
            format!(
                "both `{}` and `{}` have {what}: name one in `input`",
                name_of(first),
                name_of(second)
            ),
        )),
    }
}

/// Opens a file that may be compressed.
pub(in crate::data) fn open(path: &Path) -> Result<Box<dyn BufRead>, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let mut reader = BufReader::with_capacity(1 << 17, file);
    let start = reader.fill_buf().map_err(DataError::io("read", path))?;
    match Packing::of(start) {
        Some(packing) => {
            let unpacked = packing.unpacked(reader).map_err(DataError::io("read", path))?;
            Ok(Box::new(BufReader::with_capacity(1 << 17, unpacked)))
        }
        None => Ok(Box::new(reader)),
    }
}

/// Fills `buffer`; `false` if the file ends before.
fn read_full(reader: &mut dyn BufRead, buffer: &mut [u8], path: &Path) -> Result<bool, DataError> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(DataError::io("read", path)(error)),
    }
}

/// Whether nothing follows.
fn at_end(reader: &mut dyn BufRead, path: &Path) -> Result<bool, DataError> {
    let mut byte = [0];
    let count = reader
        .take(1)
        .read(&mut byte)
        .map_err(DataError::io("read", path))?;
    Ok(count == 0)
}
