//! Tests against what the Python packages make of the same texts; see `tests/fixtures/text_tokens.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use rayon::ThreadPoolBuilder;
use serde_json::Value;

use super::*;
use crate::spec::Tokenizer;

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text_tokens.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The texts of the fixture.
fn texts(fixture: &Value) -> Vec<String> {
    serde_json::from_value(fixture["texts"].clone()).unwrap()
}

/// The documents that the fixture's tokenizers are trained on.
fn corpus(fixture: &Value) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/sotu.jsonl.gz");
    let mut lines = String::new();
    GzDecoder::new(fs::File::open(path).unwrap())
        .read_to_string(&mut lines)
        .unwrap();
    let speech = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["text"].as_str().unwrap().to_owned()
    };
    let mut corpus: Vec<String> = lines.lines().take(2).map(speech).collect();
    // As Python's `str.strip` sees it, which is what the script asks.
    let is_blank = |text: &str| {
        text.chars()
            .all(|c| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
    };
    corpus.extend(texts(fixture).into_iter().filter(|text| !is_blank(text)));
    corpus
}

/// The file of a tokenizer that is trained as `options` say.
fn trained(options: &str, corpus: &[String], threads: usize) -> TokenizerFolder {
    let options: Tokenizer = serde_json::from_str(options).unwrap();
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let training = TokenizerTraining::new(&options).unwrap().unwrap();
        let mut counts = WordCounts::default();
        for documents in corpus.chunks(7) {
            training.count(documents, &mut counts).unwrap();
        }
        let (tokenizer, special) = training.finish(counts).unwrap();
        TokenizerFolder::of_parts(&tokenizer, &special, None, None).unwrap()
    })
}

fn text_of(folder: &TokenizerFolder) -> &str {
    std::str::from_utf8(&folder.tokenizer).unwrap()
}

fn loaded(file: &str) -> LoadedTokenizer {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(TOKENIZER_FILE), file).unwrap();
    LoadedTokenizer::open(folder.path()).unwrap()
}

/// The first line in which two texts differ.
fn difference<'a>(left: &'a str, right: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let lines = left.lines().zip(right.lines()).enumerate();
    let mut differing = lines.filter(|(_, (left, right))| left != right);
    differing.next().map(|(line, (left, right))| (line, left, right))
}

