//! Networks of text beside Hugging Face's, whose values `tests/fixtures/text_models.py` wrote; and what they do
//! beyond that.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::models::formula;
use crate::models::{TextOutput, TokenBatch};
use crate::ops::Tape;

const VOCABULARY: usize = 61;
const LENGTHS: [usize; 4] = [16, 13, 9, 5];

#[derive(Deserialize)]
struct TextCase {
    model: Value,
    kind: String,
    tokens: Vec<u32>,
    targets: Vec<i64>,
    shapes: BTreeMap<String, Vec<usize>>,
    /// Of the last two rows.
    outputs: Vec<f64>,
    loss: f64,
    norms: BTreeMap<String, f64>,
}

fn tokens(length: usize) -> InputShape {
    InputShape::Tokens {
        vocabulary: VOCABULARY,
        length,
    }
}

fn by_formula(model: &Model, outputs: usize) -> Network {
    let network = cpu(model, tokens(16), outputs);
    formula::fill(&network, |_, value| value);
    network
}

fn train(samples: &[u32]) -> Pass<'_> {
    Pass { samples, ..TRAIN }
}

#[test]
fn names_values_and_gradients_are_those_of_hugging_faces_models() {
    let cases: Vec<TextCase> =
        serde_json::from_str(include_str!("../../../../tests/fixtures/text_models.json")).expect("valid");
    assert_eq!(cases.len(), 16);
    for case in cases {
        let what = case.model.to_string();
        let model: Model = serde_json::from_value(case.model).expect("valid");
        let outputs = if matches!(&*case.kind, "causal" | "masked") {
            VOCABULARY
        } else {
            3
        };
        let network = by_formula(&model, outputs);
        let shapes: BTreeMap<String, Vec<usize>> = network
            .parameters()
            .iter()
            .map(|parameter| (parameter.name.clone(), parameter.var.dims().to_vec()))
            .collect();
        assert_eq!(shapes, case.shapes, "{what}");

        let mut offsets = vec![0];
        for length in if case.kind == "causal" { [16; 4] } else { LENGTHS } {
            offsets.push(offsets.last().unwrap_or(&0) + length);
        }
        let batch = TokenBatch::ragged(&case.tokens, &offsets, &Device::Cpu).expect("ascends");
        let targets: Vec<Option<u32>> = case
            .targets
            .iter()
            .map(|&target| u32::try_from(target).ok())
            .collect();
        let counted = targets.iter().flatten().count() as f64;
        let ((output, loss), tape) = Tape::record(|| {
            let output = network
                .forward_tokens(&batch, &train(&[0, 1, 2, 3]))
                .expect("fits");
            let loss = output.loss(&targets, counted, Precision::F32).expect("fits");
            (output, loss)
        });
        let rows = host(&output.outputs(Precision::F32).expect("fits"));
        let last = &rows[rows.len() - 2 * outputs..];
        assert_close(last, &case.outputs, 2e-6);
        let own = f64::from(loss.to_scalar::<f32>().expect("a scalar"));
        assert!((own - case.loss).abs() < 2e-6, "{what}: {own} for {}", case.loss);
        let judged = output.loss_per_row(&targets, Precision::F32).expect("fits");
        let mean = judged.iter().flatten().sum::<f64>() / counted;
        assert!(
            (mean - case.loss).abs() < 2e-6,
            "{what}: {mean} for {}",
            case.loss
        );

        let mut gradients = tape.backward(&loss).expect("differentiable");
        let largest = case
            .norms
            .values()
            .fold(0.0f64, |largest, norm| largest.max(*norm));
        for Parameter { name, var, .. } in network.parameters() {
            let gradient = gradients
                .remove(var.as_tensor())
                .unwrap_or_else(|| panic!("{what}: {name} has none"));
            let norm = host(&gradient)
                .iter()
                .map(|value| f64::from(*value).powi(2))
                .sum::<f64>()
                .sqrt();
            let expected = case.norms[name];
            // A bias of keys changes nothing: its gradient is what rounding leaves.
            let error = (norm - expected).abs();
            assert!(
                error < 1e-5 * expected + 2e-7 * largest,
                "{what}: {name} {norm} for {expected}"
            );
        }
    }
}

fn built(model: Value, outputs: usize) -> Network {
    let model: Model = serde_json::from_value(model).expect("valid");
    by_formula(&model, outputs)
}

