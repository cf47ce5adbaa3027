//! Requests that become texts, without the network around them.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::model::WritingModel;
use super::pieces::{TextPiece, TextPieces};
use super::queue::{TextEvent, TextEventKind, TextQueue, WaitingText};
use super::request::{WritingForm, WritingRequest};
use super::worker::write_texts;
use crate::generation::{GenerationEnd, Started, continue_text};
use crate::serve::figures::ModelFigures;
use crate::serve::refused::Refused;
use crate::serve::served::{ModelVersion, ServedModel};
use crate::spec::NarrowWeights;
use crate::tokenizer::LoadedTokenizer;
use crate::train::folder_testing::TinyFolder;
use crate::train::{Components, DeviceChoice};

fn load(folder: &TinyFolder, weights: Option<NarrowWeights>) -> WritingModel {
    let loaded = WritingModel::load(
        folder.path(),
        DeviceChoice::Cpu,
        weights,
        4,
        &Components::built_in(),
    );
    loaded.expect("it goes on with texts")
}

/// A version of a small Llama of eleven words.
fn version(weights: Option<NarrowWeights>) -> Arc<ModelVersion> {
    let folder = TinyFolder::llama().with_tokenizer().write();
    Arc::new(ModelVersion {
        model: ServedModel::Writing(Box::new(load(&folder, weights))),
        version: "a".to_owned(),
        fingerprint: "a".to_owned(),
    })
}

fn writing(version: &ModelVersion) -> &WritingModel {
    match &version.model {
        ServedModel::Writing(model) => model,
        ServedModel::Rows(_) => panic!("it writes"),
    }
}

/// Has the texts of a completion wait; what becomes of them.
fn ask(queue: &TextQueue, version: &Arc<ModelVersion>, body: &Value) -> UnboundedReceiver<TextEvent> {
    let request =
        WritingRequest::read(body.to_string().as_bytes(), WritingForm::Completion).expect("a request");
    let (events, told) = unbounded_channel();
    let prompts = request.encoded(writing(version)).expect("they fit");
    let texts = prompts.into_iter().flat_map(|prompt| {
        let tokens = Arc::new(prompt.tokens);
        let texts = (0..request.count).map(|number| WaitingText {
            version: Arc::clone(version),
            index: number,
            prompt: Arc::clone(&tokens),
            rules: prompt.rules.clone(),
            number: (request.seed.unwrap_or(0), number as u32),
            stops: Arc::new(request.stops.clone()),
            since: Instant::now(),
            deadline: None,
            events: events.clone(),
        });
        texts.collect::<Vec<_>>()
    });
    queue.push(texts.collect()).expect("there is room");
    told
}

/// The text and why it ended: true where it was full.
fn text_of(mut events: UnboundedReceiver<TextEvent>) -> (String, bool, usize) {
    let mut text = String::new();
    loop {
        match events.try_recv().expect("it has an end").kind {
            TextEventKind::Piece(piece) => text.push_str(&piece),
            TextEventKind::End(end) => return (text, end.is_full, end.tokens),
            TextEventKind::Failed(refused) => panic!("{}", refused.message),
        }
    }
}

#[test]
fn texts_of_many_requests_are_what_each_is_alone() {
    for weights in [None, Some(NarrowWeights::Int8)] {
        let version = version(weights);
        let model = writing(&version);
        let bodies: Vec<Value> = (0..9)
            .map(|index| {
                let prompt = ["the cat sat", "a mat", "and the cat slept on the mat and"][index % 3];
                json!({
                    "model": "m", "prompt": prompt, "max_tokens": 1 + index % 5, "seed": index,
                    "temperature": f64::from(u8::from(index % 2 == 0)) * 1.7,
                })
            })
            .collect();
        let queue = TextQueue::new(100);
        let told: Vec<_> = bodies.iter().map(|body| ask(&queue, &version, body)).collect();
        queue.close();
        let figures = ModelFigures::new();
        // Fewer at once than there are.
        write_texts(&queue, 4, &figures);
        assert!(figures.snapshot().batches > 0);
        for (body, events) in bodies.iter().zip(told) {
            let request = WritingRequest::read(body.to_string().as_bytes(), WritingForm::Completion).unwrap();
            let prompt = request.encoded(model).unwrap().remove(0);
            let decoder = model.decoder();
            let started = Started::new(&decoder, &prompt.tokens, prompt.rules.tokens).unwrap();
            let number = (request.seed.unwrap(), 0);
            let alone = continue_text(&started, &prompt.rules, number, &mut |_| Ok(false)).unwrap();
            let tokenizer = model.tokenizer();
            let whole = [prompt.tokens.as_slice(), &alone.tokens].concat();
            let text = tokenizer.decode(&whole, true).unwrap();
            let text = text
                .strip_prefix(&tokenizer.decode(&prompt.tokens, true).unwrap())
                .unwrap();
            let expected = (
                text.to_owned(),
                alone.end == GenerationEnd::Length,
                alone.tokens.len(),
            );
            assert_eq!(text_of(events), expected, "{body}");
        }
    }
}

