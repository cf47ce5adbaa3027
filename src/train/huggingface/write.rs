//! A folder that versions 4 and 5 of transformers load alike.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::config::CONFIG_FILE;
use super::family::FolderFamily;
use super::fitting::{abridged, core_name};
use super::folder::PretrainedFolder;
use super::units::in_units;
use super::{bert, gpt2, llama, rope, sentence};
use crate::models::Models;
use crate::schema::TokenRoles;
use crate::spec::{BertOptions, Gpt2Options, LlamaOptions, Precision, TextHead};
use crate::train::error::TrainError;
use crate::train::model_file::{WEIGHTS_FILE, write_json};
use crate::train::tensor_file::{HostTensor, NamedTensors, encode};

/// The file that says where texts end.
const GENERATION_FILE: &str = "generation_config.json";

/// How a folder is written.
#[derive(Clone, Copy, Debug)]
pub struct FolderWriting<'a> {
    /// Where the model was read from.
    pub source: &'a Path,
    /// Where the files go.
    pub output: &'a Path,
    /// The format of the numbers; as they are by default.
    pub precision: Option<Precision>,
    /// The special tokens.
    pub tokens: TokenRoles,
}

/// Writes `config.json`, `model.safetensors`, and what else belongs to the kind of model; tells what was left out.
/// What was read from such a folder is written as it was read, but for what the versions of transformers read in two
/// ways.
///
/// # Errors
/// The folder's weights are not whole, a number is too large for the format, or a file cannot be written.
pub fn write_folder(
    folder: &PretrainedFolder,
    writing: &FolderWriting<'_>,
    models: &Models,
) -> Result<Vec<String>, TrainError> {
    let bad = |problem: String| TrainError::BadFile {
        path: writing.source.to_owned(),
        problem,
    };
    let (tensors, notes) = tensors(folder, writing.precision, models).map_err(bad)?;
    write_tensors_for_all(&writing.output.join(WEIGHTS_FILE), &tensors)?;
    let config = config(folder, writing, &tensors);
    write_json(&writing.output.join(CONFIG_FILE), &config)?;
    if folder.head() == TextHead::Causal {
        let own = fs::read_to_string(writing.source.join(GENERATION_FILE)).ok();
        let own = own.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
        let fields = own.unwrap_or_else(|| generation(&config, &folder.end_tokens()));
        write_json(&writing.output.join(GENERATION_FILE), &fields)?;
    }
    if folder.head() == TextHead::Similarity {
        let (sizes, length) = (folder.sizes(), folder.max_length());
        let normalizes = sentence::normalizes(writing.source);
        for (name, content) in sentence::files(sizes.width, length, normalizes) {
            let path = writing.output.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(TrainError::writing(parent))?;
            }
            write_json(&path, &content)?;
        }
    }
    Ok(notes)
}

/// The class that the folder is for: the folder's own one, where it told of it.
fn class(folder: &PretrainedFolder) -> String {
    let own = folder
        .config()
        .get("architectures")
        .and_then(|classes| classes.get(0));
    let own = own.and_then(Value::as_str);
    match own.filter(|class| FolderFamily::head_of(class) == Some(folder.head())) {
        Some(class) => class.to_owned(),
        None => folder.family().class(folder.head()),
    }
}

