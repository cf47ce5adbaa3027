//! Tests of what is read and refused.

use crate::data::formats::text::tests::{TextBench, numbers};
use crate::schema::NO_CLASS;
use crate::spec::{SplitName, TargetKind};

const WORDS: &str = "-DOCSTART- -X- O\n\nDr. B-Title\nMARTIN B-Name\nking I-Name\n, O\n\n\nking B-Name\n";

fn bench() -> TextBench {
    let bench = TextBench::new(
        r#"{"wordpiece": {"vocab_size": 40}}"#,
        &["martin king dr. king martin , king"],
    );
    bench.file("a.conll", WORDS);
    bench
}

#[test]
fn the_first_token_of_a_word_bears_its_tag() {
    let bench = bench();
    let dataset = bench.dataset(r#"{"conll": {"tokenizer": "tok"}}"#, "");
    assert_eq!(dataset.task().unwrap(), TargetKind::TokenClasses);
    assert_eq!(dataset.target().names, ["O", "B-Name", "B-Title", "I-Name"]);
    let tokenizer = bench.tokenizer();
    let words: Vec<String> = ["Dr.", "MARTIN", "king", ","].map(str::to_owned).into();
    let encoded = tokenizer.encode_words(&words).unwrap();
    assert_eq!(numbers(&dataset, "tokens", SplitName::Train, 0), encoded.ids);
    let held = numbers(&dataset, "words", SplitName::Train, 0);
    let wanted: Vec<u32> = encoded
        .words
        .iter()
        .map(|word| word.unwrap_or(NO_CLASS))
        .collect();
    assert_eq!(held, wanted);
    let tags = numbers(&dataset, "tags", SplitName::Train, 0);
    let mut of_words = vec![2, 1, 3, 0].into_iter();
    for (at, tag) in tags.iter().enumerate() {
        let is_first = held[at] != NO_CLASS && (at == 0 || held[at - 1] != held[at]);
        let expected = if is_first {
            of_words.next().unwrap()
        } else {
            NO_CLASS
        };
        assert_eq!(*tag, expected, "token {at} of {held:?}");
    }
    assert_eq!(of_words.next(), None);
    let train = dataset.split(SplitName::Train).unwrap();
    assert_eq!(
        (train.origin(0), train.origin(1)),
        ("a.conll:3".into(), "a.conll:9".into())
    );
}

#[test]
fn sentences_are_cut_and_columns_found() {
    let bench = bench();
    bench.file("b.tsv", "# id 1\n1\tking\tNN\tB-Name\tx\n2\tmartin\tNN\tO\tx\n\n");
    let format =
        r##"{"conll": {"tokenizer": "tok", "files": "b.tsv", "word": 1, "tag": -2, "comment": "#"}}"##;
    let dataset = bench.dataset(format, "");
    assert_eq!(dataset.target().names, ["O", "B-Name"]);
    let all = bench
        .tokenizer()
        .encode_words(&["king".into(), "martin".into()])
        .unwrap()
        .ids
        .len();
    let cut = format.replace(
        r#""word": 1"#,
        &format!(r#""word": 1, "max_length": {}"#, all - 1),
    );
    let dataset = bench.dataset(&cut, "");
    let tags = numbers(&dataset, "tags", SplitName::Train, 0);
    assert_eq!(tags.len(), all - 1);
    assert_eq!(*tags.last().unwrap(), NO_CLASS);
    let ids = numbers(&dataset, "tokens", SplitName::Train, 0);
    assert_eq!(Some(*ids.last().unwrap()), bench.tokenizer().id("[SEP]"));
    for (text, expected) in [
        ("king\n", "it has one column"),
        ("king B-Name\nmartin\tx\t\n", "its tag (column -1) is empty"),
        ("\n\n", "there is no word with a tag"),
    ] {
        bench.file("c.iob", text);
        let error = bench.error(r#"{"conll": {"tokenizer": "tok", "files": "c.iob"}}"#);
        assert!(error.contains(expected), "{error}");
    }
    bench.file("c.iob", "king B-Name\n\u{200b}\tO\n");
    let error = bench.error(r#"{"conll": {"tokenizer": "tok", "files": "c.iob"}}"#);
    assert!(error.contains("has no token"), "{error}");
}