#[test]
fn who_goes_takes_no_part_and_who_is_late_is_told() {
    let version = version(None);
    let queue = TextQueue::new(2);
    let body = json!({"model": "m", "prompt": "the cat", "max_tokens": 3, "n": 1});
    let kept = ask(&queue, &version, &body);
    drop(ask(&queue, &version, &body));
    let (events, mut late) = unbounded_channel();
    let text = |deadline| WaitingText {
        version: Arc::clone(&version),
        index: 0,
        prompt: Arc::new(vec![2]),
        rules: crate::generation::GenerationRules::default(),
        number: (0, 0),
        stops: Arc::default(),
        since: Instant::now(),
        deadline,
        events: events.clone(),
    };
    // Who has gone keeps no place, wherever it is.
    queue.push(vec![text(Some(Instant::now()))]).unwrap();
    let short = TextQueue::new(1);
    short.push(vec![text(None)]).unwrap();
    let full = short.push(vec![text(None)]).unwrap_err();
    assert_eq!((full.status.as_u16(), full.retry_after), (503, Some(1)));
    queue.close();
    let figures = ModelFigures::new();
    write_texts(&queue, 2, &figures);
    assert_eq!(text_of(kept).2, 3);
    assert_eq!(
        late.try_recv().unwrap().kind,
        TextEventKind::Failed(Refused::expired())
    );
    let shut = queue.push(vec![text(None)]).unwrap_err();
    assert!(shut.message.contains("shut down"), "{}", shut.message);
}

/// A tokenizer of bytes: each character of `units` is one byte in GPT-2's spelling.
fn bytes(units: &[&str]) -> (TempDir, LoadedTokenizer) {
    let folder = tempfile::tempdir().unwrap();
    let vocabulary: serde_json::Map<String, Value> = units
        .iter()
        .enumerate()
        .map(|(id, unit)| ((*unit).to_owned(), json!(id)))
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    });
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let loaded = LoadedTokenizer::open(folder.path()).unwrap();
    (folder, loaded)
}

#[test]
fn characters_are_given_out_whole_and_stops_are_held_back() {
    // a, b, a blank, and the bytes of a euro sign.
    let (_folder, tokenizer) = bytes(&["a", "b", "\u{120}", "\u{e2}", "\u{124}", "\u{ac}"]);
    let written = |stops: &[&str], tokens: &[u32]| {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut pieces = TextPieces::new(&[0, 1], &stops);
        let mut told = Vec::new();
        for token in tokens {
            let piece = pieces.push(*token, &tokenizer).unwrap();
            told.push(piece.text);
            if piece.is_stopped {
                told.push("|".to_owned());
                return told;
            }
        }
        let TextPiece { text, is_stopped } = pieces.finish(&tokenizer).unwrap();
        told.push(text);
        told.extend(is_stopped.then(|| "|".to_owned()));
        told
    };
    assert_eq!(
        written(&[], &[2, 0, 3, 4, 5, 1]),
        [" ", "a", "", "", "\u{20ac}", "b", ""]
    );
    // Half a character at the end.
    assert_eq!(written(&[], &[0, 3, 4]), ["a", "", "", "\u{fffd}"]);
    // What may begin a stop is held, and given out where it does not; the first one that is whole ends the text.
    assert_eq!(
        written(&["ab a"], &[0, 1, 2, 1, 0]),
        ["", "", "", "ab b", "", "a"]
    );
    assert_eq!(written(&["b ", "\u{20ac}"], &[0, 1, 2, 0]), ["a", "", "", "|"]);
    assert_eq!(written(&["\u{20ac}"], &[0, 3, 4, 5, 0]), ["a", "", "", "", "|"]);
}

