//! Low-rank changes as PEFT keeps them.

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::data::Normalization;
use crate::event::Metrics;
use crate::models::{formula, is_low_rank};
use crate::schema::InputShape;
use crate::spec::{LoraOptions, Model, Precision, fits_pattern};
use crate::train::huggingface::{FolderWish, PeftAdapter, PretrainedFolder};
use crate::train::low_rank::{split, write_adapter};
use crate::train::model_file::{CARD_FILE, Card, write_json};
use crate::train::tasks::ModelTarget;
use crate::train::tensor_file::{read_tensors, to_host};
use crate::train::{Components, NamedTensors};

const INPUT: InputShape = InputShape::Tokens {
    vocabulary: 11,
    length: 6,
};

/// What a training of such changes leaves, every value by the formula.
fn trained(model: Value, task: &str, names: &[&str], lora: Value) -> TempDir {
    let components = Components::built_in();
    let architecture: Model = serde_json::from_value(model).expect("valid");
    let lora: LoraOptions = serde_json::from_value(lora).expect("valid");
    let target = ModelTarget {
        task: task.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        width: names.is_empty().then_some(11),
        scale: None,
    };
    let mut network = components
        .models
        .build(&architecture, INPUT, target.outputs(), 3, &Device::Cpu)
        .expect("fits");
    formula::fill(&network, |_, value| value);
    network.adapt(&lora, 3).expect("fits");
    for parameter in network
        .parameters()
        .iter()
        .filter(|parameter| is_low_rank(&parameter.name))
    {
        let values = formula::tensor(&parameter.name, parameter.var.dims());
        let values: Vec<f32> = values.into_iter().map(|value| value as f32 + 0.1).collect();
        let values = Tensor::from_vec(values, parameter.var.shape(), &Device::Cpu).expect("fits");
        parameter.var.set(&values).expect("the same shape");
    }
    let head: Vec<String> = network
        .task_head()
        .map(|parameter| parameter.name.clone())
        .collect();
    let also = |name: &str| lora.also.iter().any(|pattern| fits_pattern(pattern, name));
    network.freeze(|name| !is_low_rank(name) && !head.iter().any(|head| head == name) && !also(name));
    let state = to_host(&network.state().expect("readable")).expect("on the host");
    let (base, changes) = split(&network, state);
    let folder = tempfile::tempdir().expect("writable");
    write_adapter(folder.path(), &base, &changes).expect("writable");
    let card = Card {
        card_version: Card::VERSION,
        architecture,
        input: INPUT,
        inputs: None,
        text: None,
        target,
        transforms: Vec::new(),
        normalization: Normalization {
            mean: Vec::new(),
            std: Vec::new(),
        },
        reported_loss: None,
        precision: Precision::F32,
        kernels: Vec::new(),
        ends: Vec::new(),
        batch_size: 4,
        seed: 3,
        parameters: 0,
        epochs: 1,
        selected_epoch: 1,
        selected_step: 1,
        metrics: Metrics::new(),
        lora: Some(lora),
        quantization: None,
    };
    write_json(&folder.path().join(CARD_FILE), &card).expect("writable");
    folder
}

fn sizes(more: Value) -> Value {
    let mut sizes = json!({"layers": 1, "heads": 2, "width": 8, "context": 6});
    for (name, value) in more.as_object().expect("an object") {
        sizes[name] = value.clone();
    }
    sizes
}

fn bert(variant: &str, lora: Value) -> TempDir {
    let options = sizes(json!({"variant": variant, "head": "classification", "ffn": 12}));
    trained(
        json!({ "bert": options }),
        "classification",
        &["ant", "bee", "cat"],
        lora,
    )
}

/// What is written of a model: tensors, configuration, and what people read.
fn written(model: &Path, base: Option<&str>) -> Result<(NamedTensors, Value, String), String> {
    let output = tempfile::tempdir().expect("writable");
    let adapter = PeftAdapter::read(model, &Components::built_in())?;
    adapter
        .write(base, output.path())
        .map_err(|error| error.to_string())?;
    let text = |name: &str| fs::read_to_string(output.path().join(name)).expect("there");
    let tensors = read_tensors(&output.path().join("adapter_model.safetensors")).expect("whole");
    let config = serde_json::from_str(&text("adapter_config.json")).expect("JSON");
    Ok((tensors, config, text("README.md")))
}

fn names(tensors: &NamedTensors) -> Vec<&str> {
    let name = |name: &'_ String| name.strip_prefix("base_model.model.").map(str::len);
    let cut = tensors
        .keys()
        .map(|full| &full[full.len() - name(full).expect("named as PEFT does")..]);
    cut.collect()
}

#[test]
fn what_peft_looks_for_is_there() {
    let lora = json!({"rank": 2, "alpha": 3, "dropout": 0.1, "dora": true});
    let model = bert("bert", lora);
    let (tensors, config, read_me) = written(model.path(), Some("me/tiny")).expect("writable");
    let layer = "bert.encoder.layer.0.attention.self";
    let expected = [
        format!("{layer}.query.lora_A.weight"),
        format!("{layer}.query.lora_B.weight"),
        format!("{layer}.query.lora_magnitude_vector"),
        format!("{layer}.value.lora_A.weight"),
        format!("{layer}.value.lora_B.weight"),
        format!("{layer}.value.lora_magnitude_vector"),
        "bert.pooler.dense.bias".to_owned(),
        "bert.pooler.dense.weight".to_owned(),
        "classifier.bias".to_owned(),
        "classifier.weight".to_owned(),
    ];
    assert_eq!(names(&tensors), expected);
    let own = read_tensors(&model.path().join("adapter.safetensors")).expect("whole");
    for (name, tensor) in &own {
        assert_eq!(&tensors[&format!("base_model.model.{name}")], tensor, "{name}");
    }
    assert_eq!(
        config,
        json!({
            "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "me/tiny", "bias": "none",
            "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layers_pattern": null,
            "layers_to_transform": null, "lora_alpha": 3, "lora_dropout": 0.1,
            "modules_to_save": ["classifier", "pooler", "score"], "peft_type": "LORA", "r": 2, "rank_pattern": {},
            "revision": null, "target_modules": ["query", "value"], "task_type": "SEQ_CLS", "use_dora": true,
            "use_rslora": false,
        })
    );
    for told in [
        "base_model: \"me/tiny\"\n",
        "library_name: peft\n",
        "from_pretrained(\"me/tiny\", id2label={0: \"ant\", 1: \"bee\", 2: \"cat\"}, label2id={\"ant\":0,",
        "of rank 2 of a `bert`",
    ] {
        assert!(read_me.contains(told), "{read_me}");
    }
}

