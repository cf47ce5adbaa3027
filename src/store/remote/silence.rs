//! That a remote did not answer, remembered from one process to the next: who works without a network should
//! not wait for it each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long it is remembered.
const MEMORY: Duration = Duration::from_secs(60 * 60);

/// The file that remembers it, with the remote's place in it.
pub(super) struct Silence {
    file: PathBuf,
    url: String,
}

impl Silence {
    pub fn new(store: &Path, url: &str) -> Self {
        Self {
            file: store.join("remote-silent"),
            url: url.to_owned(),
        }
    }

    /// Whether this remote did not answer the last time, not long ago.
    pub fn is_recent(&self) -> bool {
        let age = fs::metadata(&self.file)
            .and_then(|file| file.modified())
            .map(|time| time.elapsed().unwrap_or_default());
        age.is_ok_and(|age| age < MEMORY) && fs::read_to_string(&self.file).is_ok_and(|url| url == self.url)
    }

    /// It did not answer. Where that cannot be written down, the next process waits longer.
    pub fn begin(&self) {
        let _ = fs::write(&self.file, &self.url);
    }

    /// It answered.
    pub fn end(&self) {
        let _ = fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_remembered_for_one_remote_until_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let silence = |url: &str| Silence::new(folder.path(), url);
        assert!(!silence("a").is_recent());
        silence("a").begin();
        assert!(silence("a").is_recent());
        assert!(!silence("b").is_recent());
        let hours_ago = std::time::SystemTime::now() - MEMORY * 2;
        let file = fs::File::options()
            .append(true)
            .open(folder.path().join("remote-silent"));
        file.unwrap().set_modified(hours_ago).unwrap();
        assert!(!silence("a").is_recent());
        silence("a").begin();
        silence("a").end();
        assert!(!silence("a").is_recent());
    }
}
