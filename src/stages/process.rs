//! A child process that can be waited for and stopped, with everything that it started.

use std::io::{self, PipeReader, Read};
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
    pub fn wait(self, grace: Duration, stop: impl Fn() -> bool) -> io::Result<Ended> {
        self.wait_and_read(grace, stop, None, &mut |_| {})
    }

    /// As [`Process::wait`]; meanwhile, what comes out of the pipe `output` is handed to `take`.
    ///
    /// # Errors
    /// The system cannot wait for it, or not read the pipe.
    pub fn wait_and_read(
        mut self,
        grace: Duration,
        stop: impl Fn() -> bool,
        output: Option<PipeReader>,
        take: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Ended> {
        let mut asked: Option<Instant> = None;
        let mut killed = false;
        let mut waiter = Waiter::new(&self.child);
        let mut output = output;
        if let Some(pipe) = &output {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        let status = loop {
            if output.as_mut().is_some_and(|pipe| !drain(pipe, take)) {
                output = None;
            }
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
            waiter.wait(output.as_ref());
        };
        self.signal(Signal::KILL);
        // What was printed last. Whoever still holds the other end is out of reach, and not waited for.
        if let Some(pipe) = &mut output {
            drain(pipe, take);
        }
        Ok(if asked.is_some() {
            Ended::Stopped(status)
        } else {
            Ended::Exited(status)
        })
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The group is gone already where nothing is left of it.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Hands over what is in the pipe; whether more can come.
fn drain(pipe: &mut PipeReader, take: &mut dyn FnMut(&[u8])) -> bool {
    // So that a flood does not keep from looking at the clock.
    const MOST: usize = 64;
    let mut buffer = [0; 64 << 10];
    for _ in 0..MOST {
        match pipe.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => take(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// Sleeps until a child has ended or printed something, or for a short while.
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

    fn wait(&mut self, output: Option<&PipeReader>) {
        #[cfg(not(target_os = "linux"))]
        let _ = output;
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let mut ends = vec![PollFd::new(pidfd, PollFlags::IN)];
            ends.extend(output.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(LOOK.subsec_nanos()),
            };
            // An interrupted wait only means that the caller looks again sooner.
            let _ = poll(&mut ends, Some(&timeout));
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
        let Ended::Exited(status) = shell("exit 3").wait(LOOK, || false).unwrap() else {
            panic!("stopped")
        };
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn stops_what_ignores_the_request() {
        let begun = Instant::now();
        let ended = shell("trap '' TERM; sleep 30")
            .wait(Duration::from_millis(100), || true)
            .unwrap();
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
