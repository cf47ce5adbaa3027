//! Small folders whose tensors a formula makes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::models::formula;
use crate::train::huggingface::{FolderWish, PretrainedFolder};
use crate::train::tensor_file::{HostTensor, encode};
use crate::train::{Components, NamedTensors};

/// The tensor `name` by the formula; weights of norms lie around 1.
pub fn tensor(name: &str, shape: &[usize]) -> HostTensor {
    let values: Vec<f32> = formula::tensor(name, shape)
        .into_iter()
        .map(|value| value as f32)
        .collect();
    HostTensor::from_f32(shape.to_vec(), &values)
}

/// Tensors by the formula.
pub fn tensors(shapes: &BTreeMap<String, Vec<usize>>) -> NamedTensors {
    let made = shapes.iter().map(|(name, shape)| {
        // A bias that has two names.
        let own = name.replace("decoder.bias", "bias");
        (name.clone(), tensor(&own, shape))
    });
    made.collect()
}

/// Writes tensors as a file.
pub fn write_tensors(path: &Path, tensors: &NamedTensors) {
    let entries = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    fs::write(path, encode(entries, HashMap::new()).expect("small")).expect("writable");
}

/// A folder in the making.
pub struct TinyFolder {
    pub folder: TempDir,
    pub config: Value,
    pub tensors: NamedTensors,
}

impl TinyFolder {
    pub fn new(config: Value, tensors: NamedTensors) -> Self {
        Self {
            folder: tempfile::tempdir().expect("writable"),
            config,
            tensors,
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A GPT-2 of one layer of 8 columns for 11 tokens.
    pub fn gpt2() -> Self {
        let config = json!({
            "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 1, "n_head": 2, "n_embd": 8,
            "n_positions": 6, "vocab_size": 11,
        });
        let mut shapes = BTreeMap::new();
        for (name, shape) in [
            ("wte.weight", vec![11, 8]),
            ("wpe.weight", vec![6, 8]),
            ("h.0.ln_1.weight", vec![8]),
            ("h.0.ln_1.bias", vec![8]),
            ("h.0.attn.c_attn.weight", vec![8, 24]),
            ("h.0.attn.c_attn.bias", vec![24]),
            ("h.0.attn.c_proj.weight", vec![8, 8]),
            ("h.0.attn.c_proj.bias", vec![8]),
            ("h.0.ln_2.weight", vec![8]),
            ("h.0.ln_2.bias", vec![8]),
            ("h.0.mlp.c_fc.weight", vec![8, 32]),
            ("h.0.mlp.c_fc.bias", vec![32]),
            ("h.0.mlp.c_proj.weight", vec![32, 8]),
            ("h.0.mlp.c_proj.bias", vec![8]),
            ("ln_f.weight", vec![8]),
            ("ln_f.bias", vec![8]),
        ] {
            shapes.insert(format!("transformer.{name}"), shape);
        }
        Self::new(config, tensors(&shapes))
    }

    /// A Llama of one layer of 8 columns for 11 tokens, not tied.
    pub fn llama() -> Self {
        let config = json!({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 8, "intermediate_size": 12,
            "max_position_embeddings": 16, "vocab_size": 11, "rope_theta": 10000.0, "tie_word_embeddings": false,
        });
        let mut shapes = BTreeMap::new();
        for (name, shape) in [
            ("model.embed_tokens.weight", vec![11, 8]),
            ("model.layers.0.input_layernorm.weight", vec![8]),
            ("model.layers.0.post_attention_layernorm.weight", vec![8]),
            ("model.layers.0.self_attn.q_proj.weight", vec![8, 8]),
            ("model.layers.0.self_attn.k_proj.weight", vec![4, 8]),
            ("model.layers.0.self_attn.v_proj.weight", vec![4, 8]),
            ("model.layers.0.self_attn.o_proj.weight", vec![8, 8]),
            ("model.layers.0.mlp.gate_proj.weight", vec![12, 8]),
            ("model.layers.0.mlp.up_proj.weight", vec![12, 8]),
            ("model.layers.0.mlp.down_proj.weight", vec![8, 12]),
            ("model.norm.weight", vec![8]),
            ("lm_head.weight", vec![11, 8]),
        ] {
            shapes.insert(name.to_owned(), shape);
        }
        Self::new(config, tensors(&shapes))
    }

    /// A BERT of one layer of 8 columns for 11 tokens, without a head.
    pub fn bert() -> Self {
        let config = json!({
            "model_type": "bert", "architectures": ["BertModel"], "num_hidden_layers": 1, "num_attention_heads": 2,
            "hidden_size": 8, "intermediate_size": 12, "max_position_embeddings": 6, "type_vocab_size": 2,
            "vocab_size": 11, "pad_token_id": 0,
        });
        let mut shapes = BTreeMap::new();
        for (name, rows) in [("word", 11), ("position", 6), ("token_type", 2)] {
            shapes.insert(format!("embeddings.{name}_embeddings.weight"), vec![rows, 8]);
        }
        let layer = "encoder.layer.0";
        for (name, shape) in [
            ("attention.self.query", [8, 8]),
            ("attention.self.key", [8, 8]),
            ("attention.self.value", [8, 8]),
            ("attention.output.dense", [8, 8]),
            ("intermediate.dense", [12, 8]),
            ("output.dense", [8, 12]),
        ] {
            shapes.insert(format!("{layer}.{name}.weight"), shape.to_vec());
            shapes.insert(format!("{layer}.{name}.bias"), vec![shape[0]]);
        }
        let norms = [
            "embeddings".to_owned(),
            format!("{layer}.attention.output"),
            format!("{layer}.output"),
        ];
        for name in norms {
            shapes.insert(format!("{name}.LayerNorm.weight"), vec![8]);
            shapes.insert(format!("{name}.LayerNorm.bias"), vec![8]);
        }
        shapes.insert("pooler.dense.weight".to_owned(), vec![8, 8]);
        shapes.insert("pooler.dense.bias".to_owned(), vec![8]);
        Self::new(config, tensors(&shapes))
    }

    /// With a tokenizer of eleven words, which ends texts by its last one where it is asked to.
    pub fn with_tokenizer(self) -> Self {
        let words = [
            "[PAD]", "[UNK]", "the", "cat", "sat", "on", "a", "mat", "and", "slept", "[END]",
        ];
        let vocabulary: serde_json::Map<String, Value> = words
            .iter()
            .enumerate()
            .map(|(id, word)| ((*word).to_owned(), json!(id)))
            .collect();
        let special = |id: usize| {
            json!({
                "id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        };
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [special(0), special(1), special(10)], "normalizer": null,
            "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
        });
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]",
            "eos_token": "[END]",
        });
        for (name, content) in [("tokenizer.json", tokenizer), ("tokenizer_config.json", config)] {
            fs::write(self.path().join(name), content.to_string()).expect("writable");
        }
        self
    }

