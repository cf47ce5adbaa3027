//! Training on texts.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;

use super::*;
use crate::data::text_testing::{TinyText, documents, write_texts};
use crate::data::{Dataset, SampleOrder};
use crate::models::{Pass, TokenBatch, formula};
use crate::schema::TokenRoles;
use crate::spec::{self, EvaluationMetric, MetricDetail, Precision, SplitName};

const A: [&str; 2] = ["gpt2", "llama"];

fn model(name: &str) -> Value {
    match name {
        "gpt2" => json!({"gpt2": {"layers": 2, "heads": 4, "width": 32, "context": 16}}),
        _ => json!({"llama": {
            "layers": 2, "heads": 4, "kv_heads": 2, "width": 32, "ffn": 64, "tied": true, "epsilon": 1e-5, "context": 16,
        }}),
    }
}

/// Writes weights by formula for a model of 61 tokens.
fn write_init(folder: &Path, model: &Value) {
    let model: spec::Model = serde_json::from_value(model.clone()).unwrap();
    let input = crate::schema::InputShape::Tokens {
        vocabulary: 61,
        length: 16,
    };
    let layout = crate::models::Models::built_in()
        .outline(&model, input, 61)
        .unwrap();
    let tensors: NamedTensors = layout
        .tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), folder_testing::tensor(name, &tensor.shape)))
        .collect();
    fs::create_dir_all(folder).unwrap();
    write_weights(folder, &tensors).unwrap();
}

/// The loss and the gradient's norm of one step over `texts` from weights by formula.
fn first_step(name: &str, texts: &[Vec<u32>], pack: Value) -> (f64, f64) {
    let texts: Vec<_> = texts
        .iter()
        .map(|tokens| (Train, TinyText::document(tokens)))
        .collect();
    let mut bench = Bench::texts(61, &texts);
    let init = bench.folder.path().join("init");
    write_init(&init, &model(name));
    bench.init = Some(init.join("model.safetensors"));
    let trained = bench
        .train(&recipe(json!({
            "model": model(name), "pack": pack, "epochs": 1, "batch_size": 16,
            "optimizer": {"adamw": {"lr": 1e-3}}, "init": {"from": "./init"},
        })))
        .unwrap();
    let row = &trained.history[0];
    (row.train_loss.0, row.gradient_norm.0)
}

/// Appendix A of the notes on text: values of Hugging Face's models in double precision.
#[test]
fn the_first_step_is_hugging_faces() {
    let rows: Vec<Vec<u32>> = (0..4)
        .map(|row| {
            (0..16)
                .map(|place| formula::token(row * 16 + place, 61))
                .collect()
        })
        .collect();
    assert_eq!(
        rows[0],
        [18, 35, 30, 32, 9, 32, 23, 9, 24, 3, 24, 26, 49, 15, 31, 17]
    );
    for (name, loss, norm) in [
        ("gpt2", 4.123_245_239, 1.366_631_4),
        ("llama", 4.115_655_899, 1.231_010_4),
    ] {
        let found = first_step(name, &rows, json!({"length": 16}));
        assert!((found.0 - loss).abs() < 2e-6, "{name}: {}", found.0);
        assert!((found.1 / norm - 1.0).abs() < 1e-5, "{name}: {}", found.1);
    }
}

#[test]
fn packed_documents_do_not_see_each_other() {
    let row: Vec<u32> = (0..16).map(|place| formula::token(place, 61)).collect();
    let apart = [row[..7].to_vec(), row[7..11].to_vec(), row[11..].to_vec()];
    for (documents, loss) in [("separate", 4.107_462_41), ("joined", 4.123_845_10)] {
        let found = first_step("llama", &apart, json!({"length": 15, "documents": documents}));
        assert!((found.0 - loss).abs() < 2e-6, "{documents}: {}", found.0);
    }
    // Rows of one document each give the same, and so does any packing.
    for name in A {
        let packed = first_step(name, &apart, json!({"length": 16}));
        let single = first_step(name, &apart, json!({"length": 6}));
        assert!((packed.0 - single.0).abs() < 1e-6 && (packed.1 / single.1 - 1.0).abs() < 1e-6);
    }
}

fn lines() -> Vec<(SplitName, TinyText)> {
    [documents(Train, 13, 24, 4), documents(Val, 13, 6, 4)].concat()
}

fn small() -> Value {
    json!({
        "model": {"gpt2": {"layers": 1, "heads": 2, "width": 16, "context": 16}}, "pack": {"length": 12},
        "optimizer": {"adamw": {"lr": 0.01}},
    })
}

