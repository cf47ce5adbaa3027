//! A tokenizer's files, as Hugging Face's programs write and read them.
//!
//! `tokenizer.json` is the tokenizer. `tokenizer_config.json` names the class that reads it and the special tokens:
//! `PreTrainedTokenizerFast` is the class that versions 4 and 5 of transformers both load, and that takes the file as
//! it is; other classes rebuild parts of it. `chat_template.jinja` is the template of conversations.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer as CrateTokenizer;

use super::error::TokenizerError;
use super::gguf::{self, GGUF_MAGIC};
use super::special::{SpecialToken, SpecialTokens};

/// The file with the tokenizer.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// The file with its class and special tokens.
pub const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// The file with the template of conversations.
pub const CHAT_TEMPLATE_FILE: &str = "chat_template.jinja";

/// Where older programs name special tokens.
const SPECIAL_TOKENS_FILE: &str = "special_tokens_map.json";

/// A model's description, which may stand beside its tokenizer.
const MODEL_CONFIG_FILE: &str = "config.json";

/// What transformers writes where no length is known; larger ones mean nothing.
const NO_LENGTH: f64 = 1e15;

/// What transformers calls the segments that tokens are in.
const SEGMENTS_INPUT: &str = "token_type_ids";

/// A tokenizer's files, as they were read or will be written.
#[derive(Clone, Debug)]
pub struct TokenizerFolder {
    /// Where they come from.
    pub(super) path: PathBuf,
    /// The bytes of `tokenizer.json`.
    pub(super) tokenizer: Vec<u8>,
    /// What `tokenizer_config.json` says.
    config: Map<String, Value>,
    /// What `special_tokens_map.json` says.
    special: Map<String, Value>,
    /// The positions that the model beside it has.
    positions: Option<u32>,
    /// The template of conversations.
    pub(super) chat_template: Option<String>,
}

impl TokenizerFolder {
    /// Reads a folder, a `tokenizer.json`, or a GGUF file.
    ///
    /// # Errors
    /// There is none, or a file cannot be read.
    pub fn read(path: &Path) -> Result<Self, TokenizerError> {
        if !path.is_dir() {
            if starts_as_gguf(path) {
                let read = gguf::read(path)?;
                return Ok(Self {
                    path: path.to_owned(),
                    tokenizer: read.tokenizer,
                    config: read.config,
                    special: Map::new(),
                    positions: read.positions,
                    chat_template: read.chat_template,
                });
            }
            return Ok(Self {
                path: path.to_owned(),
                tokenizer: fs::read(path).map_err(TokenizerError::io("read", path))?,
                config: Map::new(),
                special: Map::new(),
                positions: None,
                chat_template: None,
            });
        }
        let file = path.join(TOKENIZER_FILE);
        if !file.is_file() {
            return Err(TokenizerError::file(path, what_is_there(path)));
        }
        let config = read_object(&path.join(TOKENIZER_CONFIG_FILE))?.unwrap_or_default();
        let template = path.join(CHAT_TEMPLATE_FILE);
        let chat_template = match template.is_file() {
            true => Some(fs::read_to_string(&template).map_err(TokenizerError::io("read", &template))?),
            false => template_of(&config),
        };
        let model = read_object(&path.join(MODEL_CONFIG_FILE))?;
        Ok(Self {
            path: path.to_owned(),
            tokenizer: fs::read(&file).map_err(TokenizerError::io("read", &file))?,
            special: read_object(&path.join(SPECIAL_TOKENS_FILE))?.unwrap_or_default(),
            positions: model.as_ref().and_then(positions_of),
            config,
            chat_template,
        })
    }

    /// The files of a tokenizer that was made here.
    ///
    /// # Errors
    /// The tokenizer cannot be written as JSON.
    pub fn of_parts(
        tokenizer: &CrateTokenizer,
        special: &SpecialTokens,
        max_length: Option<u32>,
        chat_template: Option<String>,
    ) -> Result<Self, TokenizerError> {
        let text = tokenizer
            .to_string(true)
            .map_err(|error| TokenizerError::Options(format!("the tokenizer cannot be written: {error}")))?;
        Ok(Self {
            path: PathBuf::from(TOKENIZER_FILE),
            tokenizer: text.into_bytes(),
            config: config_of(special, max_length, false),
            special: Map::new(),
            positions: None,
            chat_template,
        })
    }

