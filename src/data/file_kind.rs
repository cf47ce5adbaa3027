//! Files that are something else than they are taken for, known by their first bytes.

use std::path::Path;

use super::error::DataError;
use super::packing::Packing;

/// Bytes that are looked at for the names within an archive.
const LOOKED_AT: usize = 4096;

/// Something that is no table of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileKind {
    /// What it is.
    pub what: &'static str,
    /// What to do with it where a table is wanted.
    pub advice: &'static str,
}

const UNPACK: &str = "unpack it, as a `download` stage does with `unpack: true`, and name the table in it";
const IN_PYTHON: &str = "write the table as CSV or Parquet with the program that made it";

const JSON_LINES: &str = "JSON lines";
const JSON_LIST: &str = "a list in JSON";

const PARQUET: FileKind = FileKind {
    what: "a Parquet file",
    advice: "read it by `format: {parquet: ...}`",
};

/// What begins with bytes that no text begins with.
const BY_START: [(&[u8], &str, &str); 21] = [
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "a workbook of Excel (.xls) or another old document",
        "save the sheet as CSV (UTF-8)",
    ),
    (
        b"SQLite format 3\0",
        "an SQLite database",
        "write the table that is meant as CSV, as by `sqlite3 -header -csv FILE \"select * from TABLE\"`",
    ),
    (
        b"ARROW1\0\0",
        "an Arrow file (Feather)",
        "write it as Parquet, as by `pandas.read_feather(path).to_parquet(...)`",
    ),
    (
        b"\xff\xff\xff\xff",
        "a stream of Arrow",
        "write it as Parquet, as by `pyarrow.parquet.write_table(pyarrow.ipc.open_stream(path).read_all(), ...)`",
    ),
    (b"Obj\x01", "an Avro file", IN_PYTHON),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", IN_PYTHON),
    (
        b"\x93NUMPY",
        "an array of NumPy (.npy)",
        "write it as CSV, as by `numpy.savetxt(path, array, delimiter=\",\")`",
    ),
    (b"MATLAB 5.0 MAT-file", "a file of MATLAB", IN_PYTHON),
    (
        b"%PDF-",
        "a PDF document",
        "look for the table that it shows as CSV",
    ),
    (b"{\\rtf", "a document (RTF)", "save the table as CSV (UTF-8)"),
    (
        b"<stata_dta>",
        "a file of Stata",
        "write it as Parquet, as by `pandas.read_stata(path).to_parquet(...)`",
    ),
    (
        b"$FL2",
        "a file of SPSS",
        "write it as Parquet, as by `pandas.read_spss(path).to_parquet(...)`",
    ),
    (
        b"7z\xbc\xaf\x27\x1c",
        "a 7z archive",
        "unpack it, and name the table in it",
    ),
    (
        b"Rar!\x1a\x07",
        "a RAR archive",
        "unpack it, and name the table in it",
    ),
    (
        b"\x89PNG\r\n\x1a\n",
        "an image",
        "images are read by `image_folder` or `image_manifest`",
    ),
    (
        b"\xff\xd8\xff",
        "an image",
        "images are read by `image_folder` or `image_manifest`",
    ),
    (
        b"GIF8",
        "an image",
        "images are read by `image_folder` or `image_manifest`",
    ),
    (b"\x7fELF", "a program", "look at what was named"),
    // Names of columns may begin so, but not followed by what is no text.
    (b"PAR1", PARQUET.what, PARQUET.advice),
    (
        b"FEA1",
        "a Feather file of the first version",
        "write it as Parquet, as by `pandas.read_feather(path).to_parquet(...)`",
    ),
    (
        b"ORC",
        "an ORC file",
        "write it as Parquet, as by `pandas.read_orc(path).to_parquet(...)`",
    ),
];

/// What begins as archives of zip do, by what stands in them.
const BY_CONTENT: [(&[u8], &str, &str); 3] = [
    (
        b"xl/",
        "a workbook of Excel (.xlsx)",
        "save the sheet as CSV (UTF-8), or write it as Parquet, as by `pandas.read_excel(path).to_parquet(...)`",
    ),
    (
        b"opendocument.spreadsheet",
        "a workbook (.ods)",
        "save the sheet as CSV (UTF-8)",
    ),
    (
        b".npy",
        "arrays of NumPy (.npz)",
        "write them as CSV, as by `numpy.savetxt(path, array, delimiter=\",\")`",
    ),
];

