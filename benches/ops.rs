//! Operations one by one, forward, and forward and backward: `cargo bench --bench ops -- [FILTER]`.
//!
//! Sizes are those of a ResNet-18 on 32x32 images. Elements are floating-point operations for
//! convolutions and matrix products (a backward pass counts twice its forward pass), and values of the
//! input for all else. `RAYON_NUM_THREADS` sets the number of threads, by default one for each core.

#![allow(missing_docs, reason = "a benchmark's parts are not for use elsewhere")]

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use candle_core::{Device, Tensor, Var};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use erlen::memory::Recycling;
use erlen::models::Parameter;
use erlen::ops::{
    BatchNormOptions, ConvOptions, Epilogue, LossFunction, LossTargets, OpError, RunningStatistics,
    Statistics, Tape, Window, batch_norm, conv2d, global_average_pool, linear, loss, max_pool2d,
};
use erlen::random::{Purpose, Stream};
use erlen::spec::Precision;
use erlen::train::{Optimizer, Optimizers, ParameterSettings};
use serde_json::{from_value, json};

#[global_allocator]
static MEMORY: Recycling = Recycling::new();

const BATCH: usize = 64;
const PRECISIONS: [(&str, Precision); 2] = [("f32", Precision::F32), ("bf16", Precision::Bf16)];

fn main() -> Result<(), Box<dyn Error>> {
    // The backward pass recurses, and criterion's own thread has a small stack.
    let pool = rayon::ThreadPoolBuilder::new().stack_size(64 << 20).build()?;
    pool.install(|| {
        let mut criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2))
            .configure_from_args();
        convolutions(&mut criterion);
        layers(&mut criterion);
        sgd(&mut criterion);
        criterion.final_summary();
    });
    Ok(())
}

/// A convolution of `input` to `output` channels on images of `side` x `side` pixels.
struct Conv {
    name: &'static str,
    input: usize,
    output: usize,
    side: usize,
    kernel: usize,
    options: ConvOptions,
}

const fn conv(name: &'static str, [input, output]: [usize; 2], side: usize, kernel: usize) -> Conv {
    let options = ConvOptions {
        stride: 1,
        padding: kernel / 2,
        dilation: 1,
        groups: 1,
    };
    Conv {
        name,
        input,
        output,
        side,
        kernel,
        options,
    }
}

const fn strided(mut conv: Conv) -> Conv {
    conv.options.stride = 2;
    conv
}

const fn depthwise(mut conv: Conv) -> Conv {
    conv.options.groups = conv.input;
    conv
}

const CONVOLUTIONS: [Conv; 8] = [
    conv("3x3", [64, 64], 32, 3),
    conv("3x3-deep", [512, 512], 4, 3),
    strided(conv("3x3-strided", [64, 128], 32, 3)),
    conv("1x1", [256, 64], 16, 1),
    strided(conv("1x1-strided", [64, 128], 32, 1)),
    strided(conv("7x7-stem", [3, 64], 32, 7)),
    depthwise(conv("3x3-depthwise", [96, 96], 32, 3)),
    strided(depthwise(conv("5x5-depthwise-strided", [144, 144], 32, 5))),
];