fn with(changes: Value) -> spec::Train {
    let mut all = small();
    for (key, value) in changes.as_object().unwrap() {
        all[key] = value.clone();
    }
    recipe(all)
}

#[test]
fn tokens_weigh_the_same_in_whatever_micro_batch() {
    let bench = Bench::texts(13, &lines());
    // Adam would make much of gradients that are nearly 0.
    let with = |mut changes: Value| {
        changes["optimizer"] = json!({"sgd": {"lr": 0.3, "momentum": 0.9}});
        with(changes)
    };
    let large = bench.train(&with(json!({"batch_size": 8}))).unwrap();
    for micro in [
        json!({"batch_size": 2, "accumulate": 4}),
        json!({"batch_size": 1, "accumulate": 8}),
    ] {
        let micro = bench.train(&with(micro)).unwrap();
        assert!(
            difference(&large, &micro) < 2e-6,
            "{}",
            difference(&large, &micro)
        );
        for (large, micro) in large.history.iter().zip(&micro.history) {
            assert!((large.train_loss.0 - micro.train_loss.0).abs() < 1e-6);
            assert_eq!(large.train_score, micro.train_score);
        }
    }
    // The test can fail: other groups give other weights.
    let other = bench
        .train(&with(json!({"batch_size": 2, "accumulate": 3})))
        .unwrap();
    assert!(difference(&large, &other) > 1e-4);
}

#[test]
fn a_language_model_learns_and_tells_its_figures() {
    let bench = Bench::texts(13, &lines());
    let trained = bench
        .train(&with(json!({"epochs": 40, "select": "best", "batch_size": 4})))
        .unwrap();
    let (first, last) = (&trained.history[0], trained.history.last().unwrap());
    assert!(last.train_loss.0 < 0.6 * first.train_loss.0, "{last:?}");
    // 0.8 of the tokens follow from the one before.
    assert!(last.train_score.0 > 0.6, "{last:?}");
    let judged = trained.history[7].validation.as_ref().unwrap();
    assert!((judged.further["perplexity"].0 - judged.loss.0.exp()).abs() < 1e-12);
    // Each token stands for two bytes, and the first of six documents is not predicted.
    let tokens: usize = lines()
        .iter()
        .filter(|(split, _)| *split == Val)
        .map(|(_, text)| text.tokens.len())
        .sum();
    let bits = judged.loss.0 * (tokens - 6) as f64 / std::f64::consts::LN_2 / (2 * tokens) as f64;
    assert!((judged.further["bits_per_byte"].0 - bits).abs() < 1e-12);
    let card = &trained.card;
    assert_eq!(
        (card.target.task.as_str(), card.target.outputs()),
        ("next_token", 13)
    );
    assert_eq!(card.text.unwrap().length, Some(12));
    assert_eq!(card.metrics["val_perplexity"], card.metrics["val_loss"].exp());
}

/// The mean loss over windows, by the network itself, window by window.
fn naive_loss(model: &TrainedModel, dataset: &Dataset, window: usize, stride: usize) -> (f64, usize) {
    let split = dataset.split(Val).unwrap();
    let field = split.schema().position("tokens").unwrap();
    let (mut sum, mut count) = (0.0, 0);
    for text in 0..split.len() {
        let (bytes, _) = split.value(field, text).bytes.as_chunks::<2>();
        let ids: Vec<u32> = bytes
            .iter()
            .map(|id| u32::from(u16::from_le_bytes(*id)))
            .collect();
        let (mut start, mut done) = (0, 0);
        while done < ids.len() {
            let end = (start + window).min(ids.len());
            let shown = &ids[start..end];
            if end - start > 1 {
                let batch = TokenBatch::equal(shown, 1, &Device::Cpu).unwrap();
                let pass = Pass::evaluate(Precision::F32);
                let logits = model.network.forward_tokens(&batch, &pass).unwrap();
                let logits = logits.outputs(Precision::F32).unwrap().squeeze(0).unwrap();
                let logits = logits.to_vec2::<f32>().unwrap();
                for place in done.max(start + 1)..end {
                    let row = &logits[place - 1 - start];
                    let power: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
                    sum += power.ln() - f64::from(row[ids[place] as usize]);
                    count += 1;
                }
            }
            done = end;
            start += stride;
        }
    }
    (sum / count as f64, count)
}

