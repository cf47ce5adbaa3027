//! One policy after the other.

use std::time::{Duration, Instant};

use super::super::losses::MOST_LOSSES;
use super::super::*;
use crate::exec::capacity::Needs;

/// A run on a machine of four cores whose clock is turned by hand.
struct Run {
    scheduler: Scheduler,
    now: Instant,
}

impl Run {
    /// A run of nodes that wait for those whose numbers are given.
    fn of(upstream: &[&[usize]], policy: Policy, keep_going: bool) -> Self {
        let capacity = Capacity {
            cpus: 4,
            memory: None,
            gpus: Vec::new(),
        };
        let mut scheduler = Scheduler::new(&capacity, 4, keep_going);
        for upstream in upstream {
            scheduler.add(upstream.iter().map(|&number| node(number)).collect(), policy);
        }
        Self {
            scheduler,
            now: Instant::now(),
        }
    }

    fn tell(&mut self, facts: &[Fact]) -> Vec<Action> {
        self.scheduler.handle(facts.iter().copied(), self.now)
    }

    /// Wants all nodes, and answers that each has to run on one core; gives what else is to be done.
    fn want_all(&mut self) -> Vec<Action> {
        let wanted: Vec<Fact> = (0..self.scheduler.len())
            .map(|number| Fact::Wanted(node(number)))
            .collect();
        self.tell_and_settle(&wanted)
    }

    /// Tells `facts`; every node that is to be settled then has to run on one core.
    fn tell_and_settle(&mut self, facts: &[Fact]) -> Vec<Action> {
        self.tell_and_answer(facts, |_| Verdict::Run(cores(1)))
    }

    fn tell_and_answer(&mut self, facts: &[Fact], answer: impl Fn(usize) -> Verdict) -> Vec<Action> {
        let mut done = Vec::new();
        let mut facts = facts.to_vec();
        loop {
            let actions = self.tell(&facts);
            let asked = actions.iter().find_map(|action| match action {
                Action::Settle(node) => Some(*node),
                _ => None,
            });
            done.extend(
                actions
                    .into_iter()
                    .filter(|action| !matches!(action, Action::Settle(_))),
            );
            match asked {
                Some(node) => facts = vec![Fact::Settled(node, answer(node.index()))],
                None => return done,
            }
        }
    }

    fn wait(&mut self, seconds: f64) -> Vec<Action> {
        self.now += Duration::from_secs_f64(seconds);
        self.tell_and_settle(&[])
    }
}

fn node(number: usize) -> NodeIndex {
    NodeIndex::new(number)
}

fn cores(cpus: usize) -> Needs {
    Needs {
        cpus,
        memory: 0,
        gpus: None,
    }
}

fn ended(number: usize, end: JobEnd) -> Fact {
    Fact::Ended(node(number), end)
}

const DONE: JobEnd = JobEnd::Done {
    changed: false,
    outdated: false,
};

fn retries(retries: u32) -> Policy {
    Policy {
        retries,
        timeout: None,
    }
}

/// The nodes that start, in order, each with its attempt.
fn starts(actions: &[Action]) -> Vec<(usize, u32)> {
    let started = actions.iter().filter_map(|action| match action {
        Action::Start { node, attempt, .. } => Some((node.index(), *attempt)),
        _ => None,
    });
    started.collect()
}

#[test]
fn each_starts_once_what_it_waits_for_is_done() {
    let mut run = Run::of(&[&[], &[0], &[0], &[1, 2]], retries(0), false);
    assert_eq!(starts(&run.want_all()), [(0, 1)]);
    assert_eq!(starts(&run.tell_and_settle(&[ended(0, DONE)])), [(1, 1), (2, 1)]);
    assert_eq!(
        run.tell_and_settle(&[ended(2, DONE)]),
        [Action::Done(node(2))],
        "another is not done yet"
    );
    assert_eq!(starts(&run.tell_and_settle(&[ended(1, DONE)])), [(3, 1)]);
    assert!(!run.scheduler.is_over());
    run.tell_and_settle(&[ended(3, DONE)]);
    assert!(run.scheduler.is_over());
    assert_eq!(run.scheduler.unfinished().count(), 0);
}

