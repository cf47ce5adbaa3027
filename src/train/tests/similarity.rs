//! Training on pairs of texts.

use candle_core::Device;
use serde::Deserialize;

use super::texts::{judged, written};
use super::traces::{StepBatch, train_by};
use super::*;
use crate::data::text_testing::{TinyTarget, TinyText};
use crate::models::{InputShape, Network, Pass, TokenBatch, build, formula};
use crate::ops::testing::host;
use crate::ops::{PairTargets, pair_loss};
use crate::random::{Purpose, Stream};
use crate::schema::TokenRoles;
use crate::spec::{self, Model, Precision, SplitName};

/// Topics, each of which has two tokens for first texts, and two for second ones.
const TOPICS: u32 = 6;

/// A text about a topic, with tokens that say nothing among its own.
fn about(topic: u32, first: bool, stream: &mut Stream) -> Vec<u32> {
    let own = 1 + 2 * topic + if first { 0 } else { 2 * TOPICS };
    let mut tokens = vec![own, own + 1];
    for _ in 0..stream.below(4) {
        tokens.push(1 + 4 * TOPICS + stream.below(4));
    }
    tokens
}

/// Pairs of texts about one topic; with numbers also of two, which are less alike.
fn pairs(split: SplitName, count: u32, numbered: bool) -> Vec<(SplitName, TinyText)> {
    let pair = |index: u32| {
        let mut stream = Stream::new(11, Purpose::Bootstrap, split as u32, index);
        let topic = index % TOPICS;
        let alike = !numbered || stream.bernoulli(0.5);
        let other = if alike {
            topic
        } else {
            (topic + 1 + stream.below(TOPICS - 1)) % TOPICS
        };
        let first = about(topic, true, &mut stream);
        let target = TinyTarget::Pair(first.len(), numbered.then_some(if alike { 5.0 } else { 1.5 }));
        let tokens = [first, about(other, false, &mut stream)].concat();
        (split, TinyText { tokens, target })
    };
    (0..count).map(pair).collect()
}

fn bench(numbered: bool) -> Bench {
    let texts = [
        pairs(Train, 60, numbered),
        pairs(Val, if numbered { 30 } else { TOPICS }, numbered),
    ];
    Bench::texts(1 + 4 * TOPICS + 4, &texts.concat())
}

fn comparer(changes: Value) -> spec::Train {
    let mut all = json!({
        "model": {"bert": {"layers": 1, "heads": 2, "width": 16, "context": 12, "dropout": 0.1}}, "epochs": 10,
        "batch_size": 6, "optimizer": {"adamw": {"lr": 0.01}},
    });
    for (key, value) in changes.as_object().unwrap() {
        all[key] = value.clone();
    }
    recipe(all)
}

/// The cosines of the first texts (rows) and second texts of the validation split.
fn cosines(bench: &Bench, trained: &Trained, texts: &[(SplitName, TinyText)]) -> Vec<Vec<f64>> {
    let folder = written(bench, trained);
    let model = TrainedModel::load(&folder, &Device::Cpu, &Components::built_in()).unwrap();
    let embedded = |tokens: &[u32]| {
        let batch = TokenBatch::ragged(tokens, &[0, tokens.len()], &Device::Cpu).unwrap();
        let output = model
            .network
            .forward_tokens(&batch, &Pass::evaluate(Precision::F32))
            .unwrap();
        let values = host(&output.outputs(Precision::F32).unwrap());
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values
            .iter()
            .map(|value| f64::from(value / length))
            .collect::<Vec<f64>>()
    };
    let halves: Vec<[Vec<f64>; 2]> = texts
        .iter()
        .map(|(_, text)| {
            let TinyTarget::Pair(first, _) = text.target else {
                panic!("no pair")
            };
            let (first, second) = text.tokens.split_at(first);
            [embedded(first), embedded(second)]
        })
        .collect();
    let dot = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(one, other)| one * other).sum();
    let row = |[first, _]: &[Vec<f64>; 2]| halves.iter().map(|[_, second]| dot(first, second)).collect();
    halves.iter().map(row).collect()
}