impl FileKind {
    /// What begins with `start`, where it is known and no table of text. Some kilobytes tell.
    pub fn of(start: &[u8]) -> Option<Self> {
        let start = &start[..start.len().min(LOOKED_AT)];
        if start.starts_with(b"PK\x03\x04") {
            let held = BY_CONTENT.iter().find(|(part, ..)| contains(start, part));
            let (what, advice) = held.map_or(("a zip archive", UNPACK), |(_, what, advice)| (*what, *advice));
            return Some(Self { what, advice });
        }
        if start.get(257..262) == Some(b"ustar") {
            return Some(Self {
                what: "a tar archive",
                advice: UNPACK,
            });
        }
        if Packing::is_lzma_alone(start) {
            return Some(Self {
                what: "an LZMA file (.lzma), the format before xz",
                advice: "unpack it, as by `xz --format=lzma -d`, or pack it anew as xz",
            });
        }
        if let [0x80, 2..=5, ..] = start
            && start.contains(&b'.')
        {
            return Some(Self {
                what: "a pickle of Python",
                advice: "write the table as Parquet in Python, as by `frame.to_parquet(...)`",
            });
        }
        let found = BY_START.iter().find(|(begin, ..)| start.starts_with(begin));
        if let Some((begin, what, advice)) = found {
            let is_name = begin.is_ascii() && begin.len() <= 4 && is_text(&start[..start.len().min(64)]);
            return (!is_name).then_some(Self { what, advice });
        }
        Self::of_text(start)
    }

    /// Whether it holds a JSON object a line.
    pub fn is_json_lines(self) -> bool {
        self.what == JSON_LINES
    }

    /// Whether it holds all objects in one list of JSON.
    pub fn is_json_list(self) -> bool {
        self.what == JSON_LIST
    }

    /// Whether a file that begins with `start` is a Parquet file.
    pub fn is_parquet(start: &[u8]) -> bool {
        Self::of(start) == Some(PARQUET)
    }

    /// What a text is that is no table.
    fn of_text(start: &[u8]) -> Option<Self> {
        let text = start
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(start)
            .trim_ascii_start();
        let begins = |with: &str| {
            let begin = text.get(..with.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(with.as_bytes()))
        };
        if ["<!doctype html", "<html", "<head", "<body"]
            .iter()
            .any(|tag| begins(tag))
        {
            return Some(Self {
                what: "a web page",
                advice: "it may say that a login is needed or that nothing is there: open it in a browser, and get the file \
                         itself",
            });
        }
        if begins("<?xml") {
            return Some(Self {
                what: "an XML document",
                advice: IN_PYTHON,
            });
        }
        if begins("version https://git-lfs") {
            return Some(Self {
                what: "a pointer of Git LFS, and not the file itself",
                advice: "get the file by `git lfs pull`",
            });
        }
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let is_list = text.starts_with(b"[") && text[1..].trim_ascii_start().starts_with(b"{");
        if is_list {
            return Some(Self {
                what: JSON_LIST,
                advice: "write it as Parquet, as by `pandas.read_json(path).to_parquet(...)`",
            });
        }
        let is_object = line.starts_with(b"{")
            && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line.trim_ascii())
                .is_ok();
        is_object.then_some(Self {
            what: JSON_LINES,
            advice: "write them as Parquet, as by `pandas.read_json(path, lines=True).to_parquet(...)`; texts and lists of \
                     images in JSON lines are read by `text` and `image_manifest`",
        })
    }

    /// The error that this was taken for a table of text.
    pub fn refused(self, path: &Path) -> DataError {
        DataError::input(
            path,
            format!("it is no table of text but {}: {}", self.what, self.advice),
        )
    }
}

