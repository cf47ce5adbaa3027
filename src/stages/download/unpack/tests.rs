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
    result: Result<(), DownloadFault>,
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
                ..UnpackLimits::default()
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
        let archive = PackedArchive {
            path: &packed,
            name,
            checked: false,
            has_options: true,
        };
        let result = unpack(&archive, &folder.path().join("output"), limits, &monitor);
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

    /// It worked, with these words in a warning.
    fn warned(&self, words: &str) {
        assert_eq!(self.result, Ok(()));
        let told = self.notices.iter().any(|notice| notice.contains(words));
        assert!(told, "no `{words}` in: {:?}", self.notices);
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

/// What a server gives that has lost its files.
#[test]
fn an_archive_of_nothing_is_no_data() {
    Unpacked::of(&zipped(|_| ())).refused("is empty: nothing is in it");
}

#[test]
fn a_single_packed_file_loses_its_ending() {
    let limits = UnpackLimits {
        bytes: 100,
        entries: 100,
        ..UnpackLimits::default()
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
    let mut header = Pack::header("././@LongLink", EntryType::GNULongName, 0, 65 << 20);
    header.set_cksum();
    pack.0.append(&header, io::repeat(b'a').take(65 << 20)).unwrap();
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
    Unpacked::of(&tar[..512 + 3072]).warned("no end mark behind `d/x`");
    let packed = gz(&tar);
    Unpacked::of(&packed[..packed.len() - 4]).refused("damaged or cut off");
    let mut flipped = packed.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    Unpacked::of(&flipped).refused("damaged or cut off");
    let zst = zstd::encode_all(&tar[..], 1).unwrap();
    Unpacked::of(&zst[..zst.len() - 10]).refused("damaged or cut off");
    Unpacked::of(b"<html>not found</html>").refused("it is a web page (HTML)");
    Unpacked::of(b"{\"error\": \"gone\"}").refused("it begins with the text `{\"error\": \"gone\"}`");
    Unpacked::of(b"\0\x01\x02").refused("the bytes `00 01 02`");
    Unpacked::of(b"").refused("no archive");
}

/// Archives of other programs, made by `tests/fixtures/archives.sh`.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/archives/",
            $name
        ))
    };
}

