//! `erlen runs`: the history of runs.

use clap::Args;
use serde_json::{Value, json};

use super::arguments::StoreArguments;
use super::exit::DONE;
use super::text::{duration, moment, status};
use crate::app::AppError;
use crate::event::RunStatus;
use crate::progress::text::padded;
use crate::record::{RunSummary, StageStatus};

#[derive(Debug, Args)]
pub(super) struct RunsArguments {
    /// Only the runs of the pipeline of this name
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// How many, the latest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArguments,
}

pub(super) fn run(arguments: &RunsArguments) -> Result<u8, AppError> {
    let history = arguments.store.history()?;
    let runs = history.runs(arguments.pipeline.as_deref(), arguments.limit)?;
    let mut listed = Vec::with_capacity(runs.len());
    for run in runs {
        let counts = history.counts(run.id)?;
        listed.push((run, counts));
    }
    if arguments.json {
        anstream::println!("{:#}", to_json(&listed));
    } else {
        anstream::print!("{}", to_text(&listed));
    }
    Ok(DONE)
}

type StatusCounts = Vec<(StageStatus, u32)>;

fn to_json(runs: &[(RunSummary, StatusCounts)]) -> Value {
    let run = |(run, counts): &(RunSummary, StatusCounts)| {
        let mut object = serde_json::to_value(run).unwrap_or_default();
        let counts: serde_json::Map<String, Value> = counts
            .iter()
            .map(|(status, count)| (status.as_str().to_owned(), json!(count)))
            .collect();
        object["stages"] = counts.into();
        object
    };
    runs.iter().map(run).collect()
}

fn to_text(runs: &[(RunSummary, StatusCounts)]) -> String {
    if runs.is_empty() {
        return "no runs\n".to_owned();
    }
    let rows: Vec<[String; 5]> = runs
        .iter()
        .map(|(run, counts)| {
            let counts: Vec<String> = counts
                .iter()
                .map(|(status, count)| format!("{count} {}", status.as_str()))
                .collect();
            [
                run.id.to_string(),
                moment(run.started),
                duration(run).unwrap_or_else(|| "-".to_owned()),
                run.pipeline.clone(),
                counts.join(", "),
            ]
        })
        .collect();
    let titles = ["run", "started", "took", "pipeline", "stages"].map(str::to_owned);
    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([&titles])
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5], last: &str| {
        let [id, started, took, pipeline, stages] = row;
        format!(
            "{id:>0$}  {started:1$}  {took:>2$}  {3}  {4}  {last}",
            widths[0],
            widths[1],
            widths[2],
            padded(pipeline, widths[3]),
            padded(stages, widths[4]),
        )
    };
    let dim = anstyle::Style::new().dimmed();
    let mut text = format!("{dim}{}{dim:#}\n", line(&titles, "status"));
    for (row, (run, _)) in rows.iter().zip(runs) {
        let color = match run.status {
            Some(RunStatus::Done) => anstyle::AnsiColor::Green,
            Some(RunStatus::Failed) => anstyle::AnsiColor::Red,
            Some(RunStatus::Interrupted) | None => anstyle::AnsiColor::Yellow,
        };
        let style = anstyle::Style::new().fg_color(Some(color.into()));
        text.push_str(&line(row, &format!("{style}{}{style:#}", status(run))));
        text.push('\n');
    }
    text
}