#[test]
fn what_is_known_does_not_run() {
    let mut run = Run::of(&[&[], &[0], &[1]], retries(0), false);
    let wanted = [Fact::Wanted(node(2))];
    let actions = run.tell_and_answer(&wanted, |number| match number {
        2 => Verdict::Run(cores(1)),
        _ => Verdict::Known { changed: false },
    });
    assert_eq!(actions[..2], [Action::Done(node(0)), Action::Done(node(1))]);
    assert_eq!(starts(&actions), [(2, 1)]);
    // Who asks for it later is told at once.
    assert_eq!(run.tell(&[Fact::Wanted(node(1))]), [Action::Done(node(1))]);
}

#[test]
fn the_longest_way_to_the_end_goes_first() {
    // 1 is short, but a long one waits for it.
    let mut run = Run::of(&[&[], &[], &[], &[], &[], &[1]], retries(0), false);
    assert!(run.scheduler.wants_estimates());
    run.scheduler.estimate(&[2.0, 1.0, 3.0, 0.5, 4.0, 9.0]);
    let started = starts(&run.want_all());
    assert_eq!(started, [(1, 1), (4, 1), (2, 1), (0, 1)]);
    let more = run.tell_and_settle(&[ended(4, DONE)]);
    assert_eq!(starts(&more), [(3, 1)]);
}

#[test]
fn a_failure_is_tried_again_after_pauses_that_double() {
    let mut run = Run::of(&[&[], &[0]], retries(2), false);
    run.want_all();
    for (attempt, pause) in [(1, 1.0), (2, 2.0)] {
        assert_eq!(
            run.tell_and_settle(&[ended(0, JobEnd::Failed)]),
            [Action::Failed {
                node: node(0),
                attempt,
                retrying: true,
                cause: Cause::Reported
            }]
        );
        let wakes = run.scheduler.wakes_at().unwrap();
        assert_eq!(wakes - run.now, Duration::from_secs_f64(pause));
        assert_eq!(run.wait(pause - 0.01), []);
        assert_eq!(starts(&run.wait(0.01)), [(0, attempt + 1)]);
    }
    assert_eq!(
        run.tell_and_settle(&[ended(0, JobEnd::Failed)]),
        [
            Action::Failed {
                node: node(0),
                attempt: 3,
                retrying: false,
                cause: Cause::Reported
            },
            Action::Skip {
                node: node(1),
                because: node(0)
            },
        ]
    );
    assert_eq!(run.scheduler.failed(), [node(0)]);
    assert!(run.scheduler.is_over());
    assert_eq!(pause_after(1000), Duration::from_secs(64));
}

#[test]
fn others_go_on_after_a_failure_only_where_they_are_to() {
    for keep_going in [false, true] {
        let mut run = Run::of(&[&[], &[], &[0], &[1]], retries(0), keep_going);
        run.want_all();
        let skipped = Action::Skip {
            node: node(2),
            because: node(0),
        };
        assert!(
            run.tell_and_settle(&[ended(0, JobEnd::Failed)])
                .contains(&skipped)
        );
        let more = run.tell_and_settle(&[ended(1, DONE)]);
        assert_eq!(starts(&more).len(), usize::from(keep_going));
        assert_eq!(run.scheduler.is_over(), !keep_going);
        let left: Vec<NodeIndex> = run.scheduler.unfinished().collect();
        assert_eq!(left, [node(3)]);
    }
}

#[test]
fn nothing_is_tried_again_where_nothing_may_start() {
    let mut run = Run::of(&[&[], &[]], retries(1), false);
    run.want_all();
    let mut attempts = Vec::new();
    for _ in 0..2 {
        attempts.extend(run.tell_and_settle(&[ended(0, JobEnd::Failed)]));
        run.wait(1.0);
    }
    let told = run.tell_and_settle(&[ended(1, JobEnd::Failed)]);
    assert!(
        matches!(told[..], [Action::Failed { retrying: false, .. }]),
        "{told:?}"
    );
    assert_eq!(run.scheduler.failed(), [node(0), node(1)]);
}