#[test]
fn validation_judges_as_many_rows_as_it_is_told() {
    let bench = Bench::texts(13, &lines());
    let judged = |samples: u32| {
        let validate = json!({"samples": samples});
        let trained = bench.train(&with(
            json!({"epochs": 2, "validate": validate, "batch_size": 3, "pack": {"length": 6}}),
        ));
        let trained = trained.unwrap();
        let components = Components::built_in();
        let folder = written(&bench, &trained);
        let model = TrainedModel::load(&folder, &Device::Cpu, &components).unwrap();
        let dataset = Dataset::open(&bench.data()).unwrap();
        let split = filled_split(&dataset, Val).unwrap();
        let of = |order| {
            let options = Evaluation {
                task: model.task(&components.tasks).unwrap(),
                loss: None,
                metrics: Vec::new(),
                batch_size: 5,
                order,
                test_time_flip: false,
                device: Device::Cpu,
            };
            let mut rows = Vec::new();
            let judged = [JudgedModel::of(&model, split.clone())];
            let tally = evaluate(&judged, &options, &Monitor::silent(), |row, _, _| {
                rows.push(row);
                Ok(())
            });
            (tally.unwrap().loss(), rows)
        };
        let (some, rows) = of(SampleOrder::Spread(samples));
        let last = trained.history.last().unwrap().validation.clone().unwrap();
        assert_eq!(last.loss.0, some);
        // Of each token two bytes, and of the first of each document no loss, whatever is judged.
        let texts = lines().into_iter().filter(|(split, _)| *split == Val);
        let tokens: usize = texts.map(|(_, text)| text.tokens.len()).sum();
        let bits = some * (tokens - 6) as f64 / std::f64::consts::LN_2 / (2 * tokens) as f64;
        assert!((last.further["bits_per_byte"].0 - bits).abs() < 1e-12, "{bits}");
        (some == of(SampleOrder::Given).0, rows)
    };
    let (is_whole, rows) = judged(2);
    assert!(!is_whole && rows.len() == 2 && rows[1] > 1, "{rows:?}");
    assert!(judged(1_000).0);
}

#[test]
fn perplexity_is_of_the_windows_that_are_asked_for() {
    let bench = Bench::texts(13, &lines());
    let trained = bench.train(&with(json!({"epochs": 4}))).unwrap();
    let folder = written(&bench, &trained);
    let components = Components::built_in();
    let model = TrainedModel::load(&folder, &Device::Cpu, &components).unwrap();
    let dataset = Dataset::open(&bench.data()).unwrap();
    let judge = |metric: Value, batch_size: usize| {
        let metric: EvaluationMetric = serde_json::from_value(metric).unwrap();
        let options = Evaluation {
            task: model.task(&components.tasks).unwrap(),
            loss: None,
            metrics: vec![metric],
            batch_size,
            order: SampleOrder::Given,
            test_time_flip: false,
            device: Device::Cpu,
        };
        let judged = [JudgedModel::of(&model, filled_split(&dataset, Val).unwrap())];
        evaluate(&judged, &options, &Monitor::silent(), |_, _, _| Ok(())).unwrap()
    };
    for (metric, window, stride) in [
        (json!("perplexity"), 13, 12),
        (json!({"perplexity": {"window": 4}}), 4, 4),
        (json!({"perplexity": {"window": 5, "stride": 2}}), 5, 2),
        (json!({"perplexity": {"window": 17, "stride": 16}}), 17, 16),
    ] {
        // A window's last token is predicted only, so that it may be one more than there are positions.
        let (loss, count) = match window {
            17 => (f64::NAN, 0),
            _ => naive_loss(&model, &dataset, window, stride),
        };
        let tally = judge(metric.clone(), 3);
        assert_eq!(judge(metric, 2).figure("perplexity"), tally.figure("perplexity"));
        if count > 0 {
            assert_eq!(tally.figure("scored_tokens"), Some(count as f64));
            let perplexity = tally.figure("perplexity").unwrap();
            assert!(
                (perplexity / loss.exp() - 1.0).abs() < 1e-6,
                "{perplexity} {}",
                loss.exp()
            );
        }
    }
    let unknown = serde_json::from_value::<EvaluationMetric>(json!({"perplexity": {"windows": 4}}));
    assert!(
        unknown
            .unwrap_err()
            .to_string()
            .contains("unknown field `windows`")
    );
    assert_eq!(EvaluationMetric::plain("loss").options(), MetricDetail::None);
}

