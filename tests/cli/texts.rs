//! Texts, from raw files to figures.

use std::fs;

use crate::project::Project;

/// Three hundred short sentences that follow a pattern, in JSON lines.
fn sentences() -> String {
    let words = [
        "the", "bee", "ant", "cat", "sees", "likes", "a", "red", "green", "flower",
    ];
    let sentence = |index: usize| {
        let word = |step: usize| words[(index * 7 + step * (1 + index % 3)) % words.len()];
        let text: Vec<&str> = (0..4 + index % 5).map(word).collect();
        let class = ["calm", "loud", "odd"][index % 3];
        format!("{{\"text\": \"{}\", \"class\": \"{class}\"}}\n", text.join(" "))
    };
    (0..300).map(sentence).collect()
}

const LANGUAGE: &str = r#"
name: language
params: {steps: 12}
stages:
  tok:
    tokenizer:
      input: ./lines.jsonl
      documents: {jsonl: {text: text}}
      bpe: {vocab_size: 300}
      special: {eos: "</s>"}
  text:
    preprocess:
      input: ./lines.jsonl
      format: {text: {documents: {jsonl: {text: text}}, tokenizer: tok}}
      split: {val: 0.2}
  gpt:
    train:
      data: text
      model: {llama: {layers: 1, heads: 2, width: 16, context: 32, attention_dropout: 0.1}}
      pack: {length: 24}
      steps: ${steps}
      batch_size: 4
      accumulate: 2
      optimizer: {adamw: {lr: 0.01}}
      warmup: {steps: 2}
      validate: {steps: 5}
  judged:
    evaluate:
      model: gpt
      data: text
      split: val
      metrics: [perplexity: {window: 16, stride: 8}, bits_per_byte]
  weights: {export: {model: gpt, metrics: [judged]}}
tables:
  language:
    rows: [steps]
    columns: {perplexity: judged.perplexity, bits: judged.bits_per_byte, tokens: judged.scored_tokens}
"#;

/// What is done with that model afterwards.
const BEYOND: &str = r#"
  folder: {export: {model: gpt, format: huggingface}}
  again: {evaluate: {model: folder, data: text, split: val, metrics: [bits_per_byte]}}
  before: {evaluate: {model: gpt, data: text, split: val, metrics: [bits_per_byte]}}
  classes:
    preprocess:
      input: ./lines.jsonl
      format: {text: {documents: {jsonl: {text: text, label: class}}, tokenizer: tok}}
      split: {val: 0.2}
  tuned:
    train:
      data: classes
      model: {pretrained: {from: folder}}
      lora: {rank: 2, dropout: 0.1}
      epochs: 2
      batch_size: 16
      optimizer: {adamw: {lr: 0.01}}
  judged-classes: {evaluate: {model: tuned, data: classes, split: val, metrics: [f1]}}
  merged: {export: {model: tuned, format: huggingface}}
  adapter: {export: {model: tuned, format: {peft: {base: me/language}}}}
  apart: {export: {model: tuned, format: {huggingface: {merge: false}}}}
  merged-classes: {evaluate: {model: merged, data: classes, split: val, metrics: [f1]}}
  samples: {generate: {model: gpt, prompts: ["the bee"], tokens: 10, count: 2, sample: {temperature: 0.8}}}
  eight: {quantize: {model: gpt, calibrate: {data: text, samples: 8}}}
  goes-on: {generate: {model: eight, prompts: ["the bee"], tokens: 5}}
tables:
  folders:
    rows: [steps]
    columns:
      before: before.bits_per_byte
      again: again.bits_per_byte
      tuned: judged-classes.accuracy
      merged: merged-classes.accuracy
"#;

fn language() -> Project {
    Project::new()
        .with("lines.jsonl", sentences())
        .with("language.yaml", LANGUAGE)
}

