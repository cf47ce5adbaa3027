//! How fast a model that `train` or `quantize` made answers.
//!
//! `cargo bench --bench infer -- --model FOLDER [--batch N] [--threads N] [--seconds S]` (FOLDER as `erlen get` leaves
//! it). Prints one JSON line with the median over all answers; `inference.py` runs this beside ONNX Runtime and OpenVINO.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use candle_core::Device;
use clap::Parser;
use erlen::memory::Recycling;
use erlen::train::{Components, RowPredictor};
use serde_json::json;

#[global_allocator]
static MEMORY: Recycling = Recycling::new();

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    model: PathBuf,
    #[arg(long, default_value_t = 1)]
    batch: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long to measure, after the warm-up.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    // As the stages and the server do.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build()?;
    let told = pool.install(|| measure(&arguments).map_err(|error| error.to_string()))?;
    println!("{told}");
    Ok(())
}

/// What is printed.
fn measure(arguments: &Arguments) -> Result<serde_json::Value, Box<dyn Error>> {
    let model = RowPredictor::load(&arguments.model, Device::Cpu, &Components::built_in())?;
    // What the peers are given.
    let values: Vec<f32> = (0..arguments.batch * model.shape().len())
        .map(|place| (place % 23) as f32 / 7.0 - 11.0 / 7.0)
        .collect();
    let answer = || model.outputs(values.clone());
    let warm = Instant::now();
    let mut outputs = answer()?;
    while warm.elapsed() < Duration::from_secs_f64(arguments.seconds / 4.0) {
        outputs = answer()?;
    }
    let (begin, mut rounds) = (Instant::now(), Vec::new());
    while rounds.len() < 3 || begin.elapsed() < Duration::from_secs_f64(arguments.seconds) {
        let start = Instant::now();
        answer()?;
        rounds.push(start.elapsed().as_secs_f64());
    }
    rounds.sort_by(f64::total_cmp);
    let median = rounds[rounds.len() / 2];
    outputs.truncate(16);
    Ok(json!({"images_per_second": arguments.batch as f64 / median, "outputs": outputs}))
}
