//! Made-up runs: the nodes, and what will become of each.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use super::super::*;
use crate::exec::capacity::Needs;

/// What the tries of a node come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ScriptedEnd {
    Done,
    /// Done, with another result than the last time.
    DoneOtherwise,
    Failed,
    Paused,
    StoppedByOthers,
    /// It finds the result of the first node that it waits for lost.
    InputLost,
}

/// A node, and what will become of it.
#[derive(Clone, Debug)]
pub(super) struct ScriptedNode {
    /// Each counts modulo the node's number.
    pub upstream: Vec<usize>,
    pub needs: Needs,
    pub policy: TryPolicy,
    pub seconds: u64,
    /// Whether its result is known before.
    pub known: bool,
    /// How its tries end, in turn; all further ones are done.
    pub ends: Vec<ScriptedEnd>,
    /// How often it cannot be settled.
    pub unsettled: u32,
    /// When it is asked for, in seconds; it is added to the graph before that.
    pub wanted: u64,
}

/// What happens in a run.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub nodes: Vec<ScriptedNode>,
    pub capacity: Capacity,
    pub jobs: usize,
    pub keep_going: bool,
    pub interrupted: Option<u64>,
}

/// What became of a node in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Done,
    Failed,
    Skipped { because: usize },
    Paused,
    Interrupted,
}

const CPUS: usize = 4;
const MEMORY: u64 = 10;
const GPUS: [&str; 2] = ["0", "1"];

fn needs() -> impl Strategy<Value = Needs> {
    (1..=CPUS, 0..=MEMORY, weighted(0.3, 0..=GPUS.len())).prop_map(|(cpus, memory, gpus)| Needs {
        cpus,
        memory,
        gpus,
    })
}

fn end() -> impl Strategy<Value = ScriptedEnd> {
    prop_oneof![
        3 => Just(ScriptedEnd::Done),
        3 => Just(ScriptedEnd::Failed),
        2 => Just(ScriptedEnd::InputLost),
        2 => Just(ScriptedEnd::DoneOtherwise),
        1 => Just(ScriptedEnd::Paused),
        1 => Just(ScriptedEnd::StoppedByOthers),
    ]
}

fn node() -> impl Strategy<Value = ScriptedNode> {
    let policy = (0u32..3, weighted(0.3, 1u64..8)).prop_map(|(retries, timeout)| TryPolicy {
        retries,
        timeout: timeout.map(Duration::from_secs),
    });
    let unsettled = prop_oneof![8 => Just(0u32), 1 => 1u32..4];
    let parts = (
        vec(any::<usize>(), 0..4),
        needs(),
        policy,
        0u64..10,
        any::<bool>(),
        vec(end(), 0..4),
    );
    (parts, unsettled, 0u64..30).prop_map(
        |((upstream, needs, policy, seconds, known, ends), unsettled, wanted)| ScriptedNode {
            upstream,
            needs,
            policy,
            seconds,
            known,
            ends,
            unsettled,
            wanted,
        },
    )
}

/// Any run.
pub(super) fn scenario() -> impl Strategy<Value = Scenario> {
    let interrupted = weighted(0.2, 0u64..40);
    // Without a feeder all are wanted at once.
    (
        vec(node(), 1..24),
        1usize..6,
        any::<bool>(),
        interrupted,
        any::<bool>(),
    )
        .prop_map(|(mut nodes, jobs, keep_going, interrupted, at_once)| {
            if at_once {
                nodes.iter_mut().for_each(|node| node.wanted = 0);
            }
            let gpus = GPUS.map(str::to_owned).to_vec();
            let capacity = Capacity {
                cpus: CPUS,
                memory: Some(MEMORY),
                gpus,
            };
            Scenario {
                nodes,
                capacity,
                jobs,
                keep_going,
                interrupted,
            }
        })
}