#[test]
fn a_language_model_from_raw_text_to_figures() {
    let project = language();
    let run = ["run", "language.yaml", "--tables=results"];
    project.erlen(run).assert_code(0).assert_stderr("5 ran");
    let table = project.read("results/language.csv");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    assert_eq!(
        rows.headers().unwrap(),
        vec!["steps", "perplexity", "bits", "tokens"]
    );
    let row = rows.records().next().unwrap().unwrap();
    let [perplexity, bits] = [1, 2].map(|column: usize| row[column].parse::<f64>().unwrap());
    assert!(
        perplexity > 1.0 && perplexity < 300.0 && bits > 0.1 && bits < 9.0,
        "{table}"
    );
    // The model, its tokenizer and what both mean stand together.
    project
        .erlen(["get", "language.yaml", "weights", "-o", "model"])
        .assert_code(0);
    project
        .erlen(["get", "language.yaml", "tok", "-o", "tok"])
        .assert_code(0);
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        let own = fs::read(project.path("model/tokenizer").join(file)).unwrap();
        assert_eq!(own, fs::read(project.path("tok").join(file)).unwrap(), "{file}");
    }
    let card: serde_json::Value = serde_json::from_str(&project.read("model/model.json")).unwrap();
    assert_eq!(card["architecture"]["llama"]["head"], "causal");
    assert_eq!(card["output"]["task"], "next_token");
    assert_eq!(card["input"]["text"]["length"], 24);
    let history = project.erlen(["get", "language.yaml", "gpt/history.csv", "-o", "history.csv"]);
    history.assert_code(0);
    let history = project.read("history.csv");
    assert!(
        history.starts_with(
            "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,val_bits_per_byte,val_perplexity,gradient_norm\n"
        ),
        "{history}"
    );
    assert_eq!(history.lines().count(), 1 + 3, "12 steps, five to an epoch");
    // Again nothing runs; more steps go on where fewer ended, to what so many give at once.
    project.erlen(run).assert_code(0).assert_stderr("0 ran");
    let more = ["--set", "steps=17"];
    project
        .erlen(["run", "language.yaml"].iter().chain(&more))
        .assert_code(0)
        .assert_stderr("goes on where a training of 12 steps ended");
    let arguments = ["language.yaml", "--set", "steps=17"];
    let alone = language();
    alone
        .erlen(["run", "language.yaml"].iter().chain(&more))
        .assert_code(0);
    assert_eq!(project.artifacts(&arguments), alone.artifacts(&arguments));
}