#[test]
fn second_texts_are_found_among_all() {
    let mut bench = bench(false);
    let recipe = comparer(json!({}));
    let trained = bench.train(&recipe).unwrap();
    let last = trained.history.last().unwrap().validation.clone().unwrap();
    assert!(last.score.0 > 0.8, "{last:?}");
    let card = &trained.card;
    assert_eq!(
        (card.target.task.as_str(), card.target.width),
        ("similarity", Some(16))
    );
    assert_eq!(
        card.architecture.text().unwrap().head,
        Some(spec::TextHead::Similarity)
    );
    // The same by hand, and whatever the batch size.
    let cosines = cosines(&bench, &trained, &pairs(Val, TOPICS, false));
    let nearest = |(index, row): (usize, &Vec<f64>)| row.iter().all(|cosine| *cosine <= row[index]);
    let right = cosines.iter().enumerate().filter(|pair| nearest(*pair)).count();
    for batch_size in [1, 4, 6] {
        let tally = judged(&bench, &trained, &["spearman"], batch_size);
        assert_eq!(tally.figure("accuracy"), Some(right as f64 / f64::from(TOPICS)));
        assert_eq!(
            (tally.figure("spearman"), tally.counted()),
            (None, u64::from(TOPICS))
        );
    }
    let losses = cosines.iter().enumerate().map(|(index, row)| {
        let sum: f64 = row.iter().map(|cosine| (20.0 * cosine).exp()).sum();
        sum.ln() - 20.0 * row[index]
    });
    let mean = losses.sum::<f64>() / f64::from(TOPICS);
    assert!((judged(&bench, &trained, &[], 6).loss() - mean).abs() < 1e-5);
    // The same bytes on any number of threads and after interruptions.
    for threads in [1, 4] {
        bench.threads = threads;
        assert_same(&trained, &bench.train(&recipe).unwrap());
    }
    let (resumed, _) = bench.train_step_by_step(&recipe);
    assert_same(&trained, &resumed);
}

#[test]
fn cosines_get_the_order_of_numbers() {
    let bench = bench(true);
    let trained = bench.train(&comparer(json!({"epochs": 20}))).unwrap();
    let texts = pairs(Val, 30, true);
    let cosines = cosines(&bench, &trained, &texts);
    let number = |text: &TinyText| match text.target {
        TinyTarget::Pair(_, number) => number.unwrap(),
        _ => panic!("no pair"),
    };
    let (mut right, mut all) = (0, 0);
    for (less, (_, small)) in texts.iter().enumerate() {
        for (more, (_, large)) in texts.iter().enumerate() {
            if number(small) < number(large) {
                all += 1;
                right += u32::from(cosines[less][less] < cosines[more][more]);
            }
        }
    }
    let tally = judged(&bench, &trained, &["spearman", "pearson"], 7);
    assert_eq!(tally.figure("accuracy"), Some(f64::from(right) / f64::from(all)));
    assert!(
        tally.figure("accuracy").unwrap() > 0.85,
        "{:?}",
        tally.figure("accuracy")
    );
    let [spearman, pearson] = ["spearman", "pearson"].map(|name| tally.figure(name).unwrap());
    assert!(spearman > 0.5 && pearson > 0.5, "{spearman}, {pearson}");
}

#[test]
fn micro_batches_are_compared_within_themselves() {
    for numbered in [false, true] {
        let bench = bench(numbered);
        let loss = |batch: u32, accumulate: u32| {
            let changes = json!({
                "epochs": 1, "batch_size": batch, "accumulate": accumulate, "optimizer": {"sgd": {"lr": 1e-30}},
                "model": {"bert": {"layers": 1, "heads": 2, "width": 16, "context": 12}},
            });
            bench.train(&comparer(changes)).unwrap().history[0].train_loss.0
        };
        let (alone, together, larger) = (loss(6, 1), loss(6, 5), loss(30, 1));
        assert!((alone - together).abs() < 1e-6 * alone, "{alone}, {together}");
        assert!(larger > alone + 0.1, "{alone}, {larger}");
    }
}

#[test]
fn what_cannot_be_compared_is_told() {
    let error = |changes: Value| bench(false).train(&comparer(changes)).unwrap_err().to_string();
    let told = error(json!({"batch_size": 1}));
    assert!(
        told.contains("a pair is compared with the others of its batch"),
        "{told}"
    );
    let told = error(json!({"task": "next_token"}));
    assert!(told.contains("next_token"), "{told}");
    let told = error(json!({"loss": {"mse": {}}}));
    assert!(told.contains("loss"), "{told}");
    // Two texts that are read as one are no pair to be compared.
    let joint = TinyText {
        tokens: vec![1, 2, 3],
        target: TinyTarget::Numbers(vec![0.5]),
    };
    let bench = Bench::texts(5, &[(Train, joint.clone()), (Train, joint)]);
    let error = bench.train(&comparer(json!({"task": "similarity"}))).unwrap_err();
    assert!(error.to_string().contains("similarity"), "{error}");
}

