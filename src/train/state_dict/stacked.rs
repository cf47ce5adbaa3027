//! The files that `torch.save` wrote before PyTorch 1.6: pickles, one after another, and then the storages.
//!
//! ```text
//! a pickle     the number 0x1950a86a20f9469cfc6c
//! a pickle     the version of the protocol, 1001
//! a pickle     what the machine was like
//! a pickle     what is saved: it speaks of storages by their keys
//! a pickle     the keys, in the order of the storages
//! storages     each 8 bytes with the number of elements, and the elements; the lowest byte first
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::pickle::{Pickle, PickleError};
use super::place::{StorageBytes, TensorPlace, element_size};
use super::pytorch::PickledTensors;
use super::{DESCRIPTION_LIMIT, WeightsDescription};

/// The bytes of the number that such files begin with.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Pickles before the storages.
const PICKLES: usize = 5;

/// Whether a file that begins with `bytes` is one.
pub(super) fn is_stacked(bytes: &[u8]) -> bool {
    let mut windows = bytes.windows(MAGIC.len()).take(16);
    bytes.first() == Some(&0x80) && windows.any(|window| window == MAGIC)
}

/// What such a `file` holds.
///
/// # Errors
/// It is not what `torch.save` wrote: a sentence.
pub(super) fn describe(file: &File, length: u64) -> Result<WeightsDescription, String> {
    let (pickles, mut at) = pickles(file, length)?;
    let [_, _, _, saved, keys] = &pickles[..] else {
        return Err("it is cut off".to_owned());
    };
    let PickledTensors {
        tensors,
        mut others,
        storages,
        unknown_storage,
    } = PickledTensors::of(saved)?;
    let mut places = BTreeMap::new();
    for &key in keys
        .sequence(keys.root())
        .ok_or("it does not list its storages")?
    {
        let key = keys.text(key).ok_or("it does not name its storages")?;
        let storage = storages.get(key).ok_or_else(|| match &unknown_storage {
            Some(problem) => format!("it holds {problem}"),
            None => format!("it has a storage `{key}` that nothing speaks of"),
        })?;
        let mut elements = [0; 8];
        file.read_exact_at(&mut elements, at)
            .map_err(|_| "it is cut off".to_owned())?;
        let size = element_size(storage.dtype).ok_or("a type of unknown size")?;
        let bytes = u64::from_le_bytes(elements).checked_mul(size);
        let end = bytes.and_then(|bytes| at.checked_add(8)?.checked_add(bytes));
        let end = end.filter(|end| *end <= length).ok_or("it is cut off")?;
        let bytes = StorageBytes {
            start: at + 8,
            length: end - at - 8,
            check: None,
            big_endian: false,
        };
        if places.insert(key.to_owned(), bytes).is_some() {
            return Err(format!("it lists its storage `{key}` twice"));
        }
        at = end;
    }
    let mut found = BTreeMap::new();
    for (name, view) in tensors {
        let place = || -> Result<TensorPlace, String> {
            let key = &view.storage;
            match (storages.get(key), places.get(key)) {
                (Some(storage), Some(bytes)) => TensorPlace::view(&view, *storage, *bytes),
                _ => Err(format!("a tensor whose storage `{key}` is missing")),
            }
        };
        match place() {
            Ok(place) => drop(found.insert(name, place)),
            Err(problem) => drop(others.insert(name, problem)),
        }
    }
    Ok(WeightsDescription {
        tensors: found,
        others,
    })
}

/// The pickles that the file begins with, and where they end. How long they are is not known beforehand.
fn pickles(file: &File, length: u64) -> Result<(Vec<Pickle>, u64), String> {
    let mut read = 1 << 16;
    loop {
        let bytes = usize::try_from(length.min(read)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; bytes];
        file.read_exact_at(&mut bytes, 0)
            .map_err(|error| format!("cannot read it: {error}"))?;
        match stack(&bytes) {
            Ok((pickles, end)) => return Ok((pickles, end as u64)),
            Err(PickleError::Truncated) if read < length && read < DESCRIPTION_LIMIT => read *= 8,
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn stack(bytes: &[u8]) -> Result<(Vec<Pickle>, usize), PickleError> {
    let (mut pickles, mut end) = (Vec::with_capacity(PICKLES), 0);
    for _ in 0..PICKLES {
        let pickle = Pickle::read(&bytes[end..])?;
        end += pickle.length;
        pickles.push(pickle);
    }
    Ok((pickles, end))
}