    /// The files of the tokenizer that these are, read by `PreTrainedTokenizerFast`, with the given special tokens,
    /// length and template over its own.
    ///
    /// # Errors
    /// Its file is none of a tokenizer.
    pub fn adopted(
        &self,
        tokenizer: &CrateTokenizer,
        changed: bool,
        special: &SpecialTokens,
        max_length: Option<u32>,
        chat_template: Option<String>,
    ) -> Result<Self, TokenizerError> {
        let cleans_up = self
            .config
            .get("clean_up_tokenization_spaces")
            .and_then(Value::as_bool);
        let max_length = max_length.or_else(|| self.max_length());
        let made = match changed {
            true => Self::of_parts(tokenizer, special, None, None)?.tokenizer,
            false => self.tokenizer.clone(),
        };
        Ok(Self {
            path: self.path.clone(),
            tokenizer: made,
            config: config_of(special, max_length, cleans_up.unwrap_or(false)),
            special: Map::new(),
            positions: None,
            chat_template: chat_template.or_else(|| self.chat_template.clone()),
        })
    }

    /// Writes the files into `folder`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), TokenizerError> {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(TokenizerError::io("write", &path))
        };
        write(TOKENIZER_FILE, &self.tokenizer)?;
        let config = Value::Object(self.config.clone());
        write(TOKENIZER_CONFIG_FILE, format!("{config:#}\n").as_bytes())?;
        match &self.chat_template {
            Some(template) => write(CHAT_TEMPLATE_FILE, template.as_bytes()),
            None => Ok(()),
        }
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// The file is none of a tokenizer.
    pub fn parsed(&self) -> Result<CrateTokenizer, TokenizerError> {
        CrateTokenizer::from_bytes(&self.tokenizer).map_err(|error| {
            let problem = format!("its {TOKENIZER_FILE} is not one that this program reads: {error}");
            TokenizerError::file(&self.path, problem)
        })
    }

    /// The special tokens that the files name, as far as `tokenizer` has them.
    pub fn special_tokens(&self, tokenizer: &CrateTokenizer) -> SpecialTokens {
        let id = |text: &str| tokenizer.token_to_id(text);
        let named = SpecialTokens::default()
            .named_in(&self.special, id)
            .named_in(&self.config, id);
        if named != SpecialTokens::default() {
            return named;
        }
        // A file alone does not say what its tokens stand for, but where they are called as everyone calls them.
        let mut usual = Map::new();
        for (name, texts) in [
            ("pad_token", ["[PAD]", "<pad>"]),
            ("unk_token", ["[UNK]", "<unk>"]),
            ("bos_token", ["<s>", "<|startoftext|>"]),
            ("eos_token", ["</s>", "<|endoftext|>"]),
            ("cls_token", ["[CLS]", "<cls>"]),
            ("sep_token", ["[SEP]", "<sep>"]),
            ("mask_token", ["[MASK]", "<mask>"]),
        ] {
            if let Some(text) = texts.into_iter().find(|text| id(text).is_some()) {
                usual.insert(name.to_owned(), json!(text));
            }
        }
        named.named_in(&usual, id)
    }

    /// The most tokens that a model takes: what the tokenizer says, and the model beside it.
    pub fn max_length(&self) -> Option<u32> {
        let told = self.config.get("model_max_length").and_then(Value::as_f64);
        let told = told
            .filter(|length| (1.0..NO_LENGTH).contains(length))
            .map(|length| length as u32);
        match (told, self.positions) {
            (Some(told), Some(positions)) => Some(told.min(positions)),
            (told, positions) => told.or(positions),
        }
    }

    /// The same for a model that knows no segments: one that looks them up among its tokens, as GPT-2 does in transformers,
    /// would give something else for them.
    #[must_use]
    pub fn without_segments(mut self) -> Self {
        let names = self.config.entry("model_input_names").or_insert(Value::Null);
        match names {
            Value::Array(names) => names.retain(|name| *name != SEGMENTS_INPUT),
            names => *names = json!(["input_ids", "attention_mask"]),
        }
        self
    }

    /// Puts another template of conversations into the place of its own.
    pub fn set_chat_template(&mut self, template: String) {
        self.chat_template = Some(template);
    }

    /// The template of conversations.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }
}

