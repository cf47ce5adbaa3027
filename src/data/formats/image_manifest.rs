//! Images and a list of them, which tells what is to be predicted for each.

#[cfg(test)]
mod tests;
mod unnamed_split;

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use super::image_files::{ImageFile, ImageReader, is_image_name};
use super::places::{RecordPlaces, split_word};
use super::split_names::SplitWord;
use super::{FormatReader, is_hidden};
use crate::data::error::DataError;
use crate::data::intake::{Intake, SplitPlace};
use crate::data::labels::Classes;
use crate::data::record_targets::RecordTargets;
use crate::data::records::{RecordFile, RecordForm, RecordLine};
use crate::spec::{ImageManifestOptions, SplitName, counted_that};
use unnamed_split::UnnamedSplit;

impl FormatReader for ImageManifestOptions {
    fn read(&self, input: &Path, intake: &mut Intake<'_>) -> Result<Option<Classes>, DataError> {
        read(self, input, intake)
    }
}

/// How many images that no line names are named in a warning.
const NAMED: usize = 3;

/// An image that a line names.
struct Listed {
    path: PathBuf,
    split: SplitWord,
    /// What else decides its split.
    place: SplitPlace,
    /// What is to be predicted, as [`RecordTargets`] keeps it.
    target: usize,
}

/// Reads the images that a list names, in its order.
///
/// A line whose image is missing, was named before, or whose label or split cannot be read, is a bad sample. Images
/// that no line names are warned of.
fn read(
    options: &ImageManifestOptions,
    input: &Path,
    intake: &mut Intake<'_>,
) -> Result<Option<Classes>, DataError> {
    let file = input.join(&options.file);
    if !file.is_file() {
        let problem = format!(
            "there is no list `{}` here: name the list's path in the input by `file`",
            options.file
        );
        return Err(DataError::input(input, problem));
    }
    let folder = file.parent().unwrap_or(input).to_owned();
    let form = RecordForm::of_name(&file, options.delimiter);
    let mut places = RecordPlaces::new(intake.split())?;
    if let (Some(own), Some(other)) = (&options.split, places.split())
        && own != other
    {
        return Err(DataError::Options(format!(
            "the list's `split` names the column `{own}`, and `split.column` the column `{other}`: remove one of the two"
        )));
    }
    let named: Vec<String> = columns(options)
        .into_iter()
        .chain(places.columns().cloned())
        .collect();
    let mut list = RecordFile::open(&file, form, &named)?;
    let mut targets = RecordTargets::new(options.task, options.label.as_slice(), &options.separator);
    let mut lines: HashMap<PathBuf, u64> = HashMap::new();
    let mut unnamed = UnnamedSplit::default();
    let says_split = options.split.is_some() || places.split().is_some();
    let mut listed = Vec::new();
    while let Some(line) = list.next_line()? {
        intake.tick()?;
        let number = line.number;
        if let (Ok(line), false) = (&line.content, says_split) {
            unnamed.watch(line, &named);
        }
        let found = line.content.and_then(|line| {
            let path = image_path(options, &folder, &line)?;
            if let Some(first) = lines.get(&path) {
                return Err(format!(
                    "its image is named in line {first} already: keep one of the two lines"
                ));
            }
            let (told, place) = places.of(&line, || format!("line {number}"))?;
            let split = match told {
                Some(split) => split,
                None => split_of(options, &line)?,
            };
            let target = targets.take(&line)?;
            lines.insert(path.clone(), number);
            Ok(Listed {
                path,
                split,
                place,
                target,
            })
        });
        match found {
            Ok(image) => listed.push(image),
            Err(problem) => intake.reject(DataError::Input {
                place: format!("`{}` line {number}", file.display()),
                problem,
            })?,
        }
    }
    places.finish(intake)?;
    if let Some(told) = unnamed.told() {
        intake.warn(told);
    }
    tell_unlisted(input, &file, &lines, intake)?;

    let is_tested = listed
        .iter()
        .any(|image| image.split == SplitWord::Split(SplitName::Test));
    let (field, targets, classes) = targets.finish(&file, intake)?;
    let files: Vec<ImageFile> = listed
        .into_iter()
        .map(|image| ImageFile {
            split: match image.split {
                SplitWord::Split(split) => split,
                SplitWord::Evaluation if is_tested => SplitName::Val,
                SplitWord::Evaluation => SplitName::Test,
            },
            place: image.place,
            target: targets.of(image.target),
            path: image.path,
        })
        .collect();
    ImageReader::new(options.images(), input, field)?.read(&files, intake)?;
    Ok(classes)
}

