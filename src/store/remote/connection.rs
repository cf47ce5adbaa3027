//! A remote's other end, whatever it is.

use std::path::Path;
use std::time::Duration;

use super::bucket::Bucket;
use super::folder::Folder;
use super::requests::{ANSWER, Content};
use super::web::Web;
use super::{RemoteOptions, TransferError};

/// A remote's other end. Its methods wait, each with a limit of its time.
pub(super) enum Connection {
    /// A folder.
    Folder(Folder),
    /// What a web server keeps.
    Web(Web),
    /// A bucket of an S3-compatible service.
    Bucket(Bucket),
}

impl Connection {
    /// Prepares to ask a remote; asks nothing yet.
    ///
    /// # Errors
    /// The place or the surroundings cannot be right, in words.
    pub fn new(options: &RemoteOptions) -> Result<Self, String> {
        let url = options.url.as_str();
        if let Some(place) = url.strip_prefix("s3://") {
            let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            Bucket::new(place, options, &variable).map(Self::Bucket)
        } else if url.starts_with("http://") || url.starts_with("https://") {
            Web::new(url).map(Self::Web)
        } else {
            Folder::new(url).map(Self::Folder)
        }
    }

    /// Whether it answers within so long, whatever it says.
    pub fn greet(&self, limit: Duration) -> Result<(), String> {
        self.size_within("format", limit).map(drop)
    }

    /// How large something is; nothing where it is not there.
    pub fn size(&self, name: &str) -> Result<Option<u64>, String> {
        self.size_within(name, ANSWER)
    }

    fn size_within(&self, name: &str, limit: Duration) -> Result<Option<u64>, String> {
        match self {
            Self::Folder(folder) => folder.size(name),
            Self::Web(web) => web.client.size(web.url(name), limit),
            Self::Bucket(bucket) => bucket.client.size(bucket.url(name), limit),
        }
    }

    /// What is there, in memory: for what is small.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Folder(folder) => folder.get(name),
            Self::Web(web) => web.client.get(&web.url(name)),
            Self::Bucket(bucket) => bucket.client.get(&bucket.url(name)),
        }
    }

    /// Writes what is there to a file; says whether it is there.
    pub fn download(&self, name: &str, to: &Path) -> Result<bool, TransferError> {
        match self {
            Self::Folder(folder) => folder.download(name, to),
            Self::Web(web) => web.client.download(&web.url(name), to),
            Self::Bucket(bucket) => bucket.client.download(&bucket.url(name), to),
        }
    }

    /// Puts bytes there.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        match self {
            Self::Folder(folder) => folder.put(name, bytes),
            Self::Web(web) => web.put(name, Content::Bytes(bytes)).map_err(TransferError::words),
            Self::Bucket(bucket) => bucket
                .put(name, Content::Bytes(bytes))
                .map_err(TransferError::words),
        }
    }

    /// Puts a file of `size` bytes there, which is never in memory as a whole.
    pub fn upload(&self, name: &str, from: &Path, size: u64) -> Result<(), TransferError> {
        match self {
            Self::Folder(folder) => folder.upload(name, from),
            Self::Web(web) => {
                let whole = Content::Part {
                    file: from,
                    start: 0,
                    length: size,
                };
                web.put(name, whole)
            }
            Self::Bucket(bucket) => bucket.upload(name, from, size),
        }
    }

    /// The names of everything below the folder `name`.
    pub fn list(&self, name: &str) -> Result<Vec<String>, String> {
        match self {
            Self::Folder(folder) => folder.list(name),
            Self::Web(web) => web.list(name),
            Self::Bucket(bucket) => bucket.list(name),
        }
    }
}
