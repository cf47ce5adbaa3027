//! Removing what nobody needs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::error::{reading, writing};
use super::in_use::{Relied, lock_out_all, relied};
use super::{Action, Amount, Store, StoreError, tree};
use crate::fingerprint::{Digest, Fingerprint};

/// What may go.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Results that stay.
    pub needed: HashSet<Fingerprint>,
    /// When results were last used, in milliseconds since 1970, as far as that is known; else the time
    /// when they were made counts.
    pub last_used: HashMap<Fingerprint, i64>,
    /// Results that were used since then stay.
    pub since: Option<i64>,
    /// No more than is needed to come under so many bytes goes, the least recently used first.
    pub quota: Option<u64>,
}

/// A result that goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Removed {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The stage that it was made for.
    pub stage: Option<String>,
    /// When it was last used, in milliseconds since 1970.
    pub last_used: i64,
    /// The size of its files; what others share stays with them.
    pub bytes: u64,
}

/// What [`Store::collect`] removes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Collection {
    /// Results that go, the least recently used first.
    pub results: Vec<Removed>,
    /// Objects that go, with them or because no result has them.
    pub objects: Amount,
    /// Damaged files that go.
    pub quarantine: Amount,
    /// What stays.
    pub kept: Amount,
    /// How many processes use the store; what they rely on stays.
    pub processes: usize,
}

impl Store {
    /// Finds what `retention` lets go, and if `remove` is set removes it: results, objects that no result
    /// has any more, and what lies in quarantine. Other processes may work in the store meanwhile:
    /// those that look up or commit wait until it is done.
    ///
    /// # Errors
    /// The store cannot be read, or something cannot be removed.
    pub fn collect(&self, retention: &Retention, remove: bool) -> Result<Collection, StoreError> {
        let lock = self.root().join("gc.lock");
        let _alone = remove
            .then(|| lock_out_all(self.root()))
            .transpose()
            .map_err(writing("lock", &lock))?;
        let in_use = self.root().join("in-use");
        let relied = relied(self).map_err(reading("read", &in_use))?;
        let sizes: HashMap<Digest, u64> = self.objects()?.into_iter().collect();
        let mut candidates = Vec::new();
        let mut users: HashMap<Digest, usize> = HashMap::new();
        let mut kept = 0;
        for action in self.actions()? {
            let objects = self.objects_of(&action.artifact)?;
            for object in &objects {
                *users.entry(*object).or_default() += 1;
            }
            let made = self.made(&action);
            let used = retention
                .last_used
                .get(&action.fingerprint)
                .copied()
                .unwrap_or(0)
                .max(made);
            if stays(&action.fingerprint, used, retention, &relied) {
                kept += 1;
            } else {
                candidates.push((used, action, objects));
            }
        }
        candidates.sort_by_key(|(used, action, _)| (*used, action.fingerprint));
        let mut total: u64 = sizes.values().sum();
        let mut collection = Collection {
            processes: relied.processes,
            ..Collection::default()
        };
        let size = |object: &Digest| sizes.get(object).copied().unwrap_or(0);
        // Objects without a user go in any case, so they do not count against the quota.
        total -= sizes
            .iter()
            .filter(|(object, _)| !users.contains_key(*object))
            .map(|(_, bytes)| bytes)
            .sum::<u64>();
        for (used, action, objects) in candidates {
            if retention.quota.is_some_and(|quota| total <= quota) {
                kept += 1;
                continue;
            }
            for object in &objects {
                let users = users.entry(*object).or_default();
                *users -= 1;
                if *users == 0 {
                    total -= size(object);
                }
            }
            if remove {
                let path = self.action_path(&action.fingerprint);
                fs::remove_file(&path).map_err(writing("remove", &path))?;
            }
            collection.results.push(Removed {
                fingerprint: action.fingerprint,
                stage: action
                    .made
                    .value()
                    .get("stage")
                    .and_then(|stage| stage.as_str())
                    .map(str::to_owned),
                last_used: used,
                bytes: action.bytes,
            });
        }
        for object in sizes
            .keys()
            .filter(|object| users.get(*object).is_none_or(|users| *users == 0))
        {
            if remove {
                let path = self.object_path(object);
                tree::remove(&path).map_err(writing("remove", &path))?;
            }
            collection.objects.count += 1;
            collection.objects.bytes += size(object);
        }
        collection.kept = Amount {
            count: kept,
            bytes: total,
        };
        collection.quarantine = self.empty_quarantine(remove)?;
        Ok(collection)
    }

    /// When a result was made, in milliseconds since 1970.
    fn made(&self, action: &Action) -> i64 {
        let metadata = fs::metadata(self.action_path(&action.fingerprint));
        metadata
            .and_then(|metadata| metadata.modified())
            .map_or(i64::MAX, milliseconds)
    }

    fn empty_quarantine(&self, remove: bool) -> Result<Amount, StoreError> {
        let folder = self.root().join("quarantine");
        let mut amount = Amount::default();
        for item in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = item.path();
            amount.count += 1;
            amount.bytes += item.metadata().map_or(0, |metadata| metadata.len());
            if remove {
                tree::remove(&path).map_err(writing("remove", &path))?;
            }
        }
        Ok(amount)
    }
}

fn stays(fingerprint: &Fingerprint, used: i64, retention: &Retention, relied: &Relied) -> bool {
    retention.needed.contains(fingerprint)
        || relied.results.contains(fingerprint)
        || retention.since.is_some_and(|since| used >= since)
}

fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