    /// With another value of its config.json; null takes it out.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        match value {
            Value::Null => drop(self.config.as_object_mut().expect("an object").shift_remove(name)),
            value => self.config[name] = value,
        }
        self
    }

    /// With tensors by other names.
    pub fn renamed(mut self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let named = self.tensors.into_iter();
        self.tensors = named
            .filter_map(|(name, tensor)| Some((rename(&name)?, tensor)))
            .collect();
        self
    }

    /// With one more tensor, by the formula.
    pub fn and(mut self, name: &str, shape: &[usize]) -> Self {
        self.tensors.insert(name.to_owned(), tensor(name, shape));
        self
    }

    /// Writes the folder.
    pub fn write(self) -> Self {
        self.write_config();
        write_tensors(&self.path().join("model.safetensors"), &self.tensors);
        self
    }

    /// Writes its config.json alone.
    pub fn write_config(&self) {
        fs::write(self.path().join("config.json"), self.config.to_string()).expect("writable");
    }

    pub fn open(&self, wish: FolderWish) -> Result<PretrainedFolder, String> {
        PretrainedFolder::open(self.path(), wish, &Components::built_in())
    }

    /// What is wrong with it, from its descriptions or its weights.
    pub fn problem(&self, wish: FolderWish) -> String {
        let components = Components::built_in();
        let network =
            |folder: PretrainedFolder| folder.network(&components.models, &candle_core::Device::Cpu);
        self.open(wish).and_then(network).expect_err("refused")
    }
}