/// What a training of `long` steps gives by itself, and where it goes on from one of `short`.
fn lengthened(changes: &Value, short: u32, long: u32) -> (Trained, Trained, String) {
    let mut bench = Bench::texts(13, &lines());
    let of = |steps: u32| {
        let mut changes = changes.clone();
        changes["epochs"] = Value::Null;
        changes["steps"] = json!(steps);
        with(changes)
    };
    let expected = bench.train(&of(long)).unwrap();
    bench.train(&of(short)).unwrap();
    let kept = bench.folder.path().join("kept.safetensors");
    fs::copy(bench.scratch().join(LAST_CHECKPOINT), &kept).unwrap();
    bench.shorter = Some((kept, bench.identity.clone()));
    bench.identity = "longer".to_owned();
    let heard = Arc::new(Mutex::new(String::new()));
    let hearing = Arc::clone(&heard);
    let hear = move |activity| {
        if let Activity::Notice { message, .. } = activity {
            hearing.lock().unwrap().push_str(&message);
        }
    };
    let monitor = Monitor::new(hear, Arc::new(AtomicBool::new(false)));
    fs::remove_dir_all(bench.scratch()).unwrap();
    let longer = bench.go_on(&of(long), &monitor).unwrap();
    let told = heard.lock().unwrap().clone();
    (expected, longer, told)
}

#[test]
fn more_steps_go_on_from_fewer() {
    for (name, changes, short, long) in [
        (
            "joined",
            json!({"pack": {"length": 9, "documents": "joined"}, "batch_size": 3}),
            4,
            9,
        ),
        (
            "within an epoch",
            json!({"batch_size": 3, "validate": {"steps": 4}, "accumulate": 2}),
            6,
            13,
        ),
        (
            "at its end",
            json!({"batch_size": 3, "validate": {"steps": 4}}),
            8,
            11,
        ),
        (
            "a warm-up",
            json!({"batch_size": 5, "warmup": {"steps": 3}, "validate": {"steps": 20}}),
            5,
            7,
        ),
    ] {
        let (expected, longer, told) = lengthened(&changes, short, long);
        assert_same(&expected, &longer);
        assert!(told.contains("goes on where a training of"), "{name}: {told}");
        assert_eq!(expected.validations, longer.validations, "{name}");
    }
}