/// The image that a line names, if it is there. An error says what is wrong.
fn image_path(options: &ImageManifestOptions, folder: &Path, line: &RecordLine) -> Result<PathBuf, String> {
    let text = if options.path.contains('{') {
        filled(&options.path, line)?
    } else {
        line.text(&options.path)?
    };
    let candidates = [text.clone(), text.replace('\\', "/")];
    for candidate in &candidates {
        let relative = Path::new(candidate);
        let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if text.is_empty() || !relative.components().all(is_inside) {
            return Err(format!(
                "`{text}` is no path below the list's folder: images that lie elsewhere are no part of the input"
            ));
        }
        // Without `.`, so that an image has one path.
        let path = folder.join(relative.components().collect::<PathBuf>());
        if path.is_file() {
            return Ok(path);
        }
    }
    Err(format!("there is no image `{text}` in `{}`", folder.display()))
}

/// A pattern with a line's values in place of the columns in braces.
fn filled(pattern: &str, line: &RecordLine) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((column, behind)) = behind.split_once('}') else {
            return Err(format!("`path: {pattern}` has a brace that is not closed"));
        };
        out += before;
        out += &line.text(column)?;
        rest = behind;
    }
    Ok(out + rest)
}

/// The columns that the options name.
fn columns(options: &ImageManifestOptions) -> Vec<String> {
    let mut columns: Vec<String> = options.label.as_slice().to_vec();
    columns.extend(options.split.clone());
    if options.path.contains('{') {
        let parts = options.path.split('{').skip(1);
        columns.extend(parts.filter_map(|part| Some(part.split_once('}')?.0.to_owned())));
    } else {
        columns.push(options.path.clone());
    }
    columns
}

fn split_of(options: &ImageManifestOptions, line: &RecordLine) -> Result<SplitWord, String> {
    let Some(column) = &options.split else {
        return Ok(SplitWord::Split(SplitName::Train));
    };
    split_word(column, &line.text(column)?)
}

/// Warns of images in the input that no line names.
fn tell_unlisted(
    input: &Path,
    list: &Path,
    lines: &HashMap<PathBuf, u64>,
    intake: &mut Intake<'_>,
) -> Result<(), DataError> {
    let listed: HashSet<&Path> = lines.keys().map(PathBuf::as_path).collect();
    let walk = WalkDir::new(input)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter();
    let mut named = Vec::new();
    let mut count = 0u64;
    for entry in walk
        .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()))
        .flatten()
    {
        intake.tick()?;
        let path = entry.path();
        if entry.file_type().is_dir() || !is_image_name(path) || listed.contains(path) {
            continue;
        }
        count += 1;
        if named.len() < NAMED {
            named.push(format!(
                "`{}`",
                path.strip_prefix(input).unwrap_or(path).display()
            ));
        }
    }
    if count > 0 {
        let more = if count > NAMED as u64 { ", ..." } else { "" };
        intake.warn(format!(
            "{} not in the list `{}` and left out: {}{more}",
            counted_that(count, "image", ["of the input is", "of the input are"]),
            list.strip_prefix(input).unwrap_or(list).display(),
            named.join(", ")
        ));
    }
    Ok(())
}
