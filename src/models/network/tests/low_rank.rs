//! Low-rank changes of linear layers, of every kind of network.

use serde_json::{Value, json};

use super::*;
use crate::models::TokenBatch;
use crate::ops::Tape;
use crate::spec::LoraOptions;

fn lora(options: Value) -> LoraOptions {
    serde_json::from_value(options).expect("valid")
}

fn of(model: Value, input: InputShape, outputs: usize) -> Network {
    let model: Model = serde_json::from_value(model).expect("valid");
    build(&model, input, outputs, 7, &Device::Cpu).expect("fits")
}

fn close(own: &[f32], expected: &[f32], tolerance: f64) {
    let expected: Vec<f64> = expected.iter().map(|value| f64::from(*value)).collect();
    assert_close(own, &expected, tolerance);
}

const TOKENS: InputShape = InputShape::Tokens {
    vocabulary: 23,
    length: 6,
};

/// Networks with linear layers of both layouts, and what they are given.
fn networks() -> Vec<(&'static str, Network, Tensor)> {
    let ids =
        Tensor::from_vec((0..12u32).map(|id| id * 5 % 23).collect(), (2, 6), &Device::Cpu).expect("fits");
    let small = json!({"layers": 2, "heads": 2, "width": 8, "context": 6});
    let mut classes = small.clone();
    classes["head"] = json!("classification");
    classes["ffn"] = json!(16);
    let vit = json!({"patch": 4, "width": 8, "depth": 1, "heads": 2, "mlp_width": 12});
    vec![
        (
            "mlp",
            of(
                json!({"mlp": {"hidden": [5]}}),
                InputShape::Features { columns: 4 },
                3,
            ),
            random(&[2, 4], 1),
        ),
        (
            "vit",
            of(json!({ "vit": vit }), image(3, 8, 8), 3),
            random(&[2, 3, 8, 8], 2),
        ),
        ("gpt2", of(json!({ "gpt2": small }), TOKENS, 23), ids.clone()),
        ("bert", of(json!({ "bert": classes }), TOKENS, 3), ids),
    ]
}

/// Gives the changes values, so that they change something.
fn fill(network: &Network) {
    for (index, parameter) in (0u64..).zip(network.parameters()) {
        if parameter.name.contains("lora_B") {
            parameter
                .var
                .set(&random(parameter.var.dims(), 100 + index))
                .expect("the same shape");
        }
    }
}

#[test]
fn they_change_nothing_at_first_and_are_part_of_the_weights_when_merged() {
    let evaluation = Pass::evaluate(Precision::F32);
    for dora in [false, true] {
        for (name, mut network, input) in networks() {
            // The output layer of a vision transformer begins with 0.
            let head = network
                .parameters()
                .iter()
                .find(|parameter| parameter.name == "heads.head.weight");
            if let Some(head) = head {
                head.var.set(&random(head.var.dims(), 3)).expect("the same shape");
            }
            let before = network.forward(&input, &evaluation).expect("fits");
            let layout = network.layout();
            let options = lora(json!({"rank": 2, "alpha": 3, "targets": "all_linear", "dora": dora}));
            let layers = network.adapt(&options, 5).expect("has linear layers");
            assert!(!layers.is_empty());
            let head = network.architecture.head().to_owned();
            assert!(!layers.contains(&head), "{name}: {layers:?}");
            let again = network.adapt(&options, 5).expect_err("has changes");
            assert_eq!(again.to_string(), "it has low-rank changes already");
            let at_first = network.forward(&input, &evaluation).expect("fits");
            close(&host(&at_first), &host(&before), 1e-5);
            fill(&network);
            let changed = network.forward(&input, &evaluation).expect("fits");
            let moved = host(&changed)
                .iter()
                .zip(host(&before))
                .any(|(new, old)| (new - old).abs() > 1e-4);
            assert!(moved, "{name}");
            network.merge().expect("merges");
            assert_eq!(network.layout(), layout);
            let merged = network.forward(&input, &evaluation).expect("fits");
            close(&host(&merged), &host(&changed), 1e-5);
        }
    }
}

