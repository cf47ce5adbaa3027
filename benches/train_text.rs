//! How long a training step (forward, loss, backward, optimizer) of a network of text takes.
//!
//! `cargo bench --bench train_text -- [--model NAME] [--precision f32|bf16] [--varying] [--threads N] [--seconds S]`.
//! Prints one JSON line; `train_text_torch.py` is PyTorch's side, with the same shapes.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark tells its figures"
)]

use std::error::Error;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use clap::{Parser, ValueEnum};
use erlen::memory::Recycling;
use erlen::models::{InputShape, Network, Pass, TokenBatch, build};
use erlen::ops::Tape;
use erlen::random::{Purpose, Stream};
use erlen::spec::{self, Model, Precision};
use erlen::train::{Optimizer, Optimizers, ParameterSettings};
use serde_json::{Value, from_value, json};

#[global_allocator]
static MEMORY: Recycling = Recycling::new();

#[derive(Parser)]
struct Arguments {
    #[arg(long, value_enum, default_value = "characters")]
    model: TextShape,
    #[arg(long, value_parser = ["f32", "bf16"], default_value = "f32")]
    precision: String,
    /// Lengths between a quarter of the longest and the longest.
    #[arg(long)]
    varying: bool,
    /// By default one for each core.
    #[arg(long)]
    threads: Option<usize>,
    /// How long to measure, after the warm-up.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Shapes that `train_text_torch.py` has too.
#[derive(Clone, Copy, ValueEnum)]
enum TextShape {
    /// GPT-2 of 4 layers, 4 heads and 128 columns; 16 samples of 128 of 98 characters.
    Characters,
    /// GPT-2 of 6 layers, 6 heads and 384 columns; 8 samples of 256 of 8,192 tokens.
    Gpt,
    /// MiniLM with two classes: BERT of 6 layers, 12 heads and 384 columns; 16 samples of 128 of 30,522 tokens.
    Minilm,
    /// Llama of 4 layers, 9 heads (3 of keys) and 576 columns; 2 samples of 1,024 of 49,152 tokens.
    Llama,
}

impl TextShape {
    /// The model, its outputs, the vocabulary, samples and tokens of a sample.
    fn sizes(self) -> (Value, usize, usize, usize, usize) {
        match self {
            Self::Characters => {
                let model = json!({"gpt2": {"layers": 4, "heads": 4, "width": 128, "context": 128}});
                (model, 98, 98, 16, 128)
            }
            Self::Gpt => {
                let model = json!({"gpt2": {"layers": 6, "heads": 6, "width": 384, "context": 256}});
                (model, 8192, 8192, 8, 256)
            }
            Self::Minilm => {
                let model =
                    json!({"bert": {"layers": 6, "heads": 12, "width": 384, "head": "classification"}});
                (model, 2, 30_522, 16, 128)
            }
            Self::Llama => {
                let model = json!({"llama": {
                    "layers": 4, "heads": 9, "kv_heads": 3, "width": 576, "ffn": 1536, "tied": true,
                }});
                (model, 49_152, 49_152, 2, 1024)
            }
        }
    }
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
    let Measured {
        tokens,
        steps,
        cpu_seconds,
    } = pool
        .install(|| measure(&arguments))
        .map_err(|error| error.to_string())?;
    let part = |part: usize| median(steps.iter().map(|step| step[part]));
    let seconds = median(steps.iter().map(|step| step.iter().sum()));
    let [forward, backward, step] = [part(0), part(1), part(2)];
    eprintln!(
        "{:.0} tokens/s: forward {:.1} ms, backward {:.1} ms, optimizer {:.1} ms",
        tokens as f64 / seconds,
        forward * 1e3,
        backward * 1e3,
        step * 1e3
    );
    let figures = json!({
        "step_seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "tokens_per_second": tokens as f64 / seconds,
        "phases": {"forward": forward, "backward": backward, "step": step},
        "steps": steps.len(),
        "peak_memory": peak_memory(),
        "threads": threads,
        "instruction_sets": erlen::ops::instruction_sets().collect::<Vec<_>>(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    println!("{figures}");
    Ok(())
}

struct Measured {
    /// Of a step.
    tokens: usize,
    /// How long the parts of each step took: forward, backward, optimizer.
    steps: Vec<[Duration; 3]>,
    /// Of all threads in a step, where the system tells it.
    cpu_seconds: Option<f64>,
}

/// Steps for as long as the arguments say, at least three, after two to warm up.
fn measure(arguments: &Arguments) -> Result<Measured, Box<dyn Error + Send + Sync>> {
    const WARM_UP: u32 = 2;
    let (model, outputs, vocabulary, samples, length) = arguments.model.sizes();
    let model: Model = from_value(model)?;
    let precision: Precision = from_value(arguments.precision.as_str().into())?;
    let input = InputShape::Tokens { vocabulary, length };
    let network = build(&model, input, outputs, 0, &Device::Cpu)?;
    let mut optimizer = optimizer(&network)?;

    let mut stream = Stream::new(0, Purpose::Augment, 0, 0);
    let mut offsets = vec![0];
    for _ in 0..samples {
        let shorter = if arguments.varying {
            stream.below(3 * length as u32 / 4 + 1) as usize
        } else {
            0
        };
        offsets.push(offsets.last().unwrap_or(&0) + length - shorter);
    }
    let tokens = offsets[samples];
    let ids: Vec<u32> = (0..tokens).map(|_| stream.below(vocabulary as u32)).collect();
    let batch = match arguments.varying {
        true => TokenBatch::ragged(&ids, &offsets, &Device::Cpu)?,
        false => TokenBatch::equal(&ids, samples, &Device::Cpu)?,
    };
    let rows = if outputs == vocabulary { tokens } else { samples };
    let targets: Vec<Option<u32>> = (0..rows).map(|_| Some(stream.below(outputs as u32))).collect();

    let names: Vec<u32> = (0..samples as u32).collect();
    let mut steps = Vec::new();
    let (mut start, mut used) = (Instant::now(), None);
    for index in 0.. {
        if index == WARM_UP {
            steps.clear();
            (start, used) = (Instant::now(), processor_seconds());
        }
        if steps.len() >= 3 && start.elapsed().as_secs_f64() >= arguments.seconds {
            break;
        }
        let pass = Pass {
            train: true,
            precision,
            seed: 0,
            epoch: index,
            samples: &names,
            sequences: None,
        };
        let begun = Instant::now();
        let (loss, tape) = Tape::record(|| {
            let output = network.forward_tokens(&batch, &pass)?;
            output.loss(&targets, rows as f64, precision)
        });
        let loss = loss?;
        let forward = begun.elapsed();
        let mut gradients = tape.backward(&loss)?;
        let backward = begun.elapsed() - forward;
        let parameters = network.parameters();
        let gradients: Vec<Option<Tensor>> = parameters
            .iter()
            .map(|parameter| gradients.remove(&parameter.var))
            .collect();
        optimizer.step(parameters, &gradients, 1e-4, 1.0, None)?;
        steps.push([forward, backward, begun.elapsed() - backward - forward]);
    }
    let used = processor_seconds().zip(used).map(|(now, then)| now - then);
    let cpu_seconds = used.map(|seconds| seconds / steps.len() as f64);
    Ok(Measured {
        tokens,
        steps,
        cpu_seconds,
    })
}

fn optimizer(network: &Network) -> Result<Optimizer, Box<dyn Error + Send + Sync>> {
    let recipe: spec::Optimizer = from_value(json!({"adamw": {"lr": 1e-4}}))?;
    let settings = ParameterSettings {
        lr_factor: 1.0,
        weight_decay: 0.01,
        frozen: false,
    };
    let settings = vec![settings; network.parameters().len()];
    let rule = Optimizers::built_in().rule(&recipe)?;
    Ok(Optimizer::new(rule, network.parameters(), &settings))
}

/// In seconds.
fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut seconds: Vec<f64> = times.map(|time| time.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// What all threads have used, where the system tells it: to a hundredth.
fn processor_seconds() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything.
    let fields: Vec<&str> = status.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Of the process, in bytes, where the system tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
