//! `erlen predict`: what a trained model says of new files.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::exit::{DONE, FAILED};
use super::model_choice::ModelChoiceArguments;
use super::terminal::stop_on_signals;
use crate::app::{AppError, PredictionFollower, PredictionRequest, predict, predict_to_file};
use crate::event::{Activity, Level, Monitor};
use crate::prediction::{PredictionCounts, Unpredicted, counted_samples};
use crate::spec::PredictionFormat;
use crate::stages::{DeviceChoice, Registry};

/// How often a terminal is told how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  erlen predict pipelines/flowers.yaml photos/            the model of the only training
  erlen predict pipelines/flowers.yaml:model \"new/**/*.png\" -o new.csv
  erlen predict pipelines/sweep.yaml:model --trial best new.csv
  erlen predict exported/ new.csv --with other/ --format json-lines
  erlen predict pipelines/prices.yaml new.parquet -o predicted.parquet
  erlen predict pipelines/reviews.yaml new.jsonl lines.txt

Exit codes: 0 all samples have a prediction; 1 some could not be read (they are named), or nothing could be done;
2 the command line is wrong; 130 interrupted.")]
pub(super) struct PredictArguments {
    /// The model: FILE.yaml:STAGE, FILE.yaml where only one stage trains, or a folder with a model
    #[arg(value_name = "MODEL")]
    model: String,
    /// Images, tables or texts: files, folders (at any depth), archives (zip, tar), patterns
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// Average the predictions with those of this model; may be repeated
    #[arg(long = "with", value_name = "MODEL")]
    others: Vec<String>,
    #[command(flatten)]
    choice: ModelChoiceArguments,
    /// Where to write, which must not be there yet; by default to standard output. What was stopped goes on where the same is
    /// asked again: CSV and JSON lines are written into FILE.part until they are whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How to write; by default as the output's name ends, else csv
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    /// Give the mean of the outputs for each image and its mirror image
    #[arg(long)]
    test_time_flip: bool,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// A table with a line of titles
    Csv,
    /// A JSON object a line
    JsonLines,
    /// A Parquet file with the table's columns
    Parquet,
}

pub(super) fn run(arguments: &PredictArguments, registry: &Registry) -> Result<u8, AppError> {
    let models = std::iter::once(&arguments.model).chain(&arguments.others);
    let request = PredictionRequest {
        models: models
            .map(|model| arguments.choice.source(model))
            .collect::<Result<_, _>>()?,
        inputs: arguments.inputs.clone(),
        format: arguments.format()?,
        test_time_flip: arguments.test_time_flip,
        device: arguments.device,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    if request.format == PredictionFormat::Parquet && arguments.output.is_none() && io::stdout().is_terminal()
    {
        return Err(AppError::Request(
            "a Parquet file is no text that a terminal shows: name a file by --output".to_owned(),
        ));
    }
    let counts = match &arguments.output {
        Some(path) => {
            let to_file =
                |follower: PredictionFollower<'_>| predict_to_file(&request, registry, path, follower);
            ask(to_file, stop_on_signals()?)?
        }
        None => match to_standard_output(&request, registry)? {
            Some(counts) => counts,
            // Whoever reads has seen enough.
            None => return Ok(DONE),
        },
    };
    tell_counts(&counts, arguments.output.as_deref());
    Ok(if counts.failed == 0 { DONE } else { FAILED })
}

impl PredictArguments {
    /// How to write: as asked for, as the output's name says, or as a table.
    fn format(&self) -> Result<PredictionFormat, AppError> {
        if let Some(format) = self.format {
            return Ok(match format {
                OutputFormat::Csv => PredictionFormat::Csv,
                OutputFormat::JsonLines => PredictionFormat::JsonLines,
                OutputFormat::Parquet => PredictionFormat::Parquet,
            });
        }
        let Some(path) = &self.output else {
            return Ok(PredictionFormat::default());
        };
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let extension = extension.as_deref().and_then(|extension| extension.to_str());
        let of_name = PredictionFormat::ALL
            .into_iter()
            .find(|format| extension.is_some_and(|extension| format.extensions().contains(&extension)));
        of_name.ok_or_else(|| {
            let known = PredictionFormat::ALL
                .iter()
                .flat_map(|format| format.extensions());
            let known: Vec<String> = known.map(|extension| format!(".{extension}")).collect();
            AppError::Request(format!(
                "the name of `{}` does not say how to write: end it in {}, or say it by --format",
                path.display(),
                known.join(" or ")
            ))
        })
    }
}

/// Writes to standard output; nothing where it is closed before the end.
fn to_standard_output(
    request: &PredictionRequest,
    registry: &Registry,
) -> Result<Option<PredictionCounts>, AppError> {
    let (stop, closed) = (stop_on_signals()?, Arc::new(AtomicBool::new(false)));
    let out = UntilClosed {
        out: BufWriter::new(io::stdout()),
        closed: Arc::clone(&closed),
        stop: Arc::clone(&stop),
    };
    let answer = ask(|follower| predict(request, registry, out, follower), stop);
    if closed.load(Ordering::Relaxed) {
        return Ok(None);
    }
    answer.map(Some)
}

/// Has `predict` ask, and tells on standard error what happens.
fn ask(
    predict: impl FnOnce(PredictionFollower<'_>) -> Result<PredictionCounts, AppError>,
    stop: Arc<AtomicBool>,
) -> Result<PredictionCounts, AppError> {
    let narration = Arc::new(Narration::default());
    let told = Arc::clone(&narration);
    let follower = PredictionFollower {
        refused: &mut |sample: &Unpredicted| narration.tell(&format!("not predicted: {sample}")),
        monitor: Monitor::new(move |activity| told.hear(&activity), stop),
    };
    let counts = predict(follower);
    narration.clear();
    counts
}

/// Passes on what is written until whoever reads has seen enough, and then stops the work.
struct UntilClosed<W> {
    out: W,
    closed: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl<W: Write> UntilClosed<W> {
    fn unless_closed<T>(&self, written: io::Result<T>, otherwise: T) -> io::Result<T> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                self.stop.store(true, Ordering::Relaxed);
                Ok(otherwise)
            }
            other => other,
        }
    }
}

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.unless_closed(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.out.flush();
        self.unless_closed(written, ())
    }
}

/// What is told on standard error: notices, and to a terminal how far it is.
#[derive(Default)]
struct Narration {
    /// When the terminal was last told how far it is; its last line says it.
    line: Mutex<Option<Instant>>,
}

impl Narration {
    fn hear(&self, activity: &Activity) {
        match activity {
            Activity::Notice { level, message } => match level {
                Level::Warning => self.tell(&format!("warning: {message}")),
                Level::Info => self.tell(message),
            },
            Activity::Progress { done, .. } if io::stderr().is_terminal() => {
                let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
                if line.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                    *line = Some(Instant::now());
                    anstream::eprint!("\r{} predicted", counted_samples(*done));
                }
            }
            _ => {}
        }
    }

    /// Says a line.
    fn tell(&self, message: &str) {
        self.clear();
        anstream::eprintln!("{message}");
    }

    /// Takes the line away that says how far it is.
    fn clear(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.take().is_some() {
            anstream::eprint!("\r\x1b[2K");
        }
    }
}

/// Says how many samples were predicted for.
fn tell_counts(counts: &PredictionCounts, output: Option<&Path>) {
    let whither = output.map_or_else(String::new, |path| format!(" -> {}", path.display()));
    anstream::eprintln!("{}{whither}", counts.told());
}
