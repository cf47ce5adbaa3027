//! The `config.json` of Llama, Qwen 2 and 3, and Mistral.

use std::num::NonZeroU32;

use serde_json::{Map, Value, json};

use super::config::ConfigFile;
use super::rope;
use crate::spec::{BelowOne, LlamaOptions, LlamaVariant, Positive, TextHead};

/// What the file says, with that head. `tied` is what it says of tying, or what is usual.
pub fn read(config: &mut ConfigFile, variant: LlamaVariant, head: TextHead, tied: bool) -> LlamaOptions {
    config.only("hidden_act", &json!("silu"), "another gate");
    let biased = variant == LlamaVariant::Qwen2;
    if !biased {
        config.only("attention_bias", &json!(false), "biases of attention's layers");
    }
    config.only("mlp_bias", &json!(false), "biases of the MLP's layers");
    let width = config.needed(&["hidden_size"]);
    let heads = config.needed(&["num_attention_heads"]);
    let layers = config.needed(&["num_hidden_layers"]);
    // Where a file does not tell, each class of transformers has its own number.
    let kv_heads = match config.size(&["num_key_value_heads"]) {
        Some(kv_heads) => kv_heads,
        None if config.values().contains_key("num_key_value_heads") => heads,
        None => usual_kv_heads(variant, heads),
    };
    let head_width = match config.size(&["head_dim"]) {
        Some(head_width) => Some(head_width),
        None if variant == LlamaVariant::Qwen3 && !config.values().contains_key("head_dim") => {
            NonZeroU32::new(128)
        }
        None => NonZeroU32::new(width.get() / heads),
    };
    LlamaOptions {
        variant,
        layers,
        heads,
        kv_heads: Some(kv_heads),
        width,
        head_width,
        ffn: Some(config.needed(&["intermediate_size"])),
        context: Some(config.needed(&["max_position_embeddings"])),
        window: window(config, variant, layers),
        rope_theta: Positive::new(rope::theta(config)),
        vocabulary: Some(config.needed(&["vocab_size"])),
        tied,
        head: Some(head),
        attention_dropout: config.probability("attention_dropout").unwrap_or_default(),
        head_dropout: config.probability("classifier_dropout"),
        epsilon: config.positive("rms_norm_eps").or_else(|| Positive::new(1e-6)),
    }
}

fn usual_kv_heads(variant: LlamaVariant, heads: NonZeroU32) -> NonZeroU32 {
    let usual = match variant {
        LlamaVariant::Llama => None,
        LlamaVariant::Qwen2 | LlamaVariant::Qwen3 => NonZeroU32::new(32),
        LlamaVariant::Mistral => NonZeroU32::new(8),
    };
    usual.unwrap_or(heads)
}

/// How many of the last tokens one sees; nothing where it sees all.
fn window(config: &mut ConfigFile, variant: LlamaVariant, layers: NonZeroU32) -> Option<NonZeroU32> {
    let window = match config.size(&["sliding_window"]) {
        Some(window) => window,
        // The class of transformers has a window where a file does not tell.
        None if variant == LlamaVariant::Mistral && !config.values().contains_key("sliding_window") => {
            return NonZeroU32::new(4096);
        }
        None => return None,
    };
    match variant {
        LlamaVariant::Llama => None,
        LlamaVariant::Mistral => Some(window),
        LlamaVariant::Qwen2 | LlamaVariant::Qwen3 => {
            // Transformers obeys the window in the layers from `max_window_layers` on.
            let listed = config.value(&["layer_types"]).and_then(Value::as_array);
            let slides = match listed {
                Some(types) => types.iter().any(|kind| kind == "sliding_attention"),
                None => {
                    let used = config.flag("use_sliding_window").unwrap_or(false);
                    used && config.count("max_window_layers").unwrap_or(28) < layers.get()
                }
            };
            if slides {
                config.refuse(
                    "a window in some of the layers (`use_sliding_window`, `layer_types`) is not supported",
                );
            }
            None
        }
    }
}

/// What a `config.json` says of such a model with an embedding of so many rows: the base of the rotary embedding both
/// as version 4 of transformers and as version 5 reads it.
pub fn write(options: &LlamaOptions, rows: usize) -> Map<String, Value> {
    let mut fields = super::object(json!({
        "vocab_size": rows,
        "max_position_embeddings": options.context(),
        "hidden_size": options.width(),
        "num_hidden_layers": options.layers(),
        "num_attention_heads": options.heads(),
        "num_key_value_heads": options.kv_heads(),
        "head_dim": options.head_width(),
        "intermediate_size": options.ffn(),
        "hidden_act": "silu",
        "attention_dropout": options.attention_dropout.get(),
        "classifier_dropout": options.head_dropout.map(BelowOne::get),
        "rms_norm_eps": options.epsilon.map_or(1e-6, Positive::get),
        "tie_word_embeddings": options.tied,
    }));
    match options.variant {
        LlamaVariant::Llama => {
            fields.insert("attention_bias".to_owned(), json!(false));
            fields.insert("mlp_bias".to_owned(), json!(false));
        }
        LlamaVariant::Qwen2 => {
            fields.insert("use_sliding_window".to_owned(), json!(false));
        }
        LlamaVariant::Qwen3 => {
            fields.insert("attention_bias".to_owned(), json!(false));
            fields.insert("use_sliding_window".to_owned(), json!(false));
        }
        LlamaVariant::Mistral => {
            let window = options.window.map(NonZeroU32::get);
            fields.insert("sliding_window".to_owned(), json!(window));
        }
    }
    if options.head_dropout.is_none() {
        fields.shift_remove("classifier_dropout");
    }
    rope::write(&mut fields, options.rope_theta());
    fields
}
