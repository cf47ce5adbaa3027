//! Files of llama.cpp (GGUF) with a model of the Llama kind, seen as a folder of Hugging Face's: the same names, and the
//! rows of queries and keys in the same order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::quantized::gguf_file::{Content, Value as GgufValue};
use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};

use crate::train::tensor_file::HostTensor;

/// A GGUF file, of which the description has been read.
pub struct GgufFile {
    file: Mutex<File>,
    content: Content,
    /// By Hugging Face's names: the file's, and the heads whose rows are in another order there.
    names: BTreeMap<String, (String, Option<usize>)>,
}

/// What the tensors of a layer are called: there, and by Hugging Face.
const OF_LAYER: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

impl GgufFile {
    /// Whether the file at `path` is one, for all that its first bytes tell.
    pub fn is_at(path: &Path) -> bool {
        let mut magic = [0; 4];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
        path.is_file() && read.is_ok() && &magic == b"GGUF"
    }

    /// Reads the description of the file at `path`.
    ///
    /// # Errors
    /// It is damaged, or holds another kind of model: a sentence.
    pub fn open(path: &Path) -> Result<Self, String> {
        let bad = |error: &dyn std::fmt::Display| format!("it is no GGUF file that can be read: {error}");
        let mut file = File::open(path).map_err(|error| bad(&error))?;
        let content = Content::read(&mut file).map_err(|error| bad(&error))?;
        let mut gguf = Self {
            file: Mutex::new(file),
            content,
            names: BTreeMap::new(),
        };
        let kind = gguf.text("general.architecture").unwrap_or_default();
        if kind != "llama" {
            return Err(format!(
                "it is a GGUF file of the kind `{kind}`, and only `llama` is supported"
            ));
        }
        gguf.name_tensors()?;
        Ok(gguf)
    }

    /// Finds the tensors' names.
    fn name_tensors(&mut self) -> Result<(), String> {
        let heads = self.count("llama.attention.head_count");
        let kv_heads = self.count("llama.attention.head_count_kv").or(heads);
        let mut unknown = Vec::new();
        let mut names = BTreeMap::new();
        for name in self.content.tensor_infos.keys() {
            let own = match name.as_str() {
                "token_embd.weight" => Some(("model.embed_tokens.weight".to_owned(), None)),
                "output_norm.weight" => Some(("model.norm.weight".to_owned(), None)),
                "output.weight" => Some(("lm_head.weight".to_owned(), None)),
                name => layer_tensor(name).map(|(layer, own, part)| {
                    let turned = match part {
                        "attn_q" => heads,
                        "attn_k" => kv_heads,
                        _ => None,
                    };
                    (format!("model.layers.{layer}.{own}.weight"), turned)
                }),
            };
            match own {
                Some((own, turned)) => {
                    names.insert(own, (name.clone(), turned));
                }
                None => unknown.push(name.clone()),
            }
        }
        unknown.sort();
        if let Some(name) = unknown.first() {
            return Err(format!(
                "it holds `{name}`, which is not part of a plain Llama (scaled rotary embeddings and experts are not \
                 supported)"
            ));
        }
        self.names = names;
        Ok(())
    }

