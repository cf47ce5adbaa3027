//! The graph of stages and the decisions about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::key::{RecipeInput, StageKey, recipe};
use super::node::{Decision, Input, Node, Source};
use super::reason::{Earlier, Reason};
use crate::event::of_trial;
use crate::fingerprint::Digest;
use crate::spec::{Kind, Pipeline, Reference, Stage, suggest};
use crate::store::{Action, Lookup, Store, StoreError};

/// What is asked of a plan.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The stages to bring up to date, with all that they need; none means all.
    pub targets: Vec<String>,
    /// Stages that run even if their result is known.
    pub forced: BTreeSet<String>,
    /// Earlier results, by stage.
    pub earlier: HashMap<String, Earlier>,
}

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A target or a forced stage does not exist.
    #[error("there is no stage `{name}`: {help}")]
    UnknownStage {
        /// The name.
        name: String,
        /// What it may have been.
        help: String,
    },
    /// A project file that a stage reads is not there.
    #[error("the stage `{stage}` reads {path}, which cannot be read: {source}")]
    Unreadable {
        /// The stage.
        stage: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A reference into an artifact leads nowhere.
    #[error("the stage `{stage}` takes `{reference}`, and there is no such path in it; it holds: {holds}")]
    NoSuchPath {
        /// The stage.
        stage: String,
        /// The reference.
        reference: String,
        /// The first few paths that there are.
        holds: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A graph of stages, each with a decision. An edge leads from a stage to one that waits for it.
///
/// It can grow: [`Plan::grow`] adds the stages of a further pipeline (a trial of a sweep), and what
/// is equal to a stage that is there already is that stage.
pub struct Plan {
    pipeline: String,
    project: PathBuf,
    graph: DiGraph<Node, ()>,
    order: Vec<NodeIndex>,
    by_name: HashMap<String, NodeIndex>,
    /// What is to be made in which manner, and by which node.
    by_recipe: HashMap<(Digest, String), NodeIndex>,
    /// The absolute path and content of every project file that stages read.
    inputs: HashMap<String, (PathBuf, Digest)>,
    store: Store,
    forced: BTreeSet<String>,
    earlier: HashMap<String, Earlier>,
}

impl Plan {
    /// Plans what `request` asks of `pipeline`, whose project files lie in `project`.
    ///
    /// # Errors
    /// A name that no stage has, a project file that is not there, or a store that fails.
    pub fn new(
        pipeline: &Pipeline,
        project: &Path,
        store: &Store,
        request: Request,
    ) -> Result<Self, PlanError> {
        for name in request.targets.iter().chain(&request.forced) {
            if !pipeline.stages.contains_key(name) {
                let help = suggest(name, "stages", pipeline.stages.keys().map(String::as_str));
                return Err(PlanError::UnknownStage {
                    name: name.clone(),
                    help,
                });
            }
        }
        let mut plan = Self::empty(&pipeline.name, project, store, request.earlier);
        plan.forced = request.forced;
        plan.grow(pipeline, &request.targets, &str::to_owned)?;
        Ok(plan)
    }

    /// A plan without stages, to be grown. `earlier` has results of earlier runs, by stage.
    pub fn empty(pipeline: &str, project: &Path, store: &Store, earlier: HashMap<String, Earlier>) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            project: project.to_owned(),
            graph: DiGraph::new(),
            order: Vec::new(),
            by_name: HashMap::new(),
            by_recipe: HashMap::new(),
            inputs: HashMap::new(),
            store: store.clone(),
            forced: BTreeSet::new(),
            earlier,
        }
    }

    /// Adds the stages `targets` of `pipeline` (all where none is named) and what they need, and
    /// decides about them. A stage that is new gets the name that `name_of` makes of its own. Gives
    /// the node of every stage, by the stage's own name.
    ///
    /// # Errors
    /// A project file that is not there, a reference that leads nowhere, or a store that fails.
    pub fn grow(
        &mut self,
        pipeline: &Pipeline,
        targets: &[String],
        name_of: &dyn Fn(&str) -> String,
    ) -> Result<HashMap<String, NodeIndex>, PlanError> {
        let store = self.store.clone();
        let _hold = store.hold();
        let names = wanted(pipeline, targets);
        self.read_inputs(pipeline, &names)?;
        let first = self.graph.node_count();
        let mut nodes = HashMap::with_capacity(names.len());
        for name in names {
            let index = self.add(name, pipeline, &nodes, first, name_of);
            nodes.insert(name.to_owned(), index);
        }
        // Stages were added after all that they wait for.
        let new: Vec<NodeIndex> = (first..self.graph.node_count()).map(NodeIndex::new).collect();
        self.order.extend(&new);
        for index in new {
            self.settle(index)?;
        }
        Ok(nodes)
    }

    /// Adds a stage whose upstream stages are among `nodes`, or finds an equal one. Of equal stages
    /// that are added together (from the node number `first` on), each name is kept.
    fn add(
        &mut self,
        name: &str,
        pipeline: &Pipeline,
        nodes: &HashMap<String, NodeIndex>,
        first: usize,
        name_of: &dyn Fn(&str) -> String,
    ) -> NodeIndex {
        let stage = &pipeline.stages[name];
        let mut inputs = Vec::new();
        let mut recipe_inputs = BTreeMap::new();
        for input in stage.kind.inputs() {
            let (source, recipe_input) = match input.reference {
                Reference::Stage { stage, path } => {
                    let node = nodes[&stage];
                    let recipe = self.graph[node].recipe;
                    (
                        Source::Stage {
                            node,
                            path: path.clone(),
                        },
                        RecipeInput::Stage { recipe, path },
                    )
                }
                Reference::Project(path) => {
                    let (path, digest) = self.inputs[&path].clone();
                    (Source::Project { path, digest }, RecipeInput::File(digest))
                }
            };
            recipe_inputs.insert(input.role.clone(), recipe_input);
            inputs.push(Input {
                role: input.role,
                source,
            });
        }
        let upstream: Vec<NodeIndex> = stage.upstream().iter().map(|name| nodes[name]).collect();
        let mut after: Vec<Digest> = stage
            .after
            .iter()
            .map(|name| self.graph[nodes[name]].recipe)
            .collect();
        after.sort_unstable();
        let recipe = recipe(&stage.kind, pipeline.seed, &recipe_inputs, &after);
        // Stages that are to be run in different ways stay apart; the store makes one wait for the other.
        let manner = manner(stage);
        let same = (recipe, manner);
        if let Some(&same) = self.by_recipe.get(&same) {
            if same.index() >= first {
                let name = name_of(name);
                self.graph[same].names.push(name.clone());
                self.by_name.insert(name, same);
            }
            return same;
        }
        let name = name_of(name);
        let index = self.graph.add_node(Node {
            names: vec![name.clone()],
            stage: stage.clone(),
            seed: pipeline.seed,
            recipe,
            inputs,
            decision: Decision::Pending(Vec::new()),
        });
        for node in upstream {
            self.graph.update_edge(node, index, ());
        }
        self.by_recipe.insert(same, index);
        self.by_name.insert(name, index);
        index
    }

    /// Finds out the content of every project file that the named stages read.
    fn read_inputs(&mut self, pipeline: &Pipeline, names: &[&str]) -> Result<(), PlanError> {
        let mut readers: BTreeMap<String, &str> = BTreeMap::new();
        for name in names {
            for input in pipeline.stages[*name].kind.inputs() {
                if let Reference::Project(path) = input.reference {
                    readers.entry(path).or_insert(name);
                }
            }
        }
        for (path, reader) in readers {
            if self.inputs.contains_key(&path) {
                continue;
            }
            let absolute = self.project.join(&path);
            let digest = self
                .store
                .input_digest(&absolute)
                .map_err(|source| PlanError::Unreadable {
                    stage: reader.to_owned(),
                    path: absolute.clone(),
                    source,
                })?;
            self.inputs.insert(path, (absolute, digest));
        }
        Ok(())
    }

    /// Ends with the plan right before the program does: what the system takes back all at once anyway is
    /// not taken apart piece by piece, and the store is left in order.
    pub fn leave(self) {
        let Self {
            graph,
            by_name,
            by_recipe,
            earlier,
            ..
        } = self;
        std::mem::forget((graph, by_name, by_recipe, earlier));
    }

    /// The pipeline's name.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// The nearest earlier result of a node's stage; for a trial's, that of the stage itself.
    pub fn earlier(&self, node: &Node) -> Option<&Earlier> {
        let mut names = node.names.iter().map(String::as_str);
        names.find_map(|name| self.earlier.get(of_trial(name).map_or(name, |(stage, ..)| stage)))
    }

    /// The nodes, each after all that it waits for.
    pub fn order(&self) -> &[NodeIndex] {
        &self.order
    }

    /// A node.
    pub fn node(&self, index: NodeIndex) -> &Node {
        &self.graph[index]
    }

    /// The node that stands for the stage `name`.
    pub fn find(&self, name: &str) -> Option<&Node> {
        self.by_name.get(name).map(|index| &self.graph[*index])
    }

    /// The contents of a node's inputs as far as they are known, by role, and the stages that the others
    /// wait for.
    ///
    /// # Errors
    /// A reference into an artifact that leads nowhere, or a store that fails.
    pub fn contents(&self, node: &Node) -> Result<(BTreeMap<String, Digest>, Vec<String>), PlanError> {
        let mut contents = BTreeMap::new();
        let mut waits_for = Vec::new();
        for input in &node.inputs {
            match &input.source {
                Source::Project { digest, .. } => {
                    contents.insert(input.role.clone(), *digest);
                }
                Source::Stage { node: upstream, path } => match self.graph[*upstream].decision.action() {
                    Some(action) => {
                        let content = self.content(node, *upstream, action, path.as_deref())?;
                        contents.insert(input.role.clone(), content);
                    }
                    None => waits_for.push(self.graph[*upstream].name().to_owned()),
                },
            }
        }
        waits_for.sort();
        waits_for.dedup();
        Ok((contents, waits_for))
    }

    /// The nodes that `index` waits for.
    pub fn upstream(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.graph.neighbors_directed(index, Direction::Incoming)
    }

    /// The nodes that wait for `index`.
    pub fn downstream(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.graph.neighbors_directed(index, Direction::Outgoing)
    }

    /// Takes note that a node's result is known now.
    pub fn finish(&mut self, index: NodeIndex, key: StageKey, action: Action) {
        self.graph[index].decision = Decision::Reuse(key, Box::new(action));
    }

    /// Decides about a node as far as its inputs are known.
    ///
    /// # Errors
    /// A reference into an artifact that leads nowhere, or a store that fails.
    pub fn settle(&mut self, index: NodeIndex) -> Result<(), PlanError> {
        let node = &self.graph[index];
        let (contents, waits_for) = self.contents(node)?;
        let decision = if waits_for.is_empty() {
            self.decide(node, StageKey::new(&node.stage.kind, node.seed, contents))?
        } else {
            Decision::Pending(waits_for)
        };
        self.graph[index].decision = decision;
        Ok(())
    }

    /// The digest of what an input refers to inside another node's artifact.
    fn content(
        &self,
        node: &Node,
        upstream: NodeIndex,
        action: &Action,
        path: Option<&str>,
    ) -> Result<Digest, PlanError> {
        let Some(path) = path else {
            return Ok(action.artifact);
        };
        let manifest = self.store.manifest(&action.artifact)?;
        manifest.content_digest_at(path).ok_or_else(|| {
            let mut holds = String::new();
            for entry in manifest.entries.iter().take(5) {
                let _ = write!(holds, "{}, ", entry.path);
            }
            if manifest.entries.len() > 5 {
                let _ = write!(holds, "and {} more", manifest.entries.len() - 5);
            }
            PlanError::NoSuchPath {
                stage: node.name().to_owned(),
                reference: format!("{}/{path}", self.graph[upstream].name()),
                holds: holds.trim_end_matches(", ").to_owned(),
            }
        })
    }

    fn decide(&self, node: &Node, key: StageKey) -> Result<Decision, PlanError> {
        if node.names.iter().any(|name| self.forced.contains(name)) {
            return Ok(Decision::Run(key, Reason::Forced));
        }
        Ok(match self.store.look_up(&key.fingerprint())? {
            Lookup::Hit(action) => Decision::Reuse(key, action),
            Lookup::Evicted { what } => Decision::Run(key, Reason::Evicted { what }),
            Lookup::Corrupt { what } => Decision::Run(key, Reason::Corrupt { what }),
            Lookup::Miss => {
                let earlier = self.earlier(node);
                let reason = earlier.map_or(Reason::NeverRan, |earlier| Reason::since(earlier, &key));
                Decision::Run(key, reason)
            }
        })
    }
}