#[test]
fn an_interruption_stops_what_runs_and_starts_nothing() {
    let mut run = Run::of(&[&[], &[], &[0]], retries(1), true);
    run.want_all();
    assert_eq!(
        run.tell(&[Fact::Interrupted]),
        [Action::Stop(node(0)), Action::Stop(node(1))]
    );
    assert_eq!(
        run.tell(&[ended(0, JobEnd::Stopped)]),
        [Action::Interrupted(node(0))]
    );
    // One that fails meanwhile is not tried again.
    let told = run.tell(&[ended(1, JobEnd::Failed)]);
    assert!(matches!(told[..], [Action::Failed { retrying: false, .. }]));
    assert!(run.scheduler.is_over() && run.scheduler.is_interrupted());
    assert_eq!(run.scheduler.unfinished().collect::<Vec<_>>(), [node(2)]);
}

#[test]
fn what_others_stop_has_failed() {
    let mut run = Run::of(&[&[], &[0]], retries(0), false);
    run.want_all();
    let told = run.tell(&[ended(0, JobEnd::Stopped)]);
    let failed = Action::Failed {
        node: node(0),
        attempt: 1,
        retrying: false,
        cause: Cause::StoppedByOthers,
    };
    assert_eq!(told[0], failed);
    assert!(run.scheduler.is_over());
}

#[test]
fn time_runs_from_the_lease_on_and_ends_in_a_failure() {
    let policy = Policy {
        retries: 1,
        timeout: Some(Duration::from_secs(10)),
    };
    let mut run = Run::of(&[&[]], policy, false);
    run.want_all();
    assert_eq!(run.wait(60.0), [], "it waits for another process");
    run.tell(&[Fact::Leased(node(0))]);
    assert_eq!(run.wait(9.9), []);
    assert_eq!(run.wait(0.1), [Action::Stop(node(0))]);
    assert_eq!(run.wait(1.0), [], "it is asked once");
    assert_eq!(
        run.tell(&[ended(0, JobEnd::Stopped)]),
        [Action::Failed {
            node: node(0),
            attempt: 1,
            retrying: true,
            cause: Cause::TimedOut
        }]
    );
    assert_eq!(starts(&run.wait(1.0)), [(0, 2)]);
}

#[test]
fn a_pause_ends_a_node_until_it_is_wanted_again() {
    let mut run = Run::of(&[&[]], retries(0), true);
    run.want_all();
    assert_eq!(
        run.tell_and_settle(&[ended(0, JobEnd::Paused)]),
        [Action::Paused(node(0))]
    );
    assert!(run.scheduler.is_over());
    assert_eq!(starts(&run.tell_and_settle(&[Fact::Wanted(node(0))])), [(0, 1)]);
}

#[test]
fn what_pauses_goes_on_where_another_waits_for_its_result() {
    let mut run = Run::of(&[&[], &[0]], retries(0), true);
    run.want_all();
    let told = run.tell_and_settle(&[ended(0, JobEnd::Paused)]);
    assert_eq!(told[0], Action::Paused(node(0)));
    assert_eq!(starts(&told), [(0, 1)]);
    assert_eq!(starts(&run.tell_and_settle(&[ended(0, DONE)])), [(1, 1)]);
}

/// A chain of two of which the first is known, whose second node then finds it lost.
fn with_a_loss() -> (Run, Vec<Action>) {
    let mut run = Run::of(&[&[], &[0]], retries(0), false);
    let wanted = [Fact::Wanted(node(1))];
    let known = |number| match number {
        0 => Verdict::Known { changed: false },
        _ => Verdict::Run(cores(1)),
    };
    assert_eq!(starts(&run.tell_and_answer(&wanted, known)), [(1, 1)]);
    let lost = [ended(1, JobEnd::InputLost(node(0)))];
    let actions = run.tell_and_settle(&lost);
    (run, actions)
}