/// The tensors by the names that new versions give them, and what is told of them.
fn tensors(
    folder: &PretrainedFolder,
    precision: Option<Precision>,
    models: &Models,
) -> Result<(NamedTensors, Vec<String>), String> {
    let fitting = folder.check(models)?;
    if !fitting.fresh.is_empty() {
        return Err(format!(
            "it has no weights for the head `{}` ({})",
            folder.head().name(),
            abridged(&fitting.fresh)
        ));
    }
    folder.check_twins()?;
    let family = folder.family();
    let class = class(folder);
    let mut places: BTreeMap<String, &str> = BTreeMap::new();
    for (own, name) in &fitting.taken {
        places.insert(own.clone(), name);
    }
    let mut left_out = Vec::new();
    for name in &fitting.aside {
        let core = core_name(family, name);
        let is_pooler = core.starts_with("pooler.");
        if class.ends_with("ForPreTraining") && (is_pooler || core.starts_with("cls.seq_relationship.")) {
            let prefix = if is_pooler { family.prefix() } else { "" };
            places.insert(format!("{prefix}{core}"), name);
        } else if folder.head() == TextHead::Similarity && is_pooler {
            places.insert(core, name);
        } else if family.twins().iter().all(|[_, twin]| *twin != core) {
            left_out.push(name.clone());
        }
    }
    // Where a head is not tied, neither is its bias: version 5 looks for both.
    if !folder.is_tied() {
        for [one, twin] in family.twins() {
            if let (true, Some(name)) = (twin.ends_with("bias"), places.get(*one)) {
                places.insert((*twin).to_owned(), name);
            }
        }
    }
    let mut notes = Vec::new();
    if !left_out.is_empty() {
        notes.push(format!(
            "a {class} has no place for these, which are left out: {}",
            abridged(&left_out)
        ));
    }
    let has_pooler =
        matches!(family, FolderFamily::Bert(variant) if variant != crate::spec::BertVariant::Distilbert);
    if folder.head() == TextHead::Similarity && has_pooler && !places.contains_key("pooler.dense.weight") {
        notes.push(
            "there is no pooler: transformers draws one, and says so, which nothing here is computed with"
                .to_owned(),
        );
    }
    let mut tensors = NamedTensors::new();
    for (name, place) in places {
        tensors.insert(name, folder.read(place)?);
    }
    in_units(folder, &mut tensors)?;
    if let Some(precision) = precision {
        for (name, tensor) in &mut tensors {
            *tensor = in_format(tensor, precision).map_err(|problem| format!("`{name}`: {problem}"))?;
        }
    }
    Ok((tensors, notes))
}

/// A tensor's values in a format, each rounded to the nearest.
fn in_format(tensor: &HostTensor, precision: Precision) -> Result<HostTensor, String> {
    let (dtype, wanted) = match precision {
        Precision::F32 => (DType::F32, Dtype::F32),
        Precision::Bf16 => (DType::BF16, Dtype::BF16),
        Precision::F16 => (DType::F16, Dtype::F16),
    };
    if tensor.dtype() == wanted {
        return Ok(tensor.clone());
    }
    let values = tensor.widened()?;
    if precision == Precision::F32 {
        return Ok(HostTensor::from_f32(tensor.shape().to_vec(), &values));
    }
    let narrow = || -> candle_core::Result<Vec<u16>> {
        let count = values.len();
        let narrow = Tensor::from_slice(&values, count, &Device::Cpu)?.to_dtype(dtype)?;
        Ok(match precision {
            Precision::F16 => narrow
                .to_vec1::<half::f16>()?
                .into_iter()
                .map(half::f16::to_bits)
                .collect(),
            _ => narrow
                .to_vec1::<half::bf16>()?
                .into_iter()
                .map(half::bf16::to_bits)
                .collect(),
        })
    };
    let words = narrow().map_err(|error| error.to_string())?;
    let is_infinite = |word: u16| match precision {
        Precision::F16 => half::f16::from_bits(word).is_infinite(),
        _ => half::bf16::from_bits(word).is_infinite(),
    };
    let lost = values
        .iter()
        .zip(&words)
        .find(|(value, word)| value.is_finite() && is_infinite(**word));
    if let Some((value, _)) = lost {
        return Err(format!(
            "{value} is too large for {dtype:?}: write it as `bf16` or `f32`"
        ));
    }
    let bytes = words.into_iter().flat_map(u16::to_le_bytes).collect();
    Ok(HostTensor::new(wanted, tensor.shape().to_vec(), bytes))
}

