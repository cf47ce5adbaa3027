//! A stage in a plan: what it takes in, and what is to be done about it.

use std::path::PathBuf;

use petgraph::graph::NodeIndex;

use super::key::StageKey;
use super::reason::Reason;
use crate::fingerprint::{Digest, Fingerprint};
use crate::spec;
use crate::store::Action;

/// A stage that is to be brought up to date.
#[derive(Clone, Debug)]
pub struct Node {
    /// The names of the stages that it stands for: equal stages are one node.
    pub names: Vec<String>,
    /// What to do and how to run it.
    pub stage: spec::Stage,
    /// The seed.
    pub seed: u64,
    /// The digest of its recipe.
    pub recipe: Digest,
    /// What it takes in.
    pub inputs: Vec<Input>,
    /// What is to be done about it.
    pub decision: Decision,
}

impl Node {
    /// The first of its names, for messages.
    pub fn name(&self) -> &str {
        &self.names[0]
    }
}

/// An input of a node.
#[derive(Clone, Debug)]
pub struct Input {
    /// What the stage calls it.
    pub role: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where an input comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Another node's artifact, or a path inside it.
    Stage {
        /// The node.
        node: NodeIndex,
        /// A path inside its artifact.
        path: Option<String>,
    },
    /// A file or folder of the project.
    Project {
        /// Its absolute path.
        path: PathBuf,
        /// Its content's digest when the plan was made.
        digest: Digest,
    },
}

/// What is to be done about a stage.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Its result is known.
    Reuse(StageKey, Box<Action>),
    /// It has to run.
    Run(StageKey, Reason),
    /// Its key can be known once these stages are done.
    Pending(Vec<String>),
}

impl Decision {
    /// The result, where it is known.
    pub fn action(&self) -> Option<&Action> {
        match self {
            Self::Reuse(_, action) => Some(action),
            _ => None,
        }
    }

    /// The key's digest, where the key is known.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Reuse(_, action) => Some(action.fingerprint),
            Self::Run(key, _) => Some(key.fingerprint()),
            Self::Pending(_) => None,
        }
    }
}