/// What `tokenizer_config.json` is to say.
fn config_of(special: &SpecialTokens, max_length: Option<u32>, cleans_up: bool) -> Map<String, Value> {
    let mut config = Map::new();
    config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
    if let Some(length) = max_length {
        config.insert("model_max_length".to_owned(), json!(length));
    }
    config.insert("clean_up_tokenization_spaces".to_owned(), json!(cleans_up));
    for (name, token) in special.named() {
        if let Some(SpecialToken { text, .. }) = token {
            config.insert(format!("{name}_token"), json!(text));
        }
    }
    // Version 4 shows models segments unless it is told not to, and version 5 does not unless it is told to.
    let has_segments = special.cls.is_some() && special.sep.is_some();
    let names: &[&str] = match has_segments {
        true => &["input_ids", SEGMENTS_INPUT, "attention_mask"],
        false => &["input_ids", "attention_mask"],
    };
    config.insert("model_input_names".to_owned(), json!(names));
    if !special.additional.is_empty() {
        let texts: Vec<&str> = special
            .additional
            .iter()
            .map(|token| token.text.as_str())
            .collect();
        config.insert("additional_special_tokens".to_owned(), json!(texts));
    }
    config
}

/// The template that an older `tokenizer_config.json` holds: a text, or one of several called `default`.
fn template_of(config: &Map<String, Value>) -> Option<String> {
    match config.get("chat_template")? {
        Value::String(template) => Some(template.clone()),
        Value::Array(templates) => {
            let default = templates
                .iter()
                .find(|entry| entry.get("name") == Some(&json!("default")))?;
            Some(default.get("template")?.as_str()?.to_owned())
        }
        _ => None,
    }
}

/// Whether a file is one of llama.cpp.
fn starts_as_gguf(path: &Path) -> bool {
    let mut magic = [0; GGUF_MAGIC.len()];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == GGUF_MAGIC
}

/// The positions that a model has for tokens.
fn positions_of(config: &Map<String, Value>) -> Option<u32> {
    let positions = ["max_position_embeddings", "n_positions"]
        .iter()
        .find_map(|name| config.get(*name)?.as_u64())?;
    // The family of RoBERTa counts from behind the number of the padding.
    let is_shifted = matches!(
        config.get("model_type").and_then(Value::as_str),
        Some("roberta" | "xlm-roberta" | "camembert")
    );
    let unused = match is_shifted {
        true => config.get("pad_token_id").and_then(Value::as_u64).unwrap_or(1) + 1,
        false => 0,
    };
    u32::try_from(positions.checked_sub(unused)?).ok()
}

fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, TokenizerError> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(TokenizerError::io("read", path))?;
    match serde_json::from_slice(&bytes) {
        Ok(object) => Ok(Some(object)),
        Err(error) => Err(TokenizerError::file(
            path,
            format!("it is no JSON object: {error}"),
        )),
    }
}

/// What to say of a folder without a `tokenizer.json`.
fn what_is_there(folder: &Path) -> String {
    let older = [
        "vocab.txt",
        "vocab.json",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
    ];
    let convert = "write the folder anew with transformers: \
                   `AutoTokenizer.from_pretrained(folder).save_pretrained(folder)`";
    match older.into_iter().find(|name| folder.join(name).is_file()) {
        Some(name) => format!("it has `{name}`, an older form, and no `{TOKENIZER_FILE}`: {convert}"),
        None => format!(
            "there is no `{TOKENIZER_FILE}`: name a folder that a Hugging Face program has written, or the file"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_without_segments_are_shown_none() {
        let shown = |config: Value| {
            let folder = TokenizerFolder {
                path: PathBuf::new(),
                tokenizer: Vec::new(),
                config: config.as_object().cloned().unwrap_or_default(),
                special: Map::new(),
                positions: None,
                chat_template: None,
            };
            folder.without_segments().config
        };
        let expected = json!({"model_input_names": ["input_ids", "attention_mask"]});
        for names in [
            json!(["input_ids", "token_type_ids", "attention_mask"]),
            json!(["input_ids", "attention_mask"]),
        ] {
            assert_eq!(
                Value::Object(shown(json!({"model_input_names": names}))),
                expected
            );
        }
        // Version 4 of transformers shows segments where nothing is said.
        assert_eq!(Value::Object(shown(json!({}))), expected);
    }
}
