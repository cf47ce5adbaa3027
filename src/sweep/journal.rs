//! The journal of a sweep: what was decided and what came of it, so that any process can go on.
//!
//! One line of JSON an entry, appended under the kernel's lock on the file. Every process of a
//! sweep reads what the others have written before it decides, so all see the same sequence. A
//! line that a killed process left half written is cut off by the next one. Losing the journal
//! loses no result: the same trials are drawn again, and what the store holds is reused; only the
//! failures, and where pruned trials stopped, are forgotten.
//!
//! Who runs a job is known by a lock file of its own that each process holds for as long as it
//! lives: a job whose process is gone is taken over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::replay::Definition;
use super::{JobOutcome, TrialJob};

/// A fact about a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum JournalEntry {
    /// What follows was decided under this definition.
    Defined {
        /// The definition.
        definition: Box<Definition>,
    },
    /// A job was handed out.
    Started {
        /// The job.
        job: TrialJob,
        /// The process that does it.
        worker: String,
    },
    /// A job ended.
    Ended {
        /// The job's number.
        job: u32,
        /// What came of it.
        outcome: JobOutcome,
    },
    /// A failed trial is to be run again.
    Retried {
        /// The trial's number.
        trial: u32,
    },
}

/// A sweep's journal, as one process has it open.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// How much of it has been read.
    read: u64,
    worker: Worker,
}

impl Journal {
    /// Opens the journal in `folder`, and makes it where there is none.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("journal.jsonl");
        let open = || {
            fs::create_dir_all(folder)?;
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(&path)?;
            Ok((file, Worker::new(&folder.join("workers"))?))
        };
        let (file, worker) = open().map_err(|error| unusable(&path, &error))?;
        Ok(Self {
            path,
            file,
            read: 0,
            worker,
        })
    }

    /// The entries in `folder`'s journal as they are now, without taking part; none where there is
    /// no journal.
    ///
    /// # Errors
    /// The journal cannot be read, or is damaged.
    pub fn peek(folder: &Path) -> io::Result<Vec<JournalEntry>> {
        let path = folder.join("journal.jsonl");
        match fs::read(&path) {
            Ok(bytes) => Ok(parse(&path, whole_lines(&bytes))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(unusable(&path, &error)),
        }
    }

    /// The name of this process in the journal.
    pub fn worker(&self) -> &str {
        &self.worker.name
    }

    /// Whether the process of that name is still there.
    pub fn is_alive(&self, worker: &str) -> bool {
        worker == self.worker.name || self.worker.is_alive(worker)
    }

    /// Calls `decide` with the entries that others have appended meanwhile, and appends those that
    /// it gives; nobody else reads or writes the journal in between.
    ///
    /// # Errors
    /// The journal cannot be read or written, or is damaged; what `decide` gives.
    pub fn turn<T, E: From<io::Error>>(
        &mut self,
        decide: impl FnOnce(Vec<JournalEntry>, &Worker) -> Result<(T, Vec<JournalEntry>), E>,
    ) -> Result<T, E> {
        self.file.lock().map_err(|error| unusable(&self.path, &error))?;
        let result = self.locked_turn(decide);
        self.file.unlock().map_err(|error| unusable(&self.path, &error))?;
        result
    }

    fn locked_turn<T, E: From<io::Error>>(
        &mut self,
        decide: impl FnOnce(Vec<JournalEntry>, &Worker) -> Result<(T, Vec<JournalEntry>), E>,
    ) -> Result<T, E> {
        let new = self.read_new()?;
        let (result, entries) = decide(new, &self.worker)?;
        let mut text = String::new();
        for entry in &entries {
            text.push_str(&serde_json::to_string(entry).map_err(io::Error::from)?);
            text.push('\n');
        }
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| unusable(&self.path, &error))?;
        self.read += text.len() as u64;
        Ok(result)
    }

    fn read_new(&mut self) -> io::Result<Vec<JournalEntry>> {
        let length = self.file.metadata()?.len();
        if length == self.read {
            return Ok(Vec::new());
        }
        if length < self.read {
            return Err(damaged(&self.path, "it became shorter"));
        }
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        (&self.file).take(length - self.read).read_to_end(&mut bytes)?;
        let whole = whole_lines(&bytes);
        if whole.len() < bytes.len() {
            // Its writer was killed in the middle, or it would still hold the lock.
            self.file.set_len(self.read + whole.len() as u64)?;
        }
        let entries = parse(&self.path, whole)?;
        self.read += whole.len() as u64;
        Ok(entries)
    }
}

/// `bytes` up to the last line break.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    &bytes[..end.map_or(0, |end| end + 1)]
}

fn parse(path: &Path, bytes: &[u8]) -> io::Result<Vec<JournalEntry>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).map_err(|error| damaged(path, &error.to_string())))
        .collect()
}

fn unusable(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "the sweep's journal `{}` cannot be read or written: {error}; free space, or make its folder writable",
            path.display()
        ),
    )
}

fn damaged(path: &Path, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "the sweep's journal `{}` is damaged: {why}; move it away: no result is lost, only which trials \
             failed or were pruned",
            path.display()
        ),
    )
}

/// A process that takes part in a sweep.
#[derive(Debug)]
pub struct Worker {
    folder: PathBuf,
    name: String,
    /// Locked for as long as the process lives.
    _lock: File,
}

