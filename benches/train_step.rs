//! How long a training step (forward, loss, backward, optimizer) or an inference of a network takes.
//!
//! `cargo bench --bench train_step -- [--model NAME] [--batch N] [--size PIXELS] [--precision f32|bf16]
//! [--mode train|inference] [--threads N] [--seconds S]`, by default torchvision's ResNet-18, batch 256,
//! 32x32 images, f32, training. Prints one JSON line; `speed_cpu.py` runs this beside PyTorch.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark tells its figures"
)]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use clap::{Parser, ValueEnum};
use erlen::memory::Recycling;
use erlen::models::{InputShape, Network, Pass, build};
use erlen::ops::{LossFunction, LossTargets, PackedWeights, Tape, loss};
use erlen::random::{Purpose, Stream};
use erlen::spec::{self, Model, Precision};
use erlen::train::{Optimizer, Optimizers, ParameterSettings};
use serde_json::{from_value, json};

const CLASSES: u32 = 10;

#[global_allocator]
static MEMORY: Recycling = Recycling::new();

#[derive(Parser)]
struct Arguments {
    #[arg(long, value_enum, default_value = "resnet18")]
    model: Architecture,
    #[arg(long, default_value_t = 256)]
    batch: usize,
    /// Height and width of the images.
    #[arg(long, default_value_t = 32)]
    size: usize,
    #[arg(long, value_parser = ["f32", "bf16"], default_value = "f32")]
    precision: String,
    #[arg(long, value_enum, default_value = "train")]
    mode: Mode,
    /// By default one for each core.
    #[arg(long)]
    threads: Option<usize>,
    /// How long to measure, after the warm-up.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Networks that `speed_cpu_torch.py` builds in the same form.
#[derive(Clone, Copy, ValueEnum)]
enum Architecture {
    /// With torchvision's stem.
    Resnet18,
    /// With a 3x3 stem and no pooling.
    Resnet18Cifar,
    EfficientnetB0,
    Resnet50,
    MobilenetV3Small,
    /// Width 192, 12 layers, 3 heads, patches of 4x4 pixels.
    VitTiny,
    /// Two hidden layers of 1024.
    Mlp,
}

impl Architecture {
    fn model(self) -> Result<Model, serde_json::Error> {
        from_value(match self {
            Self::Resnet18 => json!({"resnet18": {"stem": "imagenet"}}),
            Self::Resnet18Cifar => json!({"resnet18": {"stem": "cifar"}}),
            Self::EfficientnetB0 => json!({"efficientnet_b0": {}}),
            Self::Resnet50 => json!({"resnet50": {"stem": "imagenet"}}),
            Self::MobilenetV3Small => json!({"mobilenet_v3_small": {}}),
            Self::VitTiny => json!({"vit": {"preset": "tiny", "patch": 4}}),
            Self::Mlp => json!({"mlp": {"hidden": [1024, 1024]}}),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Train,
    Inference,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let threads = match arguments.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?.get(),
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(64 << 20)
        .build()?;
    let steps = pool
        .install(|| measure(&arguments))
        .map_err(|error| error.to_string())?;
    let seconds = median(steps.iter().map(Step::total));
    let images_per_second = arguments.batch as f64 / seconds;
    let phase = |part: fn(&Step) -> Duration| median(steps.iter().map(part));
    let (forward, backward, step) = (
        phase(|step| step.forward),
        phase(|step| step.backward),
        phase(|step| step.step),
    );
    eprintln!(
        "{images_per_second:.1} images/s: forward {:.1} ms, backward {:.1} ms, optimizer {:.1} ms",
        forward * 1e3,
        backward * 1e3,
        step * 1e3
    );
    let figures = json!({
        "step_seconds": seconds,
        "images_per_second": images_per_second,
        "phases": {"forward": forward, "backward": backward, "step": step},
        "steps": steps.len(),
        "threads": threads,
        "instruction_sets": erlen::ops::instruction_sets().collect::<Vec<_>>(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    println!("{figures}");
    Ok(())
}

/// Where a step's time went.
#[derive(Default)]
struct Step {
    /// From the images to the loss, or to the logits.
    forward: Duration,
    backward: Duration,
    /// The optimizer's.
    step: Duration,
}

impl Step {
    fn total(&self) -> Duration {
        self.forward + self.backward + self.step
    }
}

/// Steps for as long as the arguments say, at least three, after two to warm up.
fn measure(arguments: &Arguments) -> Result<Vec<Step>, Box<dyn Error + Send + Sync>> {
    const WARM_UP: u32 = 2;
    let device = Device::Cpu;
    let (batch, size) = (arguments.batch, arguments.size);
    let precision: Precision = from_value(arguments.precision.as_str().into())?;
    let input = match arguments.model {
        Architecture::Mlp => InputShape::Features {
            columns: 3 * size * size,
        },
        _ => InputShape::Image {
            channels: 3,
            height: size,
            width: size,
        },
    };
    let network = build(&arguments.model.model()?, input, CLASSES as usize, 0, &device)?;
    let recipe: spec::Optimizer = from_value(json!({"sgd": {"lr": 0.01, "momentum": 0.9}}))?;
    let rule = Optimizers::built_in().rule(&recipe)?;
    let settings = ParameterSettings {
        lr_factor: 1.0,
        weight_decay: 5e-4,
        frozen: false,
    };
    let settings = vec![settings; network.parameters().len()];
    let mut optimizer = Optimizer::new(rule, network.parameters(), &settings);
    let mut stream = Stream::new(0, Purpose::Augment, 0, 0);
    let values: Vec<f32> = (0..batch * input.len()).map(|_| stream.normal() as f32).collect();
    let images = Tensor::from_vec(values, input.of_batch(batch), &device)?;
    let samples: Vec<u32> = (0..batch as u32).collect();
    let labels: Vec<u32> = (0..batch).map(|_| stream.below(CLASSES)).collect();

    let weights = Arc::new(PackedWeights::default());
    let mut steps = Vec::new();
    let mut start = Instant::now();
    for index in 0.. {
        if index == WARM_UP {
            steps.clear();
            start = Instant::now();
        }
        if steps.len() >= 3 && start.elapsed().as_secs_f64() >= arguments.seconds {
            break;
        }
        steps.push(match arguments.mode {
            Mode::Train => {
                let pass = Pass {
                    train: true,
                    precision,
                    seed: 0,
                    epoch: index,
                    samples: &samples,
                    sequences: None,
                };
                train(&network, &images, &labels, &pass, &mut optimizer)?
            }
            Mode::Inference => weights.reuse(|| infer(&network, &images, precision))?,
        });
    }
    Ok(steps)
}

fn train(
    network: &Network,
    images: &Tensor,
    labels: &[u32],
    pass: &Pass<'_>,
    optimizer: &mut Optimizer,
) -> Result<Step, Box<dyn Error + Send + Sync>> {
    let cross_entropy = LossFunction::CrossEntropy {
        label_smoothing: 0.0,
        class_weights: None,
        ignore_index: None,
    };
    let start = Instant::now();
    let (loss, tape) = Tape::record(|| -> Result<_, Box<dyn Error + Send + Sync>> {
        let logits = network.forward(images, pass)?;
        let samples = labels.len() as f64;
        Ok(loss(
            &logits,
            LossTargets::Classes(labels),
            &cross_entropy,
            samples,
        )?)
    });
    let loss = loss?;
    let forward = start.elapsed();
    let mut gradients = tape.backward(&loss)?;
    let backward = start.elapsed() - forward;
    let parameters = network.parameters();
    let gradients: Vec<Option<Tensor>> = parameters
        .iter()
        .map(|parameter| gradients.remove(&parameter.var))
        .collect();
    optimizer.step(parameters, &gradients, 0.01, 1.0, None)?;
    let step = start.elapsed() - backward - forward;
    Ok(Step {
        forward,
        backward,
        step,
    })
}

fn infer(
    network: &Network,
    images: &Tensor,
    precision: Precision,
) -> Result<Step, Box<dyn Error + Send + Sync>> {
    let start = Instant::now();
    network.forward(images, &Pass::evaluate(precision))?;
    Ok(Step {
        forward: start.elapsed(),
        ..Step::default()
    })
}

/// In seconds.
fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut seconds: Vec<f64> = times.map(|time| time.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.len() / 2;
    if seconds.len() % 2 == 1 {
        seconds[middle]
    } else {
        (seconds[middle - 1] + seconds[middle]) / 2.0
    }
}
