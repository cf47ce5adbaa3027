//! What has to be done: a [`Pipeline`](crate::spec::Pipeline) becomes a [`Plan`].
//!
//! In go a validated pipeline, the store and what is remembered of earlier runs; out comes a graph
//! whose nodes are stages, each with its key (where that can be known already) and a decision with
//! its reason. The plan is settled further while it is executed: a stage's key depends on the
//! contents of its inputs, and some of those are known only once the stages that make them are done.

mod graph;
mod key;
mod node;
mod order;
mod reason;
mod selection;
mod settle;

pub use graph::{Plan, PlanError, PlanRequest};
pub use key::StageKey;
pub use node::{Decision, NodeInput, NodeSource, PlanNode};
pub use petgraph::graph::NodeIndex;
pub use reason::{Difference, Earlier, EarlierResults, Reason, differences};
pub use selection::Selection;
