//! `erlen replay`: shows a recorded run once more.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::arguments::LogFormat;
use super::exit::DONE;
use crate::app::AppError;
use crate::progress::read_line;

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// What `--events FILE` or `--log-format json` wrote; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How many times as fast as it was; 0 shows everything at once
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// How the run is shown
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.0..=1e9).contains(&speed) => Ok(speed),
        _ => Err("a number from 0 on is expected".to_owned()),
    }
}

pub(super) fn run(arguments: &ReplayArguments) -> Result<u8, AppError> {
    let name = arguments.file.display();
    let input: Box<dyn Read> = if arguments.file.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(&arguments.file).map_err(AppError::io(format!("reading {name}")))?)
    };
    let mut shown = arguments.log_format.display(0, Arc::default());
    let mut before: Option<Timestamp> = None;
    for (number, line) in BufReader::new(input).lines().enumerate() {
        let line = line.map_err(AppError::io(format!("reading {name}")))?;
        if line.trim().is_empty() {
            continue;
        }
        let (time, event) = read_line(&line).map_err(|problem| {
            AppError::Request(format!(
                "{name}:{}: this is no event of a run: {problem}",
                number + 1
            ))
        })?;
        if let Some(before) = before
            && let Ok(pause) = Duration::try_from(time.duration_since(before))
            && arguments.speed > 0.0
        {
            std::thread::sleep(pause.div_f64(arguments.speed));
        }
        before = Some(time);
        shown.event(&event);
    }
    Ok(DONE)
}
