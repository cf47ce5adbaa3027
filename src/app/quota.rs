//! The quota of a store, from `erlen.yaml`: what nobody needs goes, least recently used first.

use std::time::Duration;

use super::error::AppError;
use super::notice::Notice;
use super::retention::{pipelines_of, retention_rules};
use crate::progress::text::{bytes, counted};
use crate::spec::{ByteSize, Project, Span};
use crate::store::Store;

/// Brings the store under the project's quota, if there is one and it is over it; gives what to say about
/// it. What running processes rely on stays, this one's own results among them.
pub(super) fn keep_to_quota(project: &Project, store: &Store) -> Vec<Notice> {
    let Some(quota) = project.quota else {
        return Vec::new();
    };
    let mut notices = Vec::new();
    match evict(project, store, quota, &mut notices) {
        Ok(()) => {}
        Err(problem) => notices.push(Notice::warning(format!(
            "the store is not kept under its quota of {quota}: {problem}"
        ))),
    }
    notices
}

fn evict(
    project: &Project,
    store: &Store,
    quota: ByteSize,
    notices: &mut Vec<Notice>,
) -> Result<(), AppError> {
    if store.bytes()? <= quota.0 {
        return Ok(());
    }
    let rules = retention_rules(
        project,
        &pipelines_of(project)?,
        Span(Duration::ZERO),
        Some(quota),
    )?;
    notices.extend(rules.unplanned.iter().map(|unplanned| {
        let file = unplanned.file.strip_prefix(&project.root);
        Notice::warning(format!(
            "{}: {}; so all results of its past runs stay",
            file.unwrap_or(&unplanned.file).display(),
            unplanned.problem
        ))
    }));
    let collection = store.collect(&rules.retention, true)?;
    let (count, kept) = (collection.results.len(), collection.kept.bytes);
    let removed = format!(
        "removed {} ({}) that no pipeline needs",
        counted(count, "result"),
        bytes((collection.objects.bytes + collection.quarantine.bytes) as f64)
    );
    notices.push(if kept > quota.0 {
        Notice::warning(format!(
            "the store holds {}, over its quota of {quota}, and all of it is needed by pipelines, tables or runs in \
             progress{}",
            bytes(kept as f64),
            if count > 0 {
                format!("; {removed}")
            } else {
                String::new()
            }
        ))
    } else {
        Notice::info(format!("{removed}, to keep the store under {quota}"))
    });
    Ok(())
}
