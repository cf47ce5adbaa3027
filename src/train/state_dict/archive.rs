//! The files that `torch.save` writes since PyTorch 1.6: a zip archive without compression.
//!
//! ```text
//! NAME/data.pkl       what is saved: a pickle that speaks of storages by their keys
//! NAME/data/KEY       a storage each
//! NAME/byteorder      `little` or `big`; little where there is none
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;

use zip::{CompressionMethod, ZipArchive};

use super::pickle::Pickle;
use super::place::{StorageBytes, TensorPlace};
use super::pytorch::PickledTensors;
use super::{DESCRIPTION_LIMIT, WeightsDescription};

/// What `file`, a zip archive, holds.
///
/// # Errors
/// It is not what `torch.save` writes: a sentence.
pub(super) fn describe(file: &File, length: u64) -> Result<WeightsDescription, String> {
    let reader = file
        .try_clone()
        .map_err(|error| format!("cannot read it: {error}"))?;
    let mut archive = TorchArchive::open(ZipArchive::new(BufReader::new(reader)).map_err(|error| {
        format!("it begins as a zip archive and is damaged or cut off ({error}); get it again")
    })?)?;
    let big_endian = match archive.bytes(file, "byteorder", length, 64)? {
        None => false,
        Some(order) if order == b"little" => false,
        Some(order) if order == b"big" => true,
        Some(_) => return Err("it says nothing of use on the order of its bytes (`byteorder`)".to_owned()),
    };
    let description = archive
        .bytes(file, "data.pkl", length, DESCRIPTION_LIMIT)?
        .ok_or("it has no `data.pkl`")?;
    let pickle = Pickle::read(&description).map_err(|error| error.to_string())?;
    let PickledTensors {
        tensors,
        mut others,
        storages,
        ..
    } = PickledTensors::of(&pickle)?;
    let mut places = BTreeMap::new();
    for (name, view) in tensors {
        let mut place = || -> Result<TensorPlace, String> {
            let key = &view.storage;
            let storage = storages.get(key).ok_or("a tensor without a storage")?;
            let bytes = archive.entry(&format!("data/{key}"), length)?;
            let bytes = bytes.ok_or_else(|| format!("a tensor whose storage `{key}` is missing"))?;
            TensorPlace::view(&view, *storage, StorageBytes { big_endian, ..bytes })
        };
        match place() {
            Ok(place) => drop(places.insert(name, place)),
            Err(problem) => drop(others.insert(name, problem)),
        }
    }
    Ok(WeightsDescription {
        tensors: places,
        others,
    })
}

/// An archive, and the folder in it that everything lies in.
struct TorchArchive {
    archive: ZipArchive<BufReader<File>>,
    folder: String,
}

impl TorchArchive {
    fn open(archive: ZipArchive<BufReader<File>>) -> Result<Self, String> {
        let mut folders = archive.file_names().filter_map(|name| {
            let name = name.ok()?;
            let folder = name.strip_suffix("/data.pkl")?;
            (!folder.contains('/')).then(|| folder.to_owned())
        });
        let (folder, another) = (folders.next(), folders.next());
        drop(folders);
        let Some(folder) = folder else {
            return Err("it is a zip archive, and not one of `torch.save`: it has no `data.pkl`".to_owned());
        };
        if another.is_some() {
            return Err("it is a zip archive with several files `data.pkl`".to_owned());
        }
        if archive
            .index_for_name_raw(format!("{folder}/constants.pkl").as_bytes())
            .is_some()
        {
            return Err(
                "it is a TorchScript program (`torch.jit.save`), which is more than weights; save \
                        `torch.jit.load(...).state_dict()` by `torch.save` and name that file"
                    .to_owned(),
            );
        }
        Ok(Self { archive, folder })
    }

    /// Where an entry lies in the file.
    fn entry(&mut self, name: &str, length: u64) -> Result<Option<StorageBytes>, String> {
        let Some(index) = self
            .archive
            .index_for_name_raw(format!("{}/{name}", self.folder).as_bytes())
        else {
            return Ok(None);
        };
        let entry = self.archive.by_index_raw(index);
        let entry = entry.map_err(|error| format!("its entry `{name}` is damaged ({error})"))?;
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(format!(
                "its entry `{name}` is compressed or encrypted, which `torch.save` never does"
            ));
        }
        let (start, size) = (entry.data_start().unwrap_or(u64::MAX), entry.size());
        if size != entry.compressed_size() || start.checked_add(size).is_none_or(|end| end > length) {
            return Err(format!(
                "its entry `{name}` leads outside of the file: it is cut off"
            ));
        }
        Ok(Some(StorageBytes {
            start,
            length: size,
            // What PyTorch writes where it was told to compute none.
            check: Some(entry.crc32()).filter(|sum| *sum != 0),
            big_endian: false,
        }))
    }

    /// The bytes of an entry, which must not be more than `limit`.
    fn bytes(&mut self, file: &File, name: &str, length: u64, limit: u64) -> Result<Option<Vec<u8>>, String> {
        let Some(entry) = self.entry(name, length)? else {
            return Ok(None);
        };
        if entry.length > limit {
            return Err(format!(
                "its `{name}` has {} bytes, and over {limit} are too many for one",
                entry.length
            ));
        }
        let mut bytes = vec![0; entry.length as usize];
        file.read_exact_at(&mut bytes, entry.start)
            .map_err(|error| format!("cannot read its `{name}`: {error}"))?;
        Ok(Some(bytes))
    }
}
