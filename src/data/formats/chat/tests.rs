//! Tests of what is read and refused.

use std::fs;

use crate::data::formats::text::tests::{TextBench, numbers};
use crate::data::{Dataset, TOKENIZER_FOLDER};
use crate::spec::{SplitName, TargetKind};

const TOKENIZER: &str = r#"{"bpe": {"vocab_size": 300}, "special": {"bos": "<s>", "eos": "</s>"}, "add_bos": true,
                            "max_length": 64}"#;

const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}\
                        {% if add_generation_prompt %}[assistant]{% endif %}";

const CHAT: &str = r#"{"chat": {"tokenizer": "tok", "template": "./t"}}"#;

fn bench(lines: &str) -> TextBench {
    let bench = TextBench::new(TOKENIZER, &["hello there [user] [assistant]"]);
    fs::write(bench.path("template.jinja"), TEMPLATE).unwrap();
    bench.file("a.jsonl", lines);
    bench
}

fn turns(turns: &[(&str, &str)]) -> String {
    let messages: Vec<String> = turns
        .iter()
        .map(|(role, text)| format!(r#"{{"role": "{role}", "content": "{text}"}}"#))
        .collect();
    format!(r#"{{"messages": [{}]}}"#, messages.join(", "))
}

/// What of the first conversation is learnt, as text.
fn learnt(bench: &TextBench, dataset: &Dataset) -> String {
    let ids = numbers(dataset, "tokens", SplitName::Train, 0);
    let mask = numbers(dataset, "loss_mask", SplitName::Train, 0);
    assert_eq!(ids.len(), mask.len());
    let kept: Vec<u32> = ids
        .iter()
        .zip(&mask)
        .filter(|(_, mask)| **mask == 1)
        .map(|(id, _)| *id)
        .collect();
    bench.tokenizer().decode(&kept, false).unwrap()
}

#[test]
fn assistants_alone_are_learnt() {
    let bench = bench(&turns(&[
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "bye"),
        ("assistant", "there"),
    ]));
    let dataset = bench.dataset(CHAT, "");
    assert_eq!(dataset.task().unwrap(), TargetKind::NextToken);
    assert_eq!(learnt(&bench, &dataset), "hello</s>there</s>");
    let ids = numbers(&dataset, "tokens", SplitName::Train, 0);
    let text = bench.tokenizer().decode(&ids, false).unwrap();
    assert_eq!(
        text,
        "<s>[user]hi</s>[assistant]hello</s>[user]bye</s>[assistant]there</s>"
    );
    // The tokenizer would put a second one before it.
    let notices = bench.notices.lock().unwrap().join("\n");
    assert!(notices.contains("here it stands once"), "{notices}");
    let kept = bench
        .path("output")
        .join(TOKENIZER_FOLDER)
        .join("chat_template.jinja");
    assert_eq!(fs::read_to_string(kept).unwrap(), TEMPLATE);
    let all = bench.dataset(&CHAT.replace(r#""./t""#, r#""./t", "targets": "all""#), "");
    assert_eq!(learnt(&bench, &all), text);
}

#[test]
fn conversations_that_teach_nothing_are_told_of() {
    let long = "x".repeat(80);
    for (line, expected) in [
        (turns(&[("user", "hi")]), "no assistant says anything"),
        (
            turns(&[("user", "hi"), ("assistant", &long)]),
            "and 64 are the most",
        ),
        (r#"{"messages": []}"#.to_owned(), "its `messages` are none"),
        (r#"{"conversations": []}"#.to_owned(), "it has no `messages`"),
        (
            r#"{"messages": [{"from": "human", "value": "hi"}]}"#.to_owned(),
            "ShareGPT",
        ),
        ("{".to_owned(), "no JSON object"),
    ] {
        let bench = bench(&line);
        let error = bench.error(CHAT);
        assert!(error.contains("a.jsonl:1") && error.contains(expected), "{error}");
    }
    let bench = bench(&turns(&[("user", "hi"), ("assistant", "x")]));
    let doubled = format!("{{{{ bos_token }}}}{TEMPLATE}");
    fs::write(bench.path("template.jinja"), doubled).unwrap();
    let error = bench.error(CHAT);
    assert!(error.contains("`bos` token twice"), "{error}");
    fs::remove_file(bench.path("template.jinja")).unwrap();
    let error = bench.error(r#"{"chat": {"tokenizer": "tok"}}"#);
    assert!(error.contains("has no chat template"), "{error}");
}
