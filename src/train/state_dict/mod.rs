//! Files of weights: safetensors, and PyTorch's state dicts, old and new.
//!
//! [`StateDict::open`] reads descriptions alone: which tensors a file holds, of which types and shapes, and
//! where in the file. Nothing that the file says is executed, nothing is read or allocated because the file
//! claims it, and what cannot be told for sure is refused with the reason. [`StateDict::read`] then reads the
//! tensors that are wanted, whose shapes are known to be right by then. Which ones those are, `fitting` finds
//! out: the names of a file are not always those of the network.

mod archive;
mod fitting;
mod pickle;
mod place;
mod pytorch;
mod stacked;
#[cfg(test)]
mod tests;
mod timm;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use fitting::{Fitting, WantedTensor, WantedTensors};
use place::TensorPlace;

use super::model_file::{CARD_FILE, WEIGHTS_FILE};
use super::tensor_file::{NamedTensors, read_header};

/// The bytes of a description beyond which a file is refused: one of ten thousand tensors has some 2 MB.
const DESCRIPTION_LIMIT: u64 = 16 << 20;

/// How many times its own size a file may make us read: tensors can be views of the same bytes.
const MOST_READINGS: u64 = 32;

/// A file of weights, of which the description has been read.
#[derive(Debug)]
pub struct StateDict {
    file: File,
    length: u64,
    described: WeightsDescription,
}

/// What a file of weights says that it holds.
#[derive(Debug)]
struct WeightsDescription {
    tensors: BTreeMap<String, TensorPlace>,
    /// What else it holds where a tensor might be, and what that is.
    others: BTreeMap<String, String>,
}

impl StateDict {
    /// Reads the description of the file at `path`, or of the weights in a folder: those of a model, or the
    /// only file that there is.
    ///
    /// # Errors
    /// It cannot be read, or is no file of weights that can be told for sure: a sentence with what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        let cannot = |error: std::io::Error| format!("cannot read the weights: {error}");
        let path = if path.is_dir() {
            weights_in(path)?
        } else {
            path.to_owned()
        };
        let file = File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        if !metadata.is_file() {
            return Err("it is no file".to_owned());
        }
        let length = metadata.len();
        let mut opening = vec![0; length.min(1024) as usize];
        file.read_exact_at(&mut opening, 0).map_err(cannot)?;
        let described = match opening.as_slice() {
            [] => Err("it is empty".to_owned()),
            opening if opening.starts_with(b"PK\x03\x04") || opening.starts_with(b"PK\x05\x06") => {
                archive::describe(&file, length)
            }
            opening if stacked::is_stacked(opening) => stacked::describe(&file, length),
            opening if opening.get(8) == Some(&b'{') => safetensors(&file, length),
            opening => Err(unknown(opening)),
        }?;
        let dict = Self {
            file,
            length,
            described,
        };
        dict.check_content()?;
        Ok(dict)
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorPlace> {
        &self.described.tensors
    }

    /// What the file holds under a name that is no plain tensor, for messages.
    pub fn other(&self, name: &str) -> Option<&str> {
        self.described.others.get(name).map(String::as_str)
    }

    /// Reads tensors.
    ///
    /// # Errors
    /// One cannot be read, or the file is damaged: a sentence with its name.
    pub fn read<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<NamedTensors, String> {
        let mut left = self.length.saturating_mul(MOST_READINGS);
        let mut tensors = NamedTensors::new();
        for name in names {
            let place = self.described.tensors.get(name);
            let place = place.ok_or_else(|| format!("`{name}` is not there"))?;
            left = left.checked_sub(place.span()).ok_or_else(|| {
                format!(
                    "its tensors are views that together have over {MOST_READINGS} times the file's bytes"
                )
            })?;
            let tensor = place
                .read(&self.file)
                .map_err(|problem| format!("`{name}`: {problem}"))?;
            tensors.insert(name.to_owned(), tensor);
        }
        Ok(tensors)
    }

