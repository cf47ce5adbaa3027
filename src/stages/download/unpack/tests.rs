//! Good archives, and as many bad ones as there are ways to be bad.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::event::Activity;

/// A tar archive, entry by entry, with no care for sense.
struct Pack(tar_crate::Builder<Vec<u8>>);

use ::tar as tar_crate;
use tar_crate::{EntryType, Header};

impl Pack {
    fn new() -> Self {
        Self(tar_crate::Builder::new(Vec::new()))
    }

    fn header(path: &str, kind: EntryType, mode: u32, size: usize) -> Header {
        let mut header = Header::new_gnu();
        // Straight into the bytes: the library refuses hostile paths.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        let mut header = Self::header(path, EntryType::Regular, 0o644, text.len());
        header.set_cksum();
        self.0.append(&header, text.as_bytes()).unwrap();
        self
    }

    fn with_mode(mut self, path: &str, mode: u32) -> Self {
        let mut header = Self::header(path, EntryType::Regular, mode, 0);
        header.set_cksum();
        self.0.append(&header, &[][..]).unwrap();
        self
    }

    fn special(mut self, path: &str, kind: EntryType, target: &str) -> Self {
        let mut header = Self::header(path, kind, 0o755, 0);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, &[][..]).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Unpacked {
    folder: TempDir,
    result: Result<(), StageError>,
    notices: Vec<String>,
}

impl Unpacked {
    fn of(bytes: &[u8]) -> Self {
        Self::with(
            bytes,
            "a.bin",
            UnpackLimits {
                bytes: 1 << 20,
                entries: 100,
            },
        )
    }

    fn with(bytes: &[u8], name: &str, limits: UnpackLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let packed = folder.path().join("packed");
        fs::write(&packed, bytes).unwrap();
        fs::create_dir(folder.path().join("output")).unwrap();
        let notices = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&notices);
        let emit = move |activity| {
            if let Activity::Notice { message, .. } = activity {
                keep.lock().unwrap().push(message);
            }
        };
        let monitor = Monitor::new(emit, Arc::default());
        let result = unpack(
            &packed,
            name,
            &folder.path().join("output"),
            limits,
            false,
            &monitor,
        );
        let notices = notices.lock().unwrap().clone();
        Self {
            folder,
            result,
            notices,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("output").join(path)
    }

    fn text(&self, path: &str) -> String {
        assert_eq!(self.result, Ok(()));
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// It failed with these words, and nothing got out of the output folder.
    fn refused(&self, words: &str) {
        let message = self.result.as_ref().unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 2, "{message}");
    }
}

fn sample() -> Vec<u8> {
    let long = "n".repeat(180);
    let mut pack = Pack::new()
        .special("./", EntryType::Directory, "")
        .file("./d/x", "one")
        .file("d/e/y", "two");
    let mut header = Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o4755);
    pack.0
        .append_data(&mut header, format!("{long}/z"), &b"long"[..])
        .unwrap();
    pack.special("empty/", EntryType::Directory, "").bytes()
}

#[test]
fn tars_unpack_however_they_are_packed() {
    let tar = sample();
    let zst = zstd::encode_all(&tar[..], 1).unwrap();
    // Two members, one behind the other, are one file.
    let members = [gz(&tar[..700]), gz(&tar[700..])].concat();
    for packed in [tar.clone(), gz(&tar), zst, members] {
        let unpacked = Unpacked::of(&packed);
        assert_eq!(unpacked.text("d/x"), "one");
        assert_eq!(unpacked.text("d/e/y"), "two");
        let long = unpacked.path(&format!("{}/z", "n".repeat(180)));
        assert_eq!(fs::metadata(long).unwrap().mode() & 0o7777, 0o755);
        assert!(unpacked.path("empty").is_dir());
    }
}

#[test]
fn a_single_packed_file_loses_its_ending() {
    let limits = UnpackLimits {
        bytes: 100,
        entries: 100,
    };
    assert_eq!(
        Unpacked::with(&gz(b"text"), "x.csv.gz", limits).text("x.csv"),
        "text"
    );
    assert_eq!(Unpacked::with(&gz(b""), "x.GZ", limits).text("x"), "");
    let zst = zstd::encode_all(&b"text"[..], 1).unwrap();
    assert_eq!(Unpacked::with(&zst, "train.zst", limits).text("train"), "text");
    Unpacked::with(&gz(&[7; 101]), "x.gz", limits).refused("max_unpacked");
}

