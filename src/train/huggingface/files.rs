//! The weights of a folder, as one set of tensors.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::adapter::{ADAPTER_CONFIG_FILE, ADAPTER_FOLDER};
use super::gguf::GgufFile;
use crate::train::state_dict::StateDict;
use crate::train::tensor_file::{HostTensor, NamedTensors};

/// Files that hold all weights, the first that is there.
const WHOLE: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// Files that say which weights are in which file.
const INDICES: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];

/// What stands in folders without weights that can be read here, and what to say of it.
const OTHERS: [(&str, &str); 4] = [
    (
        ADAPTER_CONFIG_FILE,
        "it is an adapter and not a whole model: merge it into its base (`merge_and_unload()` of peft) and save that",
    ),
    (
        "tf_model.h5",
        "its weights are TensorFlow's: load it with `from_tf=True` and save it again",
    ),
    (
        "flax_model.msgpack",
        "its weights are Flax's: load it with `from_flax=True` and save it again",
    ),
    (
        "model.onnx",
        "it is an ONNX model: take the folder that it was exported from",
    ),
];

/// The weights of a folder, of which the descriptions have been read.
#[derive(Debug)]
pub struct FolderWeights {
    source: WeightSource,
    /// By name: which file, and the tensor's shape.
    tensors: BTreeMap<String, (usize, Vec<usize>)>,
}

/// Where tensors are read from.
#[derive(Debug)]
enum WeightSource {
    Files(Vec<StateDict>),
    /// A file of llama.cpp, which then is the only one.
    Gguf(GgufFile),
    /// They have been read: low-rank changes are part of them.
    Merged(NamedTensors),
}

/// What an index says.
#[derive(Deserialize)]
struct WeightIndex {
    weight_map: BTreeMap<String, String>,
}

impl FolderWeights {
    /// Those in `folder`: one file, or the several that an index names.
    ///
    /// # Errors
    /// There are none, or one cannot be read: a sentence with what to do.
    pub fn find(folder: &Path) -> Result<Self, String> {
        for (whole, index) in WHOLE.iter().zip(INDICES) {
            let is_whole = folder.join(whole).is_file();
            if is_whole || folder.join(index).is_file() {
                check_adapters(folder)?;
            }
            if is_whole {
                return Self::whole(&folder.join(whole), whole);
            }
            if folder.join(index).is_file() {
                return Self::indexed(folder, index);
            }
        }
        let known = OTHERS.iter().find(|(name, _)| folder.join(name).is_file());
        Err(match known {
            Some((_, problem)) => (*problem).to_owned(),
            None => format!(
                "it has no weights: no {}, and no index of several",
                WHOLE.join(", no ")
            ),
        })
    }

    /// Those of a file of llama.cpp.
    pub fn of_gguf(file: GgufFile) -> Self {
        Self {
            tensors: file
                .shapes()
                .map(|(name, shape)| (name.clone(), (0, shape)))
                .collect(),
            source: WeightSource::Gguf(file),
        }
    }

    /// Those of a model of low-rank changes, with the changes in them.
    pub fn merged(tensors: NamedTensors) -> Self {
        Self {
            tensors: tensors
                .iter()
                .map(|(name, tensor)| (name.clone(), (0, tensor.shape().to_vec())))
                .collect(),
            source: WeightSource::Merged(tensors),
        }
    }

    fn whole(path: &Path, name: &str) -> Result<Self, String> {
        let file = StateDict::open(path).map_err(|problem| format!("its {name}: {problem}"))?;
        let tensors = file.tensors().iter();
        Ok(Self {
            tensors: tensors
                .map(|(name, place)| (name.clone(), (0, place.shape.clone())))
                .collect(),
            source: WeightSource::Files(vec![file]),
        })
    }

    fn indexed(folder: &Path, index: &str) -> Result<Self, String> {
        let text = fs::read_to_string(folder.join(index))
            .map_err(|error| format!("cannot read its {index}: {error}"))?;
        let map: WeightIndex = serde_json::from_str(&text)
            .map_err(|error| format!("its {index} is no index of weights: {error}"))?;
        let mut names: Vec<&String> = map.weight_map.values().collect();
        names.sort();
        names.dedup();
        let mut files = Vec::new();
        let mut tensors = BTreeMap::new();
        for name in &names {
            if name.contains(['/', '\\']) {
                return Err(format!(
                    "its {index} names `{name}`, which is no file of the folder"
                ));
            }
            if !folder.join(name).is_file() {
                return Err(format!(
                    "its {index} names `{name}`, which is not there: get the whole folder"
                ));
            }
        }
        for name in names {
            let file =
                StateDict::open(&folder.join(name)).map_err(|problem| format!("its {name}: {problem}"))?;
            let number = files.len();
            for (tensor, place) in file.tensors() {
                let told = map.weight_map.get(tensor);
                if told.is_none_or(|told| told != name) {
                    return Err(format!(
                        "its {name} holds `{tensor}`, which its {index} does not say of it: the files do not belong \
                         together"
                    ));
                }
                tensors.insert(tensor.clone(), (number, place.shape.clone()));
            }
            files.push(file);
        }
        if let Some(missing) = map.weight_map.keys().find(|name| !tensors.contains_key(*name)) {
            return Err(format!(
                "its {index} names `{missing}`, which is in none of the files"
            ));
        }
        Ok(Self {
            source: WeightSource::Files(files),
            tensors,
        })
    }

    /// The tensors' shapes by name.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors
            .iter()
            .map(|(name, (_, shape))| (name.as_str(), shape.as_slice()))
    }

    /// The shape of a tensor, where it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, shape)| shape.as_slice())
    }

    /// Reads a tensor, as it is in the file.
    ///
    /// # Errors
    /// It cannot be read: a sentence with its name.
    pub fn read(&self, name: &str) -> Result<HostTensor, String> {
        let absent = || format!("`{name}` is not there");
        let (number, _) = self.tensors.get(name).ok_or_else(absent)?;
        match &self.source {
            WeightSource::Files(files) => files[*number].read([name])?.remove(name).ok_or_else(absent),
            WeightSource::Gguf(file) => file.read(name),
            WeightSource::Merged(tensors) => tensors.get(name).cloned().ok_or_else(absent),
        }
    }
}

/// Fails where low-rank changes stand beside weights, or in the folder `adapter` where an export without `merge` puts them:
/// whoever reads the weights alone would leave them out.
fn check_adapters(folder: &Path) -> Result<(), String> {
    let beside = [
        (folder.join(ADAPTER_CONFIG_FILE), "beside its weights"),
        (
            folder.join(ADAPTER_FOLDER).join(ADAPTER_CONFIG_FILE),
            "in its folder `adapter`",
        ),
    ];
    match beside.iter().find(|(path, _)| path.is_file()) {
        None => Ok(()),
        Some((_, place)) => Err(format!(
            "low-rank changes stand {place}, and would be left out: export the model with `merge: true`, or have peft merge \
             them (`merge_and_unload()`); for the weights without them, take the changes away"
        )),
    }
}