#[test]
fn holes_are_filled_in_every_format() {
    let mut expected = vec![0; 300_000];
    expected[0] = 1;
    expected[100_000..100_006].copy_from_slice(b"middle");
    for packed in [
        &fixture!("sparse-gnu.tar.gz")[..],
        fixture!("sparse-0.0.tar.gz"),
        fixture!("sparse-0.1.tar.gz"),
        fixture!("sparse-1.0.tar.gz"),
    ] {
        let unpacked = Unpacked::of(packed);
        assert_eq!(unpacked.text("pack/z.txt"), "a note\n");
        assert!(fs::read(unpacked.path("pack/holes.bin")).unwrap() == expected);
        assert_eq!(fs::read_dir(unpacked.path("")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(unpacked.path("pack")).unwrap().count(), 2);
    }
}

/// An archive of one POSIX entry `x` with these records and this content.
fn posix(records: &[(&str, &str)], content: &[u8]) -> Vec<u8> {
    let mut pack = Pack::new();
    let records = records.iter().map(|(name, value)| (*name, value.as_bytes()));
    pack.0.append_pax_extensions(records).unwrap();
    let mut header = Pack::header("x", EntryType::Regular, 0o644, content.len());
    header.set_cksum();
    pack.0.append(&header, content).unwrap();
    pack.bytes()
}

#[test]
fn lists_of_holes_that_lie_are_refused() {
    let map = |map: &str, size: &str, content: &[u8]| {
        let records = [
            ("GNU.sparse.map", map),
            ("GNU.sparse.size", size),
            ("GNU.sparse.name", "y"),
        ];
        Unpacked::of(&posix(&records, content))
    };
    assert_eq!(map("1,1,3,1", "5", b"ab").text("y"), "\0a\0b\0");
    assert_eq!(map("", "2", b"").text("y"), "\0\0");
    for (list, size, content) in [
        ("1,1,1,1", "5", &b"ab"[..]),
        ("3,1,1,1", "5", b"ab"),
        ("1,9", "5", b"ab"),
        ("1,1,3", "5", b"ab"),
        ("1,18446744073709551615", "5", b"ab"),
        ("1,x", "5", b"ab"),
        ("1,1", "-5", b"a"),
        ("1,1", "5", b"ab"),
        ("1,3", "5", b"ab"),
    ] {
        map(list, size, content).refused("damaged or cut off");
    }
    map("0,0", "9000000000000000000", b"").refused("max_unpacked");
    let version = |major, content: &[u8]| {
        let records = [
            ("GNU.sparse.major", major),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.realsize", "4"),
        ];
        Unpacked::of(&posix(&records, content))
    };
    let block = |list: &str| [list.as_bytes(), &vec![0; 512 - list.len()], b"ab"].concat();
    assert_eq!(version("1", &block("2\n0\n1\n3\n1\n")).text("x"), "a\0\0b");
    version("2", b"").refused("sound as far as it was read");
    version("1", &block("99999999999\n")).refused("sound as far");
    version("1", &block("2\n0\n1\n3\n")).refused("damaged");
    version("1", &block("x\n")).refused("damaged");
}

#[test]
fn records_of_extended_headers_end_where_their_lengths_say() {
    let note = ("SCHILY.xattr.user.note", "one\n\n99 path=two");
    // GNU tar and Python's tarfile agree on all of these.
    assert_eq!(
        Unpacked::of(&posix(&[note, ("path", "d/y")], b"ab")).text("d/y"),
        "ab"
    );
    let sparse = [
        note,
        ("GNU.sparse.map", "1,1,3,1"),
        ("GNU.sparse.size", "5"),
        ("GNU.sparse.name", "y"),
        ("path", "GNUSparseFile.7/y"),
    ];
    assert_eq!(Unpacked::of(&posix(&sparse, b"ab")).text("y"), "\0a\0b\0");
    let twice = Unpacked::of(&posix(&[("path", "first"), ("path", "second")], b"ab"));
    assert_eq!(twice.text("second"), "ab");
    assert!(!twice.path("first").exists());
    let size = posix(&[note, ("size", "2")], b"ab");
    assert_eq!(Unpacked::of(&size).text("x"), "ab");
    // A record that reaches beyond its header.
    let mut pack = Pack::new();
    let wrong = b"99 path=d/y\n";
    let mut header = Pack::header("x", EntryType::XHeader, 0o644, wrong.len());
    header.set_cksum();
    pack.0.append(&header, &wrong[..]).unwrap();
    Unpacked::of(&pack.file("x", "ab").bytes()).refused("records contradict their lengths");
}

#[test]
fn what_a_global_header_says_counts_until_an_entry_says_otherwise() {
    let mut pack = Pack::new();
    let global = b"14 path=all/a\n";
    let mut header = Pack::header("g", EntryType::XGlobalHeader, 0o644, global.len());
    header.set_cksum();
    pack.0.append(&header, &global[..]).unwrap();
    let mut pack = pack.file("x", "first");
    pack.0.append_pax_extensions([("path", &b"own"[..])]).unwrap();
    let unpacked = Unpacked::of(&pack.file("x", "second").bytes());
    assert_eq!(unpacked.text("all/a"), "first");
    assert_eq!(unpacked.text("own"), "second");
}

#[test]
fn folders_and_links_have_no_content_whatever_their_size() {
    let mut pack = Pack::new();
    for (path, kind) in [("d/", EntryType::Directory), ("l", EntryType::Symlink)] {
        let mut header = Pack::header(path, kind, 0o755, 4096);
        header.as_old_mut().linkname[..3].copy_from_slice(b"d/x");
        header.set_cksum();
        pack.0.append(&header, &[][..]).unwrap();
    }
    let unpacked = Unpacked::of(&pack.file("d/x", "ab").bytes());
    assert_eq!(unpacked.text("d/x"), "ab");
    assert_eq!(unpacked.text("l"), "ab");
}

#[test]
fn what_other_programs_pack_is_unpacked() {
    for packed in [
        &fixture!("labelled.tar.gz")[..],
        fixture!("note.tar.xz"),
        fixture!("note.tar.bz2"),
        fixture!("incremental.tar.gz"),
    ] {
        let unpacked = Unpacked::of(packed);
        assert_eq!(unpacked.text("pack/z.txt"), "a note\n");
        assert_eq!(fs::read_dir(unpacked.path("")).unwrap().count(), 1);
    }
    assert_eq!(
        Unpacked::with(fixture!("table.csv.xz"), "table.csv.xz", UnpackLimits::default()).text("table.csv"),
        "one,two\n1,2\n"
    );
    let padded = [gz(&sample()), vec![0; 10_240]].concat();
    assert_eq!(Unpacked::of(&padded).text("d/x"), "one");
}

#[test]
fn what_follows_the_end_is_told() {
    let two = [
        Pack::new().file("x", "one").bytes(),
        Pack::new().file("y", "two").bytes(),
    ]
    .concat();
    for packed in [two.clone(), gz(&two)] {
        let unpacked = Unpacked::of(&packed);
        unpacked.warned("something follows the end mark");
        assert_eq!(unpacked.text("x"), "one");
    }
    let unpacked = Unpacked::of(&Pack::new().file("x", "one").bytes());
    assert_eq!((unpacked.text("x").as_str(), unpacked.notices.len()), ("one", 0));
}

/// A zip archive of one file, with another compression method or other flags in its headers.
fn zip_with(method: Option<u16>, flags: u16) -> Vec<u8> {
    let mut packed = zip_file("x", &"text".repeat(10), 0o644);
    for (magic, at) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let begins = packed.windows(4).position(|four| four == magic).unwrap() + at;
        packed[begins] |= flags as u8;
        if let Some(method) = method {
            packed[begins + 2..begins + 4].copy_from_slice(&method.to_le_bytes());
        }
    }
    packed
}

