//! Weights of another task, and parameters that are not trained.

use super::*;

/// A small network and weights of the same one with four outputs.
fn pretrained(model: &Model) -> (Network, BTreeMap<String, Tensor>) {
    let input = image(1, 8, 8);
    let other = build(model, input, 4, 99, &Device::Cpu).expect("fits");
    learn(&other, &random(&[3, 1, 8, 8], 1), &TRAIN);
    (cpu(model, input, 2), other.state().expect("readable"))
}

#[test]
fn all_but_the_head_is_taken_over() {
    let models = [
        (mlp(&[5], 0.0), ["3.bias", "3.weight"]),
        (conv_net(&[4], 0.0), ["head.bias", "head.weight"]),
        (resnet18(spec::Stem::Cifar), ["fc.bias", "fc.weight"]),
        (
            efficientnet(0.0, 0.0),
            ["classifier.1.bias", "classifier.1.weight"],
        ),
        (mobilenet(0.0), ["classifier.3.bias", "classifier.3.weight"]),
    ];
    for (model, head) in models {
        let (network, mut state) = pretrained(&model);
        let before = network.state().expect("readable");
        assert!(network.load_state(&state).is_err(), "the heads differ");
        // Without counts of batches, as of old.
        state.retain(|name, _| !name.ends_with("num_batches_tracked"));
        assert_eq!(
            network.load_pretrained(&state, true).expect("all else fits"),
            head
        );
        for (name, tensor) in network.state().expect("readable") {
            let expected = if head.contains(&name.as_str()) {
                &before[&name]
            } else {
                state.get(&name).unwrap_or(&before[&name])
            };
            let same = (&tensor - expected).and_then(|difference| {
                let difference = difference.to_dtype(DType::F32)?;
                difference.abs()?.flatten_all()?.sum(0)?.to_scalar::<f32>()
            });
            assert_eq!(same.expect("equal shapes"), 0.0, "{name}");
        }
    }
}

#[test]
fn a_head_that_is_missing_or_fits() {
    let (network, mut state) = pretrained(&conv_net(&[4], 0.0));
    state.remove("head.bias");
    let kept = network.load_pretrained(&state, true).expect("all else fits");
    assert_eq!(kept, ["head.bias", "head.weight"]);
    let state = network.state().expect("readable");
    assert!(
        network
            .load_pretrained(&state, true)
            .expect("all fits")
            .is_empty()
    );
    // One that fits and is for something else is left out.
    let kept = network.load_pretrained(&state, false).expect("all fits");
    assert_eq!(kept, ["head.bias", "head.weight"]);
}

#[test]
fn what_else_does_not_fit_is_told_and_changes_nothing() {
    let (network, mut state) = pretrained(&conv_net(&[4], 0.0));
    let before = network.state().expect("readable");
    let weight = random(&[4, 3, 3, 3], 1);
    state.insert("blocks.0.conv.weight".into(), weight);
    state.remove("blocks.0.norm.running_mean");
    state.insert("fc.weight".into(), random(&[2, 4], 1));
    assert_eq!(
        network
            .load_pretrained(&state, true)
            .expect_err("refused")
            .to_string(),
        "the weights do not fit the network: missing blocks.0.norm.running_mean; unexpected fc.weight; of \
         another shape or type blocks.0.conv.weight ([4, 1, 3, 3] wanted, [4, 3, 3, 3] of floats given)"
    );
    for (name, tensor) in network.state().expect("readable") {
        if !name.ends_with("num_batches_tracked") {
            assert_eq!(host(&tensor), host(&before[&name]), "{name}");
        }
    }
}

#[test]
fn frozen_parameters_get_no_gradient_and_the_others_the_same() {
    let models = [
        (conv_net(&[4, 6], 0.2), "blocks.0."),
        (mobilenet(0.2), "features.1.block.1."),
        (mlp(&[5, 4], 0.2), "3."),
    ];
    for (model, prefix) in models {
        let mut network = cpu(&model, image(1, 8, 8), 2);
        let input = random(&[4, 1, 8, 8], 1);
        let labels = [0, 1, 1, 0];
        let before = gradients(&network, &loss(&network, &input, &labels, &TRAIN));
        network.freeze(|name| name.starts_with(prefix));
        let after = loss(&network, &input, &labels, &TRAIN)
            .backward()
            .expect("differentiable");
        let mut frozen = 0;
        for (parameter, before) in network.parameters().iter().zip(&before) {
            assert_eq!(parameter.frozen, parameter.name.starts_with(prefix));
            match after.get(&parameter.var) {
                Some(gradient) => assert_eq!(&host(gradient), before, "{}", parameter.name),
                None => frozen += usize::from(parameter.frozen),
            }
            assert_eq!(after.get(&parameter.var).is_none(), parameter.frozen);
        }
        assert!(frozen > 0, "{prefix} names something");
        network.freeze(|_| false);
        let thawed = gradients(&network, &loss(&network, &input, &labels, &TRAIN));
        assert_eq!(thawed, before);
    }
}

#[test]
fn statistics_of_frozen_layers_follow_the_batches() {
    let mut network = cpu(&conv_net(&[4], 0.0), image(1, 8, 8), 2);
    network.freeze(|name| name.starts_with("blocks."));
    let input = random(&[4, 1, 8, 8], 1);
    let loss = loss(&network, &input, &[0, 1, 1, 0], &TRAIN);
    let gradients = loss.backward().expect("differentiable");
    let trained = network
        .parameters()
        .iter()
        .filter(|parameter| gradients.get(&parameter.var).is_some());
    let trained: Vec<&str> = trained.map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(trained, ["head.weight", "head.bias"]);
    let state = network.state().expect("readable");
    assert_ne!(host(&state["blocks.0.norm.running_mean"]), [0.0; 4]);
    network.freeze(|_| true);
    assert!(!learn(&network, &input, &TRAIN).track_op());
}