/// What is wrong with a file that begins with `start` and was taken for a Parquet file; nothing where it may be one.
pub(super) fn no_parquet(start: &[u8]) -> Option<String> {
    if start.is_empty() {
        return Some("it is empty".to_owned());
    }
    // Also files of which no more than the beginning is there, and those with an encrypted end.
    if start.starts_with(b"PAR") {
        return None;
    }
    if Packing::of(start).is_some() {
        return Some(
            "it is a compressed file: Parquet files are compressed within, so unpack it first, or, where a table of text is \
             in it, read it by `format: {csv: ...}`"
                .to_owned(),
        );
    }
    if let Some(kind) = FileKind::of(start) {
        return Some(format!(
            "it is no Parquet file but {}: {}",
            kind.what, kind.advice
        ));
    }
    let told = match is_text(&start[..start.len().min(LOOKED_AT)]) {
        true => {
            "it is no Parquet file but text: a table in CSV is read by `format: {csv: {header: true, ...}}`"
        }
        false => "it does not begin as a Parquet file does: look at what it is",
    };
    Some(told.to_owned())
}

/// Whether bytes may be text: they hold no control characters but those that part words and lines.
fn is_text(bytes: &[u8]) -> bool {
    let is_plain = |byte: &u8| *byte >= 0x20 && *byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c);
    let is_whole = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // A letter may be cut in the middle.
        Err(error) => error.error_len().is_none(),
    };
    is_whole && bytes.iter().all(is_plain)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(start: &[u8]) -> Option<&'static str> {
        FileKind::of(start).map(|kind| kind.what)
    }

    #[test]
    fn files_of_other_kinds_are_known() {
        let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
        for (start, expected) in [
            (
                &b"PK\x03\x04\x14\0\0\0 [Content_Types].xml xl/workbook.xml"[..],
                "a workbook of Excel (.xlsx)",
            ),
            (
                b"PK\x03\x04\x14\0\0\0 mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
                "a workbook (.ods)",
            ),
            (b"PK\x03\x04\x14\0\0\0 arr_0.npy", "arrays of NumPy (.npz)"),
            (b"PK\x03\x04\x14\0\0\0 data.csv", "a zip archive"),
            (b"SQLite format 3\0\x10\0", "an SQLite database"),
            (b"PAR1\x15\x04\x15\x10", "a Parquet file"),
            (b"ARROW1\0\0\xff\xff\xff\xff", "an Arrow file (Feather)"),
            (b"\n <!DOCTYPE html>\n<html>", "a web page"),
            (b"\xef\xbb\xbf<HTML lang=de>", "a web page"),
            (b"{\"a\": 1, \"b\": \"x\"}\n{\"a\": 2}\n", "JSON lines"),
            (b"[\n {\"a\": 1},\n", "a list in JSON"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a pointer of Git LFS, and not the file itself",
            ),
            (b"\x80\x04\x95\x0b\0\0\0\0\0\0\0.", "a pickle of Python"),
            (
                b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0\x37",
                "an LZMA file (.lzma), the format before xz",
            ),
            (&tar, "a tar archive"),
        ] {
            assert_eq!(what(start), Some(expected));
        }
    }

    #[test]
    fn tables_are_tables_whatever_their_columns_are_called() {
        for start in [
            &b"x,y\n1,2\n"[..],
            b"PAR1,PAR2\n3,4\n",
            b"ORCID,name\n",
            b"FEA1\tFEA2\n",
            b"GIF8,GIF9\n1,2\n",
            b"{a},b\n1,2\n",
            b"[x],y\n1,2\n",
            b"<5,>5\n1,2\n",
            b"\xff\xfex\0,\0",
            b"",
            "na\u{ef}ve,\u{e9}t\u{e9}\n1,2\n".as_bytes(),
        ] {
            assert_eq!(what(start), None, "{}", String::from_utf8_lossy(start));
        }
    }

    #[test]
    fn what_is_no_parquet_file_is_told() {
        for (start, told) in [
            (&b""[..], Some("it is empty")),
            (b"PAR1\x15\x04", None),
            (b"PARE\x15\x04", None),
            (b"\x1f\x8b\x08\0", Some("it is a compressed file")),
            (b"x,y\n1,2\n", Some("it is no Parquet file but text")),
            (
                b"PK\x03\x04 xl/a",
                Some("it is no Parquet file but a workbook of Excel (.xlsx)"),
            ),
            (b"\x01\x02\x03", Some("it does not begin as a Parquet file does")),
        ] {
            let found = no_parquet(start);
            match told {
                None => assert_eq!(found, None),
                Some(told) => assert!(
                    found.as_deref().is_some_and(|found| found.starts_with(told)),
                    "{found:?}"
                ),
            }
        }
    }
}
