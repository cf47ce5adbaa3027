//! Layers of one's own beyond what `torchvision.rs` compares.

use serde_json::{Value, json};

use super::*;

fn sequential(layers: Value) -> Model {
    serde_json::from_value(json!({"sequential": {"layers": layers}})).expect("valid")
}

#[test]
fn gradients_are_differences_under_dropout() {
    let model = sequential(json!([
        {"conv": {"channels": 4}}, {"tanh": {}}, {"dropout": {"p": 0.3}}, {"avg_pool": {}}, {"flatten": {}},
        {"dropout": {}}, {"linear": {}},
    ]));
    let network = cpu(&model, image(2, 6, 5), 3);
    gradients_are_differences(&network, &random(&[6, 2, 6, 5], 1), &[0, 1, 2, 0, 1, 2]);
}

#[test]
fn layers_are_named_by_their_place() {
    let model = sequential(json!([
        {"relu": {}}, {"conv": {"channels": 4, "bias": false}}, {"batch_norm": {}}, {"relu": {}},
        {"global_avg_pool": {}}, {"layer_norm": {}}, {"linear": {}},
    ]));
    let network = cpu(&model, image(2, 6, 5), 3);
    let state = network.state().expect("readable");
    let expected = [
        "1.weight",
        "2.bias",
        "2.num_batches_tracked",
        "2.running_mean",
        "2.running_var",
        "2.weight",
        "5.bias",
        "5.weight",
        "6.bias",
        "6.weight",
    ];
    assert_eq!(state.keys().collect::<Vec<_>>(), expected);

    // Another task's weights are taken over but for the output layer.
    let other = cpu(&model, image(2, 6, 5), 5);
    assert_eq!(
        other
            .load_pretrained(&state, true)
            .expect("fits but for the head"),
        ["6.bias", "6.weight"]
    );
}

#[test]
fn every_precision_trains_and_threads_do_not_matter() {
    let model = sequential(json!([
        {"conv": {"channels": 8, "kernel": 5, "groups": 2}}, {"silu": {}}, {"avg_pool": {"padding": 1}},
        {"batch_norm": {}}, {"hardswish": {}}, {"flatten": {}}, {"layer_norm": {}},
        {"linear": {"width": 8}}, {"batch_norm": {}}, {"gelu": {}}, {"linear": {}},
    ]));
    let input = random(&[7, 2, 9, 8], 1);
    let labels: Vec<u32> = (0..7).map(|index| index % 4).collect();
    let network = cpu(&model, image(2, 9, 8), 4);
    let start = network.state().expect("readable");
    let mut losses = Vec::new();
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let (loss, _) = same_for_any_number_of_threads(|| {
            let network = cpu(&model, image(2, 9, 8), 4);
            network.load_state(&start).expect("fits");
            let loss = loss(&network, &input, &labels, &Pass { precision, ..TRAIN });
            (host(&loss)[0], gradients(&network, &loss))
        });
        losses.push(loss);
    }
    for narrow in &losses[1..] {
        assert!((narrow / losses[0] - 1.0).abs() < 0.02, "{losses:?}");
    }
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let told = |layers: Value, input| {
        let error = check(&sequential(layers), input, 10).expect_err("refused");
        error.to_string()
    };
    let pixels = image(3, 16, 8);
    let columns = InputShape::Features { columns: 64 };
    assert_eq!(
        told(
            json!([{"conv": {"channels": 16}}, {"relu": {}}, {"max_pool": {}}, {"linear": {}}]),
            pixels
        ),
        "layer 3 (linear) needs a row, and is given an image of 16x8x4: put `flatten` or `global_avg_pool` \
         before it"
    );
    assert_eq!(
        told(
            json!([{"layer_norm": {}}, {"flatten": {}}, {"linear": {}}]),
            pixels
        ),
        "layer 0 (layer_norm) needs a row, and is given an image of 3x16x8: put `flatten` or \
         `global_avg_pool` before it"
    );
    assert_eq!(
        told(json!([{"flatten": {}}, {"conv": {"channels": 4}}]), pixels),
        "layer 1 (conv) needs an image, and is given a row of 384 values: put it before the layer that \
         makes a row of the image"
    );
    assert_eq!(
        told(json!([{"global_avg_pool": {}}]), columns),
        "layer 0 (global_avg_pool) needs an image, and is given a row of 64 values: leave it out, or have \
         `preprocess` read the columns as an image"
    );
    assert_eq!(
        told(json!([{"conv": {"channels": 4, "groups": 2}}]), pixels),
        "layer 0 (conv) cannot convolve 3 channels to 4 in 2 groups: `groups` has to divide both numbers of \
         channels"
    );
    assert_eq!(
        told(
            json!([{"conv": {"channels": 4, "kernel": 9, "padding": 0}}]),
            pixels
        ),
        "layer 0 (conv) has a kernel of 9x9, which does not fit in an image of 3x16x8 with a padding of 0: \
         make `kernel` smaller or `padding` larger, or shrink the image less before it"
    );
    assert_eq!(
        told(json!([{"max_pool": {"size": 9}}]), pixels),
        "layer 0 (max_pool) has a window of 9x9, which does not fit in an image of 3x16x8 with a padding \
         of 0: make `size` smaller, or shrink the image less before it"
    );
    assert_eq!(
        told(json!([{"avg_pool": {"size": 3, "padding": 2}}]), pixels),
        "layer 0 (avg_pool) has a padding of 2, which is over half of its window of 3x3: make `padding` at \
         most 1"
    );
    assert_eq!(
        told(json!([{"linear": {"width": 12}}, {"relu": {}}]), columns),
        "layer 1 (relu) is the last and gives a row of 12 values, but the model has 10 outputs: end with a \
         `linear` without `width`"
    );
    assert_eq!(
        told(json!([{"conv": {"channels": 10, "kernel": 1}}]), image(3, 1, 1)),
        "layer 0 (conv) is the last and gives an image of 10x1x1, but the model has 10 outputs: end with \
         `flatten` or `global_avg_pool`, and a `linear` without `width`"
    );
    assert_eq!(
        told(json!([{"relu": {}}]), InputShape::Features { columns: 10 }),
        "layer 0 (relu) is the last, and no layer is a `conv` or `linear`: there is nothing to train"
    );
    assert!(told(json!([]), columns).contains("number of layers"));
    assert!(told(json!([{"linear": {"width": u32::MAX}}]), columns).contains("too large"));
    let padded = json!([{"conv": {"channels": 1, "padding": u32::MAX}}]);
    assert!(told(padded, pixels).starts_with("layer 0 (conv) gives an image of 1x8589934"));
    let scores = json!([{"conv": {"channels": 10, "kernel": 1}}, {"global_avg_pool": {}}]);
    check(&sequential(scores), pixels, 10).expect("a fully convolutional network");
}
