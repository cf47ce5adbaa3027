//! The nodes that have to run and wait for resources.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::pool::{Grant, Pool};
use crate::exec::capacity::Needs;
use crate::plan::NodeIndex;

/// How often others may start before a node that there was no room for; then nothing starts until
/// there is.
pub(super) const MOST_PASSES: u32 = 16;

/// A node that waits.
#[derive(Debug, PartialEq)]
pub(super) struct QueuedNode {
    pub node: NodeIndex,
    pub needs: Needs,
    /// Seconds from its start to the end of all that waits for it.
    seconds: f64,
    /// How often another one started in its place.
    passed: u32,
}

impl Eq for QueuedNode {}

impl Ord for QueuedNode {
    /// The longer way to the end first, then the order of the plan.
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.seconds.total_cmp(&other.seconds);
        order.then_with(|| other.node.cmp(&self.node))
    }
}

impl PartialOrd for QueuedNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What waits, the longest way to the end first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BinaryHeap<QueuedNode>,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn push(&mut self, node: NodeIndex, needs: Needs, seconds: f64) {
        self.waiting.push(QueuedNode {
            node,
            needs,
            seconds,
            passed: 0,
        });
    }

    pub fn remove(&mut self, node: NodeIndex) {
        self.waiting.retain(|waiting| waiting.node != node);
    }

    /// Takes out what can start now, with what it got of `pool`. What there is no room for is passed
    /// over, but not for ever.
    pub fn start(&mut self, pool: &mut Pool) -> Vec<(QueuedNode, Grant)> {
        let mut started = Vec::new();
        let mut held = Vec::new();
        while !pool.is_exhausted()
            && let Some(first) = self.waiting.pop()
        {
            match pool.take(first.needs) {
                Some(grant) => {
                    held.iter_mut()
                        .for_each(|waiting: &mut QueuedNode| waiting.passed += 1);
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
    use super::*;
    use crate::exec::capacity::Capacity;

    fn needs(cpus: usize) -> Needs {
        Needs {
            cpus,
            memory: 0,
            gpus: None,
        }
    }

    fn pool(cpus: usize, jobs: usize) -> Pool {
        let capacity = Capacity {
            cpus,
            memory: None,
            gpus: Vec::new(),
        };
        Pool::new(&capacity, jobs)
    }

    fn nodes(started: &[(QueuedNode, Grant)]) -> Vec<usize> {
        started.iter().map(|(waiting, _)| waiting.node.index()).collect()
    }

    #[test]
    fn the_longest_way_goes_first_and_equal_ones_keep_their_order() {
        let mut queue = Queue::default();
        for (node, seconds) in [(0, 1.0), (1, 9.0), (2, 1.0), (3, 4.0)] {
            queue.push(NodeIndex::new(node), needs(1), seconds);
        }
        assert_eq!(nodes(&queue.start(&mut pool(3, 8))), [1, 3, 0]);
        assert_eq!(nodes(&queue.start(&mut pool(3, 8))), [2]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_fits_goes_before_what_does_not_but_not_for_ever() {
        let mut queue = Queue::default();
        let mut pool = pool(2, 8);
        queue.push(NodeIndex::new(0), needs(1), 1.0);
        let mut running = queue.start(&mut pool);
        // It needs both cores and would come first.
        queue.push(NodeIndex::new(1), needs(2), 100.0);
        let mut before = 0;
        for small in 2..100 {
            queue.push(NodeIndex::new(small), needs(1), 1.0);
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