fn dropping() -> Vec<Network> {
    let sizes = |other: Value| {
        let mut options = json!({"layers": 2, "heads": 4, "width": 32, "ffn": 48, "context": 20});
        for (key, value) in other.as_object().expect("a mapping") {
            options[key] = value.clone();
        }
        options
    };
    vec![
        built(json!({"gpt2": sizes(json!({"dropout": 0.2}))}), VOCABULARY),
        built(
            json!({"bert": sizes(json!({"dropout": 0.2, "head": "tokens"}))}),
            3,
        ),
        built(
            json!({"bert": sizes(json!({"dropout": 0.2, "head": "similarity"}))}),
            32,
        ),
        built(
            json!({"llama": sizes(json!({"attention_dropout": 0.2, "kv_heads": 2}))}),
            VOCABULARY,
        ),
    ]
}

/// Three samples of several lengths.
fn ragged() -> (Vec<u32>, [usize; 4]) {
    (
        (0..31).map(|place| place * 7 % VOCABULARY as u32).collect(),
        [0, 11, 12, 31],
    )
}

#[test]
fn threads_do_not_matter() {
    let (ids, offsets) = ragged();
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        for network in dropping() {
            same_for_any_number_of_threads(|| {
                let batch = TokenBatch::ragged(&ids, &offsets, &Device::Cpu).expect("ascends");
                let pass = Pass {
                    precision,
                    ..train(&[5, 0, 9])
                };
                let (loss, tape) = Tape::record(|| {
                    let output = network.forward_tokens(&batch, &pass).expect("fits");
                    let rows = match &output {
                        TextOutput::Rows(rows) => rows.dims()[0],
                        TextOutput::Vocabulary { hidden, .. } => hidden.dims()[0],
                    };
                    let targets: Vec<Option<u32>> = (0..rows).map(|row| Some(row as u32 % 3)).collect();
                    output.loss(&targets, 31.0, precision).expect("fits")
                });
                let mut gradients = tape.backward(&loss).expect("differentiable");
                let found: Vec<Option<Vec<f32>>> = network
                    .parameters()
                    .iter()
                    .map(|parameter| gradients.remove(parameter.var.as_tensor()).as_ref().map(host))
                    .collect();
                assert!(found.iter().all(Option::is_some));
                (host(&loss), found)
            });
        }
    }
}

#[test]
fn a_sample_is_dropped_the_same_whatever_it_is_computed_with() {
    let (ids, offsets) = ragged();
    for network in dropping() {
        let of = |ids: &[u32], offsets: &[usize], samples: &[u32]| {
            let batch = TokenBatch::ragged(ids, offsets, &Device::Cpu).expect("ascends");
            let output = network.forward_tokens(&batch, &train(samples)).expect("fits");
            output.outputs(Precision::F32).expect("fits")
        };
        let all = of(&ids, &offsets, &[5, 0, 9]);
        let alone = of(&ids[12..], &[0, 19], &[9]);
        let rows = alone.dims()[0];
        let last = all.narrow(0, all.dims()[0] - rows, rows).expect("inside");
        let expected: Vec<f64> = host(&alone).into_iter().map(f64::from).collect();
        assert_close(&host(&last), &expected, 1e-6);
        assert_ne!(host(&alone), host(&of(&ids[12..], &[0, 19], &[8])), "other draws");
    }
}

#[test]
fn padding_and_its_gradient_are_none() {
    let model = json!({"bert": {"layers": 1, "heads": 2, "width": 8, "context": 16, "padding": 3}});
    let model: Model = serde_json::from_value(model).expect("valid");
    let network = cpu(&model, tokens(16), VOCABULARY);
    let state = network.state().expect("readable");
    let rows = host(&state["bert.embeddings.word_embeddings.weight"]);
    assert!(rows[24..32].iter().all(|value| *value == 0.0));
    assert!(rows[..24].iter().all(|value| *value != 0.0));
}

