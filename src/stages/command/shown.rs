//! What a command prints, as lines for whoever watches.
//!
//! The log has everything; what is shown is bounded, so that a flood neither drowns the display nor fills the
//! stream of events.

use std::time::{Duration, Instant};

use crate::event::{Activity, Monitor};

/// So many lines may be shown at once.
const BURST: f64 = 200.0;

/// So many more may be shown each second.
const LINES_A_SECOND: f64 = 20.0;

/// The shortest time between two states of a line that is written over.
const PASSING: Duration = Duration::from_millis(200);

/// What is shown of a line, in bytes.
const LONGEST_LINE: usize = 1000;

/// Tells lines as they are printed.
pub(super) struct ShownOutput<'a> {
    monitor: &'a Monitor,
    line: Vec<u8>,
    /// Whether the line was ended by a carriage return: what comes next writes over it.
    returned: bool,
    allowance: f64,
    since: Instant,
    left_out: u64,
    passed: Option<Instant>,
}

impl<'a> ShownOutput<'a> {
    /// Tells them to `monitor`.
    pub fn new(monitor: &'a Monitor) -> Self {
        Self {
            monitor,
            line: Vec::new(),
            returned: false,
            allowance: BURST,
            since: Instant::now(),
            left_out: 0,
            passed: None,
        }
    }

    /// Takes what was printed.
    pub fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => self.returned = true,
                byte => {
                    if self.returned {
                        self.pass();
                    }
                    if self.line.len() < LONGEST_LINE {
                        self.line.push(*byte);
                    }
                }
            }
        }
        // A progress bar returns before it writes, and writes no more for a while.
        if self.returned || !self.line.is_empty() && self.passed.is_some() {
            self.tell_passing();
        }
    }

    /// Tells what has no end yet, and how much was left out.
    pub fn finish(mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
        if self.left_out > 0 {
            self.tell(String::new(), false);
        }
    }

    /// The line is written over.
    fn pass(&mut self) {
        self.tell_passing();
        self.line.clear();
        self.returned = false;
    }

    fn tell_passing(&mut self) {
        let now = Instant::now();
        let is_due = self.passed.is_none_or(|last| now - last >= PASSING);
        if is_due && !self.line.is_empty() {
            self.passed = Some(now);
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.monitor.emit(Activity::Printed {
                line,
                left_out: 0,
                passing: true,
            });
        }
    }

    fn end_line(&mut self) {
        self.returned = false;
        self.passed = None;
        let now = Instant::now();
        let more = (now - self.since).as_secs_f64() * LINES_A_SECOND;
        self.since = now;
        self.allowance = (self.allowance + more).min(BURST);
        if self.allowance >= 1.0 {
            self.allowance -= 1.0;
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.tell(line, false);
        } else {
            self.left_out += 1;
        }
        self.line.clear();
    }

    fn tell(&mut self, line: String, passing: bool) {
        let left_out = std::mem::take(&mut self.left_out);
        self.monitor.emit(Activity::Printed {
            line,
            left_out,
            passing,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn shown(printed: &[&[u8]]) -> Vec<(String, u64, bool)> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let monitor = {
            let told = Arc::clone(&told);
            let note = move |activity| {
                let Activity::Printed {
                    line,
                    left_out,
                    passing,
                } = activity
                else {
                    panic!("{activity:?}");
                };
                told.lock().unwrap().push((line, left_out, passing));
            };
            Monitor::new(note, Arc::default())
        };
        let mut output = ShownOutput::new(&monitor);
        printed.iter().for_each(|bytes| output.take(bytes));
        output.finish();
        let told = told.lock().unwrap();
        told.clone()
    }

    #[test]
    fn lines_are_told_however_they_arrive() {
        let line = |text: &str| (text.to_owned(), 0, false);
        let whole = shown(&[b"one\r\n\ntwo\xff\nthree"]);
        assert_eq!(whole, [line("one"), line(""), line("two\u{fffd}"), line("three")]);
        assert_eq!(shown(&[b"on", b"e\ntw", b"o\n"]), [line("one"), line("two")]);
        assert_eq!(shown(&[]), []);
    }

    #[test]
    fn what_is_written_over_passes() {
        let told = shown(&[b"\r 10%", b"\r 20%", b"\r100%\nend\n"]);
        let lasting: Vec<&str> = told
            .iter()
            .filter(|(.., passing)| !passing)
            .map(|(line, ..)| line.as_str())
            .collect();
        assert_eq!(lasting, ["100%", "end"]);
        assert_eq!(told[0], (" 10%".to_owned(), 0, true));
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let flood = b"line\n".repeat(10_000);
        let told = shown(&[&flood, b"the end\n"]);
        let (lines, left_out) = (
            told.len() as u64,
            told.iter().map(|(_, left_out, _)| left_out).sum::<u64>(),
        );
        assert!(lines < 1000, "{lines}");
        // The last event may hold nothing but the number.
        assert!(
            (10_001..=10_002).contains(&(left_out + lines)),
            "{left_out} and {lines}"
        );
    }
}
