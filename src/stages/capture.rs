//! What a program prints, on its way to the stage's log.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What is kept of the beginning.
const HEAD: u64 = 32 << 20;

/// What is kept of the end, where there is more.
const TAIL: usize = 1 << 20;

/// What stands in a secret's place.
const MASK: &[u8] = b"***";

/// The shortest line of a secret of several lines that is hidden by itself too.
const SHORTEST_LINE: usize = 8;

/// A log that keeps no secrets and does not fill the disk.
///
/// Beyond [`HEAD`] only the last [`TAIL`] bytes are kept, and how much lies between is said. A log that
/// cannot be written ends: what the program does is not its business.
pub struct Capture {
    path: PathBuf,
    file: Option<io::Result<File>>,
    secrets: Vec<Vec<u8>>,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
    written: u64,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Capture {
    /// Keeps what a program prints in the file at `path`, behind what is there, without `secrets`.
    pub fn new(path: &Path, secrets: &[&str]) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            secrets: parts(secrets),
            held: Vec::new(),
            written: 0,
            tail: VecDeque::new(),
            left_out: 0,
        }
    }

    /// Takes what was printed; hands on to `show` what of it is sure to hold no secret.
    pub fn take(&mut self, bytes: &[u8], show: &mut dyn FnMut(&[u8])) {
        if self.secrets.is_empty() {
            self.keep(bytes);
            show(bytes);
            return;
        }
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(bytes);
        let (masked, held) = mask(&text, &self.secrets, false);
        self.held = held.to_vec();
        self.keep(&masked);
        show(&masked);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = usize::try_from(HEAD.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let (head, rest) = bytes.split_at(bytes.len().min(room));
        self.write(head);
        if rest.is_empty() {
            return;
        }
        let fits = &rest[rest.len().saturating_sub(TAIL)..];
        let over = (self.tail.len() + fits.len()).saturating_sub(TAIL);
        self.tail.drain(..over);
        self.tail.extend(fits);
        self.left_out += (over + rest.len() - fits.len()) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.written += bytes.len() as u64;
        let open = || OpenOptions::new().create(true).append(true).open(&self.path);
        let file = self.file.get_or_insert_with(open);
        if let Ok(log) = file
            && let Err(error) = log.write_all(bytes)
        {
            *file = Err(error);
        }
    }

    /// Writes what is left, and hands it on to `show`; gives the error that ended the log, if one did.
    pub fn finish(mut self, show: &mut dyn FnMut(&[u8])) -> Option<io::Error> {
        let held = std::mem::take(&mut self.held);
        let (masked, _) = mask(&held, &self.secrets, true);
        self.keep(&masked);
        show(&masked);
        if self.left_out > 0 {
            let note = format!("\n[... {} bytes are left out here ...]\n", self.left_out);
            self.write(note.as_bytes());
        }
        let tail = Vec::from(std::mem::take(&mut self.tail));
        self.write(&tail);
        self.file?.err()
    }
}

/// A text without secrets.
pub fn hide(text: &str, secrets: &[&str]) -> String {
    let (masked, _) = mask(text.as_bytes(), &parts(secrets), true);
    String::from_utf8_lossy(&masked).into_owned()
}

/// The texts that are to be hidden, the longest first: one may be part of another.
fn parts(secrets: &[&str]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for secret in secrets {
        parts.push(secret.as_bytes().to_vec());
        let lines = secret
            .split(['\n', '\r'])
            .filter(|line| line.len() >= SHORTEST_LINE);
        parts.extend(lines.map(|line| line.as_bytes().to_vec()));
    }
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.dedup();
    parts
}

/// The text without secrets. Unless it is the last, what may be the beginning of one at its end is not
/// decided about, and comes beside it.
fn mask<'a>(text: &'a [u8], secrets: &[Vec<u8>], last: bool) -> (Vec<u8>, &'a [u8]) {
    let mut masked = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        // A shorter one that fits must wait as well: it may turn out to be the beginning of a longer one.
        let may_go_on = |secret: &Vec<u8>| secret.len() > rest.len() && secret.starts_with(rest);
        if !last && secrets.iter().any(may_go_on) {
            return (masked, rest);
        }
        if let Some(secret) = secrets.iter().find(|secret| rest.starts_with(secret)) {
            masked.extend_from_slice(MASK);
            rest = &rest[secret.len()..];
        } else {
            masked.push(*first);
            rest = &rest[1..];
        }
    }
    (masked, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(secrets: &[&str], printed: &[&[u8]]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut capture = Capture::new(&path, secrets);
        let mut shown = Vec::new();
        let mut show = |bytes: &[u8]| shown.extend_from_slice(bytes);
        printed.iter().for_each(|bytes| capture.take(bytes, &mut show));
        assert!(capture.finish(&mut show).is_none());
        let kept = std::fs::read(&path).unwrap_or_default();
        if kept.len() < HEAD as usize {
            assert_eq!(shown, kept, "what is shown is what is kept");
        }
        kept
    }

    #[test]
    fn secrets_are_hidden_however_they_arrive() {
        let text = b"key=hunter22 and hunter2, hunt, line-one-of-two\n";
        let secrets = ["hunter2", "hunter22", "line-one-of-two\nline-two-of-two"];
        let expected = b"key=*** and ***, hunt, ***\n";
        assert_eq!(log(&secrets, &[text]), expected);
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);
            assert_eq!(log(&secrets, &[first, second]), expected, "{cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(log(&secrets, &bytes), expected);
        // What only began like one is printed in the end.
        assert_eq!(log(&["hunter2"], &[b"say hunt"]), b"say hunt");
        assert_eq!(log(&[], &[]), b"");
        // The shorter of two, right at the end.
        assert_eq!(log(&secrets, &[b"hunter2"]), b"***");
        assert_eq!(hide("left: hunter22.txt", &secrets), "left: ***.txt");
    }

    #[test]
    fn of_a_flood_the_beginning_and_the_end_are_kept() {
        let line = b"0123456789abcde\n".repeat(1 << 16);
        let mut printed = vec![line.as_slice(); 80];
        printed.push(b"the end");
        let log = log(&[], &printed);
        assert!(log.len() < (HEAD as usize) + TAIL + 100, "{}", log.len());
        assert!(log.starts_with(b"0123456789abcde\n") && log.ends_with(b"\nthe end"));
        let left_out = 80 * line.len() + 7 - HEAD as usize - TAIL;
        let note = format!("[... {left_out} bytes are left out here ...]");
        assert!(
            String::from_utf8_lossy(&log[HEAD as usize..]).contains(&note),
            "{note}"
        );
    }
}