    /// What a `config.json` would say.
    pub fn config(&self) -> Map<String, Value> {
        let embedding = self.content.tensor_infos.get("token_embd.weight");
        let rows = embedding.and_then(|info| info.shape.dims().first().copied());
        let head = self.count("llama.attention.key_length");
        let scaling = self.text("llama.rope.scaling.type").filter(|kind| kind != "none");
        let mut config = super::object(json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_hidden_layers": self.count("llama.block_count"),
            "hidden_size": self.count("llama.embedding_length"),
            "intermediate_size": self.count("llama.feed_forward_length"),
            "num_attention_heads": self.count("llama.attention.head_count"),
            "num_key_value_heads": self.count("llama.attention.head_count_kv"),
            "head_dim": head.or_else(|| self.count("llama.rope.dimension_count")),
            "max_position_embeddings": self.count("llama.context_length"),
            "rms_norm_eps": self.number("llama.attention.layer_norm_rms_epsilon"),
            "rope_theta": self.number("llama.rope.freq_base").unwrap_or(10_000.0),
            "rope_scaling": scaling.map(|kind| json!({"rope_type": kind})),
            "vocab_size": rows,
            "tie_word_embeddings": !self.names.contains_key("lm_head.weight"),
        }));
        for (name, key) in [
            ("bos_token_id", "tokenizer.ggml.bos_token_id"),
            ("eos_token_id", "tokenizer.ggml.eos_token_id"),
            ("pad_token_id", "tokenizer.ggml.padding_token_id"),
        ] {
            config.insert(name.to_owned(), json!(self.count(key)));
        }
        config
    }

    /// The tensors' shapes by Hugging Face's names.
    pub fn shapes(&self) -> impl Iterator<Item = (&String, Vec<usize>)> {
        let infos = &self.content.tensor_infos;
        self.names
            .iter()
            .filter_map(|(own, (name, _))| Some((own, infos.get(name)?.shape.dims().to_vec())))
    }

    /// Reads the tensor that Hugging Face calls `own`, as f32.
    ///
    /// # Errors
    /// It is not there, or cannot be read: a sentence.
    pub fn read(&self, own: &str) -> Result<HostTensor, String> {
        let (name, turned) = self
            .names
            .get(own)
            .ok_or_else(|| format!("`{own}` is not there"))?;
        let read = || -> candle_core::Result<HostTensor> {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            let tensor = self
                .content
                .tensor(&mut *file, name, &Device::Cpu)?
                .dequantize(&Device::Cpu)?;
            let tensor = match turned {
                Some(heads) => in_halves(&tensor, *heads)?,
                None => tensor,
            };
            HostTensor::from_tensor(&tensor)
        };
        read().map_err(|error| format!("`{name}`: {error}"))
    }

    fn text(&self, key: &str) -> Option<String> {
        self.content.metadata.get(key)?.to_string().ok().cloned()
    }

    fn count(&self, key: &str) -> Option<usize> {
        let value = self.content.metadata.get(key)?;
        let small = value.to_u32().ok().map(u64::from);
        let number = small
            .or_else(|| value.to_u64().ok())
            .or_else(|| value.to_i32().ok().and_then(|n| n.try_into().ok()));
        usize::try_from(number?).ok()
    }

    /// A number that is kept in 32 bits, as it was written.
    fn number(&self, key: &str) -> Option<f64> {
        match self.content.metadata.get(key)? {
            GgufValue::F32(number) => number.to_string().parse().ok(),
            other => other.to_f64().ok(),
        }
    }
}

/// The layer, Hugging Face's name and the own one of a layer's tensor.
fn layer_tensor(name: &str) -> Option<(usize, &'static str, &'static str)> {
    let inside = name.strip_prefix("blk.")?.strip_suffix(".weight")?;
    let (layer, part) = inside.split_once('.')?;
    let (part, own) = OF_LAYER.iter().find(|(other, _)| *other == part)?;
    Some((layer.parse().ok()?, own, part))
}

/// Rows of queries or keys as Hugging Face has them: the file has the two that are turned against each other side by
/// side, Hugging Face a head's first halves before its second ones.
fn in_halves(tensor: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (rows, columns) = tensor.dims2()?;
    if heads == 0 || rows % (2 * heads) != 0 {
        candle_core::bail!("{rows} rows are no {heads} heads in two halves");
    }
    let pairs = tensor.reshape((heads, rows / heads / 2, 2, columns))?;
    pairs.transpose(1, 2)?.contiguous()?.reshape((rows, columns))
}

impl std::fmt::Debug for GgufFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GgufFile")
            .field("tensors", &self.names.keys())
            .finish_non_exhaustive()
    }
}
