//! What becomes of folders that are written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use candle_core::Device;
use safetensors::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::head;
use crate::schema::{InputShape, TokenRoles};
use crate::spec::{Model, Precision, TextHead};
use crate::train::Components;
use crate::train::huggingface::testing::TinyFolder;
use crate::train::huggingface::{FolderWish, FolderWriting, PretrainedFolder, write_folder};
use crate::train::tensor_file::{HostTensor, read_tensors, to_host};

fn written(source: &Path, precision: Option<Precision>) -> Result<(TempDir, Vec<String>), String> {
    let components = Components::built_in();
    let output = tempfile::tempdir().expect("writable");
    let writing = FolderWriting {
        source,
        output: output.path(),
        precision,
        tokens: TokenRoles {
            eos: Some(7),
            ..TokenRoles::default()
        },
    };
    let folder = PretrainedFolder::open(source, FolderWish::default(), &components)?;
    let notes = write_folder(&folder, &writing, &components.models).map_err(|error| error.to_string())?;
    Ok((output, notes))
}

fn json_of(folder: &TempDir, name: &str) -> Value {
    let text = fs::read_to_string(folder.path().join(name)).expect("there");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn numbers_are_written_in_the_format_that_is_asked_for() {
    let tiny = TinyFolder::llama().write();
    for (precision, dtype, name) in [
        (Precision::F32, Dtype::F32, "float32"),
        (Precision::Bf16, Dtype::BF16, "bfloat16"),
        (Precision::F16, Dtype::F16, "float16"),
    ] {
        let (folder, _) = written(tiny.path(), Some(precision)).expect("writable");
        let tensors = read_tensors(&folder.path().join("model.safetensors")).expect("whole");
        let [before, after] =
            [&tiny.tensors, &tensors].map(|tensors| tensors["model.norm.weight"].widened().expect("floats"));
        assert!(tensors.values().all(|tensor| tensor.dtype() == dtype));
        let bound = if precision == Precision::F32 { 0.0 } else { 0.004 };
        assert!(
            before
                .iter()
                .zip(&after)
                .all(|(before, after)| (before - after).abs() <= bound)
        );
        assert_eq!(json_of(&folder, "config.json")["dtype"], name);
    }
    let mut large = TinyFolder::llama();
    large.tensors.insert(
        "model.norm.weight".to_owned(),
        HostTensor::from_f32(vec![8], &[1e6; 8]),
    );
    let large = large.write();
    let told = written(large.path(), Some(Precision::F16)).expect_err("too large");
    assert!(
        told.contains("`model.norm.weight`: 1000000 is too large for F16"),
        "{told}"
    );
    assert!(written(large.path(), Some(Precision::Bf16)).is_ok());
}

#[test]
fn files_can_be_read_by_everyone_and_whole_numbers_are_whole() {
    let tiny = TinyFolder::llama()
        .with("hidden_size", json!(8.0))
        .with("rms_norm_eps", json!(1))
        .write();
    let (folder, _) = written(tiny.path(), None).expect("writable");
    for name in ["config.json", "model.safetensors", "generation_config.json"] {
        let mode = fs::metadata(folder.path().join(name))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o444, 0o444, "{name}");
    }
    let config = fs::read_to_string(folder.path().join("config.json")).expect("there");
    assert!(
        config.contains("\"hidden_size\": 8,") && config.contains("\"rms_norm_eps\": 1.0,"),
        "{config}"
    );
    let bytes = fs::read(folder.path().join("model.safetensors")).expect("there");
    let header = u64::from_le_bytes(*bytes.first_chunk().expect("long")) as usize;
    assert!(header.is_multiple_of(8));
    let text = std::str::from_utf8(&bytes[8..8 + header]).expect("JSON");
    let places: Vec<usize> = tiny
        .tensors
        .keys()
        .map(|name| text.find(&format!("\"{name}\"")).expect("named"))
        .collect();
    assert!(places.is_sorted() && text.contains(r#""__metadata__":{"format":"pt"}"#));
}

#[test]
fn heads_that_a_class_has_no_place_for_are_told() {
    let tiny = TinyFolder::llama().and("score.weight", &[2, 8]).write();
    let (folder, notes) = written(tiny.path(), None).expect("writable");
    assert_eq!(
        notes,
        ["a LlamaForCausalLM has no place for these, which are left out: score.weight"]
    );
    let tensors = read_tensors(&folder.path().join("model.safetensors")).expect("whole");
    assert!(!tensors.contains_key("score.weight") && tensors.len() == 12);
    // A head that is not there cannot be written.
    let tiny = TinyFolder::bert()
        .with("architectures", json!(["BertForMaskedLM"]))
        .write();
    assert!(
        written(tiny.path(), None)
            .expect_err("refused")
            .contains("no weights for the head `masked`")
    );
}

/// What `train` leaves.
fn trained(model: Value, outputs: usize, names: &[&str]) -> TempDir {
    let components = Components::built_in();
    let model: Model = serde_json::from_value(model).expect("valid");
    let input = InputShape::Tokens {
        vocabulary: 11,
        length: 6,
    };
    let network = components
        .models
        .build(&model, input, outputs, 3, &Device::Cpu)
        .expect("fits");
    let folder = tempfile::tempdir().expect("writable");
    let state = to_host(&network.state().expect("readable")).expect("on the host");
    crate::train::huggingface::testing::write_tensors(&folder.path().join("model.safetensors"), &state);
    let card = json!({
        "card_version": 3, "architecture": model,
        "target": {"task": "classification", "names": names, "scale": null},
    });
    fs::write(folder.path().join("model.json"), card.to_string()).expect("writable");
    folder
}

#[test]
fn what_was_trained_here_becomes_a_folder() {
    let sizes = json!({"layers": 1, "heads": 2, "width": 8, "context": 6});
    let model = trained(json!({"gpt2": sizes}), 11, &[]);
    let (folder, notes) = written(model.path(), None).expect("writable");
    assert!(notes.is_empty());
    let config = json_of(&folder, "config.json");
    for (name, value) in [
        ("architectures", json!(["GPT2LMHeadModel"])),
        ("model_type", json!("gpt2")),
        ("vocab_size", json!(11)),
        ("n_positions", json!(6)),
        ("n_inner", json!(null)),
        ("eos_token_id", json!(7)),
        ("bos_token_id", json!(null)),
        ("tie_word_embeddings", json!(true)),
        ("resid_pdrop", json!(0.0)),
    ] {
        assert_eq!(config[name], value, "{name}");
    }
    assert_eq!(json_of(&folder, "generation_config.json")["eos_token_id"], 7);
    let own = read_tensors(&model.path().join("model.safetensors")).expect("whole");
    assert_eq!(
        read_tensors(&folder.path().join("model.safetensors")).expect("whole"),
        own
    );
    // And it is read back as what it was.
    let components = Components::built_in();
    let again = PretrainedFolder::open(folder.path(), FolderWish::default(), &components).expect("known");
    let first = PretrainedFolder::open(model.path(), FolderWish::default(), &components).expect("known");
    let tokens = [3, 1, 4, 10, 5];
    let of = |folder: &PretrainedFolder| super::outputs(&super::network(folder), &tokens);
    assert_eq!(of(&again), of(&first));

    let mut classes = sizes.clone();
    classes["head"] = json!("classification");
    classes["ffn"] = json!(12);
    let model = trained(json!({"bert": classes}), 3, &["ant", "bee", "cat"]);
    let (folder, _) = written(model.path(), None).expect("writable");
    let config = json_of(&folder, "config.json");
    assert_eq!(config["id2label"], json!({"0": "ant", "1": "bee", "2": "cat"}));
    assert_eq!(config["label2id"], json!({"ant": 0, "bee": 1, "cat": 2}));
    assert_eq!(config["problem_type"], "single_label_classification");
    assert_eq!(config["architectures"], json!(["BertForSequenceClassification"]));
    let image = trained(json!({"gpt2": sizes}), 11, &[]);
    let card = json!({"card_version": 3, "architecture": {"mlp": {"hidden": [4]}}});
    fs::write(image.path().join("model.json"), card.to_string()).expect("writable");
    assert!(
        written(image.path(), None)
            .expect_err("refused")
            .contains("a `mlp`, and no model of text")
    );
}

/// A model that is asked in turns ends them by another token than a text: whatever is made of it has to know both.
#[test]
fn tokens_that_end_a_text_go_with_the_model() {
    let components = Components::built_in();
    let open = |path: &Path, wish| PretrainedFolder::open(path, wish, &components).expect("known");
    let tiny = TinyFolder::llama().write();
    let own = json!({"eos_token_id": [2, 5]}).to_string();
    fs::write(tiny.path().join("generation_config.json"), own).expect("writable");
    assert_eq!(open(tiny.path(), FolderWish::default()).told_ends(), [2, 5]);
    assert_eq!(open(tiny.path(), head(TextHead::Tokens)).told_ends(), [0u32; 0]);
    // A card is all that there is of a model that was trained here.
    let sizes = json!({"layers": 1, "heads": 2, "width": 8, "context": 6});
    let model = trained(json!({"gpt2": sizes}), 11, &[]);
    let mut card = json_of(&model, "model.json");
    for (ends, told) in [(json!([2, 5]), json!([2, 5])), (json!([5]), json!(5))] {
        card["ends"] = ends.clone();
        fs::write(model.path().join("model.json"), card.to_string()).expect("writable");
        assert_eq!(
            json!(open(model.path(), FolderWish::default()).end_tokens()),
            ends
        );
        let (folder, _) = written(model.path(), None).expect("writable");
        assert_eq!(json_of(&folder, "generation_config.json")["eos_token_id"], told);
    }
    card["ends"] = json!([-1]);
    fs::write(model.path().join("model.json"), card.to_string()).expect("writable");
    let told = PretrainedFolder::open(model.path(), FolderWish::default(), &components).err();
    assert!(told.is_some_and(|told| told.starts_with("its model.json is no model's card: `ends`: ")));
}
