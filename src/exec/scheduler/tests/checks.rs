//! Starts jobs in the made-up world, and looks whether that is allowed, and whether all start that can.

use std::time::Duration;

use super::super::queue::MOST_PASSES;
use super::super::*;
use super::scenario::{Scenario, ScriptedEnd};
use super::world::{Job, World};
use crate::exec::capacity::Needs;

impl World {
    /// What is free, as this side counts it.
    fn free(&self) -> (usize, usize, u64, usize) {
        let Scenario {
            capacity,
            jobs,
            nodes,
            ..
        } = &self.scenario;
        let mut free = (
            *jobs,
            capacity.cpus,
            capacity.memory.unwrap(),
            capacity.gpus.len(),
        );
        for number in self.running.keys() {
            let needs = nodes[*number].needs;
            let left = [
                free.0.checked_sub(1).map(|left| free.0 = left),
                free.1.checked_sub(needs.cpus).map(|left| free.1 = left),
                free.2.checked_sub(needs.memory).map(|left| free.2 = left),
                free.3
                    .checked_sub(needs.gpus.unwrap_or(0))
                    .map(|left| free.3 = left),
            ];
            assert!(left.iter().all(Option::is_some), "more is in use than there is");
        }
        free
    }

    pub(super) fn start(&mut self, number: usize, attempt: u32, needs: Needs, gpus: Option<&str>) {
        let node = self.scenario.nodes[number].clone();
        assert!(self.scheduler.may_start());
        assert!(!self.running.contains_key(&number), "{number} runs already");
        assert!(
            self.queued.remove(&number).is_some(),
            "{number} does not have to run"
        );
        assert!(attempt <= node.policy.retries + 1);
        assert_eq!(needs, node.needs);
        assert_eq!(gpus.is_some(), needs.gpus.is_some());
        if let (Some(gpus), Some(count)) = (gpus, needs.gpus) {
            assert_eq!(gpus.split(',').filter(|gpu| !gpu.is_empty()).count(), count);
        }
        let inputs = self.inputs(number).expect("all that it waits for is done");
        for passed in self.queued.values_mut() {
            *passed += 1;
        }
        let end = node
            .ends
            .get(self.tries[number])
            .copied()
            .unwrap_or(ScriptedEnd::Done);
        self.tries[number] += 1;
        self.starts[number] += 1;
        let end = match (end, self.upstream[number].first()) {
            (ScriptedEnd::Failed, _) => JobEnd::Failed,
            (ScriptedEnd::Paused, _) => JobEnd::Paused,
            (ScriptedEnd::StoppedByOthers, _) => JobEnd::Stopped,
            (ScriptedEnd::InputLost, Some(&other)) => JobEnd::InputLost(NodeIndex::new(other)),
            (ScriptedEnd::DoneOtherwise, _) => JobEnd::Done {
                changed: true,
                outdated: false,
            },
            _ => JobEnd::Done {
                changed: false,
                outdated: false,
            },
        };
        let until = self.now + Duration::from_secs(node.seconds);
        self.running.insert(number, Job { until, end, inputs });
        self.free();
    }

    /// Whatever has to run and fits runs, unless one that does not fit was passed over for too long.
    pub(super) fn check_that_nothing_idles(&self) {
        let free = self.free();
        let fits = |number: &usize| {
            let needs = self.scenario.nodes[*number].needs;
            free.0 >= 1 && free.1 >= needs.cpus && free.2 >= needs.memory && free.3 >= needs.gpus.unwrap_or(0)
        };
        let idle = self.queued.keys().find(|number| fits(number));
        let impatient = self.queued.values().any(|passed| *passed >= MOST_PASSES);
        // Where all cores are taken, nothing more starts.
        if let Some(idle) = idle
            && self.scheduler.may_start()
            && !impatient
        {
            panic!("{idle} could run");
        }
    }
}