impl Worker {
    fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let name = format!(
            "{}-{}",
            std::process::id(),
            since.map_or(0, |since| since.as_nanos())
        );
        let lock = File::create(folder.join(&name))?;
        lock.lock()?;
        Ok(Self {
            folder: folder.to_owned(),
            name,
            _lock: lock,
        })
    }

    /// The name of this process.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the process called `other` is still there.
    pub fn is_alive(&self, other: &str) -> bool {
        // A name from a journal is a file's name and nothing else.
        if other.contains('/') {
            return false;
        }
        let path = self.folder.join(other);
        let Ok(file) = File::open(&path) else {
            return false;
        };
        let gone = file.try_lock().is_ok();
        if gone {
            // Nobody looks at it again; where it stays, it is found free again.
            let _ = fs::remove_file(&path);
        }
        !gone
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The lock ends with the process; a file that stays is removed by whoever looks at it.
        let _ = fs::remove_file(self.folder.join(&self.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(trial: u32) -> JournalEntry {
        JournalEntry::Retried { trial }
    }

    fn turn(journal: &mut Journal, add: Vec<JournalEntry>) -> Vec<JournalEntry> {
        journal.turn(|new, _| Ok::<_, io::Error>((new, add))).unwrap()
    }

    #[test]
    fn processes_see_what_the_others_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Journal::open(folder.path()).unwrap();
        let mut two = Journal::open(folder.path()).unwrap();
        assert_eq!(turn(&mut one, vec![entry(1), entry(2)]), []);
        assert_eq!(turn(&mut two, vec![entry(3)]), [entry(1), entry(2)]);
        assert_eq!(turn(&mut one, vec![]), [entry(3)]);
        assert_eq!(turn(&mut one, vec![]), []);
        assert_eq!(
            Journal::peek(folder.path()).unwrap(),
            [entry(1), entry(2), entry(3)]
        );
    }

    #[test]
    fn every_entry_reads_back() {
        let limits = crate::spec::EpochLimits {
            metric: "val_loss".into(),
            direction: crate::spec::Direction::Minimize,
            until: Some(3),
            worse_than: [(1, 0.1 + 0.2), (2, f64::INFINITY)].into(),
            patience: Some(2),
        };
        let sweep = serde_json::json!({
            "params": {"lr": {"log_uniform": [0.1, 1]}, "n": {"choice": [1, 2], "when": {"lr": [0.5]}}},
            "constraints": [{"param": "lr", "at_most": 0.9}],
            "search": {"tpe": {"trials": 3}},
            "objective": {"minimize": "m.val_loss"},
            "prune": {"median": {}},
            "time": "90s",
        });
        let definition = Definition {
            sweep: serde_json::from_value(sweep).unwrap(),
            own: [("lr".to_owned(), serde_json::json!(0.1))].into(),
            seed: u64::MAX,
            max_epochs: Some(9),
            judged: None,
        };
        let job = TrialJob {
            number: 1,
            trial: 1,
            values: [("lr".to_owned(), serde_json::json!(0.25))].into(),
            limits: Some(limits),
        };
        let ended = |outcome| JournalEntry::Ended { job: 1, outcome };
        let entries = vec![
            JournalEntry::Defined {
                definition: Box::new(definition),
            },
            JournalEntry::Started {
                job,
                worker: "w".into(),
            },
            ended(JobOutcome::Paused {
                curve: vec![0.5, 1.0 / 3.0],
            }),
            ended(JobOutcome::Done {
                objectives: vec![f64::NEG_INFINITY],
                curve: vec![],
            }),
            ended(JobOutcome::Failed { error: "no".into() }),
            entry(4),
        ];
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        turn(&mut journal, entries.clone());
        assert_eq!(Journal::peek(folder.path()).unwrap(), entries);
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("sweep");
        fs::write(&blocked, "").unwrap();
        let error = Journal::open(&blocked).unwrap_err().to_string();
        assert!(error.contains("sweep/journal.jsonl` cannot be"), "{error}");
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Journal::open(folder.path()).unwrap();
        turn(&mut one, vec![entry(1)]);
        let path = folder.path().join("journal.jsonl");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"entry\":\"retr").unwrap();
        assert_eq!(Journal::peek(folder.path()).unwrap(), [entry(1)]);
        assert_eq!(turn(&mut one, vec![entry(2)]), []);
        let mut two = Journal::open(folder.path()).unwrap();
        assert_eq!(turn(&mut two, vec![]), [entry(1), entry(2)]);

        file.write_all(b"not an entry\n").unwrap();
        let error = two.turn(|new, _| Ok::<_, io::Error>((new, vec![]))).unwrap_err();
        assert!(error.to_string().contains("move it away"), "{error}");
    }

    #[test]
    fn the_living_are_told_from_the_gone() {
        let folder = tempfile::tempdir().unwrap();
        let one = Journal::open(folder.path()).unwrap();
        let two = Journal::open(folder.path()).unwrap();
        let name = two.worker().to_owned();
        assert!(one.is_alive(&name) && one.is_alive(one.worker()));
        drop(two);
        assert!(!one.is_alive(&name));
        // As a process that was killed leaves it: a file that nobody holds.
        fs::write(folder.path().join("workers/7-7"), "").unwrap();
        assert!(!one.is_alive("7-7"));
        assert!(!folder.path().join("workers/7-7").exists());
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let folder = folder.path();
                scope.spawn(move || {
                    let mut journal = Journal::open(folder).unwrap();
                    for round in 0..50 {
                        turn(&mut journal, vec![entry(worker * 100 + round)]);
                    }
                });
            }
        });
        let mut trials: Vec<u32> = Journal::peek(folder.path())
            .unwrap()
            .into_iter()
            .map(|entry| match entry {
                JournalEntry::Retried { trial } => trial,
                other => panic!("{other:?}"),
            })
            .collect();
        trials.sort_unstable();
        let expected: Vec<u32> = (0..8)
            .flat_map(|worker| (0..50).map(move |round| worker * 100 + round))
            .collect();
        assert_eq!(trials, expected);
    }
}
