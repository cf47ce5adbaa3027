//! Vision transformers beyond what `torchvision.rs` compares.

use super::*;

fn vit(spec: serde_json::Value) -> Model {
    serde_json::from_value(serde_json::json!({"vit": spec})).expect("valid")
}

fn small() -> Model {
    vit(serde_json::json!({
        "patch": 4, "width": 12, "depth": 2, "heads": 3, "dropout": 0.2, "attention_dropout": 0.3
    }))
}

/// A network whose parameters are all random: the initial head is 0, and gradients stop there.
fn filled(model: &Model, input: InputShape, outputs: usize) -> Network {
    let network = cpu(model, input, outputs);
    for (seed, Parameter { var, .. }) in (0..).zip(network.parameters()) {
        let values = (random(var.dims(), seed) * 0.3).expect("valid");
        var.set(&values).expect("the same shape");
    }
    network
}

#[test]
fn images_need_not_be_square_and_gradients_are_differences_under_dropout() {
    let network = filled(&small(), image(2, 8, 12), 3);
    gradients_are_differences(&network, &random(&[6, 2, 8, 12], 1), &[0, 1, 2, 0, 1, 2]);
}

#[test]
fn presets_are_those_in_common_use() {
    let values = |spec| -> usize {
        let network = cpu(&vit(spec), image(3, 224, 224), 1000);
        let sizes = network
            .parameters()
            .iter()
            .map(|parameter| parameter.var.elem_count());
        sizes.sum()
    };
    // DeiT-Ti and DeiT-S (Touvron et al., 2021).
    assert_eq!(values(serde_json::json!({})), 5_717_416);
    assert_eq!(values(serde_json::json!({"preset": "small"})), 22_050_664);
}

#[test]
fn the_initial_weights_are_drawn_as_torchvision_draws_them() {
    let network = cpu(
        &vit(serde_json::json!({"depth": 1, "patch": 8})),
        image(3, 32, 32),
        10,
    );
    let state = network.state().expect("readable");
    let deviation = |name: &str| {
        let values = host(&state[name]);
        (values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    let layer = |part: &str| format!("encoder.layers.encoder_layer_0.{part}");
    let xavier = |sizes: f64| (6.0 / sizes / 3.0).sqrt();
    for (name, expected) in [
        ("conv_proj.weight".to_string(), (1.0 / 192f64).sqrt()),
        ("encoder.pos_embedding".to_string(), 0.02),
        (layer("self_attention.in_proj_weight"), xavier(4.0 * 192.0)),
        (
            layer("self_attention.out_proj.weight"),
            (1.0 / 192f64 / 3.0).sqrt(),
        ),
        (layer("mlp.0.weight"), xavier(5.0 * 192.0)),
        (layer("mlp.3.weight"), xavier(5.0 * 192.0)),
        (layer("mlp.0.bias"), 1e-6),
    ] {
        let actual = deviation(&name);
        assert!(
            (actual / expected - 1.0).abs() < 0.06,
            "{name}: {actual} for {expected}"
        );
    }
    for name in [
        "class_token",
        "conv_proj.bias",
        "heads.head.weight",
        "heads.head.bias",
        &layer("self_attention.in_proj_bias"),
        &layer("self_attention.out_proj.bias"),
        &layer("ln_1.bias"),
    ] {
        assert_eq!(deviation(name), 0.0, "{name}");
    }
    // With one value to a patch the deviation is 1, and the draws end at 2.
    let network = cpu(
        &vit(serde_json::json!({"depth": 1, "patch": 1})),
        image(1, 2, 2),
        10,
    );
    let weight = host(&network.state().expect("readable")["conv_proj.weight"]);
    assert!(weight.iter().all(|value| value.abs() <= 2.0));
}

#[test]
fn threads_do_not_matter() {
    let input = random(&[5, 3, 16, 16], 1);
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        same_for_any_number_of_threads(|| {
            let network = filled(&small(), image(3, 16, 16), 4);
            let pass = Pass { precision, ..TRAIN };
            let loss = loss(&network, &input, &[0, 1, 2, 3, 0], &pass);
            (host(&loss), gradients(&network, &loss))
        });
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let told = |spec, input| check(&vit(spec), input, 10).expect_err("refused").to_string();
    assert_eq!(
        told(serde_json::json!({}), image(1, 28, 42)),
        "images of 28x42 cannot be cut into patches of 16x16; give vit a `patch` that divides both sides, \
         such as 14, or resize the images in `preprocess`"
    );
    assert_eq!(
        told(serde_json::json!({"width": 100}), image(3, 32, 32)),
        "a `width` of 100 cannot be shared by 3 heads; make it a multiple of `heads`"
    );
    let columns = InputShape::Features { columns: 64 };
    assert!(told(serde_json::json!({}), columns).starts_with("vit needs images"));
    let large = serde_json::json!({"width": 3_000_000_000u32, "heads": 1});
    assert!(told(large, image(3, 32, 32)).contains("too large"));
    let deep = serde_json::json!({"depth": 100_000_000});
    assert!(told(deep, image(3, 32, 32)).contains("make `depth` or `width` smaller"));
    check(&vit(serde_json::json!({})), image(3, 32, 48), 10).expect("fits");
}
