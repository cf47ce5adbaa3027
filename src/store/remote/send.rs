//! What goes to a remote.

use std::collections::BTreeMap;

use super::connection::Connection;
use super::{RemoteStore, TransferError, action_name, lock, object_name, threads};
use crate::fingerprint::{Digest, Fingerprint};
use crate::store::action::{Action, encode};
use crate::store::object::{ObjectState, Trust};
use crate::store::{Store, StoreError};

/// Files at the same time.
const FILES_AT_ONCE: usize = 8;

/// What sending a result came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Whether it was there already.
    pub known: bool,
    /// Files that were sent.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
}

impl Store {
    /// Sends a result to the remote, unless it is there; nothing where the remote is switched off.
    ///
    /// # Errors
    /// The result is not whole here.
    pub fn send(&self, fingerprint: &Fingerprint) -> Result<Option<Sent>, StoreError> {
        let Some(remote) = self.remote() else {
            return Ok(None);
        };
        let Some(connection) = remote.connection() else {
            return Ok(None);
        };
        let sent = self.transmit(remote, connection, fingerprint);
        remote.unless_off(sent.map(Some), None)
    }

    pub(super) fn transmit(
        &self,
        remote: &RemoteStore,
        connection: &Connection,
        fingerprint: &Fingerprint,
    ) -> Result<Sent, TransferError> {
        let name = action_name(fingerprint);
        let there = connection.size(&name).map_err(TransferError::Remote)?;
        if there.is_some() && !remote.is_unsound(&name) {
            return Ok(Sent {
                known: true,
                ..Sent::default()
            });
        }
        let path = self.action_path(fingerprint);
        let Some(action) = self.read_action(&path)? else {
            let what = format!("the result {}", fingerprint.short());
            return Err(StoreError::Evicted { what }.into());
        };
        let manifest = self.manifest(&action.artifact)?;
        let files: BTreeMap<Digest, u64> = manifest
            .entries
            .iter()
            .map(|entry| (entry.digest, entry.size))
            .collect();
        let files: Vec<(Digest, u64)> = files.into_iter().collect();
        let (uploads, trouble) = threads::map(&files, FILES_AT_ONCE, |(digest, size)| {
            self.transmit_object(remote, connection, *digest, *size)
        });
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let mut sent = Sent::default();
        for bytes in uploads.into_iter().flatten() {
            sent.files += 1;
            sent.bytes += bytes;
        }
        let text = manifest.to_text();
        self.transmit_object(remote, connection, action.artifact, text.len() as u64)?;
        let text = encode(&Action {
            boot: None,
            remote: false,
            ..action
        });
        connection
            .put(&name, text.as_bytes())
            .map_err(TransferError::Remote)?;
        lock(&remote.unsound).remove(&name);
        Ok(sent)
    }

    /// Sends an object that is not there; gives the bytes that were sent.
    fn transmit_object(
        &self,
        remote: &RemoteStore,
        connection: &Connection,
        digest: Digest,
        size: u64,
    ) -> Result<Option<u64>, TransferError> {
        let name = object_name(&digest);
        let there = connection.size(&name).map_err(TransferError::Remote)?;
        if there == Some(size) && !remote.is_unsound(&name) {
            return Ok(None);
        }
        // What is damaged here must not spread.
        if self.check_object(&digest, Some(size), Trust::Times)? != ObjectState::Sound {
            let what = format!("the object {}", digest.short());
            return Err(StoreError::Evicted { what }.into());
        }
        connection.upload(&name, &self.object_path(&digest), size)?;
        lock(&remote.unsound).remove(&name);
        Ok(Some(size))
    }
}
