//! The `download` kind: one file from the project, a `file:` URL or the network, checked, and
//! unpacked where asked.
//!
//! Every place that the file may come from is tried in turn: what `erlen.yaml` maps the URL to,
//! the URL itself, then the same for each of the pipeline's mirrors. Whatever arrives over the
//! network collects in the job's scratch folder, from where an interrupted download goes on. A file
//! has come from a place when it is checked and unpacked: what fails there is not kept.

mod content;
mod encoding;
mod fault;
mod http;
mod intake;
mod partial;
mod request;
mod source;
mod unpack;
mod version;
mod visitor;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use self::fault::DownloadFault;
use self::http::{Http, Wanted};
use self::intake::{FileIntake, Packed};
use self::source::DownloadSource;
use self::unpack::{PackedArchive, UnpackLimits};
use self::visitor::Visitor;
use super::{Job, Outcome, Registry, StageError, StageRunner};
use crate::event::{Monitor, Unit};
use crate::spec::{ByteSize, Download};

impl StageRunner for Download {
    fn run(&self, job: &Job, _: &Registry, monitor: &Monitor) -> Result<Outcome, StageError> {
        download(self, job, monitor, &Http::default())
    }
}

/// Runs the job, as patiently as `http` says: takes the file from the first place that has it.
fn download(spec: &Download, job: &Job, monitor: &Monitor, http: &Http) -> Result<Outcome, StageError> {
    let mut failures: Vec<(String, StageError)> = Vec::new();
    for source in source::candidates(spec, job)? {
        if let Some((place, error)) = failures.last() {
            monitor.info(format!("`{place}` failed ({error}); trying `{source}`"));
        }
        let taken = match &source {
            DownloadSource::File(path) => take_file(path, spec, job, monitor),
            DownloadSource::Url(url) => take_url(url, &source.to_string(), spec, job, monitor, http),
        };
        match taken {
            Ok(()) => return Ok(Outcome::default()),
            Err(DownloadFault::Here(error)) => return Err(error),
            Err(DownloadFault::Source(error)) => failures.push((source.to_string(), error)),
        }
        empty(&job.output)?;
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
    Err(StageError::Failed {
        message,
        transient,
        mistakes: Vec::new(),
    })
}

/// Takes a file of this machine.
fn take_file(path: &Path, spec: &Download, job: &Job, monitor: &Monitor) -> Result<(), DownloadFault> {
    let size = size_of(path)?;
    if size > spec.max_size.0 {
        return Err(too_large(&path.display().to_string(), size, spec.max_size).into());
    }
    let place = path.display().to_string();
    let intake = FileIntake {
        spec,
        output: &job.output,
        place: &place,
        monitor,
    };
    intake.take(&Packed { path, ours: false })
}

/// Takes a file of the web.
fn take_url(
    url: &url::Url,
    place: &str,
    spec: &Download,
    job: &Job,
    monitor: &Monitor,
    http: &Http,
) -> Result<(), DownloadFault> {
    fs::create_dir_all(&job.scratch)
        .map_err(|error| DownloadFault::cannot("make the folder", &job.scratch, &error))?;
    let visitor = Visitor::of(spec)?;
    let wanted = Wanted {
        url,
        place,
        visitor: &visitor,
        spec,
    };
    let intake = FileIntake {
        spec,
        output: &job.output,
        place,
        monitor,
    };
    let mut partial = partial::PartialFile::open(&job.scratch)?;
    let mut anew = false;
    loop {
        let resumed = http.fetch(&wanted, &mut partial, monitor)?;
        match intake.take_served(&partial, &job.scratch) {
            Err(DownloadFault::Source(error)) => {
                // Whatever comes next asks the server again.
                partial.clear()?;
                empty(&job.output)?;
                if !resumed || anew {
                    return Err(error.into());
                }
                anew = true;
                monitor.warn(format!(
                    "what `{place}` sent in parts does not fit together ({error}); starting anew"
                ));
            }
            Err(fault) => return Err(fault),
            // What is left is cleared with the scratch folder.
            Ok(()) => return Ok(()),
        }
    }
}

/// Unpacks the archive at `path`, which may be hostile, into the empty folder `output`: at most 256 GiB, and 200 times its
/// own size where that is more than 1 GiB.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub(super) fn unpack_archive(path: &Path, output: &Path, monitor: &Monitor) -> Result<(), String> {
    let archive = PackedArchive {
        path,
        name: &path.file_name().unwrap_or_default().to_string_lossy(),
        checked: false,
        has_options: false,
    };
    let limits = UnpackLimits {
        bytes: 256 << 30,
        ratio: 200,
        ..UnpackLimits::default()
    };
    unpack::unpack(&archive, output, limits, monitor).map_err(|fault| fault.to_string())
}

/// Takes out of a folder what an archive left that was not unpacked to its end.
fn empty(folder: &Path) -> Result<(), StageError> {
    let clear = || -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    clear().map_err(|error| cannot("empty", folder, &error))
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
