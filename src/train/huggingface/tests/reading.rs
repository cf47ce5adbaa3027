//! What folders may differ in and still be read.

use std::fs;

use serde_json::json;

use super::{head, network, outputs};
use crate::models::Network;
use crate::spec::TextHead;
use crate::train::huggingface::testing::{TinyFolder, tensor, write_tensors};
use crate::train::huggingface::{FolderWish, LabelKind};
use crate::train::tensor_file::{HostTensor, NamedTensors};
use crate::train::{Components, PretrainedFolder, TrainedModel};

const TOKENS: [u32; 5] = [3, 1, 4, 10, 5];

fn of(tiny: &TinyFolder) -> Vec<f32> {
    outputs(
        &network(&tiny.open(FolderWish::default()).expect("known")),
        &TOKENS,
    )
}

#[test]
fn old_names_and_constants_are_known() {
    let new = of(&TinyFolder::gpt2().write());
    let bare = TinyFolder::gpt2()
        .renamed(|name| name.strip_prefix("transformer.").map(str::to_owned))
        .and("h.0.attn.bias", &[1, 1, 6, 6])
        .and("h.0.attn.masked_bias", &[])
        .write();
    assert_eq!(of(&bare), new);
    let new = of(&TinyFolder::bert().write());
    let old = TinyFolder::bert()
        .renamed(|name| {
            let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
            Some(format!(
                "bert.{}",
                name.replace("LayerNorm.bias", "LayerNorm.beta")
            ))
        })
        .and("bert.embeddings.position_ids", &[1, 6])
        .write();
    assert_eq!(of(&old), new);
}

#[test]
fn bodies_begin_models_with_other_heads_and_the_other_way_round() {
    let base = TinyFolder::bert().write();
    let components = Components::built_in();
    let filled = |folder: &PretrainedFolder| {
        let outputs = folder.outputs();
        let network = components.models.build(
            folder.model(),
            folder.input(),
            outputs,
            5,
            &candle_core::Device::Cpu,
        );
        let network = network.expect("fits");
        let filled = folder.fill(&network, &candle_core::Device::Cpu).expect("fits");
        (network, filled)
    };
    let value = |network: &Network, name: &str| {
        let state = network.state().expect("readable");
        state[name]
            .flatten_all()
            .and_then(|values| values.to_vec1::<f32>())
            .expect("on the host")
    };
    // The pooler is there, the classes are not.
    let folder = base.open(head(TextHead::Classification)).expect("known");
    let (network, told) = filled(&folder);
    assert_eq!(told.fresh, ["classifier.bias", "classifier.weight"]);
    assert_eq!(
        value(&network, "bert.pooler.dense.weight"),
        base.tensors["pooler.dense.weight"].to_f32().expect("f32")
    );
    // Of masked tokens nothing is; the pooler is of no use.
    let folder = base.open(head(TextHead::Masked)).expect("known");
    let (_, told) = filled(&folder);
    assert_eq!(told.fresh.len(), 5);
    assert!(
        told.notes[0].contains("left aside: pooler.dense.bias, pooler.dense.weight"),
        "{:?}",
        told.notes
    );
    // A head is left out where the body alone is asked for.
    let headed = TinyFolder::gpt2().write();
    let folder = headed.open(head(TextHead::Similarity)).expect("known");
    let (network, told) = filled(&folder);
    assert!(told.fresh.is_empty());
    assert_eq!(
        value(&network, "wte.weight"),
        headed.tensors["transformer.wte.weight"].to_f32().expect("f32")
    );
    // Other classes than the folder's are drawn.
    let three = json!({"0": "a", "1": "b", "2": "c"});
    let classes = TinyFolder::bert()
        .with("architectures", json!(["BertForTokenClassification"]))
        .with("id2label", three)
        .renamed(|name| Some(format!("bert.{name}")).filter(|_| !name.starts_with("pooler")))
        .and("classifier.weight", &[3, 8])
        .and("classifier.bias", &[3])
        .write();
    let folder = classes.open(FolderWish::default()).expect("known");
    let labels = folder.labels().expect("three");
    assert_eq!(
        (labels.names.join(" "), labels.kind),
        ("a b c".to_owned(), LabelKind::Classes)
    );
    let network = components
        .models
        .build(folder.model(), folder.input(), 5, 5, &candle_core::Device::Cpu);
    let told = folder
        .fill(&network.expect("fits"), &candle_core::Device::Cpu)
        .expect("fits");
    assert_eq!(told.fresh, ["classifier.bias", "classifier.weight"]);
}

