//! Models of texts behind HTTP, beside what `predict` says of the same texts.

use serde_json::{Value, json};

use super::client::RunningServer;
use crate::project::Project;

/// Sentences with a class, pairs of them, and the words of some with tags.
fn project() -> Project {
    let animals = ["ant", "bee", "cat", "dog"];
    let (mut reviews, mut pairs, mut alike, mut tags) = (
        String::new(),
        String::from("one,other,same\n"),
        String::from("left,right\n"),
        String::new(),
    );
    for index in 0..120usize {
        let (animal, other) = (animals[index % 4], animals[index / 4 % 4]);
        let more = " and sleeps".repeat(index % 3);
        let class = ["small", "large"][index % 4 / 2];
        let review = json!({"review": format!("the {animal} eats{more}"), "size": class});
        reviews += &format!("{review}\n");
        let same = if animal == other { "yes" } else { "no" };
        pairs += &format!("the {animal} eats{more},here sits the {other},{same}\n");
        alike += &format!("the {animal} eats {index},here sits the {animal}\n");
        tags +=
            &format!("the O\n{animal} B-ANIMAL\nand O\nthe O\n{other} B-ANIMAL\n{other} I-ANIMAL\n. O\n\n");
    }
    Project::new()
        .with("reviews.jsonl", reviews)
        .with("pairs.csv", pairs)
        .with("alike.csv", alike)
        .with("tags.conll", tags)
        .with(
            "texts.yaml",
            r#"
name: texts
seed: 0
stages:
  tok:
    tokenizer:
      input: ./reviews.jsonl
      documents: {jsonl: {text: review}}
      wordpiece: {vocab_size: 90}
  reviews:
    preprocess:
      input: ./reviews.jsonl
      format: {text: {documents: {jsonl: {text: review, label: size}}, tokenizer: tok, max_length: 12}}
      split: {val: 0.2, test: 0.2}
  pairs:
    preprocess:
      input: ./pairs.csv
      format: {text: {documents: {csv: {text: one, pair: other, label: same}}, tokenizer: tok, max_length: 24}}
      split: {val: 0.2}
  alike:
    preprocess:
      input: ./alike.csv
      format: {text: {documents: {csv: {text: left, pair: right, compare: true}}, tokenizer: tok, max_length: 24}}
      split: {val: 0.2}
  tags:
    preprocess:
      input: ./tags.conll
      format: {conll: {tokenizer: tok, max_length: 32}}
      split: {val: 0.2}
  classes:
    train:
      data: reviews
      model: {bert: {layers: 1, heads: 2, width: 16, context: 32}}
      epochs: 2
      batch_size: 8
      optimizer: {adamw: {lr: 0.01}}
  test: {evaluate: {model: classes, data: reviews, metrics: [predictions]}}
  same:
    train:
      data: pairs
      model: {bert: {layers: 1, heads: 2, width: 16, context: 32}}
      epochs: 1
      batch_size: 8
      optimizer: {adamw: {lr: 0.01}}
  near:
    train:
      data: alike
      model: {bert: {layers: 1, heads: 2, width: 16, context: 32}}
      epochs: 1
      batch_size: 8
      optimizer: {adamw: {lr: 0.01}}
  names:
    train:
      data: tags
      model: {bert: {layers: 1, heads: 2, width: 16, context: 32}}
      epochs: 12
      batch_size: 8
      optimizer: {adamw: {lr: 0.02}}
  told: {predict: {model: classes, input: ./new.jsonl, format: json_lines}}
"#,
        )
        .with(
            "new.jsonl",
            "{\"review\": \"the cat eats\"}\n{\"review\": \"the dog sleeps and eats and sleeps and sleeps and eats and eats\"}\n\
             {\"review\": \"a\"}\n",
        )
        .with("new.csv", "other,one\nhere sits the dog,the dog eats\nhere,\"a bee, the ant\"\n")
        .with("new.txt", "the cat and the dog dog.\n\n  (ant)  and\n")
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn bytes_tensor(name: &str, texts: &[&str]) -> Value {
    json!({"name": name, "shape": [texts.len()], "datatype": "BYTES", "data": texts})
}

#[test]
fn texts_are_told_of_by_predict_and_serve_alike() {
    let project = project();
    project
        .erlen(["run", "texts.yaml"])
        .assert_code(0)
        .assert_stderr("11 ran");
    let predict = |arguments: &[&str]| {
        let all = [&["predict"], arguments, &["--format", "json-lines"]].concat();
        let told = project.erlen(all);
        told.assert_code(0);
        (lines(&told.stdout), told.stderr)
    };

    // What an evaluation says of the same texts, whose batches are others.
    project
        .erlen(["get", "texts.yaml", "test/predictions.csv", "-o", "judged.csv"])
        .assert_code(0);
    let (all, _) = predict(&["texts.yaml:classes", "reviews.jsonl"]);
    assert_eq!(all.len(), 120);
    let judged = project.read("judged.csv");
    let mut rows = csv::Reader::from_reader(judged.as_bytes());
    let header = rows.headers().expect("titles").clone();
    let column = |name: &str| header.iter().position(|title| title == name).expect(name);
    let mut compared = 0;
    for row in rows.records() {
        let row = row.expect("a row");
        let told = all
            .iter()
            .find(|told| told["sample"] == row[0])
            .expect("the same sample");
        assert_eq!(told["predicted"], row[column("predicted")]);
        assert_eq!(
            told["probability"].as_f64(),
            row[column("probability")].parse().ok(),
            "{row:?}"
        );
        compared += 1;
    }
    assert!(compared > 15, "{judged}");

    // One by one, as a stage, and together.
    let (together, told) = predict(&["texts.yaml:classes", "new.jsonl"]);
    assert!(
        told.contains("1 text is longer than the 12 tokens that the model is shown"),
        "{told}"
    );
    project
        .erlen(["get", "texts.yaml", "told/predictions.jsonl", "-o", "stage.jsonl"])
        .assert_code(0);
    assert_eq!(lines(&project.read("stage.jsonl")), together);
    for (place, line) in project.read("new.jsonl").lines().enumerate() {
        project.write("alone.jsonl", line);
        let (alone, _) = predict(&["texts.yaml:classes", "alone.jsonl"]);
        assert_eq!(alone[0]["probabilities"], together[place]["probabilities"]);
    }
    let (pairs, _) = predict(&["texts.yaml:same", "new.csv"]);
    let (entities, _) = predict(&["texts.yaml:names", "new.txt"]);
    let (near, _) = predict(&["texts.yaml:near", "new.txt"]);
    let found = entities[0]["entities"].as_array().expect("a list");
    let places: Vec<(&str, u64, u64)> = found
        .iter()
        .map(|entity| {
            assert_eq!(entity["label"], "ANIMAL");
            let (start, end) = (entity["start"].as_u64(), entity["end"].as_u64());
            (
                entity["text"].as_str().expect("a text"),
                start.expect("a place"),
                end.expect("a place"),
            )
        })
        .collect();
    assert_eq!(places, [("cat", 4, 7), ("dog dog", 16, 23)]);
    let embedding = near[0]["embedding"].as_array().expect("a list");
    let length: f64 = embedding
        .iter()
        .map(|number| number.as_f64().expect("a number").powi(2))
        .sum();
    assert!(embedding.len() == 16 && (length - 1.0).abs() < 1e-5, "{length}");
    // Lists are JSON in tables.
    let csv = project.erlen(["predict", "texts.yaml:names", "new.txt"]).stdout;
    assert!(
        csv.starts_with("sample,entities\nnew.txt:1,\"[{\"\"start\"\":4,\"\"end\"\":7,"),
        "{csv}"
    );

    // The same by the server, whatever is asked for together.
    let server = RunningServer::start(
        &project,
        &[
            "classes=texts.yaml:classes",
            "same=texts.yaml:same",
            "near=texts.yaml:near",
            "names=texts.yaml:names",
        ],
    );
    let mut client = server.client();
    let reviews: Vec<String> = lines(&project.read("new.jsonl"))
        .iter()
        .map(|line| line["review"].as_str().expect("a text").to_owned())
        .collect();
    let reviews: Vec<&str> = reviews.iter().map(String::as_str).collect();
    let probabilities = |told: &Value| -> Vec<Value> {
        told["probabilities"]
            .as_object()
            .expect("classes")
            .values()
            .cloned()
            .collect()
    };
    let all = client.infer(
        "classes",
        &json!({"inputs": [bytes_tensor("review", &reviews)]}).to_string(),
    );
    let expected: Vec<Value> = together.iter().flat_map(&probabilities).collect();
    assert_eq!(all.output("probabilities"), expected);
    assert_eq!(all.output("logits").len(), 6);
    // Of one of them the beginning, as `predict` says too.
    assert_eq!(all.json()["parameters"], json!({"texts_cut": 1}));
    let mut cut = 0;
    for (place, review) in reviews.iter().enumerate() {
        let one = client.infer(
            "classes",
            &json!({"inputs": [bytes_tensor("review", &[review])]}).to_string(),
        );
        cut += one.json()["parameters"]["texts_cut"].as_u64().unwrap_or(0);
        assert_eq!(one.output("probabilities"), probabilities(&together[place]));
        assert_eq!(one.output("predicted"), [together[place]["predicted"].clone()]);
    }
    assert_eq!(cut, 1);
    let asked = json!({"inputs": [
        bytes_tensor("other", &["here sits the dog", "here"]), bytes_tensor("one", &["the dog eats", "a bee, the ant"]),
    ]});
    let told = client.infer("same", &asked.to_string()).output("probabilities");
    let expected: Vec<Value> = pairs.iter().flat_map(&probabilities).collect();
    assert_eq!(told, expected);
    // In binary form, both ways.
    let mut binary = Vec::new();
    for text in ["the cat and the dog dog.", "  (ant)  and"] {
        binary.extend((text.len() as u32).to_le_bytes());
        binary.extend(text.as_bytes());
    }
    let asked = |name: &str, output: &str| {
        json!({
            "inputs": [{
                "name": name, "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": binary.len()},
            }],
            "outputs": [{"name": output, "parameters": {"binary_data": true}}],
        })
        .to_string()
    };
    let told = client.infer_binary("names", &asked("text", "entities"), &binary);
    let told = told.assert_status(200).binary();
    let length = u32::from_le_bytes(told[..4].try_into().expect("four bytes")) as usize;
    let first: Value = serde_json::from_slice(&told[4..4 + length]).expect("JSON");
    assert_eq!(first, entities[0]["entities"]);
    let told = client.infer_binary("near", &asked("left", "embedding"), &binary);
    let numbers: Vec<f32> = told
        .assert_status(200)
        .binary()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")))
        .collect();
    let expected: Vec<f32> = near
        .iter()
        .flat_map(|told| told["embedding"].as_array().expect("a list").clone())
        .map(|number| number.as_f64().expect("a number") as f32)
        .collect();
    assert_eq!(numbers, expected);

    // What is wrong is told with its row.
    let refused = |model: &str, inputs: Value, expected: &str| {
        let told = server
            .client()
            .infer(model, &json!({ "inputs": inputs }).to_string());
        let told = told.assert_status(400).text();
        assert!(told.contains(expected), "{told}");
    };
    refused(
        "classes",
        json!([bytes_tensor("review", &["a", " "])]),
        "row 2: it holds no text",
    );
    refused(
        "classes",
        json!([bytes_tensor("text", &["a"])]),
        "the model has no input `text`: it takes `review`",
    );
    refused(
        "same",
        json!([bytes_tensor("one", &["a"])]),
        "the inputs `other` are missing",
    );
    let long = "cat ".repeat(40);
    refused(
        "names",
        json!([bytes_tensor("text", &[&long])]),
        "the model is shown 32 at most: divide it",
    );
    let told = client.get("/v1/models").assert_status(200).json();
    assert_eq!(told["data"], json!([]));
    let asked = json!({"model": "classes", "prompt": "a"}).to_string();
    let told = client.ask("POST", "/v1/completions", &[], asked.as_bytes());
    let told = told.assert_status(404).json();
    assert_eq!(told["error"]["code"], "model_not_found");
}

