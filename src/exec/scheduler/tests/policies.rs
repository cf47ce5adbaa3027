//! One policy after the other.

use std::time::Duration;

use super::super::*;
use super::run::{DONE, Run, cores, ended, node, retries, starts};

#[test]
fn each_starts_once_what_it_waits_for_is_done() {
    let mut run = Run::of(&[&[], &[0], &[0], &[1, 2]], retries(0), false);
    assert_eq!(starts(&run.want_all()), [(0, 1)]);
    assert_eq!(starts(&run.tell_and_settle(&[ended(0, DONE)])), [(1, 1), (2, 1)]);
    assert_eq!(
        run.tell_and_settle(&[ended(2, DONE)]),
        [SchedulerAction::Done(node(2))],
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
    assert_eq!(
        actions[..2],
        [SchedulerAction::Done(node(0)), SchedulerAction::Done(node(1))]
    );
    assert_eq!(starts(&actions), [(2, 1)]);
    // Who asks for it later is told at once.
    assert_eq!(
        run.tell(&[Fact::Wanted(node(1))]),
        [SchedulerAction::Done(node(1))]
    );
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
            [SchedulerAction::Failed {
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
            SchedulerAction::Failed {
                node: node(0),
                attempt: 3,
                retrying: false,
                cause: Cause::Reported
            },
            SchedulerAction::Skip {
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
        let skipped = SchedulerAction::Skip {
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
        matches!(told[..], [SchedulerAction::Failed { retrying: false, .. }]),
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
        [SchedulerAction::Stop(node(0)), SchedulerAction::Stop(node(1))]
    );
    assert_eq!(
        run.tell(&[ended(0, JobEnd::Stopped)]),
        [SchedulerAction::Interrupted(node(0))]
    );
    // One that fails meanwhile is not tried again.
    let told = run.tell(&[ended(1, JobEnd::Failed)]);
    assert!(matches!(
        told[..],
        [SchedulerAction::Failed { retrying: false, .. }]
    ));
    assert!(run.scheduler.is_over() && run.scheduler.is_interrupted());
    assert_eq!(run.scheduler.unfinished().collect::<Vec<_>>(), [node(2)]);
}

#[test]
fn what_others_stop_has_failed() {
    let mut run = Run::of(&[&[], &[0]], retries(0), false);
    run.want_all();
    let told = run.tell(&[ended(0, JobEnd::Stopped)]);
    let failed = SchedulerAction::Failed {
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
    let policy = TryPolicy {
        retries: 1,
        timeout: Some(Duration::from_secs(10)),
    };
    let mut run = Run::of(&[&[]], policy, false);
    run.want_all();
    assert_eq!(run.wait(60.0), [], "it waits for another process");
    run.tell(&[Fact::Leased(node(0))]);
    assert_eq!(run.wait(9.9), []);
    assert_eq!(run.wait(0.1), [SchedulerAction::Stop(node(0))]);
    assert_eq!(run.wait(1.0), [], "it is asked once");
    assert_eq!(
        run.tell(&[ended(0, JobEnd::Stopped)]),
        [SchedulerAction::Failed {
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
        [SchedulerAction::Paused(node(0))]
    );
    assert!(run.scheduler.is_over());
    assert_eq!(starts(&run.tell_and_settle(&[Fact::Wanted(node(0))])), [(0, 1)]);
}

#[test]
fn what_pauses_goes_on_where_another_waits_for_its_result() {
    let mut run = Run::of(&[&[], &[0]], retries(0), true);
    run.want_all();
    let told = run.tell_and_settle(&[ended(0, JobEnd::Paused)]);
    assert_eq!(told[0], SchedulerAction::Paused(node(0)));
    assert_eq!(starts(&told), [(0, 1)]);
    assert_eq!(starts(&run.tell_and_settle(&[ended(0, DONE)])), [(1, 1)]);
}

#[test]
fn a_node_that_cannot_be_settled_fails() {
    let mut run = Run::of(&[&[], &[0]], retries(0), true);
    let wanted = [Fact::Wanted(node(1))];
    let told = run.tell_and_answer(&wanted, |_| Verdict::Failed);
    assert!(matches!(
        told[..],
        [
            SchedulerAction::Failed {
                cause: Cause::Reported,
                ..
            },
            SchedulerAction::Skip { .. }
        ]
    ));
}