#[test]
fn layers_are_named_in_full_where_others_are_called_so() {
    let model = bert("bert", json!({"rank": 1, "targets": "all_linear"}));
    let (_, config, read_me) = written(model.path(), None).expect("writable");
    let layer = "bert.encoder.layer.0";
    let [attention, between, output] =
        ["attention.output", "intermediate", "output"].map(|name| format!("{layer}.{name}.dense"));
    assert_eq!(
        config["target_modules"],
        // The pooler is saved as a whole, with its change in it.
        json!([attention, between, output, "key", "query", "value"])
    );
    assert_eq!(
        (&config["lora_alpha"], &config["base_model_name_or_path"]),
        (&json!(1), &json!(null))
    );
    assert!(read_me.starts_with("---\nlibrary_name: peft\n"), "{read_me}");
    // Layers are [in, out] in GPT-2; nothing of it is saved as a whole.
    let gpt2 = trained(
        json!({"gpt2": sizes(json!({}))}),
        "next_token",
        &[],
        json!({"rank": 2, "alpha": 1.5}),
    );
    let (tensors, config, _) = written(gpt2.path(), None).expect("writable");
    assert_eq!(
        tensors["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"].shape(),
        [24, 2]
    );
    for (name, value) in [
        ("fan_in_fan_out", json!(true)),
        ("modules_to_save", json!(null)),
        ("target_modules", json!(["c_attn"])),
        ("task_type", json!("CAUSAL_LM")),
        ("lora_alpha", json!(1.5)),
    ] {
        assert_eq!(config[name], value, "{name}");
    }
}

#[test]
fn what_was_trained_in_full_is_saved_as_a_whole() {
    let lora = json!({
        "rank": 2, "targets": ["q_lin", "v_lin", "classifier"], "also": ["*.sa_layer_norm.weight", "*.v_lin.bias", "*word_embeddings*"],
    });
    let model = bert("distilbert", lora);
    let (tensors, config, _) = written(model.path(), None).expect("writable");
    let layer = "distilbert.transformer.layer.0";
    let (norm, values) = (
        format!("{layer}.sa_layer_norm"),
        format!("{layer}.attention.v_lin"),
    );
    assert_eq!(
        config["modules_to_save"],
        json!([
            "classifier",
            "distilbert.embeddings.word_embeddings",
            values,
            norm,
            "pre_classifier",
            "score"
        ])
    );
    assert_eq!(config["target_modules"], json!(["q_lin"]));
    let merged =
        PretrainedFolder::open(model.path(), FolderWish::default(), &Components::built_in()).expect("known");
    for name in [
        format!("{norm}.weight"),
        format!("{norm}.bias"),
        format!("{values}.weight"),
        format!("{values}.bias"),
        "pre_classifier.weight".to_owned(),
        "classifier.weight".to_owned(),
    ] {
        let saved = &tensors[&format!("base_model.model.{name}")];
        assert_eq!(saved, &merged.read(&name).expect("there"), "{name}");
    }
    assert_eq!(names(&tensors).iter().filter(|name| is_low_rank(name)).count(), 2);
    // Unmerged, the changed layers are as they were.
    let wish = FolderWish {
        without_changes: true,
        ..FolderWish::default()
    };
    let base = PretrainedFolder::open(model.path(), wish, &Components::built_in()).expect("known");
    let query = format!("{layer}.attention.q_lin.weight");
    assert_eq!(
        base.read(&query).expect("there"),
        super::super::testing::tensor(&query, &[8, 8])
    );
    assert_ne!(
        base.read(&query).expect("there"),
        merged.read(&query).expect("there")
    );
}

#[test]
fn what_peft_cannot_hold_is_told() {
    let told = |folder: &TempDir| written(folder.path(), None).expect_err("refused");
    let masked = sizes(json!({"ffn": 12}));
    let tied = trained(
        json!({ "bert": masked }),
        "masked_token",
        &[],
        json!({"rank": 1, "also": ["*word_embeddings*"]}),
    );
    assert!(
        told(&tied).contains(
            "`bert.embeddings.word_embeddings`, of which `bert.embeddings.word_embeddings.weight` was trained (`also`), holds"
        ),
        "{}",
        told(&tied)
    );
    let nothing = bert(
        "bert",
        json!({"rank": 1, "targets": ["query"], "also": ["*.query.bias"]}),
    );
    assert!(
        told(&nothing).contains("nothing is left for an adapter"),
        "{}",
        told(&nothing)
    );
    let folder = super::super::testing::TinyFolder::gpt2().write();
    assert!(
        told(&folder.folder).contains("no low-rank changes"),
        "{}",
        told(&folder.folder)
    );
}
