//! Images a second of a full ResNet-18 training step (forward, loss, backward, plain SGD).
//!
//! `cargo bench --bench train_step -- [STEM] [BATCH] [THREADS] [PRECISION]`, by default
//! `imagenet 256 2 f32`, on 32x32 images.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

use std::error::Error;
use std::time::Instant;

use candle_core::{Device, Tensor};
use erlen::memory::Recycling;
use erlen::models::{InputShape, Pass, build};
use erlen::ops::{Loss, Tape, Targets, loss};
use erlen::random::{Purpose, Stream};
use erlen::spec::{Model, Precision, ResNet, Stem};

#[global_allocator]
static MEMORY: Recycling = Recycling::new();

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo passes `--bench` as well.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let argument =
        |index: usize, default: &str| arguments.get(index).map_or(default, |word| word).to_string();
    let stem: Stem = serde_json::from_value(argument(0, "imagenet").into())?;
    let batch: usize = argument(1, "256").parse()?;
    let threads: usize = argument(2, "2").parse()?;
    let precision: Precision = serde_json::from_value(argument(3, "f32").into())?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(64 << 20)
        .build()?;
    let images_per_second = pool
        .install(|| measure(stem, batch, precision))
        .map_err(|error| error.to_string())?;
    println!(
        "resnet18 {stem:?}, batch {batch}, {threads} threads, {precision:?}: {images_per_second:.0} images/s"
    );
    Ok(())
}

/// The best of some steps, after one to warm up.
fn measure(stem: Stem, batch: usize, precision: Precision) -> Result<f64, Box<dyn Error + Send + Sync>> {
    let device = Device::Cpu;
    let input = InputShape::Image {
        channels: 3,
        height: 32,
        width: 32,
    };
    let network = build(&Model::ResNet18(ResNet { stem }), input, 10, 0, &device)?;
    let mut stream = Stream::new(0, Purpose::Augment, 0, 0);
    let pixels: Vec<f32> = (0..batch * input.len()).map(|_| stream.normal() as f32).collect();
    let images = Tensor::from_vec(pixels, (batch, 3, 32, 32), &device)?;
    let labels: Vec<u32> = (0..batch).map(|_| stream.below(10)).collect();
    let cross_entropy = Loss::CrossEntropy {
        label_smoothing: 0.0,
        class_weights: None,
        ignore_index: None,
    };

    let mut best = f64::INFINITY;
    for step in 0..8 {
        let start = Instant::now();
        let pass = Pass {
            train: true,
            precision,
            seed: 0,
            step,
        };
        let (forward, tape) = Tape::record(|| -> Result<_, Box<dyn Error + Send + Sync>> {
            let logits = network.forward(&images, &pass)?;
            Ok(loss(
                &logits,
                Targets::Classes(&labels),
                &cross_entropy,
                batch as f64,
            )?)
        });
        let loss = forward?;
        let forward = start.elapsed();
        let mut gradients = tape.backward(&loss)?;
        let backward = start.elapsed() - forward;
        for parameter in network.parameters() {
            if let Some(gradient) = gradients.remove(&parameter.var) {
                parameter
                    .var
                    .set(&(parameter.var.as_tensor() - (gradient * 0.01)?)?)?;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "step {step}: forward {:.0} ms, backward {:.0} ms, in all {:.0} ms, loss {:.4}",
            forward.as_secs_f64() * 1e3,
            backward.as_secs_f64() * 1e3,
            seconds * 1e3,
            loss.to_scalar::<f32>()?
        );
        if step > 0 {
            best = best.min(seconds);
        }
    }
    Ok(batch as f64 / best)
}
