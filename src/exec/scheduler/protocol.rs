//! What the scheduler is told, and what it wants to be done.

use std::time::Duration;

use crate::exec::capacity::Needs;
use crate::plan::NodeIndex;

/// What a stage says of how it is to be run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TryPolicy {
    /// How often it is tried again.
    pub retries: u32,
    /// How long it may run.
    pub timeout: Option<Duration>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fact {
    /// The node is to be brought up to date, with all that it needs.
    Wanted(NodeIndex),
    /// What is to be done about the node, which was to be settled.
    Settled(NodeIndex, Verdict),
    /// The running node got the right to make its result: its time runs from now on.
    Leased(NodeIndex),
    /// The running node runs no longer.
    Ended(NodeIndex, JobEnd),
    /// The run is to end soon.
    Interrupted,
}

/// What is to be done about a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing: its result is known. It may be another than the one that was lost.
    Known { changed: bool },
    /// It has to run.
    Run(Needs),
    /// What it takes in is not known again yet.
    Pending,
    /// That cannot be found out.
    Failed,
    /// A result that it takes in is lost: that of this node.
    Lost(NodeIndex),
}

/// How a running node ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JobEnd {
    /// With its result.
    Done {
        /// It is another than the one that was lost.
        changed: bool,
        /// What it took in is by now another: it is to be brought up to date once more.
        outdated: bool,
    },
    /// It failed.
    Failed,
    /// It was stopped.
    Stopped,
    /// It stopped by itself before its end, since it was to go so far only.
    Paused,
    /// A result that it takes in was found lost: that of this node.
    InputLost(NodeIndex),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum SchedulerAction {
    /// Find out what is to be done about the node, and tell: [`Fact::Settled`].
    Settle(NodeIndex),
    /// Start the node, and tell how it ends: [`Fact::Ended`].
    Start {
        node: NodeIndex,
        /// 1 for the first try.
        attempt: u32,
        needs: Needs,
        /// What it finds in `CUDA_VISIBLE_DEVICES`, where that is limited.
        gpus: Option<String>,
    },
    /// Ask the running node to stop.
    Stop(NodeIndex),
    /// Take note that the node is up to date.
    Done(NodeIndex),
    /// Take note that the node failed.
    Failed {
        node: NodeIndex,
        /// 1 for the first try.
        attempt: u32,
        /// It is tried again after a pause.
        retrying: bool,
        cause: Cause,
    },
    /// Take note that the node was interrupted with the run.
    Interrupted(NodeIndex),
    /// Take note that the node went as far as it was to go for now. It starts again, to its end, if another
    /// one waits for its result.
    Paused(NodeIndex),
    /// Take note that the node is not run, since `because` has no result.
    Skip { node: NodeIndex, because: NodeIndex },
    /// Take back what was decided about the node: what it takes in, the result of `upstream`, is lost, and is
    /// made again first.
    AwaitRemake {
        node: NodeIndex,
        upstream: NodeIndex,
        /// 1 for the first try.
        attempt: u32,
    },
    /// Take back that the node is up to date, and what was decided on the ground of that about those that do
    /// not run.
    Reopen(NodeIndex),
    /// Take back what was decided about the node.
    Reconsider(NodeIndex),
}

/// Why a node failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Whoever settled or ran it told.
    Reported,
    /// It ran for longer than it may.
    TimedOut,
    /// It was stopped, and not by this run.
    StoppedByOthers,
}