#[test]
fn the_rates_of_steps_are_those_of_the_reference() {
    let recipe = with(json!({
        "epochs": null, "steps": 2000, "warmup": {"steps": 100}, "schedule": {"cosine": {"eta_min": 1e-4}},
        "optimizer": {"adamw": {"lr": 1e-3}},
    }));
    let rates = LearningRate::new(&recipe, crate::metric::Direction::Minimize);
    for step in [0u32, 1, 99, 100, 101, 250, 1000, 1999] {
        let s = f64::from(step);
        let expected = if step < 100 {
            1e-3 * (s + 1.0) / 101.0
        } else {
            let share = (s - 100.0) / 1900.0;
            1e-4 + 0.5 * (1.0 + (std::f64::consts::PI * share).cos()) * (1e-3 - 1e-4)
        };
        for per_epoch in [250, 1000] {
            let found = rates.at(step / per_epoch, step % per_epoch, per_epoch, &[]);
            assert!(
                (found - expected).abs() < 1e-15,
                "{step}: {found} is not {expected}"
            );
        }
    }
    // Hugging Face's linear and cosine schedules over 10 steps, of which 3 warm up from 0.
    for (schedule, expected) in [
        (
            json!({"polynomial": {}}),
            [
                0.0,
                1.0 / 3.0,
                2.0 / 3.0,
                1.0,
                6.0 / 7.0,
                5.0 / 7.0,
                4.0 / 7.0,
                3.0 / 7.0,
                2.0 / 7.0,
                1.0 / 7.0,
            ],
        ),
        (
            json!({"cosine": {}}),
            [
                0.0, 0.3333, 0.6667, 1.0, 0.9505, 0.8117, 0.6113, 0.3887, 0.1883, 0.0495,
            ],
        ),
    ] {
        let mut per_step = schedule.clone();
        let name = per_step.as_object().unwrap().keys().next().unwrap().clone();
        per_step[&name]["per"] = json!("step");
        for (length, schedule) in [
            (json!({"epochs": null, "steps": 10}), schedule),
            (json!({"epochs": 2}), per_step),
        ] {
            let mut changes = json!({
                "warmup": {"fraction": 0.3, "start": 0.0}, "schedule": schedule, "optimizer": {"adamw": {"lr": 1.0}},
            });
            for (key, value) in length.as_object().unwrap() {
                changes[key] = value.clone();
            }
            let rates = LearningRate::new(&with(changes), crate::metric::Direction::Minimize);
            for (step, expected) in (0u32..).zip(expected) {
                let found = rates.at(step / 5, step % 5, 5, &[]);
                assert!(
                    (found - expected).abs() < 5e-5,
                    "{name} {step}: {found} is not {expected}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_texts_is_told() {
    let told = |changes: Value| {
        let bench = Bench::texts(13, &lines());
        bench.train(&with(changes)).unwrap_err().to_string()
    };
    for (changes, expected) in [
        (
            json!({"pack": {"length": 17}}),
            "rows of 17 tokens are longer than the 16 positions of `gpt2`",
        ),
        (json!({"model": {"mlp": {"hidden": [4]}}}), "`train.model`"),
        (
            json!({"model": {"bert": {"layers": 1, "heads": 2, "width": 8}}, "task": "next_token"}),
            "there is nothing in telling the next one",
        ),
        (
            json!({"model": {"gpt2": {"layers": 1, "heads": 2, "width": 8, "head": "tokens"}}}),
            "the head `tokens` does not give",
        ),
        (
            json!({"model": {"gpt2": {"layers": 1, "heads": 2, "width": 8, "vocabulary": 12}}}),
            "12 rows are too few for the 13 tokens",
        ),
        (
            json!({"batch_tokens": 11}),
            "a row of 12 tokens does not fit a batch of 11",
        ),
        (
            json!({"normalize": {"mean": [0.5], "std": [0.5]}}),
            "tokens are no numbers",
        ),
        (json!({"loss": {"mse": {}}}), "leave `loss` out"),
        (json!({"epochs": null}), "does not say how long to train"),
        (json!({"steps": 3}), "both say how long to train"),
        (
            json!({"epochs": null, "steps": 3, "warmup": {"epochs": 1}}),
            "has no epochs to warm up for",
        ),
        (
            json!({"epochs": null, "steps": 3, "warmup": {"steps": 3}}),
            "the warm-up takes 3 steps of 3",
        ),
        (
            json!({"warmup": {"steps": 3, "fraction": 0.5}}),
            "both say how long the warm-up is",
        ),
        (json!({"warmup": {"start": 0.5}}), "does not say how long it is"),
        (
            json!({"epochs": null, "steps": 3, "validate": {"epochs": 1}}),
            "is validated by steps",
        ),
        (
            json!({"augment": [{"random_horizontal_flip": {}}]}),
            "is a dataset of texts",
        ),
    ] {
        let error = told(changes);
        assert!(error.contains(expected), "{error}");
    }
    // What fills up texts is never trained, so that nothing else may be it.
    let bert = json!({"model": {"bert": {"layers": 1, "heads": 2, "width": 8}}});
    for (roles, expected) in [
        (
            json!({"pad": 3, "mask": 2}),
            "and what fills up texts is 3: write `padding: 3`",
        ),
        (
            json!({"pad": 0, "eos": 0, "mask": 2}),
            "which is the tokenizer's `eos`: give the tokenizer a `pad` of its own",
        ),
        (json!({"mask": 0}), "which is the tokenizer's `mask`"),
    ] {
        let roles: TokenRoles = serde_json::from_value(roles).unwrap();
        let bench = Bench::texts_with(13, &lines(), roles);
        let error = bench.train(&with(bert.clone())).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let table = Bench::table(4, &[(Train, 8)]);
    for (changes, expected) in [
        (
            json!({"model": {"gpt2": {"layers": 1}}}),
            "`gpt2` is for texts, and `data` is a table",
        ),
        (json!({"pack": {}}), "`pack` is for texts"),
        (json!({"batch_tokens": 8}), "counts the tokens of texts"),
    ] {
        let error = table.train(&recipe(changes)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn another_tokenizer_is_no_tokenizer_of_the_model() {
    let bench = Bench::texts(13, &lines());
    let trained = bench.train(&with(json!({"epochs": 1}))).unwrap();
    let other = tempfile::tempdir().unwrap();
    write_texts(other.path(), 14, &lines());
    let known = KnownModel {
        normalization: None,
        inputs: trained.card.inputs.clone(),
        target: trained.card.target.clone(),
    };
    let dataset = Dataset::open(other.path()).unwrap();
    let mut schema = dataset.schema().clone();
    let mut field = dataset.input().clone();
    field.vocabulary.as_mut().unwrap().digest = "another".to_owned();
    schema = schema.with_field(field).unwrap();
    let mut named: BTreeMap<&str, Option<crate::schema::Schema>> = BTreeMap::new();
    named.insert("own", known.inputs.clone());
    named.insert("other", Some(schema.inputs()));
    for (name, inputs) in named {
        let known = KnownModel {
            inputs,
            ..known.clone()
        };
        let met = known.meet_inputs(&dataset, other.path(), &Monitor::silent());
        match name {
            "own" => drop(met.unwrap()),
            _ => assert!(met.unwrap_err().to_string().contains("disagree on the tokenizer")),
        }
    }
}

/// A trained model in a folder.
pub(super) fn written(bench: &Bench, trained: &Trained) -> std::path::PathBuf {
    let folder = bench.folder.path().join("model");
    fs::create_dir_all(&folder).unwrap();
    write_weights(&folder, &trained.weights).unwrap();
    write_json(&folder.join(CARD_FILE), &trained.card).unwrap();
    folder
}

pub(super) fn judged(
    bench: &Bench,
    trained: &Trained,
    asked: &[&'static str],
    batch_size: usize,
) -> SplitTally {
    let folder = written(bench, trained);
    let components = Components::built_in();
    let model = TrainedModel::load(&folder, &Device::Cpu, &components).unwrap();
    let dataset = Dataset::open(&bench.data()).unwrap();
    let dataset = model
        .meet(&dataset, &components.tasks, &folder, &Monitor::silent())
        .unwrap();
    let options = Evaluation {
        task: model.task(&components.tasks).unwrap(),
        loss: model.card.reported_loss.clone(),
        metrics: asked.iter().map(|name| EvaluationMetric::plain(name)).collect(),
        batch_size,
        order: SampleOrder::Given,
        test_time_flip: false,
        device: Device::Cpu,
    };
    let judged = [JudgedModel::of(&model, filled_split(&dataset, Val).unwrap())];
    evaluate(&judged, &options, &Monitor::silent(), |_, _, _| Ok(())).unwrap()
}

#[test]
fn hidden_tokens_are_told_by_encoders() {
    let bench = Bench::texts(13, &lines());
    let masks = |changes: Value| {
        let mut all = json!({
            "model": {"bert": {"layers": 1, "heads": 2, "width": 16, "context": 16}}, "pack": {"length": 12}, "epochs": 3,
        });
        for (key, value) in changes.as_object().unwrap() {
            all[key] = value.clone();
        }
        with(all)
    };
    let error = bench.train(&masks(json!({}))).unwrap_err().to_string();
    assert!(error.contains("no token that hides others"), "{error}");
    let bench = Bench::texts_with(
        13,
        &lines(),
        TokenRoles {
            pad: Some(0),
            cls: Some(3),
            sep: Some(1),
            mask: Some(2),
            ..TokenRoles::default()
        },
    );
    let trained = bench.train(&masks(json!({}))).unwrap();
    assert_same(&trained, &bench.train(&masks(json!({}))).unwrap());
    assert_eq!(trained.card.target.task, "masked_token");
    assert_eq!(
        trained.card.architecture.text().unwrap().head,
        Some(spec::TextHead::Masked)
    );
    let sgd = json!({"sgd": {"lr": 0.3}});
    let large = bench
        .train(&masks(json!({"batch_size": 6, "optimizer": sgd})))
        .unwrap();
    let micro = bench
        .train(&masks(
            json!({"batch_size": 2, "accumulate": 3, "optimizer": sgd}),
        ))
        .unwrap();
    assert!(
        difference(&large, &micro) < 2e-6,
        "{}",
        difference(&large, &micro)
    );
    let (resumed, _) = bench.train_step_by_step(&masks(json!({})));
    assert_same(&trained, &resumed);
    let tallies = [2, 9].map(|batch_size| judged(&bench, &trained, &[], batch_size));
    assert_eq!(tallies[0].loss(), tallies[1].loss());
    let validated = trained.history.last().unwrap().validation.clone().unwrap();
    assert_eq!(tallies[0].loss(), validated.loss.0);
    // Decoders do the other task with the same data, and cannot do this one.
    let error = bench
        .train(&with(json!({"task": "masked_token"})))
        .unwrap_err()
        .to_string();
    assert!(error.contains("so it cannot tell hidden ones"), "{error}");
}
