//! What is known of a sweep without running anything.

use std::collections::HashMap;

use super::outcome::{self, curve_of, means, objective_values};
use super::setting::{Replicates, SweepSetting};
use crate::app::error::AppError;
use crate::app::session::Session;
use crate::plan::{Decision, EarlierResults, Plan};
use crate::report::{Results, TrialStatus};
use crate::sweep::{JobOutcome, Journal, JournalEntry, Proposal, Replay, TrialJob, TrialPhase};

/// How many trials are looked for at most.
const MOST_TRIALS: usize = 20_000;

/// The study as far as the journal knows it. Nothing is written.
///
/// # Errors
/// An input is missing, the journal cannot be read, or there is no point in the space.
pub fn known_study(setting: &SweepSetting, session: &Session) -> Result<Replay, AppError> {
    let folder = setting.folder(&session.project.places(), &session.store)?;
    let (replay, _) = Replay::of(Journal::peek(&folder)?, &setting.definition())?;
    Ok(replay)
}

/// The trials that the journal knows, and those that would come next as far as that can be told
/// from results in the store. Says too whether nothing is missing. Nothing is written.
///
/// # Errors
/// As for [`known_study`], or the store fails.
pub fn known_trials(setting: &SweepSetting, session: &Session) -> Result<(Results, bool), AppError> {
    let mut replay = known_study(setting, session)?;
    let mut plan = Plan::empty(
        &setting.base.name,
        &session.project.places(),
        &session.store,
        EarlierResults::default(),
    );
    let mut nodes: HashMap<u32, Replicates> = HashMap::new();
    for trial in replay.study().trials() {
        if matches!(trial.state, TrialPhase::Done { .. })
            && let Ok(replicates) = setting.plan(&mut plan, trial.number, &trial.values)?
        {
            nodes.insert(trial.number, replicates);
        }
    }
    let under_way: Vec<TrialJob> = replay.running().map(|(job, _)| job.clone()).collect();
    for job in under_way {
        look_up(setting, session, &mut replay, &mut plan, &mut nodes, &job)?;
    }
    let finished = loop {
        // Of a space without an end in sight, so much is shown.
        if replay.study().trials().len() >= MOST_TRIALS {
            break false;
        }
        match replay.study().propose()? {
            Proposal::Run(job) => {
                replay.apply(JournalEntry::Started {
                    job: job.clone(),
                    worker: String::new(),
                });
                look_up(setting, session, &mut replay, &mut plan, &mut nodes, &job)?;
            }
            Proposal::Wait => break false,
            Proposal::Finished => break true,
        }
    };
    let file = session.file_in_project();
    let results = outcome::results(setting, file, &plan, replay.study().trials(), &nodes);
    let complete = finished
        && results
            .trials
            .iter()
            .all(|trial| trial.status != TrialStatus::Missing);
    Ok((results, complete))
}

/// Ends a job whose results are all in the store; any other one stays under way.
fn look_up(
    setting: &SweepSetting,
    session: &Session,
    replay: &mut Replay,
    plan: &mut Plan,
    nodes: &mut HashMap<u32, Replicates>,
    job: &TrialJob,
) -> Result<(), AppError> {
    let Ok(replicates) = setting.plan(plan, job.trial, &job.values)? else {
        return Ok(());
    };
    let is_known = replicates.iter().all(|stages| {
        let mut wanted = setting.targets.iter().map(|name| stages[name]);
        wanted.all(|index| matches!(plan.node(index).decision, Decision::Reuse(..)))
    });
    if is_known && let Ok(values) = objective_values(setting, plan, &replicates) {
        replay.apply(JournalEntry::Ended {
            job: job.number,
            outcome: JobOutcome::Done {
                objectives: means(&values),
                curve: curve_of(setting, plan, &session.store, &replicates),
            },
        });
    }
    nodes.insert(job.trial, replicates);
    Ok(())
}
