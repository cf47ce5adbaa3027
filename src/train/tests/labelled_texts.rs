//! Training on texts that have classes or numbers, or whose words have.

use super::texts::judged;
use super::*;
use crate::data::text_testing::{TinyTarget, TinyText};
use crate::schema::NO_CLASS;
use crate::spec::{self, SplitName};

/// Sentences in which the token 3 begins an entity, 4 goes on with it, and all others are of none; every word has a second
/// token, 1, which is not predicted.
fn tagged(split: SplitName, count: u32) -> Vec<(SplitName, TinyText)> {
    let sentence = |index: u32| {
        let mut stream =
            crate::random::Stream::new(9, crate::random::Purpose::Bootstrap, split as u32, index);
        let (mut tokens, mut classes) = (vec![0], vec![NO_CLASS]);
        let mut inside = false;
        for _ in 0..3 + stream.below(6) {
            let (token, class) = match stream.below(4) {
                0 => (3, 1),
                1 if inside => (4, 3),
                _ => (5 + stream.below(6), 0),
            };
            inside = class != 0;
            tokens.extend([token, 1]);
            classes.extend([class, NO_CLASS]);
        }
        let target = TinyTarget::Classes(classes);
        (split, TinyText { tokens, target })
    };
    (0..count).map(sentence).collect()
}

fn tagger(changes: Value) -> spec::Train {
    let mut all = json!({
        "model": {"bert": {"layers": 1, "heads": 2, "width": 16, "context": 24}}, "epochs": 8, "batch_size": 4,
        "optimizer": {"adamw": {"lr": 0.02}},
    });
    for (key, value) in changes.as_object().unwrap() {
        all[key] = value.clone();
    }
    recipe(all)
}

#[test]
fn activations_that_are_computed_again_change_nothing() {
    let bench = Bench::texts(11, &[tagged(Train, 24), tagged(Val, 8)].concat());
    let bert = json!({"bert": {"layers": 3, "heads": 2, "width": 16, "context": 24, "dropout": 0.2}});
    let of = |again: bool| {
        let changes = json!({"model": bert, "epochs": 2, "accumulate": 2, "checkpoint_activations": again});
        bench.train(&tagger(changes)).unwrap()
    };
    assert_same(&of(false), &of(true));
}

#[test]
fn words_are_classified_by_their_first_tokens() {
    let bench = Bench::texts(11, &[tagged(Train, 40), tagged(Val, 12)].concat());
    let trained = bench.train(&tagger(json!({}))).unwrap();
    let last = trained.history.last().unwrap().validation.clone().unwrap();
    assert!(
        last.score.0 > 0.9 && last.further["entity_f1"].0 > 0.8,
        "{last:?}"
    );
    let card = &trained.card;
    assert_eq!(card.target.task, "token_classes");
    assert_eq!(
        card.architecture.text().unwrap().head,
        Some(spec::TextHead::Tokens)
    );
    let tally = judged(&bench, &trained, &["entity_f1"], 3);
    assert_eq!(tally.figure("accuracy"), Some(last.score.0));
    assert_eq!(tally.figure("entity_f1"), Some(last.further["entity_f1"].0));
    assert!((tally.loss() - last.loss.0).abs() < 1e-9);
    // Words alone are counted.
    let words: usize = tagged(Val, 12)
        .iter()
        .map(|(_, text)| text.tokens.len() / 2)
        .sum();
    assert_eq!(tally.counted(), 12);
    let right = tally.figure("accuracy").unwrap() * words as f64;
    assert!((right - right.round()).abs() < 1e-9);
    let micro = bench
        .train(&tagger(
            json!({"batch_size": 2, "accumulate": 2, "optimizer": {"sgd": {"lr": 0.1}}}),
        ))
        .unwrap();
    let large = bench
        .train(&tagger(
            json!({"batch_size": 4, "optimizer": {"sgd": {"lr": 0.1}}}),
        ))
        .unwrap();
    // Dropout is drawn by sample, so that it is the same in whatever batch.
    assert!(
        difference(&large, &micro) < 2e-6,
        "{}",
        difference(&large, &micro)
    );
    let weighed = json!({"loss": {"cross_entropy": {"class_weights": "balanced"}}, "epochs": 1});
    assert!(bench.train(&tagger(weighed)).is_ok());
    let error = bench.train(&tagger(json!({"pack": {}}))).unwrap_err().to_string();
    assert!(error.contains("`pack` is for language models"), "{error}");
    let short = json!({"model": {"bert": {"layers": 1, "heads": 2, "width": 16, "context": 8}}});
    let error = bench.train(&tagger(short)).unwrap_err().to_string();
    assert!(error.contains("and `bert` has 8 positions"), "{error}");
}

