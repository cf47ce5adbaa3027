//! What comes from a remote.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::Ordering;

use super::connection::Connection;
use super::{RemoteStore, TransferError, action_name, lock, object_name, temporary, threads};
use crate::fingerprint::{Digest, Fingerprint};
use crate::store::action::{Action, decode, encode};
use crate::store::error::{reading, writing, writing_bytes};
use crate::store::manifest::{Entry, Manifest};
use crate::store::object::{ObjectState, Trust, rename_making_folders, seal};
use crate::store::{Amount, Lookup, Store, StoreError};

/// Requests at the same time.
const AT_ONCE: usize = 32;

/// Files at the same time.
const FILES_AT_ONCE: usize = 8;

impl Store {
    /// As [`Store::look_up`]; what is not sound here is looked for in the remote.
    ///
    /// # Errors
    /// As there; that the remote cannot be reached is none.
    pub fn look_up_everywhere(&self, fingerprint: &Fingerprint) -> Result<Lookup, StoreError> {
        let here = self.look_up(fingerprint)?;
        if matches!(here, Lookup::Hit(_)) || self.remote().is_none() {
            return Ok(here);
        }
        self.ask(&[*fingerprint])?;
        match self.look_up(fingerprint)? {
            // Where files were lost, a promise of them is not enough.
            Lookup::Hit(action) if here != Lookup::Miss && self.complete(&action)?.is_none() => {
                self.forsake(&action)?;
                Ok(here)
            }
            Lookup::Hit(action) => Ok(Lookup::Hit(action)),
            // Damage is found once: the first look-up has put it away.
            _ => Ok(here),
        }
    }

    /// Takes note that not all files of a known result can be had: where only the remote was to have them, the
    /// result counts as evicted from here on. Nothing changes where the remote merely cannot be reached.
    ///
    /// # Errors
    /// This store cannot be read or written.
    pub fn forsake(&self, action: &Action) -> Result<(), StoreError> {
        let Some(remote) = self.remote().filter(|remote| remote.is_readable()) else {
            return Ok(());
        };
        let fingerprint = &action.fingerprint;
        // Whoever holds the lease makes it anew.
        let Some(lease) = self.try_lock(fingerprint)? else {
            return Ok(());
        };
        let path = self.action_path(fingerprint);
        let Some(now) = self.read_action(&path)? else {
            return Ok(());
        };
        if now.remote && now.artifact == action.artifact {
            lock(&remote.unsound).insert(action_name(fingerprint));
            self.write_action(&lease, Action { remote: false, ..now })?;
        }
        Ok(())
    }

    /// Looks in the remote for those of the results that are not sound here, many at a time. What is found is
    /// known here from then on.
    ///
    /// # Errors
    /// This store cannot be read or written; that the remote cannot be reached is none.
    pub fn look_ahead(&self, fingerprints: &[Fingerprint]) -> Result<(), StoreError> {
        if self.remote().is_none() {
            return Ok(());
        }
        let mut missing = Vec::new();
        for fingerprint in fingerprints {
            if !self.action_path(fingerprint).exists() {
                missing.push(*fingerprint);
            }
        }
        self.ask(&missing)
    }

    fn ask(&self, fingerprints: &[Fingerprint]) -> Result<(), StoreError> {
        let Some(remote) = self.remote().filter(|remote| remote.is_readable()) else {
            return Ok(());
        };
        let Some(connection) = remote.connection() else {
            return Ok(());
        };
        let wanted: Vec<Fingerprint> = {
            let mut asked = lock(&remote.asked);
            fingerprints
                .iter()
                .copied()
                .filter(|fingerprint| {
                    asked.insert(*fingerprint) && !remote.is_unsound(&action_name(fingerprint))
                })
                .collect()
        };
        let (answers, problem) = threads::map(&wanted, AT_ONCE, |fingerprint| {
            find(remote, connection, fingerprint).map(|found| (*fingerprint, found))
        });
        for (fingerprint, found) in answers {
            if let Some(found) = found {
                self.take_in(remote, &fingerprint, found)?;
            }
        }
        if let Some(problem) = problem {
            remote.switch_off(problem);
        }
        Ok(())
    }