#[test]
fn a_lost_result_is_made_again_first() {
    let (mut run, actions) = with_a_loss();
    let lost = Action::AwaitRemake {
        node: node(1),
        upstream: node(0),
        attempt: 1,
    };
    assert_eq!(actions[..2], [lost, Action::Reopen(node(0))]);
    assert_eq!(starts(&actions), [(0, 1)]);
    assert_eq!(starts(&run.tell_and_settle(&[ended(0, DONE)])), [(1, 1)]);
}

#[test]
fn what_is_lost_again_and_again_is_given_up() {
    let (mut run, _) = with_a_loss();
    for _ in 1..MOST_LOSSES {
        run.tell_and_settle(&[ended(0, DONE)]);
        let again = run.tell_and_settle(&[ended(1, JobEnd::InputLost(node(0)))]);
        assert_eq!(starts(&again), [(0, 1)]);
    }
    run.tell_and_settle(&[ended(0, DONE)]);
    let told = run.tell_and_settle(&[ended(1, JobEnd::InputLost(node(0)))]);
    assert!(matches!(told[..], [Action::Failed { retrying: false, .. }]));
    assert_eq!(run.scheduler.failed(), [node(1)]);
}

#[test]
fn what_needs_a_lost_result_that_cannot_be_made_again_is_skipped() {
    let (mut run, _) = with_a_loss();
    let told = run.tell_and_settle(&[ended(0, JobEnd::Failed)]);
    let skipped = Action::Skip {
        node: node(1),
        because: node(0),
    };
    assert_eq!(told[1], skipped);
    assert_eq!(run.scheduler.unfinished().count(), 0);
}

#[test]
fn a_result_that_comes_out_otherwise_is_decided_upon_again() {
    // 1 is done, 2 runs and 3 is queued behind it when 4 finds 0 lost.
    let mut run = Run::of(&[&[], &[0], &[0], &[0], &[0]], retries(0), true);
    let wide = |number| match number {
        0 => Verdict::Known { changed: false },
        3 => Verdict::Run(cores(4)),
        _ => Verdict::Run(cores(1)),
    };
    let wanted: Vec<Fact> = (0..5).map(|number| Fact::Wanted(node(number))).collect();
    let started = starts(&run.tell_and_answer(&wanted, wide));
    assert_eq!(started, [(1, 1), (2, 1), (4, 1)]);
    run.tell_and_answer(&[ended(1, DONE)], wide);
    let told = run.tell_and_settle(&[ended(4, JobEnd::InputLost(node(0)))]);
    assert_eq!(starts(&told), [(0, 1)], "3 waits again");
    let remade = JobEnd::Done {
        changed: true,
        outdated: false,
    };
    let told = run.tell_and_settle(&[ended(0, remade)]);
    assert!(told.contains(&Action::Reopen(node(1))));
    assert!(told.contains(&Action::Reconsider(node(3))));
    assert!(!told.contains(&Action::Reconsider(node(2))), "it runs");
    assert_eq!(starts(&told), [(1, 1), (3, 1), (4, 1)]);
    // What ran meanwhile took in what was lost.
    let outdated = JobEnd::Done {
        changed: false,
        outdated: true,
    };
    let told = run.tell_and_settle(&[ended(2, outdated)]);
    assert_eq!(told[0], Action::Reopen(node(2)));
    assert_eq!(starts(&told), [(2, 1)]);
}

#[test]
fn a_node_that_cannot_be_settled_fails() {
    let mut run = Run::of(&[&[], &[0]], retries(0), true);
    let wanted = [Fact::Wanted(node(1))];
    let told = run.tell_and_answer(&wanted, |_| Verdict::Failed);
    assert!(matches!(
        told[..],
        [
            Action::Failed {
                cause: Cause::Reported,
                ..
            },
            Action::Skip { .. }
        ]
    ));
}