/// A training by transformers and sentence-transformers.
#[derive(Deserialize)]
struct Case {
    numbers: Option<Vec<f32>>,
    embedding: Vec<f64>,
    losses: Vec<f64>,
    norms: Vec<f64>,
}

const LENGTHS: [usize; 8] = [16, 13, 9, 5, 1, 7, 12, 16];

/// The texts of a step, two a pair.
fn texts(step: usize) -> StepBatch {
    const TOKENS: usize = 16;
    let (mut ids, mut offsets) = (Vec::new(), vec![0]);
    for (text, length) in LENGTHS.into_iter().enumerate() {
        let first = (step * LENGTHS.len() + text) * TOKENS;
        ids.extend((first..first + length).map(|place| formula::token(place, 61).max(1)));
        offsets.push(ids.len());
    }
    let batch = TokenBatch::ragged(&ids, &offsets, &Device::Cpu).unwrap();
    (batch, Vec::new())
}

fn encoder() -> Network {
    let options = json!({
        "layers": 2, "heads": 4, "width": 32, "ffn": 64, "context": 16, "dropout": 0.0, "head": "similarity",
    });
    let model: Model = serde_json::from_value(json!({ "bert": options })).unwrap();
    let input = InputShape::Tokens {
        vocabulary: 61,
        length: 16,
    };
    let network = build(&model, input, 32, 1, &Device::Cpu).unwrap();
    formula::fill(&network, |_, value| value);
    network
}

#[test]
fn pairs_are_learnt_as_by_sentence_transformers() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../tests/fixtures/similarity.json")).unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let network = encoder();
        let output = network
            .forward_tokens(&texts(0).0, &Pass::evaluate(Precision::F32))
            .unwrap();
        let first = host(&output.outputs(Precision::F32).unwrap());
        for (own, expected) in first.iter().zip(&case.embedding) {
            assert!((f64::from(*own) - expected).abs() < 1e-6, "{own} for {expected}");
        }
        let loss = |output: &crate::models::TextOutput, _: &[Option<u32>], _: f64| {
            let targets = match &case.numbers {
                None => PairTargets::Matches,
                Some(numbers) => PairTargets::Numbers(numbers),
            };
            pair_loss(&output.outputs(Precision::F32).unwrap(), targets, 4.0).unwrap()
        };
        let [losses, norms] = train_by(&network, 0.0, texts, loss);
        assert_eq!([losses.len(), norms.len()], [case.losses.len(), case.norms.len()]);
        // Cosines are taken times 20, and with them the last digits of f32.
        for (own, expected) in losses.iter().zip(&case.losses) {
            assert!((own / expected - 1.0).abs() < 2e-5, "loss {own} for {expected}");
        }
        for (own, expected) in norms.iter().zip(&case.norms) {
            assert!((own / expected - 1.0).abs() < 1e-4, "norm {own} for {expected}");
        }
    }
}

#[test]
fn splits_and_tokenizers_that_are_of_no_use_are_told() {
    let told = |numbered: bool, count: u32, roles: TokenRoles| {
        let texts = [pairs(Train, 60, numbered), pairs(Val, count, numbered)];
        let bench = Bench::texts_with(1 + 4 * TOPICS + 4, &texts.concat(), roles);
        let messages = Arc::new(Mutex::new(Vec::new()));
        let listening = Arc::clone(&messages);
        let emit = move |activity| {
            if let Activity::Notice { message, .. } = activity {
                listening.lock().unwrap().push(message);
            }
        };
        let monitor = Monitor::new(emit, Arc::default());
        bench.go_on(&comparer(json!({"epochs": 1})), &monitor).unwrap();
        messages.lock().unwrap().join("\n")
    };
    let padded = TokenRoles {
        pad: Some(0),
        ..TokenRoles::default()
    };
    for (numbered, count, expected) in [
        (
            false,
            1,
            Some("the split `val`: its only pair is compared with no other: the loss and the accuracy"),
        ),
        (false, 2, None),
        (
            true,
            1,
            Some("the split `val`: no two of its pairs have different numbers"),
        ),
        (true, 30, None),
    ] {
        let told = told(numbered, count, padded);
        match expected {
            Some(expected) => assert!(told.contains(expected), "{told}"),
            None => assert!(!told.contains("the split"), "{told}"),
        }
        assert!(!told.contains("sentence-transformers"), "{told}");
    }
    let told = told(false, 2, TokenRoles::default());
    assert!(
        told.contains("the tokenizer has no `pad`, with which sentence-transformers"),
        "{told}"
    );
}