fn convolutions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("conv2d");
    for conv in &CONVOLUTIONS {
        let (inputs, side) = (conv.input / conv.options.groups, conv.side / conv.options.stride);
        let positions = BATCH * side * side * conv.output;
        let operations = 2 * positions * inputs * conv.kernel * conv.kernel;
        let operands = [
            normal(&[BATCH, conv.side, conv.side, conv.input]),
            normal(&[conv.output, inputs, conv.kernel, conv.kernel]),
        ];
        for (name, precision) in PRECISIONS {
            measure(
                &mut group,
                conv.name,
                name,
                operations,
                3,
                &operands,
                |operands| conv2d(&operands[0], &operands[1], None, conv.options, precision),
            );
        }
    }
}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layers");
    let images = normal(&[BATCH, 32, 32, 64]);
    let values = images.elem_count();
    let affine = [normal(&[64]), normal(&[64])];
    let normalised = [images.clone(), affine[0].clone(), affine[1].clone()];
    let added = [
        images.clone(),
        affine[0].clone(),
        affine[1].clone(),
        normal(&[BATCH, 32, 32, 64]),
    ];
    let product = [normal(&[256, 1024]), normal(&[1024, 1024]), normal(&[1024])];
    let window = Window {
        size: 3,
        stride: 2,
        padding: 1,
    };
    for (name, precision) in PRECISIONS {
        measure(
            &mut group,
            "batch_norm-relu",
            name,
            values,
            1,
            &normalised,
            |operands| normalise(operands, Epilogue::Relu, precision),
        );
        measure(
            &mut group,
            "batch_norm-add-relu",
            name,
            values,
            1,
            &added,
            |operands| normalise(operands, Epilogue::AddRelu(&operands[3]), precision),
        );
        let operands = [images.clone()];
        measure(
            &mut group,
            "global_average_pool",
            name,
            values,
            1,
            &operands,
            |operands| global_average_pool(&operands[0], precision),
        );
        let operations = 2 * 256 * 1024 * 1024;
        measure(&mut group, "linear", name, operations, 3, &product, |operands| {
            linear(&operands[0], &operands[1], Some(&operands[2]), precision)
        });
    }
    measure(
        &mut group,
        "max_pool2d",
        "f32",
        values,
        1,
        &[images],
        |operands| max_pool2d(&operands[0], window),
    );

    let logits = normal(&[1024, 1000]);
    let labels: Vec<u32> = (0..1000).cycle().take(1024).collect();
    let cross_entropy = LossFunction::CrossEntropy {
        label_smoothing: 0.0,
        class_weights: None,
        ignore_index: None,
    };
    let values = logits.elem_count();
    measure(
        &mut group,
        "cross_entropy",
        "f32",
        values,
        1,
        &[logits],
        |operands| {
            loss(
                &operands[0],
                LossTargets::Classes(&labels),
                &cross_entropy,
                1024.0,
            )
        },
    );
}

/// With the batch's statistics, as in training.
fn normalise(operands: &[Tensor], epilogue: Epilogue<'_>, precision: Precision) -> Result<Tensor, OpError> {
    let mut running = RunningStatistics::new(64);
    batch_norm(
        &operands[0],
        &operands[1],
        &operands[2],
        Statistics::Batch(&mut running),
        BatchNormOptions::default(),
        epilogue,
        precision,
    )
}

fn sgd(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sgd");
    let (weight, gradient) = (normal(&[512, 512, 3, 3]), normal(&[512, 512, 3, 3]));
    let parameters = [Parameter {
        name: "weight".to_owned(),
        var: Var::from_tensor(&weight).expect("memory"),
        decays: true,
        frozen: false,
    }];
    let recipe = json!({"sgd": {"lr": 0.01, "momentum": 0.9}});
    let recipe = from_value(recipe).expect("as in a pipeline file");
    let rule = Optimizers::built_in().rule(&recipe).expect("of this crate");
    let settings = ParameterSettings {
        frozen: false,
        lr_factor: 1.0,
        weight_decay: 5e-4,
    };
    let mut optimizer = Optimizer::new(rule, &parameters, &[settings]);
    group.throughput(Throughput::Elements(weight.elem_count() as u64));
    let gradients = [Some(gradient)];
    group.bench_function("momentum", |bencher| {
        bencher.iter(|| {
            let step = optimizer.step(&parameters, &gradients, 0.01, 1.0, None);
            step.expect("shapes fit");
        });
    });
}

/// `operation` by itself, and with the gradients of its result's sum for all operands, where
/// there are `both_ways` times as many elements as forward.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    precision: &str,
    elements: usize,
    both_ways: u64,
    operands: &[Tensor],
    operation: impl Fn(&[Tensor]) -> Result<Tensor, OpError>,
) {
    group.throughput(Throughput::Elements(elements as u64));
    group.bench_function(
        BenchmarkId::new(format!("{name}/forward"), precision),
        |bencher| {
            bencher.iter(|| operation(black_box(operands)).expect("shapes fit"));
        },
    );
    let variable = |tensor: &Tensor| Var::from_tensor(tensor).expect("memory").into_inner();
    let variables: Vec<Tensor> = operands.iter().map(variable).collect();
    group.throughput(Throughput::Elements(elements as u64 * both_ways));
    group.bench_function(
        BenchmarkId::new(format!("{name}/forward-backward"), precision),
        |bencher| {
            bencher.iter(|| {
                let (sum, tape) =
                    Tape::record(|| Ok::<_, OpError>(operation(black_box(&variables))?.sum_all()?));
                tape.backward(&sum.expect("shapes fit"))
                    .expect("there are gradients")
            });
        },
    );
}

/// Values that are the same each time.
fn normal(shape: &[usize]) -> Tensor {
    let mut stream = Stream::new(0, Purpose::Augment, 0, 0);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| stream.normal() as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("memory")
}