/// Texts whose class is how often the token 3 stands in them, modulo 3; the number is the same.
fn classed(split: SplitName, count: u32, numbers: bool) -> Vec<(SplitName, TinyText)> {
    let text = |index: u32| {
        let mut stream =
            crate::random::Stream::new(11, crate::random::Purpose::Bootstrap, split as u32, index);
        let class = index % 3;
        let mut tokens = vec![0];
        tokens.extend((0..2 + stream.below(7)).map(|_| 4 + class + 3 * stream.below(2)));
        let target = match numbers {
            true => TinyTarget::Numbers(vec![class as f32 * 10.0]),
            false => TinyTarget::Class(class),
        };
        (split, TinyText { tokens, target })
    };
    (0..count).map(text).collect()
}

#[test]
fn texts_are_classified_by_encoders_and_decoders() {
    let bench = Bench::texts(11, &[classed(Train, 40, false), classed(Val, 15, false)].concat());
    for model in [
        json!({"bert": {"layers": 1, "heads": 2, "width": 16, "context": 24, "dropout": 0}}),
        json!({"bert": {"variant": "distilbert", "layers": 1, "heads": 2, "width": 16, "context": 24, "dropout": 0, "head_dropout": 0}}),
        json!({"bert": {"variant": "roberta", "layers": 1, "heads": 2, "width": 16, "context": 24, "dropout": 0}}),
        json!({"gpt2": {"layers": 1, "heads": 2, "width": 16, "context": 24}}),
        json!({"llama": {"layers": 1, "heads": 2, "width": 16, "context": 24}}),
    ] {
        let trained = bench
            .train(&tagger(json!({
                "model": model, "batch_tokens": 24, "epochs": 40, "optimizer": {"adamw": {"lr": 0.005}},
            })))
            .unwrap();
        let last = trained.history.last().unwrap().validation.clone().unwrap();
        // What encoders learn is held to Hugging Face's, step by step (`traces`): so small a one may stay for long
        // where classes look alike to it.
        if model.get("bert").is_none() {
            assert!(last.score.0 > 0.9, "{model}: {last:?}");
        }
        assert_eq!(trained.card.target.task, "classification");
        assert_eq!(
            trained.card.architecture.text().unwrap().head,
            Some(spec::TextHead::Classification)
        );
        let tallies = [2, 64].map(|batch_size| judged(&bench, &trained, &["mcc", "per_class"], batch_size));
        for name in ["accuracy", "loss", "mcc", "macro_f1"] {
            assert_eq!(tallies[0].figure(name), tallies[1].figure(name), "{name}");
        }
        assert_eq!(tallies[0].figure("accuracy"), Some(last.score.0));
    }
}

#[test]
fn numbers_are_predicted_for_texts() {
    let bench = Bench::texts(11, &[classed(Train, 40, true), classed(Val, 15, true)].concat());
    let model = json!({"bert": {"layers": 1, "heads": 2, "width": 16, "context": 24, "dropout": 0}});
    let trained = bench
        .train(&tagger(json!({"model": model, "epochs": 30})))
        .unwrap();
    assert!(trained.card.target.scale.is_some());
    let tally = judged(&bench, &trained, &["spearman", "pearson"], 4);
    assert!(tally.figure("mae").unwrap() < 3.0, "{:?}", tally.figure("mae"));
    assert!(tally.figure("spearman").unwrap() > 0.8 && tally.figure("pearson").unwrap() > 0.9);
}
