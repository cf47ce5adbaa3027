//! Arguments that several commands share, and the requests that they become.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::app::{AppError, PipelineRequest, current_project, open_history};
use crate::event::Sink;
use crate::metric::MetricTable;
use crate::plan::Selection;
use crate::progress::{self, DisplayFormat};
use crate::record::RunHistory;
use crate::spec::{Override, Project};
use crate::stages::DeviceChoice;

/// The arguments that name a pipeline, its parameters and stages.
#[derive(Debug, Args)]
pub(super) struct PipelineArguments {
    /// The pipeline file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Stages to bring up to date, with all that they need; by default all
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    /// Bring a stage up to date together with all that depends on it; may be repeated
    #[arg(long, value_name = "STAGE")]
    downstream: Vec<String>,
    /// Do nothing that depends on this stage; may be repeated
    #[arg(long, value_name = "STAGE")]
    until: Vec<String>,
    /// Replace a parameter's value (or the pipeline's `seed`); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    overrides: Vec<Override>,
    /// Run the named stages, or all, even where their results are known
    #[arg(short, long)]
    force: bool,
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    store: Option<PathBuf>,
}

impl PipelineArguments {
    /// What they ask for.
    pub fn request(&self) -> PipelineRequest {
        PipelineRequest {
            file: self.file.clone(),
            overrides: self.overrides.clone(),
            selection: Selection {
                targets: self.stages.clone(),
                downstream: self.downstream.clone(),
                until: self.until.clone(),
                force: self.force,
            },
            store: self.store.clone(),
        }
    }
}

/// The arguments of commands that only show what is known of a pipeline.
#[derive(Debug, Args)]
pub(super) struct KnownArguments {
    /// The pipeline file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace a parameter's value (or the pipeline's `seed`); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    overrides: Vec<Override>,
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    store: Option<PathBuf>,
}

impl KnownArguments {
    /// What they ask for.
    pub fn request(&self) -> PipelineRequest {
        PipelineRequest {
            overrides: self.overrides.clone(),
            store: self.store.clone(),
            ..PipelineRequest::of(&self.file)
        }
    }
}

/// Where the results are of a command that names no pipeline.
#[derive(Debug, Args)]
pub(super) struct StoreArguments {
    /// Where results are kept, instead of .erlen in the project's root
    #[arg(long, env = "ERLEN_STORE", value_name = "FOLDER", hide_env_values = true)]
    store: Option<PathBuf>,
}

impl StoreArguments {
    /// The project of the current folder.
    pub fn project(&self) -> Result<Project, AppError> {
        current_project(self.store.as_deref())
    }

    /// The store's place, where it is given.
    pub fn folder(&self) -> Option<PathBuf> {
        self.store.clone()
    }

    /// The project's history; empty where nothing ran.
    pub fn history(&self) -> Result<RunHistory, AppError> {
        open_history(&self.project()?)
    }
}

/// The arguments that say how to run stages.
#[derive(Debug, Args)]
pub(super) struct ExecutionArguments {
    /// The most stages at once; by default as many as the machine has cores
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: Option<u32>,
    /// Where to train and evaluate: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceChoice,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Write the events to a file too, as JSON lines: `erlen replay` shows them again
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A live display in a terminal, else plain lines
    #[default]
    Auto,
    /// Plain lines
    Plain,
    /// One JSON object a line
    Json,
}

impl LogFormat {
    /// What shows a run whose longest stage name has so many characters, and of whose metrics `metrics`
    /// is known.
    pub fn display(self, longest_name: usize, metrics: Arc<MetricTable>) -> Box<dyn Sink> {
        progress::for_terminal(progress::DisplayOptions {
            format: match self {
                Self::Auto => DisplayFormat::Auto,
                Self::Plain => DisplayFormat::Plain,
                Self::Json => DisplayFormat::Json,
            },
            longest_name,
            metrics,
        })
    }
}
