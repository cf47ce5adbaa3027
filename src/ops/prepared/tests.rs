use std::sync::Arc;

use candle_core::Tensor;

use super::PreparedGraph;
use crate::ops::error::OpError;
use crate::ops::graph::Graph;
use crate::ops::testing::{host, random};
use crate::ops::{
    ConvOptions, PackedWeights, add, conv2d, hardswish, linear, name_weight, relu, scale_channels, select,
    silu, unsqueeze,
};
use crate::spec::Precision;

fn recorded(x: &Tensor, forward: impl Fn(&Tensor) -> Result<Tensor, OpError>) -> Graph {
    Arc::<PackedWeights>::default()
        .reuse(|| Graph::record(&[x], || Ok::<_, OpError>(vec![forward(x)?])))
        .expect("all is known")
}

/// The number of steps of `forward`, once it was found to give the same bytes for several batches.
fn steps_of(dims: &[usize], forward: impl Fn(&Tensor) -> Result<Tensor, OpError>) -> usize {
    let of = |batch: usize| random(&[&[batch], dims].concat(), batch as u64);
    let prepared = PreparedGraph::new(&recorded(&of(1), &forward));
    let prepared = prepared.expect("runs").expect("one result");
    for batch in [1, 70, 2] {
        let x = of(batch);
        assert_eq!(prepared.run(&x).expect("runs"), host(&forward(&x).expect("runs")));
    }
    prepared.steps.len()
}

#[test]
fn functions_and_sums_are_done_where_results_are_stored() {
    let weights = [[36, 6, 3], [36, 36, 3], [36, 1, 3], [36, 2, 3], [6, 36, 1]];
    let [direct, winograd, depthwise, groups, pointwise] =
        weights.map(|[outputs, inputs, size]| random(&[outputs, inputs, size, size], outputs as u64));
    let bias = random(&[36], 3);
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let convolve = |x: &Tensor, weight: &Tensor, groups| {
            name_weight(&format!("{:?}", weight.id()), weight);
            name_weight("bias", &bias);
            let options = ConvOptions {
                padding: weight.dims()[2] / 2,
                groups,
                ..ConvOptions::default()
            };
            let bias = Some(&bias).filter(|bias| bias.dims()[0] == weight.dims()[0]);
            conv2d(x, weight, bias, options, precision)
        };
        let steps = steps_of(&[7, 6, 6], |x| {
            let y = silu(&convolve(x, &direct, 1)?, precision)?;
            let y = hardswish(&convolve(&y, &winograd, 1)?, precision)?;
            let y = relu(&convolve(&y, &depthwise, 36)?)?;
            let y = silu(&convolve(&y, &groups, 18)?, precision)?;
            add(x, &convolve(&y, &pointwise, 1)?)
        });
        // In a narrow format the sum is not rounded, and stays a step.
        assert_eq!(steps, if precision == Precision::F32 { 5 } else { 6 });
    }
}

#[test]
fn what_is_needed_twice_stays_a_step() {
    let (first, second) = (random(&[5, 8], 1), random(&[8, 8], 2));
    let steps = steps_of(&[4, 8], |x| {
        name_weight("first", &first);
        name_weight("second", &second);
        let once = linear(x, &second, None, Precision::F32)?;
        let twice = silu(&once, Precision::F32)?;
        // Both operands of the sum are products, of which one takes in the other.
        let sum = add(
            &linear(&twice, &second, None, Precision::F32)?,
            &add(&once, &twice)?,
        )?;
        linear(&sum, &first, None, Precision::F32)
    });
    assert_eq!(steps, 5);
}

#[test]
fn steps_between_tensors_and_values_are_taken_both_ways() {
    let weight = random(&[4, 4, 1, 1], 1);
    let steps = steps_of(&[2, 3, 4], |x| {
        name_weight("weight", &weight);
        let row = select(&select(x, 1, 1)?, 1, 0)?;
        let pixel = unsqueeze(&row, &[1, 2])?;
        let factors = conv2d(&pixel, &weight, None, ConvOptions::default(), Precision::F32)?;
        let factors = select(&select(&factors, 1, 0)?, 1, 0)?;
        scale_channels(x, &factors, Precision::F32)
    });
    assert_eq!(steps, 7);
}

#[test]
fn what_other_work_does_meanwhile_is_not_recorded() {
    let x = random(&[2, 3], 1);
    let graph = recorded(&x, |x| {
        let y = relu(x)?;
        let other =
            crate::ops::graph::unrecorded(|| recorded(&random(&[1, 3], 2), |other| relu(&relu(other)?)));
        assert_eq!(other.nodes.len(), 2);
        relu(&y)
    });
    assert_eq!(graph.nodes.len(), 2);
}

#[test]
fn large_samples_go_through_in_parts_and_give_the_same_bytes() {
    let weight = random(&[4, 4, 1, 1], 1);
    let forward = |x: &Tensor| {
        name_weight("weight", &weight);
        relu(&conv2d(x, &weight, None, ConvOptions::default(), Precision::F32)?)
    };
    let of = |batch: usize| random(&[batch, 200, 200, 4], batch as u64);
    let graph = recorded(&of(1), forward);
    let prepared = PreparedGraph::new(&graph).expect("runs").expect("one result");
    assert!(prepared.load.at_once(1) < 3);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("threads");
        let kept = Arc::<PackedWeights>::default();
        for batch in [1, 2, 17] {
            let x = of(batch);
            let parts = pool.install(|| kept.reuse(|| prepared.run(&x).expect("runs")));
            assert_eq!(parts, host(&forward(&x).expect("runs")));
        }
    }
    // What is read again for each part has to be worth it.
    let load = |constants| super::SampleLoad {
        largest: 1000,
        all: 5000,
        constants,
    };
    assert_eq!(load(10).at_once(2), 400);
    assert_eq!(load(1 << 20).at_once(2), 839);
}
