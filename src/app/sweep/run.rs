//! Carrying a sweep out, from its first trial to its last event.

use super::driver::Driver;
use super::setting::SweepSetting;
use crate::app::error::AppError;
use crate::app::execution::Execution;
use crate::app::notice::Notice;
use crate::app::session::Session;
use crate::event::{Event, RunStatus, StageId};
use crate::exec::Completion;
use crate::plan::Plan;
use crate::report::Results;
use crate::spec::{Direction, counted};
use crate::sweep::{Journal, Study, TrialPhase};

/// What came of carrying a sweep out.
pub(in crate::app) struct Swept {
    /// What is known of its trials.
    pub results: Results,
    /// What the run came to.
    pub summary: Completion,
    /// Whether time was up before the sweep's end.
    pub late: bool,
    /// How many trials failed, now or earlier.
    pub failed: usize,
}

/// Runs the sweep to its end, or as far as it gets.
///
/// # Errors
/// An input is missing, the journal cannot be read or written, or there is no point in the space.
pub(in crate::app) fn carry_out(
    setting: &SweepSetting,
    session: &Session,
    execution: &mut Execution,
    retry_failed: bool,
) -> Result<Swept, AppError> {
    let mut plan = Plan::empty(
        &setting.base.name,
        &session.project.places(),
        &session.store,
        session.earlier(),
    );
    let shared = setting.shared();
    if !shared.is_empty() {
        plan.grow(&setting.base, &shared, &StageId::shared)
            .map_err(|error| session.placed(error))?;
    }
    let journal = Journal::open(&setting.folder(&session.project.places(), &session.store)?)?;
    let most = setting.parallel(execution.jobs());
    let mut driver = Driver::new(setting, &session.store, journal, most, retry_failed)?;
    if let Some(change) = driver.replay().change() {
        execution.notice(Notice::info(format!(
            "the sweep changed since it began: {} of its {} {} it as it is now and {} kept",
            change.kept,
            counted(change.kept + change.dropped, "trial"),
            if change.kept == 1 { "fits" } else { "fit" },
            if change.kept == 1 { "is" } else { "are" }
        )));
    }
    execution.emit(&started(setting, driver.replay().study()));
    let mut summary = execution.carry_out(&mut plan, Some(&mut driver));
    driver.complete(&mut plan)?;
    let results = driver.results(session.file_in_project(), &plan);
    let trials = driver.replay().study().trials();
    let count = |holds: fn(&TrialPhase) -> bool| trials.iter().filter(|trial| holds(&trial.state)).count();
    let done = count(|state| matches!(state, TrialPhase::Done { .. }));
    let failed = count(|state| matches!(state, TrialPhase::Failed { .. }));
    let pruned = count(|state| matches!(state, TrialPhase::Paused));
    if summary.status != RunStatus::Interrupted && !summary.is_broken() {
        // What fails in one trial stops no other.
        summary.status = if done + pruned == 0 && failed > 0 {
            RunStatus::Failed
        } else {
            RunStatus::Done
        };
    }
    let all_trials = trials.len();
    let first_error = trials.iter().find_map(|trial| match &trial.state {
        TrialPhase::Failed { error } => Some(error.clone()),
        _ => None,
    });
    let best = driver.replay().study().best();
    execution.emit(&Event::SweepFinished {
        done,
        pruned,
        failed,
        best,
    });
    if let (Some(error), false) = (first_error, summary.is_broken()) {
        let all = failed == all_trials;
        let which = match (all, failed) {
            (true, _) => "every trial failed; the first".to_owned(),
            (false, 1) => format!("1 of {all_trials} trials failed"),
            (false, _) => format!("{failed} of {all_trials} trials failed; the first"),
        };
        execution.notice(Notice::warning(format!(
            "{which}: {error}\nmend the cause, then run again with --retry-failed"
        )));
    }
    if summary.status == RunStatus::Done && done + failed == 0 && pruned > 0 {
        execution.notice(Notice::warning(
            "every trial was stopped early, so none is the best; let the pruner wait longer, or look at the \
             trials' curves",
        ));
    }
    let late = driver.is_late();
    if late {
        let wanted = match driver.replay().study().wanted() {
            Some(wanted) => format!(" of {wanted}"),
            None => String::new(),
        };
        execution.notice(Notice::warning(format!(
            "time is up after {}{wanted}; run again to go on",
            counted(done + pruned + failed, "trial")
        )));
    }
    Ok(Swept {
        results,
        summary,
        late,
        failed,
    })
}

fn started(setting: &SweepSetting, study: &Study) -> Event {
    let ended = |state: &TrialPhase| !matches!(state, TrialPhase::Waiting | TrialPhase::Running);
    Event::SweepStarted {
        pipeline: setting.base.name.clone(),
        search: setting.sweep.search.name().to_owned(),
        trials: study.wanted(),
        known: study.trials().iter().filter(|trial| ended(&trial.state)).count(),
        replicates: setting.sweep.replicates.get(),
        objectives: setting
            .sweep
            .objective
            .0
            .iter()
            .map(|objective| {
                let path: String = objective.path().clone().into();
                (path, objective.direction() == Direction::Maximize)
            })
            .collect(),
    }
}
