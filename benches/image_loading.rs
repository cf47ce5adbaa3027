//! How many images of a folder are decoded, augmented and put together to batches in a second.
//!
//! `cargo bench --bench image_loading -- FOLDER [--crop 32x4|224] [--threads N] [--seconds S]`, where `FOLDER/train` has a
//! folder for each class. `32x4` crops 32x32 pixels out of images of that size with 4 of padding, `224` crops parts of
//! random sizes to 224x224; both mirror half of the images. Prints one JSON line with images a second: `once`, from files to
//! batches by way of a dataset of pixels, and `epoch`, where the dataset keeps the files and each epoch decodes them.
//! `image_loading.py` runs this beside torchvision.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use erlen::data::{
    Collation, Dataset, Formats, Loader, LoaderConfig, Normalization, SampleOrder, SplitInput, prepare,
};
use erlen::event::Monitor;
use erlen::spec::{Augment, Preprocess, SplitName};
use serde_json::{Value, from_value, json};

#[derive(Parser)]
struct Arguments {
    folder: PathBuf,
    #[arg(long, value_parser = ["32x4", "224"], default_value = "32x4")]
    crop: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long to go on with further epochs.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .build()?;
    let figures = pool.install(|| measure(&arguments).map_err(|error| error.to_string()))?;
    println!("{figures}");
    Ok(())
}

fn measure(arguments: &Arguments) -> Result<Value, Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    // What is resized at random is decoded anew in each epoch, so that a dataset of pixels keeps sizes alike first.
    let (size, augment) = match arguments.crop.as_str() {
        "224" => (json!([256, 256]), json!({"random_resized_crop": {"size": 224}})),
        _ => (Value::Null, json!({"random_crop": {"padding": 4}})),
    };
    let augment: Vec<Augment> = from_value(json!([augment, {"random_horizontal_flip": {}}]))?;

    let start = Instant::now();
    let pixels = dataset(
        arguments,
        &scratch.path().join("pixels"),
        json!({"store": "pixels", "size": size}),
    )?;
    let images = epoch(&loader(&pixels, &augment)?, 0)?;
    let once = images as f64 / start.elapsed().as_secs_f64();

    let files = dataset(
        arguments,
        &scratch.path().join("files"),
        json!({"store": "files"}),
    )?;
    let loader = loader(&files, &augment)?;
    let (start, mut images) = (Instant::now(), 0);
    for number in 0.. {
        images += epoch(&loader, number)?;
        if start.elapsed().as_secs_f64() > arguments.seconds {
            break;
        }
    }
    let epoch = images as f64 / start.elapsed().as_secs_f64();
    Ok(json!({"once": once, "epoch": epoch}))
}

fn dataset(arguments: &Arguments, folder: &Path, options: Value) -> Result<Dataset, Box<dyn Error>> {
    let options: Preprocess = from_value(json!({"input": "images", "format": {"image_folder": options}}))?;
    let inputs = [SplitInput::whole(&arguments.folder)];
    std::fs::create_dir_all(folder)?;
    prepare(
        &options,
        &Formats::built_in(),
        &inputs,
        folder,
        &Monitor::silent(),
    )?;
    Ok(Dataset::open(folder)?)
}

fn loader(dataset: &Dataset, augment: &[Augment]) -> Result<Loader, Box<dyn Error>> {
    let split = dataset
        .split(SplitName::Train)
        .ok_or("there is no folder `train`")?;
    let config = LoaderConfig {
        batch_size: 128,
        augment: augment.to_vec(),
        normalization: Normalization {
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        },
        target_scale: None,
        collation: Collation::Pack,
        order: SampleOrder::Shuffled,
        seed: 0,
        prefetch: 1,
    };
    Ok(Loader::new(split, config)?)
}

/// Goes through an epoch; gives how many images it has.
fn epoch(loader: &Loader, number: u32) -> Result<usize, Box<dyn Error>> {
    let mut images = 0;
    for batch in loader.epoch(number, 0) {
        images += batch?.samples.len();
    }
    Ok(images)
}