#[test]
fn a_model_goes_out_as_a_folder_and_comes_back() {
    let (stages, _) = LANGUAGE.split_once("  judged:").unwrap();
    let project = language().with(
        "beyond.yaml",
        format!("{stages}{}", BEYOND.trim_start_matches('\n')),
    );
    // What is predicted says which head the model gets that comes back.
    project
        .erlen(["run", "beyond.yaml"])
        .assert_code(0)
        .assert_stderr("begins with the model in")
        .assert_stderr("parameters (`lora`)");
    let table = project.read("results/folders.csv");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let row = rows.records().next().unwrap().unwrap();
    let figure = |column: usize| row[column].parse::<f64>().unwrap();
    assert!((figure(1) - figure(2)).abs() < 1e-6, "{table}");
    assert!((figure(3) - figure(4)).abs() < 1e-6, "{table}");
    let narrow = project
        .read("beyond.yaml")
        .replace("{model: eight,", "{model: eight, precision: bf16,");
    project.write("narrow.yaml", narrow);
    project
        .erlen(["run", "narrow.yaml", "goes-on"])
        .assert_code(1)
        .assert_stderr("it is quantized, and what stays of it is computed in f32");
    project
        .erlen(["get", "beyond.yaml", "tuned", "-o", "tuned"])
        .assert_code(0);
    for file in [
        "adapter.safetensors",
        "base.safetensors",
        "tokenizer/tokenizer.json",
    ] {
        assert!(project.path("tuned").join(file).is_file(), "{file}");
    }
    for (stage, files) in [
        (
            "adapter",
            &["adapter_config.json", "README.md", "tokenizer.json"][..],
        ),
        (
            "apart",
            &["adapter/adapter_config.json", "config.json", "model.safetensors"][..],
        ),
    ] {
        project
            .erlen(["get", "beyond.yaml", stage, "-o", stage])
            .assert_code(0);
        for file in files {
            assert!(project.path(stage).join(file).is_file(), "{stage}/{file}");
        }
    }
    let weights = |folder: &str| fs::read(project.path(folder).join("adapter_model.safetensors")).unwrap();
    assert_eq!(weights("adapter"), weights("apart/adapter"));
    assert!(!project.path("adapter/model.safetensors").exists());
    let config = project.read("adapter/adapter_config.json");
    assert!(
        config.contains(r#""base_model_name_or_path": "me/language""#)
            && config.contains(r#""task_type": "SEQ_CLS""#),
        "{config}"
    );
    let plain = format!("{stages}  adapter: {{export: {{model: gpt, format: peft}}}}\n");
    project.write("plain.yaml", plain);
    project
        .erlen(["check", "plain.yaml"])
        .assert_code(2)
        .assert_stderr("the training has no low-rank changes (`lora`)");
    project
        .erlen(["get", "beyond.yaml", "samples/samples.md", "-o", "samples.md"])
        .assert_code(0);
    assert!(project.read("samples.md").contains("the bee"));
    let show = |stage: &str, more: &[&str]| {
        let cell = format!("beyond.yaml:{stage}");
        project.erlen([&["show", &cell], more].concat())
    };
    show("samples", &[])
        .assert_stdout("## Behind")
        .assert_stdout("the bee\n");
    let lines: Vec<serde_json::Value> = serde_json::from_str(&show("samples", &["--json"]).stdout).unwrap();
    assert_eq!((lines.len(), &lines[1]["sample"]), (2, &1.into()));
    show("text", &[]).assert_code(0).assert_stdout("pieces");
    show("gpt", &[])
        .assert_code(2)
        .assert_stderr("`gpt` is a stage of the kind `train`")
        .assert_stderr("erlen get");
    let alone = format!(
        "{stages}  tuned: {{train: {{data: text, model: gpt2, lora: {{rank: 2}}, steps: 1, optimizer: {{sgd: {{lr: 1}}}}}}}}\n"
    );
    project.write("alone.yaml", alone);
    project
        .erlen(["check", "alone.yaml"])
        .assert_code(2)
        .assert_stderr("low-rank changes are made of weights that are there");
}

#[test]
fn mistakes_around_texts_are_told_before_anything_runs() {
    let project = language();
    let refused = |from: &str, to: &str, expected: &str| {
        let file = LANGUAGE.replace(from, to);
        assert_ne!(file, LANGUAGE);
        project.write("wrong.yaml", file);
        project
            .erlen(["check", "wrong.yaml"])
            .assert_code(2)
            .assert_stderr(expected);
    };
    refused(
        "{length: 24}",
        "{length: 33}",
        "rows of 33 tokens are longer than the 32 positions of `llama`",
    );
    refused("{llama: {", "{mlp: {hidden: [4]}} #", "`mlp` does not read texts");
    refused(
        "attention_dropout: 0.1}}",
        "head: tokens}}",
        "does not give what is predicted",
    );
    refused(
        "window: 16, stride: 8",
        "window: 8, stride: 16",
        "leave tokens out",
    );
    refused("steps: ${steps}", "", "does not say how long to train");
    refused("bits_per_byte]", "predictions]", "`predictions` is not defined");
    refused(
        "validate: {steps: 5}",
        "batch_tokens: 20",
        "a row of 24 tokens does not fit a batch of 20",
    );
    let (stages, _) = LANGUAGE.split_once("tables:").unwrap();
    let unjudged = stages
        .replace("split: {val: 0.2}", "split: {test: 0.2}")
        .replace("split: val", "split: test");
    project.write(
        "wrong.yaml",
        unjudged.replace("{steps: 5}", "{steps: 5, samples: 3}"),
    );
    project
        .erlen(["check", "wrong.yaml"])
        .assert_code(2)
        .assert_stderr("`validate: {samples: 3}` judges a part of the validation split, but `text`");
    // How far apart validations would be is what histories and checkpoints go by.
    project.write("wrong.yaml", unjudged);
    project.erlen(["check", "wrong.yaml"]).assert_code(0);
}

/// Pairs of sentences that say one thing in two ways, and how alike they are, by a number.
fn pairs(numbered: bool) -> String {
    let animals = ["ant", "bee", "cat", "dog", "eel", "fox"];
    let mut lines = String::from(if numbered {
        "one,other,alike\n"
    } else {
        "one,other\n"
    });
    for index in 0..60usize {
        let animal = animals[index % 6];
        let other = if index % 4 == 3 && numbered {
            animals[(index + 2) % 6]
        } else {
            animal
        };
        let number = if other == animal { ",4" } else { ",1" };
        let number = if numbered { number } else { "" };
        lines.push_str(&format!(
            "the {animal} number {index} eats,here the {other} sits{number}\n"
        ));
    }
    lines
}

#[test]
fn pairs_of_texts_train_embeddings_that_come_back() {
    let project = Project::new()
        .with("pairs.csv", pairs(false))
        .with("scored.csv", pairs(true))
        .with(
            "similar.yaml",
            r#"
name: similar
stages:
  tok:
    tokenizer: {input: ./pairs.csv, documents: {csv: {text: one}}, word: {vocab_size: 200}, special: {pad: "[PAD]"}}
  pairs:
    preprocess:
      input: ./pairs.csv
      format: {text: {documents: {csv: {text: one, pair: other, compare: true}}, tokenizer: tok, max_length: 12}}
      split: {val: 0.2}
  scored:
    preprocess:
      input: ./scored.csv
      format: {text: {documents: {csv: {text: one, pair: other, compare: true, label: alike}}, tokenizer: tok}}
      split: {val: 0.4}
  first:
    train:
      data: pairs
      model: {bert: {layers: 1, heads: 2, width: 16, context: 16}}
      epochs: 3
      batch_size: 6
      optimizer: {adamw: {lr: 0.01}}
  folder: {export: {model: first, format: huggingface}}
  before: {evaluate: {model: first, data: scored, split: val, metrics: [spearman, predictions]}}
  after: {evaluate: {model: folder, data: scored, split: val, metrics: [spearman, predictions]}}
  tuned:
    train:
      data: scored
      model: {pretrained: {from: folder, head: similarity}}
      lora: {rank: 2}
      epochs: 1
      batch_size: 8
      optimizer: {adamw: {lr: 0.01}}
  adapter: {export: {model: tuned, format: peft}}
  found: {evaluate: {model: tuned, data: pairs, split: val}}
"#,
        );
    project
        .erlen(["run", "similar.yaml"])
        .assert_code(0)
        .assert_stderr("begins with the model in `folder`")
        .assert_stderr("10 ran");
    // Pairs are shown with their numbers, and a file without a stage says which can be.
    let shown = project.erlen(["show", "similar.yaml:scored"]);
    shown.assert_code(0);
    assert!(
        shown.stdout.contains("tokens shown, number 4\n")
            || shown.stdout.contains("tokens shown, number 1\n"),
        "{}",
        shown.stdout
    );
    let shown = project.erlen(["show", "similar.yaml:scored", "--json"]);
    let samples: Vec<serde_json::Value> = serde_json::from_str(&shown.stdout).unwrap();
    let number = samples[0]["numbers"][0].as_f64();
    assert!(number == Some(4.0) || number == Some(1.0), "{samples:?}");
    for without in ["similar.yaml", "similar.yaml:"] {
        project
            .erlen(["show", without])
            .assert_code(2)
            .assert_stderr("such as `erlen show similar.yaml:pairs`; `pairs`, `scored` can be shown");
    }
    let get = |what: &str, to: &str| {
        project
            .erlen(["get", "similar.yaml", what, "-o", to])
            .assert_code(0);
    };
    get("before/predictions.csv", "before.csv");
    get("after/predictions.csv", "after.csv");
    let cosines = |file: &str| -> Vec<f64> {
        let text = project.read(file);
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(
            rows.headers().unwrap().iter().skip(1).collect::<Vec<_>>(),
            ["number", "cosine"]
        );
        rows.records()
            .map(|row| row.unwrap()[2].parse().unwrap())
            .collect()
    };
    let (before, after) = (cosines("before.csv"), cosines("after.csv"));
    assert!(before.len() > 10);
    for (before, after) in before.iter().zip(&after) {
        assert!((before - after).abs() < 1e-6 && before.abs() <= 1.0 + 1e-6);
    }
    get("folder", "folder");
    let modules = project.read("folder/modules.json");
    assert!(
        modules.contains("Pooling") && modules.contains("2_Normalize"),
        "{modules}"
    );
    assert!(
        project
            .read("folder/1_Pooling/config.json")
            .contains(r#""word_embedding_dimension": 16"#)
    );
    // Texts are cut there as they were.
    let config = project.read("folder/sentence_bert_config.json");
    assert!(config.contains(r#""max_seq_length": 12"#), "{config}");
    get("adapter", "adapter");
    assert!(
        project
            .read("adapter/adapter_config.json")
            .contains("FEATURE_EXTRACTION")
    );
    // What cannot be is told before anything runs.
    for (from, to, expected) in [
        (
            "one, pair: other, compare",
            "one, compare",
            "nothing to compare it with",
        ),
        (
            "batch_size: 6",
            "batch_size: 1",
            "a pair is compared with the others of its batch",
        ),
        (
            "pair: other, compare: true}",
            "pair: other}",
            "or write `compare: true`",
        ),
        (
            "label: alike",
            "label: [alike, one]",
            "how alike two texts are is one number",
        ),
        (
            "data: pairs, split: val}",
            "data: pairs, split: val, metrics: [spearman]}",
            "`spearman` compares with numbers, and the pairs of `pairs` have none",
        ),
        (
            "found: {evaluate: {model: tuned",
            "found: {evaluate: {model: adapter",
            "`adapter` writes low-rank changes (`peft`) without the model",
        ),
        (
            "found: {evaluate: {model: tuned",
            "found: {evaluate: {model: ./adapter",
            "it is an adapter as PEFT writes them",
        ),
        (
            "{from: folder, head: similarity}",
            "{from: ./adapter, head: similarity}",
            "it is an adapter as PEFT writes them",
        ),
        (
            "  found: {evaluate: {model: tuned, data: pairs, split: val}}",
            "  found: {generate: {model: ./adapter, prompts: [a]}}",
            "it is an adapter as PEFT writes them",
        ),
        (
            "  found: {evaluate: {model: tuned, data: pairs, split: val}}",
            "  found: {generate: {model: folder, prompts: [a]}}",
            "the head of `folder` is `similarity`",
        ),
    ] {
        let file = project.read("similar.yaml");
        let wrong = file.replacen(from, to, 1);
        assert_ne!(file, wrong);
        project.write("wrong.yaml", wrong);
        project
            .erlen(["check", "wrong.yaml"])
            .assert_code(2)
            .assert_stderr(expected);
    }
    project
        .erlen(["predict", "adapter", "pairs.csv"])
        .assert_code(1)
        .assert_stderr("it is an adapter as PEFT writes them")
        .assert_stderr("`format: huggingface`");
    // Data that a command makes is known once it is there.
    let file = project.read("similar.yaml").replace(
        "  found: {evaluate: {model: tuned, data: pairs, split: val}}",
        "  copied: {command: {run: 'cp -r \"$D\" d', inputs: {D: pairs}, outputs: [d]}}\n  found: {evaluate: {model: tuned, \
         data: copied/d, split: val, metrics: [pearson]}}",
    );
    project.write("late.yaml", file);
    project
        .erlen(["run", "late.yaml", "found"])
        .assert_code(1)
        .assert_stderr("`pearson` compares with numbers, and the pairs of `copied/d` have none");
    // sentence-transformers fills up texts.
    let file = project
        .read("similar.yaml")
        .replace(", special: {pad: \"[PAD]\"}", "")
        .replacen("context: 16}", "context: 16, vocabulary: 80, padding: 79}", 1);
    project.write("bare.yaml", file);
    project
        .erlen(["run", "bare.yaml", "folder"])
        .assert_code(0)
        .assert_stderr("the tokenizer has no `pad`")
        .assert_stderr("or give it one where the folder is loaded");
}

#[test]
fn texts_of_classes_and_hidden_tokens_are_learnt() {
    let project = Project::new().with("lines.jsonl", sentences()).with(
        "classes.yaml",
        r#"
name: classes
stages:
  tok:
    tokenizer: {input: ./lines.jsonl, documents: {jsonl: {text: text}}, wordpiece: {vocab_size: 80}}
  data:
    preprocess:
      input: ./lines.jsonl
      format: {text: {documents: {jsonl: {text: text, label: class}}, tokenizer: tok, max_length: 16}}
      split: {val: 0.2, test: 0.2}
  raw:
    preprocess:
      input: ./lines.jsonl
      format: {text: {documents: {jsonl: {text: text}}, tokenizer: tok}}
      split: {val: 0.2}
  hidden:
    train:
      data: raw
      model: {bert: {layers: 1, heads: 2, width: 16, context: 16}}
      pack: {length: 16}
      epochs: 2
      optimizer: {adamw: {lr: 0.01}}
  classes:
    train:
      data: data
      model: {bert: {layers: 1, heads: 2, width: 16, context: 16}}
      epochs: 4
      batch_size: 8
      optimizer: {adamw: {lr: 0.01}}
  test: {evaluate: {model: classes, data: data, metrics: [mcc, per_class, predictions]}}
  hidden-test: {evaluate: {model: hidden, data: raw, split: val}}
"#,
    );
    project
        .erlen(["run", "classes.yaml"])
        .assert_code(0)
        .assert_stderr("7 ran");
    project
        .erlen([
            "get",
            "classes.yaml",
            "hidden-test/metrics.json",
            "-o",
            "hidden.json",
        ])
        .assert_code(0);
    let hidden: serde_json::Value = serde_json::from_str(&project.read("hidden.json")).unwrap();
    assert!(
        hidden["accuracy"].as_f64().unwrap() > 0.0 && hidden["scored_tokens"].as_f64().unwrap() > 20.0,
        "{hidden}"
    );
    project
        .erlen([
            "get",
            "classes.yaml",
            "test/predictions.csv",
            "-o",
            "predictions.csv",
        ])
        .assert_code(0);
    assert!(project.read("predictions.csv").lines().count() > 30);
}
