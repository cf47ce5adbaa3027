//! The `download` kind: one file from the project, a `file:` URL or the network, checked, and
//! unpacked where asked.
//!
//! Every place that the file may come from is tried in turn: what `erlen.yaml` maps the URL to,
//! the URL itself, then the same for each of the pipeline's mirrors. Whatever arrives over the
//! network collects in the job's scratch folder, from where an interrupted download goes on.

mod http;
mod partial;
mod source;
mod unpack;

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::Digest as _;

use self::http::Http;
use self::source::DownloadSource;
use super::{Job, Outcome, Registry, StageError, StageRunner};
use crate::event::{Monitor, Unit};
use crate::spec::{ByteSize, Download};

/// A packed file and whose it is.
struct Packed {
    path: PathBuf,
    /// It lies in the scratch folder and may be moved.
    ours: bool,
}

impl StageRunner for Download {
    fn run(&self, job: &Job, _: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        download(self, job, monitor, &Http::default())
    }
}

/// Runs the job, as patiently as `http` says.
fn download(spec: &Download, job: &Job, monitor: &Monitor, http: &Http) -> Result<Outcome, StageError> {
    let packed = fetch(spec, job, monitor, http)?;
    let name = source::safe_name(&spec.file_name());
    if spec.unpack {
        let limits = unpack::UnpackLimits {
            bytes: spec.max_unpacked.0,
            ..unpack::UnpackLimits::default()
        };
        unpack::unpack(
            &packed.path,
            &name,
            &job.output,
            limits,
            spec.sha256.is_some(),
            monitor,
        )?;
    } else {
        keep(&packed, &job.output.join(name), monitor)?;
    }
    if packed.ours {
        // What is left is cleared with the scratch folder.
        let _ = fs::remove_file(&packed.path);
    }
    Ok(Outcome::default())
}

/// Gets the packed file, checked, from the first place that has it.
fn fetch(spec: &Download, job: &Job, monitor: &Monitor, http: &Http) -> Result<Packed, StageError> {
    let mut failures: Vec<(String, StageError)> = Vec::new();
    for source in source::candidates(spec, job)? {
        if let Some((place, error)) = failures.last() {
            monitor.info(format!("`{place}` failed ({error}); trying `{source}`"));
        }
        match fetch_from(&source, spec, job, monitor, http) {
            Ok(packed) => return Ok(packed),
            Err(StageError::Interrupted) => return Err(StageError::Interrupted),
            Err(error) => failures.push((source.to_string(), error)),
        }
    }
    let transient = failures
        .iter()
        .any(|(_, error)| matches!(error, StageError::Failed { transient: true, .. }));
    let message = match failures.as_slice() {
        [(_, error)] => error.to_string(),
        several => {
            let lines: Vec<String> = several
                .iter()
                .map(|(place, error)| format!("  from `{place}`: {error}"))
                .collect();
            format!(
                "none of the {} sources gave the file:\n{}",
                several.len(),
                lines.join("\n")
            )
        }
    };
    Err(StageError::Failed { message, transient })
}

fn fetch_from(
    source: &DownloadSource,
    spec: &Download,
    job: &Job,
    monitor: &Monitor,
    http: &Http,
) -> Result<Packed, StageError> {
    match source {
        DownloadSource::File(path) => {
            let size = size_of(path)?;
            if size > spec.max_size.0 {
                return Err(too_large(&path.display().to_string(), size, spec.max_size));
            }
            check(path, &path.display().to_string(), spec, monitor)?;
            Ok(Packed {
                path: path.clone(),
                ours: false,
            })
        }
        DownloadSource::Url(url) => {
            fs::create_dir_all(&job.scratch)
                .map_err(|error| cannot("make the folder", &job.scratch, &error))?;
            let shown = source.to_string();
            let mut partial = partial::PartialFile::open(&job.scratch)?;
            let resumed = http.fetch(url, &shown, &mut partial, spec, monitor)?;
            let mut checked = check(partial.path(), &shown, spec, monitor);
            if resumed && matches!(checked, Err(StageError::Failed { .. })) {
                monitor.warn(format!(
                    "what `{shown}` sent in parts does not fit together; starting anew"
                ));
                partial.clear()?;
                http.fetch(url, &shown, &mut partial, spec, monitor)?;
                checked = check(partial.path(), &shown, spec, monitor);
            }
            if let Err(StageError::Failed { .. }) = checked {
                partial.clear()?;
            }
            checked?;
            Ok(Packed {
                path: partial.path().to_owned(),
                ours: true,
            })
        }
    }
}