#[test]
fn several_files_are_one_set_of_weights() {
    let whole = of(&TinyFolder::llama().write());
    let tiny = TinyFolder::llama();
    tiny.write_config();
    let mut parts = [NamedTensors::new(), NamedTensors::new()];
    let mut map = serde_json::Map::new();
    for (index, (name, tensor)) in tiny.tensors.iter().enumerate() {
        parts[index % 2].insert(name.clone(), tensor.clone());
        map.insert(
            name.clone(),
            json!(format!("model-0000{}-of-00002.safetensors", index % 2 + 1)),
        );
    }
    let index = json!({"metadata": {"total_parameters": 1, "total_size": 4}, "weight_map": map});
    let write_index = |index: &serde_json::Value| {
        fs::write(
            tiny.path().join("model.safetensors.index.json"),
            index.to_string(),
        )
        .expect("writable");
    };
    write_index(&index);
    for (number, part) in parts.iter().enumerate() {
        let name = format!("model-0000{}-of-00002.safetensors", number + 1);
        write_tensors(&tiny.path().join(name), part);
    }
    assert_eq!(of(&tiny), whole);
    let problem = |index: &serde_json::Value| {
        write_index(index);
        tiny.problem(FolderWish::default())
    };
    let mut other = index.clone();
    other["weight_map"]["model.norm.weight"] = json!("../x.safetensors");
    assert!(problem(&other).contains("which is no file of the folder"));
    other["weight_map"]["model.norm.weight"] = json!("x.safetensors");
    assert!(problem(&other).contains("names `x.safetensors`, which is not there"));
    let mut fewer = index.clone();
    fewer["weight_map"]
        .as_object_mut()
        .expect("a mapping")
        .remove("model.norm.weight");
    assert!(problem(&fewer).contains("do not belong together"));
    let mut more = index;
    more["weight_map"]["model.more.weight"] = json!("model-00001-of-00002.safetensors");
    assert!(problem(&more).contains("names `model.more.weight`, which is in none"));
}

#[test]
fn either_of_a_tied_pair_is_the_embedding() {
    let tied = |tiny: TinyFolder| tiny.with("tie_word_embeddings", json!(true));
    let as_embedding = |name: &str| Some(name.to_owned()).filter(|name| name != "lm_head.weight");
    let alone = of(&tied(TinyFolder::llama()).renamed(as_embedding).write());
    let as_head = |name: &str| match name {
        "lm_head.weight" => None,
        "model.embed_tokens.weight" => Some("lm_head.weight".to_owned()),
        name => Some(name.to_owned()),
    };
    assert_eq!(of(&tied(TinyFolder::llama()).renamed(as_head).write()), alone);
    // Both, where they are equal.
    let mut both = tied(TinyFolder::llama());
    both.tensors.insert(
        "lm_head.weight".to_owned(),
        both.tensors["model.embed_tokens.weight"].clone(),
    );
    assert_eq!(of(&both.write()), alone);
    // A file that does not tell, and who knows.
    let silent = TinyFolder::llama()
        .with("tie_word_embeddings", json!(null))
        .renamed(as_embedding)
        .write();
    let wish = FolderWish {
        tied: Some(true),
        ..FolderWish::default()
    };
    assert_eq!(
        outputs(&network(&silent.open(wish).expect("known")), &TOKENS),
        alone
    );
}

