//! Models that go on with texts, asked as OpenAI's programs do.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::{Answered, Client, RunningServer};
use crate::project::Project;

/// A small language model of bytes with a template of conversations, trained for a moment.
fn project() -> Project {
    let words = [
        "the",
        "bee",
        "ant",
        "cat",
        "sees",
        "likes",
        "a",
        "red",
        "gr\u{fc}n",
        "flower",
    ];
    let sentence = |index: usize| {
        let word = |step: usize| words[(index * 7 + step * (1 + index % 3)) % words.len()];
        let text: Vec<&str> = (0..24 + index % 5).map(word).collect();
        format!("{}\n", json!({"text": text.join(" ")}))
    };
    Project::new()
        .with("lines.jsonl", (0..200).map(sentence).collect::<String>())
        .with(
            "chat.jinja",
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}the{% endif %}",
        )
        .with(
            "tales.yaml",
            r#"
name: tales
seed: 0
stages:
  tok:
    tokenizer:
      input: ./lines.jsonl
      documents: {jsonl: {text: text}}
      bpe: {vocab_size: 300}
      special: {eos: "</s>"}
      chat_template: ./chat.jinja
  text:
    preprocess:
      input: ./lines.jsonl
      format: {text: {documents: {jsonl: {text: text}}, tokenizer: tok}}
      split: {val: 0.2}
  gpt:
    train:
      data: text
      model: {gpt2: {layers: 2, heads: 2, width: 32, context: 64}}
      pack: {length: 32}
      steps: 60
      batch_size: 8
      optimizer: {adamw: {lr: 0.01}}
  folder: {export: {model: gpt, format: huggingface}}
  samples:
    generate: {model: gpt, prompts: ["the bee", "a red", "the cat sees a"], tokens: 12}
"#,
        )
}

fn post(client: &mut Client, path: &str, body: &Value) -> Answered {
    client.ask("POST", path, &[], body.to_string().as_bytes())
}

fn complete(client: &mut Client, body: &Value) -> Value {
    post(client, "/v1/completions", body).assert_status(200).json()
}

/// The events of a stream, the last of which is that it is done.
fn events(answer: &Answered) -> Vec<Value> {
    let text = answer.assert_status(200).text();
    let mut events: Vec<&str> = text.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert_eq!(events.pop(), Some("data: [DONE]"), "{text}");
    let event = |event: &str| {
        let event = event.strip_prefix("data: ").expect("data");
        serde_json::from_str(event).expect("JSON")
    };
    events.into_iter().map(event).collect()
}

/// The texts and the reasons of a stream, by their choices.
fn streamed(events: &[Value]) -> BTreeMap<u64, (String, String)> {
    let mut texts: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for choice in events
        .iter()
        .flat_map(|event| event["choices"].as_array().expect("choices"))
    {
        let own = texts
            .entry(choice["index"].as_u64().expect("an index"))
            .or_default();
        own.0 += choice["text"]
            .as_str()
            .or_else(|| choice["delta"]["content"].as_str())
            .unwrap_or_default();
        if let Some(reason) = choice["finish_reason"].as_str() {
            assert_eq!(own.1, "", "it ended before");
            own.1 = reason.to_owned();
        }
    }
    texts
}

