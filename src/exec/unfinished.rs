//! Trainings that were left unfinished under another key.
//!
//! A changed recipe is another stage key and starts anew: the checkpoint of the old one is of no use
//! to it. Whoever expected the training to go on is told so.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use serde_json::Value;

use crate::event::value_text;
use crate::plan::{Difference, differences};
use crate::spec::Vocabulary;
use crate::stages::Job;

/// The file beside a job's scratch folder that describes it.
pub(super) const JOB_FILE: &str = "job.json";

/// One line for a training that starts while an unfinished one of the same stage, with another
/// recipe, seed or data, waits for its own to be run again.
///
/// What the other one chooses by name is looked for in `vocabulary`.
pub(super) fn left_behind(job: &Job, vocabulary: &Vocabulary) -> Option<String> {
    job.kind.epochs()?;
    let own = job.scratch.parent()?;
    if has_checkpoint(own) {
        return None;
    }
    let others = fs::read_dir(own.parent()?).ok()?.filter_map(Result::ok);
    let mut left = others.map(|entry| entry.path()).filter(|path| path != own);
    left.find_map(|work| {
        let text = fs::read(work.join(JOB_FILE)).ok()?;
        let other: Job = vocabulary.reading(|| serde_json::from_slice(&text)).ok()?;
        let same = other.stage == job.stage && other.surroundings.project == job.surroundings.project;
        if !same || !has_checkpoint(&work) || is_running(&work) {
            return None;
        }
        let differing = differences(&other.kind.key_fields(), &job.kind.key_fields());
        let what = match differing.into_iter().next() {
            Some(Difference { path, old, new }) => format!("{path} was {}, is {}", shown(old), shown(new)),
            None if other.seed != job.seed => format!("the seed was {}, is {}", other.seed, job.seed),
            None => "on other data".to_owned(),
        };
        Some(format!(
            "starts anew: an unfinished training with another key is left, and goes on when it is asked for \
             again ({what})"
        ))
    })
}

fn shown(value: Option<Value>) -> String {
    value.map_or_else(|| "not there".to_owned(), |value| value_text(&value))
}

fn has_checkpoint(work: &Path) -> bool {
    let files = fs::read_dir(work.join("scratch")).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.file_name().into_string().ok())
        .any(|name| name.starts_with("checkpoint"))
}

/// Whether somebody holds the lease.
fn is_running(work: &Path) -> bool {
    match File::open(work.join("lock")).map(|lock| lock.try_lock_shared()) {
        Ok(Err(TryLockError::WouldBlock)) => true,
        // The lock ends with the file, which is closed here.
        _ => false,
    }
}
