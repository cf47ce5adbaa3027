//! Files of llama.cpp.

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value as GgufValue};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::{network, outputs};
use crate::train::folder_testing::TinyFolder;
use crate::train::huggingface::{FolderWish, PretrainedFolder};
use crate::train::{Components, HostTensor, TrainedModel};

const TOKENS: [u32; 5] = [3, 1, 4, 10, 5];

/// What llama.cpp's converter does to the rows of queries and keys.
fn side_by_side(tensor: &Tensor, heads: usize) -> Tensor {
    let (rows, columns) = tensor.dims2().expect("a matrix");
    let halves = tensor
        .reshape((heads, 2, rows / heads / 2, columns))
        .expect("two halves");
    let turned = halves.transpose(1, 2).and_then(|turned| turned.contiguous());
    turned
        .and_then(|turned| turned.reshape((rows, columns)))
        .expect("as many")
}

fn write(tiny: &TinyFolder, path: &Path, more: &[(&str, GgufValue)], tied: bool) -> PathBuf {
    let mut metadata: Vec<(&str, GgufValue)> = vec![
        ("general.architecture", GgufValue::String("llama".to_owned())),
        ("llama.block_count", GgufValue::U32(1)),
        ("llama.context_length", GgufValue::U32(16)),
        ("llama.embedding_length", GgufValue::U32(8)),
        ("llama.feed_forward_length", GgufValue::U32(12)),
        ("llama.attention.head_count", GgufValue::U32(2)),
        ("llama.attention.head_count_kv", GgufValue::U32(1)),
        ("llama.attention.layer_norm_rms_epsilon", GgufValue::F32(1e-6)),
        ("llama.rope.dimension_count", GgufValue::U32(4)),
    ];
    metadata.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    let mut tensors = Vec::new();
    for (name, tensor) in &tiny.tensors {
        let tensor = tensor.to_tensor(&Device::Cpu).expect("f32");
        let name = name
            .replace("model.embed_tokens", "token_embd")
            .replace("model.norm", "output_norm")
            .replace("lm_head", "output")
            .replace("model.layers.0", "blk.0")
            .replace("input_layernorm", "attn_norm")
            .replace("post_attention_layernorm", "ffn_norm")
            .replace("self_attn.q_proj", "attn_q")
            .replace("self_attn.k_proj", "attn_k")
            .replace("self_attn.v_proj", "attn_v")
            .replace("self_attn.o_proj", "attn_output")
            .replace("mlp.gate_proj", "ffn_gate")
            .replace("mlp.up_proj", "ffn_up")
            .replace("mlp.down_proj", "ffn_down");
        let tensor = match name.as_str() {
            "output.weight" if tied => continue,
            "blk.0.attn_q.weight" => side_by_side(&tensor, 2),
            "blk.0.attn_k.weight" => side_by_side(&tensor, 1),
            _ => tensor,
        };
        tensors.push((
            name,
            QTensor::quantize(&tensor, GgmlDType::F32).expect("the same"),
        ));
    }
    let metadata: Vec<(&str, &GgufValue)> = metadata.iter().map(|(name, value)| (*name, value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let path = path.join("model.gguf");
    gguf_file::write(&mut File::create(&path).expect("writable"), &metadata, &tensors).expect("writable");
    path
}

#[test]
fn a_file_of_llama_cpp_computes_what_its_folder_computes() {
    let tiny = TinyFolder::llama().write();
    let components = Components::built_in();
    let folder = tempfile::tempdir().expect("writable");
    let path = write(&tiny, folder.path(), &[], false);
    let gguf = PretrainedFolder::open(&path, FolderWish::default(), &components).expect("known");
    let expected = outputs(
        &network(&tiny.open(FolderWish::default()).expect("known")),
        &TOKENS,
    );
    assert_eq!(outputs(&network(&gguf), &TOKENS), expected);
    // Whoever evaluates or exports a model takes the file too.
    let loaded = TrainedModel::load(&path, &Device::Cpu, &components).expect("known");
    assert_eq!(outputs(&loaded.network, &TOKENS), expected);
    // Without an output layer of its own.
    let path = write(&tiny, folder.path(), &[], true);
    let gguf = PretrainedFolder::open(&path, FolderWish::default(), &components).expect("known");
    let mut tied = TinyFolder::llama().with("tie_word_embeddings", serde_json::json!(true));
    tied.tensors.remove("lm_head.weight");
    let expected = outputs(
        &network(&tied.write().open(FolderWish::default()).expect("known")),
        &TOKENS,
    );
    assert_eq!(outputs(&network(&gguf), &TOKENS), expected);
}

#[test]
fn what_is_no_plain_llama_is_refused() {
    let components = Components::built_in();
    let folder = tempfile::tempdir().expect("writable");
    let told = |path: &Path| {
        PretrainedFolder::open(path, FolderWish::default(), &components)
            .map(drop)
            .expect_err("refused")
    };
    let scaled = [("llama.rope.scaling.type", GgufValue::String("yarn".to_owned()))];
    let path = write(&TinyFolder::llama(), folder.path(), &scaled, false);
    assert!(told(&path).contains("the kind `yarn`"));
    let mut other = TinyFolder::llama();
    other.tensors.insert(
        "rope_freqs.weight".to_owned(),
        HostTensor::from_f32(vec![2], &[1.0; 2]),
    );
    let path = write(&other, folder.path(), &[], false);
    assert!(told(&path).contains("it holds `rope_freqs.weight`"));
    let bytes = std::fs::read(&path).expect("there");
    std::fs::write(&path, &bytes[..100]).expect("writable");
    assert!(told(&path).contains("no GGUF file that can be read"));
}
