//! What is drawn at random: initial weights, dropout, stochastic depth.

use super::*;

#[test]
fn the_initial_weights_are_drawn_as_pytorch_draws_them() {
    let network = cpu(&resnet18(spec::Stem::Imagenet), image(3, 32, 32), 10);
    let state = network.state().expect("readable");
    let deviation = |name: &str| {
        let values = host(&state[name]);
        (values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    for (name, fan_out) in [("conv1.weight", 64 * 49), ("layer3.0.conv2.weight", 256 * 9)] {
        let expected = (2.0 / f64::from(fan_out)).sqrt();
        assert!((deviation(name) / expected - 1.0).abs() < 0.03, "{name}");
    }
    let bound = 1.0 / 512f64.sqrt();
    assert!((deviation("fc.weight") / (bound / 3f64.sqrt()) - 1.0).abs() < 0.03);
    assert!(
        host(&state["fc.bias"])
            .iter()
            .all(|&value| f64::from(value).abs() <= bound)
    );
    assert!(
        host(&state["layer1.0.bn1.weight"])
            .iter()
            .all(|&value| value == 1.0)
    );
    let network = cpu(&mobilenet(0.0), image(3, 32, 32), 10);
    let state = network.state().expect("readable");
    let deviation = |name: &str| {
        let values = host(&state[name]);
        (values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    assert!((deviation("classifier.0.weight") / 0.01 - 1.0).abs() < 0.03);
    // The fan-out of a depthwise convolution counts all channels.
    let expected = (2.0f64 / (576.0 * 25.0)).sqrt();
    assert!((deviation("features.11.block.1.0.weight") / expected - 1.0).abs() < 0.03);
    assert_eq!(host(&state["features.11.block.2.fc1.bias"]), [0.0; 144]);
    assert_eq!(host(&state["classifier.3.bias"]), [0.0; 10]);
    let network = cpu(&efficientnet(0.0, 0.0), image(3, 32, 32), 10);
    let state = network.state().expect("readable");
    let weights = host(&state["classifier.1.weight"]);
    let largest = weights
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    let bound = 1.0 / 10f32.sqrt();
    assert!(largest <= bound && largest > 0.99 * bound, "{largest}");
    let network = cpu(&resnet18(spec::Stem::Imagenet), image(3, 32, 32), 10);
    let state = network.state().expect("readable");
    // Every parameter has a stream of its own, and the seed decides.
    assert_ne!(
        host(&state["layer1.0.conv1.weight"]),
        host(&state["layer1.0.conv2.weight"])
    );
    let build = |seed| build(&mlp(&[4], 0.0), image(1, 2, 2), 2, seed, &Device::Cpu).expect("fits");
    let first = |seed| host(&build(seed).parameters()[0].var);
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

#[test]
fn dropout_and_stochastic_depth_are_drawn_anew_each_epoch_and_never_in_evaluation() {
    let input = random(&[4, 3, 16, 16], 1);
    for (certain, random) in [
        (efficientnet(0.0, 0.0), efficientnet(0.5, 0.0)),
        (efficientnet(0.0, 0.0), efficientnet(0.0, 0.5)),
        (mobilenet(0.0), mobilenet(0.5)),
    ] {
        let run = |model: &Model, pass: &Pass| {
            let network = cpu(model, image(3, 16, 16), 5);
            host(&network.forward(&input, pass).expect("fits"))
        };
        let epoch = Pass {
            samples: &[0, 1, 2, 3],
            ..TRAIN
        };
        let next = Pass { epoch: 1, ..epoch };
        let first = run(&random, &epoch);
        assert_eq!(first, run(&random, &epoch));
        assert_ne!(first, run(&random, &next));
        assert_ne!(first, run(&certain, &epoch));
        assert_eq!(run(&certain, &epoch), run(&certain, &next));
        let evaluate = Pass::evaluate(Precision::F32);
        assert_eq!(run(&random, &evaluate), run(&certain, &evaluate));
    }
}

#[test]
fn depthwise_networks_do_not_depend_on_threads() {
    let input = random(&[5, 3, 20, 20], 1);
    let labels: Vec<u32> = (0..5).map(|index| index % 4).collect();
    let start = cpu(&efficientnet(0.2, 0.2), image(3, 20, 20), 4);
    let start = start.state().expect("readable");
    for precision in [Precision::F32, Precision::Bf16] {
        same_for_any_number_of_threads(|| {
            let network = cpu(&efficientnet(0.2, 0.2), image(3, 20, 20), 4);
            network.load_state(&start).expect("fits");
            let loss = loss(
                &network,
                &input,
                &labels,
                &Pass {
                    precision,
                    samples: &[0, 1, 2, 3, 4],
                    ..TRAIN
                },
            );
            (host(&loss), gradients(&network, &loss))
        });
    }
}
