//! Predictions as a file, whole or not at all, which a program that was stopped goes on with.
//!
//! Rows are written into `NAME.part`, and after each batch `NAME.part.json` says how far it is: the samples that are done,
//! the bytes of their rows and the digest of these, and what was asked. Who asks the same again goes on behind these bytes,
//! whatever stands after them; who asks something else is told. At the end the part gets its name, and the other file goes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::AppError;
use super::model::FoundModel;
use super::prediction::{FoundPrediction, PredictionFollower, PredictionRequest};
use crate::fingerprint::Digest;
use crate::prediction::{
    PredictionCounts, PredictionKeeping, PredictionProgress, UnnamedFile, Unpredicted, beside,
};
use crate::progress::text::counted;
use crate::spec::PredictionFormat;
use crate::stages::{Registry, inputs_digest};

/// Predicts for all that is asked for and writes it into the file at `path`, which comes to be when it is whole. Of tables
/// as text and JSON lines what was written by then is kept when the program is stopped, and the same request goes on there:
/// the file gets the bytes that it gets at once.
///
/// # Errors
/// As [`super::predict`]; the file is there already, another program is writing it, or another prediction was begun for it.
pub fn predict_to_file(
    request: &PredictionRequest,
    registry: &Registry,
    path: &Path,
    follower: PredictionFollower<'_>,
) -> Result<PredictionCounts, AppError> {
    if path.symlink_metadata().is_ok() {
        return Err(is_there(path));
    }
    let found = request.found()?;
    if request.format == PredictionFormat::Parquet {
        return at_once(found, registry, path, follower);
    }
    let question = PartQuestion::of(request, &found.models, path)?;
    let (part, begun, refused) = PredictionPart::open(path, question, &follower)?;
    let PredictionFollower {
        refused: hear,
        monitor,
    } = follower;
    for sample in &refused {
        hear(sample);
    }
    let beyond = begun.counts.failed.saturating_sub(refused.len() as u64);
    if beyond > 0 {
        monitor.info(format!(
            "and {} that could not be read before",
            counted(usize::try_from(beyond).unwrap_or(usize::MAX), "more sample")
        ));
    }
    // Who goes on hears of them again.
    let refused = Mutex::new(refused);
    let mut hear_and_keep = |sample: &Unpredicted| {
        let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < MOST_REFUSED {
            refused.push(sample.clone());
        }
        hear(sample);
    };
    let follower = PredictionFollower {
        refused: &mut hear_and_keep,
        monitor: monitor.clone(),
    };
    let mut kept = begun;
    let mut keep = |progress: PredictionProgress| {
        part.keep(progress, &refused.lock().unwrap_or_else(PoisonError::into_inner))?;
        kept = progress;
        Ok(())
    };
    let keeping = PredictionKeeping {
        begun,
        keep: &mut keep,
    };
    let out = BufWriter::new(PartWriter(Arc::clone(&part.written)));
    let predicted = found.predict(registry, (out, Some(path)), Some(keeping), follower);
    match predicted {
        Ok(counts) => {
            part.publish(path)?;
            Ok(counts)
        }
        Err(error) => {
            match kept.counts.samples() {
                0 => part.remove(),
                samples => monitor.info(format!(
                    "{} done so far: the same command goes on behind what is in `{}`",
                    counted(samples as usize, "sample"),
                    part.path.display()
                )),
            }
            Err(error)
        }
    }
}

/// Writes into a file without a name of its own until it is whole.
fn at_once(
    found: FoundPrediction<'_>,
    registry: &Registry,
    path: &Path,
    follower: PredictionFollower<'_>,
) -> Result<PredictionCounts, AppError> {
    let mut file = UnnamedFile::for_path(path).map_err(writing(path))?;
    let out = BufWriter::new(file.as_file_mut());
    let counts = found.predict(registry, (out, Some(path)), None, follower)?;
    match file.persist_noclobber(path) {
        Ok(()) => Ok(counts),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(is_there(path)),
        Err(error) => Err(writing(path)(error)),
    }
}

/// What is asked: whatever the bytes of the predictions depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartQuestion {
    models: Vec<Digest>,
    inputs: Digest,
    options: Digest,
}

impl PartQuestion {
    /// What `request` asks of `models`, for the file at `path`.
    fn of(request: &PredictionRequest, models: &[FoundModel], path: &Path) -> Result<Self, AppError> {
        let own = [PART, STATE].map(|ending| name_of(path, ending));
        let own: Vec<&OsStr> = own.iter().map(OsString::as_os_str).collect();
        let inputs = inputs_digest(&request.inputs, &own);
        let options = json!({
            "erlen": env!("CARGO_PKG_VERSION"),
            "format": format!("{:?}", request.format),
            "test_time_flip": request.test_time_flip,
            "device": request.device.to_string(),
        });
        Ok(Self {
            models: models
                .iter()
                .map(FoundModel::digest)
                .collect::<Result<_, AppError>>()?,
            inputs: inputs.map_err(|error| AppError::Stopped(error.to_string()))?,
            options: Digest::of_value("options of a prediction", &options),
        })
    }

    /// What differs from another one.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.models != other.models {
            Some("another model")
        } else if self.inputs != other.inputs {
            Some("other inputs, or inputs that have changed since")
        } else {
            (self.options != other.options).then_some("other options, or another version of this program")
        }
    }
}

/// What the file beside the part says.
#[derive(Debug, Serialize, Deserialize)]
struct PartState {
    question: PartQuestion,
    progress: PredictionProgress,
    /// The bytes of the rows of the samples that are done, and of the titles.
    bytes: u64,
    /// The digest of these bytes.
    digest: Digest,
    /// The samples that could not be read, the first of them.
    #[serde(default)]
    refused: Vec<Unpredicted>,
}