/// The size of a file to take in.
fn size_of(path: &Path) -> Result<u64, StageError> {
    let metadata = fs::metadata(path).map_err(|error| cannot("find", path, &error))?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        Err(StageError::failed(format!(
            "`{}` is not a file; name the file to take",
            path.display()
        )))
    }
}

/// Compares the file's SHA-256 with the expected one.
fn check(path: &Path, place: &str, spec: &Download, monitor: &Monitor) -> Result<(), StageError> {
    let Some(expected) = &spec.sha256 else {
        return Ok(());
    };
    let mut file = File::open(path).map_err(|error| cannot("read", path, &error))?;
    let size = size_of(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut progress = DownloadProgress::new("check", Some(size), monitor);
    let mut buffer = vec![0; 256 << 10];
    let mut done = 0;
    loop {
        let count = read_some(&mut file, &mut buffer).map_err(|error| cannot("read", path, &error))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        done += count as u64;
        progress.at(done)?;
    }
    let found: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found == expected.as_str() {
        return Ok(());
    }
    Err(StageError::failed(format!(
        "`{place}` ({}, {done} bytes) has the wrong checksum:\n  expected sha256 {}\n  found    sha256 {found}\n\
         if the file was replaced on purpose, look at it and set `sha256` to what was found; otherwise get a sound copy",
        ByteSize(done),
        expected.as_str(),
    )))
}

/// Puts the packed file into the output: moved where it may be, else shared, else copied.
fn keep(packed: &Packed, target: &Path, monitor: &Monitor) -> Result<(), StageError> {
    if packed.ours && fs::rename(&packed.path, target).is_ok()
        || reflink_copy::reflink(&packed.path, target).is_ok()
    {
        return Ok(());
    }
    let size = size_of(&packed.path)?;
    let mut from = File::open(&packed.path).map_err(|error| cannot("read", &packed.path, &error))?;
    let mut to = File::create(target).map_err(|error| cannot("write", target, &error))?;
    let mut progress = DownloadProgress::new("copy", Some(size), monitor);
    let mut buffer = vec![0; 256 << 10];
    let mut done = 0;
    loop {
        let count =
            read_some(&mut from, &mut buffer).map_err(|error| cannot("read", &packed.path, &error))?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count])
            .map_err(|error| cannot("write", target, &error))?;
        done += count as u64;
        progress.at(done)?;
    }
}

/// Reads what there is, unless interrupted by a signal.
fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn too_large(place: &str, size: u64, most: ByteSize) -> StageError {
    StageError::failed(format!(
        "`{place}` has {} ({size} bytes), more than the `max_size` of {most}; raise `max_size` if that is right",
        ByteSize(size)
    ))
}

/// The failure to `doing` the file at `path`.
fn cannot(doing: &str, path: &Path, error: &io::Error) -> StageError {
    let path = path.display();
    StageError::failed(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!(
                "the disk is full: cannot {doing} `{path}`; make room, or set ERLEN_STORE to a folder on another disk"
            )
        }
        _ => format!("cannot {doing} `{path}`: {error}"),
    })
}

/// Tells how far a task is, ten times a second at most, and notices when it should stop.
struct DownloadProgress<'a> {
    task: &'a str,
    total: Option<u64>,
    monitor: &'a Monitor,
    told: Option<Instant>,
}

impl<'a> DownloadProgress<'a> {
    fn new(task: &'a str, total: Option<u64>, monitor: &'a Monitor) -> Self {
        Self {
            task,
            total,
            monitor,
            told: None,
        }
    }

    fn at(&mut self, done: u64) -> Result<(), StageError> {
        if self.monitor.stopped() {
            return Err(StageError::Interrupted);
        }
        let due = self
            .told
            .is_none_or(|told| told.elapsed() >= Duration::from_millis(100));
        if due || Some(done) == self.total {
            self.told = Some(Instant::now());
            self.monitor.progress(self.task, done, self.total, Unit::Bytes);
        }
        Ok(())
    }
}
