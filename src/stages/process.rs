//! A child process that can be waited for and stopped, with everything that it started.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How often a waiting thread looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// A running child process at the head of a process group of its own.
pub struct Process {
    child: Child,
    group: Option<Pid>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// Because it was asked to stop.
    Stopped(ExitStatus),
}

impl Process {
    /// Starts `command` in a process group of its own, so that Ctrl-C in the terminal does not
    /// reach it and so that all that it starts can be stopped together.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let child = command.process_group(0).spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the process ends. Once `stop` gives true, it is asked to end (SIGTERM), and
    /// `grace` later it is killed. Whatever is left of its process group is killed in the end.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub fn wait(mut self, grace: Duration, stop: impl Fn() -> bool) -> io::Result<Ended> {
        let mut asked: Option<Instant> = None;
        let mut killed = false;
        let mut waiter = Waiter::new(&self.child);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            match asked {
                None if stop() => {
                    self.signal(Signal::TERM);
                    asked = Some(Instant::now());
                }
                Some(since) if !killed && since.elapsed() >= grace => {
                    self.signal(Signal::KILL);
                    killed = true;
                }
                _ => {}
            }
            waiter.wait();
        };
        self.signal(Signal::KILL);
        Ok(if asked.is_some() { Ended::Stopped(status) } else { Ended::Exited(status) })
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The group is gone already where nothing is left of it.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Sleeps until a child has ended, or for a short while.
struct Waiter {
    #[cfg(target_os = "linux")]
    pidfd: Option<rustix::fd::OwnedFd>,
    pause: Duration,
}

impl Waiter {
    fn new(child: &Child) -> Self {
        #[cfg(target_os = "linux")]
        let pidfd = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
        #[cfg(not(target_os = "linux"))]
        let _ = child;
        Self {
            #[cfg(target_os = "linux")]
            pidfd,
            pause: Duration::from_micros(200),
        }
    }

    fn wait(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
            // An interrupted wait only means that the caller looks again sooner.
            let _ = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout));
            return;
        }
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn waits_for_the_end() {
        let Ended::Exited(status) = shell("exit 3").wait(LOOK, || false).unwrap() else { panic!("stopped") };
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn stops_what_ignores_the_request() {
        let begun = Instant::now();
        let ended = shell("trap '' TERM; sleep 30").wait(Duration::from_millis(100), || true).unwrap();
        assert!(matches!(ended, Ended::Stopped(_)));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn nothing_of_the_group_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 1; touch '{}') & exit 0", mark.display());
        shell(&script).wait(LOOK, || false).unwrap();
        std::thread::sleep(Duration::from_millis(1300));
        assert!(!mark.exists());
    }
}
