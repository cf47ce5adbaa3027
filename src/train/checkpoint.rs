//! Checkpoints: everything that the rest of a training depends on, in one file.
//!
//! A checkpoint is a safetensors file whose tensors are the model's, the optimizer's and the best
//! epoch's, and whose metadata holds [`TrainingState`] and the loss scale as JSON, and a digest of
//! all that. It is written to a temporary name, flushed and renamed, and those before it are kept,
//! so that an interruption at any moment leaves a whole one. A file that is torn, or belongs to
//! something else, is reported and passed over.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::loss_scale::LossScale;
use super::optimizer::OptimizerState;
use super::progress::TrainingState;
use super::tensor_file::{HostTensor, NamedTensors, decode, encode, write_atomically};
use crate::fingerprint::Digest;

/// The file with the latest checkpoint; after a training, with its last one.
pub const LAST_CHECKPOINT: &str = "checkpoint.safetensors";

const HEADER: &str = "erlen.checkpoint";
const DIGEST: &str = "erlen.digest";

/// Everything that the rest of a training depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What is trained: only a training of the same identity may continue from it.
    pub identity: String,
    /// Where it stands.
    pub progress: TrainingState,
    /// In f16, the loss scale.
    pub loss_scale: Option<LossScale>,
    /// The model's parameters and running statistics.
    pub model: NamedTensors,
    /// The optimizer's state.
    pub optimizer: OptimizerState,
    /// With `ema`, the averaged weights.
    pub ema: Option<NamedTensors>,
    /// With `select: best`, the model as it was after the best epoch so far.
    pub best: Option<NamedTensors>,
}

/// The part of a checkpoint that is no tensor.
#[derive(Serialize, Deserialize)]
struct CheckpointHeader {
    identity: String,
    progress: TrainingState,
    loss_scale: Option<LossScale>,
    optimizer_steps: BTreeMap<String, u64>,
    has_ema: bool,
    has_best: bool,
}

