//! How long a token takes to generate, greedily and one text at a time.
//!
//! `cargo bench --bench generate -- MODEL [--precision f32|bf16] [--int8] [--tokens N] [--threads N]`, where `MODEL` is a folder of
//! Hugging Face's or a GGUF file. Prints one JSON line; `generate.py` has transformers and llama.cpp do the same.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::Device;
use clap::Parser;
use erlen::generation::{Decoder, GenerationRules, Started, continue_text};
use erlen::memory::Recycling;
use erlen::spec::Precision;
use erlen::train::{Components, FolderWish, PretrainedFolder};
use serde_json::{from_value, json};

#[global_allocator]
static MEMORY: Recycling = Recycling::new();

/// The tokens of SmolLM2 for the first words of the speech of 1790.
const PROMPT: [u32; 16] = [
    54, 3164, 29, 37266, 33034, 282, 260, 11151, 284, 4699, 42, 198, 57, 24006, 1449, 351,
];

#[derive(Parser)]
struct Arguments {
    model: PathBuf,
    #[arg(long, value_parser = ["f32", "bf16"], default_value = "f32")]
    precision: String,
    /// Rounds weights of fully connected layers to eight bits.
    #[arg(long)]
    int8: bool,
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// By default one for each core.
    #[arg(long)]
    threads: Option<usize>,
    /// Cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let threads = match arguments.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?.get(),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let figures = pool
        .install(|| measure(&arguments))
        .map_err(|error| error.to_string())?;
    println!("{figures}");
    Ok(())
}

fn measure(arguments: &Arguments) -> Result<serde_json::Value, Box<dyn Error + Send + Sync>> {
    let precision: Precision = from_value(arguments.precision.as_str().into())?;
    let components = Components::built_in();
    let begun = Instant::now();
    let folder = PretrainedFolder::open(&arguments.model, FolderWish::default(), &components)?;
    let network = folder.network(&components.models, &Device::Cpu)?;
    let loaded = begun.elapsed().as_secs_f64();
    let decoder = Decoder::new(&network, folder.sizes().context, precision, &Device::Cpu);
    let decoder = match arguments.int8 {
        true => decoder.with_int8_weights(),
        false => decoder,
    };
    let rules = GenerationRules {
        tokens: arguments.tokens,
        ..GenerationRules::default()
    };
    // Weights are laid out for the processor when they are used first.
    let started = Started::new(&decoder, &PROMPT, arguments.tokens)?;
    continue_text(
        &started,
        &GenerationRules {
            tokens: 2,
            ..rules.clone()
        },
        (0, 0),
        &mut |_| Ok(false),
    )?;
    let begun = Instant::now();
    let started = Started::new(&decoder, &PROMPT, arguments.tokens)?;
    let prompt = begun.elapsed().as_secs_f64();
    let text = continue_text(&started, &rules, (0, 0), &mut |_| Ok(false))?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(json!({
        "seconds_per_token": seconds / text.tokens.len() as f64,
        "prompt_seconds": prompt,
        "load_seconds": loaded,
        "tokens": text.tokens,
        "instruction_sets": erlen::ops::instruction_sets().collect::<Vec<_>>(),
    }))
}
