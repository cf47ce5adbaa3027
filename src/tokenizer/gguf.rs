//! The tokenizer in a file of llama.cpp (GGUF), as the files that Hugging Face's programs read.

use std::fs::File;
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value as GgufValue};
use serde_json::{Map, Value, json};

use super::error::TokenizerError;

/// The first bytes of such a file.
pub(super) const GGUF_MAGIC: &[u8] = b"GGUF";

/// What a token is that nobody writes, such as the end of a text.
const CONTROL: i64 = 3;

/// What a token is that is looked for before all else.
const USER_DEFINED: i64 = 4;

/// The parts of a folder that such a file makes.
pub(super) struct GgufTokenizer {
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// `tokenizer_config.json`.
    pub config: Map<String, Value>,
    /// The positions that the model in the file has.
    pub positions: Option<u32>,
    /// The template of conversations.
    pub chat_template: Option<String>,
}

/// Reads the tokenizer of the file at `path`.
///
/// # Errors
/// It is damaged, or has a tokenizer of a kind that is not known here.
pub(super) fn read(path: &Path) -> Result<GgufTokenizer, TokenizerError> {
    let bad = |problem: String| TokenizerError::file(path, problem);
    let mut file = File::open(path).map_err(TokenizerError::io("read", path))?;
    let content = Content::read(&mut file).map_err(|error| bad(format!("it is damaged: {error}")))?;
    let said = Metadata(&content);
    let kind = said.text("tokenizer.ggml.model").unwrap_or_default();
    if kind != "gpt2" {
        return Err(bad(format!(
            "its tokenizer is of the kind `{kind}`, and only `gpt2` (bytes) is supported"
        )));
    }
    let before = said.text("tokenizer.ggml.pre").unwrap_or_default();
    let bytes =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let splits = match before.as_str() {
        "gpt-2" | "default" => bytes.clone(),
        "smollm" => {
            json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, bytes]})
        }
        other => {
            return Err(bad(format!(
                "its texts are split in the way `{other}`, which is not known here: name a folder with a tokenizer.json"
            )));
        }
    };
    let tokens = said.texts("tokenizer.ggml.tokens");
    let merges = said.texts("tokenizer.ggml.merges");
    let (Some(tokens), Some(merges)) = (tokens, merges) else {
        return Err(bad("it has no tokens, or no merges".to_owned()));
    };
    let kinds = said.numbers("tokenizer.ggml.token_type").unwrap_or_default();
    let numbered = || tokens.iter().zip(0u32..);
    let vocabulary: Map<String, Value> = numbered()
        .map(|(token, id)| ((*token).clone(), json!(id)))
        .collect();
    let added: Vec<Value> = numbered()
        .filter_map(|(token, id)| {
            let kind = *kinds.get(id as usize)?;
            matches!(kind, CONTROL | USER_DEFINED).then(|| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": kind == CONTROL,
                })
            })
        })
        .collect();
    let pairs: Option<Vec<[&str; 2]>> = merges
        .iter()
        .map(|merge| merge.split_once(' ').map(|(one, other)| [one, other]))
        .collect();
    let pairs = pairs.ok_or_else(|| bad("a merge of it is no pair".to_owned()))?;
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": splits, "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": pairs,
        },
    });
    let mut config = Map::new();
    for (name, key) in [
        ("bos_token", "tokenizer.ggml.bos_token_id"),
        ("eos_token", "tokenizer.ggml.eos_token_id"),
        ("unk_token", "tokenizer.ggml.unknown_token_id"),
        ("pad_token", "tokenizer.ggml.padding_token_id"),
    ] {
        let token = said.count(key).and_then(|id| tokens.get(id as usize));
        if let Some(token) = token {
            config.insert(name.to_owned(), json!(token));
        }
    }
    let context = said
        .text("general.architecture")
        .and_then(|kind| said.count(&format!("{kind}.context_length")));
    Ok(GgufTokenizer {
        tokenizer: tokenizer.to_string().into_bytes(),
        config,
        positions: context,
        chat_template: said.text("tokenizer.chat_template"),
    })
}

/// What a file says of itself.
struct Metadata<'a>(&'a Content);

impl<'a> Metadata<'a> {
    fn value(&self, key: &str) -> Option<&'a GgufValue> {
        self.0.metadata.get(key)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.value(key)?.to_string().ok().cloned()
    }

    fn count(&self, key: &str) -> Option<u32> {
        self.value(key)?.to_u32().ok()
    }

    fn texts(&self, key: &str) -> Option<Vec<&'a String>> {
        let values = self.value(key)?.to_vec().ok()?;
        values.iter().map(|value| value.to_string().ok()).collect()
    }

    fn numbers(&self, key: &str) -> Option<Vec<i64>> {
        let values = self.value(key)?.to_vec().ok()?;
        let number = |value: &GgufValue| {
            value
                .to_i32()
                .map(i64::from)
                .or_else(|_| value.to_u32().map(i64::from))
                .ok()
        };
        values.iter().map(number).collect()
    }
}
