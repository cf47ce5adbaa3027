//! A folder with a model of text: as Hugging Face's programs write it, or as `train` and `export` do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::adapter::adapter_alone;
use super::config::{CONFIG_FILE, ConfigFile};
use super::family::{FolderFamily, with_head, with_tying};
use super::files::FolderWeights;
use super::fitting::{FittingRules, FolderFitting, abridged, core_name};
use super::gguf::GgufFile;
use super::labels::{FolderLabels, LabelKind};
use super::{bert, gpt2, llama, rope, sentence};
use crate::data::{TOKENIZER_FOLDER, TargetScale};
use crate::fingerprint::Digest;
use crate::models::{Models, Network, NetworkLayout};
use crate::schema::InputShape;
use crate::spec::{BertOptions, Gpt2Options, LlamaOptions, Model, TextHead};
use crate::train::components::Components;
use crate::train::gradients::all_finite;
use crate::train::low_rank::{merged_weights, unmerged_weights};
use crate::train::meeting::KnownModel;
use crate::train::model_file::{CARD_FILE, TrainedModel};
use crate::train::tensor_file::HostTensor;

/// The file with a tokenizer.
const TOKENIZER_FILE: &str = "tokenizer.json";

/// What is asked of a folder's model beside what the folder says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FolderWish {
    /// The head; the folder's own where none is asked for.
    pub head: Option<TextHead>,
    /// Whether the head is tied to the embedding; as the folder says where nothing is asked for.
    pub tied: Option<bool>,
    /// Whether low-rank changes are left out of the weights that they were made of.
    pub without_changes: bool,
    /// Whether its layers may multiply bytes, as `quantize` makes them.
    pub quantized: bool,
}

/// A folder with a model of text, of which the descriptions have been read: sizes, names and shapes.
#[derive(Debug)]
pub struct PretrainedFolder {
    path: PathBuf,
    family: FolderFamily,
    model: Model,
    head: TextHead,
    tied: bool,
    labels: Option<FolderLabels>,
    /// Rows of the embedding.
    rows: usize,
    /// What `config.json` says; empty where there is none.
    config: Map<String, Value>,
    weights: FolderWeights,
    /// The most tokens that it is shown of a text, where that is told.
    max_length: Option<usize>,
    is_quantized: bool,
    /// The tokens that end a text, where a card names them.
    ends: Vec<u32>,
    /// How the numbers that it predicts are scaled, where they are.
    scale: Option<TargetScale>,
    /// What it is called in messages, where not by its path.
    called: Option<String>,
    /// What whoever watches should know.
    notes: Vec<String>,
}

/// The sizes of a model of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextModelSizes {
    /// Tokens of the longest sample.
    pub context: usize,
    /// Values of a token.
    pub width: usize,
}

impl PretrainedFolder {
    /// Whether there is one at `path`, or a GGUF file, for all that the names of the files and how they begin tell.
    pub fn is_at(path: &Path) -> bool {
        let is_folder =
            || path.is_dir() && !path.join(CARD_FILE).is_file() && path.join(CONFIG_FILE).is_file();
        GgufFile::is_at(path) || is_folder()
    }

    /// Reads the descriptions in the folder `path`.
    ///
    /// # Errors
    /// It holds no model of text that is known here, or says what cannot be obeyed: a sentence that names every
    /// problem.
    pub fn open(path: &Path, wish: FolderWish, components: &Components) -> Result<Self, String> {
        if GgufFile::is_at(path) {
            let file = GgufFile::open(path)?;
            let mut config = ConfigFile::of(file.config());
            return Self::of_config(path, &mut config, FolderWeights::of_gguf(file), wish);
        }
        if path.join(CARD_FILE).is_file() {
            return Self::of_card(path, wish, components);
        }
        if !path.join(CONFIG_FILE).is_file() {
            let elsewhere = adapter_alone(path).or_else(|| sentence::where_it_may_be(path));
            return Err(elsewhere.unwrap_or_else(|| {
                format!(
                    "it has neither `{CONFIG_FILE}` nor `{CARD_FILE}`: name a folder that a Hugging Face program has \
                     written, or a model that `train` or `export` made"
                )
            }));
        }
        let mut config = ConfigFile::read(path)?;
        let weights = FolderWeights::find(path)?;
        let folder = Self::of_config(path, &mut config, weights, wish)?;
        if folder.head == TextHead::Similarity {
            sentence::check(path)?;
        }
        Ok(folder)
    }

