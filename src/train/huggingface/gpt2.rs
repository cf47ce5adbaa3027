//! GPT-2's `config.json`.

use serde_json::{Map, Value, json};

use super::activation::{activation, activation_name};
use super::config::ConfigFile;
use crate::spec::{BelowOne, Gpt2Options, MlpActivation, Positive, TextHead};

/// What the file says, with that head. `tied` is what it says of tying, or what is usual.
pub fn read(config: &mut ConfigFile, head: TextHead, tied: bool) -> Gpt2Options {
    config.only("scale_attn_weights", &json!(true), "attention without scaling");
    config.only(
        "scale_attn_by_inverse_layer_idx",
        &json!(false),
        "attention scaled by the layer",
    );
    config.only("add_cross_attention", &json!(false), "attention to an encoder");
    let activation = config.text("activation_function");
    Gpt2Options {
        layers: Some(config.needed(&["n_layer", "num_hidden_layers"])),
        heads: Some(config.needed(&["n_head", "num_attention_heads"])),
        width: Some(config.needed(&["n_embd", "hidden_size"])),
        context: Some(config.needed(&["n_positions", "max_position_embeddings", "n_ctx"])),
        ffn: config.size(&["n_inner"]),
        activation: Some(activation_of(config, activation)),
        vocabulary: Some(config.needed(&["vocab_size"])),
        tied: Some(tied),
        head: Some(head),
        dropout: config.probability("resid_pdrop").unwrap_or_else(usual_dropout),
        embedding_dropout: Some(config.probability("embd_pdrop").unwrap_or_else(usual_dropout)),
        attention_dropout: Some(config.probability("attn_pdrop").unwrap_or_else(usual_dropout)),
        epsilon: config
            .positive("layer_norm_epsilon")
            .or_else(|| Positive::new(1e-5)),
    }
}

fn activation_of(config: &mut ConfigFile, name: Option<String>) -> MlpActivation {
    let Some(name) = name else {
        return MlpActivation::GeluTanh;
    };
    activation(&name).unwrap_or_else(|problem| {
        config.refuse(format!("`activation_function`: {problem}"));
        MlpActivation::GeluTanh
    })
}

/// Where a file does not tell, as transformers has it.
fn usual_dropout() -> BelowOne {
    BelowOne::new(0.1).unwrap_or_default()
}

/// What a `config.json` says of such a model with an embedding of so many rows.
pub fn write(options: &Gpt2Options, rows: usize) -> Map<String, Value> {
    let dropout = options.dropout.get();
    let own = |own: Option<BelowOne>| own.map_or(dropout, BelowOne::get);
    let fields = json!({
        "vocab_size": rows,
        "n_positions": options.context(),
        "n_embd": options.width(),
        "n_layer": options.layers(),
        "n_head": options.heads(),
        "n_inner": options.ffn.map(|ffn| ffn.get()),
        "activation_function": activation_name(options.activation.unwrap_or(MlpActivation::GeluTanh)),
        "resid_pdrop": dropout,
        "embd_pdrop": own(options.embedding_dropout),
        "attn_pdrop": own(options.attention_dropout),
        "classifier_dropout": dropout,
        "layer_norm_epsilon": options.epsilon.map_or(1e-5, Positive::get),
        "tie_word_embeddings": options.tied.unwrap_or(true),
    });
    super::object(fields)
}