#[test]
fn narrow_floats_are_taken_as_they_are() {
    let narrowed = |tensor: &HostTensor| -> HostTensor {
        let words = tensor
            .to_f32()
            .expect("f32")
            .into_iter()
            .map(half::bf16::from_f32);
        let bytes: Vec<u8> = words.flat_map(|word| word.to_bits().to_le_bytes()).collect();
        HostTensor::new(safetensors::Dtype::BF16, tensor.shape().to_vec(), bytes)
    };
    let widened = |tensor: &HostTensor| {
        HostTensor::from_f32(tensor.shape().to_vec(), &tensor.widened().expect("floats"))
    };
    let mut narrow = TinyFolder::llama().with("dtype", json!("bfloat16"));
    for tensor in narrow.tensors.values_mut() {
        *tensor = narrowed(tensor);
    }
    let mut wide = TinyFolder::llama();
    wide.tensors = narrow
        .tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), widened(tensor)))
        .collect();
    assert_eq!(of(&narrow.write()), of(&wide.write()));
}

#[test]
fn folders_of_sentence_transformers_are_read() {
    let tiny = TinyFolder::bert().write();
    let alone = of(&tiny);
    let module = |path: &str, kind: &str| json!({"path": path, "type": format!("sentence_transformers.models.{kind}")});
    let write = |name: &str, content: serde_json::Value| {
        fs::write(tiny.path().join(name), content.to_string()).expect("writable");
    };
    fs::create_dir(tiny.path().join("1_Pooling")).expect("writable");
    write(
        "modules.json",
        json!([
            module("", "Transformer"),
            module("1_Pooling", "Pooling"),
            module("2", "Normalize")
        ]),
    );
    write(
        "1_Pooling/config.json",
        json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}),
    );
    assert_eq!(of(&tiny), alone);
    write("1_Pooling/config.json", json!({"pooling_mode": "mean"}));
    assert_eq!(of(&tiny), alone);
    write("1_Pooling/config.json", json!({"pooling_mode_cls_token": true}));
    assert!(
        tiny.problem(FolderWish::default())
            .contains("asks for pooling_mode_cls_token, and only")
    );
    write(
        "modules.json",
        json!([module("", "Transformer"), module("2_Dense", "Dense")]),
    );
    assert!(tiny.problem(FolderWish::default()).contains("a module `Dense`"));
    write("modules.json", json!([module("0_Transformer", "Transformer")]));
    fs::create_dir(tiny.path().join("0_Transformer")).expect("writable");
    fs::rename(
        tiny.path().join("config.json"),
        tiny.path().join("0_Transformer/config.json"),
    )
    .expect("there");
    assert!(
        tiny.problem(FolderWish::default())
            .contains("in the folder `0_Transformer`")
    );
}

#[test]
fn a_pair_of_tensors_that_is_one_is_told() {
    let twice = TinyFolder::gpt2();
    let mut twice = twice.and("wte.weight", &[11, 8]);
    twice
        .tensors
        .insert("wte.weight".to_owned(), tensor("wte.weight", &[11, 8]));
    assert!(
        twice
            .write()
            .problem(FolderWish::default())
            .contains("one tensor twice")
    );
}

#[test]
fn a_folder_with_named_outputs_is_a_model_like_one_that_was_trained() {
    let components = Components::built_in();
    let load = |tiny: &TinyFolder| TrainedModel::load(tiny.path(), &candle_core::Device::Cpu, &components);
    let classes = TinyFolder::bert()
        .with("architectures", json!(["BertForSequenceClassification"]))
        .with("id2label", json!({"0": "ant", "1": "bee"}))
        .renamed(|name| Some(format!("bert.{name}")))
        .and("classifier.weight", &[2, 8])
        .and("classifier.bias", &[2])
        .with_tokenizer()
        .write();
    let model = load(&classes).expect("whole");
    assert_eq!(model.card.target.task, "classification");
    assert_eq!(model.card.target.names, ["ant", "bee"]);
    assert_eq!(model.card.parameters, 790);
    let inputs = model.card.inputs.as_ref().expect("tokens");
    let known = inputs
        .input()
        .and_then(|field| field.vocabulary.clone())
        .expect("a tokenizer");
    let bytes = fs::read(classes.path().join("tokenizer.json")).expect("there");
    assert_eq!(
        known.digest,
        crate::fingerprint::Digest::of_bytes(&bytes).to_string()
    );
    assert_eq!(outputs(&model.network, &TOKENS), of(&classes));
    let base = TinyFolder::bert().write();
    let target = load(&base).expect("whole").card.target;
    assert_eq!((target.task.as_str(), target.width), ("similarity", Some(8)));
}
