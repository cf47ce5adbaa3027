//! Processes that a command leaves behind.
//!
//! A process group is not left by those that stay in it, and is killed as a whole. A daemon leaves it. On
//! Linux this program adopts what loses its parent, so that it stays within reach: whatever carries the mark
//! of a stage in its environment when the stage's command has ended is killed, until nothing is left.
//!
//! Where this program itself was killed, commands go on. Whoever takes up the stage next ends them: by their
//! mark, and by working below the stage's folder, since another store may run an equal stage.

/// The environment variable that marks a stage's processes.
pub const MARK: &str = "ERLEN_STAGE";

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashSet;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

    use super::MARK;

    /// How long to go on where killed processes do not end: they wait for a disk, say.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// From now on, processes below this one that lose their parent become its children.
    pub fn adopt() {
        // Where that is refused, daemons are out of reach, as elsewhere.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }

    /// Kills the adopted processes that carry `mark`; how many there were.
    pub fn end(mark: &str) -> usize {
        let wanted = format!("{MARK}={mark}");
        let begun = Instant::now();
        let mut killed = 0;
        loop {
            let mut left = false;
            for pid in adopted() {
                if is_marked(pid, wanted.as_bytes()) {
                    // Its own children come to light once it is gone.
                    left = true;
                    killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
                    wait_a_moment(pid);
                } else {
                    // What has ended is only a number until somebody asks for it.
                    reap(pid);
                }
            }
            if !left || begun.elapsed() > PATIENCE {
                return killed;
            }
        }
    }

    /// Kills the processes that carry `mark` and work below the folder `place`: those of a try whose program
    /// was killed. How many there were.
    pub fn end_abandoned(mark: &str, place: &Path) -> usize {
        let wanted = format!("{MARK}={mark}");
        let Ok(place) = place.canonicalize() else {
            return 0;
        };
        let begun = Instant::now();
        let mut killed = HashSet::new();
        loop {
            let found: Vec<Pid> = all()
                .filter(|pid| works_below(*pid, &place) && is_marked(*pid, wanted.as_bytes()))
                .collect();
            if found.is_empty() || begun.elapsed() > PATIENCE {
                return killed.len();
            }
            for pid in found {
                if kill_process(pid, Signal::KILL).is_ok() {
                    killed.insert(pid);
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// All processes.
    fn all() -> impl Iterator<Item = Pid> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
    }

    fn works_below(pid: Pid, place: &Path) -> bool {
        std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()))
            .is_ok_and(|folder| folder.starts_with(place))
    }

    /// Waits for a killed process; one that may not be killed stays.
    fn wait_a_moment(pid: Pid) {
        for _ in 0..100 {
            match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                _ => return,
            }
        }
    }

    /// The children of this program's first thread: it starts none itself while stages run.
    fn adopted() -> Vec<Pid> {
        let own = std::process::id();
        let list = std::fs::read_to_string(format!("/proc/self/task/{own}/children"));
        let numbers = list.unwrap_or_default();
        let numbers = numbers
            .split_whitespace()
            .filter_map(|number| number.parse().ok());
        numbers.filter_map(Pid::from_raw).collect()
    }

    fn is_marked(pid: Pid, wanted: &[u8]) -> bool {
        std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == wanted))
    }

    /// Takes note of the end of an adopted process that has ended.
    fn reap(pid: Pid) {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        let ended = state.is_ok_and(|state| {
            state
                .rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('Z'))
        });
        // One that was marked has no environment any more; any other is of nobody who would wait for it, or
        // a child that a thread which is gone now had started, and waited for.
        if ended {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

#[cfg(target_os = "linux")]
pub use linux::{adopt, end, end_abandoned};

/// Elsewhere, orphans go to the system's first process.
#[cfg(not(target_os = "linux"))]
pub fn adopt() {}

/// Elsewhere, nothing can be told of what left its group.
#[cfg(not(target_os = "linux"))]
pub fn end(_mark: &str) -> usize {
    0
}

/// Elsewhere, nothing can be told of what others started.
#[cfg(not(target_os = "linux"))]
pub fn end_abandoned(_mark: &str, _place: &std::path::Path) -> usize {
    0
}
