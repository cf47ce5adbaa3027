//! Tests of what is read and refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::data::{DataError, Dataset, Formats, Prepared, SplitInput, TOKENIZER_FOLDER, prepare_with};
use crate::event::{Activity, Monitor};
use crate::schema::{FieldKind, NO_CLASS};
use crate::spec::{Preprocess, SplitName, TargetKind, Tokenizer};
use crate::tokenizer::{LoadedTokenizer, TokenizerFolder, TokenizerTraining, WordCounts};

/// A folder with files, a tokenizer, and what is made of them.
pub(in crate::data::formats) struct TextBench {
    folder: TempDir,
    pub notices: Arc<Mutex<Vec<String>>>,
}

impl TextBench {
    /// With a tokenizer that `options` train on `texts`.
    pub fn new(options: &str, texts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options: Tokenizer = serde_json::from_str(options).unwrap();
        let training = TokenizerTraining::new(&options).unwrap().unwrap();
        let mut counts = WordCounts::default();
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        training.count(&texts, &mut counts).unwrap();
        let (tokenizer, special) = training.finish(counts).unwrap();
        let length = options.max_length.map(std::num::NonZeroU32::get);
        let files = TokenizerFolder::of_parts(&tokenizer, &special, length, None).unwrap();
        for name in ["tokenizer", "input", "output"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        files.write(&folder.path().join("tokenizer")).unwrap();
        Self {
            folder,
            notices: Arc::default(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, name: &str, text: &str) {
        let path = self.path("input").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn tokenizer(&self) -> LoadedTokenizer {
        LoadedTokenizer::open(&self.path("tokenizer")).unwrap()
    }

    pub fn prepare(&self, format: &str, more: &str) -> Result<Prepared, DataError> {
        let options = format!(r#"{{"input": "raw", "format": {format}{more}}}"#);
        let options: Preprocess = serde_json::from_str(&options).unwrap();
        let notices = Arc::clone(&self.notices);
        let monitor = Monitor::new(
            move |activity| {
                if let Activity::Notice { message, .. } = activity {
                    notices.lock().unwrap().push(message);
                }
            },
            Arc::default(),
        );
        let mut others = BTreeMap::from([("tokenizer".to_owned(), self.path("tokenizer"))]);
        let template = self.path("template.jinja");
        if template.is_file() {
            others.insert("template".to_owned(), template);
        }
        let input = self.path("input");
        prepare_with(
            &options,
            &Formats::built_in(),
            &[SplitInput::whole(&input)],
            &others,
            &self.path("output"),
            &monitor,
        )
    }

    pub fn dataset(&self, format: &str, more: &str) -> Dataset {
        self.prepare(format, more).unwrap();
        Dataset::open(&self.path("output")).unwrap()
    }

    pub fn error(&self, format: &str) -> String {
        self.prepare(format, "").unwrap_err().to_string()
    }
}

/// The values of a field of 1, 2 or 4 bytes.
pub(in crate::data::formats) fn numbers(
    dataset: &Dataset,
    name: &str,
    split: SplitName,
    index: usize,
) -> Vec<u32> {
    let field = dataset.schema().position(name).unwrap();
    let bytes = dataset.split(split).unwrap().value(field, index).bytes.to_vec();
    let width = dataset.schema().fields()[field].element.bytes();
    let number = |bytes: &[u8]| {
        let mut whole = [0; 4];
        whole[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(whole)
    };
    bytes.chunks(width).map(number).collect()
}

const CHARACTERS: &str = r#"{"char": {}, "special": {"eos": "</s>"}}"#;
const WORD_PIECE: &str = r#"{"wordpiece": {"vocab_size": 60}}"#;

fn text(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn documents_are_kept_whole_with_their_lengths() {
    let bench = TextBench::new(CHARACTERS, &["abc dé\n"]);
    for (name, content) in [
        ("1.txt", "ab\n"),
        ("2.txt", "é"),
        ("10.txt", "c"),
        ("more/3.txt", "dd"),
        ("x.md", "no"),
    ] {
        bench.file(name, content);
    }
    let format = r#"{"text": {"documents": {"text": {"files": "**/*.txt"}}, "tokenizer": "tok"}}"#;
    let prepared = bench.prepare(format, "").unwrap();
    assert_eq!(
        (
            prepared.splits[&SplitName::Train],
            prepared.classes,
            prepared.tokens
        ),
        (4, 0, 11)
    );
    let dataset = Dataset::open(&bench.path("output")).unwrap();
    assert_eq!(dataset.task().unwrap(), TargetKind::NextToken);
    assert_eq!(dataset.target().kind, FieldKind::Tokens);
    let train = dataset.split(SplitName::Train).unwrap();
    let origins: Vec<String> = (0..4).map(|index| train.origin(index)).collect();
    assert_eq!(origins, ["1.txt", "10.txt", "2.txt", "more/3.txt"]);
    let tokenizer = bench.tokenizer();
    let vocabulary = dataset.input().vocabulary.clone().unwrap();
    assert_eq!(
        (vocabulary.size, vocabulary.roles.eos),
        (tokenizer.size(), Some(0))
    );
    for (index, (content, bytes)) in [("ab\n", 3), ("c", 1), ("é", 2), ("dd", 2)]
        .into_iter()
        .enumerate()
    {
        let ids = numbers(&dataset, "tokens", SplitName::Train, index);
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), format!("{content}</s>"));
        assert_eq!(numbers(&dataset, "bytes", SplitName::Train, index), [bytes]);
    }
    // The tokenizer stands beside the dataset, as it is.
    let own = bench.path("output").join(TOKENIZER_FOLDER);
    assert_eq!(
        text(&own, "tokenizer.json"),
        text(&bench.path("tokenizer"), "tokenizer.json")
    );

    let plain =
        r#"{"text": {"documents": {"text": {"files": "1.txt"}}, "tokenizer": "tok", "end": {"text": "\n"}}}"#;
    let dataset = bench.dataset(plain, "");
    let ids = numbers(&dataset, "tokens", SplitName::Train, 0);
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "ab\n\n");
    assert_eq!(numbers(&dataset, "bytes", SplitName::Train, 0), [3]);
}

#[test]
fn documents_are_divided_by_content_or_by_place() {
    let bench = TextBench::new(CHARACTERS, &["0123456789"]);
    let lines: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    bench.file("a.txt", &lines.join("\r\n\n"));
    let format = r#"{"text": {"documents": {"lines": {}}, "tokenizer": "tok"}}"#;
    let dataset = bench.dataset(format, r#", "split": {"every": {"val": 3, "test": 5}}"#);
    let of = |split| -> Vec<String> {
        let split = dataset.split(split).unwrap();
        (0..split.len()).map(|index| split.origin(index)).collect()
    };
    assert_eq!(
        of(SplitName::Test),
        ["a.txt:9", "a.txt:19", "a.txt:29", "a.txt:39"]
    );
    assert_eq!(
        of(SplitName::Val),
        ["a.txt:5", "a.txt:11", "a.txt:17", "a.txt:23", "a.txt:35"]
    );
    let error = bench
        .prepare(format, r#", "split": {"every": {"val": 10, "test": 10}}"#)
        .unwrap_err();
    assert!(error.to_string().contains("split.every.val"), "{error}");
    let by_content = |bench: &TextBench| {
        let dataset = bench.dataset(format, r#", "split": {"val": 0.25}"#);
        let val = dataset.split(SplitName::Val).unwrap();
        (0..val.len()).map(|index| val.origin(index)).collect::<Vec<_>>()
    };
    let first = by_content(&bench);
    assert_eq!(first.len(), 5);
    // Another tokenizer changes nothing about it.
    let other = TextBench::new(r#"{"bpe": {"vocab_size": 260}}"#, &["0123456789"]);
    other.file("a.txt", &lines.join("\r\n\n"));
    assert_eq!(by_content(&other), first);
}

#[test]
fn labelled_texts_and_pairs_are_samples() {
    let bench = TextBench::new(WORD_PIECE, &["good film bad film the a movie is"]);
    bench.file(
        "r.csv",
        "title,review,stars\n\"a, film\",the good film is good,2\nx,bad bad bad movie,1\nx,good,2\nx,,1\n",
    );
    let format = r#"{"text": {"documents": {"csv": {"text": "review", "pair": "title", "label": "stars"}},
                     "tokenizer": "tok", "max_length": 8}}"#;
    let error = bench.error(format);
    assert!(
        error.contains("r.csv:5") && error.contains("`review` is empty"),
        "{error}"
    );
    let dataset = bench.dataset(format, r#", "on_error": "skip""#);
    assert_eq!(dataset.task().unwrap(), TargetKind::Classification);
    assert_eq!(dataset.target().names, ["1", "2"]);
    let train = dataset.split(SplitName::Train).unwrap();
    assert_eq!(
        (0..3)
            .map(|index| train.class(index).unwrap())
            .collect::<Vec<_>>(),
        [1, 0, 1]
    );
    let tokenizer = bench.tokenizer();
    let whole = tokenizer.encode_pair("good", Some("x")).unwrap();
    assert_eq!(numbers(&dataset, "tokens", SplitName::Train, 2), whole.ids);
    let segments: Vec<u32> = whole.segments.iter().map(|segment| u32::from(*segment)).collect();
    assert_eq!(numbers(&dataset, "segments", SplitName::Train, 2), segments);
    assert_eq!(numbers(&dataset, "tokens", SplitName::Train, 0).len(), 8);
    let notices = bench.notices.lock().unwrap().join("\n");
    // Pairs do not become several samples.
    assert!(
        notices.contains("1 pair is longer than 8 tokens and cut: make `max_length` larger")
            && notices.contains("shorten the longer text")
            && !notices.contains("stride"),
        "{notices}"
    );
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    let bench = TextBench::new(WORD_PIECE, &["good film bad film the a movie is"]);
    let rows = "review,stars\n\ngood,1\n\"the film\n\nis good\",2\n\n\nbad,1\n\"a \"\"good\"\" movie\",2";
    let objects = "\n{\"review\": \"good\", \"stars\": 1}\n\n{\"review\": \"bad\", \"stars\": 2}";
    for end in ["\n", "\r\n"] {
        for last in ["", end] {
            for (name, text, lines) in [("r.csv", rows, &[3, 4, 9, 10][..]), ("r.jsonl", objects, &[2, 4])] {
                bench.file(name, &(text.replace('\n', end) + last));
                let form = name.trim_start_matches("r.");
                let format = format!(
                    r#"{{"text": {{"documents": {{"{form}": {{"text": "review", "label": "stars"}}}}, "tokenizer": "tok"}}}}"#
                );
                let dataset = bench.dataset(&format, "");
                let train = dataset.split(SplitName::Train).unwrap();
                let origins: Vec<String> = (0..train.len()).map(|index| train.origin(index)).collect();
                let expected: Vec<String> = lines.iter().map(|line| format!("{name}:{line}")).collect();
                assert_eq!(origins, expected, "{end:?} {last:?}");
            }
            fs::remove_file(bench.path("input").join("r.jsonl")).unwrap();
        }
        // What is no record has its own line too, however far into the file.
        let good = format!("a good film,1{end}").repeat(3000);
        let format =
            r#"{"text": {"documents": {"csv": {"text": "review", "label": "stars"}}, "tokenizer": "tok"}}"#;
        for (row, told) in [
            ("good", "it has 1 field, and the first line 2"),
            ("good,1,2", "it has 3 fields, and the first line 2"),
            ("good,", "its `stars` is missing"),
        ] {
            bench.file("r.csv", &format!("review,stars{end}{good}{row}{end}good,2{end}"));
            let error = bench.error(format);
            assert!(error.contains(&format!("`r.csv:3002`: {told}")), "{error}");
        }
    }
}

#[test]
fn texts_that_are_compared_are_read_apart() {
    let bench = TextBench::new(WORD_PIECE, &["good film bad film the a movie is"]);
    bench.file(
        "r.csv",
        "one,other,alike\nthe film,a movie,4.5\nthe good film is good,bad movie,1\nx,good,0\n",
    );
    let format = |more: &str| {
        format!(
            r#"{{"text": {{"documents": {{"csv": {{"text": "one", "pair": "other", "compare": true{more}}}}},
                "tokenizer": "tok", "max_length": 5}}}}"#
        )
    };
    let tokenizer = bench.tokenizer();
    for (more, has_numbers) in [(r#", "label": "alike""#, true), ("", false)] {
        let dataset = bench.dataset(&format(more), "");
        assert!(dataset.compares());
        assert_eq!(dataset.task().unwrap(), TargetKind::Similarity);
        assert_eq!(dataset.schema().position("targets").is_some(), has_numbers);
        let both = ["the film", "a movie"].map(|text| tokenizer.encode_pair(text, None).unwrap().ids);
        let texts: Vec<u32> = (0..2)
            .flat_map(|text| vec![text; both[text as usize].len()])
            .collect();
        assert_eq!(numbers(&dataset, "tokens", SplitName::Train, 0), both.concat());
        assert_eq!(numbers(&dataset, "texts", SplitName::Train, 0), texts);
        // Each is cut alone.
        let texts = numbers(&dataset, "texts", SplitName::Train, 1);
        assert_eq!(texts.iter().filter(|text| **text == 0).count(), 5);
        let notices = std::mem::take(&mut *bench.notices.lock().unwrap()).concat();
        assert!(
            notices.contains("1 text is longer than 5 tokens and cut") && !notices.contains("stride"),
            "{notices}"
        );
        if has_numbers {
            let mut value = [0.0];
            dataset
                .split(SplitName::Train)
                .unwrap()
                .target_values(0, &mut value)
                .unwrap();
            assert_eq!(value, [4.5]);
        }
    }
    // Each has its special tokens, and room for one of its own.
    let short = bench.dataset(&format("").replace("\"max_length\": 5", "\"max_length\": 3"), "");
    assert_eq!(numbers(&short, "tokens", SplitName::Train, 1).len(), 6);
    let notices = std::mem::take(&mut *bench.notices.lock().unwrap()).concat();
    assert!(
        notices.contains("4 texts are longer than 3 tokens and cut"),
        "{notices}"
    );
    let error = bench.error(&format("").replace("\"max_length\": 5", "\"max_length\": 2"));
    assert!(
        error.contains("2 tokens with 2 special ones leave room for 0 of a text"),
        "{error}"
    );
    let bare = TextBench::new(r#"{"word": {"vocab_size": 20}}"#, &["good film"]);
    bare.file("r.csv", "one,other\ngood,film\n\" \",good\n");
    let error = bare.error(&format(""));
    assert!(
        error.contains("r.csv:3") && error.contains("`one` is empty"),
        "{error}"
    );
}

#[test]
fn long_texts_become_windows_that_stay_together() {
    let bench = TextBench::new(WORD_PIECE, &["a b c d e f g h i j k"]);
    let lines: Vec<String> = [
        "a b c d e f g h i j k",
        "a b",
        "c d e f g h",
        "k j i h g f e d c b a",
    ]
    .iter()
    .enumerate()
    .map(|(index, text)| {
        format!(
            r#"{{"text": "{text}", "y": {}, "who": "w{}"}}"#,
            index as f64 / 2.0,
            index % 2
        )
    })
    .collect();
    bench.file("a.jsonl", &lines.join("\n"));
    let format = r#"{"text": {"documents": {"jsonl": {"label": "y", "task": "regression"}}, "tokenizer": "tok",
                     "max_length": 6, "stride": 1}}"#;
    let dataset = bench.dataset(format, r#", "split": {"every": {"test": 2}}"#);
    let tokenizer = bench.tokenizer();
    let windows = |split: SplitName| -> Vec<String> {
        let count = dataset.split(split).unwrap().len();
        let ids = (0..count).map(|index| numbers(&dataset, "tokens", split, index));
        ids.map(|ids| tokenizer.decode(&ids, true).unwrap()).collect()
    };
    // As in the reference: each begins with the last token of the one before.
    assert_eq!(
        windows(SplitName::Train),
        ["a b c d", "d e f g", "g h i j", "j k", "c d e f", "f g h"]
    );
    assert_eq!(
        windows(SplitName::Test),
        ["a b", "k j i h", "h g f e", "e d c b", "b a"]
    );
    let documents: Vec<u32> = (0..5)
        .flat_map(|index| numbers(&dataset, "document", SplitName::Test, index))
        .collect();
    assert_eq!(documents, [1, 3, 3, 3, 3]);
    assert_eq!(dataset.split(SplitName::Test).unwrap().origin(2), "a.jsonl:4#2");
    let mut value = [0.0];
    dataset
        .split(SplitName::Test)
        .unwrap()
        .target_values(4, &mut value)
        .unwrap();
    assert_eq!(value, [1.5]);
    let grouped = bench.dataset(format, r#", "split": {"test": 0.5, "group": "who"}"#);
    let test = grouped.split(SplitName::Test).unwrap();
    let who = |origin: &str| origin.trim_start_matches("a.jsonl:").as_bytes()[0] % 2;
    assert!((1..test.len()).all(|index| who(&test.origin(index)) == who(&test.origin(0))));
}

#[test]
fn what_cannot_be_is_told() {
    let bench = TextBench::new(
        r#"{"wordpiece": {"vocab_size": 60}, "max_length": 16}"#,
        &["good film bad film the a movie is"],
    );
    bench.file("a.json", r#"{"text": "good", "y": 1}"#);
    let documents = |documents: &str, more: &str| {
        format!(r#"{{"text": {{"documents": {documents}, "tokenizer": "tok"{more}}}}}"#)
    };
    for (format, expected) in [
        (
            documents(r#"{"text": {}}"#, ""),
            "no file ends in .txt; there is 1 other file:",
        ),
        (
            documents(r#"{"text": {"files": "*.md"}}"#, ""),
            "no file matches `*.md`",
        ),
        (
            documents(r#"{"json": {"text": "body"}}"#, ""),
            "its `body` is missing",
        ),
        (
            documents(r#"{"json": {"label": "y"}}"#, r#", "max_length": 17"#),
            "samples of 17 tokens are longer than the 16",
        ),
        (
            documents(r#"{"json": {"label": "y"}}"#, r#", "max_length": 2"#),
            "leave room for 0 of a text",
        ),
        (
            documents(r#"{"json": {}}"#, r#", "end": "eos""#),
            "asks for a token that the tokenizer does not have",
        ),
    ] {
        let error = bench.error(&format);
        assert!(error.contains(expected), "{format}: {error}");
    }
    let strict = TextBench::new(r#"{"char": {}}"#, &["abc"]);
    strict.file("a.txt", "abx");
    let error = strict.error(&documents(r#"{"text": {}}"#, ""));
    assert!(
        error.contains("`a.txt`: the vocabulary has no token for 'x'"),
        "{error}"
    );
    strict.file("a.txt", "");
    assert!(
        strict
            .error(&documents(r#"{"text": {}}"#, ""))
            .contains("it holds no text")
    );
    fs::write(strict.path("input").join("a.txt"), b"ab\xff").unwrap();
    assert!(
        strict
            .error(&documents(r#"{"text": {}}"#, ""))
            .contains("not UTF-8 from byte 2")
    );
}

#[test]
fn bytes_are_the_same_for_any_number_of_threads() {
    let made = |threads: usize| {
        let bench = TextBench::new(WORD_PIECE, &["good film bad film the a movie is"]);
        let lines: Vec<String> = (0..300)
            .map(|number| format!("{{\"text\": \"film {number} is good\", \"l\": {}}}", number % 3))
            .collect();
        bench.file("a.jsonl", &lines.join("\n"));
        let format = r#"{"text": {"documents": {"jsonl": {"label": "l"}}, "tokenizer": "tok", "max_length": 6, "stride": 2}}"#;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| bench.prepare(format, r#", "split": {"val": 0.1, "test": 0.2}"#))
            .unwrap();
        text(&bench.path("output"), "dataset.bin")
    };
    assert_eq!(made(1), made(3));
    assert_ne!(NO_CLASS, 0);
}