impl Checkpoint {
    /// Writes it into `folder`, where the `keep` latest ones stay.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path, keep: u32) -> Result<(), TrainError> {
        let latest = folder.join(file_name(0));
        let bytes = self.encode().map_err(|problem| TrainError::BadFile {
            path: latest.clone(),
            problem,
        })?;
        let failed = |source| TrainError::Write {
            path: latest.clone(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        // Each grows older by one place, the oldest first, so that none is ever missing.
        for (age, path) in Self::files(folder).into_iter().rev() {
            let moved = match age.checked_add(1) {
                Some(age) if age < keep => fs::rename(&path, folder.join(file_name(age))),
                _ => fs::remove_file(&path),
            };
            moved.map_err(failed)?;
        }
        write_atomically(&latest, &bytes)
    }

    /// The latest whole checkpoint of `identity` in `folder`. What had to be passed over is told
    /// to `warn` and removed, so that it never pushes out a whole one.
    pub fn read(folder: &Path, identity: &str, mut warn: impl FnMut(String)) -> Option<Self> {
        for (_, path) in Self::files(folder) {
            let passed_over =
                |problem: &str| format!("the checkpoint `{}` is passed over: {problem}", path.display());
            match Self::read_file(&path, identity) {
                Ok(checkpoint) => return Some(checkpoint),
                Err(Unusable::Unreadable(problem)) => warn(passed_over(&problem)),
                Err(Unusable::Damaged(problem)) => {
                    warn(passed_over(&problem));
                    // Where it cannot be removed, writing the next one fails with the reason.
                    let _ = fs::remove_file(&path);
                }
            }
        }
        None
    }

    /// The checkpoint in a file.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or is not one of `identity`: a sentence.
    pub fn open(path: &Path, identity: &str) -> Result<Self, String> {
        Self::read_file(path, identity).map_err(|unusable| match unusable {
            Unusable::Unreadable(problem) | Unusable::Damaged(problem) => problem,
        })
    }

    /// The checkpoints in `folder` with their ages, the latest (of age 0) first.
    pub fn files(folder: &Path) -> Vec<(u32, PathBuf)> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| Some((age_of(entry.file_name().to_str()?)?, entry.path())))
            .collect();
        files.sort_unstable();
        files
    }

    fn encode(&self) -> Result<Vec<u8>, String> {
        let header = CheckpointHeader {
            identity: self.identity.clone(),
            progress: self.progress.clone(),
            loss_scale: self.loss_scale,
            optimizer_steps: self.optimizer.steps.clone(),
            has_ema: self.ema.is_some(),
            has_best: self.best.is_some(),
        };
        let header = serde_json::to_string(&header).map_err(|error| error.to_string())?;
        let groups = [
            ("model/", Some(&self.model)),
            ("optimizer/", Some(&self.optimizer.buffers)),
            ("ema/", self.ema.as_ref()),
            ("best/", self.best.as_ref()),
        ];
        let mut tensors: Vec<(String, &HostTensor)> = Vec::new();
        for (prefix, group) in groups {
            let named = group.into_iter().flatten();
            tensors.extend(named.map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        }
        tensors.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        let entries = || tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor));
        let metadata = HashMap::from([
            (DIGEST.to_owned(), digest(&header, entries()).to_string()),
            (HEADER.to_owned(), header),
        ]);
        encode(entries(), metadata)
    }

    fn read_file(path: &Path, identity: &str) -> Result<Self, Unusable> {
        let bytes = fs::read(path).map_err(|error| Unusable::Unreadable(error.to_string()))?;
        let (tensors, metadata) = decode(&bytes).map_err(Unusable::Damaged)?;
        drop(bytes);
        let (Some(header), Some(expected)) = (metadata.get(HEADER), metadata.get(DIGEST)) else {
            return Err(Unusable::Damaged("it was not written by a training".to_owned()));
        };
        let entries = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        if digest(header, entries).to_string() != *expected {
            return Err(Unusable::Damaged(
                "its content does not match its digest".to_owned(),
            ));
        }
        let header: CheckpointHeader = serde_json::from_str(header)
            .map_err(|error| Unusable::Damaged(format!("its header cannot be read: {error}")))?;
        if header.identity != identity {
            return Err(Unusable::Damaged("it belongs to another training".to_owned()));
        }
        let mut checkpoint = Self {
            identity: header.identity,
            progress: header.progress,
            loss_scale: header.loss_scale,
            model: NamedTensors::new(),
            optimizer: OptimizerState {
                steps: header.optimizer_steps,
                buffers: NamedTensors::new(),
            },
            ema: header.has_ema.then(NamedTensors::new),
            best: header.has_best.then(NamedTensors::new),
        };
        for (name, tensor) in tensors {
            let unknown = || Unusable::Damaged(format!("it holds an unknown tensor `{name}`"));
            let (group, own_name) = name.split_once('/').ok_or_else(unknown)?;
            let group = match group {
                "model" => Some(&mut checkpoint.model),
                "optimizer" => Some(&mut checkpoint.optimizer.buffers),
                "ema" => checkpoint.ema.as_mut(),
                "best" => checkpoint.best.as_mut(),
                _ => None,
            };
            group.ok_or_else(unknown)?.insert(own_name.to_owned(), tensor);
        }
        Ok(checkpoint)
    }
}

/// Why a file gives no checkpoint.
enum Unusable {
    /// Perhaps it can be read another time.
    Unreadable(String),
    Damaged(String),
}

/// The name of the checkpoint that so many newer ones have followed.
fn file_name(age: u32) -> String {
    match age {
        0 => LAST_CHECKPOINT.to_owned(),
        age => format!("checkpoint.{age}.safetensors"),
    }
}

/// The age in a checkpoint's name.
fn age_of(name: &str) -> Option<u32> {
    let middle = name.strip_prefix("checkpoint")?.strip_suffix(".safetensors")?;
    match middle.strip_prefix('.') {
        Some(age) => age.parse().ok(),
        None => middle.is_empty().then_some(0),
    }
}

/// The digest of everything in a checkpoint, tensors in the order of their names.
fn digest<'a>(header: &str, tensors: impl Iterator<Item = (&'a str, &'a HostTensor)>) -> Digest {
    let mut digests = vec![Digest::of_bytes(header.as_bytes())];
    for (name, tensor) in tensors {
        let label = format!("{name} {:?} {:?}", tensor.dtype(), tensor.shape());
        digests.push(Digest::of_bytes(label.as_bytes()));
        digests.push(Digest::of_bytes(tensor.bytes()));
    }
    Digest::of_value("checkpoint", &digests)
}

#[cfg(test)]
mod tests {
    use super::super::history::Exact;
    use super::*;
    use crate::train::progress::EpochSums;

    fn tensors(value: f32) -> NamedTensors {
        BTreeMap::from([
            ("0.bias".to_owned(), HostTensor::from_f32(vec![2], &[value, -0.0])),
            (
                "0.weight".to_owned(),
                HostTensor::from_f32(vec![1, 2], &[f32::NAN, value]),
            ),
        ])
    }

