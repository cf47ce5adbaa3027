//! The reader of usual YAML beside the library.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::spec::yaml::library;

/// The pipelines that come with Erlen, and what they do not have.
fn documents() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    let pipelines = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "yaml"));
    let mut documents: Vec<String> = pipelines
        .map(|file| std::fs::read_to_string(file.path()).expect("a pipeline"))
        .collect();
    documents.sort();
    let more = "a:\n- x\n- - w\n  - {z: [1, -2.5, 1e3], é: ${lr}}\n-\n  b: 'q'\n  c: \"d\\n\\\"\" # e\nf: |\n  g ${h}\n\n    i\nj: >-\n  k\n  l\n";
    documents.push(more.to_owned());
    documents
}

/// Whether what is read at once is what the library reads.
#[track_caller]
fn agrees(source: &str) -> bool {
    let Some(root) = read(source) else {
        return false;
    };
    match library::read(source) {
        Ok(expected) => assert_eq!(root, expected, "{source:?}"),
        Err(error) => panic!("{source:?} is read, and wrong: {}", error.message),
    }
    true
}

#[test]
fn pipelines_are_read_at_once() {
    for document in documents() {
        assert!(agrees(&document), "{document}");
    }
}

#[test]
fn what_is_unusual_is_left_to_the_library() {
    for source in [
        "",
        "# nothing\n",
        "text\n",
        "a: &b 1\n",
        "a: *b\n",
        "a: !t 1\n",
        "a: \"\\u0041\"\n",
        "a: b\n  c\n",
        "a: 1_000\n",
        "a: 0x10\n",
        "a: 012\n",
        "a: .inf\n",
        "a: 1e400\n",
        "a: 99999999999999999999\n",
        "a: yes\n",
        "a: ~\n",
        "a:\n",
        "a: 1\na: 2\n",
        "a: [1,\n  2]\n",
        "a: [? b]\n",
        "a: b: c\n",
        "---\na: 1\n",
        "\ta: 1\n",
        "a: 1\r\n",
        "1: a\n",
        "? a\n: b\n",
        "a: |\n  b",
        "a: |+\n  b\n",
        "a: >\n  b\n\n  c\n",
        "a: 'it''s'\n",
        "- a\nb: 1\n",
        "a: @b\n",
        "a: 1\n b: 2\n",
        "<<: {a: 1}\n",
        "a: 'b' c\n",
        "a: [1, , 2]\n",
        "a: {b}\n",
        "a: - b\n",
        "\u{FEFF}a: 1\n",
    ] {
        assert!(read(source).is_none(), "{source:?}");
    }
}

#[test]
fn collections_within_each_other_end_somewhere() {
    let nested = |depth: usize| format!("a: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    assert!(agrees(&nested(10)));
    assert!(read(&nested(10_000)).is_none());
}

#[test]
fn long_lines_are_read_as_well_and_long_names_left_to_the_library() {
    assert!(agrees(&format!("a: [{}c]\n", "'b', ".repeat(3_000))));
    let members: Vec<String> = (0..MANY).map(|index| format!("m{index}: 1")).collect();
    assert!(agrees(&format!("a: {{{}}}\n", members.join(", "))));
    assert!(read(&format!("a: {{{}, n: 2}}\n", members.join(", "))).is_none());
    assert!(read(&format!("{}: 1\n", "a".repeat(2_000))).is_none());
    assert!(read("a: b\u{2003}\n").is_none());
}

/// What is put into a document, or in the place of a part of it.
const PIECES: [&str; 60] = [
    "",
    " ",
    "  ",
    "\n",
    "\n  ",
    "\n    ",
    "-",
    "- ",
    ":",
    ": ",
    "#",
    " #",
    "[",
    "]",
    "{",
    "}",
    ",",
    ", ",
    "'",
    "\"",
    "|",
    "|-",
    ">",
    ">-",
    "&a",
    "*a",
    "!",
    "? ",
    "0",
    "1e3",
    "1_0",
    "0x1",
    ".5",
    "1.",
    "~",
    "null",
    "true",
    "yes",
    "a",
    "a: b",
    "a:\n",
    "${x}",
    "$${x}",
    "${",
    "é",
    "%",
    "@",
    "---\n",
    "<<: ",
    "=",
    "\\",
    "1:2",
    "-1",
    "+1",
    ".nan",
    "- - a",
    "-\n",
    "\n\n",
    "# c\n",
    "x: |\n  y\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn changed_documents_are_read_as_the_library_reads_them(
        document in any::<prop::sample::Index>(),
        (start, lines) in (any::<prop::sample::Index>(), 1usize..25),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6, prop::sample::select(&PIECES)), 0..4),
    ) {
        let documents = documents();
        let all: Vec<&str> = document.get(&documents).split_inclusive('\n').collect();
        let start = start.index(all.len());
        let part = &all[start..(start + lines).min(all.len())];
        let depth = |line: &&str| line.len() - line.trim_start().len();
        let least = part.iter().filter(|line| !line.trim().is_empty()).map(depth).min().unwrap_or(0);
        let mut text: String = part.iter().map(|line| line.get(least..).unwrap_or("\n")).collect();
        for (place, len, piece) in changes {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let first = place.index(places.len());
            let end = places[(first + len).min(places.len() - 1)];
            text.replace_range(places[first]..end, piece);
        }
        agrees(&text);
    }
}
