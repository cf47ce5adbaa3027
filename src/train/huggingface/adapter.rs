//! Low-rank changes as Hugging Face's PEFT keeps them: `adapter_model.safetensors` and `adapter_config.json`.
//!
//! PEFT saves modules as a whole, and what it finds in none of its files it takes from the base. So every head that the
//! base may not have (a classifier, a pooler) is saved with the changes, and a layer that was changed and trained in
//! full besides is saved with its change in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::config::CONFIG_FILE;
use super::family::FolderFamily;
use super::fitting::{abridged, core_name};
use super::folder::{FolderWish, PretrainedFolder};
use super::units::in_units;
use super::write::write_tensors_for_all;
use crate::models::is_low_rank;
use crate::spec::{LoraOptions, Positive, TextHead};
use crate::train::components::Components;
use crate::train::error::TrainError;
use crate::train::low_rank::ADAPTER_FILE;
use crate::train::model_file::{CARD_FILE, read_card, write_json};
use crate::train::tensor_file::{NamedTensors, read_tensors};

/// The file with the changes.
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// The file that says what they are.
pub(super) const ADAPTER_CONFIG_FILE: &str = "adapter_config.json";

/// The folder that they are in beside the weights that they were made of.
pub const ADAPTER_FOLDER: &str = "adapter";

/// What PEFT's names begin with.
const PREFIX: &str = "base_model.model.";

/// The modules that PEFT looks for itself where classes are predicted.
const CLASSIFIERS: [&str; 2] = ["classifier", "score"];

/// Why the folder at `path` is no model, where it holds low-rank changes without the weights that they are changes of.
pub fn adapter_alone(path: &Path) -> Option<String> {
    let config = path.join(ADAPTER_CONFIG_FILE);
    if !config.is_file() || path.join(CARD_FILE).is_file() || path.join(CONFIG_FILE).is_file() {
        return None;
    }
    let config = fs::read_to_string(config).ok();
    let config = config.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
    let base = config.and_then(|config| Some(config.get("base_model_name_or_path")?.as_str()?.to_owned()));
    let base = base.map_or_else(String::new, |base| format!(" (`{base}`)"));
    Some(format!(
        "it is an adapter as PEFT writes them, which holds low-rank changes without the model that they change{base}: name \
         the training itself, or export that by `format: huggingface`; an adapter from elsewhere becomes a model by PEFT's \
         `merge_and_unload`"
    ))
}

/// The changes of a model that `train` made.
pub struct PeftAdapter {
    folder: PretrainedFolder,
    options: LoraOptions,
    /// What was trained, and the rest of the modules that are saved as a whole.
    tensors: NamedTensors,
    /// The modules that are saved as a whole.
    saved: BTreeSet<String>,
    /// The layers with a change.
    layers: BTreeSet<String>,
    /// All layers of the network that have a matrix.
    matrices: Vec<String>,
}

impl PeftAdapter {
    /// Reads those of the model in `source`.
    ///
    /// # Errors
    /// It has none, is no model of text, or PEFT cannot hold what was trained: a sentence.
    pub fn read(source: &Path, components: &Components) -> Result<Self, String> {
        let folder = PretrainedFolder::open(source, FolderWish::default(), components)?;
        let is_own = source.join(CARD_FILE).is_file();
        let card = is_own.then(|| {
            components
                .vocabulary
                .reading(|| read_card(&source.join(CARD_FILE)))
                .map_err(|error| error.to_string())
        });
        let options = card.transpose()?.and_then(|card| card.lora);
        let Some(options) = options else {
            return Err("it has no low-rank changes: train it with `lora`".to_owned());
        };
        let trained = read_tensors(&source.join(ADAPTER_FILE)).map_err(|error| error.to_string())?;
        let network = components
            .models
            .outline(folder.model(), folder.input(), folder.outputs())
            .map_err(|error| error.to_string())?;
        let saved = saved_modules(&folder, &trained, network.tensors.keys())?;
        let is_saved = |name: &str| {
            saved
                .iter()
                .any(|module| is_within(folder.family(), name, module))
        };
        let mut tensors = NamedTensors::new();
        for name in network.tensors.keys().filter(|name| is_saved(name)) {
            tensors.insert(name.clone(), folder.read(name)?);
        }
        in_units(&folder, &mut tensors)?;
        let changes = trained
            .into_iter()
            .filter(|(name, _)| is_low_rank(name) && !is_saved(name));
        tensors.extend(changes);
        let of_change = |name: &String| Some(name.strip_suffix(".lora_A.weight")?.to_owned());
        let layers: BTreeSet<String> = tensors.keys().filter_map(of_change).collect();
        if layers.is_empty() {
            return Err(format!(
                "every layer with a change was trained in full besides ({}), so nothing is left for an adapter: write the \
                 whole model by `format: huggingface`",
                abridged(&saved.into_iter().collect::<Vec<_>>())
            ));
        }
        let of_matrix = network
            .tensors
            .iter()
            .filter(|(_, tensor)| tensor.shape.len() == 2);
        let matrices = of_matrix.filter_map(|(name, _)| Some(name.strip_suffix(".weight")?.to_owned()));
        Ok(Self {
            folder,
            options,
            tensors,
            saved,
            layers,
            matrices: matrices.collect(),
        })
    }