#[test]
fn what_says_nothing_of_texts_is_refused_before_it_is_trained() {
    let project = project();
    let stages = project.read("texts.yaml");
    let (first, _) = stages.split_once("  reviews:").expect("stages");
    let rest = "  raw: {preprocess: {input: ./reviews.jsonl, format: {text: {documents: {jsonl: {text: review}}, tokenizer: tok}}}}\n  \
                gpt: {train: {data: raw, model: {gpt2: {layers: 1, heads: 2, width: 16, context: 32}}, steps: 2, optimizer: {sgd: {lr: 0.1}}}}\n  \
                bert: {train: {data: raw, model: {bert: {layers: 1, heads: 2, width: 16, context: 32}}, steps: 2, optimizer: {sgd: {lr: 0.1}}}}\n";
    project.write("silent.yaml", format!("{first}{rest}"));
    project
        .erlen(["predict", "silent.yaml:gpt", "new.txt"])
        .assert_code(2)
        .assert_stderr("`gpt` goes on with texts, and says nothing of them: have a `generate` stage");
    for command in ["predict", "serve"] {
        let more: &[&str] = if command == "predict" { &["new.txt"] } else { &[] };
        project
            .erlen([&[command, "silent.yaml:bert"], more].concat())
            .assert_code(2)
            .assert_stderr("`bert` guesses hidden tokens, and says nothing of texts");
    }
    project
        .erlen(["serve", "silent.yaml:gpt"])
        .assert_code(1)
        .assert_stderr("`erlen run silent.yaml gpt` makes it");
    project.write(
        "stage.yaml",
        format!("{first}{rest}  told: {{predict: {{model: gpt, input: ./new.txt}}}}\n"),
    );
    project
        .erlen(["check", "stage.yaml"])
        .assert_code(2)
        .assert_stderr("`gpt` goes on with texts, and says nothing of them");
    project
        .erlen(["serve", "silent.yaml:"])
        .assert_code(2)
        .assert_stderr("`silent.yaml:` names no stage");
    project
        .erlen(["serve", "silent.yaml:gpt", "--bind", "127.0.0.1"])
        .assert_code(2)
        .assert_stderr("`--bind 127.0.0.1` names no port");
}
