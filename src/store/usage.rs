//! What a store holds, and how much of the disk that takes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde::Serialize;
use walkdir::WalkDir;

use super::error::reading;
use super::verify::{files_below, full_name};
use super::{Action, Store, StoreError};
use crate::fingerprint::Digest;

/// So many things of so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their size together.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What [`Store::usage`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// All objects: files of artifacts and manifests.
    pub objects: Amount,
    /// The results, by group; an object that several groups have counts in each.
    pub results: BTreeMap<String, Amount>,
    /// Objects that no result has.
    pub unused: Amount,
    /// Folders of stages that run, or were interrupted and can go on.
    pub work: Amount,
    /// What was found damaged.
    pub quarantine: Amount,
    /// The history of runs and the memory of input files.
    pub database: u64,
}

impl Usage {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.objects.bytes + self.work.bytes + self.quarantine.bytes + self.database
    }
}

impl Store {
    /// What the store holds; `group` names the group of a result.
    ///
    /// # Errors
    /// A folder of the store cannot be listed.
    pub fn usage(&self, group: impl Fn(&Action) -> String) -> Result<Usage, StoreError> {
        let mut usage = Usage::default();
        let mut sizes: HashMap<Digest, u64> = HashMap::new();
        for (digest, bytes) in self.objects()? {
            usage.objects.add(bytes);
            sizes.insert(digest, bytes);
        }
        let mut used: HashSet<Digest> = HashSet::new();
        let mut groups: BTreeMap<String, HashSet<Digest>> = BTreeMap::new();
        for action in self.actions()? {
            let group = group(&action);
            usage.results.entry(group.clone()).or_default().count += 1;
            let objects = groups.entry(group).or_default();
            for digest in self.objects_of(&action.artifact)? {
                used.insert(digest);
                objects.insert(digest);
            }
        }
        for (group, objects) in groups {
            let bytes = objects.iter().filter_map(|digest| sizes.get(digest)).sum();
            usage.results.entry(group).or_default().bytes = bytes;
        }
        for (digest, bytes) in &sizes {
            if !used.contains(digest) {
                usage.unused.add(*bytes);
            }
        }
        usage.work = folders(&self.root().join("work"))?;
        usage.quarantine = folders(&self.root().join("quarantine"))?;
        usage.database = database_bytes(self.root());
        Ok(usage)
    }

    /// The size of all objects together: what a quota counts.
    ///
    /// # Errors
    /// The folder of objects cannot be listed.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.objects()?.iter().map(|(_, bytes)| bytes).sum())
    }

    /// The digest and the size of every object.
    pub(super) fn objects(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let mut objects = Vec::new();
        for path in files_below(&self.root().join("objects"))? {
            let Ok(digest) = full_name(&path).parse::<Digest>() else {
                continue;
            };
            // One that goes meanwhile takes no room.
            if let Ok(metadata) = fs::symlink_metadata(&path) {
                objects.push((digest, metadata.len()));
            }
        }
        Ok(objects)
    }

    /// The manifest and the files of an artifact; the manifest alone where it is missing or damaged, as
    /// then nothing can be made of the files.
    pub(super) fn objects_of(&self, artifact: &Digest) -> Result<HashSet<Digest>, StoreError> {
        let entries = match self.manifest(artifact) {
            Ok(manifest) => manifest.entries,
            Err(error) if error.is_loss() => Vec::new(),
            // Not to know which files a result has must not read as its having none.
            Err(error) => return Err(error),
        };
        let files = entries.into_iter().map(|entry| entry.digest);
        Ok(files.chain([*artifact]).collect())
    }
}

/// What lies in `folder`, and the size of all that is below it.
fn folders(folder: &Path) -> Result<Amount, StoreError> {
    let mut amount = Amount::default();
    let items = match fs::read_dir(folder) {
        Ok(items) => items,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(amount),
        Err(error) => return Err(reading("list", folder)(error)),
    };
    for item in items {
        let path = item.map_err(reading("list", folder))?.path();
        // What others remove meanwhile is not there.
        let files = WalkDir::new(&path).into_iter().filter_map(Result::ok);
        let sizes = files.filter_map(|file| file.metadata().ok().filter(fs::Metadata::is_file));
        amount.add(sizes.map(|metadata| metadata.len()).sum());
    }
    Ok(amount)
}

fn database_bytes(root: &Path) -> u64 {
    ["erlen.db", "erlen.db-wal", "erlen.db-shm"]
        .iter()
        .filter_map(|name| fs::metadata(root.join(name)).ok())
        .map(|metadata| metadata.len())
        .sum()
}