    /// The folder that the model is in.
    pub fn folder(&self) -> &PretrainedFolder {
        &self.folder
    }

    /// Writes the changes into `output`, of a base that is called `base`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, base: Option<&str>, output: &Path) -> Result<(), TrainError> {
        let named = self.tensors.iter();
        let tensors = named
            .map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor.clone()))
            .collect();
        write_tensors_for_all(&output.join(WEIGHTS_FILE), &tensors)?;
        write_json(&output.join(ADAPTER_CONFIG_FILE), &self.config(base))?;
        let path = output.join("README.md");
        fs::write(&path, self.read_me(base)).map_err(TrainError::writing(&path))
    }

    /// What `adapter_config.json` says, in the order of the names.
    fn config(&self, base: Option<&str>) -> Map<String, Value> {
        let options = &self.options;
        let rank = options.rank.get();
        let alpha = options.alpha.map_or(f64::from(rank), Positive::get);
        let mut saved: BTreeSet<&str> = self.saved.iter().map(String::as_str).collect();
        if is_classifier(self.folder.head()) {
            saved.extend(CLASSIFIERS);
        }
        super::object(json!({
            "alpha_pattern": {},
            "auto_mapping": null,
            "base_model_name_or_path": base,
            "bias": "none",
            "fan_in_fan_out": self.folder.family() == FolderFamily::Gpt2,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": null,
            "lora_alpha": match alpha.fract() == 0.0 {
                true => json!(alpha as u64),
                false => json!(alpha),
            },
            "lora_dropout": options.dropout.get(),
            "modules_to_save": (!saved.is_empty()).then_some(saved),
            "peft_type": "LORA",
            "r": rank,
            "rank_pattern": {},
            "revision": null,
            "target_modules": self.targets(),
            "task_type": task_type(self.folder.head()),
            "use_dora": options.dora,
            "use_rslora": options.rslora,
        }))
    }

    /// The layers with a change: by the last part of their names where all layers called so have one, else in full.
    fn targets(&self) -> BTreeSet<&str> {
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let mut by_last: BTreeMap<String, bool> = BTreeMap::new();
        for name in &self.matrices {
            let all = by_last.entry(last(name)).or_insert(true);
            *all &= self.layers.contains(name);
        }
        let short = |name: &str| {
            let start = name.rfind('.').map_or(0, |dot| dot + 1);
            // A network of Hugging Face's has further layers called so, such as a pooler.
            match name[start..] != *"dense" && by_last.get(&name[start..]) == Some(&true) {
                true => start,
                false => 0,
            }
        };
        self.layers.iter().map(|name| &name[short(name)..]).collect()
    }

    fn read_me(&self, base: Option<&str>) -> String {
        let (folder, options) = (&self.folder, &self.options);
        let class = match folder.head() {
            TextHead::Causal => "AutoModelForCausalLM",
            TextHead::Masked => "AutoModelForMaskedLM",
            TextHead::Classification => "AutoModelForSequenceClassification",
            TextHead::Tokens => "AutoModelForTokenClassification",
            TextHead::Similarity => "AutoModel",
        };
        let labels = folder.labels().map(|labels| {
            let mut fields = Map::new();
            labels.write(&mut fields);
            let names = |name: &str| fields.get(name).map(Value::to_string).unwrap_or_default();
            let by_number: Vec<String> = labels
                .names
                .iter()
                .enumerate()
                .map(|(number, name)| format!("{number}: {}", json!(name)))
                .collect();
            format!(
                ", id2label={{{}}}, label2id={}",
                by_number.join(", "),
                names("label2id")
            )
        });
        let told = base.map(|base| format!("base_model: {}\n", json!(base)));
        let kind = match (options.dora, options.rslora) {
            (true, _) => "Low-rank changes with magnitudes of their own (DoRA)",
            (false, true) => "Rank-stabilised low-rank changes (LoRA)",
            (false, false) => "Low-rank changes (LoRA)",
        };
        format!(
            "---\n{}library_name: peft\ntags:\n- lora\n- transformers\n---\n\n{kind} of rank {} of a `{}`, trained with Erlen {}.\n\n\
             ```python\nfrom peft import PeftModel\nfrom transformers import {class}\n\nbase = \
             {class}.from_pretrained({}{})\nmodel = PeftModel.from_pretrained(base, \"this folder\").eval()\n```\n",
            told.unwrap_or_default(),
            options.rank,
            folder.family().model_type(),
            env!("CARGO_PKG_VERSION"),
            json!(base.unwrap_or("the base")),
            labels.unwrap_or_default(),
        )
    }
}