/// How many samples that could not be read are kept by name: what says how far it is stays small.
const MOST_REFUSED: usize = 100;

/// How the names of the part and of what says how far it is end.
const PART: &str = ".part";
const STATE: &str = ".part.json";

/// Rows on their way to a file.
struct PredictionPart {
    path: PathBuf,
    state: PathBuf,
    question: PartQuestion,
    written: Arc<Mutex<WrittenRows>>,
}

/// The part and what has been written to it.
struct WrittenRows {
    file: File,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl PredictionPart {
    /// The part for the file at `path`, how far it is, and the samples that could not be read by then: what else stands in
    /// it has been cut off. No other program writes it as long as it is open.
    fn open(
        path: &Path,
        question: PartQuestion,
        follower: &PredictionFollower<'_>,
    ) -> Result<(Self, PredictionProgress, Vec<Unpredicted>), AppError> {
        let beside = |ending: &str| path.with_file_name(name_of(path, ending));
        let (part, state) = (beside(PART), beside(STATE));
        let failed = || writing(&part);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&part)
            .map_err(failed())?;
        let busy = || AppError::Request(format!("another program is writing `{}`", part.display()));
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(error)) => return Err(failed()(error)),
        }
        // Another program may have given it its name in the meantime.
        let own = file.metadata().map_err(failed())?;
        let is_it = |found: &fs::Metadata| (found.dev(), found.ino()) == (own.dev(), own.ino());
        if !fs::symlink_metadata(&part).is_ok_and(|found| is_it(&found)) {
            return Err(busy());
        }
        let kept = match own.len() {
            0 => None,
            _ => Some(read_state(&state, &part)?),
        };
        let kept = kept.filter(|kept| kept.progress.counts.samples() > 0);
        let (mut progress, mut hasher) = (PredictionProgress::default(), blake3::Hasher::new());
        let (mut bytes, mut refused) = (0, Vec::new());
        if let Some(kept) = kept {
            if let Some(difference) = question.difference(&kept.question) {
                return Err(AppError::Request(format!(
                    "`{}` was begun with {difference}: ask as then to go on, or remove it to begin anew",
                    part.display()
                )));
            }
            let copied = io::copy(&mut (&mut file).take(kept.bytes), &mut hasher).map_err(failed())?;
            if copied == kept.bytes && digest_of(&hasher) == kept.digest {
                (progress, bytes, refused) = (kept.progress, kept.bytes, kept.refused);
                follower.monitor.info(format!(
                    "goes on after {} in `{}`",
                    counted(progress.counts.predicted as usize, "row"),
                    part.display()
                ));
            } else {
                hasher.reset();
                follower.monitor.warn(format!(
                    "`{}` does not hold what was written to it: begins anew",
                    part.display()
                ));
            }
        }
        file.set_len(bytes)
            .and_then(|()| file.seek(SeekFrom::Start(bytes)))
            .map_err(failed())?;
        let opened = Self {
            path: part.clone(),
            state,
            question,
            written: Arc::new(Mutex::new(WrittenRows { file, bytes, hasher })),
        };
        opened.keep(progress, &refused).map_err(failed())?;
        Ok((opened, progress, refused))
    }

    /// Says that the part is so far, and which samples could not be read.
    fn keep(&self, progress: PredictionProgress, refused: &[Unpredicted]) -> io::Result<()> {
        let state = {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            PartState {
                question: self.question.clone(),
                progress,
                bytes: written.bytes,
                digest: digest_of(&written.hasher),
                refused: refused.to_vec(),
            }
        };
        let mut file = beside(&self.state)?;
        file.write_all(&serde_json::to_vec(&state)?)?;
        file.persist(&self.state).map_err(|error| error.error)?;
        Ok(())
    }

    /// Gives the part its name.
    fn publish(&self, path: &Path) -> Result<(), AppError> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.file.sync_all().map_err(writing(path))?;
        match renameat_with(CWD, &self.path, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(is_there(path)),
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS) if path.symlink_metadata().is_err() => {
                fs::rename(&self.path, path).map_err(writing(path))?;
            }
            Err(error) => return Err(writing(path)(error.into())),
        }
        // That it is there changes nothing: without a part nobody reads it.
        let _ = fs::remove_file(&self.state);
        Ok(())
    }

    /// Takes away what nobody goes on with.
    fn remove(&self) {
        let _ = fs::remove_file(&self.state);
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes rows behind those of the part.
struct PartWriter(Arc<Mutex<WrittenRows>>);

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = written.file.write(bytes)?;
        written.bytes += count as u64;
        written.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How far `part` is.
fn read_state(state: &Path, part: &Path) -> Result<PartState, AppError> {
    let read = fs::read(state).map_err(|error| error.to_string());
    let read = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
    read.map_err(|problem| {
        AppError::Request(format!(
            "`{}` is there, and `{}` does not tell what it is ({problem}): remove it to begin anew",
            part.display(),
            state.display()
        ))
    })
}

fn digest_of(hasher: &blake3::Hasher) -> Digest {
    Digest::of_bytes(hasher.finalize().as_bytes())
}

/// The name of the file at `path` with another ending behind it.
fn name_of(path: &Path, ending: &str) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    name
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> AppError {
    AppError::io(format!("writing `{}`", path.display()))
}

fn is_there(path: &Path) -> AppError {
    AppError::Request(format!(
        "`{}` is there already: remove it, or name another file with --output",
        path.display()
    ))
}