    fn checkpoint(epoch: u32) -> Checkpoint {
        Checkpoint {
            identity: "abc".to_owned(),
            progress: TrainingState {
                epoch,
                batch: 3,
                sums: EpochSums {
                    loss: Exact(0.1 + 0.2),
                    ..EpochSums::default()
                },
                ..TrainingState::default()
            },
            loss_scale: Some(LossScale::default()),
            model: tensors(epoch as f32),
            optimizer: OptimizerState {
                steps: BTreeMap::from([("0.bias".to_owned(), 7)]),
                buffers: BTreeMap::from([(
                    "0.bias.momentum_buffer".to_owned(),
                    HostTensor::from_f32(vec![2], &[1.0, 2.0]),
                )]),
            },
            ema: Some(tensors(8.0)),
            best: Some(tensors(9.0)),
        }
    }

    fn files(folder: &Path) -> [PathBuf; 2] {
        [0, 1].map(|age| folder.join(file_name(age)))
    }

    fn read(folder: &Path) -> (Option<Checkpoint>, Vec<String>) {
        let mut warnings = Vec::new();
        let checkpoint = Checkpoint::read(folder, "abc", |warning| warnings.push(warning));
        (checkpoint, warnings)
    }

    #[test]
    fn the_latest_is_read_and_one_more_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path()), (None, warnings) if warnings.is_empty()));
        for epoch in 1..=3 {
            checkpoint(epoch).write(folder.path(), 2).unwrap();
            assert_eq!(read(folder.path()).0.unwrap(), checkpoint(epoch));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        // As a crash between the two renames leaves it.
        fs::remove_file(&files(folder.path())[0]).unwrap();
        assert_eq!(read(folder.path()).0.unwrap(), checkpoint(2));
    }

    #[test]
    fn as_many_are_kept_as_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for epoch in 1..=6 {
            checkpoint(epoch).write(folder.path(), 4).unwrap();
        }
        let kept = |folder| {
            let kept = Checkpoint::files(folder).into_iter().map(|(age, path)| {
                let read = Checkpoint::read_file(&path, "abc");
                (age, read.ok().map(|checkpoint| checkpoint.progress.epoch))
            });
            kept.collect::<Vec<_>>()
        };
        let expected = [(0, Some(6)), (1, Some(5)), (2, Some(4)), (3, Some(3))];
        assert_eq!(kept(folder.path()), expected);
        // Fewer from now on, and any number at all.
        checkpoint(7).write(folder.path(), 2).unwrap();
        assert_eq!(kept(folder.path()), [(0, Some(7)), (1, Some(6))]);
        checkpoint(8).write(folder.path(), u32::MAX).unwrap();
        assert_eq!(kept(folder.path()).len(), 3);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn torn_flipped_and_foreign_files_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(1).write(folder.path(), 2).unwrap();
        checkpoint(2).write(folder.path(), 2).unwrap();
        let [latest, previous] = files(folder.path());
        let whole = fs::read(&latest).unwrap();

        for cut in [0, 7, 100, whole.len() - 1] {
            fs::write(&latest, &whole[..cut]).unwrap();
            let (found, warnings) = read(folder.path());
            assert_eq!(found.unwrap(), checkpoint(1));
            assert_eq!(warnings.len(), 1, "cut at {cut}");
        }
        for place in (0..whole.len()).step_by(13) {
            let mut flipped = whole.clone();
            flipped[place] ^= 4;
            fs::write(&latest, &flipped).unwrap();
            let found = read(folder.path()).0.unwrap();
            // A flipped space in the header's padding changes nothing that is read.
            assert!(found == checkpoint(1) || found == checkpoint(2), "byte {place}");
        }
        assert!(!latest.exists());
        fs::write(&latest, b"not safetensors at all").unwrap();
        fs::write(previous, b"").unwrap();
        let (found, warnings) = read(folder.path());
        assert!(found.is_none());
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("checkpoint.safetensors"), "{}", warnings[0]);
    }

    #[test]
    fn another_training_does_not_continue_from_it() {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(1).write(folder.path(), 2).unwrap();
        let mut warnings = Vec::new();
        assert!(Checkpoint::read(folder.path(), "xyz", |warning| warnings.push(warning)).is_none());
        assert!(warnings[0].contains("another training"), "{warnings:?}");
    }
}
