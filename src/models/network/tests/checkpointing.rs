//! Blocks whose activations are computed again on the way back.

use serde_json::{Value, json};

use super::*;
use crate::ops::Tape;

/// The gradients of all parameters, and how many values the tape held.
fn gradients(network: &Network, input: &Tensor, is_sparing: bool) -> (Vec<Vec<u32>>, usize) {
    let pass = Pass {
        samples: &[3, 8],
        ..TRAIN
    };
    let (loss, tape) = Tape::record_as(is_sparing, || {
        let y = network.forward(input, &pass).expect("fits");
        let rows = y.elem_count() / y.dims()[y.rank() - 1];
        let y = y.reshape((rows, ())).expect("rows");
        let targets: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
        mean_cross_entropy(&y, &targets, 0.0)
    });
    let held = tape.held();
    let mut found = tape.backward(&loss).expect("differentiable");
    let of_parameter = |parameter: &Parameter| {
        let gradient = found.remove(parameter.var.as_tensor());
        let values = gradient.map(|gradient| host(&gradient)).unwrap_or_default();
        values.into_iter().map(f32::to_bits).collect()
    };
    let mut all: Vec<Vec<u32>> = network.parameters().iter().map(of_parameter).collect();
    all.push(host(&loss).into_iter().map(f32::to_bits).collect());
    (all, held)
}

fn compare(model: Value, input: InputShape, outputs: usize, x: &Tensor) {
    let model: Model = serde_json::from_value(model).expect("valid");
    let network = build(&model, input, outputs, 7, &Device::Cpu).expect("fits");
    // The output layer of a vision transformer begins with 0, and then nothing else had a gradient.
    for parameter in network.task_head() {
        parameter
            .var
            .set(&random(parameter.var.dims(), 3))
            .expect("the same shape");
    }
    let (plain, whole) = gradients(&network, x, false);
    let (sparing, part) = gradients(&network, x, true);
    assert!(plain.iter().filter(|gradient| !gradient.is_empty()).count() > 40);
    assert!(plain == sparing, "{}: gradients differ", model.name());
    let parameters: usize = network
        .parameters()
        .iter()
        .map(|parameter| parameter.var.elem_count())
        .sum();
    let (whole, part) = (whole - parameters, part - parameters);
    assert!(
        3 * part < whole,
        "{}: {part} of {whole} values held",
        model.name()
    );
}

#[test]
fn gradients_are_the_same_bits_and_less_is_held() {
    let tokens = InputShape::Tokens {
        vocabulary: 23,
        length: 10,
    };
    let ids: Vec<u32> = (0..20u32).map(|id| 1 + id * 5 % 22).collect();
    let ids = Tensor::from_vec(ids, (2, 10), &Device::Cpu).expect("fits");
    let sizes = json!({"layers": 4, "heads": 2, "width": 8, "context": 10, "attention_dropout": 0.2});
    let of = |more: Value| {
        let mut sizes = sizes.clone();
        for (name, value) in more.as_object().expect("an object") {
            sizes[name] = value.clone();
        }
        sizes
    };
    let classes = json!({"head": "tokens", "dropout": 0.1});
    compare(json!({"bert": of(classes.clone())}), tokens, 3, &ids);
    compare(json!({"gpt2": of(classes)}), tokens, 3, &ids);
    compare(
        json!({"llama": of(json!({"kv_heads": 1, "head": "tokens"}))}),
        tokens,
        3,
        &ids,
    );
    let vit = json!({"patch": 4, "width": 8, "depth": 4, "heads": 2, "mlp_width": 32, "dropout": 0.1});
    compare(
        json!({ "vit": vit }),
        image(3, 12, 12),
        3,
        &random(&[2, 3, 12, 12], 2),
    );
}