    /// The same of a model that can go on with texts.
    ///
    /// # Errors
    /// As [`PretrainedFolder::open`], another head than `causal`, or one without weights.
    pub fn open_causal(path: &Path, components: &Components) -> Result<Self, String> {
        let wish = FolderWish {
            quantized: true,
            ..FolderWish::default()
        };
        let folder = Self::open(path, wish, components)?;
        if folder.head() != TextHead::Causal {
            return Err(format!(
                "its head is `{}`, and only a model with the head `causal` goes on with texts",
                folder.head().name()
            ));
        }
        if folder.is_quantized {
            return Ok(folder);
        }
        let fitting = folder.check(&components.models)?;
        match fitting.fresh.is_empty() {
            true => Ok(folder),
            false => Err(format!(
                "it has no weights for its head: {}",
                fitting.fresh.join(", ")
            )),
        }
    }

    fn of_config(
        path: &Path,
        config: &mut ConfigFile,
        weights: FolderWeights,
        wish: FolderWish,
    ) -> Result<Self, String> {
        let Some(model_type) = config.text("model_type") else {
            config.refuse("it has no `model_type`, so that nobody knows what the model is");
            config.checked()?;
            return Err(String::new());
        };
        let family = FolderFamily::of_type(&model_type)?;
        let own = own_head(config)?;
        let Some(head) = wish.head.or(own) else {
            return Err(format!(
                "its {CONFIG_FILE} does not tell the head by `architectures`: say it by `head`, or write \
                 `\"architectures\": [\"{}\"]` there",
                family.class(TextHead::Similarity)
            ));
        };
        check_head(family, head)?;
        let told = config.flag("tie_word_embeddings");
        let tied = wish.tied.or(told).unwrap_or(family.usually_tied());
        let (model, rows): (Model, u32) = match family {
            FolderFamily::Gpt2 => {
                let options = gpt2::read(config, head, tied);
                (
                    options.clone().into(),
                    options.vocabulary.map_or(0, |rows| rows.get()),
                )
            }
            FolderFamily::Bert(variant) => {
                let options = bert::read(config, variant, head, tied);
                (
                    options.clone().into(),
                    options.vocabulary.map_or(0, |rows| rows.get()),
                )
            }
            FolderFamily::Llama(variant) => {
                let options = llama::read(config, variant, head, tied);
                (
                    options.clone().into(),
                    options.vocabulary.map_or(0, |rows| rows.get()),
                )
            }
        };
        let has_labels = |head: TextHead| matches!(head, TextHead::Classification | TextHead::Tokens);
        let labels = own.is_some_and(has_labels).then(|| FolderLabels::read(config));
        config.checked()?;
        let mistakes = model.mistakes();
        if let Some(mistake) = mistakes.first() {
            return Err(format!("its {CONFIG_FILE}: {}", mistake.message));
        }
        let mut notes = Vec::new();
        if let Some(theta) = rope::misread_by_older(config.values()) {
            notes.push(format!(
                "its {CONFIG_FILE} tells the base of the rotary embedding ({theta}) by `rope_parameters` alone: version 4 \
                 of transformers takes 10000 instead, without a word; an export writes both spellings"
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            family,
            model,
            head,
            tied,
            labels: labels.filter(|_| own == Some(head)),
            rows: rows as usize,
            config: config.values().clone(),
            weights,
            max_length: sentence::max_length(path),
            is_quantized: false,
            ends: Vec::new(),
            scale: None,
            called: None,
            notes,
        })
    }

    /// A model that `train` or `export` made.
    fn of_card(path: &Path, wish: FolderWish, components: &Components) -> Result<Self, String> {
        let bad = |problem: String| format!("its {CARD_FILE} is no model's card: {problem}");
        let text = std::fs::read_to_string(path.join(CARD_FILE)).map_err(|error| bad(error.to_string()))?;
        let card: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let is_quantized = !card["quantization"].is_null();
        if is_quantized && !wish.quantized {
            return Err("it is quantized, and only asked: name the model that it was made from".to_owned());
        }
        let model = components
            .vocabulary
            .reading(|| Model::deserialize(&card["architecture"]));
        let model = model.map_err(|error| bad(error.to_string()))?;
        let Some(family) = FolderFamily::of_model(&model) else {
            return Err(format!("it is a `{}`, and no model of text", model.name()));
        };
        let ends = match &card["ends"] {
            Value::Null => Vec::new(),
            ends => Vec::deserialize(ends).map_err(|error| bad(format!("`ends`: {error}")))?,
        };
        let own = head_of(&model);
        let head = wish.head.unwrap_or(own);
        check_head(family, head)?;
        let tied = wish.tied.unwrap_or_else(|| is_tied(&model));
        let changed = match wish.without_changes {
            true => unmerged_weights(path),
            false => merged_weights(path, components),
        };
        let weights = match changed.map_err(|error| error.to_string())? {
            Some(tensors) => FolderWeights::merged(tensors),
            None => FolderWeights::find(path)?,
        };
        let [embedding, _] = family.twins()[0];
        let rows = weights
            .shapes()
            .find(|(name, _)| core_name(family, name) == embedding)
            .and_then(|(_, shape)| shape.first().copied());
        let rows = rows.ok_or_else(|| format!("its weights have no `{embedding}`"))?;
        let known = KnownModel::read(path, &components.tasks).map_err(|error| error.to_string())?;
        let inputs = known.as_ref().and_then(|known| known.inputs.as_ref());
        let max_length = inputs.and_then(|inputs| inputs.input()?.max_length);
        let scale = known.as_ref().and_then(|known| known.target.scale.clone());
        let labels = known
            .filter(|_| matches!(own, TextHead::Classification | TextHead::Tokens) && own == head)
            .map(|known| FolderLabels {
                kind: LabelKind::of_task(&known.target.task),
                names: known.target.names,
            });
        Ok(Self {
            path: path.to_owned(),
            model: with_rows(&with_tying(&with_head(&model, head), tied), rows),
            family,
            head,
            tied,
            labels,
            rows,
            config: Map::new(),
            weights,
            max_length: max_length.and_then(|length| usize::try_from(length).ok()),
            is_quantized,
            ends,
            scale,
            called: None,
            notes: Vec::new(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same, which messages call `name`.
    #[must_use]
    pub fn called(self, name: impl Into<String>) -> Self {
        let called = Some(name.into());
        Self { called, ..self }
    }

    /// What it is called: its path, where nobody has said otherwise.
    pub fn name(&self) -> String {
        match &self.called {
            Some(name) => name.clone(),
            None => self.path.display().to_string(),
        }
    }

    /// The most tokens that it is shown of a text: as its files or its training tell, and no more than it has positions.
    pub fn max_length(&self) -> usize {
        let context = self.sizes().context;
        self.max_length.map_or(context, |length| length.min(context))
    }

    /// The same, where its files or its training tell one.
    pub fn told_length(&self) -> Option<u32> {
        u32::try_from(self.max_length.map(|_| self.max_length())?).ok()
    }

    /// How the numbers that it predicts are scaled, where they are.
    pub(super) fn scale(&self) -> Option<&TargetScale> {
        self.scale.as_ref()
    }

    /// The digest of its tokenizer's file, as datasets keep it; nothing where it has none.
    pub fn tokenizer_digest(&self) -> Option<String> {
        let bytes = std::fs::read(self.tokenizer_folder()?.join(TOKENIZER_FILE)).ok()?;
        Some(Digest::of_bytes(&bytes).to_string())
    }

    /// Where its tokenizer is: beside the model, in a folder of its own, as `train` leaves it, or in the model's file.
    pub fn tokenizer_folder(&self) -> Option<PathBuf> {
        if self.path.is_file() {
            return Some(self.path.clone());
        }
        let places = [self.path.clone(), self.path.join(TOKENIZER_FOLDER)];
        places
            .into_iter()
            .find(|place| place.join(TOKENIZER_FILE).is_file())
    }

    /// The model with all its sizes, as a pipeline file would spell it.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The family.
    pub fn family(&self) -> FolderFamily {
        self.family
    }

    /// What the model gives.
    pub fn head(&self) -> TextHead {
        self.head
    }

    /// What its outputs are called and mean, where its head is the folder's own and has any.
    pub fn labels(&self) -> Option<&FolderLabels> {
        self.labels.as_ref()
    }

    /// What its `config.json` says; empty where there is none.
    pub fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    /// What a card says of a model of the next token that is made from this one: see [`PretrainedFolder::end_tokens`].
    pub fn told_ends(&self) -> Vec<u32> {
        match self.head {
            TextHead::Causal => self.end_tokens(),
            _ => Vec::new(),
        }
    }

    /// The tokens that end a text, as far as its files name them: `generation_config.json` before `config.json`, and of a
    /// model that was trained here its card.
    pub fn end_tokens(&self) -> Vec<u32> {
        let generation = std::fs::read_to_string(self.path.join("generation_config.json")).ok();
        let generation = generation.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
        let told = [generation.as_ref(), Some(&self.config)].into_iter().flatten();
        let mut told = told.filter_map(|fields| fields.get("eos_token_id").filter(|value| !value.is_null()));
        let number = |value: &Value| value.as_u64().and_then(|token| u32::try_from(token).ok());
        match told.next() {
            Some(Value::Array(tokens)) => tokens.iter().filter_map(number).collect(),
            Some(token) => number(token).into_iter().collect(),
            None => self.ends.clone(),
        }
    }

    /// Its weights, of which the descriptions have been read.
    pub fn weights(&self) -> &FolderWeights {
        &self.weights
    }

    /// What whoever watches should know of it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether its head is tied to the embedding.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// Rows of its embedding.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The longest sample, and the width.
    pub fn sizes(&self) -> TextModelSizes {
        sizes(&self.model)
    }

    /// What its samples are.
    pub fn input(&self) -> InputShape {
        InputShape::Tokens {
            vocabulary: self.rows,
            length: self.sizes().context,
        }
    }

    /// How many outputs it has by itself.
    pub fn outputs(&self) -> usize {
        match self.head {
            TextHead::Causal | TextHead::Masked => self.rows,
            TextHead::Similarity => self.sizes().width,
            TextHead::Classification | TextHead::Tokens => {
                self.labels.as_ref().map_or(2, |labels| labels.names.len())
            }
        }
    }

    /// Which of the folder's tensors are which of a network's.
    ///
    /// # Errors
    /// They do not fit: a sentence that names every problem.
    pub fn fitting(&self, network: &NetworkLayout) -> Result<FolderFitting, String> {
        let rules = FittingRules {
            family: self.family,
            tied: self.tied,
        };
        FolderFitting::find(rules, network, &self.weights)
    }

    /// What does not fit, as far as the descriptions tell.
    ///
    /// # Errors
    /// A sentence that names every problem.
    pub fn check(&self, models: &Models) -> Result<FolderFitting, String> {
        let layout = models
            .outline(&self.model, self.input(), self.outputs())
            .map_err(|error| error.to_string())?;
        self.fitting(&layout)
    }

    /// Fills `network` with the folder's weights, and tells what became of them. A head that the folder does not have
    /// stays as it was drawn.
    ///
    /// # Errors
    /// The weights do not fit, cannot be read, or are not finite; a head is tied to an embedding that it differs from: a
    /// sentence.
    pub fn fill(&self, network: &Network, device: &Device) -> Result<Filled, String> {
        let fitting = self.fitting(&network.layout())?;
        self.check_twins()?;
        for parameter in network.parameters() {
            let Some(name) = fitting.taken.get(&parameter.name) else {
                continue;
            };
            let tensor = self.weights.read(name)?.to_tensor(device)?;
            let fill = || -> candle_core::Result<bool> {
                let finite = all_finite(&tensor).map_err(candle_core::Error::wrap)?;
                parameter.var.set(&tensor)?;
                Ok(finite)
            };
            if !fill().map_err(|error| format!("`{name}`: {error}"))? {
                return Err(format!("`{name}` holds values that are not finite (in f32)"));
            }
        }
        let mut notes = self.notes.clone();
        if !fitting.aside.is_empty() {
            notes.push(format!(
                "of another head, and left aside: {}",
                abridged(&fitting.aside)
            ));
        }
        Ok(Filled {
            fresh: fitting.fresh,
            notes,
        })
    }

    /// Builds its network and fills it, to be used as it is.
    ///
    /// # Errors
    /// As [`PretrainedFolder::fill`], and a head that the folder does not have.
    pub fn network(&self, models: &Models, device: &Device) -> Result<Network, String> {
        let numbers = self.weights.shapes().map(|(_, shape)| {
            let sides = shape.iter().copied();
            sides.fold(1, usize::saturating_mul)
        });
        let held = numbers.fold(0, usize::saturating_add);
        let network = models
            .blank_for(&self.model, self.input(), self.outputs(), held, device)
            .map_err(|error| error.to_string())?;
        let filled = self.fill(&network, device)?;
        match filled.fresh.is_empty() {
            true => Ok(network),
            false => Err(format!(
                "it has no weights for the head `{}` ({}): train it first, or ask for the head that it has",
                self.head.name(),
                abridged(&filled.fresh)
            )),
        }
    }

    /// The network, to be asked and nothing else: its layers may multiply bytes.
    ///
    /// # Errors
    /// As [`PretrainedFolder::network`].
    pub fn answering(&self, components: &Components, device: &Device) -> Result<Network, String> {
        match self.is_quantized {
            true => TrainedModel::load(&self.path, device, components)
                .map(|model| model.network)
                .map_err(|error| error.to_string()),
            false => self.network(&components.models, device),
        }
    }

    /// Whether its layers multiply bytes.
    pub fn is_quantized(&self) -> bool {
        self.is_quantized
    }

    /// Fails where a tensor that stands for another one too differs from it: version 4 of transformers would take the
    /// one, version 5 both.
    ///
    /// # Errors
    /// Such a pair: a sentence.
    pub fn check_twins(&self) -> Result<(), String> {
        if !matches!(self.head, TextHead::Causal | TextHead::Masked) {
            return Ok(());
        }
        let mut by_core: BTreeMap<String, &str> = BTreeMap::new();
        for (name, _) in self.weights.shapes() {
            by_core.insert(core_name(self.family, name), name);
        }
        for [one, other] in self.family.twins() {
            let is_weight = one.ends_with("weight");
            let (Some(one), Some(other)) = (by_core.get(*one), by_core.get(*other)) else {
                continue;
            };
            if is_weight && !self.tied {
                continue;
            }
            if self.read_f32(one)? != self.read_f32(other)? {
                return Err(match is_weight {
                    true => format!(
                        "its {CONFIG_FILE} ties the head to the embedding, and its weights hold both, `{one}` and \
                         `{other}`, which differ: version 4 of transformers takes the first, version 5 both; say \
                         which by `tied: true` (the first; then remove the second from the file) or `tied: false` (both)"
                    ),
                    false => format!(
                        "its weights hold `{one}` and `{other}`, which differ: version 4 of transformers adds the first, \
                         version 5 the second; make them equal"
                    ),
                });
            }
        }
        Ok(())
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, String> {
        self.weights.read(name)?.widened()
    }

    /// A tensor as it is in the folder.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, name: &str) -> Result<HostTensor, String> {
        self.weights.read(name)
    }
}

/// What became of a network that was filled from a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The tensors of the network that the folder does not have.
    pub fresh: Vec<String>,
    /// What whoever watches should know.
    pub notes: Vec<String>,
}

/// The head that `architectures` names, where it is one that is known.
fn own_head(config: &ConfigFile) -> Result<Option<TextHead>, String> {
    let Some(classes) = config.value(&["architectures"]).and_then(Value::as_array) else {
        return Ok(None);
    };
    match classes.first().and_then(Value::as_str) {
        None => Ok(None),
        Some(class) => Ok(FolderFamily::head_of(class)),
    }
}

/// Fails where a family cannot have a head.
fn check_head(family: FolderFamily, head: TextHead) -> Result<(), String> {
    let problem = match (family, head) {
        (FolderFamily::Bert(_), TextHead::Causal) => {
            "a token of it sees those behind it, so the head cannot be `causal`: choose `masked`"
        }
        (FolderFamily::Gpt2 | FolderFamily::Llama(_), TextHead::Masked) => {
            "a token of it does not see those behind it, so the head cannot be `masked`: choose `causal`"
        }
        _ => return Ok(()),
    };
    Err(problem.to_owned())
}

/// The head of a model of text.
fn head_of(model: &Model) -> TextHead {
    if let Some(options) = model.options::<BertOptions>() {
        return options.head.unwrap_or(TextHead::Masked);
    }
    let gpt2 = model.options::<Gpt2Options>().and_then(|options| options.head);
    let llama = model.options::<LlamaOptions>().and_then(|options| options.head);
    gpt2.or(llama).unwrap_or(TextHead::Causal)
}

/// Whether a model's head is tied to its embedding.
fn is_tied(model: &Model) -> bool {
    match model.options::<LlamaOptions>() {
        Some(options) => options.tied,
        None => {
            let gpt2 = model.options::<Gpt2Options>().and_then(|options| options.tied);
            let bert = model.options::<BertOptions>().and_then(|options| options.tied);
            gpt2.or(bert).unwrap_or(true)
        }
    }
}

/// `model` with an embedding of so many rows.
fn with_rows(model: &Model, rows: usize) -> Model {
    let vocabulary = u32::try_from(rows).ok().and_then(std::num::NonZeroU32::new);
    if let Some(options) = model.options::<Gpt2Options>() {
        return Gpt2Options {
            vocabulary,
            ..options.clone()
        }
        .into();
    }
    if let Some(options) = model.options::<BertOptions>() {
        return BertOptions {
            vocabulary,
            ..options.clone()
        }
        .into();
    }
    match model.options::<LlamaOptions>() {
        Some(options) => LlamaOptions {
            vocabulary,
            ..options.clone()
        }
        .into(),
        None => model.clone(),
    }
}

/// The sizes of a model of text; of another one, 0.
fn sizes(model: &Model) -> TextModelSizes {
    if let Some(options) = model.options::<Gpt2Options>() {
        let (context, width) = (options.context(), options.width());
        return TextModelSizes { context, width };
    }
    if let Some(options) = model.options::<BertOptions>() {
        let (context, width) = (options.context(), options.width());
        return TextModelSizes { context, width };
    }
    match model.options::<LlamaOptions>() {
        Some(options) => TextModelSizes {
            context: options.context(),
            width: options.width(),
        },
        None => TextModelSizes { context: 0, width: 0 },
    }
}
