//! What is shown and kept of a stage's log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What is kept of a log's beginning, in bytes.
const KEPT_HEAD: u64 = 8 << 10;

/// What is kept of a log's end, in bytes.
const KEPT_TAIL: u64 = 24 << 10;

/// Lines that are shown.
const TAIL_LINES: usize = 20;

/// The last lines of a log.
pub fn log_tail(log: &Path) -> Vec<String> {
    const MOST_BYTES: u64 = 16 << 10;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

/// What is kept of a log with the record of the run: all of it, or its beginning and its end. Nothing where nothing
/// was printed.
pub fn kept_log(log: &Path) -> Option<String> {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        let mut part = |from: u64, most: u64| -> std::io::Result<String> {
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            (&mut file).take(most).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        if length <= KEPT_HEAD + KEPT_TAIL {
            return part(0, length);
        }
        let (head, tail) = (part(0, KEPT_HEAD)?, part(length - KEPT_TAIL, KEPT_TAIL)?);
        let left_out = length - KEPT_HEAD - KEPT_TAIL;
        Ok(format!(
            "{head}\n[... {left_out} bytes are left out here ...]\n{tail}"
        ))
    };
    read().ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert_eq!(kept_log(&log), None);
        std::fs::write(&log, "").unwrap();
        assert_eq!(kept_log(&log), None);
        std::fs::write(&log, "one\ntwo\n").unwrap();
        assert_eq!(kept_log(&log).unwrap(), "one\ntwo\n");
        assert_eq!(log_tail(&log), ["one", "two"]);
        std::fs::write(&log, format!("begin\n{}end\n", "line\n".repeat(20_000))).unwrap();
        let kept = kept_log(&log).unwrap();
        assert!(kept.starts_with("begin\n") && kept.ends_with("line\nend\n"));
        assert!(
            kept.contains("[... 67242 bytes are left out here ...]"),
            "{}",
            &kept[8_000..9_000]
        );
    }
}
