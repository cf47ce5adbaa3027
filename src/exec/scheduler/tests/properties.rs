//! What holds whatever happens.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use super::super::*;
use super::world::{Fate, Scenario, ScriptedEnd, ScriptedNode, World};
use crate::exec::capacity::Needs;

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
    let policy = (0u32..3, weighted(0.3, 1u64..8)).prop_map(|(retries, timeout)| Policy {
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

fn scenario() -> impl Strategy<Value = Scenario> {
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

/// Without anything that has a node run again.
fn calm(mut scenario: Scenario) -> Scenario {
    for node in &mut scenario.nodes {
        node.ends
            .retain(|end| matches!(end, ScriptedEnd::Done | ScriptedEnd::Failed));
        node.unsettled = 0;
        node.wanted = 0;
    }
    scenario.interrupted = None;
    scenario
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Never more in use than there is; nothing that could run idles; nothing starts before its time; it ends
    /// (all of these the world looks at); and then every node that was wanted has ended.
    #[test]
    fn every_node_ends(scenario in scenario()) {
        let complete = scenario.keep_going && scenario.interrupted.is_none();
        let count = scenario.nodes.len();
        let mut world = World::new(scenario);
        world.run();
        let unfinished: Vec<usize> = world.scheduler.unfinished().map(NodeIndex::index).collect();
        for number in 0..count.min(world.scheduler.len()) {
            prop_assert!(
                !complete || world.fates.contains_key(&number),
                "{} has no end", number
            );
            prop_assert!(
                !unfinished.contains(&number) || !matches!(world.fates.get(&number), Some(Fate::Done | Fate::Failed)),
                "{} has an end, and is unfinished", number
            );
        }
        if complete {
            prop_assert_eq!(unfinished, Vec::<usize>::new());
        }
        for (&number, fate) in &world.fates {
            if let Fate::Skipped { because } = *fate {
                prop_assert!(world.needs(number, because));
                prop_assert_ne!(world.fates[&because], Fate::Done);
            }
        }
    }

    /// Where only failures can happen: what is done rests on what is done, what is skipped on a failure, and
    /// nothing runs more often than it says.
    #[test]
    fn failures_take_only_what_needs_them(scenario in scenario().prop_map(calm)) {
        let policies: Vec<Policy> = scenario.nodes.iter().map(|node| node.policy).collect();
        let keep_going = scenario.keep_going;
        let mut world = World::new(scenario);
        world.run();
        for (number, policy) in policies.iter().enumerate() {
            prop_assert!(world.starts[number] <= policy.retries + 1);
            let failed_before = (0..number).any(|other| world.needs(number, other) && world.fates.get(&other) == Some(&Fate::Failed));
            match world.fates.get(&number) {
                Some(Fate::Done) => prop_assert!(!failed_before),
                Some(Fate::Skipped { because }) => prop_assert_eq!(world.fates[because], Fate::Failed),
                Some(Fate::Failed) => prop_assert!(!failed_before),
                None => prop_assert!(!keep_going),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