#[test]
fn what_would_change_the_answer_is_refused_by_name() {
    let refused = |form, body: Value| {
        let refused = WritingRequest::read(body.to_string().as_bytes(), form).unwrap_err();
        assert_eq!(refused.status.as_u16(), 400);
        let (parameter, code) = refused.parameter.expect("a parameter is to blame");
        (parameter, code, refused.message)
    };
    let chat = |more: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    for (name, value, code) in [
        ("tools", json!([{"type": "function"}]), "unsupported_parameter"),
        (
            "response_format",
            json!({"type": "json_object"}),
            "unsupported_parameter",
        ),
        ("logit_bias", json!({"5": 1}), "unsupported_parameter"),
        ("logprobs", json!(true), "unsupported_parameter"),
        ("presence_penalty", json!(0.5), "unsupported_parameter"),
        ("reasoning_effort", json!("low"), "unknown_parameter"),
        ("temperature", json!(-1), "invalid_value"),
        ("temperature", json!("hot"), "invalid_value"),
        ("top_p", json!(0), "invalid_value"),
        ("top_p", json!(-1), "invalid_value"),
        ("n", json!(0), "invalid_value"),
        ("n", json!(1000), "invalid_value"),
        ("max_tokens", json!(0), "invalid_value"),
        ("max_completion_tokens", json!(1.5), "invalid_value"),
        ("stop", json!([""]), "invalid_value"),
        ("stop", json!([1]), "invalid_value"),
        ("seed", json!("x"), "invalid_value"),
        ("stream", json!(1), "invalid_value"),
        ("stream_options", json!({"include_usage": true}), "invalid_value"),
        ("messages", json!([]), "invalid_value"),
        ("messages", json!([{"role": "user"}]), "invalid_value"),
        ("messages", json!([{"content": "hi"}]), "invalid_value"),
        (
            "messages",
            json!([{"role": "user", "content": [{"type": "image_url"}]}]),
            "invalid_value",
        ),
        ("model", Value::Null, "missing_required_parameter"),
    ] {
        let (parameter, found, message) = refused(WritingForm::Chat, chat(json!({ name: value })));
        assert_eq!((parameter.as_str(), found), (name, code), "{message}");
    }
    for (more, name) in [
        (json!({}), "prompt"),
        (json!({"prompt": [1, "a"]}), "prompt"),
        (json!({"prompt": "a", "echo": true}), "echo"),
        (json!({"prompt": "a", "logprobs": 0}), "logprobs"),
        (json!({"prompt": "a", "best_of": 3}), "best_of"),
        (json!({"prompt": ["a", "b"], "n": 100}), "prompt"),
    ] {
        let mut body = json!({"model": "m"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        assert_eq!(refused(WritingForm::Completion, body).0, name, "{more}");
    }
    // What asks for nothing is passed over.
    let idle = chat(json!({
        "tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "logit_bias": {}, "logprobs": false,
        "frequency_penalty": 0.0, "user": "me", "metadata": {"a": "b"}, "seed": -1, "stop": null, "n": 1,
        "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 3, "temperature": 0,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
    }));
    let read = WritingRequest::read(idle.to_string().as_bytes(), WritingForm::Chat).unwrap();
    assert!(read.is_streamed && read.tells_usage && read.seed == Some(u64::MAX) && read.tokens == Some(3));
    for body in ["", "[]", "{"] {
        assert!(WritingRequest::read(body.as_bytes(), WritingForm::Chat).is_err());
    }
}

#[test]
fn what_does_not_fit_the_model_is_told_before_it_waits() {
    let version = version(None);
    let model = writing(&version);
    let refused = |form, body: Value| {
        let request = WritingRequest::read(body.to_string().as_bytes(), form).unwrap();
        let refused = request.encoded(model).unwrap_err();
        let (parameter, code) = refused.parameter.expect("a parameter is to blame");
        (parameter, code, refused.message)
    };
    let context = model.context();
    let long = vec![2; context];
    let (parameter, code, message) = refused(WritingForm::Completion, json!({"model": "m", "prompt": long}));
    assert_eq!((parameter.as_str(), code), ("prompt", "context_length_exceeded"));
    assert!(
        message.contains(&format!("has {context} tokens, and the prompt {context}")),
        "{message}"
    );
    // A text that is longer than any so many tokens is not even read.
    let huge = json!({"model": "m", "prompt": "the ".repeat(1 << 20)});
    let (_, code, message) = refused(WritingForm::Completion, huge);
    assert_eq!(code, "context_length_exceeded");
    assert!(message.contains("the prompt 4194304 bytes"), "{message}");
    let many = json!({"model": "m", "prompt": "the cat", "max_tokens": context});
    let (_, code, message) = refused(WritingForm::Completion, many);
    assert_eq!(code, "context_length_exceeded");
    assert!(
        message.contains(&format!("asks for {}", context + 2)),
        "{message}"
    );
    let (_, code, message) = refused(WritingForm::Completion, json!({"model": "m", "prompt": [2, 11]}));
    assert_eq!(code, "invalid_value");
    assert!(
        message.contains("token 11") && message.contains("under 11"),
        "{message}"
    );
    let second = json!({"model": "m", "prompt": ["the cat", ""]});
    let (_, _, message) = refused(WritingForm::Completion, second);
    assert!(
        message.starts_with("prompt 2: a prompt without any token"),
        "{message}"
    );
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "the cat"}]});
    let (_, code, message) = refused(WritingForm::Chat, chat);
    assert_eq!(code, "no_chat_template");
    assert!(message.contains("/v1/completions"), "{message}");
    // All of the positions may be used.
    let most = json!({"model": "m", "prompt": "the cat", "max_tokens": context - 2});
    let queue = TextQueue::new(1);
    let told = ask(&queue, &version, &most);
    queue.close();
    write_texts(&queue, 1, &ModelFigures::new());
    assert!(text_of(told).2 <= context - 2);
}