/// Writes tensors, readable by everyone: what safetensors itself writes is the owner's alone.
pub fn write_tensors_for_all(path: &Path, tensors: &NamedTensors) -> Result<(), TrainError> {
    let entries = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = encode(entries, metadata).map_err(|problem| TrainError::BadFile {
        path: path.to_owned(),
        problem,
    })?;
    fs::write(path, bytes).map_err(TrainError::writing(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(TrainError::writing(path))
}

/// What `config.json` is to say.
fn config(
    folder: &PretrainedFolder,
    writing: &FolderWriting<'_>,
    tensors: &NamedTensors,
) -> Map<String, Value> {
    let family = folder.family();
    let given = folder.config();
    let own = options(folder);
    let mut fields = Map::new();
    fields.insert("architectures".to_owned(), json!([class(folder)]));
    if given.is_empty() {
        fields.insert("model_type".to_owned(), json!(family.model_type()));
        fields.extend(own);
        tell_tokens(&mut fields, writing.tokens);
        if let Some(labels) = folder.labels() {
            labels.write(&mut fields);
            if folder.head() == TextHead::Classification {
                labels.write_kind(&mut fields);
            }
        }
    } else {
        let others = given.iter().filter(|(name, _)| *name != "architectures");
        fields.extend(others.map(|(name, value)| (name.clone(), value.clone())));
        // Version 5 refuses whole numbers that are written as floats, and the other way round.
        for (name, value) in &own {
            if let Some(field) = fields.get_mut(name)
                && field.as_f64().is_some()
                && field.as_f64() == value.as_f64()
            {
                *field = value.clone();
            }
        }
        if let Some(tied) = own.get("tie_word_embeddings") {
            fields.insert("tie_word_embeddings".to_owned(), tied.clone());
        }
        if let (FolderFamily::Llama(_), Some(theta)) = (family, own.get("rope_theta").and_then(Value::as_f64))
        {
            rope::write(&mut fields, theta);
        }
        let is_told = ["id2label", "label2id", "num_labels", "_num_labels"]
            .iter()
            .any(|name| given.contains_key(*name));
        if let Some(labels) = folder.labels().filter(|_| is_told) {
            fields.shift_remove("num_labels");
            fields.shift_remove("_num_labels");
            labels.write(&mut fields);
        }
    }
    tell_format(&mut fields, writing.precision, tensors);
    fields
}

/// What the options of the architecture are in a `config.json`.
fn options(folder: &PretrainedFolder) -> Map<String, Value> {
    let (model, rows) = (folder.model(), folder.rows());
    if let Some(options) = model.options::<Gpt2Options>() {
        return gpt2::write(options, rows);
    }
    if let Some(options) = model.options::<BertOptions>() {
        return bert::write(options, rows);
    }
    match model.options::<LlamaOptions>() {
        Some(options) => llama::write(options, rows),
        None => Map::new(),
    }
}

/// The special tokens, those that there are not as null: where nothing is said, classes have numbers of their own.
fn tell_tokens(fields: &mut Map<String, Value>, tokens: TokenRoles) {
    for (name, token) in [
        ("bos_token_id", tokens.bos),
        ("eos_token_id", tokens.eos),
        ("pad_token_id", tokens.pad),
    ] {
        // What the family pads with is among its options.
        if fields.get(name).is_none_or(Value::is_null) {
            fields.insert(name.to_owned(), json!(token));
        }
    }
}

/// The format of the numbers, as both versions call it; nothing where there are several.
fn tell_format(fields: &mut Map<String, Value>, asked: Option<Precision>, tensors: &NamedTensors) {
    let mut formats: Vec<Dtype> = tensors.values().map(HostTensor::dtype).collect();
    formats.sort_unstable();
    formats.dedup();
    let told = ["dtype", "torch_dtype"]
        .iter()
        .find_map(|name| fields.get(*name)?.as_str());
    let told = told.map(str::to_owned).filter(|_| asked.is_none());
    let of_tensors = match formats.as_slice() {
        [Dtype::F32] => Some("float32"),
        [Dtype::BF16] => Some("bfloat16"),
        [Dtype::F16] => Some("float16"),
        [Dtype::F64] => Some("float64"),
        _ => None,
    };
    match told.or_else(|| of_tensors.map(str::to_owned)) {
        Some(format) => {
            fields.insert("dtype".to_owned(), json!(format));
            fields.insert("torch_dtype".to_owned(), json!(format));
        }
        None => {
            fields.shift_remove("dtype");
            fields.shift_remove("torch_dtype");
        }
    }
}

/// What `generation_config.json` says where the folder has none: as transformers writes it.
fn generation(config: &Map<String, Value>, ends: &[u32]) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("_from_model_config".to_owned(), json!(true));
    for name in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        if let Some(token) = config.get(name).filter(|token| !token.is_null()) {
            fields.insert(name.to_owned(), token.clone());
        }
    }
    // A model that is asked in turns may end a turn by another token than a text.
    let ends = match ends {
        [] => None,
        [end] => Some(json!(end)),
        ends => Some(json!(ends)),
    };
    if let Some(ends) = ends {
        fields.insert("eos_token_id".to_owned(), ends);
    }
    fields
}
