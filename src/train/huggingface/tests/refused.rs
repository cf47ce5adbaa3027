//! What is refused, and how it is told.

use std::fs;

use serde_json::{Value, json};

use super::head;
use crate::spec::TextHead;
use crate::train::huggingface::FolderWish;
use crate::train::huggingface::testing::TinyFolder;

fn told(tiny: TinyFolder) -> String {
    tiny.write().problem(FolderWish::default())
}

fn assert_told(tiny: TinyFolder, parts: &[&str]) {
    let told = told(tiny);
    for part in parts {
        assert!(told.contains(part), "{told}\nlacks\n{part}");
    }
}

#[test]
fn what_cannot_be_obeyed_is_refused_by_its_name() {
    let llama = |name: &str, value: Value| TinyFolder::llama().with(name, value);
    for (tiny, part) in [
        (
            llama("rope_scaling", json!({"type": "linear", "factor": 2.0})),
            "`rope_scaling` asks for the kind `linear`",
        ),
        (
            llama(
                "rope_parameters",
                json!({"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0}),
            ),
            "`rope_parameters` asks for the kind `llama3`",
        ),
        (
            llama("rope_parameters", json!({"full_attention": {"rope_theta": 1.0}})),
            "tells several kinds of layers apart",
        ),
        (
            llama("partial_rotary_factor", json!(0.5)),
            "`partial_rotary_factor: 0.5`",
        ),
        (
            llama("rope_parameters", json!({"rope_theta": 500_000.0})),
            "`rope_theta: 10000` and `rope_parameters: {rope_theta: 500000}` contradict each other",
        ),
        (
            llama("hidden_act", json!("gelu")),
            "`hidden_act: \"gelu\"` (another gate)",
        ),
        (llama("attention_bias", json!(true)), "`attention_bias: true`"),
        (llama("mlp_bias", json!(true)), "`mlp_bias: true`"),
        (
            llama("num_hidden_layers", json!("two")),
            "`num_hidden_layers` is \"two\", and a number is expected",
        ),
        (llama("hidden_size", json!(null)), "it has no `hidden_size`"),
        (
            llama("hidden_size", json!(8.5)),
            "`hidden_size` is 8.5, and a whole number is expected",
        ),
        (llama("num_key_value_heads", json!(0)), "a whole number over 0"),
        (
            llama("model_type", json!("mixtral")),
            "it is a `mixtral` model, which is not supported; supported are gpt2",
        ),
        (llama("model_type", json!(null)), "it has no `model_type`"),
        (
            llama("architectures", json!(null)),
            "does not tell the head by `architectures`",
        ),
        (
            TinyFolder::llama()
                .with("model_type", json!("qwen2"))
                .with("sliding_window", json!(4))
                .with("use_sliding_window", json!(true))
                .with("max_window_layers", json!(0)),
            "a window in some of the layers",
        ),
        (
            TinyFolder::gpt2().with("scale_attn_by_inverse_layer_idx", json!(true)),
            "`scale_attn_by_inverse_layer_idx: true` (attention scaled by the layer)",
        ),
        (
            TinyFolder::gpt2().with("activation_function", json!("mish")),
            "the activation `mish` is not supported",
        ),
        (
            TinyFolder::gpt2().with("n_head", json!(3)),
            "3 heads do not divide a width of 8",
        ),
        (
            TinyFolder::bert().with("position_embedding_type", json!("relative_key")),
            "`position_embedding_type: \"relative_key\"`",
        ),
        (
            TinyFolder::bert().with("is_decoder", json!(true)),
            "`is_decoder: true`",
        ),
        (
            TinyFolder::bert()
                .with("model_type", json!("roberta"))
                .with("pad_token_id", json!(5)),
            "`max_position_embeddings: 6` leaves none for tokens, as the first is 6",
        ),
    ] {
        assert_told(tiny, &[part]);
    }
    // All problems at once.
    let tiny = llama("hidden_act", json!("gelu")).with("mlp_bias", json!(true));
    assert_told(tiny, &["`hidden_act", "`mlp_bias"]);
}

#[test]
fn heads_that_a_family_cannot_have_are_refused() {
    let bert = TinyFolder::bert().write();
    assert!(bert.problem(head(TextHead::Causal)).contains("choose `masked`"));
    let llama = TinyFolder::llama().write();
    assert!(llama.problem(head(TextHead::Masked)).contains("choose `causal`"));
    // To be used as it is, the head must be there.
    let told = bert.problem(head(TextHead::Tokens));
    assert!(
        told.contains("no weights for the head `tokens` (classifier.bias, classifier.weight)"),
        "{told}"
    );
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let without = |name: &'static str| {
        TinyFolder::llama().renamed(move |other| Some(other.to_owned()).filter(|other| other != name))
    };
    assert_told(without("model.norm.weight"), &["missing model.norm.weight"]);
    assert_told(
        TinyFolder::llama().and("model.layers.0.self_attn.q_proj.bias", &[8]),
        &["unexpected model.layers.0.self_attn.q_proj.bias"],
    );
    assert_told(
        TinyFolder::llama().with("intermediate_size", json!(16)),
        &["of another shape model.layers.0.mlp.down_proj.weight ([8, 16] wanted, [8, 12] given)"],
    );
    assert_told(
        TinyFolder::llama().renamed(|name| Some(name.replace("model.norm", "model.nrom"))),
        &[
            "missing model.norm.weight (the nearest in the folder: model.nrom.weight)",
            "unexpected model.nrom.weight",
        ],
    );
    // Transformers would draw them, with a line in a report.
    assert_told(
        without("lm_head.weight"),
        &[
            "`lm_head.weight` is missing",
            "say `tied: true` if it is the embedding",
        ],
    );
    let half = TinyFolder::bert()
        .with("architectures", json!(["BertForTokenClassification"]))
        .renamed(|name| Some(format!("bert.{name}")))
        .and("classifier.weight", &[2, 8]);
    assert_told(half, &["missing classifier.bias"]);
    let mut endless = TinyFolder::llama();
    endless.tensors.insert(
        "model.norm.weight".to_owned(),
        crate::train::HostTensor::from_f32(vec![8], &[f32::INFINITY; 8]),
    );
    assert_told(endless, &["`model.norm.weight` holds values that are not finite"]);
}

#[test]
fn two_readings_of_a_tied_head_are_refused() {
    let both = TinyFolder::llama()
        .with("tie_word_embeddings", json!(true))
        .write();
    let told = both.problem(FolderWish::default());
    assert!(
        told.contains("which differ: version 4 of transformers takes the first, version 5 both"),
        "{told}"
    );
    let wish = |tied| FolderWish {
        tied: Some(tied),
        ..FolderWish::default()
    };
    assert!(both.open(wish(false)).is_ok());
    let folder = both.open(wish(false)).expect("known");
    super::network(&folder);
}

#[test]
fn changes_beside_weights_are_not_left_out_in_silence() {
    for (place, told_of) in [("", "beside its weights"), ("adapter", "in its folder `adapter`")] {
        let tiny = TinyFolder::llama().write();
        assert!(tiny.open(FolderWish::default()).is_ok());
        let folder = tiny.path().join(place);
        fs::create_dir_all(&folder).expect("writable");
        fs::write(folder.join("adapter_config.json"), "{}").expect("writable");
        let told = tiny.problem(FolderWish::default());
        assert!(told.contains(told_of) && told.contains("merge"), "{told}");
    }
}

/// `findings/transformers-untied-masked-bias.sh`.
#[test]
fn two_readings_of_a_bias_are_refused() {
    let both = TinyFolder::bert()
        .with("architectures", json!(["BertForMaskedLM"]))
        .with("tie_word_embeddings", json!(false))
        .and("cls.predictions.transform.dense.weight", &[8, 8])
        .and("cls.predictions.transform.dense.bias", &[8])
        .and("cls.predictions.transform.LayerNorm.weight", &[8])
        .and("cls.predictions.transform.LayerNorm.bias", &[8])
        .and("cls.predictions.decoder.weight", &[11, 8])
        .and("cls.predictions.decoder.bias", &[11])
        .and("cls.predictions.bias", &[11])
        .write();
    let told = both.problem(FolderWish::default());
    assert!(
        told.contains("version 4 of transformers adds the first, version 5 the second; make them equal"),
        "{told}"
    );
}

#[test]
fn folders_without_weights_say_what_they_are() {
    let tiny = TinyFolder::llama();
    tiny.write_config();
    assert!(
        tiny.problem(FolderWish::default())
            .contains("it has no weights: no model.safetensors, no pytorch_model.bin")
    );
    fs::write(tiny.path().join("adapter_config.json"), "{}").expect("writable");
    assert!(tiny.problem(FolderWish::default()).contains("it is an adapter"));
    fs::write(tiny.path().join("config.json"), "[]").expect("writable");
    assert!(tiny.problem(FolderWish::default()).contains("no JSON object"));
    fs::remove_file(tiny.path().join("config.json")).expect("there");
    fs::write(
        tiny.path().join("adapter_config.json"),
        "{\"base_model_name_or_path\": \"me/base\"}",
    )
    .expect("writable");
    let told = tiny.problem(FolderWish::default());
    assert!(
        told.contains("it is an adapter as PEFT writes them")
            && told.contains("the model that they change (`me/base`)")
            && told.contains("`format: huggingface`"),
        "{told}"
    );
    fs::remove_file(tiny.path().join("adapter_config.json")).expect("there");
    assert!(
        tiny.problem(FolderWish::default())
            .contains("neither `config.json` nor `model.json`")
    );
}