fn zipped(fill: impl FnOnce(&mut zip_crate::ZipWriter<io::Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut writer = zip_crate::ZipWriter::new(io::Cursor::new(Vec::new()));
    fill(&mut writer);
    writer.finish().unwrap().into_inner()
}

use ::zip as zip_crate;
use zip_crate::write::SimpleFileOptions;

fn zip_file(path: &str, text: &str, mode: u32) -> Vec<u8> {
    zipped(|writer| {
        writer
            .start_file(path, SimpleFileOptions::default().unix_permissions(mode))
            .unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    })
}

#[test]
fn zips_unpack() {
    let packed = zipped(|writer| {
        let options = SimpleFileOptions::default();
        writer.add_directory("empty/", options).unwrap();
        writer.start_file("d/x", options.unix_permissions(0o755)).unwrap();
        writer.write_all(b"one").unwrap();
        writer.start_file("w\\y", options).unwrap();
        writer.write_all(b"two").unwrap();
        writer.add_symlink("d/l", "../w/y", options).unwrap();
    });
    let unpacked = Unpacked::of(&packed);
    assert_eq!(
        (unpacked.text("d/x"), unpacked.text("w/y"), unpacked.text("d/l")),
        ("one".into(), "two".into(), "two".into())
    );
    assert!(unpacked.path("empty").is_dir());
    assert_eq!(fs::metadata(unpacked.path("d/x")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn hostile_zips_are_refused() {
    Unpacked::of(&zip_file("../x", "x", 0o644)).refused("leads outside");
    Unpacked::of(&zip_file("/x", "x", 0o644)).refused("absolute");
    Unpacked::of(&zip_file("C:\\x", "x", 0o644)).refused("absolute");
    Unpacked::of(&zip_file("x", &"0".repeat(2 << 20), 0o644)).refused("max_unpacked");
    let outside = zipped(|writer| {
        writer
            .add_symlink("l", "../../x", SimpleFileOptions::default())
            .unwrap();
    });
    Unpacked::of(&outside).refused("leads outside");
    let whole = zip_file("x", &"text".repeat(100), 0o644);
    Unpacked::of(&whole[..whole.len() - 30]).refused("damaged or cut off");
    let mut flipped = whole;
    flipped[40] ^= 0xff;
    Unpacked::of(&flipped).refused("`x`");
    let many = zipped(|writer| {
        for number in 0..101 {
            writer
                .start_file(number.to_string(), SimpleFileOptions::default())
                .unwrap();
        }
    });
    Unpacked::of(&many).refused("101");
}

#[test]
fn hostile_paths_are_refused() {
    for (path, words) in [
        ("../x", "leads outside"),
        ("a/../../x", "leads outside"),
        ("a/../x", "leads outside"),
        ("/x", "absolute"),
        ("./", "empty path"),
    ] {
        let kind = if path.ends_with('/') {
            EntryType::Symlink
        } else {
            EntryType::Regular
        };
        Unpacked::of(&Pack::new().special(path, kind, "y").bytes()).refused(words);
    }
    let mut latin = Pack::header("x", EntryType::Regular, 0o644, 0);
    latin.as_old_mut().name[0] = 0xe4;
    latin.set_cksum();
    let mut pack = Pack::new();
    pack.0.append(&latin, &[][..]).unwrap();
    Unpacked::of(&pack.bytes()).refused("UTF-8");
}

#[test]
fn hostile_links_are_refused() {
    let link = |path: &str, target: &str| Pack::new().special(path, EntryType::Symlink, target);
    Unpacked::of(&link("l", "/etc").bytes()).refused("leads outside");
    Unpacked::of(&link("d/l", "../../x").bytes()).refused("leads outside");
    Unpacked::of(&link("l", "d").file("l/x", "x").bytes()).refused("through a symbolic link");
    Unpacked::of(&link("a", "b").special("b", EntryType::Symlink, "a").bytes()).refused("circle");
    Unpacked::of(
        &Pack::new()
            .file("d/x", "")
            .special("d/l", EntryType::Symlink, ".")
            .bytes(),
    )
    .refused("around itself");
    let hard = |target: &str| {
        Pack::new()
            .file("x", "x")
            .special("h", EntryType::Link, target)
            .bytes()
    };
    Unpacked::of(&hard("../../etc/passwd")).refused("leads outside");
    Unpacked::of(&hard("y")).refused("no file of the archive");
    let through = link("l", "d")
        .file("d/x", "x")
        .special("h", EntryType::Link, "l/x");
    Unpacked::of(&through.bytes()).refused("no file of the archive");
    // A chain that is harmless part by part, but not as a whole.
    let chain = link("a", ".").special("b", EntryType::Symlink, "a/..");
    let unpacked = Unpacked::of(&chain.bytes());
    assert!(unpacked.result.is_err());
}

#[test]
fn links_inside_work() {
    let pack = Pack::new()
        .special("first", EntryType::Symlink, "v/x")
        .file("v/x", "one")
        .special("second", EntryType::Symlink, "first")
        .special("latest", EntryType::Symlink, "v")
        .special("deep/l", EntryType::Symlink, "../latest/x")
        .special("hard", EntryType::Link, "v/x")
        .special("nowhere", EntryType::Symlink, "gone");
    let unpacked = Unpacked::of(&pack.bytes());
    for path in ["first", "second", "latest/x", "deep/l", "hard"] {
        assert_eq!(unpacked.text(path), "one", "{path}");
    }
    assert!(!unpacked.path("nowhere").exists());
    assert!(
        unpacked.notices.iter().any(|notice| notice.contains("`nowhere`")),
        "{:?}",
        unpacked.notices
    );
}

#[test]
fn a_later_file_replaces_one_name_only() {
    let pack = Pack::new()
        .file("x", "one")
        .special("h", EntryType::Link, "x")
        .file("x", "two");
    let unpacked = Unpacked::of(&pack.bytes());
    assert_eq!(
        (unpacked.text("x"), unpacked.text("h")),
        ("two".into(), "one".into())
    );
    Unpacked::of(&Pack::new().file("x", "").file("x/y", "").bytes()).refused("needs a folder");
    Unpacked::of(&Pack::new().file("x/y", "").file("x", "").bytes()).refused("is a file where");
    let link = Pack::new()
        .file("y", "two")
        .special("x", EntryType::Symlink, "../../x")
        .bytes();
    Unpacked::of(&link).refused("leads outside");
    let replaced = Pack::new()
        .file("y", "two")
        .special("x", EntryType::Symlink, "y")
        .file("x", "one")
        .bytes();
    let unpacked = Unpacked::of(&replaced);
    assert_eq!(
        (unpacked.text("x"), unpacked.text("y")),
        ("one".into(), "two".into())
    );
}

#[test]
fn devices_and_modes() {
    for kind in [EntryType::Fifo, EntryType::Char, EntryType::Block] {
        Unpacked::of(&Pack::new().special("x", kind, "").bytes()).refused("device or a pipe");
    }
    let unpacked = Unpacked::of(&Pack::new().with_mode("x", 0o6777).with_mode("y", 0o000).bytes());
    assert_eq!(unpacked.text("x"), "");
    assert_eq!(fs::metadata(unpacked.path("x")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(unpacked.path("y")).unwrap().mode() & 0o7777, 0o644);
}

#[test]
fn bombs_stop_early() {
    let big = "0".repeat(600 << 10);
    let packed = gz(&Pack::new().file("x", &big).file("y", &big).bytes());
    assert!(packed.len() < 20_000);
    Unpacked::of(&packed).refused("max_unpacked");
    let mut many = Pack::new();
    for number in 0..101 {
        many = many.special(&number.to_string(), EntryType::Directory, "");
    }
    Unpacked::of(&many.bytes()).refused("100 entries");
    // An endless name.
    let mut pack = Pack::new();
    let mut header = Pack::header("././@LongLink", EntryType::GNULongName, 0, 8 << 20);
    header.set_cksum();
    pack.0.append(&header, io::repeat(b'a').take(8 << 20)).unwrap();
    Unpacked::of(&gz(&pack.file("x", "").bytes())).refused("headers are larger");
}

#[test]
fn damage_is_named() {
    let tar = Pack::new()
        .file("d/x", &"one".repeat(1000))
        .file("d/y", "two")
        .bytes();
    Unpacked::of(&tar[..2000]).refused("`d/x`");
    Unpacked::of(&tar[..512 + 3072 + 300]).refused("what follows `d/x`");
    // Cut off right between two entries: only the end mark is missing.
    Unpacked::of(&tar[..512 + 3072]).refused("end mark");
    let packed = gz(&tar);
    Unpacked::of(&packed[..packed.len() - 4]).refused("damaged or cut off");
    let mut flipped = packed.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    Unpacked::of(&flipped).refused("damaged or cut off");
    let zst = zstd::encode_all(&tar[..], 1).unwrap();
    Unpacked::of(&zst[..zst.len() - 10]).refused("damaged or cut off");
    Unpacked::of(b"<html>not found</html>").refused("3c 68 74 6d 6c");
    Unpacked::of(b"").refused("no archive");
}
