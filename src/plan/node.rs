//! A stage in a plan: what it takes in, and what is to be done about it.

use std::path::PathBuf;
use std::sync::Arc;

use petgraph::graph::NodeIndex;

use super::key::StageKey;
use super::reason::Reason;
use crate::event::StageId;
use crate::fingerprint::{Digest, Fingerprint};
use crate::spec;
use crate::store::Action;

/// A stage that is to be brought up to date.
#[derive(Clone, Debug)]
pub struct PlanNode {
    /// The stages that it stands for: equal stages are one node.
    pub names: Vec<StageId>,
    /// What to do and how to run it.
    pub stage: Arc<spec::StageSpec>,
    /// The seed.
    pub seed: u64,
    /// The digest of its recipe.
    pub recipe: Digest,
    /// What it takes in.
    pub inputs: Vec<NodeInput>,
    /// What is to be done about it.
    pub decision: Decision,
    /// The content at each path of its artifact that others take, as far as it was looked up.
    pub(super) parts: Vec<ArtifactPart>,
}

/// A path inside an artifact.
#[derive(Clone, Debug)]
pub(super) struct ArtifactPart {
    pub path: String,
    pub content: Option<Digest>,
}

impl PlanNode {
    /// Takes note that another node takes what lies at `path` of its artifact.
    pub(super) fn takes(&mut self, path: &str) {
        if !self.parts.iter().any(|part| part.path == path) {
            self.parts.push(ArtifactPart {
                path: path.to_owned(),
                content: None,
            });
        }
    }

    /// The content at `path` of its artifact, where it was looked up.
    pub(super) fn part(&self, path: &str) -> Option<Digest> {
        self.parts.iter().find(|part| part.path == path)?.content
    }

    /// The first of its names, for messages.
    pub fn name(&self) -> &StageId {
        &self.names[0]
    }
}

/// An input of a node.
#[derive(Clone, Debug)]
pub struct NodeInput {
    /// What the stage calls it.
    pub role: String,
    /// Where it comes from.
    pub source: NodeSource,
}

/// Where an input comes from.
#[derive(Clone, Debug)]
pub enum NodeSource {
    /// Another node's artifact, or a path inside it.
    Stage {
        /// The node.
        node: NodeIndex,
        /// A path inside its artifact.
        path: Option<String>,
    },
    /// A file or folder that no stage makes, of the project or from elsewhere.
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
    Reuse(Box<Action>),
    /// It has to run.
    Run(Box<StageKey>, Box<Reason>),
    /// Its key can be known once these stages are done.
    Pending(Vec<String>),
}

impl Decision {
    /// The result, where it is known.
    pub fn action(&self) -> Option<&Action> {
        match self {
            Self::Reuse(action) => Some(action),
            _ => None,
        }
    }

    /// The key's digest, where the key is known.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Reuse(action) => Some(action.fingerprint),
            Self::Run(key, _) => Some(key.fingerprint()),
            Self::Pending(_) => None,
        }
    }
}