#[test]
fn zips_are_read_or_called_what_they_are() {
    // Of so short a text, Deflate64 makes what Deflate makes.
    assert_eq!(Unpacked::of(&zip_with(Some(9), 0)).text("x"), "text".repeat(10));
    for (packed, words) in [
        (zip_with(None, 1), "`x` is encrypted"),
        (zip_with(Some(98), 0), "`x` is compressed by PPMd (method 98)"),
        (zip_with(Some(6), 0), "imploding"),
        (zip_with(Some(1000), 0), "the unknown method 1000"),
    ] {
        let unpacked = Unpacked::of(&packed);
        unpacked.refused(words);
        unpacked.refused("sound as far as it was read");
    }
    for method in [
        zip_crate::CompressionMethod::Bzip2,
        zip_crate::CompressionMethod::Zstd,
    ] {
        let packed = zipped(|writer| {
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file("x", options).unwrap();
            writer.write_all(b"one").unwrap();
        });
        assert_eq!(Unpacked::of(&packed).text("x"), "one", "{method:?}");
    }
    assert_eq!(Unpacked::of(fixture!("lzma.zip")).text("x"), "one");
    // A program that unpacks itself.
    let prefixed = [b"#!/bin/sh\nexit 1\n", &zip_file("x", "one", 0o644)[..]].concat();
    assert_eq!(Unpacked::of(&prefixed).text("x"), "one");
}

#[test]
fn what_unpacks_to_far_more_than_its_size_is_refused() {
    let limits = UnpackLimits {
        ratio: 20,
        free: 1 << 10,
        ..UnpackLimits::default()
    };
    let inflated = |size: usize| gz(&Pack::new().file("x", &"0".repeat(size)).bytes());
    let refused = Unpacked::with(&inflated(100_000), "a.bin", limits);
    refused.refused("more than 20 times its size");
    refused.refused("`max_ratio`");
    let sparse = Unpacked::with(fixture!("sparse-1.0.tar.gz"), "a.bin", limits);
    sparse.refused("`max_ratio`");
    // The stage may allow it, and little is always allowed.
    let allowed = UnpackLimits {
        ratio: 2000,
        ..limits
    };
    assert_eq!(
        Unpacked::with(&inflated(100_000), "a.bin", allowed)
            .text("x")
            .len(),
        100_000
    );
    assert_eq!(
        Unpacked::with(&inflated(1000), "a.bin", limits).text("x").len(),
        1000
    );
}
