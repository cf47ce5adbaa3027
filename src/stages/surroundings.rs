//! What a stage finds around it wherever it runs, and what never changes its result.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::DeviceChoice;

/// What a stage finds around it: the project, and what it may use of the machine. None of it is ever part
/// of a stage's key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The project's root, for URLs without a scheme.
    pub project: PathBuf,
    /// URL prefixes and what stands in for them, longest first.
    pub mirrors: Vec<(String, String)>,
    /// The environment variables that hold secrets of the pipeline: only those see them that ask for them.
    pub secrets: Vec<String>,
    /// Where to train and evaluate.
    pub device: DeviceChoice,
    /// How many threads to use.
    pub threads: usize,
    /// What is visible of the machine's graphics processors (`CUDA_VISIBLE_DEVICES`), where that is
    /// limited.
    pub gpus: Option<String>,
}

impl Surroundings {
    /// Those of stages of the project in the folder `project`: on one thread of the CPU, without mirrors
    /// or secrets.
    pub fn of_project(project: impl Into<PathBuf>) -> Self {
        Self {
            project: project.into(),
            mirrors: Vec::new(),
            secrets: Vec::new(),
            device: DeviceChoice::Cpu,
            threads: 1,
            gpus: None,
        }
    }
}
