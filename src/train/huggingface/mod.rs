//! Folders with models of text, as Hugging Face's programs write and read them.
//!
//! In goes a folder: its `config.json` becomes the options of an architecture ([`PretrainedFolder::model`]), its
//! tensors, from one file or several, the parameters of a network ([`PretrainedFolder::fill`]). Both spellings of
//! versions 4 and 5 of transformers are read, and old names. What cannot be obeyed is refused by its name, and what
//! two versions read in two ways is told: nothing is computed otherwise without a word. Out comes a folder that both
//! versions load ([`write_folder`]). A GGUF file with a Llama is read as the folder that it was made from.

mod activation;
mod adapter;
mod bert;
mod config;
mod family;
mod files;
mod fitting;
mod folder;
mod gguf;
mod gpt2;
mod labels;
mod llama;
mod rope;
mod sentence;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod trained;
mod units;
mod write;

use serde_json::{Map, Value};

pub use adapter::{ADAPTER_FOLDER, PeftAdapter, adapter_alone};
pub use config::CONFIG_FILE;
pub use family::FolderFamily;
pub use files::FolderWeights;
pub use fitting::FolderFitting;
pub use folder::{Filled, FolderWish, PretrainedFolder, TextModelSizes};
pub use labels::{FolderLabels, LabelKind};
pub use sentence::NO_PAD;
pub use write::{FolderWriting, write_folder};

/// The fields of a JSON object.
fn object(fields: Value) -> Map<String, Value> {
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