    /// Keeps a result that was found in the remote, but for its files.
    fn take_in(
        &self,
        remote: &RemoteStore,
        fingerprint: &Fingerprint,
        found: RemoteResult,
    ) -> Result<(), StoreError> {
        let RemoteResult { action, manifest } = found;
        // Whoever holds the lease makes it anyway.
        let Some(lease) = self.try_lock(fingerprint)? else {
            return Ok(());
        };
        let _hold = self.hold();
        let work = self.work_path(fingerprint);
        self.put(&manifest, &work.join("manifest"))?;
        self.write_action(
            &lease,
            Action {
                boot: None,
                remote: true,
                ..action
            },
        )?;
        remote.found.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Writes an action that was not made here, under the lock of its fingerprint.
    fn write_action(&self, lease: &fs::File, action: Action) -> Result<(), StoreError> {
        let work = self.work_path(&action.fingerprint);
        let text = encode(&action);
        let (file, path) = (work.join("action"), self.action_path(&action.fingerprint));
        fs::write(&file, &text).map_err(writing_bytes("write", &file, text.len() as u64))?;
        rename_making_folders(&file, &path).map_err(writing("write", &path))?;
        let _ = self.inner.spares.keep(&work, lease);
        Ok(())
    }

    /// Brings an object here from the remote; says whether it is here then.
    pub(in crate::store) fn fetch(&self, digest: &Digest, size: Option<u64>) -> Result<bool, StoreError> {
        let Some(remote) = self.remote().filter(|remote| remote.is_readable()) else {
            return Ok(false);
        };
        let Some(connection) = remote.connection() else {
            return Ok(false);
        };
        let fetched = self.receive(remote, connection, digest, size);
        remote.unless_off(fetched, false)
    }

    /// Brings those of the files here that are missing, many at a time; what cannot be had stays missing.
    pub(in crate::store) fn fetch_all(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let Some(remote) = self.remote() else {
            return Ok(());
        };
        let is_missing = |entry: &&Entry| fs::symlink_metadata(self.object_path(&entry.digest)).is_err();
        let mut missing: Vec<&Entry> = entries.iter().filter(is_missing).collect();
        missing.sort_unstable_by_key(|entry| entry.digest);
        missing.dedup_by_key(|entry| entry.digest);
        if missing.is_empty() || !remote.is_readable() {
            return Ok(());
        }
        let Some(connection) = remote.connection() else {
            return Ok(());
        };
        let (_, trouble) = threads::map(&missing, FILES_AT_ONCE, |entry| {
            self.receive(remote, connection, &entry.digest, Some(entry.size))
        });
        remote.unless_off(trouble.map_or(Ok(()), Err), ())
    }

    /// Brings all files of a known result here; gives what came, or nothing where not all of it could be had.
    ///
    /// # Errors
    /// This store cannot be read or written.
    pub fn complete(&self, action: &Action) -> Result<Option<Amount>, StoreError> {
        let manifest = self.manifest(&action.artifact)?;
        let sizes: BTreeMap<Digest, u64> = manifest
            .entries
            .iter()
            .map(|entry| (entry.digest, entry.size))
            .collect();
        let is_missing = |digest: &Digest| fs::symlink_metadata(self.object_path(digest)).is_err();
        let mut came = Amount::default();
        for (_, size) in sizes.iter().filter(|(digest, _)| is_missing(digest)) {
            came.count += 1;
            came.bytes += size;
        }
        self.fetch_all(&manifest.entries)?;
        for (digest, size) in &sizes {
            if self.check_object(digest, Some(*size), Trust::Times)? != ObjectState::Sound {
                return Ok(None);
            }
        }
        Ok(Some(came))
    }

    /// The results that the remote holds.
    ///
    /// # Errors
    /// Why they cannot be listed, in words.
    pub fn remote_results(&self) -> Result<Vec<Fingerprint>, String> {
        let connection = self.remote().and_then(RemoteStore::connection);
        let Some(connection) = connection else {
            return Err("there is no remote that can be asked".to_owned());
        };
        let names = connection.list("actions")?;
        let fingerprint = |name: &String| {
            let digits = name
                .strip_prefix("actions/")?
                .strip_suffix(".json")?
                .replace('/', "");
            digits.parse().ok()
        };
        Ok(names.iter().filter_map(fingerprint).collect())
    }

    fn receive(
        &self,
        remote: &RemoteStore,
        connection: &Connection,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<bool, TransferError> {
        let object = self.object_path(digest);
        let folder = object.parent().unwrap_or(&object);
        fs::create_dir_all(folder).map_err(writing("make the folder", folder))?;
        let file = temporary(folder);
        let received = connection.download(&object_name(digest), &file);
        let taken = received.and_then(|there| {
            if !there {
                lock(&remote.unsound).insert(object_name(digest));
                return Ok(false);
            }
            let length = fs::metadata(&file).map_err(reading("look at", &file))?.len();
            let found = Digest::of_file(&file).map_err(reading("read", &file))?;
            if found != *digest || size.is_some_and(|size| size != length) {
                let what = format!(
                    "its object {} is damaged: its content has the digest {}",
                    digest.short(),
                    found.short()
                );
                remote.refuse(object_name(digest), what);
                return Ok(false);
            }
            seal(&file, digest).map_err(writing("seal", &file))?;
            rename_making_folders(&file, &object).map_err(writing("write", &object))?;
            Ok(true)
        });
        if !matches!(taken, Ok(true)) {
            // It may never have been made.
            let _ = fs::remove_file(&file);
        }
        taken
    }
}

/// What a remote has of a result, verified.
struct RemoteResult {
    action: Action,
    manifest: Vec<u8>,
}

fn find(
    remote: &RemoteStore,
    connection: &Connection,
    fingerprint: &Fingerprint,
) -> Result<Option<RemoteResult>, String> {
    let Some(bytes) = connection.get(&action_name(fingerprint))? else {
        return Ok(None);
    };
    let refuse = |why: String| {
        remote.refuse(
            action_name(fingerprint),
            format!("its result {} is damaged: {why}", fingerprint.short()),
        );
        Ok(None)
    };
    let action = match decode(&bytes) {
        Ok(action) if action.fingerprint == *fingerprint => action,
        Ok(action) => return refuse(format!("it is that of {}", action.fingerprint.short())),
        Err(why) => return refuse(why),
    };
    let name = object_name(&action.artifact);
    let Some(manifest) = connection.get(&name)? else {
        return refuse("its manifest is missing".to_owned());
    };
    if Digest::of_bytes(&manifest) != action.artifact {
        lock(&remote.unsound).insert(name);
        return refuse("its manifest is another".to_owned());
    }
    let text = String::from_utf8_lossy(&manifest);
    if let Err(why) = Manifest::from_text(&text) {
        return refuse(format!("its manifest is none: {why}"));
    }
    Ok(Some(RemoteResult { action, manifest }))
}
