//! What would be done about a stage, and why: its key beside that of the nearest earlier result.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::error::AppError;
use crate::fingerprint::Digest;
use crate::plan::{Decision, Difference, Earlier, NodeSource, Plan, PlanNode, StageKey, differences};

/// What there is to say about a stage.
pub struct Explanation<'a> {
    /// The stage in its plan.
    pub node: &'a PlanNode,
    /// The key, as far as it is known; inputs that are not known yet are missing.
    pub key: StageKey,
    /// Where each input comes from, by role.
    pub origins: BTreeMap<&'a str, KeyInput<'a>>,
    earlier: Option<Arc<Earlier>>,
}

/// Where an input comes from.
pub enum KeyInput<'a> {
    /// A file or folder of the project.
    Project(&'a Path),
    /// Another stage, with a path inside its artifact where only that is taken.
    Stage(String),
}

impl<'a> Explanation<'a> {
    /// What there is to say about a node of `plan`.
    ///
    /// # Errors
    /// A reference into an artifact leads nowhere, or the store fails.
    pub fn new(plan: &'a Plan, node: &'a PlanNode) -> Result<Self, AppError> {
        let mut origins = BTreeMap::new();
        for input in &node.inputs {
            let origin = match &input.source {
                NodeSource::Project { path, .. } => KeyInput::Project(path),
                NodeSource::Stage { node, path } => {
                    let path = path
                        .as_deref()
                        .map_or_else(String::new, |path| format!("/{path}"));
                    KeyInput::Stage(format!("{}{path}", plan.node(*node).name()))
                }
            };
            origins.insert(input.role.as_str(), origin);
        }
        let key = match &node.decision {
            Decision::Run(key, _) => (**key).clone(),
            _ => StageKey::new(&node.stage, node.seed, plan.contents(node)?.0),
        };
        Ok(Self {
            node,
            key,
            origins,
            earlier: plan.earlier(node),
        })
    }

    /// The digest of an input now, and in the earlier result.
    pub fn input(&self, role: &str) -> [Option<Digest>; 2] {
        let then = self.earlier().and_then(|earlier| earlier.key.inputs.get(role));
        [self.key.inputs.get(role).copied(), then.copied()]
    }

    /// The fields that differ from the earlier result's, by their paths.
    pub fn changed(&self) -> BTreeMap<String, Difference> {
        let changed = self
            .earlier()
            .map(|earlier| differences(&earlier.key.fields, &self.key.fields));
        changed
            .into_iter()
            .flatten()
            .map(|difference| (difference.path.clone(), difference))
            .collect()
    }

    /// The nearest earlier result.
    pub fn earlier(&self) -> Option<&Earlier> {
        self.earlier.as_deref()
    }
}
