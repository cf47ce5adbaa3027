//! `erlen serve`: trained models behind HTTP.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::exit::DONE;
use super::model_choice::{ModelChoiceArguments, pipeline_words};
use super::terminal::stop_on_signals;
use crate::app::{AppError, ServedName, ServedSource, ServingFollower, ServingRequest, serve_models};
use crate::serve::BearerToken;
use crate::spec::NarrowWeights;
use crate::stages::{DeviceChoice, Registry};

/// The variable that holds the token where no file does.
const TOKEN: &str = "ERLEN_SERVE_TOKEN";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  erlen serve pipelines/flowers.yaml                      the model of the only training, as `flowers`
  erlen serve pipelines/flowers.yaml:model --watch        newer results take its place
  erlen serve new=exported/ old=kept/ --bind 0.0.0.0:80 --token-file token

Then, in another terminal:
  curl -H 'Content-Type: image/jpeg' --data-binary @rose.jpg http://127.0.0.1:8080/v2/models/flowers/infer
  curl http://127.0.0.1:8080/v1/completions -d '{\"model\": \"tales\", \"prompt\": \"Once\", \"max_tokens\": 50}'

or a browser at http://127.0.0.1:8080. SIGTERM and SIGINT end it once all that was begun is answered.

Exit codes: 0 ended so; 1 a model cannot be served, or the server broke off; 2 the command line is wrong.")]
pub(super) struct ServeArguments {
    /// The models, each called as its file or folder or by NAME=: FILE.yaml:STAGE, FILE.yaml where only one stage
    /// trains, or a folder with a model
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<String>,
    /// The address to listen at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    bind: String,
    /// Rows that a model is asked about at once, or texts that it writes at once, at most
    #[arg(long, value_name = "ROWS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_batch: u32,
    /// How long a request is kept waiting for others, such as 2ms; by default a model takes what waits when it is free
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = delay)]
    max_delay: Duration,
    /// Requests (or texts to be written) that may wait for a model; others are told to come again
    #[arg(long, value_name = "REQUESTS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    queue: u32,
    /// Serve newer results of the pipelines as soon as there are any
    #[arg(long)]
    watch: bool,
    /// A file with the token that clients have to show (`Authorization: Bearer TOKEN`); without it, the variable
    /// ERLEN_SERVE_TOKEN may hold one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Append a line of JSON for each request to this file instead of standard error
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// What the weights of models that go on with texts are rounded to, on the CPU
    #[arg(long, value_name = "FORM", value_enum)]
    weights: Option<ServedWeights>,
    #[command(flatten)]
    choice: ModelChoiceArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ServedWeights {
    /// Whole numbers of eight bits, in blocks of 32 with a scale each
    Int8,
}

pub(super) fn run(arguments: &ServeArguments, registry: &Registry) -> Result<u8, AppError> {
    let models: Result<Vec<ServedSource>, AppError> = arguments
        .models
        .iter()
        .map(|text| arguments.model(text))
        .collect();
    let request = ServingRequest {
        models: models?,
        bind: arguments.bind.clone(),
        max_batch: arguments.max_batch as usize,
        max_delay: arguments.max_delay,
        queue: arguments.queue as usize,
        watch: arguments.watch,
        token: arguments.token()?,
        device: arguments.device,
        weights: arguments.weights.map(|ServedWeights::Int8| NarrowWeights::Int8),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let log: Box<dyn Write + Send> = match &arguments.access_log {
        None => Box::new(io::stderr()),
        Some(path) => Box::new(appended(path)?),
    };
    let is_open = request.token.is_none();
    let follower = ServingFollower {
        listening: &mut |address: SocketAddr, models: &[ServedName]| tell(address, models, is_open),
        log,
        stop: &*stop_on_signals()?,
    };
    serve_models(&request, registry, follower)?;
    Ok(DONE)
}

impl ServeArguments {
    /// The model that `text` names, and its name.
    fn model(&self, text: &str) -> Result<ServedSource, AppError> {
        let named = text
            .split_once('=')
            .filter(|(name, _)| ServedSource::is_name(name));
        // A folder may have such a name.
        if let Some((name, model)) = named.filter(|_| !Path::new(text).exists()) {
            return Ok(ServedSource {
                name: name.to_owned(),
                source: self.choice.source(model)?,
            });
        }
        if let Some((name, model)) = text.split_once('=')
            && !name.contains('/')
            && !Path::new(text).exists()
            && (pipeline_words(model).is_some() || Path::new(model).exists())
        {
            return Err(unfit(name, model));
        }
        let named = match pipeline_words(text) {
            Some((file, _)) => Path::new(file).file_stem().map(ToOwned::to_owned),
            None => {
                let path = Path::new(text);
                let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
                let folder = if whole.is_file() {
                    whole.parent()
                } else {
                    Some(whole.as_path())
                };
                folder.and_then(Path::file_name).map(ToOwned::to_owned)
            }
        };
        let source = self.choice.source(text)?;
        let name = named.unwrap_or_default().to_string_lossy().into_owned();
        if !ServedSource::is_name(&name) {
            return Err(unfit(&name, text));
        }
        Ok(ServedSource { name, source })
    }

    /// What clients have to show, where that is asked for. It is never printed.
    fn token(&self) -> Result<Option<BearerToken>, AppError> {
        let text = match &self.token_file {
            Some(path) => {
                let failed = AppError::io(format!("reading the token in `{}`", path.display()));
                Some(fs::read_to_string(path).map_err(failed)?)
            }
            None => match std::env::var(TOKEN) {
                Ok(text) => Some(text),
                Err(std::env::VarError::NotPresent) => None,
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(AppError::Request(format!("{TOKEN} is not UTF-8")));
                }
            },
        };
        text.map(|text| BearerToken::new(&text).map_err(AppError::Request))
            .transpose()
    }
}

/// A model that cannot be called `name`.
fn unfit(name: &str, model: &str) -> AppError {
    AppError::Request(format!(
        "clients cannot call a model `{name}`: say another name, of letters, digits, `.`, `_` and `-`, as NAME={model}"
    ))
}

/// A time such as `2ms`, `0.5s` or `250us`.
fn delay(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return Err("a time has a unit: us, ms or s, as in 2ms".to_owned()),
    };
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| "a time is a number with a unit, as in 2ms".to_owned())?;
    let seconds = number * scale;
    if !(0.0..=10.0).contains(&seconds) {
        return Err("a request is kept waiting for 10 s at most".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn appended(path: &Path) -> Result<File, AppError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(AppError::io(format!("writing `{}`", path.display())))
}

/// Says where what is served.
fn tell(address: SocketAddr, models: &[ServedName], is_open: bool) {
    for ServedName { name, version, note } in models {
        if let Some(note) = note {
            anstream::eprintln!("{name}: {note}");
        }
        // Whoever waits for the address may read from a pipe; where nobody can read, nobody waits.
        let _ = writeln!(
            anstream::stdout(),
            "serving {name} (version {version}) at http://{address}/v2/models/{name}"
        );
    }
    if is_open && !address.ip().is_loopback() {
        anstream::eprintln!(
            "warning: whoever reaches {address} can ask: `--token-file` has clients show a token"
        );
    }
    let _ = io::stdout().flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(delay("0ms"), Ok(Duration::ZERO));
        assert_eq!(delay("2ms"), Ok(Duration::from_millis(2)));
        assert_eq!(delay("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(delay("0.5s"), Ok(Duration::from_millis(500)));
        for wrong in ["", "2", "ms", "-1ms", "11s", "2min", "nans"] {
            assert!(delay(wrong).is_err(), "{wrong}");
        }
    }
}
