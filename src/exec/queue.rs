//! The stages that could run and wait for resources.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::capacity::{Grant, Needs, Pool};
use crate::plan::NodeIndex;

/// How often others may start before a stage that there was no room for; then nothing starts until
/// there is.
const MOST_PASSES: u32 = 16;

/// A stage that waits.
#[derive(Debug, PartialEq)]
pub(super) struct Waiting {
    pub node: NodeIndex,
    /// Tries that failed.
    pub tries: u32,
    pub needs: Needs,
    /// Seconds from its start to the end of all that waits for it.
    pub seconds: f64,
    /// How often another one started in its place.
    passed: u32,
}

impl Eq for Waiting {}

impl Ord for Waiting {
    /// The longer way to the end first, then the order of the plan.
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.seconds.total_cmp(&other.seconds);
        order.then_with(|| other.node.cmp(&self.node))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What waits, the longest way to the end first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BinaryHeap<Waiting>,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn push(&mut self, node: NodeIndex, tries: u32, needs: Needs, seconds: f64) {
        self.waiting.push(Waiting {
            node,
            tries,
            needs,
            seconds,
            passed: 0,
        });
    }

    /// Takes out what can start now, with what it got of `pool`. What there is no room for is passed
    /// over, but not for ever.
    pub fn start(&mut self, pool: &mut Pool) -> Vec<(Waiting, Grant)> {
        let mut started = Vec::new();
        let mut held = Vec::new();
        while !pool.is_exhausted()
            && let Some(first) = self.waiting.pop()
        {
            match pool.take(first.needs) {
                Some(grant) => {
                    held.iter_mut()
                        .for_each(|waiting: &mut Waiting| waiting.passed += 1);
                    started.push((first, grant));
                }
                None => {
                    let patient = first.passed < MOST_PASSES;
                    held.push(first);
                    if !patient {
                        break;
                    }
                }
            }
        }
        self.waiting.extend(held);
        started
    }
}

#[cfg(test)]
mod tests {
    use super::super::capacity::Capacity;
    use super::*;

    fn needs(cpus: usize) -> Needs {
        Needs {
            cpus,
            memory: 0,
            gpus: None,
        }
    }

    fn pool(cpus: usize, jobs: usize) -> Pool {
        let machine = Capacity {
            cpus,
            memory: None,
            gpus: Vec::new(),
        };
        Pool::new(&machine, jobs)
    }

    fn nodes(started: &[(Waiting, Grant)]) -> Vec<usize> {
        started.iter().map(|(waiting, _)| waiting.node.index()).collect()
    }

    #[test]
    fn the_longest_way_goes_first_and_equal_ones_keep_their_order() {
        let mut queue = Queue::default();
        for (node, seconds) in [(0, 1.0), (1, 9.0), (2, 1.0), (3, 4.0)] {
            queue.push(NodeIndex::new(node), 0, needs(1), seconds);
        }
        assert_eq!(nodes(&queue.start(&mut pool(3, 8))), [1, 3, 0]);
        assert_eq!(nodes(&queue.start(&mut pool(3, 8))), [2]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_fits_goes_before_what_does_not_but_not_for_ever() {
        let mut queue = Queue::default();
        let mut pool = pool(2, 8);
        queue.push(NodeIndex::new(0), 0, needs(1), 1.0);
        let mut running = queue.start(&mut pool);
        // It needs both cores and would come first.
        queue.push(NodeIndex::new(1), 0, needs(2), 100.0);
        let mut before = 0;
        for small in 2..100 {
            queue.push(NodeIndex::new(small), 0, needs(1), 1.0);
            let started = queue.start(&mut pool);
            if nodes(&started) == [1] {
                break;
            }
            before += started.len();
            running.extend(started);
            if running.len() > 1 || before >= MOST_PASSES as usize {
                pool.give(running.remove(0).1);
            }
        }
        assert_eq!(before, MOST_PASSES as usize);
    }
}