#[test]
fn magnitudes_are_the_norms_of_the_changed_rows() {
    // The same computed from a weight that is made whole: rows of `m * (W + s * B * A) / |W + s * B * A|`.
    let (_, mut network, input) = networks().remove(0);
    let options = lora(json!({"rank": 2, "alpha": 3, "targets": "all_linear", "dora": true}));
    network.adapt(&options, 5).expect("has linear layers");
    fill(&network);
    let named = |name: &str| {
        let parameter = network
            .parameters()
            .iter()
            .find(|parameter| parameter.name == name);
        parameter.expect("is there").var.clone()
    };
    let magnitude = named("0.lora_magnitude_vector");
    magnitude.set(&random(&[5], 9)).expect("the same shape");
    let pass = Pass {
        samples: &[0, 1],
        ..TRAIN
    };
    let (loss, tape) = Tape::record(|| {
        let y = network.forward(&input, &pass).expect("fits");
        mean_cross_entropy(&y, &[0, 2], 0.0)
    });
    let mut own = tape.backward(&loss).expect("differentiable");

    let (weight, down, up) = (
        named("0.weight"),
        named("0.lora_A.weight"),
        named("0.lora_B.weight"),
    );
    let changed = (weight.as_tensor()
        + (up.as_tensor().matmul(down.as_tensor()).expect("fits") * options.scale()).expect("scales"))
    .expect("adds");
    let norms = changed
        .detach()
        .sqr()
        .and_then(|squares| squares.sum(1))
        .and_then(|sums| sums.sqrt());
    let factor = magnitude
        .as_tensor()
        .div(&norms.expect("has rows"))
        .expect("fits");
    let whole = changed
        .broadcast_mul(&factor.unsqueeze(1).expect("a column"))
        .expect("fits");
    let hidden = crate::ops::linear(&input, &whole, Some(named("0.bias").as_tensor()), Precision::F32);
    let hidden = crate::ops::relu(&hidden.expect("fits")).expect("fits");
    let (last, bias) = (named("3.weight"), named("3.bias"));
    let y = crate::ops::linear(&hidden, last.as_tensor(), Some(bias.as_tensor()), Precision::F32);
    let expected = mean_cross_entropy(&y.expect("fits"), &[0, 2], 0.0);
    close(&host(&loss), &host(&expected), 1e-6);
    let gradients = expected.backward().expect("differentiable");
    for var in [&magnitude, &down, &up] {
        let own = own.remove(var.as_tensor()).expect("has one");
        let expected = gradients.get(var.as_tensor()).expect("has one");
        close(&host(&own), &host(expected), 1e-5);
    }
}

#[test]
fn a_samples_dropout_is_its_own_in_rows_and_in_batches_of_one_length() {
    let options = lora(json!({"rank": 2, "alpha": 4, "targets": "all_linear", "dropout": 0.5}));
    let (_, mut network, _) = networks().remove(3);
    network.adapt(&options, 5).expect("has linear layers");
    fill(&network);
    let ids: Vec<u32> = (0..12u32).map(|id| id * 5 % 23).collect();
    let pass = Pass {
        samples: &[4, 9],
        ..TRAIN
    };
    let run = |batch: &TokenBatch, pass: &Pass| {
        host(
            &network
                .forward_tokens(batch, pass)
                .expect("fits")
                .outputs(Precision::F32)
                .expect("fits"),
        )
    };
    let equal = TokenBatch::equal(&ids, 2, &Device::Cpu).expect("whole samples");
    let rows = TokenBatch::ragged(&ids, &[0, 6, 12], &Device::Cpu).expect("ascends");
    assert_eq!(run(&equal, &pass), run(&rows, &pass));
    assert_ne!(run(&equal, &pass), run(&equal, &Pass { epoch: 1, ..pass }));
    assert_ne!(run(&equal, &pass), run(&equal, &Pass::evaluate(Precision::F32)));
}

#[test]
fn targets_are_told_where_they_fit_nothing() {
    for (targets, told) in [
        (
            json!(["querry"]),
            "the target `querry` fits no linear layer; their names end in query, key, value, dense, classifier",
        ),
        (
            json!(["*.embeddings.*"]),
            "the target `*.embeddings.*` fits no linear layer",
        ),
    ] {
        let (_, mut network, _) = networks().remove(3);
        let error = network
            .adapt(&lora(json!({"rank": 2, "targets": targets})), 0)
            .expect_err("fits nothing");
        assert!(error.to_string().starts_with(told), "{error}");
    }
    for (targets, layers) in [
        (json!(["query", "value"]), 4),
        (json!(["*.layer.1.*"]), 6),
        (json!(["classifier"]), 1),
    ] {
        let (_, mut network, _) = networks().remove(3);
        let found = network
            .adapt(&lora(json!({"rank": 2, "targets": targets})), 0)
            .expect("fits");
        assert_eq!(found.len(), layers);
    }
    // Its only linear layer is the output layer.
    let mut convolutions = of(json!({"resnet18": {"stem": "cifar"}}), image(3, 8, 8), 2);
    let error = convolutions
        .adapt(&lora(json!({"rank": 2})), 0)
        .expect_err("fits nothing");
    assert_eq!(
        error.to_string(),
        "the target `all_linear` fits no linear layer; their names end in fc"
    );
}
