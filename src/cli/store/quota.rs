//! The quota of a store, from `erlen.yaml`: what nobody needs goes, least recently used first.

use std::time::Duration;

use super::gc::{pipelines_of, wish};
use crate::cli::Fail;
use crate::event::Level;
use crate::progress::text::{bytes, counted};
use crate::spec::{ByteSize, Project, Span};
use crate::store::Store;

/// Brings the store under the project's quota, if there is one and it is over it; gives what to say about
/// it. What running processes rely on stays, this one's own results among them.
pub(in crate::cli) fn keep_to_quota(project: &Project, store: &Store) -> Option<(Level, String)> {
    let quota = project.quota?;
    match evict(project, store, quota) {
        Ok(message) => message,
        Err(problem) => Some((
            Level::Warning,
            format!("the store is not kept under its quota of {quota}: {problem}"),
        )),
    }
}

fn evict(project: &Project, store: &Store, quota: ByteSize) -> Result<Option<(Level, String)>, Fail> {
    if store.bytes()? <= quota.0 {
        return Ok(None);
    }
    let wish = wish(
        project,
        &pipelines_of(project)?,
        Span(Duration::ZERO),
        Some(quota),
    )?;
    let collection = store.collect(&wish, true)?;
    let (count, kept) = (collection.results.len(), collection.kept.bytes);
    let removed = format!(
        "removed {} ({}) that no pipeline needs",
        counted(count, "result"),
        bytes((collection.objects.bytes + collection.quarantine.bytes) as f64)
    );
    if kept > quota.0 {
        let message = format!(
            "the store holds {}, over its quota of {quota}, and all of it is needed by pipelines, tables or runs in \
             progress{}",
            bytes(kept as f64),
            if count > 0 {
                format!("; {removed}")
            } else {
                String::new()
            }
        );
        return Ok(Some((Level::Warning, message)));
    }
    Ok(Some((
        Level::Info,
        format!("{removed}, to keep the store under {quota}"),
    )))
}