#[test]
fn texts_are_written_as_generate_writes_them_whole_and_in_pieces() {
    let project = project();
    project.erlen(["run", "tales.yaml"]).assert_code(0);
    project
        .erlen([
            "get",
            "tales.yaml",
            "samples/samples.jsonl",
            "-o",
            "samples.jsonl",
        ])
        .assert_code(0);
    let samples: Vec<Value> = project
        .read("samples.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let server = RunningServer::start(&project, &["tales=tales.yaml:gpt", "again=tales.yaml:folder"]);
    let mut client = server.client();
    let listed = client.get("/v1/models").assert_status(200).json();
    assert_eq!(
        (&listed["data"][0]["id"], &listed["data"][1]["id"]),
        (&json!("tales"), &json!("again"))
    );
    assert_eq!(client.get("/v1/models/tales").json()["max_model_len"], 64);
    let longest = samples
        .iter()
        .filter_map(|sample| sample["tokens"].as_u64())
        .max();
    assert!(longest > Some(8), "nothing is written: {samples:?}");
    let reason = |end: &Value| if *end == "length" { "length" } else { "stop" };

    // As the stage writes them: alone, all at once, from the exported folder, as tensors, and event by event.
    for sample in &samples {
        let body = json!({"model": "tales", "prompt": sample["prompt"], "max_tokens": 12, "temperature": 0});
        let whole = complete(&mut client, &body);
        assert_eq!(whole["choices"][0]["text"], sample["text"]);
        assert_eq!(whole["choices"][0]["finish_reason"], reason(&sample["end"]));
        assert_eq!(whole["usage"]["completion_tokens"], sample["tokens"]);
        assert_eq!(
            (&whole["object"], &whole["model"]),
            (&json!("text_completion"), &json!("tales"))
        );
        let mut asked = body.clone();
        asked["model"] = "again".into();
        assert_eq!(complete(&mut client, &asked)["choices"], whole["choices"]);
        let mut asked = body.clone();
        asked["stream"] = true.into();
        asked["stream_options"] = json!({"include_usage": true});
        let answer = read_stream(&server, "/v1/completions", &asked);
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let told = events(&answer);
        let text = sample["text"].as_str().expect("a text").to_owned();
        assert_eq!(streamed(&told)[&0], (text, reason(&sample["end"]).to_owned()));
        assert_eq!(told.last().expect("usage")["usage"], whole["usage"]);
        assert_eq!(told.last().expect("usage")["choices"], json!([]));
        let pieces = sample["text"].as_str().expect("a text").split(' ').count();
        assert!(told.len() >= pieces.min(5), "{told:?}");
        let inputs = json!([{"name": "text", "shape": [1], "datatype": "BYTES", "data": [sample["prompt"]]}]);
        let tensors = json!({"inputs": inputs, "parameters": {"max_tokens": 12}});
        let told = client.infer("tales", &tensors.to_string());
        assert_eq!(told.output("text"), [sample["text"].clone()]);
        for (name, value) in [
            ("echo", json!(true)),
            ("n", json!(2)),
            ("presence_penalty", json!(1)),
            ("max_token", json!(12)),
        ] {
            let body = json!({"inputs": inputs, "parameters": {name: value}});
            let told = client.infer("tales", &body.to_string());
            assert!(
                told.assert_status(400).text().contains(&format!("`{name}`")),
                "{}",
                told.text()
            );
        }
    }
    let prompts: Vec<&Value> = samples.iter().map(|sample| &sample["prompt"]).collect();
    let body = json!({"model": "tales", "prompt": prompts, "max_tokens": 12, "temperature": 0, "n": 2});
    let all = complete(&mut client, &body);
    for (place, choice) in all["choices"].as_array().expect("choices").iter().enumerate() {
        assert_eq!(choice["index"], place);
        assert_eq!(choice["text"], samples[place / 2]["text"]);
    }

    // Drawn texts are those of their seed, whoever else asks at the time.
    let drawn = |seed: u64| json!({"model": "tales", "prompt": "the", "max_tokens": 20, "seed": seed, "n": 3, "top_p": 0.9});
    let alone: Vec<Value> = (0..6)
        .map(|seed| complete(&mut client, &drawn(seed))["choices"].clone())
        .collect();
    assert!(alone.windows(2).any(|two| two[0] != two[1]));
    let together: Vec<Value> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..6)
            .map(|seed| {
                let (server, drawn) = (&server, &drawn);
                scope.spawn(move || complete(&mut server.client(), &drawn(seed))["choices"].clone())
            })
            .collect();
        asking
            .into_iter()
            .map(|asked| asked.join().expect("answered"))
            .collect()
    });
    assert_eq!(together, alone);

    // Stops are cut off, in events too.
    let text = samples[0]["text"].as_str().expect("a text");
    let stop: String = text.chars().skip(3).take(4).collect();
    let cut = text.find(&stop).expect("it is there");
    let mut body = json!({
        "model": "tales", "prompt": samples[0]["prompt"], "max_tokens": 12, "temperature": 0, "stop": [stop, "\u{7}"],
    });
    let whole = complete(&mut client, &body);
    assert_eq!(
        (
            &whole["choices"][0]["text"],
            &whole["choices"][0]["finish_reason"]
        ),
        (&json!(text[..cut]), &json!("stop"))
    );
    body["stream"] = true.into();
    let told = streamed(&events(&read_stream(&server, "/v1/completions", &body)));
    assert_eq!(told[&0], (text[..cut].to_owned(), "stop".to_owned()));

    // A conversation is written by the template.
    let mut chat = json!({
        "model": "tales", "temperature": 0, "max_completion_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "bee"}]}],
    });
    let whole = post(&mut client, "/v1/chat/completions", &chat)
        .assert_status(200)
        .json();
    let plain = complete(
        &mut client,
        &json!({"model": "tales", "prompt": "user: bee\nthe", "max_tokens": 5, "temperature": 0}),
    );
    assert_eq!(
        whole["choices"][0]["message"]["content"],
        plain["choices"][0]["text"]
    );
    assert_eq!(whole["object"], "chat.completion");
    chat["stream"] = true.into();
    let told = events(&read_stream(&server, "/v1/chat/completions", &chat));
    assert_eq!(told[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(told[0]["object"], "chat.completion.chunk");
    assert_eq!(
        streamed(&told)[&0].0,
        plain["choices"][0]["text"].as_str().expect("a text")
    );

    let refused = |path: &str, body: Value, status: u16, code: Value, parameter: Value| {
        let told = post(&mut server.client(), path, &body);
        let error = told.assert_status(status).json()["error"].clone();
        assert_eq!((&error["code"], &error["param"]), (&code, &parameter), "{error}");
        assert!(error["message"].is_string() && error["type"] == "invalid_request_error");
    };
    let long = "bee ".repeat(100);
    refused(
        "/v1/completions",
        json!({"model": "x", "prompt": "a"}),
        404,
        json!("model_not_found"),
        json!("model"),
    );
    refused(
        "/v1/completions",
        json!({"model": "tales", "prompt": long}),
        400,
        json!("context_length_exceeded"),
        json!("prompt"),
    );
    refused(
        "/v1/chat/completions",
        json!({"model": "tales", "messages": [{"role": "user", "content": "a"}], "tools": [{}]}),
        400,
        json!("unsupported_parameter"),
        json!("tools"),
    );
    refused("/v1/nothing", json!({}), 404, Value::Null, Value::Null);
    let told = client.get("/v1/completions");
    assert_eq!(told.assert_status(405).header("allow"), Some("POST"));
    let told = post(&mut client, "/v2/models/tales", &json!({}));
    assert_eq!(told.assert_status(405).header("allow"), Some("GET, HEAD"));
    assert!(server.figure("erlen_written_tokens_total{model=\"tales\"} ") > 100.0);
    server.until("the log of streams", |_| {
        let log = project.read("access.jsonl");
        let streams = log
            .lines()
            .filter(|line| line.contains("/v1/") && line.contains("completion_tokens"));
        streams.count() > 10
    });
}

#[test]
fn who_goes_ends_the_text_and_a_drain_finishes_it() {
    let project = project();
    project.erlen(["run", "tales.yaml", "gpt"]).assert_code(0);
    let server = RunningServer::start(
        &project,
        &["tales=tales.yaml:gpt", "--max-batch", "2", "--queue", "2"],
    );
    // Nothing ends these but their length: the end is forbidden by no parameter, so many are asked for.
    let body = json!({"model": "tales", "prompt": "the", "n": 128, "max_tokens": 62, "stream": true, "temperature": 2.0});
    let text = body.to_string();
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    let mut gone = server.client();
    gone.send(format!("{head}{text}").as_bytes()).expect("a socket");
    server.until("it is written", |server| {
        server.figure("erlen_written_tokens_total{model=\"tales\"} ") > 0.0
    });
    // A queue that is full says so at once.
    let told = post(
        &mut server.client(),
        "/v1/completions",
        &json!({"model": "tales", "prompt": "a", "n": 3}),
    );
    if told.status == 503 {
        assert_eq!(told.header("retry-after"), Some("1"));
        assert_eq!(told.json()["error"]["type"], "server_error");
    } else {
        told.assert_status(200);
    }
    drop(gone);
    let end = || {
        server.until("the texts of who has gone end", |server| {
            server.figure("erlen_running_texts{model=\"tales\"} ") == 0.0
                && server.figure("erlen_queue_length{model=\"tales\"} ") == 0.0
        });
    };
    end();
    // A fast processor may have written all of them before.
    let has_gone = || {
        project
            .read("access.jsonl")
            .contains("the client went before the end")
    };
    for _ in 0..50 {
        if has_gone() {
            break;
        }
        let mut gone = server.client();
        gone.send(format!("{head}{text}").as_bytes()).expect("a socket");
        std::thread::sleep(std::time::Duration::from_millis(3));
        drop(gone);
        end();
    }
    assert!(has_gone(), "{}", project.read("access.jsonl"));

    // What was begun is finished.
    let body =
        json!({"model": "tales", "prompt": "the", "n": 2, "max_tokens": 50, "stream": true, "seed": 1});
    let text = body.to_string();
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    let mut last = server.client();
    last.send(format!("{head}{text}").as_bytes()).expect("a socket");
    server.until("it begins", |server| {
        server.figure("erlen_prompt_tokens_total{model=\"tales\"} ") > 1.0
    });
    server.signal();
    let told = streamed(&events(&last.read_chunks().expect("an answer")));
    assert_eq!(told.len(), 2);
    assert!(
        told.values()
            .all(|(_, reason)| reason == "length" || reason == "stop")
    );
    assert_eq!(server.end(), Some(0));
}

fn read_stream(server: &RunningServer, path: &str, body: &Value) -> Answered {
    let text = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    let mut client = server.client();
    client.send(format!("{head}{text}").as_bytes()).expect("a socket");
    client.read_chunks().expect("an answer")
}
