//! Deciding about stages: what each depends on, and whether its result is known.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use petgraph::graph::NodeIndex;

use super::graph::{Plan, PlanError};
use super::key::StageKey;
use super::node::{Decision, NodeSource, PlanNode};
use super::reason::Reason;
use crate::fingerprint::Digest;
use crate::parallel;
use crate::store::{Action, Lookup, Manifest};

/// So many stages are worth several threads.
pub(super) const WORTH_SHARING: usize = 48;

impl Plan {
    /// Decides about the nodes from the number `first` on, whose keys without inputs are `keys`: those
    /// that do not wait for each other side by side.
    pub(super) fn settle_new(&mut self, first: usize, keys: Vec<StageKey>) -> Result<(), PlanError> {
        let mut levels: Vec<Vec<(NodeIndex, StageKey)>> = Vec::new();
        let mut level_of = vec![0; keys.len()];
        for (number, key) in keys.into_iter().enumerate() {
            let index = NodeIndex::new(first + number);
            let upstream = self.upstream(index).filter(|other| other.index() >= first);
            let level = upstream
                .map(|other| level_of[other.index() - first] + 1)
                .max()
                .unwrap_or(0);
            level_of[number] = level;
            if levels.len() <= level {
                levels.push(Vec::new());
            }
            levels[level].push((index, key));
        }
        for level in levels {
            self.look_ahead(&level)?;
            let settled = parallel::map(level, WORTH_SHARING, |(index, key)| {
                (index, self.decision(index, key))
            });
            for (index, settled) in settled {
                self.take(index, settled?);
            }
        }
        Ok(())
    }

    /// Has the store ask its remote, if there is one, for all that can be asked for by now.
    fn look_ahead(&self, level: &[(NodeIndex, StageKey)]) -> Result<(), PlanError> {
        if self.store.remote_url().is_none() {
            return Ok(());
        }
        let mut fingerprints = Vec::new();
        for (index, key) in level {
            let node = &self.graph[*index];
            let (inputs, waits_for) = self.contents(node)?;
            if waits_for.is_empty() && !self.is_forced(node) {
                let key = StageKey {
                    inputs,
                    ..key.clone()
                };
                fingerprints.push(key.fingerprint());
            }
        }
        Ok(self.store.look_ahead(&fingerprints)?)
    }

    fn is_forced(&self, node: &PlanNode) -> bool {
        node.names.iter().any(|name| self.forced.contains(name.stage()))
    }

    /// The contents of a node's inputs as far as they are known, by role, and the stages that the others
    /// wait for.
    ///
    /// # Errors
    /// A reference into an artifact that leads nowhere, or a store that fails.
    pub fn contents(&self, node: &PlanNode) -> Result<(BTreeMap<String, Digest>, Vec<String>), PlanError> {
        let mut contents = BTreeMap::new();
        let mut waits_for = Vec::new();
        for input in &node.inputs {
            match &input.source {
                NodeSource::Project { digest, .. } => {
                    contents.insert(input.role.clone(), *digest);
                }
                NodeSource::Stage { node: upstream, path } => match self.graph[*upstream].decision.action() {
                    Some(action) => {
                        let content = self.content(node, *upstream, action, path.as_deref())?;
                        contents.insert(input.role.clone(), content);
                    }
                    None => waits_for.push(self.graph[*upstream].name().to_string()),
                },
            }
        }
        waits_for.sort();
        waits_for.dedup();
        Ok((contents, waits_for))
    }

    /// Decides about a node as far as its inputs are known.
    ///
    /// # Errors
    /// A reference into an artifact that leads nowhere, or a store that fails.
    pub fn settle(&mut self, index: NodeIndex) -> Result<(), PlanError> {
        let node = &self.graph[index];
        let key = StageKey::new(&node.stage, node.seed, BTreeMap::new());
        let settled = self.decision(index, key)?;
        self.take(index, settled);
        Ok(())
    }

    /// What is to be done about a node whose key, but for its inputs, is `key`.
    fn decision(&self, index: NodeIndex, mut key: StageKey) -> Result<Settled, PlanError> {
        let node = &self.graph[index];
        let (contents, waits_for) = self.contents(node)?;
        if !waits_for.is_empty() {
            return Ok(Settled::from(Decision::Pending(waits_for)));
        }
        key.inputs = contents;
        self.decide(node, key)
    }

    fn take(&mut self, index: NodeIndex, settled: Settled) {
        let node = &mut self.graph[index];
        node.decision = settled.decision;
        for (part, content) in node.parts.iter_mut().zip(settled.parts) {
            part.content = content;
        }
    }

    /// The digest of what an input refers to inside another node's artifact.
    fn content(
        &self,
        node: &PlanNode,
        upstream: NodeIndex,
        action: &Action,
        path: Option<&str>,
    ) -> Result<Digest, PlanError> {
        let Some(path) = path else {
            return Ok(action.artifact);
        };
        if let Some(content) = self.graph[upstream].part(path) {
            return Ok(content);
        }
        let manifest = self.store.manifest(&action.artifact).map_err(|source| {
            if !source.is_loss() {
                return PlanError::Store(source);
            }
            PlanError::Lost {
                stage: node.name().to_string(),
                upstream: self.graph[upstream].name().to_string(),
                node: upstream,
                source,
            }
        })?;
        manifest.content_digest_at(path).ok_or_else(|| {
            let mut holds = String::new();
            for entry in manifest.entries.iter().take(5) {
                let _ = write!(holds, "{}, ", entry.path);
            }
            if manifest.entries.len() > 5 {
                let _ = write!(holds, "and {} more", manifest.entries.len() - 5);
            }
            PlanError::NoSuchPath {
                stage: node.name().to_string(),
                reference: format!("{}/{path}", self.graph[upstream].name()),
                holds: holds.trim_end_matches(", ").to_owned(),
            }
        })
    }

    fn decide(&self, node: &PlanNode, key: StageKey) -> Result<Settled, PlanError> {
        let run = |key, reason| Settled::from(Decision::Run(Box::new(key), Box::new(reason)));
        if self.is_forced(node) {
            return Ok(run(key, Reason::Forced));
        }
        let mut parts = Vec::new();
        let mut inspect = |manifest: &Manifest| {
            let contents = node
                .parts
                .iter()
                .map(|part| manifest.content_digest_at(&part.path));
            parts = contents.collect();
        };
        Ok(match self.store.look_up_with(&key.fingerprint(), &mut inspect)? {
            Lookup::Hit(action) => Settled {
                decision: Decision::Reuse(action),
                parts,
            },
            Lookup::Evicted { what } => run(key, Reason::Evicted { what }),
            Lookup::Corrupt { what } => run(key, Reason::Corrupt { what }),
            Lookup::Miss => {
                let earlier = self.earlier(node);
                let reason = earlier.map_or(Reason::NeverRan, |earlier| Reason::since(&earlier, &key));
                run(key, reason)
            }
        })
    }
}

/// A decision, and what was seen of the result on the way.
struct Settled {
    decision: Decision,
    /// The contents of the node's [parts](PlanNode::parts).
    parts: Vec<Option<Digest>>,
}

impl From<Decision> for Settled {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            parts: Vec::new(),
        }
    }
}