    /// Says what it holds instead, where it holds no tensors at all.
    fn check_content(&self) -> Result<(), String> {
        if !self.described.tensors.is_empty() {
            return Ok(());
        }
        let mut others = self.described.others.iter();
        Err(match others.find(|(_, what)| what.starts_with("an object of")) {
            Some((name, what)) => {
                let what = match name.as_str() {
                    "" => format!("it is {what}"),
                    name => format!("`{name}` in it is {what}"),
                };
                format!(
                    "{what}: a whole pickled module, which only the program that made it can read; save \
                     `model.state_dict()` by `torch.save` there, and name that file"
                )
            }
            None => match self.described.others.iter().next() {
                Some((name, what)) if name.is_empty() => format!("it holds no tensors; it is {what}"),
                Some((name, what)) => format!("it holds no tensors; `{name}` in it is {what}"),
                None => "it holds no tensors".to_owned(),
            },
        })
    }
}

/// The file of weights in a folder.
fn weights_in(folder: &Path) -> Result<PathBuf, String> {
    let model = folder.join(WEIGHTS_FILE);
    let card = fs::read_to_string(folder.join(CARD_FILE)).ok();
    let card = card.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    if card.is_some_and(|card| card.get("quantization").is_some()) {
        let problem =
            "it is a quantized model, whose weights are rounded: name the one that it was made from";
        return Err(problem.to_owned());
    }
    if model.exists() {
        return Ok(model);
    }
    let items = folder
        .read_dir()
        .map_err(|error| format!("cannot list the folder: {error}"))?;
    let mut paths: Vec<PathBuf> = items.flatten().map(|item| item.path()).collect();
    paths.sort();
    match paths.as_slice() {
        [only] if only.is_file() => Ok(only.clone()),
        [] => Err("the folder is empty".to_owned()),
        paths => {
            let names = paths
                .iter()
                .filter_map(|path| Some(path.file_name()?.to_string_lossy()));
            let names: Vec<String> = names.take(4).map(|name| format!("`{name}`")).collect();
            Err(format!(
                "it is a folder without `{WEIGHTS_FILE}` ({}{}): name the file to take, behind a `/`",
                names.join(", "),
                if paths.len() > 4 { ", ..." } else { "" }
            ))
        }
    }
}

/// What a safetensors file holds.
fn safetensors(file: &File, length: u64) -> Result<WeightsDescription, String> {
    let read = read_header(file, length).map_err(|error| format!("cannot read the weights: {error}"))?;
    let (header, start) = read.map_err(|problem| {
        format!("it is no whole safetensors file ({problem}): it is damaged or cut off; get it again")
    })?;
    let place = |offset: usize| start.saturating_add(offset as u64);
    let tensors = header.tensors().into_iter().map(|(name, info)| {
        let (from, to) = info.data_offsets;
        let place = TensorPlace::rows(info.dtype, info.shape.clone(), place(from), place(to));
        (name, place)
    });
    Ok(WeightsDescription {
        tensors: tensors.collect(),
        others: BTreeMap::new(),
    })
}

/// What a file that is no file of weights may be.
fn unknown(opening: &[u8]) -> String {
    let expected = "a safetensors file or a state dict that `torch.save` wrote is expected";
    if opening.get(257..262) == Some(b"ustar") {
        return format!(
            "it is a tar archive, as PyTorch before 0.1.10 wrote them; {expected}: load it and save it again \
             with a newer PyTorch"
        );
    }
    match opening {
        [0x80, ..] => format!("it is a pickle, and not one of `torch.save`; {expected}"),
        [b'{', ..] => format!("it is JSON; {expected}, such as one of the files that it may list"),
        [b'<', ..] => format!("it looks like a web page; {expected}: was the download a page with a link?"),
        [0x89, b'H', b'D', b'F', ..] => format!("it is an HDF5 file, such as Keras writes; {expected}"),
        _ if opening.starts_with(b"version https://git-lfs") => {
            format!("it is a pointer of Git LFS; {expected}: get the file itself by `git lfs pull`")
        }
        _ => format!("it is of an unknown format; {expected}"),
    }
}
