//! Lost results are made again, or given up.

use super::super::losses::MOST_LOSSES;
use super::super::*;
use super::run::{DONE, Run, cores, ended, node, retries, starts};

/// A chain of two of which the first is known, whose second node then finds it lost.
fn with_a_loss() -> (Run, Vec<SchedulerAction>) {
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
    let lost = SchedulerAction::AwaitRemake {
        node: node(1),
        upstream: node(0),
        attempt: 1,
    };
    assert_eq!(actions[..2], [lost, SchedulerAction::Reopen(node(0))]);
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
    assert!(matches!(
        told[..],
        [SchedulerAction::Failed { retrying: false, .. }]
    ));
    assert_eq!(run.scheduler.failed(), [node(1)]);
}

#[test]
fn what_needs_a_lost_result_that_cannot_be_made_again_is_skipped() {
    let (mut run, _) = with_a_loss();
    let told = run.tell_and_settle(&[ended(0, JobEnd::Failed)]);
    let skipped = SchedulerAction::Skip {
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
    assert!(told.contains(&SchedulerAction::Reopen(node(1))));
    assert!(told.contains(&SchedulerAction::Reconsider(node(3))));
    assert!(!told.contains(&SchedulerAction::Reconsider(node(2))), "it runs");
    assert_eq!(starts(&told), [(1, 1), (3, 1), (4, 1)]);
    // What ran meanwhile took in what was lost.
    let outdated = JobEnd::Done {
        changed: false,
        outdated: true,
    };
    let told = run.tell_and_settle(&[ended(2, outdated)]);
    assert_eq!(told[0], SchedulerAction::Reopen(node(2)));
    assert_eq!(starts(&told), [(2, 1)]);
}
