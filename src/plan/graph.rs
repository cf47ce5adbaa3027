//! The graph of stages and the decisions about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::key::{RecipeInput, StageKey, recipe};
use super::node::{Decision, NodeInput, NodeSource, PlanNode};
use super::order::{WantedStage, wanted};
use super::reason::{Earlier, EarlierResults};
use super::selection::Selection;
use super::settle::WORTH_SHARING;
use crate::event::StageId;
use crate::fingerprint::{Digest, Fingerprint};
use crate::parallel;
use crate::spec::{FilePlaces, Pipeline, Reference, Resources, StageSpec, UnknownRoot, suggest};
use crate::store::{Action, Store, StoreError};

/// What is asked of a plan.
#[derive(Debug, Default)]
pub struct PlanRequest {
    /// Which stages.
    pub selection: Selection,
    /// Earlier results.
    pub earlier: EarlierResults,
}

/// Why no plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A stage that is asked for does not exist.
    #[error("there is no stage `{name}`: {help}")]
    UnknownStage {
        /// The name.
        name: String,
        /// What it may have been.
        help: String,
    },
    /// What is asked for does not need the stage that it is to stop behind.
    #[error("nothing that is asked for needs the stage `{stage}`, so `--until {stage}` would change nothing")]
    UntilNotNeeded {
        /// The stage.
        stage: String,
    },
    /// A file that a stage reads is not there.
    #[error("the stage `{stage}` reads `{reference}`, which cannot be read: {source}")]
    Unreadable {
        /// The stage.
        stage: String,
        /// The file, as the stage names it.
        reference: Box<Reference>,
        /// Why.
        source: StoreError,
    },
    /// A stage reads from a root that is not defined.
    #[error("the stage `{stage}` reads `{reference}`, and {source}")]
    UnknownRoot {
        /// The stage.
        stage: String,
        /// What it reads.
        reference: Box<Reference>,
        /// What to do.
        source: UnknownRoot,
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
    /// A known result that a stage takes in is not whole any more.
    #[error("the stage `{stage}` takes what `{upstream}` made: {source}")]
    Lost {
        /// The stage.
        stage: String,
        /// The stage that made it.
        upstream: String,
        /// Its node.
        node: NodeIndex,
        /// What is missing or damaged.
        source: StoreError,
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
    places: FilePlaces,
    pub(super) graph: DiGraph<PlanNode, ()>,
    order: Vec<NodeIndex>,
    by_name: HashMap<StageId, NodeIndex>,
    /// What is to be made in which manner, and by which node.
    by_recipe: HashMap<(Digest, String), NodeIndex>,
    /// The absolute path and content of every file that stages read and no stage makes.
    inputs: HashMap<Reference, (PathBuf, Digest)>,
    pub(super) store: Store,
    pub(super) forced: BTreeSet<String>,
    earlier: EarlierResults,
}

impl Plan {
    /// Plans what `request` asks of `pipeline`, whose files lie where `places` says.
    ///
    /// # Errors
    /// A name that no stage has, a file that is not there, or a store that fails.
    pub fn new(
        pipeline: &Pipeline,
        places: &FilePlaces,
        store: &Store,
        request: PlanRequest,
    ) -> Result<Self, PlanError> {
        let (targets, forced) = request.selection.resolve(pipeline)?;
        let mut plan = Self::empty(&pipeline.name, places, store, request.earlier);
        plan.forced = forced;
        plan.grow(pipeline, &targets, &StageId::shared)?;
        Ok(plan)
    }

    /// A plan without stages, to be grown. `earlier` has results of earlier runs, by stage.
    pub fn empty(pipeline: &str, places: &FilePlaces, store: &Store, earlier: EarlierResults) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            places: places.clone(),
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
    /// decides about them. A stage that is new goes by what `name_of` makes of its name. Gives the node
    /// of every stage, by the stage's name.
    ///
    /// # Errors
    /// A project file that is not there, a reference that leads nowhere, or a store that fails.
    pub fn grow(
        &mut self,
        pipeline: &Pipeline,
        targets: &[String],
        name_of: &dyn Fn(&str) -> StageId,
    ) -> Result<HashMap<String, NodeIndex>, PlanError> {
        let store = self.store.clone();
        let _hold = store.hold();
        let wanted = wanted(pipeline, targets);
        self.read_inputs(&wanted)?;
        let seed = pipeline.seed;
        let keys = parallel::map(wanted.iter().collect(), WORTH_SHARING, |stage| {
            let key = StageKey::new(stage.stage, seed, BTreeMap::new());
            let fingerprint = key.fingerprint();
            (key, fingerprint)
        });
        let mut growth = Growth {
            nodes: Vec::with_capacity(wanted.len()),
            wanted,
            first: self.graph.node_count(),
            seed,
            name_of,
        };
        let mut new = Vec::new();
        for (number, (key, fingerprint)) in keys.into_iter().enumerate() {
            let before = self.graph.node_count();
            let index = self.add(&growth, number, &fingerprint);
            if index.index() == before {
                new.push(key);
            }
            growth.nodes.push(index);
        }
        let Growth {
            wanted, nodes, first, ..
        } = growth;
        // Stages were added after all that they wait for.
        self.order
            .extend((first..self.graph.node_count()).map(NodeIndex::new));
        self.settle_new(first, new)?;
        let names = wanted.iter().map(|stage| stage.name.to_owned());
        Ok(names.zip(nodes).collect())
    }

    /// Adds a stage whose upstream stages are among `nodes`, or finds an equal one. Of equal stages
    /// that are added together (from the growth's first node on), each name is kept. `key` is the digest of its key
    /// without inputs.
    fn add(&mut self, growth: &Growth<'_>, number: usize, key: &Fingerprint) -> NodeIndex {
        let wanted = &growth.wanted[number];
        let stage = wanted.stage;
        let mut inputs = Vec::with_capacity(wanted.inputs.len());
        let mut recipe_inputs = BTreeMap::new();
        for input in &wanted.inputs {
            let (source, recipe_input) = match &input.reference {
                Reference::Stage { stage, path } => {
                    let Some(node) = growth.upstream(wanted, stage) else {
                        continue;
                    };
                    let recipe = self.graph[node].recipe;
                    let path = path.clone();
                    (
                        NodeSource::Stage {
                            node,
                            path: path.clone(),
                        },
                        RecipeInput::Stage { recipe, path },
                    )
                }
                file => {
                    let (path, digest) = self.inputs[file].clone();
                    (NodeSource::Project { path, digest }, RecipeInput::File(digest))
                }
            };
            recipe_inputs.insert(input.role.as_str(), recipe_input);
            inputs.push(NodeInput {
                role: input.role.clone(),
                source,
            });
        }
        let mut after: Vec<Digest> = stage
            .after
            .iter()
            .filter_map(|name| Some(self.graph[growth.upstream(wanted, name)?].recipe))
            .collect();
        after.sort_unstable();
        let recipe = recipe(key, &recipe_inputs, &after);
        // Stages that are to be run in different ways stay apart; the store makes one wait for the other.
        let manner = manner(stage);
        let same = (recipe, manner);
        if let Some(&same) = self.by_recipe.get(&same) {
            if same.index() >= growth.first {
                let name = (growth.name_of)(wanted.name);
                self.graph[same].names.push(name.clone());
                self.by_name.insert(name, same);
            }
            return same;
        }
        for input in &inputs {
            if let NodeSource::Stage {
                node,
                path: Some(path),
            } = &input.source
            {
                self.graph[*node].takes(path);
            }
        }
        let name = (growth.name_of)(wanted.name);
        let index = self.graph.add_node(PlanNode {
            names: vec![name.clone()],
            stage: Arc::clone(stage),
            seed: growth.seed,
            recipe,
            inputs,
            decision: Decision::Pending(Vec::new()),
            parts: Vec::new(),
        });
        for &place in &wanted.upstream {
            self.graph.update_edge(growth.nodes[place], index, ());
        }
        self.by_recipe.insert(same, index);
        self.by_name.insert(name, index);
        index
    }

    /// Finds out the content of every file that the wanted stages read.
    fn read_inputs(&mut self, wanted: &[WantedStage<'_>]) -> Result<(), PlanError> {
        let mut readers: BTreeMap<&Reference, &str> = BTreeMap::new();
        for stage in wanted {
            for input in &stage.inputs {
                if input.reference.stage().is_none() && !self.inputs.contains_key(&input.reference) {
                    readers.entry(&input.reference).or_insert(stage.name);
                }
            }
        }
        let mut paths: Vec<PathBuf> = Vec::with_capacity(readers.len());
        for (reference, reader) in &readers {
            let path = self
                .places
                .find(reference)
                .map_err(|source| PlanError::UnknownRoot {
                    stage: (*reader).to_owned(),
                    reference: Box::new((*reference).clone()),
                    source,
                })?;
            paths.extend(path);
        }
        let together: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let digests = match self.store.input_digests(&together) {
            Ok(digests) => digests,
            // One by one, to name the stage that reads what cannot be read.
            Err(_) => {
                let one_by_one = paths.iter().zip(&readers).map(|(path, (reference, reader))| {
                    let digest = self.store.input_digest(path);
                    digest.map_err(|source| PlanError::Unreadable {
                        stage: (*reader).to_owned(),
                        reference: Box::new((*reference).clone()),
                        source,
                    })
                });
                one_by_one.collect::<Result<_, _>>()?
            }
        };
        for ((reference, path), digest) in readers.into_keys().zip(paths).zip(digests) {
            self.inputs.insert(reference.clone(), (path, digest));
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
    pub fn earlier(&self, node: &PlanNode) -> Option<Arc<Earlier>> {
        node.names.iter().find_map(|name| self.earlier.of(name.stage()))
    }

    /// Forgets what is remembered of earlier runs, with all that it was found through.
    pub fn forget_earlier(&mut self) {
        self.earlier = EarlierResults::default();
    }

    /// The nodes, each after all that it waits for.
    pub fn order(&self) -> &[NodeIndex] {
        &self.order
    }

    /// Whether every result is known already.
    pub fn is_up_to_date(&self) -> bool {
        let mut nodes = self.graph.node_weights();
        nodes.all(|node| matches!(node.decision, Decision::Reuse(_)))
    }

    /// A node.
    pub fn node(&self, index: NodeIndex) -> &PlanNode {
        &self.graph[index]
    }

    /// The node that stands for the pipeline's stage `name`, which belongs to no trial.
    pub fn find(&self, name: &str) -> Option<&PlanNode> {
        let index = self.by_name.get(&StageId::shared(name))?;
        Some(&self.graph[*index])
    }

    /// The nodes that `index` waits for.
    pub fn upstream(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.graph.neighbors_directed(index, Direction::Incoming)
    }

    /// The nodes that wait for `index`.
    pub fn downstream(&self, index: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.graph.neighbors_directed(index, Direction::Outgoing)
    }

    /// Takes back the decision about a node: it is to be [settled](Self::settle) again.
    pub fn reconsider(&mut self, index: NodeIndex) {
        self.graph[index].decision = Decision::Pending(Vec::new());
    }

    /// Takes note that a node's result is known now.
    pub fn finish(&mut self, index: NodeIndex, action: Action) {
        self.graph[index].decision = Decision::Reuse(Box::new(action));
        self.graph[index].parts.clear();
    }
}

/// Stages that are added together.
struct Growth<'a> {
    wanted: Vec<WantedStage<'a>>,
    /// The nodes of those that are added already, in their order.
    nodes: Vec<NodeIndex>,
    /// The number of the first new node.
    first: usize,
    seed: u64,
    name_of: &'a dyn Fn(&str) -> StageId,
}

impl Growth<'_> {
    /// The node of the stage `name` that `stage` waits for.
    fn upstream(&self, stage: &WantedStage<'_>, name: &str) -> Option<NodeIndex> {
        // They stand in the order of their names.
        let found = stage
            .upstream
            .binary_search_by(|place| self.wanted[*place].name.cmp(name));
        found.ok().map(|at| self.nodes[stage.upstream[at]])
    }
}

/// The error for a stage that there is not.
pub(super) fn unknown_stage(pipeline: &Pipeline, name: &str) -> PlanError {
    let names = pipeline.stages.keys().map(String::as_str);
    PlanError::UnknownStage {
        name: name.to_owned(),
        help: suggest(name, "stages", names),
    }
}

/// What of a stage changes how it is run and not what comes out, as text.
fn manner(stage: &StageSpec) -> String {
    let usual = stage.resources == Resources::default() && stage.retries == 0 && stage.timeout.is_none();
    let sources = stage.kind.sources();
    if usual && sources.is_empty() {
        return String::new();
    }
    format!("{:?}", (stage.resources, stage.retries, stage.timeout, sources))
}
