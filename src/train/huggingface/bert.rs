//! The `config.json` of BERT, DistilBERT and RoBERTa.

use std::num::NonZeroU32;

use serde_json::{Map, Value, json};

use super::activation::{activation, activation_name};
use super::config::ConfigFile;
use crate::spec::{BelowOne, BertOptions, BertVariant, MlpActivation, Positive, TextHead};

/// What the file says, with that head. `tied` is what it says of tying, or what is usual.
pub fn read(config: &mut ConfigFile, variant: BertVariant, head: TextHead, tied: bool) -> BertOptions {
    match variant {
        BertVariant::Distilbert => read_distilbert(config, head, tied),
        _ => read_bert(config, variant, head, tied),
    }
}

fn read_bert(config: &mut ConfigFile, variant: BertVariant, head: TextHead, tied: bool) -> BertOptions {
    config.only(
        "position_embedding_type",
        &json!("absolute"),
        "positions in another way",
    );
    config.only(
        "is_decoder",
        &json!(false),
        "tokens that do not see those behind them",
    );
    config.only("add_cross_attention", &json!(false), "attention to an encoder");
    config.only("chunk_size_feed_forward", &json!(0), "an MLP in pieces");
    let roberta = variant == BertVariant::Roberta;
    let padding = config.count("pad_token_id").unwrap_or(u32::from(roberta));
    let positions = config.needed(&["max_position_embeddings"]);
    // Its first positions stand for padding.
    let unused = if roberta { padding + 1 } else { 0 };
    let context = NonZeroU32::new(positions.get().saturating_sub(unused));
    if context.is_none() {
        config.refuse(format!(
            "`max_position_embeddings: {positions}` leaves none for tokens, as the first is {unused}"
        ));
    }
    let dropout = config
        .probability("hidden_dropout_prob")
        .unwrap_or_else(usual_dropout);
    BertOptions {
        variant,
        layers: Some(config.needed(&["num_hidden_layers"])),
        heads: Some(config.needed(&["num_attention_heads"])),
        width: Some(config.needed(&["hidden_size"])),
        context: Some(context.unwrap_or(NonZeroU32::MIN)),
        ffn: Some(config.needed(&["intermediate_size"])),
        activation: Some(activation_of(config, "hidden_act")),
        types: Some(config.needed(&["type_vocab_size"])),
        vocabulary: Some(config.needed(&["vocab_size"])),
        padding: Some(padding),
        tied: Some(tied),
        head: Some(head),
        dropout: Some(dropout),
        attention_dropout: Some(
            config
                .probability("attention_probs_dropout_prob")
                .unwrap_or_else(usual_dropout),
        ),
        head_dropout: config.probability("classifier_dropout"),
        epsilon: config.positive("layer_norm_eps").or_else(|| Positive::new(1e-12)),
    }
}

fn read_distilbert(config: &mut ConfigFile, head: TextHead, tied: bool) -> BertOptions {
    BertOptions {
        variant: BertVariant::Distilbert,
        layers: Some(config.needed(&["n_layers", "num_hidden_layers"])),
        heads: Some(config.needed(&["n_heads", "num_attention_heads"])),
        width: Some(config.needed(&["dim", "hidden_size"])),
        context: Some(config.needed(&["max_position_embeddings"])),
        ffn: Some(config.needed(&["hidden_dim"])),
        activation: Some(activation_of(config, "activation")),
        types: None,
        vocabulary: Some(config.needed(&["vocab_size"])),
        padding: Some(config.count("pad_token_id").unwrap_or(0)),
        tied: Some(tied),
        head: Some(head),
        dropout: Some(config.probability("dropout").unwrap_or_else(usual_dropout)),
        attention_dropout: Some(
            config
                .probability("attention_dropout")
                .unwrap_or_else(usual_dropout),
        ),
        head_dropout: match head {
            TextHead::Classification => config.probability("seq_classif_dropout"),
            _ => None,
        },
        epsilon: Positive::new(1e-12),
    }
}

fn activation_of(config: &mut ConfigFile, field: &str) -> MlpActivation {
    let Some(name) = config.text(field) else {
        return MlpActivation::Gelu;
    };
    activation(&name).unwrap_or_else(|problem| {
        config.refuse(format!("`{field}`: {problem}"));
        MlpActivation::Gelu
    })
}

/// Where a file does not tell, as transformers has it.
fn usual_dropout() -> BelowOne {
    BelowOne::new(0.1).unwrap_or_default()
}

/// What a `config.json` says of such a model with an embedding of so many rows.
pub fn write(options: &BertOptions, rows: usize) -> Map<String, Value> {
    let dropout = options.dropout();
    let attention = options.attention_dropout.map_or(dropout, BelowOne::get);
    let activation = activation_name(options.activation.unwrap_or(MlpActivation::Gelu));
    let tied = options.tied.unwrap_or(true);
    if options.variant == BertVariant::Distilbert {
        return super::object(json!({
            "vocab_size": rows,
            "max_position_embeddings": options.context(),
            "dim": options.width(),
            "n_layers": options.layers(),
            "n_heads": options.heads(),
            "hidden_dim": options.ffn(),
            "activation": activation,
            "dropout": dropout,
            "attention_dropout": attention,
            "seq_classif_dropout": options.head_dropout.map_or(0.2, BelowOne::get),
            "sinusoidal_pos_embds": false,
            "pad_token_id": options.padding(),
            "tie_word_embeddings": tied,
        }));
    }
    super::object(json!({
        "vocab_size": rows,
        "max_position_embeddings": options.first_position() + options.context(),
        "hidden_size": options.width(),
        "num_hidden_layers": options.layers(),
        "num_attention_heads": options.heads(),
        "intermediate_size": options.ffn(),
        "hidden_act": activation,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": attention,
        "classifier_dropout": options.head_dropout.map(BelowOne::get),
        "type_vocab_size": options.types(),
        "layer_norm_eps": options.epsilon.map_or(1e-12, Positive::get),
        "position_embedding_type": "absolute",
        "pad_token_id": options.padding(),
        "tie_word_embeddings": tied,
    }))
}