/// The modules that are saved as a whole: heads, and those with a parameter that was trained beside the changes.
fn saved_modules<'a>(
    folder: &PretrainedFolder,
    trained: &NamedTensors,
    names: impl Iterator<Item = &'a String>,
) -> Result<BTreeSet<String>, String> {
    let family = folder.family();
    let mut saved = BTreeSet::new();
    if is_classifier(folder.head()) {
        for name in names {
            let core = core_name(family, name);
            let (module, _) = core.split_once('.').unwrap_or((&core, ""));
            if family.is_head(&core) {
                saved.insert(module.to_owned());
            }
        }
    }
    let is_saved =
        |name: &str, saved: &BTreeSet<String>| saved.iter().any(|module| is_within(family, name, module));
    for name in trained.keys().filter(|name| !is_low_rank(name)) {
        if is_saved(name, &saved) {
            continue;
        }
        let module = name.rsplit_once('.').map_or(name.as_str(), |(module, _)| module);
        let core = core_name(family, &format!("{module}."));
        let is_tied = |twin: &&&str| {
            let is_twin = twin.starts_with(&core) && (folder.is_tied() || twin.ends_with("bias"));
            // Other heads have nothing of the vocabulary's.
            is_twin && matches!(folder.head(), TextHead::Causal | TextHead::Masked)
        };
        if let Some(twin) = family.twins().iter().flatten().find(is_tied) {
            return Err(format!(
                "PEFT keeps modules as a whole, and `{module}`, of which `{name}` was trained (`also`), holds `{twin}`, which \
                 is another one's too: write the whole model by `format: huggingface`"
            ));
        }
        saved.insert(module.to_owned());
    }
    Ok(saved)
}

/// Whether a tensor is within a module, which is named in full or from the body on.
fn is_within(family: FolderFamily, name: &str, module: &str) -> bool {
    let within = |name: &str| {
        let rest = name.strip_prefix(module);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    within(name) || within(&core_name(family, name))
}

fn is_classifier(head: TextHead) -> bool {
    matches!(head, TextHead::Classification | TextHead::Tokens)
}

/// What PEFT calls a model with that head; nothing for hidden tokens, which it has no word for.
fn task_type(head: TextHead) -> Option<&'static str> {
    match head {
        TextHead::Causal => Some("CAUSAL_LM"),
        TextHead::Masked => None,
        TextHead::Classification => Some("SEQ_CLS"),
        TextHead::Tokens => Some("TOKEN_CLS"),
        TextHead::Similarity => Some("FEATURE_EXTRACTION"),
    }
}
