//! What holds whatever happens.

use proptest::prelude::*;

use super::super::*;
use super::scenario::{Fate, Scenario, ScriptedEnd, scenario};
use super::world::World;

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
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

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
                !unfinished.contains(&number) || world.fates.get(&number) != Some(&Fate::Done),
                "{} is done, and unfinished", number
            );
        }
        if complete {
            prop_assert_eq!(unfinished, Vec::<usize>::new());
        }
        for (&number, fate) in &world.fates {
            if let Fate::Skipped { because } = *fate {
                prop_assert!(world.needs(number, because));
            }
        }
    }

    /// Where only failures can happen: what is done rests on what is done, what is skipped on a failure, and
    /// nothing runs more often than it says.
    #[test]
    fn failures_take_only_what_needs_them(scenario in scenario().prop_map(calm)) {
        let policies: Vec<TryPolicy> = scenario.nodes.iter().map(|node| node.policy).collect();
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