/// What of a stage changes how it is run and not what comes out, as text.
fn manner(stage: &Stage) -> String {
    let places = match &stage.kind {
        Kind::Download(download) => Some((&download.url, &download.mirrors)),
        _ => None,
    };
    format!("{:?}", (stage.resources, stage.retries, stage.timeout, places))
}

/// The names of the wanted stages and of all that they need, each after what it waits for.
fn wanted<'a>(pipeline: &'a Pipeline, targets: &[String]) -> Vec<&'a str> {
    let mut graph: DiGraph<&str, ()> = DiGraph::new();
    let nodes: HashMap<&str, _> = pipeline
        .stages
        .keys()
        .map(|name| (name.as_str(), graph.add_node(name.as_str())))
        .collect();
    for (name, stage) in &pipeline.stages {
        for upstream in stage.upstream() {
            graph.update_edge(nodes[upstream.as_str()], nodes[name.as_str()], ());
        }
    }
    let mut keep: BTreeSet<&str> = BTreeSet::new();
    let mut stack: Vec<&str> = if targets.is_empty() {
        pipeline.stages.keys().map(String::as_str).collect()
    } else {
        targets.iter().map(String::as_str).collect()
    };
    while let Some(name) = stack.pop() {
        if keep.insert(name) {
            stack.extend(
                graph
                    .neighbors_directed(nodes[name], Direction::Incoming)
                    .map(|node| graph[node]),
            );
        }
    }
    // The file's order where dependencies leave a choice: depth first from each stage in turn.
    let mut order = Vec::new();
    let mut done = BTreeSet::new();
    for name in pipeline.stages.keys().filter(|name| keep.contains(name.as_str())) {
        let mut stack = vec![(name.as_str(), false)];
        while let Some((name, ready)) = stack.pop() {
            if ready {
                if done.insert(name) {
                    order.push(name);
                }
            } else if !done.contains(name) {
                stack.push((name, true));
                let mut upstream: Vec<&str> = graph
                    .neighbors_directed(nodes[name], Direction::Incoming)
                    .map(|node| graph[node])
                    .collect();
                upstream.sort_unstable();
                stack.extend(upstream.into_iter().rev().map(|name| (name, false)));
            }
        }
    }
    order
}