#[test]
fn initial_weights_are_drawn_as_hugging_face_draws_them() {
    let model = json!({"gpt2": {"layers": 8, "heads": 2, "width": 64, "context": 16}});
    let network = cpu(
        &serde_json::from_value(model).expect("valid"),
        tokens(16),
        VOCABULARY,
    );
    let state = network.state().expect("readable");
    for (name, expected) in [
        ("transformer.wte.weight", 0.02),
        ("transformer.h.7.attn.c_attn.weight", 0.02),
        ("transformer.h.7.attn.c_proj.weight", 0.005),
        ("transformer.h.0.mlp.c_proj.weight", 0.005),
        ("transformer.h.0.mlp.c_proj.bias", 0.0),
        ("transformer.ln_f.bias", 0.0),
    ] {
        let values = host(&state[name]);
        let square = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        let deviation = (square / values.len() as f64).sqrt();
        assert!(
            (deviation - expected).abs() <= 0.06 * expected,
            "{name}: {deviation} for {expected}"
        );
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let told = |model: Value, input, outputs| {
        let model: Model = serde_json::from_value(model).expect("valid");
        check(&model, input, outputs).expect_err("refused").to_string()
    };
    let gpt2 = |other: Value| json!({ "gpt2": other });
    assert_eq!(
        told(gpt2(json!({})), image(3, 32, 32), 10),
        "gpt2 needs tokens, but the dataset has samples of 3x32x32; use another model"
    );
    assert!(told(json!({"mlp": {"hidden": [4]}}), tokens(8), 10).starts_with("mlp needs images or rows"));
    assert_eq!(
        told(gpt2(json!({"context": 8})), tokens(9), VOCABULARY),
        "a sample has 9 tokens, and the model has 8 positions; make `context` larger or the samples shorter"
    );
    assert!(told(gpt2(json!({"vocabulary": 60})), tokens(8), 60).contains("60 rows is too small for 61"));
    assert!(told(gpt2(json!({})), tokens(8), 60).contains("`causal` gives 61 outputs, its vocabulary"));
    let similarity = json!({"head": "similarity", "width": 48});
    assert!(told(gpt2(similarity), tokens(8), 3).contains("48 outputs, its width"));
    assert!(told(gpt2(json!({"width": 50})), tokens(8), VOCABULARY).contains("shared by 12 heads"));
    let deep = gpt2(json!({"layers": 100_000_000}));
    assert!(told(deep, tokens(8), VOCABULARY).contains("too large"));
    let padding = json!({"bert": {"padding": 61}});
    assert!(told(padding, tokens(8), VOCABULARY).contains("too small for 62 tokens"));

    let network = &dropping()[0];
    let run = |batch: TokenBatch| {
        let pass = Pass::evaluate(Precision::F32);
        network
            .forward_tokens(&batch, &pass)
            .expect_err("refused")
            .to_string()
    };
    let equal = |ids: &[u32]| TokenBatch::equal(ids, 1, &Device::Cpu).expect("a whole sample");
    assert!(run(equal(&[1; 21])).contains("21 tokens, and the model has 20 positions"));
    assert!(run(equal(&[61])).contains("id 61 at place 0 is not under 61"));
    assert!(run(equal(&[1; 3]).with_positions(&[0, 1, 20]).expect("three")).contains("21 tokens"));
    let refused = |batch: Result<TokenBatch, ModelError>| batch.expect_err("refused").to_string();
    assert!(refused(TokenBatch::equal(&[1; 5], 2, &Device::Cpu)).contains("5 tokens are not 2 samples"));
    assert!(refused(TokenBatch::ragged(&[1; 5], &[0, 4], &Device::Cpu)).contains("end at Some(4)"));
    assert!(refused(TokenBatch::padded(&[1; 6], &[3, 4], &Device::Cpu)).contains("lengths up to 4"));
    assert!(refused(equal(&[1; 3]).with_types(&[0; 2])).contains("2 types for 3 tokens"));
    let image = cpu(&mlp(&[4], 0.0), InputShape::Features { columns: 3 }, 2);
    let error = image.forward_tokens(&equal(&[1]), &Pass::evaluate(Precision::F32));
    assert!(error.expect_err("refused").to_string().contains("not for them"));
}

/// As in transformers, which gives a DistilBERT nothing but tokens.
#[test]
fn a_distilbert_knows_the_texts_of_a_pair_by_the_separator_alone() {
    let model = json!({"bert": {"variant": "distilbert", "layers": 1, "heads": 2, "width": 8, "context": 9, "head": "classification"}});
    let model: Model = serde_json::from_value(model).expect("valid");
    let network = cpu(&model, tokens(9), 3);
    let outputs = |batch: TokenBatch| {
        let output = network.forward_tokens(&batch, &Pass::evaluate(Precision::F32));
        let TextOutput::Rows(rows) = output.expect("fits") else {
            panic!("classes are numbers")
        };
        host(&rows)
    };
    let batch = || TokenBatch::equal(&[1, 5, 2, 6, 2], 1, &Device::Cpu).expect("a whole sample");
    let typed = batch().with_types(&[0, 0, 0, 1, 1]).expect("one a token");
    assert_eq!(outputs(typed), outputs(batch()));
}