#[test]
fn training_gives_the_files_of_the_python_package() {
    let fixture = fixture();
    let corpus = corpus(&fixture);
    for (name, options) in [
        (
            "byte_level",
            r#"{"bpe": {"vocab_size": 500}, "special": {"eos": "<|endoftext|>"}}"#,
        ),
        (
            "characters_bpe",
            r#"{"bpe": {"vocab_size": 600, "byte_level": false, "min_frequency": 3, "normalize": "nfkc", "lowercase": true}}"#,
        ),
        ("characters", r#"{"char": {}, "special": {"eos": "</s>"}}"#),
        (
            "words",
            r#"{"word": {"vocab_size": 300, "min_frequency": 2}, "special": {"unk": "<unk>", "eos": "</s>"}}"#,
        ),
    ] {
        let wanted = fixture["files"][name].as_str().unwrap();
        let folder = trained(options, &corpus, 2);
        assert_eq!(difference(text_of(&folder), wanted), None, "{name}");
        assert_eq!(text_of(&folder), wanted, "{name}");
    }
}

#[test]
fn word_piece_finds_the_pieces_of_the_python_package() {
    let fixture = fixture();
    let folder = trained(r#"{"wordpiece": {"vocab_size": 700}}"#, &corpus(&fixture), 2);
    let pieces = |file: &str| -> BTreeSet<String> {
        let file: Value = serde_json::from_str(file).unwrap();
        file["model"]["vocab"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let (own, theirs) = (
        pieces(text_of(&folder)),
        pieces(fixture["files"]["word_piece"].as_str().unwrap()),
    );
    assert_eq!((own.len(), theirs.len()), (700, 700));
    // Theirs differ in up to ten pieces from run to run, as ties fall as a hash table has them; what is exact is
    // held to a plain form of the algorithm beside it.
    let common = own.intersection(&theirs).count();
    assert!(common >= 685, "{common} of 700 pieces are the same");
}

#[test]
fn unigram_finds_the_pieces_of_the_python_package() {
    let fixture = fixture();
    let corpus = corpus(&fixture);
    let folder = trained(r#"{"unigram": {"vocab_size": 600}}"#, &corpus, 2);
    let pieces = |file: &str| -> BTreeMap<String, f64> {
        let file: Value = serde_json::from_str(file).unwrap();
        serde_json::from_value::<Vec<(String, f64)>>(file["model"]["vocab"].clone())
            .unwrap()
            .into_iter()
            .collect()
    };
    let (own, theirs) = (
        pieces(text_of(&folder)),
        pieces(fixture["files"]["unigram"].as_str().unwrap()),
    );
    assert_eq!((own.len(), theirs.len()), (600, 600));
    let differing: Vec<&String> = own.keys().filter(|piece| !theirs.contains_key(*piece)).collect();
    assert!(differing.is_empty(), "{differing:?}");
    for (piece, score) in &own {
        // Characters that the training lost get the least score and a little more each, as a hash table has them.
        let bound = if piece.chars().count() == 1 { 0.01 } else { 1e-9 };
        assert!(
            (score - theirs[piece]).abs() < bound,
            "{piece}: {score}, {}",
            theirs[piece]
        );
    }
}

#[test]
fn training_is_the_same_on_every_repeat() {
    let corpus = corpus(&fixture());
    let mut turned = corpus.clone();
    turned.reverse();
    for options in [
        r#"{"bpe": {"vocab_size": 400}}"#,
        r#"{"wordpiece": {"vocab_size": 500}}"#,
        r#"{"unigram": {"vocab_size": 500}}"#,
        r#"{"word": {"vocab_size": 200}}"#,
        r#"{"char": {}}"#,
    ] {
        let first = trained(options, &corpus, 1);
        for (corpus, threads) in [(&corpus, 1), (&corpus, 3), (&turned, 2)] {
            assert_eq!(
                text_of(&trained(options, corpus, threads)),
                text_of(&first),
                "{options}"
            );
        }
    }
}

#[test]
fn texts_are_encoded_as_in_python() {
    let fixture = fixture();
    let texts = texts(&fixture);
    for (name, wanted) in fixture["encodings"].as_object().unwrap() {
        let tokenizer = loaded(fixture["files"][name].as_str().unwrap());
        for (text, wanted) in texts.iter().zip(wanted.as_array().unwrap()) {
            let found = tokenizer.encode(text, true).unwrap();
            assert_eq!(serde_json::json!(found.ids), wanted["ids"], "{name}: {text:?}");
            assert_eq!(tokenizer.ids(text, true).unwrap(), found.ids, "{name}: {text:?}");
            let characters = |byte: usize| text[..byte].chars().count();
            let offsets: Vec<[usize; 2]> = found
                .offsets
                .iter()
                .map(|(begin, end)| inside(text, *begin, *end).map(characters))
                .collect();
            assert_eq!(serde_json::json!(offsets), wanted["offsets"], "{name}: {text:?}");
            assert_eq!(
                serde_json::json!(found.words),
                wanted["words"],
                "{name}: {text:?}"
            );
            let added: Vec<u8> = found.added.iter().map(|added| u8::from(*added)).collect();
            assert_eq!(serde_json::json!(added), wanted["special"], "{name}: {text:?}");
            assert_eq!(
                tokenizer.decode(&found.ids, true).unwrap(),
                wanted["decoded"].as_str().unwrap()
            );
        }
    }
}

/// Offsets in bytes may lie within a character, which Python counts as the whole of it.
fn inside(text: &str, begin: usize, end: usize) -> [usize; 2] {
    [text.floor_char_boundary(begin), text.ceil_char_boundary(end)]
}

#[test]
fn pairs_windows_and_words_are_those_of_transformers() {
    let fixture = fixture();
    let wanted = &fixture["transformers"];
    let tokenizer = loaded(fixture["files"]["word_piece"].as_str().unwrap());
    for case in wanted["cut"].as_array().unwrap() {
        let (first, second) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
        let cutting = tokenizer.cut(case[2].as_u64().unwrap() as u32, 0, true).unwrap();
        let found = cutting.windows(&tokenizer, first, Some(second)).unwrap().windows;
        assert_eq!(found.len(), 1);
        assert_eq!(serde_json::json!(found[0].ids), case[3], "{case}");
        assert_eq!(serde_json::json!(found[0].segments), case[4], "{case}");
    }
    let text = &texts(&fixture)[0];
    for case in wanted["windows"].as_array().unwrap() {
        let (length, stride) = (case[0].as_u64().unwrap() as u32, case[1].as_u64().unwrap() as u32);
        let cutting = tokenizer.cut(length, stride, false).unwrap();
        let found: Vec<Vec<u32>> = cutting
            .windows(&tokenizer, text, None)
            .unwrap()
            .windows
            .into_iter()
            .map(|window| window.ids)
            .collect();
        let theirs: Vec<Vec<u32>> = serde_json::from_value(case[2].clone()).unwrap();
        // Without a stride the beginning alone is kept.
        let theirs = if stride == 0 { &theirs[..1] } else { &theirs[..] };
        assert_eq!(found, theirs, "{case}");
    }
    let words: Vec<String> = serde_json::from_value(wanted["words"]["words"].clone()).unwrap();
    let found = tokenizer.encode_words(&words).unwrap();
    assert_eq!(serde_json::json!(found.ids), wanted["words"]["ids"]);
    assert_eq!(serde_json::json!(found.words), wanted["words"]["word_ids"]);
}

#[test]
fn words_keep_their_spaces_where_tokens_are_bytes() {
    let fixture = fixture();
    let tokenizer = loaded(fixture["files"]["llama3"].as_str().unwrap());
    let words: Vec<String> = ["The", "Congress,", "naïve", "👍🏽", "x"].map(str::to_owned).into();
    let found = tokenizer.encode_words(&words).unwrap();
    assert_eq!(
        found.ids,
        tokenizer.ids("The Congress, naïve 👍🏽 x", true).unwrap()
    );
    assert_eq!((found.words[0], found.words[found.words.len() - 1]), (None, None));
    let inner: Vec<u32> = found.words.iter().copied().flatten().collect();
    assert_eq!(inner.len(), found.ids.len() - 2);
    assert!(
        inner.is_sorted() && inner[0] == 0 && inner[inner.len() - 1] == 4,
        "{inner:?}"
    );
    for word in 0..5 {
        let of_word = found
            .words
            .iter()
            .zip(&found.ids)
            .filter(|(other, _)| **other == Some(word));
        let ids: Vec<u32> = of_word.map(|(_, id)| *id).collect();
        assert_eq!(tokenizer.decode(&ids, true).unwrap().trim(), words[word as usize]);
    }
}

#[test]
fn conversations_are_written_as_by_transformers() {
    let fixture = fixture();
    let tokenizer = loaded(fixture["files"]["llama3"].as_str().unwrap());
    let special = tokenizer.special();
    assert_eq!(special.bos.as_ref().unwrap().text, "<s>");
    for chat in fixture["chats"].as_array().unwrap() {
        let template = ChatTemplate::new(chat["template"].as_str().unwrap(), special).unwrap();
        let messages = chat["messages"].as_array().unwrap();
        let tools = Some(&chat["tools"]).filter(|tools| !tools.is_null());
        let found = template.conversation(messages, tools).unwrap();
        assert_eq!(found.text, chat["text"].as_str().unwrap());
        assert_eq!(
            template.render(messages, tools, true).unwrap(),
            chat["prompt"].as_str().unwrap()
        );
        let encoded = tokenizer.encode(&found.text, false).unwrap();
        assert_eq!(serde_json::json!(encoded.ids), chat["ids"]);
        assert_eq!(template.tells(), chat.get("mask").is_some());
        if let Some(mask) = chat.get("mask") {
            assert_eq!(
                serde_json::json!(encoded.within(&found.said)),
                *mask,
                "{}",
                found.text
            );
        }
    }
}

#[test]
fn unknown_characters_are_no_silent_loss() {
    let folder = trained(r#"{"char": {}}"#, &["abc".to_owned()], 1);
    let tokenizer = LoadedTokenizer::of_folder(&folder).unwrap();
    assert_eq!(tokenizer.ids("cab", true).unwrap(), [2, 0, 1]);
    let error = tokenizer.ids("ab\u{e9}", true).unwrap_err().to_string();
    assert!(error.contains("U+00E9") && error.contains("unk"), "{error}");
    assert!(tokenizer.ids("a b", true).is_err());
    let folder = trained(
        r#"{"char": {}, "special": {"unk": "<u>"}}"#,
        &["abc".to_owned()],
        1,
    );
    let tokenizer = LoadedTokenizer::of_folder(&folder).unwrap();
    assert_eq!(tokenizer.ids("a\u{e9} b", true).unwrap(), [1, 0, 0, 2]);
}

#[test]
fn folders_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let options = r#"{"bpe": {"vocab_size": 300}, "special": {"bos": "<s>", "eos": "</s>", "additional": ["<x>"]}, "add_bos": true}"#;
    let options: Tokenizer = serde_json::from_str(options).unwrap();
    let training = TokenizerTraining::new(&options).unwrap().unwrap();
    let (tokenizer, special) = training
        .finish(WordCounts::from([("abc", 3), ("\u{120}ab", 2)]))
        .unwrap();
    let files =
        TokenizerFolder::of_parts(&tokenizer, &special, Some(77), Some("{{ bos_token }}".into())).unwrap();
    files.write(folder.path()).unwrap();
    let loaded = LoadedTokenizer::open(folder.path()).unwrap();
    assert_eq!(
        (loaded.max_length(), loaded.chat_template()),
        (Some(77), Some("{{ bos_token }}"))
    );
    assert_eq!(*loaded.special(), special);
    assert_eq!(special.additional[0].id, 2);
    assert_eq!(loaded.ids("abc", true).unwrap()[0], 0);
    assert_eq!(loaded.ids("abc", false).unwrap().len(), 1);
    assert_eq!(loaded.size(), 256 + 3 + 3);
    let alone = LoadedTokenizer::open(&folder.path().join(TOKENIZER_FILE)).unwrap();
    assert_eq!(alone.special().eos.as_ref().unwrap().id, 1);

    fs::remove_file(folder.path().join(TOKENIZER_FILE)).unwrap();
    fs::write(folder.path().join("vocab.txt"), "[PAD]\n").unwrap();
    let error = LoadedTokenizer::open(folder.path()).err().unwrap().to_string();
    assert!(
        error.contains("vocab.txt") && error.contains("save_pretrained"),
        "{error}"
    );
    fs::write(folder.path().join(TOKENIZER_FILE), "{}").unwrap();
    let error = LoadedTokenizer::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("tokenizer.json is not one"), "{error}");
}

#[test]
fn lengths_without_room_are_refused() {
    let fixture = fixture();
    let tokenizer = loaded(fixture["files"]["word_piece"].as_str().unwrap());
    for (length, stride, pairs, told) in [
        (
            3,
            0,
            true,
            "3 tokens with 3 special ones leave room for 0 of a pair: make `max_length` larger",
        ),
        (
            2,
            0,
            false,
            "2 tokens with 2 special ones leave room for 0 of a text: make `max_length` larger",
        ),
        (
            10,
            8,
            false,
            "10 tokens with 2 special ones leave room for 8 of a text, and the stride is 8: make `max_length` larger, or \
             `stride` smaller",
        ),
        (
            0,
            0,
            true,
            "0 tokens with 3 special ones leave room for 0 of a pair: make `max_length` larger",
        ),
    ] {
        let error = tokenizer.cut(length, stride, pairs).err().unwrap().to_string();
        assert_eq!(error, told);
    }
    for (length, stride, pairs) in [(4, 0, true), (3, 0, false), (10, 7, false)] {
        assert!(tokenizer.cut(length, stride, pairs).is_ok());
    }
}
