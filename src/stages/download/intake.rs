//! What a file must pass to be the stage's result: what it is, its checksum, unpacking.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::Digest as _;

use super::encoding::{ContentEncoding, decode};
use super::fault::DownloadFault;
use super::partial::PartialFile;
use super::unpack::{self, PackedArchive, UnpackLimits};
use super::{DownloadProgress, cannot, content, read_some, size_of, source};
use crate::event::Monitor;
use crate::spec::{ByteSize, Download};

/// A packed file and whose it is.
pub(super) struct Packed<'a> {
    pub path: &'a Path,
    /// It lies in the scratch folder and may be moved.
    pub ours: bool,
}

/// Takes files into a stage's output.
pub(super) struct FileIntake<'a> {
    pub spec: &'a Download,
    /// The stage's output, which is empty.
    pub output: &'a Path,
    /// Where the file comes from, for messages.
    pub place: &'a str,
    pub monitor: &'a Monitor,
}

impl FileIntake<'_> {
    /// Takes a file as it is.
    pub fn take(&self, packed: &Packed<'_>) -> Result<(), DownloadFault> {
        if let Some(expected) = &self.spec.sha256 {
            let (size, found) = self.sum(packed.path)?;
            if found != expected.as_str() {
                return Err(self.wrong_sum(packed.path, size, &found));
            }
        }
        self.deliver(packed)
    }

    /// Takes what a server sent: not a web page or nothing in place of the file, and decoded where the server
    /// encoded it on the way.
    pub fn take_served(&self, served: &PartialFile, scratch: &Path) -> Result<(), DownloadFault> {
        let start = beginning(served.path())?;
        let header = served.origin().and_then(|origin| origin.encoding.as_deref());
        let encoding = ContentEncoding::of(header, &self.spec.file_name(), &start);
        let packed = Packed {
            path: served.path(),
            ours: true,
        };
        if let Some(expected) = &self.spec.sha256 {
            let (size, found) = self.sum(packed.path)?;
            if found == expected.as_str() {
                return self.deliver(&packed);
            }
            if encoding == ContentEncoding::Identity {
                return Err(self.wrong_sum(packed.path, size, &found));
            }
        }
        match encoding {
            ContentEncoding::Identity => {
                self.refuse_stand_in(&start)?;
                self.deliver(&packed)
            }
            ContentEncoding::Packed(packing) => {
                let decoded = scratch.join("decoded");
                let most = self.spec.max_size;
                decode(packing, packed.path, &decoded, self.place, most, self.monitor)?;
                self.monitor.info(format!(
                    "`{}` was sent encoded (Content-Encoding: {}) although that was not asked for; it was decoded",
                    self.place,
                    header.unwrap_or_default()
                ));
                if self.spec.sha256.is_none() {
                    self.refuse_stand_in(&beginning(&decoded)?)?;
                }
                self.take(&Packed {
                    path: &decoded,
                    ours: true,
                })
            }
            ContentEncoding::Unknown => Err(DownloadFault::source(format!(
                "`{}` was sent encoded (Content-Encoding: {}) although that was not asked for, and cannot be decoded \
                 here; name a mirror, or get it by a `command` stage",
                self.place,
                header.unwrap_or_default()
            ))),
        }
    }

    /// Refuses what servers send in place of a file, with a status that says that all is well. A checksum
    /// would have told; without one, what looks like such an answer is one.
    fn refuse_stand_in(&self, start: &[u8]) -> Result<(), DownloadFault> {
        if start.is_empty() {
            return Err(DownloadFault::source(format!(
                "`{}` sent an empty file; look at the address in a browser (if the file is meant to be empty, give its \
                 `sha256`)",
                self.place
            )));
        }
        let name = self.spec.file_name().to_ascii_lowercase();
        let is_page_by_name = [".html", ".htm", ".xhtml"]
            .iter()
            .any(|ending| name.ends_with(ending));
        let is_meant = is_page_by_name && !self.spec.unpack;
        if content::is_web_page(start) && !is_meant {
            return Err(DownloadFault::source(format!(
                "`{}` did not send the file: {}; open the address in a browser to see what it wants, such as a login or \
                 a confirmation (if the page is the file, give its `sha256`)",
                self.place,
                content::description(start)
            )));
        }
        Ok(())
    }

    /// Unpacks the file into the output, or puts it there.
    fn deliver(&self, packed: &Packed<'_>) -> Result<(), DownloadFault> {
        let name = source::safe_name(&self.spec.file_name());
        if !self.spec.unpack {
            return self.keep(packed, &self.output.join(name));
        }
        let limits = UnpackLimits {
            bytes: self.spec.max_unpacked.0,
            ratio: self.spec.max_ratio.get().into(),
            ..UnpackLimits::default()
        };
        let archive = PackedArchive {
            path: packed.path,
            name: &name,
            checked: self.spec.sha256.is_some(),
            has_options: true,
        };
        unpack::unpack(&archive, self.output, limits, self.monitor)?;
        if packed.ours {
            // What is left is cleared with the scratch folder.
            let _ = fs::remove_file(packed.path);
        }
        Ok(())
    }

    /// The file's size and SHA-256.
    fn sum(&self, path: &Path) -> Result<(u64, String), DownloadFault> {
        let mut file = File::open(path).map_err(|error| cannot("read", path, &error))?;
        let size = size_of(path)?;
        let mut hasher = sha2::Sha256::new();
        let mut progress = DownloadProgress::new("check", Some(size), self.monitor);
        let mut buffer = vec![0; 256 << 10];
        let mut done = 0;
        loop {
            let count = read_some(&mut file, &mut buffer).map_err(|error| cannot("read", path, &error))?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            done += count as u64;
            progress.at(done)?;
        }
        let sum = hasher.finalize();
        Ok((done, sum.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The file at `path` has another checksum than it should have.
    fn wrong_sum(&self, path: &Path, size: u64, found: &str) -> DownloadFault {
        let start = beginning(path).unwrap_or_default();
        let what = if start.is_empty() || content::is_web_page(&start) {
            format!("\n{}", content::description(&start))
        } else {
            String::new()
        };
        let expected = self.spec.sha256.as_ref().map_or("", |sum| sum.as_str());
        DownloadFault::source(format!(
            "`{}` ({}, {size} bytes) has the wrong checksum:\n  expected sha256 {expected}\n  found    sha256 \
             {found}{what}\nif the file was replaced on purpose, look at it and set `sha256` to what was found; \
             otherwise get a sound copy",
            self.place,
            ByteSize(size),
        ))
    }

    /// Puts the packed file into the output: moved where it may be, else shared, else copied.
    fn keep(&self, packed: &Packed<'_>, target: &Path) -> Result<(), DownloadFault> {
        if packed.ours && fs::rename(packed.path, target).is_ok()
            || reflink_copy::reflink(packed.path, target).is_ok()
        {
            return Ok(());
        }
        let unwritable = |error: io::Error| DownloadFault::cannot("write", target, &error);
        let size = size_of(packed.path)?;
        let mut from = File::open(packed.path).map_err(|error| cannot("read", packed.path, &error))?;
        let mut to = File::create(target).map_err(unwritable)?;
        let mut progress = DownloadProgress::new("copy", Some(size), self.monitor);
        let mut buffer = vec![0; 256 << 10];
        let mut done = 0;
        loop {
            let count =
                read_some(&mut from, &mut buffer).map_err(|error| cannot("read", packed.path, &error))?;
            if count == 0 {
                return Ok(());
            }
            to.write_all(&buffer[..count]).map_err(unwritable)?;
            done += count as u64;
            progress.at(done)?;
        }
    }
}

/// The first bytes of a file.
fn beginning(path: &Path) -> Result<Vec<u8>, DownloadFault> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(content::ENOUGH as u64).read_to_end(&mut start))
        .map_err(|error| DownloadFault::cannot("read", path, &error))?;
    Ok(start)
}
